"""Average precision where nobody knows how a real shape is turned: the best over turns, mirrors and small moves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["aligned_average_precision", "central", "filling", "orientations"]

_CELLS = 1 << 20  # of moved shapes looked at together


def orientations(grid: NDArray[Any]) -> NDArray[Any]:
    """Return a grid (R, R, R) under all 48 permutations and flips of its axes, (48, R, R, R); first as it is.

    Examples
    --------
    >>> len(np.unique(orientations(np.arange(8).reshape(2, 2, 2)).reshape(48, -1), axis=0))
    48
    """
    return np.stack(
        [
            np.flip(np.transpose(grid, axes), tuple(axis for axis in range(3) if flips[axis]))
            for axes in itertools.permutations(range(3))
            for flips in itertools.product((False, True), repeat=3)
        ]
    )


def filling(occupancy: NDArray[Any], resolution: int, level: float = 0.5) -> NDArray[np.float32]:
    """Return a grid with its inside scaled to fill another grid: the longest side of its box becomes all of the grid.

    Parameters
    ----------
    occupancy : array, (R, R, R)
        In [0, 1].
    resolution : int
        Side of the result.
    level : float
        What lies at or above it decides the box.

    Returns
    -------
    array, (resolution, resolution, resolution)
        Means over the cells that each new cell covers, exactly; the box in the middle of the other axes. A grid with
        nothing at the level is scaled as a whole.

    Examples
    --------
    >>> grid = np.zeros((8, 8, 8)); grid[2:6, 3:5, 3:5] = 1
    >>> filling(grid, 4)[:, 1:3, 1:3].min()
    np.float32(1.0)
    """
    where = np.argwhere(np.asarray(occupancy) >= level)
    low, high = (where.min(0), where.max(0) + 1) if len(where) else (np.zeros(3), np.array(np.shape(occupancy)))
    return _scaled(occupancy, resolution, (low + high) / 2, float((high - low).max()))


def central(occupancy: NDArray[Any], resolution: int, share: float) -> NDArray[np.float32]:
    """Return the middle of a grid scaled to another grid: a cube of this share of its side.

    Where shapes are known to fill that cube, what is only probable need not be guessed from a level, as `filling`
    would: a chair's legs, where each cell is doubtful, are not cut off.

    Parameters
    ----------
    occupancy : array, (R, R, R)
        In [0, 1].
    resolution : int
        Side of the result.
    share : float
        In (0, 1].

    Returns
    -------
    array, (resolution, resolution, resolution)
        Means over the cells that each new cell covers, exactly.

    Examples
    --------
    >>> grid = np.zeros((8, 8, 8)); grid[2:6, 2:6, 2:6] = 0.25
    >>> central(grid, 2, 0.5).ravel().tolist() == [0.25] * 8
    True
    """
    return _scaled(occupancy, resolution, np.array(np.shape(occupancy)) / 2, share * len(occupancy))


def _scaled(occupancy: NDArray[Any], resolution: int, middle: NDArray[np.float64], side: float) -> NDArray[np.float32]:
    """Return the cube of this side about the middle as a grid of this resolution."""
    grid = np.asarray(occupancy, np.float64)
    for axis in range(3):
        edges = middle[axis] - side / 2 + side * np.arange(resolution + 1) / resolution
        grid = np.moveaxis(np.tensordot(_overlaps(edges, grid.shape[axis]), grid, (1, axis)), 0, axis)
    return grid.astype(np.float32)


def _overlaps(edges: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Return what share of each new cell, between two edges, each old cell [i, i + 1] is, (new, old)."""
    low, high = np.maximum(edges[:-1, None], np.arange(side)), np.minimum(edges[1:, None], np.arange(side) + 1)
    shares: NDArray[np.float64] = np.clip(high - low, 0, None) / (edges[1] - edges[0])
    return shares


def aligned_average_precision(found: NDArray[Any], real: NDArray[Any], shift: float = 0.1) -> float:
    """Return the highest average precision over all permutations and flips of the axes, and moves along them.

    The rule under which 3D-GAN (Wu et al. 2016, §4.3, after Girdhar et al. 2016) scores shapes made from the IKEA
    photos, whose models stand any way round: 48 turns and mirrors, each moved by up to a tenth of the side. It is
    generous, to floors as well: print them beside it, under the same rule.

    Parameters
    ----------
    found : array, (R, R, R)
        Predicted occupancy.
    real : array, (R, R, R)
        Cells above ½ are inside, at least one.
    shift : float
        Largest move along each axis, as a share of the side; moves are of whole cells. What leaves the grid is lost.

    Returns
    -------
    float
        In [0, 1]. Voxels of equal prediction are taken together, as in `voxgan.metrics.average_precision`.

    Raises
    ------
    ValueError
        If the grids are not two equal cubes, the prediction is not finite, or the real shape is empty.

    Examples
    --------
    >>> real = np.zeros((10, 10, 10)); real[2:5, 1:8, 3:5] = 1
    >>> aligned_average_precision(real.transpose(2, 0, 1)[::-1], real)
    1.0
    """
    scores, truth = np.asarray(found, np.float64), np.asarray(real) > 0.5
    if scores.shape != truth.shape or scores.ndim != 3 or len(set(scores.shape)) != 1:
        raise ValueError(f"grids {scores.shape} and {truth.shape}; expected two equal (R, R, R)")
    if not np.isfinite(scores).all():
        raise ValueError("the prediction holds NaN or infinity; expected finite numbers")
    if not truth.any():
        raise ValueError("the real shape is empty; expected at least one cell inside")
    side, most = len(truth), int(shift * len(truth) + 1e-9)
    order = np.argsort(-scores.reshape(-1), kind="stable")
    ranked = scores.reshape(-1)[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)  # of each run of equal values
    padded = np.pad(truth, most)
    moves = list(itertools.product(range(2 * most + 1), repeat=3))
    at_once = max(1, _CELLS // truth.size)
    total = int(truth.sum())
    best = 0.0
    for start in range(0, len(moves), at_once):
        # The real shape moved, which is the prediction moved the other way
        ways = [tuple(slice(begin, begin + side) for begin in move) for move in moves[start : start + at_once]]
        moved = np.stack([padded[way].reshape(-1) for way in ways])
        for places in _turned(order, side):
            best = max(best, float(_precision(moved[:, places], last, total).max()))
    return best


def _turned(order: NDArray[np.int64], side: int) -> Iterator[NDArray[np.int64]]:
    """Yield, for each of 48 turns and mirrors, where the cells of this order lie after it."""
    places = np.unravel_index(order, (side,) * 3)
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            turned = [side - 1 - places[axis] if flip else places[axis] for axis, flip in zip(axes, flips, strict=True)]
            yield np.ravel_multi_index(turned, (side,) * 3).astype(np.int64)


def _precision(hits: NDArray[np.bool_], last: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    """Return the average precision of rows of hits, best first, in runs that end at `last`."""
    counts = np.cumsum(hits, axis=1, dtype=np.int32)[:, last].astype(np.float32)
    found: NDArray[np.float64] = np.einsum("ij,ij,j->i", np.diff(counts, axis=1, prepend=0), counts, 1 / (last + 1.0))
    return found / total
