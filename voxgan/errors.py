"""Every error that voxgan raises on purpose, and the exit status that the command gives it.

::

    VoxganError
    ├── UsageError              2   a wrong option, name or combination
    │   └── MissingExtraError   2   an optional package is not installed
    ├── InputError              3   what was given cannot be used
    │   ├── ImageError              a photo
    │   ├── MeshError               a mesh file, or a mesh
    │   ├── SurfaceError            a grid that has no surface (empty, full, not finite)
    │   ├── DatasetError            an HDF5 data set, or a folder that should become one
    │   └── CheckpointError         weights, a run folder, a training state
    ├── StorageError            4   reading or writing failed
    ├── RankError               4   a process of a training on many was lost
    └── DivergedError           5   training left the finite numbers

A message is one line: what came, what was expected, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "DatasetError",
    "DivergedError",
    "ImageError",
    "InputError",
    "MeshError",
    "MissingExtraError",
    "RankError",
    "StorageError",
    "SurfaceError",
    "UsageError",
    "VoxganError",
    "nearest",
]


class VoxganError(Exception):
    """Base of all errors that voxgan raises on purpose.

    Attributes
    ----------
    exit_status : int
        What the command ``voxgan`` ends with when this error reaches it.
    told : bool
        Whether another process of the same training tells it already.
    """

    exit_status = 1
    told = False


class UsageError(VoxganError, ValueError):
    """A wrong option, name or combination of options."""

    exit_status = 2


class MissingExtraError(UsageError):
    """An optional package is not installed.

    Parameters
    ----------
    package : str
        The import name that was not found.
    extra : str
        The extra of ``voxgan-3d`` that brings it.
    purpose : str
        What it is needed for.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package {package}: run  pip install 'voxgan-3d[{extra}]'")


class InputError(VoxganError, ValueError):
    """What was given cannot be used."""

    exit_status = 3


class ImageError(InputError):
    """A photo that cannot be used."""


class MeshError(InputError):
    """A mesh file, or a mesh, that cannot be used."""


class SurfaceError(InputError):
    """A grid that has no surface: empty, full, or not finite."""


class DatasetError(InputError):
    """A data set that cannot be used, or sources that cannot become one."""


class CheckpointError(InputError):
    """Weights, a run folder or a training state that cannot be used."""


class StorageError(VoxganError, OSError):
    """Reading or writing a file failed."""

    exit_status = 4


class RankError(VoxganError, RuntimeError):
    """A process of a training on many was lost, or the processes did not find each other."""

    exit_status = 4


class DivergedError(VoxganError, ArithmeticError):
    """Training left the finite numbers."""

    exit_status = 5


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what is known, naming the nearest first, for the end of an error message.

    Examples
    --------
    >>> nearest("widht", ["width", "batch"])
    "did you mean 'width'? known: batch, width"
    >>> nearest("zzz", ["width", "batch"])
    'known: batch, width'
    """
    options = sorted(known)
    close = difflib.get_close_matches(name, options, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(options)}"
