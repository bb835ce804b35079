"""MMD, COV, JSD, inception score, KL: small cases by hand, and halves of one set."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from voxgan.metrics.chamfer import chamfer_matrix
from voxgan.metrics.inception_score import inception_score
from voxgan.metrics.jensen_shannon import CELLS, jensen_shannon_divergence, point_jsd
from voxgan.metrics.kl import feature_kl, gaussian_kl
from voxgan.metrics.matching import coverage, minimum_matching_distance
from voxgan.metrics.two_sample import one_nearest_neighbour_accuracy


# ------------------------------------------------------------------------------------------- MMD and COV
def test_matching_by_hand() -> None:
    distances = np.array([[1.0, 4.0, 9.0], [2.0, 3.0, 7.0]])  # two samples, three real shapes
    assert minimum_matching_distance(distances) == pytest.approx((1 + 3 + 7) / 3)
    assert coverage(distances) == pytest.approx(1 / 3)  # both are nearest to the first


def test_one_good_sample_alone_covers_one() -> None:
    distances = np.ones((50, 10))
    distances[:, 3] = 0.1
    assert coverage(distances) == 0.1


def test_halves_of_one_set() -> None:
    """An oracle covers about half, not all, and 1-NNA is a half."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(800, 8))
    a, b = points[:400], points[400:]

    def apart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x[:, None] - y[None], axis=2)

    assert 0.4 <= coverage(apart(a, b)) <= 0.6
    assert 0.46 <= one_nearest_neighbour_accuracy(apart(a, a), apart(a, b), apart(b, b)) <= 0.54
    far = b + 100
    assert one_nearest_neighbour_accuracy(apart(a, a), apart(a, far), apart(far, far)) == 1


def test_point_sets_of_one_kind_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(1)
    sets = rng.random((400, 64, 3)) * rng.uniform(0.3, 1, (400, 1, 3))
    a, b = sets[:200], sets[200:]
    own = one_nearest_neighbour_accuracy(chamfer_matrix(a), chamfer_matrix(a, b), chamfer_matrix(b))
    assert 0.43 <= own <= 0.57
    other = one_nearest_neighbour_accuracy(chamfer_matrix(a), chamfer_matrix(a, b / 3), chamfer_matrix(b / 3))
    assert other > 0.8


@pytest.mark.parametrize("measure", [coverage, minimum_matching_distance])
def test_matching_refuses(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match="samples by real shapes"):
        measure(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="NaN"):
        measure(np.full((2, 2), np.nan))


# --------------------------------------------------------------------------------------------------- JSD
def test_jsd_closed_form() -> None:
    # p = (1, 0), q = (½, ½): m = (¾, ¼)
    expected = 0.5 * np.log2(4 / 3) + 0.5 * (0.5 * np.log2(2 / 3) + 0.5 * np.log2(2))
    assert jensen_shannon_divergence([1, 0], [1, 1]) == pytest.approx(expected)
    assert jensen_shannon_divergence([3, 1], [6, 2]) == pytest.approx(0, abs=1e-12)
    assert jensen_shannon_divergence([0, 5], [2, 0]) == 1


def test_jsd_of_points() -> None:
    rng = np.random.default_rng(2)
    left = rng.random((3, 500, 3)) - 0.5
    left[..., 0] = -0.4
    right = left * [-1, 1, 1]
    assert point_jsd(left, right) == pytest.approx(1)
    assert point_jsd(left, left[::-1]) == pytest.approx(0, abs=1e-12)
    assert point_jsd(np.full((1, 1, 3), 7.0), np.full((1, 1, 3), 0.5 - 0.1 / CELLS)) == 0  # outside is the last cell


@pytest.mark.parametrize("wrong", [[-1, 2], [0, 0], [np.nan, 1], [1, 1, 1]])
def test_jsd_refuses(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="distribution"):
        jensen_shannon_divergence(wrong, [1, 1])


# -------------------------------------------------------------------------------------- inception score
def test_inception_score_by_hand() -> None:
    assert inception_score(np.eye(7)) == pytest.approx(7)
    assert inception_score(np.tile([0.2, 0.8], (9, 1))) == pytest.approx(1)
    rows = np.array([[0.9, 0.1], [0.3, 0.7]])
    mean = rows.mean(0)
    expected = np.exp((rows * np.log(rows / mean)).sum(1).mean())
    assert inception_score(rows) == pytest.approx(expected)


@pytest.mark.parametrize("wrong", [np.zeros((0, 3)), np.full((2, 3), 0.5), [[1.5, -0.5]]])
def test_inception_score_refuses(wrong: object) -> None:
    with pytest.raises(ValueError, match="probabilities"):
        inception_score(np.asarray(wrong))


# ---------------------------------------------------------------------------------------------------- KL
def test_kl_against_the_standard_normal() -> None:
    """½ Σ (σ² + μ² − 1 − ln σ²)."""
    mean, variance = np.array([0.5, -1.0, 0]), np.array([0.3, 2.0, 1.0])
    expected = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum()
    assert gaussian_kl(mean, np.diag(variance), np.zeros(3), np.eye(3)) == pytest.approx(expected)


def test_kl_against_sampling() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 4, 4))
    first, second = a @ a.T + np.eye(4), b @ b.T + np.eye(4)
    mean, other = rng.normal(size=(2, 4))
    draws = rng.multivariate_normal(mean, first, 200_000)
    p, q = multivariate_normal(mean, first), multivariate_normal(other, second)
    sampled = (p.logpdf(draws) - q.logpdf(draws)).mean()
    assert gaussian_kl(mean, first, other, second) == pytest.approx(sampled, rel=0.02)
    assert gaussian_kl(mean, first, mean, first) == pytest.approx(0, abs=1e-9)


def test_feature_kl_sees_what_samples_lack() -> None:
    rng = np.random.default_rng(4)
    real = rng.normal(size=(500, 5))
    narrow = real * [1, 1, 1, 1, 0.01]
    assert feature_kl(real, real) == pytest.approx(0, abs=1e-9)
    assert feature_kl(narrow, real) > 1
    assert feature_kl(real + 0.1, real) < feature_kl(real + 1, real)
    dead = np.concatenate([real, np.zeros((500, 1))], axis=1)
    assert feature_kl(dead, dead) == pytest.approx(0, abs=1e-9)


def test_kl_refuses() -> None:
    with pytest.raises(ValueError, match="more rows than features"):
        feature_kl(np.zeros((3, 3)), np.zeros((9, 3)))
    with pytest.raises(ValueError, match="positive definite"):
        gaussian_kl([0.0], [[0.0]], [0.0], [[1.0]])
    with pytest.raises(ValueError, match=r"expected .D,."):
        gaussian_kl([0.0, 0], np.eye(2), [0.0], np.eye(1))
