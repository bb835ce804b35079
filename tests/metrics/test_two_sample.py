"""1-NNA: half for two draws of one distribution, one for two that lie apart, zero for copies."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from voxgan.metrics.iou import iou
from voxgan.metrics.two_sample import iou_1nna, one_nearest_neighbour_accuracy


def accuracy(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return one_nearest_neighbour_accuracy(cdist(one, one), cdist(one, other), cdist(other, other))


def brute_force(distances: NDArray[np.float64], owners: NDArray[np.int64]) -> float:
    """Share of members whose nearest is of their own set; where nearest ones of both sets are equally far, a half."""
    right = 0.0
    for member, owner in enumerate(owners):
        others = np.arange(len(owners)) != member
        closest = distances[member, others].min()
        found = set(owners[others & (distances[member] == closest)])
        right += 0.5 if len(found) == 2 else float(owner in found)
    return right / len(owners)


def test_two_halves_of_one_set_cannot_be_told_apart() -> None:
    points = np.random.default_rng(0).standard_normal((800, 3))
    assert 0.45 < accuracy(points[:400], points[400:]) < 0.55


def test_two_far_sets_are_told_apart() -> None:
    points = np.random.default_rng(0).standard_normal((60, 3))
    assert accuracy(points[:30], points[30:] + 100) == 1


def test_copies_lie_next_to_what_they_were_copied_from() -> None:
    points = np.random.default_rng(0).standard_normal((40, 3))
    assert accuracy(points, points) == 0
    assert accuracy(points, points[::-1]) == 0


@pytest.mark.parametrize(("n", "m"), [(30, 30), (12, 25), (2, 9)])
@pytest.mark.parametrize("grid", [False, True])  # on a grid many distances are equal
def test_by_brute_force(n: int, m: int, grid: bool) -> None:
    rng = np.random.default_rng(n)
    points = rng.integers(0, 4, (n + m, 2)).astype(float) if grid else rng.standard_normal((n + m, 2))
    expected = brute_force(cdist(points, points), np.repeat([0, 1], [n, m]))
    assert accuracy(points[:n], points[n:]) == pytest.approx(expected, abs=1e-12)
    assert accuracy(points[n:], points[:n]) == pytest.approx(expected, abs=1e-12)


def test_a_tie_between_the_sets_counts_half() -> None:
    assert one_nearest_neighbour_accuracy(*np.ones((3, 4, 4))) == 0.5


def test_the_diagonal_is_not_looked_at_and_nothing_is_changed() -> None:
    points = np.random.default_rng(0).standard_normal((20, 3))
    own, across, other = (
        cdist(a, b) for a, b in ((points[:9], points[:9]), (points[:9], points[9:]), (points[9:], points[9:]))
    )
    expected = one_nearest_neighbour_accuracy(own, across, other)
    np.fill_diagonal(own, -1)
    before = own.copy()
    assert one_nearest_neighbour_accuracy(own, across, other) == expected
    np.testing.assert_array_equal(own, before)


def test_shapes_by_iou() -> None:
    grids = np.random.default_rng(0).random((13, 5, 5, 5))
    distances = np.array([[1 - iou(a[None], b[None], 0.6)[0] for b in grids] for a in grids])
    expected = brute_force(distances, np.repeat([0, 1], [6, 7]))
    assert iou_1nna(grids[:6], grids[6:], 0.6) == pytest.approx(expected, abs=1e-12)
    assert iou_1nna(grids, grids) == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^distances \(3, 3\), \(2, 3\) and \(3, 3\); expected \(N, N\), \(N, M\)"):
        one_nearest_neighbour_accuracy(np.ones((3, 3)), np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"^1 and 3 members; expected at least 2 in each set$"):
        one_nearest_neighbour_accuracy(np.ones((1, 1)), np.ones((1, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"^distances hold NaN; expected numbers$"):
        one_nearest_neighbour_accuracy(np.ones((2, 2)), np.full((2, 2), np.nan), np.ones((2, 2)))
    with pytest.raises(ValueError, match="of one R"):
        iou_1nna(np.ones((2, 4, 4, 4)), np.ones((2, 5, 5, 5)))
