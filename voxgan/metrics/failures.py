"""The ways in which a voxel generator fails at a glance: empty, full, one blob, shattered."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "failures", "largest_part"]

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
    counts = dict.fromkeys(KINDS, 0)
    for grid in np.asarray(occupancy) >= level:
        mass = grid.sum()
        if not mass:
            counts["empty"] += 1
            continue
        where = np.argwhere(grid)
        box = np.prod(where.max(0) - where.min(0) + 1)
        counts["full"] += int(mass > _FULL * grid.size)
        counts["blob"] += int(mass > _BLOB * box)
        counts["shattered"] += int(largest_part(grid) < _SHATTERED)
    return {kind: count / len(occupancy) for kind, count in counts.items()}
