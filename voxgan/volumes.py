"""Volumes as arrays and files: to another resolution through the signed distance; npz and binvox."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import InputError, StorageError, SurfaceError
from voxgan.files import atomic_write, write_bytes
from voxgan.voxels import MAX_SIDE, Shapes, cell_centres, frame

__all__ = ["VOLUME_SUFFIXES", "read_volume", "resample", "without_specks", "write_binvox", "write_npz"]

VOLUME_SUFFIXES = (".npz", ".binvox")


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
    from scipy.ndimage import distance_transform_edt, map_coordinates

    inside = np.asarray(volume) > 0
    if inside.ndim != 3:
        raise InputError(f"a volume of shape {inside.shape}; expected three axes")
    if not inside.any():
        raise SurfaceError("the volume is empty: no cell is inside")
    spans = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    low = np.array([span[0] for span in spans], np.float64)
    high = np.array([span[-1] + 1 for span in spans], np.float64)
    scale, centre = frame(low, high)
    padded = np.pad(inside, 2)
    distance = np.where(padded, distance_transform_edt(padded) - 0.5, 0.5 - distance_transform_edt(~padded))
    where = cell_centres(resolution) * scale + centre - 0.5 + 2
    field = map_coordinates(distance, where.reshape(-1, 3).T, order=1, mode="nearest")
    grid = field.reshape((resolution,) * 3) > 0
    return Shapes(grid, np.array([scale]), centre[None])


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
    from scipy.ndimage import binary_dilation, label

    grid = np.array(occupancy, np.float32)
    inside = grid > level
    parts, _ = label(inside)
    sizes = np.bincount(parts.ravel())
    sizes[0] = inside.sum()
    specks = (sizes < share * inside.sum())[parts]
    if specks.any():
        kept = inside & ~specks
        around = binary_dilation(specks, np.ones((3, 3, 3))) & ~binary_dilation(kept)
        grid[specks | around] = 0
    outside, _ = label(np.pad(grid <= level, 1, constant_values=True))
    grid[(outside != outside[0, 0, 0])[1:-1, 1:-1, 1:-1] & (grid <= level)] = 1
    return grid


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
        content = path.read_bytes()
    except OSError as error:
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
        try:
            arrays = [archive.get(name) for name in ("occupancy", "scale", "centre")]
        except ValueError as error:
            if "pickle" in str(error):
                raise InputError("holds Python objects, not numbers; save plain arrays") from error
            raise
    grid, scale, centre = arrays
    assert grid is not None
    return Shapes(grid, scale, centre)


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
