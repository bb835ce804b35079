"""Intersection over union of two occupancies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["iou"]


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
