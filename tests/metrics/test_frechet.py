"""Fréchet distance: closed forms, and what may not change it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voxgan.metrics.frechet import frechet_distance


def features(count: int, width: int = 6, seed: int = 0) -> NDArray[np.float64]:
    """Rows with correlated columns, their mean away from the origin."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, width)) @ rng.standard_normal((width, width)) + rng.standard_normal(width)


def with_moments(mean: NDArray[np.float64], deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """2 D rows of exactly this mean and these standard deviations, their columns uncorrelated."""
    width = len(mean)
    ends = np.diag(deviations * np.sqrt((2 * width - 1) / 2))
    return mean + np.concatenate([ends, -ends])


def test_of_diagonal_gaussians_it_is_the_closed_form() -> None:
    rng = np.random.default_rng(0)
    (mean, other_mean), (spread, other_spread) = rng.standard_normal((2, 5)), rng.uniform(0.1, 3, (2, 5))
    one, other = with_moments(mean, spread), with_moments(other_mean, other_spread)
    np.testing.assert_allclose(np.cov(one.T), np.diag(spread**2), atol=1e-12)
    expected = ((mean - other_mean) ** 2).sum() + ((spread - other_spread) ** 2).sum()
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-12)


def test_of_any_gaussians_it_is_the_formula() -> None:
    from scipy.linalg import sqrtm

    one, other = features(40), features(50, seed=1)
    s, t = np.cov(one.T), np.cov(other.T)
    expected = ((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert frechet_distance(one, other) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("count", "width"), [(50, 6), (20, 100), (2, 3), (5, 1)])
def test_identical_sets_are_at_distance_zero(count: int, width: int) -> None:
    one = features(count, width)
    assert 0 <= frechet_distance(one, one) <= 1e-8
    assert 0 <= frechet_distance(one, one[::-1]) <= 1e-8


@pytest.mark.parametrize(("count", "width"), [(50, 6), (20, 100)])
def test_rotation_and_order_of_the_sets_change_nothing(count: int, width: int) -> None:
    one, other = features(count, width), features(count + 3, width, seed=1)
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((width, width)))[0]
    expected = frechet_distance(one, other)
    assert frechet_distance(one @ turn + 1, other @ turn + 1) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(other, one) == pytest.approx(expected, rel=1e-12)


def test_a_shift_adds_its_squared_length() -> None:
    one = features(30)
    assert frechet_distance(one, one + 2) == pytest.approx(4 * 6, rel=1e-12)


def test_few_rows_make_it_too_large() -> None:
    rng = np.random.default_rng(0)
    small, large = (frechet_distance(*rng.standard_normal((2, count, 16))) for count in (32, 2048))
    assert small > 10 * large


def test_single_precision_is_computed_in_double() -> None:
    one, other = features(30).astype(np.float32), features(30, seed=1).astype(np.float32)
    assert frechet_distance(one, other) == frechet_distance(one.astype(np.float64), other.astype(np.float64))


def test_what_has_no_covariance_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^1 and 5 rows; a covariance needs at least 2 in each set$"):
        frechet_distance(features(1), features(5))
    with pytest.raises(ValueError, match=r"^features \(5, 6\) and \(5, 7\); expected .* of one width D$"):
        frechet_distance(features(5), features(5, 7))
    with pytest.raises(ValueError, match="of one width D"):
        frechet_distance(features(5)[0], features(5)[0])
    for bad in (np.nan, np.inf):
        broken = features(5)
        broken[2, 3] = bad
        with pytest.raises(ValueError, match=r"^features hold NaN or infinity; expected finite numbers$"):
            frechet_distance(features(5), broken)
