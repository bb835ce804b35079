"""Minimum matching distance and coverage: how near samples come to real shapes, and to how many of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["coverage", "minimum_matching_distance"]


def minimum_matching_distance(distances: NDArray[Any]) -> float:
    """Return the mean distance from each real shape to the sample nearest to it (MMD).

    Achlioptas et al. 2018 (arXiv:1707.02392), as Yang et al. 2019 (arXiv:1906.12320) use it.

    Parameters
    ----------
    distances : array, (N, M)
        From each of N samples to each of M real shapes.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it is no matrix, is empty or holds NaN.

    Examples
    --------
    >>> minimum_matching_distance(np.array([[1.0, 5.0], [2.0, 3.0]]))
    2.0
    """
    return float(_checked(distances).min(0).mean())


def coverage(distances: NDArray[Any]) -> float:
    """Return the share of real shapes that are the nearest one of at least one sample (COV).

    Achlioptas et al. 2018 (arXiv:1707.02392). Real shapes taken as samples reach about ½, not 1: that row belongs
    beside it. Of real shapes that are equally near, the first counts.

    Parameters
    ----------
    distances : array, (N, M)
        From each of N samples to each of M real shapes.

    Returns
    -------
    float
        In (0, 1].

    Raises
    ------
    ValueError
        If it is no matrix, is empty or holds NaN.

    Examples
    --------
    >>> coverage(np.array([[1.0, 5.0], [2.0, 3.0]]))
    0.5
    """
    matrix = _checked(distances)
    return float(len(np.unique(matrix.argmin(1))) / matrix.shape[1])


def _checked(distances: NDArray[Any]) -> NDArray[np.float64]:
    matrix = np.asarray(distances, np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"distances {matrix.shape}; expected (N, M), samples by real shapes")
    if np.isnan(matrix).any():
        raise ValueError("distances hold NaN; expected numbers")
    return matrix
