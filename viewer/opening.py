"""One photo, mesh or volume of a stranger, opened: what runs in the processes of `viewer.reading`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan import mesh, volumes
from voxgan.axes import front_of, turn, turned
from voxgan.errors import InputError, VoxganError

__all__ = ["Photo", "Solid", "open_file"]

_SIZE = 256  # of a photo, as the networks take it
_SMALL = 128  # of its thumbnail


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as the networks are shown it: the object cut out, centred, on white.

    Attributes
    ----------
    image : array, (3, 256, 256), float32
        Red, green, blue in [0, 1].
    thumbnail : array, (128, 128, 3), uint8
        The same, small, for people to see what was understood.
    """

    image: NDArray[np.float32]
    thumbnail: NDArray[np.uint8]

    def __post_init__(self) -> None:
        _check(self.image, (3, _SIZE, _SIZE), np.float32)
        _check(self.thumbnail, (_SMALL, _SMALL, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class Solid:
    """A mesh or volume as cells.

    Attributes
    ----------
    occupancy : array, (R, R, R), bool
        Axes x, y, z, z up; centred, its longest side `voxgan.voxels.FILL` of the cube.
    """

    occupancy: NDArray[np.bool_]

    def __post_init__(self) -> None:
        _check(self.occupancy, (len(self.occupancy),) * 3, np.bool_)


def _check(array: Any, shape: tuple[int, ...], dtype: type) -> None:
    """Refuse what a process that was taken over might send."""
    if (
        not isinstance(array, np.ndarray)
        or array.shape != shape
        or array.dtype != dtype
        or not np.isfinite(array).all()
    ):
        raise ValueError(f"expected {np.dtype(dtype)} of shape {shape}")


def open_file(kind: str, path: str, resolution: int = 64, up: str = "z") -> Photo | Solid:
    """Open one file as ``Photo`` or ``Solid``; this runs in the processes of a `Reader`."""
    try:
        return _photo(path) if kind == "Photo" else _solid(Path(path), resolution, up)
    except MemoryError:
        raise
    except VoxganError as error:
        if path not in str(error):
            error.args = (f"{path}: {error}",)
        raise
    except Exception as error:
        raise InputError(f"{path}: cannot be used ({type(error).__name__}: {error}); give another file") from error


def _photo(path: str) -> Photo:
    from voxgan.images import photo

    image = photo(path, _SIZE)
    small = image.reshape(3, _SMALL, _SIZE // _SMALL, _SMALL, _SIZE // _SMALL).mean(axis=(2, 4))
    return Photo(image, np.rint(small.transpose(1, 2, 0) * 255).astype(np.uint8))


def _solid(path: Path, resolution: int, up: str) -> Solid:
    from voxgan.voxelisation import voxelise

    if path.suffix.lower() in volumes.VOLUME_SUFFIXES:
        volume = volumes.read_volume(path)
        if len(volume) != 1:
            raise InputError(f"{path}: holds {len(volume)} shapes, expected one; save each in a file of its own")
        shapes = volumes.resample(turned(volume.occupancy[0] >= 0.5, turn(up, front_of(up))), resolution)
    else:
        surface = mesh.read_mesh(path)
        if path.suffix.lower() != ".glb":
            surface.vertices = np.asarray(surface.vertices) @ turn(up, front_of(up)).T
        shapes = voxelise(surface, resolution)
    occupancy = shapes.occupancy[0] >= 0.5
    if not occupancy.any():
        raise InputError(f"{path}: no cell is inside; the shape is too thin or empty")
    return Solid(occupancy)
