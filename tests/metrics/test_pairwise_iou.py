"""IoU of all pairs: the same figures as one by one, in any pieces."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from voxgan.metrics import pairwise_iou as module
from voxgan.metrics.iou import iou
from voxgan.metrics.pairwise_iou import mean_pairwise_iou, pairwise_iou


def occupancy(count: int, seed: int = 0, resolution: int = 8) -> NDArray[np.float32]:
    """Random grids, some fuller than others; the first is empty."""
    rng = np.random.default_rng(seed)
    grids = rng.random((count, *(resolution,) * 3), np.float32) ** rng.uniform(0.3, 3, (count, 1, 1, 1))
    grids[0] = 0
    return grids.astype(np.float32)


def one_by_one(one: NDArray[np.float32], other: NDArray[np.float32], level: float = 0.5) -> NDArray[np.float64]:
    return np.array([[iou(a[None], b[None], level)[0] for b in other] for a in one])


@pytest.mark.parametrize("level", [0.2, 0.5, 0.9])
def test_every_entry_is_the_iou_of_its_pair(level: float) -> None:
    one, other = occupancy(5), occupancy(7, seed=1)
    found = pairwise_iou(one, other, level)
    assert found.shape == (5, 7) and found.dtype == np.float64
    np.testing.assert_array_equal(found, one_by_one(one, other, level))
    assert found[0, 0] == 1  # both are empty
    assert (found[0, 1:] == 0).all()


def test_a_set_with_itself() -> None:
    shapes = occupancy(6)
    found = pairwise_iou(shapes)
    np.testing.assert_array_equal(found, pairwise_iou(shapes, shapes))
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(np.diag(found), 1)


@pytest.mark.parametrize(("floats", "rows"), [(11, 1024), (100, 1024), (1 << 24, 2), (77, 3), (20, 1)])
def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch, floats: int, rows: int) -> None:
    one, other = occupancy(7), occupancy(4, seed=1)
    whole, own = pairwise_iou(one, other), pairwise_iou(one)
    monkeypatch.setattr(module, "_FLOATS", floats)
    monkeypatch.setattr(module, "_ROWS", rows)
    np.testing.assert_array_equal(pairwise_iou(one, other), whole)
    np.testing.assert_array_equal(pairwise_iou(one), own)


def test_memory_in_use_is_bounded() -> None:
    import tracemalloc

    shapes = np.zeros((1500, 32, 32, 32), bool)  # 197 MB as float32
    shapes[:, :16] = True
    tracemalloc.start()
    try:
        pairwise_iou(shapes[:8], shapes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 128 * 2**20


def test_grids_of_truth_values_and_of_bytes() -> None:
    solid = occupancy(4) >= 0.5
    np.testing.assert_array_equal(pairwise_iou(solid), pairwise_iou(occupancy(4)))
    np.testing.assert_array_equal(pairwise_iou(solid.astype(np.uint8)), pairwise_iou(solid))


def test_an_empty_set_has_no_pairs() -> None:
    assert pairwise_iou(occupancy(3)[:0], occupancy(3)).shape == (0, 3)


def test_the_mean_is_over_pairs_of_different_shapes() -> None:
    shapes = occupancy(6)
    pairs = [iou(shapes[i][None], shapes[j][None])[0] for i in range(6) for j in range(i + 1, 6)]
    assert mean_pairwise_iou(shapes) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert mean_pairwise_iou(shapes[[2, 2, 2]]) == 1
    assert mean_pairwise_iou(shapes, 0.8) != mean_pairwise_iou(shapes)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^shapes \(2, 8, 8, 8\) and \(2, 4, 4, 4\); expected .* of one R$"):
        pairwise_iou(occupancy(2), occupancy(2, resolution=4))
    with pytest.raises(ValueError, match=r"expected \(N, R, R, R\)"):
        pairwise_iou(occupancy(2)[0])
    with pytest.raises(ValueError, match=r"^1 shapes make no pair; expected at least 2$"):
        mean_pairwise_iou(occupancy(1))
