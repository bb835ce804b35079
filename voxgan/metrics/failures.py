"""The ways in which a voxel generator fails at a glance: empty, full, one blob, shattered."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "failed", "failures", "largest_part"]

KINDS = ("empty", "full", "blob", "shattered")

_FULL = 0.5  # of the grid
_BLOB = 0.7  # of the bounding box; furniture fills a tenth to a half of it
_SHATTERED = 0.9  # of the mass in the largest part


def largest_part(occupancy: NDArray[Any], level: float = 0.5) -> float:
    """Return the share of the inside cells (R, R, R) that hang together with the largest part (26 neighbours).

    Examples
    --------
    >>> grid = np.zeros((8, 8, 8)); grid[:2], grid[7, 7, 7] = 1, 1
    >>> round(largest_part(grid), 3)
    0.992
    """
    from scipy.ndimage import label

    parts, count = label(np.asarray(occupancy) >= level, np.ones((3, 3, 3)))
    return float(np.bincount(parts.ravel())[1:].max() / (parts > 0).sum()) if count else 0.0


def failures(occupancy: NDArray[Any], level: float = 0.5) -> dict[str, float]:
    """Return the share of shapes that fail in each way.

    ``empty``: no cell inside. ``full``: more than half of the grid. ``blob``: more than 70 % of the own bounding box.
    ``shattered``: less than 90 % of the mass in the largest connected part.

    Parameters
    ----------
    occupancy : array, (B, R, R, R)
    level : float

    Returns
    -------
    dict of str to float
        Shares in [0, 1].

    Examples
    --------
    >>> failures(np.zeros((2, 8, 8, 8)))["empty"]
    1.0
    """
    solid = np.asarray(occupancy) >= level
    kinds = [kind for grid in solid for kind in _kinds_of(grid)]
    return {kind: kinds.count(kind) / len(solid) for kind in KINDS}


def failed(occupancy: NDArray[Any], level: float = 0.5) -> NDArray[np.bool_]:
    """Return which shapes fail in at least one of the ways of `failures`.

    Parameters
    ----------
    occupancy : array, (B, R, R, R)
    level : float

    Returns
    -------
    array, (B,)

    Examples
    --------
    >>> shapes = np.zeros((2, 8, 8, 8)); shapes[1, 2, 2:6, 2:6] = shapes[1, :6, 2, 2] = 1
    >>> failed(shapes).tolist()
    [True, False]
    """
    return np.array([bool(_kinds_of(grid)) for grid in np.asarray(occupancy) >= level], bool)


def _kinds_of(grid: NDArray[np.bool_]) -> list[str]:
    """Return the ways in which one shape fails."""
    mass = grid.sum()
    if not mass:
        return ["empty"]
    where = np.argwhere(grid)
    box = np.prod(where.max(0) - where.min(0) + 1)
    found = {"full": mass > _FULL * grid.size, "blob": mass > _BLOB * box, "shattered": largest_part(grid) < _SHATTERED}
    return [kind for kind, is_so in found.items() if is_so]
