"""Intersection over union of two occupancies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEVELS", "best_level", "iou"]

LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""From 0.05 to 0.95: where `best_level` looks."""


def iou(found: NDArray[Any], real: NDArray[Any], level: float = 0.5) -> NDArray[np.float64]:
    """Return intersection over union of each pair of shapes.

    Parameters
    ----------
    found, real : array, (B, R, R, R)
        Occupancy in [0, 1]; cells at or above `level` count as inside.
    level : float

    Returns
    -------
    array, (B,)
        1 where both are empty.

    Raises
    ------
    ValueError
        If the shapes of the arrays differ.

    Examples
    --------
    >>> a, b = np.zeros((2, 1, 4, 4, 4))
    >>> a[0, :2], b[0, 1:3] = 1, 1
    >>> iou(a, b).round(3)
    array([0.333])
    """
    if np.shape(found) != np.shape(real):
        raise ValueError(f"shapes {np.shape(found)} and {np.shape(real)} differ; expected two equal (B, R, R, R)")
    one, other = np.asarray(found) >= level, np.asarray(real) >= level
    axes = tuple(range(1, one.ndim))
    both, either = (one & other).sum(axes), (one | other).sum(axes)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def best_level(
    found: NDArray[Any], real: NDArray[Any], levels: Sequence[float] = LEVELS
) -> tuple[float, NDArray[np.float64]]:
    """Return the one level at which the mean intersection over union of a set is highest, and each pair's there.

    It flatters: the level is chosen on the very shapes that are scored. Report it beside the figure at ½.

    Parameters
    ----------
    found : array, (B, R, R, R)
        Occupancy in [0, 1].
    real : array, (B, R, R, R)
        Cells at or above ½ are inside at every level.
    levels : sequence of float

    Returns
    -------
    level : float
        The lowest of those that are equally good.
    ious : array, (B,)

    Raises
    ------
    ValueError
        If the shapes of the arrays differ, or no level is given.

    Examples
    --------
    >>> real = np.zeros((1, 4, 4, 4)); real[0, :2] = 1
    >>> best_level(0.3 * real, real)
    (0.05, array([1.]))
    """
    if not len(levels):
        raise ValueError("no level given; expected at least one")
    truth = np.asarray(real) >= 0.5
    scores = [iou(np.asarray(found) >= level, truth) for level in levels]
    best = int(np.argmax([score.mean() for score in scores]))
    return float(levels[best]), scores[best]
