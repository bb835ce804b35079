"""Kullback-Leibler divergence between Gaussians, and between the Gaussians fitted to two sets of features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["feature_kl", "gaussian_kl"]

_RIDGE = 0.1  # of the mean variance of the real features, added to both covariances


def gaussian_kl(
    mean: NDArray[Any], covariance: NDArray[Any], other_mean: NDArray[Any], other_covariance: NDArray[Any]
) -> float:
    """Return KL(N(mean, covariance) ‖ N(other_mean, other_covariance)), in nats.

    ½ (tr(S₂⁻¹S₁) + (μ₂ − μ₁)ᵀ S₂⁻¹ (μ₂ − μ₁) − D + ln |S₂| − ln |S₁|).

    Parameters
    ----------
    mean, other_mean : array, (D,)
    covariance, other_covariance : array, (D, D)
        Positive definite.

    Returns
    -------
    float
        At least 0.

    Raises
    ------
    ValueError
        If the sizes do not fit each other, or a covariance is not positive definite.

    Examples
    --------
    >>> round(gaussian_kl([1.0], [[1.0]], [0.0], [[1.0]]), 6)
    0.5
    """
    m, n = np.asarray(mean, np.float64), np.asarray(other_mean, np.float64)
    s, t = np.asarray(covariance, np.float64), np.asarray(other_covariance, np.float64)
    if m.ndim != 1 or m.shape != n.shape or s.shape != (len(m),) * 2 or t.shape != s.shape:
        got = f"means {m.shape} and {n.shape}, covariances {s.shape} and {t.shape}"
        raise ValueError(f"{got}; expected (D,) and (D, D)")
    try:
        root, other_root = np.linalg.cholesky(s), np.linalg.cholesky(t)
    except np.linalg.LinAlgError as error:
        raise ValueError("a covariance is not positive definite: give more rows, or fewer numbers in each") from error
    trace = (np.linalg.solve(other_root, root) ** 2).sum()
    apart = (np.linalg.solve(other_root, n - m) ** 2).sum()
    logs = 2 * (np.log(np.diag(other_root)).sum() - np.log(np.diag(root)).sum())
    return max(0.0, float(trace + apart - len(m) + logs) / 2)


def feature_kl(samples: NDArray[Any], real: NDArray[Any]) -> float:
    """Return the divergence of the Gaussian of real features from that of samples' features, KL(real ‖ samples).

    It punishes what real shapes have and samples lack: features in which samples do not vary. As with the Fréchet
    distance, few rows make it too large, so that only figures of equal N, M and D can be compared. A tenth of the mean
    variance of real features is added to the diagonal of both covariances: a feature that is hardly ever more than 0 in
    one set, and sometimes in the other, would decide all.

    Parameters
    ----------
    samples : array, (N, D)
    real : array, (M, D)

    Returns
    -------
    float
        In nats, at least 0.

    Raises
    ------
    ValueError
        If a set has no more rows than features, the widths differ, or a value is not finite.

    Examples
    --------
    >>> rows = np.random.default_rng(0).normal(size=(50, 3))
    >>> feature_kl(rows, rows), feature_kl(rows + 3, rows) > 10
    (0.0, True)
    """
    a, b = np.asarray(samples, np.float64), np.asarray(real, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features {a.shape} and {b.shape}; expected (N, D) and (M, D) of one width D")
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(f"{len(a)} and {len(b)} rows of {a.shape[1]} features; expected more rows than features")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features hold NaN or infinity; expected finite numbers")
    spread, other_spread = (np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (a, b))
    ridge = _RIDGE * max(float(np.trace(other_spread)) / a.shape[1], np.finfo(np.float64).tiny) * np.eye(a.shape[1])
    return gaussian_kl(b.mean(0), other_spread + ridge, a.mean(0), spread + ridge)
