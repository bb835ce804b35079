"""One shape of a data set, built where nothing else can be harmed.

`main` runs in a process of its own. It reads jobs from standard input and answers on standard output; `data_prep.pool`
is its other end. What a library prints goes to standard error, so that it cannot stand between the answers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import signal
import struct
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data_prep.sources import Item
from data_prep.sources.pictures import SIZE as IMAGE_SIZE
from voxgan.dataset_writer import Row, encode
from voxgan.errors import InputError, VoxganError
from voxgan.files import sha256

if TYPE_CHECKING:
    from data_prep.sources import Loaded

__all__ = ["IMAGE_SIZE", "Built", "Recipe", "build_shape", "read_frame", "write_frame"]


@dataclass(frozen=True)
class Recipe:
    """What is made of every shape: the options of `data_prep.build.prepare` that shapes depend on."""

    resolution: int = 64
    mode: str = "solid"
    views: int = 0
    rig: str = "photo"
    renderer: str = "rays"
    seed: int = 0


@dataclass(frozen=True)
class Built:
    """One shape, ready to be written; or the reason why there is none."""

    source: str
    row: Row | None = None
    reason: str = ""


def build_shape(item: Item, recipe: Recipe) -> Built:
    """Load, voxelise and render one item; whatever is wrong with it becomes the reason."""
    try:
        loaded = item.load(recipe.resolution, recipe.mode, recipe.views)
        occupancy = loaded.shapes.occupancy[0]
        if not occupancy.any():
            raise InputError(f"{item.source}: no cell is inside; the shape is too thin or empty")
        views = cameras = None
        if recipe.views:
            views, cameras = _views(item, loaded, recipe)
        row = encode(
            occupancy,
            item.class_name,
            item.split,
            item.name,
            item.source,
            _digest(item.source),
            loaded.transform,
            loaded.distance,
            views,
            cameras,
        )
        return Built(item.source, row)
    except VoxganError as error:
        return Built(item.source, reason=" ".join(str(error).split()))
    except MemoryError:
        return Built(item.source, reason="it takes more memory than a shape may; simplify it, or raise --memory")
    except Exception as error:
        return Built(item.source, reason=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


def _digest(source: str) -> bytes:
    """Return the SHA-256 of the file, or of the recipe's text where there is none."""
    path = Path(source)
    if path.is_file():
        return bytes.fromhex(sha256(path))
    return hashlib.sha256(os.fsencode(source)).digest()


def _views(item: Item, loaded: Loaded, recipe: Recipe) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the source's own pictures, or render the mesh, or the smoothed surface of the volume."""
    from scipy.ndimage import gaussian_filter

    from data_prep.render import render_views
    from voxgan.mesh import surface

    if loaded.pictures is not None and loaded.cameras is not None:
        if len(loaded.pictures) < recipe.views:
            many = len(loaded.pictures)
            raise InputError(
                f"{item.source}: comes with {many} pictures of its own, not {recipe.views}; take --views {many}"
            )
        return loaded.pictures, loaded.cameras
    mesh = loaded.mesh
    if mesh is None:
        grid = loaded.shapes.occupancy[0]
        # Half of it blurred: blurred alone, a leg one cell thick would be gone.
        mesh = surface(0.5 * grid + 0.5 * gaussian_filter(grid, 0.7), level=0.4)
    seed = zlib.crc32(os.fsencode(item.name)) + recipe.seed
    pictures, framed = render_views(mesh, recipe.views, seed, IMAGE_SIZE, rig=recipe.rig, renderer=recipe.renderer)
    blank = np.flatnonzero(~pictures[..., 3].any(axis=(1, 2)))
    if len(blank):
        raise InputError(f"{item.source}: view {blank[0]} shows nothing of it; it is too thin to be seen from there")
    return pictures, np.array([camera.numbers for camera in framed], np.float32)


def write_frame(stream: IO[bytes], content: Any) -> None:
    """Send one object to the process at the other end."""
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Any:
    """Receive one object from the process at the other end, which is our own; EOFError when it is gone."""
    head = stream.read(8)
    data = stream.read(struct.unpack("<Q", head)[0]) if len(head) == 8 else b""
    if not data or len(head) < 8:
        raise EOFError
    return pickle.loads(data)


def _limit_memory(gigabytes: float) -> None:
    """Let the process take at most so much, where the system can hold it to that."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        kind = resource.RLIMIT_DATA if sys.platform.startswith("linux") else resource.RLIMIT_AS
        limit = int(gigabytes * 2**30)
        resource.setrlimit(kind, (limit, limit))


def main() -> None:
    """Answer jobs until standard input ends."""
    jobs = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    gigabytes, seconds = read_frame(jobs)
    _limit_memory(gigabytes)
    write_frame(answers, "ready")
    alarm = getattr(signal, "setitimer", None)  # ends this process even amid a library, if the other end is gone
    while True:
        try:
            item, recipe = read_frame(jobs)
        except EOFError:
            return
        if alarm is not None:
            alarm(signal.ITIMER_REAL, seconds + 10)
        built = build_shape(item, recipe)
        if alarm is not None:
            alarm(signal.ITIMER_REAL, 0)
        try:
            write_frame(answers, built)
        except BrokenPipeError:
            return
