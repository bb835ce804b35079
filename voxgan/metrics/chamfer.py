"""Chamfer distance of two sets of points, and of every pair of two collections of such sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["chamfer", "chamfer_matrix", "checked_points"]

_ENTRIES = 1 << 19  # distances held at once: they stay in a processor's cache
_ENTRIES_OF_DEVICE = 1 << 26


def chamfer(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the Chamfer distance of two sets of points.

    The mean squared distance from each point of one set to the nearest of the other, both directions summed
    (Fan, Su and Guibas 2017, arXiv:1612.00603, with means for sums, as Yang et al. 2019, arXiv:1906.12320, report it).

    Parameters
    ----------
    one : array, (P, 3)
    other : array, (Q, 3)

    Returns
    -------
    float
        In squared units of the points.

    Raises
    ------
    ValueError
        If a set is empty, not (P, 3) or not finite.

    Examples
    --------
    >>> chamfer(np.zeros((1, 3)), np.array([[1.0, 0, 0], [3, 0, 0]]))
    6.0
    """
    from scipy.spatial import cKDTree

    a, b = checked_points(one, 2), checked_points(other, 2)
    there, back = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
    return float((there**2).mean() + (back**2).mean())


def checked_points(points: NDArray[Any], ndim: int) -> NDArray[np.float64]:
    """Return points (P, 3), or sets of them (N, P, 3) for `ndim` 3, or say what is wrong with them."""
    found = np.asarray(points, np.float64)
    expected = "(P, 3)" if ndim == 2 else "(N, P, 3)"
    if found.ndim != ndim or found.shape[-1] != 3 or not found.size:
        raise ValueError(f"points of shape {found.shape}; expected {expected}, at least one")
    if not np.isfinite(found).all():
        raise ValueError("points hold NaN or infinity; expected finite numbers")
    return found


def chamfer_matrix(
    one: NDArray[Any],
    other: NDArray[Any] | None = None,
    device: torch.device | str = "cpu",
    report: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Return the Chamfer distance of each set of one collection with each of another, or of the same.

    The distances are those of `chamfer` in single precision, without approximations: all points of a collection are put
    into boxes, and for each set of the other collection only those points are looked at that may be nearest to a point
    in a box. What does not depend on which set a point is of is so done once for all sets: ``benchmarks/chamfer.py``
    has the figures beside a search tree for each pair.

    Parameters
    ----------
    one : array, (N, P, 3)
    other : array, (M, Q, 3), optional
        `one` itself if left out; the matrix is symmetric then.
    device : torch.device or str
        Where to compute, on coordinates counted from the middle of a box.
    report : callable, optional
        Told how many searches of how many are done.

    Returns
    -------
    array, (N, M)
        In squared units of the points.

    Raises
    ------
    ValueError
        If a collection is empty, not (N, P, 3) or not finite.

    Examples
    --------
    >>> one = np.array([[[0.0, 0, 0]], [[2.0, 0, 0]]])
    >>> chamfer_matrix(one, one + 1).round(6).tolist()
    [[6.0, 22.0], [6.0, 6.0]]
    """
    first = checked_points(one, 3)
    second = first if other is None else checked_points(other, 3)
    total = len(first) if other is None else len(first) + len(second)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if report is not None:
            report(done, total)

    there = _directed(first, second, torch.device(device), step)
    if other is None:
        np.fill_diagonal(there, 0)
        return there + there.T
    return there + _directed(second, first, torch.device(device), step).T


def _directed(
    queries: NDArray[np.float64], targets: NDArray[np.float64], device: torch.device, step: Callable[[], None]
) -> NDArray[np.float64]:
    """Return the mean over the points of each query set of the squared distance to each target set, (N, M)."""
    boxes = _Boxes(queries, device)
    found = np.empty((len(queries), len(targets)))
    for column, target in enumerate(targets):
        found[:, column] = boxes.means(torch.tensor(target, dtype=torch.float32, device=device))
        step()
    return found


class _Boxes:
    """All points of a collection, in boxes of equally many."""

    def __init__(self, sets: NDArray[np.float64], device: torch.device) -> None:
        self.count, self.size = sets.shape[:2]
        every = sets.reshape(-1, 3)
        # As many boxes as points in each: more boxes take longer to look through, wider ones have more candidates
        rows = _leaves(every, int(np.ceil(np.log2(len(every)) / 2)))
        owners = rows // self.size
        owners[rows >= len(every)] = self.count  # what fills up the last boxes belongs to none
        placed = every[np.minimum(rows, len(every) - 1)]
        low, high = placed.min(1), placed.max(1)
        middle = (low + high) / 2
        self.middle = torch.tensor(middle, dtype=torch.float32, device=device)
        self.half = torch.tensor((high - low) / 2 * (1 + 1e-6) + 1e-7, dtype=torch.float32, device=device)
        points = torch.tensor(placed - middle[:, None], dtype=torch.float32, device=device)
        self.squares = (points**2).sum(2)
        # (boxes, 4, size): a product with (−2t, ‖t‖²) is the squared distance to t, less the point's own square
        self.points = torch.cat([points, torch.ones_like(points[..., :1])], dim=2).transpose(1, 2).contiguous()
        self.owners = owners.reshape(-1)
        self.at_once = _ENTRIES if device.type == "cpu" else _ENTRIES_OF_DEVICE

    def means(self, target: Tensor) -> NDArray[np.float64]:
        """Return the mean squared distance of each set's points to the nearest point of `target` (Q, 3)."""
        nearest = torch.empty_like(self.squares)
        counts, candidates = self._candidates(target)
        order = counts.argsort()
        start, sizes = 0, counts[order].cpu().numpy()
        while start < len(order):
            stop = self._stop(sizes, start)
            boxes = order[start:stop]
            points = target[candidates[boxes, : int(sizes[stop - 1])]] - self.middle[boxes, None]
            terms = torch.cat([-2 * points, (points**2).sum(2, keepdim=True)], dim=2)
            nearest[boxes] = torch.bmm(terms, self.points[boxes]).amin(1)
            start = stop
        distances = (nearest + self.squares).clamp_(min=0).flatten().cpu().numpy()
        sums = np.bincount(self.owners, distances, self.count + 1)[:-1]
        found: NDArray[np.float64] = sums / self.size
        return found

    def _candidates(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return how many points of `target` may be nearest to a point of each box, and which, (boxes, most).

        A point is none of them if it is farther from all of the box than another is from each of the box's points.
        Rows are filled up with candidates.
        """
        least = torch.zeros(len(self.middle), len(target), device=target.device)
        most = torch.zeros_like(least)
        for axis in range(3):
            apart = (target[None, :, axis] - self.middle[:, None, axis]).abs_()
            half = self.half[:, axis, None]
            most.add_((apart + half).square_())
            least.add_(apart.sub_(half).clamp_(min=0).square_())
        closest = target[most.argmin(1)] - self.middle
        offsets = torch.cat([-2 * closest, (closest**2).sum(1, keepdim=True)], dim=1)[:, None]
        bound = (torch.bmm(offsets, self.points)[:, 0] + self.squares).amax(1, keepdim=True)
        kept = least <= bound * (1 + 1e-4) + 1e-6
        counts = kept.sum(1)
        boxes, places = kept.nonzero(as_tuple=True)
        firsts = counts.cumsum(0) - counts
        found = places[firsts][:, None].repeat(1, int(counts.max()))
        found[boxes, torch.arange(len(boxes), device=target.device) - firsts[boxes]] = places
        return counts, found

    def _stop(self, sizes: NDArray[np.int64], start: int) -> int:
        """Return where a group of boxes with similarly many candidates ends."""
        stop = start + 1
        per = self.points.shape[2]
        while stop < len(sizes) and (stop - start + 1) * per * int(sizes[stop]) <= self.at_once:
            stop += 1
        return stop


def _leaves(points: NDArray[np.float64], depth: int) -> NDArray[np.int64]:
    """Return rows of 2^depth boxes, (boxes, size), each split at the median of its longest side.

    Numbers from len(points) up fill the last boxes.
    """
    count = -(-len(points) // (1 << depth)) << depth
    rows = np.arange(count)[None]
    for _ in range(depth):
        placed = points[np.minimum(rows, len(points) - 1)]
        axis = np.ptp(placed, axis=1).argmax(1)
        along = np.take_along_axis(placed, axis[:, None, None], 2)[..., 0]
        half = rows.shape[1] // 2
        split = np.argpartition(along, half, axis=1)
        rows = np.take_along_axis(rows, split, 1).reshape(-1, half)
    return rows
