"""IoU, average precision, F-score, EMD, normal consistency: boxes and small sets with known answers."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from voxgan.metrics.average_precision import average_precision
from voxgan.metrics.earth_movers import earth_movers_distance
from voxgan.metrics.f_score import f_score
from voxgan.metrics.iou import LEVELS, best_level, iou
from voxgan.metrics.normal_consistency import normal_consistency


def box(low: tuple[int, int, int], high: tuple[int, int, int], side: int = 16) -> np.ndarray:
    grid = np.zeros((1, side, side, side))
    grid[0, low[0] : high[0], low[1] : high[1], low[2] : high[2]] = 1
    return grid


# ------------------------------------------------------------------------------------------------- IoU
@pytest.mark.parametrize("shift", range(5))
def test_iou_of_boxes(shift: int) -> None:
    one, other = box((2, 2, 2), (6, 8, 10)), box((2 + shift, 2, 2), (6 + shift, 8, 10))
    assert iou(one, other)[0] == pytest.approx((4 - shift) / (4 + shift))


def test_iou_takes_the_level() -> None:
    soft = 0.6 * box((0, 0, 0), (8, 16, 16))
    real = box((0, 0, 0), (8, 16, 16))
    assert iou(soft, real, 0.5)[0] == 1
    assert iou(soft >= 0.7, real)[0] == 0


def test_best_level_finds_the_one_that_separates() -> None:
    real = np.concatenate([box((0, 0, 0), (8, 8, 8)), box((4, 4, 4), (12, 12, 12))])
    soft = np.where(real > 0, 0.62, 0.38)
    level, ious = best_level(soft, real)
    assert 0.38 < level <= 0.62
    np.testing.assert_array_equal(ious, [1, 1])


def test_best_level_is_one_for_the_whole_set_and_no_worse_than_any() -> None:
    rng = np.random.default_rng(0)
    real = rng.random((4, 8, 8, 8)) < 0.3
    soft = np.clip(0.5 * real + rng.random(real.shape) * 0.5, 0, 1)
    level, ious = best_level(soft, real)
    by_hand = {at: float(iou(soft >= at, real).mean()) for at in LEVELS}
    assert ious.mean() == max(by_hand.values()) == by_hand[level]
    with pytest.raises(ValueError, match="no level"):
        best_level(soft, real, ())


# -------------------------------------------------------------------------------------------------- AP
@pytest.mark.parametrize("values", [2, 5, 100_000])
def test_average_precision_is_that_of_scikit_learn(values: int) -> None:
    rng = np.random.default_rng(values)
    real = rng.random((6, 9, 9, 9)) < 0.2
    found = np.floor((0.4 * real + rng.random(real.shape)) * values) / values
    expected = [average_precision_score(r.ravel(), f.ravel()) for r, f in zip(real, found, strict=True)]
    np.testing.assert_allclose(average_precision(found, real), expected, rtol=1e-12)


def test_average_precision_depends_on_the_order_only() -> None:
    rng = np.random.default_rng(1)
    real, found = rng.random((3, 8, 8, 8)) < 0.3, rng.random((3, 8, 8, 8))
    np.testing.assert_allclose(average_precision(found**5, real), average_precision(found, real), rtol=1e-12)


def test_average_precision_at_its_ends() -> None:
    real = box((2, 2, 2), (6, 6, 6))
    share = real.mean()
    assert average_precision(real, real)[0] == 1
    assert average_precision(np.full_like(real, 0.7), real)[0] == pytest.approx(share)
    assert average_precision(1 - real, real)[0] == pytest.approx(share)  # all that is right comes last, and together
    assert np.isnan(average_precision(real, 0 * real)[0])


def test_average_precision_refuses() -> None:
    with pytest.raises(ValueError, match="two equal"):
        average_precision(np.zeros((1, 4, 4, 4)), np.zeros((1, 5, 5, 5)))
    with pytest.raises(ValueError, match="NaN or infinity"):
        average_precision(np.full((1, 4, 4, 4), np.nan), np.zeros((1, 4, 4, 4)))


# ------------------------------------------------------------------------------------------------- F-score
def test_f_score_by_hand() -> None:
    found = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [9, 0, 0]])
    real = np.array([[0.0, 0, 0.1], [1, 0, 0.1]])
    assert f_score(found, real, 0.2) == pytest.approx(2 * 0.5 * 1 / 1.5)  # precision 2 of 4, recall 2 of 2
    assert f_score(found, real, 0.05) == 0
    assert f_score(found, found, 1e-9) == 1


def test_f_score_is_symmetric_and_grows_with_the_distance() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.random((100, 3)), rng.random((80, 3))
    scores = [f_score(a, b, distance) for distance in (0.01, 0.05, 0.1, 0.3)]
    assert scores == sorted(scores)
    assert f_score(b, a, 0.1) == pytest.approx(f_score(a, b, 0.1))
    with pytest.raises(ValueError, match="above 0"):
        f_score(a, b, 0)


# ----------------------------------------------------------------------------------------------------- EMD
def test_earth_movers_distance_is_the_best_of_all_matchings() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random((6, 3)), rng.random((6, 3))
    best = min(np.linalg.norm(a - b[list(order)], axis=1).mean() for order in itertools.permutations(range(6)))
    assert earth_movers_distance(a, b) == pytest.approx(best, rel=1e-12)


def test_earth_movers_distance_of_a_moved_set_is_the_move() -> None:
    points = np.random.default_rng(4).random((64, 3))
    assert earth_movers_distance(points, points[::-1]) == 0
    assert earth_movers_distance(points, points[::-1] + np.array([0.0, 3, 4])) == pytest.approx(5)
    with pytest.raises(ValueError, match="equally many"):
        earth_movers_distance(points, points[1:])


# ------------------------------------------------------------------------------------------------- normals
def test_normal_consistency_of_turned_planes() -> None:
    rng = np.random.default_rng(5)
    points = np.concatenate([rng.random((50, 2)), np.zeros((50, 1))], axis=1)
    up = np.tile([0.0, 0, 1], (50, 1))
    turned = np.tile([0.0, np.sin(np.pi / 3), np.cos(np.pi / 3)], (50, 1))
    assert normal_consistency(points, up, points, -up) == 1
    assert normal_consistency(points, up, points, turned) == pytest.approx(0.5)


def test_normal_consistency_of_random_directions_is_a_half() -> None:
    rng = np.random.default_rng(6)
    points = rng.random((4000, 3))
    normals = rng.normal(size=(2, 4000, 3))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    assert normal_consistency(points, normals[0], points, normals[1]) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ValueError, match="one for each"):
        normal_consistency(points, normals[0, :5], points, normals[1])


def test_average_precision_of_whole_numbers_and_truth_values() -> None:
    """Unsigned numbers cannot be negated, and truth values cannot be at all: both are ranked as they stand."""
    real = box((2, 2, 2), (6, 6, 6))
    for kind in (np.uint8, bool, np.int16):
        assert average_precision(real.astype(kind), real)[0] == 1
