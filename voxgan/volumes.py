"""Volumes as arrays and files: surface, signed distance, another resolution; npz and binvox."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import InputError, StorageError, SurfaceError
from voxgan.files import atomic_write, write_bytes
from voxgan.voxels import MAX_SIDE, Shapes, cell_centres, frame

__all__ = [
    "VOLUME_SUFFIXES",
    "grid_distance",
    "read_volume",
    "resample",
    "surface_cells",
    "without_specks",
    "write_binvox",
    "write_npz",
]

VOLUME_SUFFIXES = (".npz", ".binvox")

_MAX_CELLS = 1 << 29  # of all shapes of one npz file
_MAX_BYTES = 1 << 30


def resample(volume: NDArray[Any], resolution: int = 64) -> Shapes:
    """Bring a binary volume to another resolution by interpolating its signed distance.

    Parameters
    ----------
    volume : array, (X, Y, Z)
        Non-zero is inside; axes (x, y, z), z up. Empty margins are cut away.
    resolution : int
        Cells along a side of the result.

    Returns
    -------
    Shapes
        One shape of 0 and 1, centred, its longest side `FILL` of the cube; its scale and centre are in cells of the
        volume, counted from the volume's corner.

    Raises
    ------
    SurfaceError
        If the volume is empty.

    Examples
    --------
    >>> small = np.zeros((30, 30, 30)); small[3:27, 3:27, 3:27] = 1
    >>> round(float(resample(small, 64).occupancy.sum()) / 60**3, 2)
    1.0
    """
    from scipy.ndimage import map_coordinates

    inside = np.asarray(volume) > 0
    if inside.ndim != 3:
        raise InputError(f"a volume of shape {inside.shape}; expected three axes")
    if not inside.any():
        raise SurfaceError("the volume is empty: no cell is inside")
    spans = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    low = np.array([span[0] for span in spans], np.float64)
    high = np.array([span[-1] + 1 for span in spans], np.float64)
    scale, centre = frame(low, high)
    filled = inside[tuple(slice(span[0], span[-1] + 1) for span in spans)]  # beyond it all is outside, however far
    depth = _depth(np.pad(filled, 2))
    where = cell_centres(resolution) * scale + centre - 0.5 + 2 - low
    field = map_coordinates(depth, where.reshape(-1, 3).T, order=1, mode="nearest")
    grid = field.reshape((resolution,) * 3) > 0
    return Shapes(grid, np.array([scale]), centre[None])


def surface_cells(grid: NDArray[Any]) -> NDArray[np.bool_]:
    """Return the inside cells that share a face with a cell outside; what lies beyond the grid is outside.

    Parameters
    ----------
    grid : array, (R, R, R)
        Inside from 0.5 on.

    Returns
    -------
    array, (R, R, R), bool

    Raises
    ------
    InputError
        If the grid has not three axes.

    Examples
    --------
    >>> int(surface_cells(np.ones((4, 4, 4))).sum())
    56
    """
    inside = _inside(grid)
    padded = np.pad(inside, 1)
    deep = inside.copy()
    for axis in range(3):
        for start in (0, 2):
            beside = tuple(slice(start, start + n) if a == axis else slice(1, -1) for a, n in enumerate(inside.shape))
            deep &= padded[beside]
    surface: NDArray[np.bool_] = inside & ~deep
    return surface


def grid_distance(grid: NDArray[Any]) -> NDArray[np.float32]:
    """Return the signed distance of every cell's centre to the surface of a grid.

    The surface lies half way between the centres of a cell inside and a cell outside; beyond the grid is outside. For
    a mesh, `voxgan.voxelisation.signed_distance` is the more exact.

    Parameters
    ----------
    grid : array, (R, R, R)
        Inside from 0.5 on.

    Returns
    -------
    array, (R, R, R), float32
        In edges of the unit cube, negative inside.

    Raises
    ------
    InputError
        If the grid is no cube.
    SurfaceError
        If the grid is empty.

    Examples
    --------
    >>> grid = np.zeros((8, 8, 8))
    >>> grid[:, :, :4] = 1
    >>> (grid_distance(grid)[4, 4, 2:6] * 8).tolist()
    [-1.5, -0.5, 0.5, 1.5]
    """
    inside = _inside(grid)
    if len(set(inside.shape)) != 1:
        raise InputError(f"a grid of shape {inside.shape}; expected a cube (R, R, R)")
    if not inside.any():
        raise SurfaceError("the grid is empty: no cell is inside, so there is no surface to be away from")
    depth = _depth(np.pad(inside, 1))[1:-1, 1:-1, 1:-1]
    return (depth / -len(inside)).astype(np.float32)


def _inside(grid: NDArray[Any]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.asarray(grid) >= 0.5
    if inside.ndim != 3:
        raise InputError(f"a grid of shape {inside.shape}; expected three axes")
    return inside


def _depth(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how far each cell's centre lies below the surface, in cells; above, it is negative."""
    depth = _away(inside)
    depth -= _away(~inside)
    depth += np.where(inside, -0.5, 0.5)
    return depth


def _away(cells: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return each cell's distance to the nearest one that is not among `cells`: 0 there."""
    from scipy.ndimage import distance_transform_edt

    # The same numbers as scipy's own distances, which it computes by way of three volumes in double precision.
    nearest = distance_transform_edt(cells, return_distances=False, return_indices=True)
    squares = np.zeros(cells.shape, np.int32)
    for step, place in zip(nearest, np.ogrid[tuple(slice(n) for n in cells.shape)], strict=True):
        step -= place
        step *= step
        squares += step
    return np.sqrt(squares)


def without_specks(occupancy: NDArray[Any], level: float = 0.5, share: float = 0.01) -> NDArray[np.float32]:
    """Drop parts that float free of the rest and are small, and fill cavities that nothing can reach.

    Parameters
    ----------
    occupancy : array, (R, R, R)
        Probabilities in [0, 1].
    level : float
        Where the surface lies.
    share : float
        A part (cells joined by faces) with less than this share of all inside cells is a speck.

    Returns
    -------
    array, (R, R, R)
        A copy; away from specks and cavities it is untouched.

    Examples
    --------
    >>> grid = np.zeros((16, 16, 16), np.float32)
    >>> grid[2:12, 2:12, 2:12], grid[5, 5, 5], grid[14, 14, 14] = 0.9, 0.1, 0.9
    >>> cleaned = without_specks(grid)
    >>> float(cleaned[5, 5, 5]), float(cleaned[14, 14, 14])
    (1.0, 0.0)
    """
    from scipy.ndimage import label

    grid = np.array(occupancy, np.float32)
    inside = grid > level
    parts, _ = label(inside)
    sizes = np.bincount(parts.ravel())
    sizes[0] = inside.sum()
    specks = (sizes < share * inside.sum())[parts]
    if specks.any():
        kept = inside & ~specks
        around = _grown(specks, corners=True) & ~_grown(kept, corners=False)
        grid[specks | around] = 0
    outside, _ = label(np.pad(grid <= level, 1, constant_values=True))
    grid[(outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1] & (grid <= level)] = 1
    return grid


def _grown(cells: NDArray[np.bool_], corners: bool) -> NDArray[np.bool_]:
    """Return the cells and all that share a face with one; with `corners` also those that share an edge or a corner."""
    grown = cells.copy()
    for axis in range(3):
        source = grown.copy() if corners else cells
        ahead, behind = [slice(None)] * 3, [slice(None)] * 3
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        grown[tuple(ahead)] |= source[tuple(behind)]
        grown[tuple(behind)] |= source[tuple(ahead)]
    return grown


def write_npz(path: str | Path, shapes: Shapes) -> None:
    """Write shapes as a compressed npz with ``occupancy`` and, where known, ``scale`` and ``centre``."""
    extra = {} if shapes.scale is None else {"scale": shapes.scale, "centre": shapes.centre}
    with atomic_write(path) as partial, partial.open("wb") as file:  # given a name, numpy would add .npz to a .NPZ
        np.savez_compressed(file, occupancy=shapes.occupancy, **extra)  # type: ignore[arg-type]


def write_binvox(path: str | Path, shapes: Shapes) -> None:
    """Write one shape, cut at level 0.5, as a binvox file (cells in the order x, z, y, y fastest)."""
    grid = shapes._single("binvox") >= 0.5
    flat = grid.transpose(0, 2, 1).ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    lengths = np.diff(np.append(starts, len(flat)))
    runs: list[int] = []
    for value, length in zip(flat[starts], lengths, strict=True):
        for part in (255,) * (int(length) // 255) + ((int(length) % 255,) if length % 255 else ()):
            runs += (int(value), part)
    edge = 1.0 if shapes.scale is None else float(shapes.scale[0])
    centre = np.zeros(3) if shapes.centre is None else shapes.centre[0]
    corner = " ".join(repr(float(c)) for c in centre - edge / 2)
    side = " ".join([str(shapes.resolution)] * 3)
    header = f"#binvox 1\ndim {side}\ntranslate {corner}\nscale {edge!r}\ndata\n"
    write_bytes(path, header.encode() + bytes(runs))


def read_volume(path: str | Path) -> Shapes:
    """Read an npz or binvox file.

    Returns
    -------
    Shapes
        At the file's own resolution.

    Raises
    ------
    InputError
        If the file is damaged or holds no such grid.
    StorageError
        If it cannot be read.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise StorageError(f"cannot read {path}: it is no file; expected a volume, npz or binvox")
        if path.exists() and path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: over {_MAX_BYTES >> 20} MB; expected one volume, save shapes one by one")
        content = path.read_bytes()
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return (_parse_npz if path.suffix.lower() == ".npz" else _parse_binvox)(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        raise InputError(f"{path}: not a readable {path.suffix} volume ({error}); export it again") from error


def _parse_npz(content: bytes) -> Shapes:
    if not content.startswith(b"PK"):  # numpy would take it for a pickle, and advise to load that
        raise InputError("not an npz file; write one with numpy.savez_compressed, or export it again")
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        if "occupancy" not in archive:
            raise InputError(f"holds no array 'occupancy'; it has {sorted(archive)}")
        names = [name for name in ("occupancy", "scale", "centre") if name in archive]
        for name in names:
            _check_declared(archive, name)
        arrays = {name: archive[name] for name in names}
    with np.errstate(over="ignore"):  # what is beyond single precision becomes infinite, and is refused
        return Shapes(arrays["occupancy"], arrays.get("scale"), arrays.get("centre"))


def _check_declared(archive: Any, name: str) -> None:
    """Refuse, before it is unpacked, an array that is no numbers or larger than what is there."""
    entry = archive.zip.getinfo(name if name in archive.zip.namelist() else f"{name}.npy")
    with archive.zip.open(entry) as file:
        first = np.lib.format.read_magic(file) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    if dtype.hasobject:
        raise InputError("holds Python objects, not numbers; save plain arrays")
    if dtype.kind not in "biuf":
        raise InputError(f"its {name!r} is {dtype}; expected numbers")
    cells = math.prod(shape)
    if min(shape, default=1) < 0 or cells > _MAX_CELLS or cells * dtype.itemsize > entry.file_size:
        raise InputError(f"its {name!r} declares {shape} numbers, more than it holds or than {_MAX_CELLS} are read")


def _parse_binvox(content: bytes) -> Shapes:
    head, mark, body = content.partition(b"data\n")
    if not content.startswith(b"#binvox") or not mark:
        raise InputError("not a binvox file; expected the header '#binvox 1'")
    fields = {line.split()[0]: line.split()[1:] for line in head.decode("ascii").splitlines() if line.split()}
    sides = [int(value) for value in fields["dim"]]
    if len(set(sides)) != 1 or len(sides) != 3 or not 1 <= sides[0] <= MAX_SIDE:
        raise InputError(f"a grid of {sides}; expected a cube of at most {MAX_SIDE}³")
    pairs = np.frombuffer(body, np.uint8)
    if len(pairs) % 2 or int(pairs[1::2].sum(dtype=np.int64)) != sides[0] ** 3:
        raise InputError(f"its runs do not fill {sides[0]}³ cells; the file is cut short or damaged")
    flat = np.repeat(pairs[::2] > 0, pairs[1::2])
    grid = flat.reshape(sides).transpose(0, 2, 1)
    edge = float(fields.get("scale", ["1"])[0])
    corner = np.array([float(value) for value in fields.get("translate", ["0", "0", "0"])])
    return Shapes(grid, np.array([edge]), (corner + edge / 2)[None])
