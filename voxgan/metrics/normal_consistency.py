"""Normal consistency of two surfaces, by points on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.metrics.chamfer import checked_points

__all__ = ["normal_consistency"]


def normal_consistency(
    one: NDArray[Any], one_normals: NDArray[Any], other: NDArray[Any], other_normals: NDArray[Any]
) -> float:
    """Return the mean |cos| of the angle between the normals of each point and of the nearest one of the other surface.

    The mean of both directions (Mescheder et al. 2019, arXiv:1812.03828). Two surfaces that have nothing to do with
    each other have ½ on average.

    Parameters
    ----------
    one, other : array, (P, 3) and (Q, 3)
    one_normals, other_normals : array, (P, 3) and (Q, 3)
        Unit vectors, of either sign.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If points and normals are not equally many, or not (P, 3) and finite.

    Examples
    --------
    >>> points, up, aside = np.zeros((1, 3)), np.array([[0.0, 0, 1]]), np.array([[1.0, 0, 0]])
    >>> normal_consistency(points, up, points, -up), normal_consistency(points, up, points, aside)
    (1.0, 0.0)
    """
    from scipy.spatial import cKDTree

    a, b = checked_points(one, 2), checked_points(other, 2)
    m, n = checked_points(one_normals, 2), checked_points(other_normals, 2)
    if len(a) != len(m) or len(b) != len(n):
        raise ValueError(f"{len(a)} and {len(b)} points with {len(m)} and {len(n)} normals; expected one for each")
    there = np.abs((m * n[cKDTree(b).query(a)[1]]).sum(1)).mean()
    back = np.abs((n * m[cKDTree(a).query(b)[1]]).sum(1)).mean()
    return float((there + back) / 2)
