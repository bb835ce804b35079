"""One shape of a data set, built where nothing else can be harmed: in the processes of `data_prep.pool`."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from data_prep.sources import Item
from data_prep.sources.pictures import SIZE as IMAGE_SIZE
from voxgan.dataset_writer import Row, encode
from voxgan.errors import InputError, VoxganError
from voxgan.files import sha256

if TYPE_CHECKING:
    from data_prep.sources import Loaded

__all__ = ["IMAGE_SIZE", "Built", "Recipe", "build_shape"]


@dataclass(frozen=True)
class Recipe:
    """What is made of every shape: the options of `data_prep.build.prepare` that shapes depend on."""

    resolution: int = 64
    mode: str = "solid"
    views: int = 0
    rig: str = "photo"
    renderer: str = "rays"
    seed: int = 0
    one_piece: float = 0.0


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
        if recipe.one_piece and item.split == "train":
            _check_parts(occupancy, item.source, recipe.one_piece)
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


def _check_parts(occupancy: NDArray[np.bool_], source: str, least: float) -> None:
    """Refuse a shape that lies in pieces: what a generator sees of them, it makes, too."""
    from voxgan.metrics.failures import largest_part

    share = largest_part(occupancy)
    if share < least:
        raise InputError(f"{source}: its largest part holds {share:.1%} of it, {least:.1%} are asked for (one_piece)")


def get_ready() -> None:
    """Load the libraries that the first shape needs: on a busy machine that takes seconds which are not its own."""
    build_shape(Item("parametric", "ready", "table", "train", "furniture:table:0"), Recipe(8))


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
