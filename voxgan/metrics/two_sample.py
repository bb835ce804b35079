"""One-nearest-neighbour two-sample test: can samples be told from real shapes by what lies next to them?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.metrics.pairwise_iou import pairwise_iou

__all__ = ["iou_1nna", "one_nearest_neighbour_accuracy"]


def one_nearest_neighbour_accuracy(one_one: NDArray[Any], one_other: NDArray[Any], other_other: NDArray[Any]) -> float:
    """Return how often the nearest neighbour of a member of two sets, itself left out, is of its own set (1-NNA).

    For sets of equal size 0.5 is ideal: they cannot be told apart. Towards 1 they lie apart; below 0.5 the members of
    one are closer to the other's than those are among themselves, as when a model copies what it was trained on.
    Proposed by Lopez-Paz and Oquab 2017 ("Revisiting classifier two-sample tests"), used for shapes by Yang et al. 2019
    ("PointFlow"). Where a member's nearest of the own set and its nearest of the other are equally far, it counts half.

    Parameters
    ----------
    one_one : array, (N, N)
        Distances within the first set; the diagonal is not looked at.
    one_other : array, (N, M)
        Distances from the first set to the second.
    other_other : array, (M, M)
        Distances within the second set.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If the matrices do not fit each other, hold NaN, or have fewer than two members a set.

    Examples
    --------
    >>> one, other = np.array([0.0, 1.0]), np.array([0.1, 5.0])
    >>> one_nearest_neighbour_accuracy(*(abs(a[:, None] - b) for a, b in ((one, one), (one, other), (other, other))))
    0.0
    """
    own, across, others = (np.asarray(matrix, np.float64) for matrix in (one_one, one_other, other_other))
    if across.ndim != 2 or own.shape != (across.shape[0],) * 2 or others.shape != (across.shape[1],) * 2:
        raise ValueError(
            f"distances {own.shape}, {across.shape} and {others.shape}; expected (N, N), (N, M) and (M, M)"
        )
    if min(across.shape) < 2:
        raise ValueError(f"{across.shape[0]} and {across.shape[1]} members; expected at least 2 in each set")
    if any(np.isnan(matrix).any() for matrix in (own, across, others)):
        raise ValueError("distances hold NaN; expected numbers")
    right = _right(own, across.min(1)) + _right(others, across.min(0))
    return right / sum(across.shape)


def _right(within: NDArray[np.float64], across: NDArray[np.float64]) -> float:
    """Return how many members are closer to their own set (N, N) than to the other (N,), ties as halves."""
    within = within.copy()
    np.fill_diagonal(within, np.inf)
    closest = within.min(1)
    return float((closest < across).sum() + 0.5 * (closest == across).sum())


def iou_1nna(samples: NDArray[Any], real: NDArray[Any], level: float = 0.5) -> float:
    """Return the 1-NNA of samples and real shapes; the distance is one minus intersection over union.

    Parameters
    ----------
    samples : array, (N, R, R, R)
        Occupancy in [0, 1]; cells at or above `level` count as inside.
    real : array, (M, R, R, R)
        As many as there are samples, for 0.5 to be ideal.
    level : float

    Returns
    -------
    float
        In [0, 1]; see `one_nearest_neighbour_accuracy`.

    Raises
    ------
    ValueError
        If the resolutions differ or a set has fewer than two shapes.

    Examples
    --------
    >>> shapes = np.zeros((4, 4, 4, 4))
    >>> shapes[0, :2], shapes[1, :3], shapes[2, :, :2], shapes[3, :, :3] = 1, 1, 1, 1
    >>> iou_1nna(shapes[:2], shapes[2:]), iou_1nna(shapes, shapes)
    (1.0, 0.0)
    """
    return one_nearest_neighbour_accuracy(
        1 - pairwise_iou(samples, level=level),
        1 - pairwise_iou(samples, real, level),
        1 - pairwise_iou(real, level=level),
    )
