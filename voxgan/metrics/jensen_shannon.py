"""Jensen-Shannon divergence between where two collections of shapes have their points."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.metrics.chamfer import checked_points

__all__ = ["CELLS", "jensen_shannon_divergence", "point_jsd"]

CELLS = 28
"""Along a side of the unit cube, as in the literature."""


def jensen_shannon_divergence(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the Jensen-Shannon divergence of two distributions, in bits.

    ½ KL(p ‖ m) + ½ KL(q ‖ m) with m = ½ (p + q).

    Parameters
    ----------
    one, other : array, (K,)
        Counts or probabilities, at least 0; they are divided by their sums.

    Returns
    -------
    float
        In [0, 1]; 0 for equal distributions, 1 for those that share nothing.

    Raises
    ------
    ValueError
        If they differ in length, hold a negative number or one that is not finite, or sum to 0.

    Examples
    --------
    >>> jensen_shannon_divergence([1, 1], [2, 2]), jensen_shannon_divergence([1, 0], [0, 1])
    (0.0, 1.0)
    """
    p, q = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if p.shape != q.shape or p.ndim != 1:
        raise ValueError(f"distributions of shapes {p.shape} and {q.shape}; expected two equal (K,)")
    for side in (p, q):
        if not np.isfinite(side).all() or (side < 0).any() or side.sum() <= 0:
            raise ValueError("a distribution that is negative somewhere, not finite or all zero; expected counts")
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return max(0.0, float(_entropy(middle) - (_entropy(p) + _entropy(q)) / 2))


def _entropy(p: NDArray[np.float64]) -> float:
    there = p[p > 0]
    return float(-(there * np.log2(there)).sum())


def point_jsd(samples: NDArray[Any], real: NDArray[Any]) -> float:
    """Return the divergence between where, in the unit cube, the points of samples and of real shapes lie.

    The cube is divided into 28³ cells, and the points of all shapes of a collection are counted (Achlioptas et al.
    2018, arXiv:1707.02392). It compares the mean shapes only: it cannot see whether single samples are good.

    Parameters
    ----------
    samples : array, (N, P, 3)
    real : array, (M, Q, 3)
        Points within [−½, ½]³; those outside are counted in the outermost cells.

    Returns
    -------
    float
        In [0, 1], in bits.

    Raises
    ------
    ValueError
        If a collection is empty, not (N, P, 3) or not finite.

    Examples
    --------
    >>> points = np.random.default_rng(0).random((2, 100, 3)) - 0.5
    >>> point_jsd(points, points)
    0.0
    """
    return jensen_shannon_divergence(_counts(samples), _counts(real))


def _counts(points: NDArray[Any]) -> NDArray[np.int64]:
    places = np.clip(np.floor((checked_points(points, 3).reshape(-1, 3) + 0.5) * CELLS), 0, CELLS - 1).astype(np.int64)
    return np.bincount(places @ (CELLS**2, CELLS, 1), minlength=CELLS**3)
