"""Sources → voxelise → render → one HDF5 data set; parallel, bad shapes set aside with the reason."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_prep.sources import Item, find_items
from voxgan.dataset import Writer, pack, unpack
from voxgan.errors import DatasetError, InputError, UsageError, VoxganError
from voxgan.files import check_output

if TYPE_CHECKING:
    import trimesh

    from voxgan.voxels import Shapes

__all__ = ["Report", "prepare"]

IMAGE_SIZE = 256
NUM_BACKGROUNDS = 256


@dataclass(frozen=True)
class Report:
    """What a preparation did.

    Attributes
    ----------
    path : pathlib.Path
        The data set.
    num_shapes : int
        How many it holds.
    set_aside : tuple of (str, str)
        Source and reason of each shape that is not in it.
    """

    path: Path
    num_shapes: int
    set_aside: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.num_shapes} shapes, {len(self.set_aside)} set aside"]
        for source, reason in self.set_aside:
            lines.append(f"  {reason}" if source in reason else f"  {source}: {reason}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Built:
    """One shape, packed for the way between processes; or the reason why there is none."""

    item: Item
    reason: str = ""
    bits: NDArray[np.uint8] | None = None
    scale: float = 1.0
    centre: tuple[float, ...] = (0.0, 0.0, 0.0)
    views: NDArray[np.uint8] | None = None
    cameras: NDArray[np.float32] | None = None


def prepare(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    resolution: int = 64,
    views: int = 0,
    classes: Sequence[str] | None = None,
    count: int = 100,
    limit: int | None = None,
    rotations: int = 1,
    test_share: float = 0.1,
    up: str = "z",
    seed: int = 0,
    workers: int | None = None,
    report: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> Report:
    """Make an HDF5 data set of shapes, and of rendered views of them.

    Ctrl-C stops it after the shape in hand, and leaves nothing behind; a second one stops it at once.

    Parameters
    ----------
    source : path, "furniture", or a sequence of them
        See `data_prep.sources.find_items`, which also explains `classes`, `count`, `limit`, `rotations`,
        `test_share` and `up`.
    out : path
        The data set; it appears when it is whole.
    resolution : int
        Cells along a side: 16, 32, 64 or 128.
    views : int
        Rendered views of each shape (256 × 256, RGBA), and 256 backgrounds to lay behind them; 0 for none.
    seed : int
        Of cameras, materials, lights and backgrounds; 0 or more.
    workers : int, optional
        Processes, 1 or more; default: one for each core.
    report : callable, optional
        Called after every shape with the number done and the number of all.
    overwrite : bool
        Whether a data set that stands at `out` may be replaced, once the new one is whole.

    Returns
    -------
    Report
        What is in the data set, and what was set aside and why.

    Raises
    ------
    StorageError
        If a source does not exist, or `out` cannot be written.
    DatasetError
        If there is nothing to prepare, or every shape had to be set aside.
    UsageError
        For an impossible option, or if `out` exists and `overwrite` is not set.
    """
    from voxgan.voxels import RESOLUTIONS

    if resolution not in RESOLUTIONS:
        raise UsageError(f"resolution={resolution}: expected one of {', '.join(map(str, RESOLUTIONS))}")
    for name, value, least in (
        ("views", views, 0),
        ("count", count, 1),
        ("limit", limit, 1),
        ("rotations", rotations, 1),
        ("seed", seed, 0),
        ("workers", workers, 1),
    ):
        if value is not None and value < least:
            raise UsageError(f"{name}={value}: expected {least} or more")
    if rotations > 12:
        raise UsageError(f"rotations={rotations}: expected at most 12, as ModelNet has")
    if not 0 <= test_share < 1:
        raise UsageError(f"test_share={test_share}: expected 0 or more and less than 1")
    out = check_output(out)
    if out.exists() and not overwrite:
        raise UsageError(f"{out} exists; choose another name, or pass --overwrite")
    many = [source] if isinstance(source, str | Path) else list(source)
    items = find_items(many, classes, count, limit, rotations, test_share, up)
    if not items:
        raise DatasetError(f"{', '.join(map(str, many))}: no shapes to prepare")
    names = sorted({item.class_name for item in items})
    set_aside: list[tuple[str, str]] = []
    with _stop_between() as check, Writer.create(out, resolution, names, views, IMAGE_SIZE) as writer:
        check()
        for done, built in enumerate(_build_all(items, resolution, views, seed, workers), 1):
            if built.bits is None:
                set_aside.append((built.item.source, built.reason))
            else:
                writer.add(
                    unpack(built.bits[None], resolution)[0],
                    class_name=built.item.class_name,
                    split=built.item.split,
                    name=built.item.name,
                    source=built.item.source,
                    scale=built.scale,
                    centre=built.centre,
                    views=built.views,
                    cameras=built.cameras,
                )
            if report is not None:
                report(done, len(items))
            check()
        if not writer.count:
            raise DatasetError(f"none of {len(items)} shapes could be prepared; the first: {set_aside[0][1]}")
        if views:
            from data_prep.backgrounds import backgrounds

            writer.add_backgrounds(backgrounds(NUM_BACKGROUNDS, seed, IMAGE_SIZE))
            check()
        total = writer.count
    return Report(out, total, tuple(set_aside))


@contextlib.contextmanager
def _stop_between() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C wait for the next call of what is given: raised amid a library's callback, it could be swallowed."""
    asked = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _build_all(items: Sequence[Item], resolution: int, views: int, seed: int, workers: int | None) -> Iterator[_Built]:
    """Build every item, in order; a worker that dies costs the shapes it held, not the run."""
    workers = max(1, min(workers or os.cpu_count() or 1, len(items)))
    if workers == 1:
        for item in items:
            yield _build(item, resolution, views, seed)
        return
    spawn = multiprocessing.get_context("spawn")
    place, ahead = 0, 4 * workers
    while place < len(items):
        with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start_worker) as pool:
            waiting: dict[int, Future[_Built]] = {}
            coming = place
            try:
                while place < len(items):
                    with _main_left_alone():
                        while coming < min(place + ahead, len(items)):
                            waiting[coming] = pool.submit(_build, items[coming], resolution, views, seed)
                            coming += 1
                    wait([waiting[place]], return_when=FIRST_COMPLETED)
                    yield waiting.pop(place).result()
                    place += 1
            except BrokenProcessPool:
                # Whose fault it was is not known: the shape in hand is tried once more, alone.
                yield _alone(items[place], resolution, views, seed)
                place += 1
            except BaseException:  # stopped: what waits is not begun
                pool.shutdown(wait=False, cancel_futures=True)
                raise


@contextlib.contextmanager
def _main_left_alone() -> Iterator[None]:
    """Keep new processes from running the user's script again, which needs no ``if __name__ == "__main__"`` then."""
    main = sys.modules["__main__"]
    kept = {name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)}
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(kept)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process decides
    os.environ["OMP_NUM_THREADS"] = "1"


def _alone(item: Item, resolution: int, views: int, seed: int) -> _Built:
    """Build one item in a process of its own, so that what kills it kills nothing else."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_start_worker) as pool, _main_left_alone():
        try:
            return pool.submit(_build, item, resolution, views, seed).result()
        except BrokenProcessPool:
            return _Built(item, "the process that read it died (out of memory, or a fault in a library)")


def _build(item: Item, resolution: int, views: int, seed: int) -> _Built:
    """Load, voxelise and render one item; whatever is wrong with it becomes the reason."""
    try:
        shapes, mesh = item.load(resolution)
        if not shapes.occupancy.any():
            raise InputError("no cell is inside; the shape is too thin or empty")
        pictures = cameras = None
        if views:
            pictures, cameras = _views(shapes, mesh, views, zlib.crc32(os.fsencode(item.name)) + seed)
        scale = float(shapes.scale[0]) if shapes.scale is not None else 1.0
        centre = tuple(shapes.centre[0].tolist()) if shapes.centre is not None else (0.0, 0.0, 0.0)
        return _Built(item, "", pack(shapes.occupancy)[0], scale, centre, pictures, cameras)
    except VoxganError as error:
        return _Built(item, str(error))
    except Exception as error:
        return _Built(item, f"{type(error).__name__}: {error}")


def _views(
    shapes: Shapes, mesh: trimesh.Trimesh | None, views: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Render a shape: its mesh, or the smoothed surface of its volume."""
    from scipy.ndimage import gaussian_filter

    from data_prep.render import render_views
    from voxgan.mesh import surface

    if mesh is None:
        mesh = surface(gaussian_filter(shapes.occupancy[0], 0.7), level=0.45)
    pictures, cameras = render_views(mesh, views, seed, IMAGE_SIZE)
    numbers = [[c.azimuth, c.elevation, c.distance, c.field_of_view, c.roll, *c.shift] for c in cameras]
    return pictures, np.array(numbers, np.float32)
