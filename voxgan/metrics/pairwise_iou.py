"""Intersection over union of every shape of one set with every shape of another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_of_pairs", "mean_pairwise_iou", "pairwise_iou"]

_FLOATS = 1 << 24  # in the pieces of both sets together: 64 MB; sums of so many ones are exact in float32
_ROWS = 1024  # shapes of a set at once: 8 MB for the matrix of two such blocks


def pairwise_iou(one: NDArray[Any], other: NDArray[Any] | None = None, level: float = 0.5) -> NDArray[np.float64]:
    """Return intersection over union of every shape of one set with every shape of the other.

    The cells in common are counted by products of matrices, piece by piece: beyond the arrays that come (contiguous, or
    they are copied) and the one that is returned, about 100 MB are in use, however many shapes there are. The counts
    are exact.

    Parameters
    ----------
    one : array, (N, R, R, R)
        Occupancy in [0, 1]; cells at or above `level` count as inside.
    other : array, (M, R, R, R), optional
        `one` itself if left out.
    level : float

    Returns
    -------
    array, (N, M)
        1 where both are empty.

    Raises
    ------
    ValueError
        If the grids of the two sets differ in resolution, or are no grids.

    Examples
    --------
    >>> shapes = np.zeros((3, 4, 4, 4))
    >>> shapes[0, :2], shapes[1, 1:3], shapes[2, 3:] = 1, 1, 1
    >>> pairwise_iou(shapes).round(3)
    array([[1.   , 0.333, 0.   ],
           [0.333, 1.   , 0.   ],
           [0.   , 0.   , 1.   ]])
    """
    same = other is None
    first = np.asarray(one)
    second = first if other is None else np.asarray(other)
    if first.ndim != 4 or second.ndim != 4 or first.shape[1:] != second.shape[1:]:
        raise ValueError(f"shapes {first.shape} and {second.shape}; expected (N, R, R, R) and (M, R, R, R) of one R")
    found = np.empty((len(first), len(second)))
    for i in range(0, len(first), _ROWS):
        for j in range(i if same else 0, len(second), _ROWS):
            rows, columns = slice(i, i + _ROWS), slice(j, j + _ROWS)
            found[rows, columns] = _block(first[rows], second[columns], level)
            if same and j > i:
                found[columns, rows] = found[rows, columns].T
    return found


def _block(one: NDArray[Any], other: NDArray[Any], level: float) -> NDArray[np.float64]:
    """Return the matrix for sets that are few enough for all of their products to be held."""
    one, other = one.reshape(len(one), -1), other.reshape(len(other), -1)
    both = np.zeros((len(one), len(other)))
    mass, other_mass = np.zeros((len(one), 1)), np.zeros(len(other))
    step = max(1, _FLOATS // (len(one) + len(other)))
    for start in range(0, one.shape[1], step):
        cells = slice(start, start + step)
        a, b = (one[:, cells] >= level).astype(np.float32), (other[:, cells] >= level).astype(np.float32)
        both += a @ b.T
        mass[:, 0] += a.sum(1)
        other_mass += b.sum(1)
        del a, b  # or they would be there still while the next ones are made
    either = mass + other_mass - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def mean_pairwise_iou(shapes: NDArray[Any], level: float = 0.5) -> float:
    """Return the mean intersection over union of all pairs of different shapes of a set: 1 if all are the same.

    The lower, the more the shapes of the set differ. Noise is low too, so this says something only beside a measure of
    quality, and beside the same figure for real shapes.

    Parameters
    ----------
    shapes : array, (N, R, R, R)
        Occupancy in [0, 1]; cells at or above `level` count as inside.
    level : float

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If there are fewer than two shapes.

    Examples
    --------
    >>> shapes = np.zeros((3, 4, 4, 4))
    >>> shapes[0, :2], shapes[1, 1:3], shapes[2, 3:] = 1, 1, 1
    >>> round(mean_pairwise_iou(shapes), 3)
    0.111
    """
    if len(shapes) < 2:
        raise ValueError(f"{len(shapes)} shapes make no pair; expected at least 2")
    return mean_of_pairs(pairwise_iou(shapes, level=level))


def mean_of_pairs(ious: NDArray[np.float64]) -> float:
    """Return the mean off the diagonal of a set's `pairwise_iou`, (N, N) with N from 2 up.

    Examples
    --------
    >>> mean_of_pairs(np.array([[1.0, 0.25], [0.25, 1.0]]))
    0.25
    """
    count = len(ious)
    return float((ious.sum() - np.trace(ious)) / (count * (count - 1)))
