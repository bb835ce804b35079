"""F-score of two sets of surface points at a distance."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from voxgan.metrics.chamfer import checked_points

__all__ = ["f_score"]


def f_score(found: NDArray[Any], real: NDArray[Any], distance: float) -> float:
    """Return the harmonic mean of precision and recall at a distance.

    Precision is the share of found points that have a real one within the distance, recall that of real points that
    have a found one (Knapitsch et al. 2017; for shapes from photos: Tatarchenko et al. 2019, arXiv:1905.03678).

    Parameters
    ----------
    found : array, (P, 3)
    real : array, (Q, 3)
    distance : float
        In units of the points, above 0. The density of the points bounds what can be told apart.

    Returns
    -------
    float
        In [0, 1]; 0 where nothing is within the distance.

    Raises
    ------
    ValueError
        If a set is empty, not (P, 3) or not finite, or the distance is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> round(f_score(np.zeros((1, 3)), np.array([[0.1, 0, 0], [3, 0, 0]]), 0.2), 3)
    0.667
    """
    from scipy.spatial import cKDTree

    if not distance > 0:
        raise ValueError(f"distance {distance}; expected a number above 0")
    a, b = checked_points(found, 2), checked_points(real, 2)
    precision = float((cKDTree(b).query(a)[0] <= distance).mean())
    recall = float((cKDTree(a).query(b)[0] <= distance).mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
