import numpy as np
import pytest
import torch

from voxgan.metrics import chamfer as module
from voxgan.metrics.chamfer import chamfer, chamfer_matrix


def brute(a: np.ndarray, b: np.ndarray) -> float:
    apart = ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(2)
    return float(apart.min(1).mean() + apart.min(0).mean())


def surfaces(rng: np.random.Generator, count: int, points: int) -> np.ndarray:
    """Points on boxes of random sizes, as shapes have them, not evenly spread."""
    sets = rng.random((count, points, 3)) - 0.5
    side = rng.integers(0, 3, (count, points))
    where = np.take_along_axis(sets, side[..., None], 2)
    np.put_along_axis(sets, side[..., None], np.sign(where) / 2, 2)
    return sets * rng.uniform(0.2, 0.9, (count, 1, 3))


def test_of_two_sets_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(70, 3)), rng.normal(size=(50, 3))
    assert chamfer(a, b) == pytest.approx(brute(a, b), rel=1e-12)
    assert chamfer(a, a) == 0
    assert chamfer(a, b) == pytest.approx(chamfer(b, a), rel=1e-12)


def test_scales_with_the_square() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    assert chamfer(3 * a, 3 * b) == pytest.approx(9 * chamfer(a, b), rel=1e-12)


@pytest.mark.parametrize(("count", "other", "points"), [(1, 1, 1), (3, 5, 40), (9, 4, 333), (30, 7, 512)])
def test_matrix_is_that_of_every_pair(count: int, other: int, points: int) -> None:
    rng = np.random.default_rng(count)
    one, two = surfaces(rng, count, points), surfaces(rng, other, points // 2 + 1)
    found = chamfer_matrix(one, two)
    expected = np.array([[brute(a, b) for b in two] for a in one])
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-9)


def test_matrix_of_a_collection_with_itself_is_symmetric_with_an_empty_diagonal() -> None:
    sets = surfaces(np.random.default_rng(2), 12, 300)
    found = chamfer_matrix(sets)
    np.testing.assert_array_equal(found, found.T)
    assert not np.diag(found).any()
    np.testing.assert_allclose(found, chamfer_matrix(sets, sets.copy()), rtol=1e-6, atol=1e-7)


def test_boxes_may_be_few_or_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    one, two = surfaces(rng, 6, 100), surfaces(rng, 5, 80)
    expected = chamfer_matrix(one, two)
    leaves = module._leaves
    for depth, entries in ((0, 1 << 22), (3, 1 << 10), (7, 1)):
        monkeypatch.setattr(module, "_leaves", lambda points, _, depth=depth: leaves(points, depth))
        monkeypatch.setattr(module, "_ENTRIES", entries)
        np.testing.assert_allclose(chamfer_matrix(one, two), expected, rtol=1e-5, atol=1e-9)


def test_points_in_one_place_and_far_outliers() -> None:
    same = np.zeros((3, 50, 3))
    far = same.copy()
    far[:, 0] = 100.0
    found = chamfer_matrix(same, far)
    np.testing.assert_allclose(found, brute(same[0], far[0]), rtol=1e-6)


def test_large_coordinates_lose_nothing() -> None:
    """Counted from the middle of a box: a collection that lies far from the origin has the same distances."""
    rng = np.random.default_rng(4)
    one, two = surfaces(rng, 5, 200), surfaces(rng, 4, 200)
    np.testing.assert_allclose(chamfer_matrix(one + 50, two + 50), chamfer_matrix(one, two), rtol=1e-3, atol=1e-7)


def test_says_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    chamfer_matrix(np.zeros((3, 4, 3)), np.ones((2, 4, 3)), report=lambda done, total: told.append((done, total)))
    assert told == [(number, 5) for number in range(1, 6)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_on_a_cuda_device() -> None:
    rng = np.random.default_rng(5)
    one, two = surfaces(rng, 20, 512), surfaces(rng, 11, 512)
    np.testing.assert_allclose(chamfer_matrix(one, two, "cuda"), chamfer_matrix(one, two), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(
    ("points", "match"),
    [
        (np.zeros((0, 3)), "expected .P, 3., at least one"),
        (np.zeros((4, 2)), "expected .P, 3."),
        (np.full((4, 3), np.nan), "NaN or infinity"),
        (np.zeros(3), "expected .P, 3."),
    ],
)
def test_refuses_what_are_no_points(points: np.ndarray, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        chamfer(points, np.zeros((2, 3)))


@pytest.mark.parametrize("points", [np.zeros((2, 3)), np.zeros((0, 4, 3)), np.full((1, 2, 3), np.inf)])
def test_matrix_refuses_what_are_no_sets(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        chamfer_matrix(points)
