"""`Item` and `Loaded`, and what the sources share: splits, turning to the house's axes, framing.

A source's own coordinates are those of its files. In the unit cube z is up and the front looks to −y; `Item` says
which axes of the source these are, and `Loaded.transform` leads back.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxgan.axes import AXES, front_of, turn, turned
from voxgan.dataset import MODES
from voxgan.errors import InputError, UsageError, nearest
from voxgan.volumes import read_volume, resample
from voxgan.voxels import Shapes

if TYPE_CHECKING:
    import trimesh

__all__ = [
    "AXES",
    "Item",
    "Loaded",
    "Options",
    "check_axes",
    "chosen_axes",
    "filled",
    "load_grid",
    "load_mesh",
    "load_volume",
    "with_splits",
]

_GLB_FRONTS = {"-y": "z", "y": "-z"}  # said of the mesh as it stands z up → in the file's own axes


@dataclass(frozen=True)
class Options:
    """What `find_items` was asked for, as a source's ``find`` needs it; see there."""

    count: int = 100
    rotations: int = 1
    test_share: float = 0.1
    up: str | None = None
    front: str | None = None
    labels: Path | None = None


@dataclass(frozen=True)
class Loaded:
    """One shape as it was loaded.

    Attributes
    ----------
    shapes : Shapes
        One shape of 0 and 1.
    transform : array, (3, 4)
        Point of the source's own coordinates = transform @ [x, y, z, 1] of the unit cube's; undoes scale, centre and
        turning. Of files whose volumes have no scale of their own, the source's coordinates count cells.
    mesh : trimesh.Trimesh, optional
        In the unit cube's coordinates, where the source is a mesh.
    distance : array, (R, R, R), optional
        Signed distance in edges of the unit cube, negative inside; where the mode is ``sdf``.
    pictures : array, (V, 256, 256, 4), uint8, optional
        The source's own pictures, straight alpha.
    cameras : array, (V, 7), optional
        Azimuth, elevation, distance, field of view, roll, shift x, shift y of each; NaN where they are not known.
    """

    shapes: Shapes
    transform: NDArray[np.float64]
    mesh: trimesh.Trimesh | None = None
    distance: NDArray[np.float32] | None = None
    pictures: NDArray[np.uint8] | None = None
    cameras: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One shape to be prepared: small, picklable, and loaded only in the process that builds it.

    Attributes
    ----------
    kind : str
        Which source loads it.
    name, class_name, split : str
        As they will stand in the data set. No two shapes have one name, from which cameras and materials follow.
    source : str
        The file, or the recipe (``furniture:chair:7``).
    up, front : str
        Where up and front point in the source's own coordinates, one of `AXES`.
    pictures : str
        A folder of renderings, or a photo, that belong to it; empty if there is none.
    model : str
        What the turned copies of one model share; a limit counts them once. Empty where every shape is a model.
    """

    kind: str
    name: str
    class_name: str
    split: str
    source: str
    up: str = "z"
    front: str = "-y"
    pictures: str = ""
    model: str = ""

    def load(self, resolution: int, mode: str = "solid", views: int = 0) -> Loaded:
        """Return the shape at `resolution`.

        Parameters
        ----------
        resolution : int
            Cells along a side.
        mode : {"solid", "surface", "sdf"}
            Solid occupancy; occupancy of the surface's cells alone; or solid occupancy with the signed distance.
        views : int
            How many of the source's own pictures to read, at most; 0 for none.

        Raises
        ------
        InputError
            If the shape, or a picture that belongs to it, cannot be used.
        StorageError
            If a file cannot be read.
        """
        if mode not in MODES:
            raise UsageError(f"mode {mode!r}; {nearest(mode, MODES)}")
        module = importlib.import_module(f"{__package__}.{self.kind}")
        loaded: Loaded = module.load(self, resolution, mode, views)
        edges = np.abs(loaded.transform[:, :3]).max(axis=0)
        if not np.isfinite(loaded.transform).all() or not (edges > 0).all():
            raise InputError(f"{self.source}: lengths of {edges.max():g} are no lengths to count in; scale it")
        return loaded


def check_axes(up: str | None, front: str | None) -> None:
    """Refuse what is no axis, and an up and a front on one line."""
    for name, axis in (("up", up), ("front", front)):
        if axis is not None and axis not in AXES:
            raise UsageError(f"{name} axis {axis!r}; expected one of {', '.join(AXES)}")
    if up is not None and front is not None and up[-1] == front[-1]:
        across = ", ".join(axis for axis in AXES if axis[-1] != up[-1])
        raise UsageError(f"up axis {up!r} and front axis {front!r} lie on one line; expected a front of {across}")


def chosen_axes(options: Options, up: str = "z", front: str = "-y", path: str = "") -> tuple[str, str]:
    """Return up and front for a file, from what was asked for and what is known of its source.

    Examples
    --------
    >>> chosen_axes(Options()), chosen_axes(Options(up="y")), chosen_axes(Options(front="x"), "y", "-z")
    (('z', '-y'), ('y', 'z'), ('y', 'x'))
    >>> chosen_axes(Options(up="z", front="-y"), path="a.glb")
    ('y', 'z')
    """
    if path.lower().endswith(".glb"):
        asked = options.front or "z"
        return "y", _GLB_FRONTS.get(asked, asked)
    up = options.up or up
    if options.front is not None:
        check_axes(up, options.front)
        return up, options.front
    return up, front if front[-1] != up[-1] else front_of(up)


def with_splits(items: Sequence[Item], test_share: float) -> list[Item]:
    """Give a split to the items that have none, class by class: the last of each class become the test."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.class_name, []).append(item)
    found = []
    for group in groups.values():
        unnamed = sum(not item.split for item in group)
        tests = max(int(unnamed * test_share), 1) if test_share > 0 and unnamed > 1 else 0
        left = unnamed
        for item in group:
            if not item.split:
                item = replace(item, split="test" if left <= tests else "train")
                left -= 1
            found.append(item)
    return found


# ------------------------------------------------------------------------------------------------ framing
def load_mesh(mesh: trimesh.Trimesh, item: Item, resolution: int, mode: str) -> Loaded:
    """Turn a mesh in its source's own coordinates, frame it, and find its cells."""
    from voxgan.voxelisation import signed_distance, voxelise

    rotation = turn(item.up, item.front)
    if not np.array_equal(rotation, np.eye(3)):
        mesh.vertices = np.asarray(mesh.vertices) @ rotation.T
    distance = None
    if mode == "sdf":
        shapes, distance = signed_distance(mesh, resolution)
    else:
        shapes = voxelise(mesh, resolution, mode)
    scale, centre = _frame_of(shapes)
    mesh.vertices = (np.asarray(mesh.vertices) - centre) / scale  # trimesh would leave out steps below 1e-8
    transform = np.column_stack([rotation.T * scale, rotation.T @ centre])
    return Loaded(shapes, transform, mesh, distance)


def load_grid(
    grid: NDArray[Any],
    item: Item,
    resolution: int,
    mode: str,
    cell: float = 1.0,
    corner: Iterable[float] = (0.0, 0.0, 0.0),
) -> Loaded:
    """Turn a volume in its source's own axes, frame it, and bring it to the resolution.

    `cell` and `corner` are the edge of a cell and the place of the volume's corner in the source's own coordinates;
    by default these count cells.
    """
    rotation = turn(item.up, item.front)
    facing = turned(grid, rotation)
    shapes = resample(facing, resolution)
    scale, centre = _frame_of(shapes)
    distance = None
    if mode == "sdf":
        from voxgan.volumes import grid_distance

        distance = np.asarray(grid_distance(shapes.occupancy[0] > 0.5), np.float32)
    elif mode == "surface":
        from voxgan.volumes import surface_cells

        shapes = Shapes(surface_cells(shapes.occupancy[0] > 0.5), shapes.scale, shapes.centre)
    middle = rotation.T @ (centre - np.array(facing.shape) / 2) + np.array(grid.shape) / 2
    transform = np.column_stack([rotation.T * (scale * cell), middle * cell + np.array(list(corner), np.float64)])
    return Loaded(shapes, transform, None, distance)


def load_volume(path: str | Path, item: Item, resolution: int, mode: str, fill: bool = False) -> Loaded:
    """Read an npz or binvox file, and bring it to the resolution; `fill` its cavities if it may be a shell."""
    volume = read_volume(path)
    if len(volume) != 1:
        raise InputError(f"{path}: holds {len(volume)} shapes, expected one; save each in a file of its own")
    grid = volume.occupancy[0] >= 0.5
    if fill:
        grid = filled(grid)
    scale = 1.0 if volume.scale is None else float(volume.scale[0])
    centre = np.zeros(3) if volume.centre is None else volume.centre[0]
    return load_grid(grid, item, resolution, mode, scale / len(grid), centre - scale / 2)


def filled(grid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a volume without cavities: what was a closed shell is solid."""
    from scipy.ndimage import binary_fill_holes

    solid: NDArray[np.bool_] = binary_fill_holes(grid)
    return solid


def _frame_of(shapes: Shapes) -> tuple[float, NDArray[np.float64]]:
    if shapes.scale is None or shapes.centre is None:
        raise InputError("a shape without its frame; expected scale and centre")
    return float(shapes.scale[0]), shapes.centre[0]
