"""Fréchet distance between two sets of features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["frechet_distance"]


def frechet_distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the (squared) Fréchet distance between the Gaussians fitted to two sets of features.

    ‖μ₁ − μ₂‖² + tr(S₁ + S₂ − 2 (S₁S₂)^½), with means μ and covariances S of the rows, as Heusel et al. 2017 ("GANs
    trained by a two time-scale update rule") compare images.

    Means and covariances of a few rows make it too large: two sets drawn from the same distribution are apart, the more
    so the fewer the rows and the wider the features. Only figures of equal N, M and D can be compared, so report them
    beside it, together with the distance between two sets of real shapes.

    Parameters
    ----------
    one : array, (N, D)
    other : array, (M, D)

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    ValueError
        If a set has fewer than two rows or a value that is not finite, or if the widths differ.

    Notes
    -----
    The trace of (S₁S₂)^½ is the sum of the singular values of S₁^½ S₂^½. Both roots come from eigenvalues of symmetric
    matrices; those that are zero but for rounding, as when N ≤ D, are left out. The square root of a product that is
    not symmetric, complex in general, is never taken.

    Examples
    --------
    >>> features = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    >>> round(frechet_distance(features, features + [3, 4]), 6)
    25.0
    """
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"features {first.shape} and {second.shape}; expected (N, D) and (M, D) of one width D")
    if min(len(first), len(second)) < 2:
        raise ValueError(f"{len(first)} and {len(second)} rows; a covariance needs at least 2 in each set")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("features hold NaN or infinity; expected finite numbers")
    root, variance = _root(first)
    other_root, other_variance = _root(second)
    shared = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    apart = ((first.mean(0) - second.mean(0)) ** 2).sum()
    return max(0.0, float(apart + variance + other_variance - 2 * shared))


def _root(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return a root (K, D) of the covariance, with rootᵀ root = S and rank K, and the trace of S."""
    centred = features - features.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(features) - 1))
    kept = values > values.max(initial=0) * len(values) * np.finfo(np.float64).eps
    return np.sqrt(values[kept])[:, None] * vectors[:, kept].T, float(values[kept].sum())
