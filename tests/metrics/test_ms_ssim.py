"""MS-SSIM: against scikit-image at one scale, by hand at several."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from voxgan.metrics import ms_ssim as module
from voxgan.metrics.ms_ssim import WEIGHTS, mean_ms_ssim, ms_ssim


def smooth(count: int, resolution: int, seed: int = 0) -> NDArray[np.float64]:
    """Soft balls in random places, values in (0, 1)."""
    rng = np.random.default_rng(seed)
    place = (np.indices((resolution,) * 3) + 0.5) / resolution - 0.5
    centres, radii = rng.uniform(-0.2, 0.2, (count, 3, 1, 1, 1)), rng.uniform(0.15, 0.35, (count, 1, 1, 1))
    return 1 / (1 + np.exp(20 * (np.sqrt(((place - centres) ** 2).sum(1)) - radii)))


def noisy(grids: NDArray[np.float64], amount: float, seed: int = 1) -> NDArray[np.float64]:
    return np.clip(grids + amount * np.random.default_rng(seed).standard_normal(grids.shape), 0, 1)


def reference(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """scikit-image's map of structural similarity, where its window lies inside of the grid."""
    _, full = structural_similarity(
        one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, full=True
    )
    return full[5:-5, 5:-5, 5:-5]


def halved(grid: NDArray[np.float64]) -> NDArray[np.float64]:
    half = grid.shape[0] // 2
    return grid.reshape(half, 2, half, 2, half, 2).mean((1, 3, 5))


def structure(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Mean of contrast and structure: the map without luminance, which comes from means under a dense window."""
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = torch.tensor(line[:, None, None] * line[:, None] * line / line.sum() ** 3)[None, None]
    a, b = (torch.nn.functional.conv3d(torch.tensor(g)[None, None], window)[0, 0].numpy() for g in (one, other))
    luminance = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
    return float((reference(one, other) / luminance).mean())


@pytest.mark.parametrize("scales", [None, 1, 2])
def test_a_grid_is_like_itself(scales: int | None) -> None:
    grids = np.concatenate([smooth(2, 32), smooth(2, 32) >= 0.5, np.zeros((1, 32, 32, 32))])
    found = ms_ssim(grids, grids, scales)
    assert found.shape == (5,) and found.dtype == np.float64
    np.testing.assert_allclose(found, 1, atol=1e-12)


def test_the_more_noise_the_lower() -> None:
    grids = smooth(3, 32)
    found = np.array([ms_ssim(grids, noisy(grids, amount)) for amount in (0, 0.02, 0.1, 0.3, 1)])
    assert (np.diff(found, axis=0) < 0).all()
    assert (found > 0).all()


@pytest.mark.parametrize("resolution", [11, 16, 21])
def test_one_scale_is_the_structural_similarity_of_scikit_image(resolution: int) -> None:
    one = smooth(4, resolution)
    other = noisy(one, 0.1)
    other[3] = np.clip(one[3] + 0.2, 0, 1)
    one[2], other[2] = one[2] >= 0.5, other[2] >= 0.6
    expected = [reference(a, b).mean() for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(ms_ssim(one, other), expected, atol=1e-5)
    np.testing.assert_allclose(ms_ssim(other, one), expected, atol=1e-5)


def test_two_scales_by_hand() -> None:
    one = smooth(1, 32)
    other = noisy(one, 0.1)
    a, b = one[0], other[0]
    first, second = (weight / (0.0448 + 0.2856) for weight in (0.0448, 0.2856))
    expected = structure(a, b) ** first * reference(halved(a), halved(b)).mean() ** second
    assert ms_ssim(one, other)[0] == pytest.approx(expected, abs=1e-6)


def test_the_weights_of_the_scales_in_use_have_sum_one() -> None:
    assert sum(WEIGHTS) == pytest.approx(1.0001)  # as printed in the paper
    for scales in range(1, 6):
        weights = np.array(module._weights(scales))
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(weights / weights[0], np.array(WEIGHTS[:scales]) / WEIGHTS[0])


@pytest.mark.parametrize(
    ("side", "scales"), [(11, 1), (16, 1), (21, 1), (22, 2), (32, 2), (64, 3), (128, 4), (256, 5), (512, 5)]
)
def test_as_many_scales_as_fit(side: int, scales: int) -> None:
    assert module._scales(side, None) == scales
    assert module._scales(side, scales) == scales
    for wrong in (0, scales + 1):
        with pytest.raises(ValueError, match=f"^{wrong} scales do not fit a side of {side} cells; expected 1 to"):
            module._scales(side, wrong)


def test_three_scales_at_64() -> None:
    one = smooth(1, 64)
    other = noisy(one, 0.2)
    assert ms_ssim(one, other) == ms_ssim(one, other, 3) != ms_ssim(one, other, 2)


def test_a_negative_mean_counts_as_nothing() -> None:
    stripes = np.broadcast_to(np.arange(16) // 2 % 2, (1, 16, 16, 16)).astype(float)
    assert reference(stripes[0], 1 - stripes[0]).mean() < 0
    assert ms_ssim(stripes, 1 - stripes).tolist() == [0]


def test_arrays_and_tensors_of_any_kind() -> None:
    solid = smooth(2, 16) >= 0.5
    other = smooth(2, 16, seed=1) >= 0.5
    expected = ms_ssim(solid, other)
    for kind in (np.uint8, np.float32, np.float64):
        np.testing.assert_array_equal(ms_ssim(solid.astype(kind), other.astype(kind)), expected)
        tensors = torch.tensor(solid.astype(kind)), torch.tensor(other.astype(kind))
        np.testing.assert_array_equal(ms_ssim(*tensors), expected)
    np.testing.assert_array_equal(ms_ssim(torch.tensor(solid), other), expected)
    assert mean_ms_ssim(torch.tensor(solid)) == mean_ms_ssim(solid)


def test_read_only_arrays_and_gradients_do_no_harm() -> None:
    grids = smooth(2, 16)
    grids.flags.writeable = False
    assert ms_ssim(grids, grids).shape == (2,)
    tensor = torch.tensor(grids, requires_grad=True)
    assert isinstance(ms_ssim(tensor, tensor), np.ndarray)


def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = smooth(5, 16), smooth(5, 16, seed=1)
    pairs, mean = ms_ssim(one, other), mean_ms_ssim(one, 7)
    for cells in (1, 2 * 16**3):
        monkeypatch.setattr(module, "_CELLS", cells)
        np.testing.assert_allclose(ms_ssim(one, other), pairs, rtol=1e-12)
        assert mean_ms_ssim(one, 7) == pytest.approx(mean, rel=1e-12)


def test_few_shapes_give_the_mean_of_all_pairs() -> None:
    grids = smooth(4, 16)
    pairs = [ms_ssim(grids[[i]], grids[[j]])[0] for i, j in combinations(range(4), 2)]
    assert mean_ms_ssim(grids) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert mean_ms_ssim(grids, 6, seed=3) == mean_ms_ssim(grids)
    assert mean_ms_ssim(grids[[1, 1, 1]]) == pytest.approx(1)


def test_the_seed_decides_the_pairs() -> None:
    grids = smooth(8, 16)
    assert mean_ms_ssim(grids, 5, 1) == mean_ms_ssim(grids, 5, 1) != mean_ms_ssim(grids, 5, 2)


@pytest.mark.parametrize(("count", "num_pairs"), [(2, 1), (5, 10), (40, 100), (40, 779), (40, 1000), (100_000, 50)])
def test_pairs_are_distinct_and_of_different_shapes(count: int, num_pairs: int) -> None:
    pairs = module._draw(count, num_pairs, 0)
    assert pairs.shape == (2, min(num_pairs, count * (count - 1) // 2))
    assert (pairs[0] >= 0).all() and (pairs[0] < pairs[1]).all() and (pairs[1] < count).all()
    assert len(set(map(tuple, pairs.T.tolist()))) == pairs.shape[1]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^a side of 10 cells is smaller than the window; expected at least 11$"):
        ms_ssim(smooth(1, 10), smooth(1, 10))
    with pytest.raises(ValueError, match=r"^2 scales do not fit a side of 16 cells; expected 1 to 1$"):
        ms_ssim(smooth(1, 16), smooth(1, 16), 2)
    with pytest.raises(ValueError, match=r"^shapes \(1, 16, 16, 16\) and \(2, 16, 16, 16\); expected two equal"):
        ms_ssim(smooth(1, 16), smooth(2, 16))
    with pytest.raises(ValueError, match="expected two equal"):
        ms_ssim(smooth(1, 16)[0], smooth(1, 16)[0])
    with pytest.raises(ValueError, match=r"^1 shapes make no pair; expected at least 2$"):
        mean_ms_ssim(smooth(1, 16))
    with pytest.raises(ValueError, match=r"^0 pairs have no mean; expected at least 1$"):
        mean_ms_ssim(smooth(2, 16), 0)
