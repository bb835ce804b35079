"""Inception score: are samples of one class each, and of all classes together?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["inception_score"]


def inception_score(probabilities: NDArray[Any]) -> float:
    """Return exp(E KL(p(y|x) ‖ p(y))) of a classifier's answers for a set of samples.

    Salimans et al. 2016 (arXiv:1606.03498), there with a classifier of images. p(y) is the mean answer for the set.

    Parameters
    ----------
    probabilities : array, (N, K)
        Of K classes for each sample; rows sum to 1.

    Returns
    -------
    float
        From 1, where all samples get the same answer, to K, where each gets one class for sure and all classes come
        equally often.

    Raises
    ------
    ValueError
        If there is no sample, or a row is no distribution.

    Examples
    --------
    >>> inception_score(np.eye(4)), inception_score(np.full((5, 4), 0.25))
    (4.0, 1.0)
    """
    rows = np.asarray(probabilities, np.float64)
    if rows.ndim != 2 or not rows.size:
        raise ValueError(f"probabilities {rows.shape}; expected (N, K)")
    if not ((rows >= 0).all() and np.allclose(rows.sum(1), 1, atol=1e-4)):
        raise ValueError("a row of probabilities is negative somewhere, or does not sum to 1")
    mean = rows.mean(0)
    ratio = np.divide(rows, mean, out=np.ones_like(rows), where=rows > 0)
    return float(np.exp((rows * np.log(ratio)).sum(1).mean()))
