"""Truncated signed distances beside scipy's, and what they keep of a shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from voxgan.truncated_distance import truncated_distance


def shapes(seed: int, side: int) -> torch.Tensor:
    """Return boxes with holes, thin rods and single cells, (4, 1, R, R, R)."""
    rng = np.random.default_rng(seed)
    grids = rng.random((4, 1, side, side, side)) < 0.01
    for grid in grids[:, 0]:
        low = rng.integers(1, side // 3, 3)
        high = rng.integers(side // 2, side - 1, 3)
        grid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
        grid[side // 2, :, side // 2] = rng.random() < 0.5
    return torch.from_numpy(grids).float()


@pytest.mark.parametrize("cells", [0.5, 1.5, 2.0, 3.0, 8.0])
def test_beside_exact_distances(cells: float) -> None:
    occupancy = shapes(0, 16)
    found = truncated_distance(occupancy, cells)
    assert found.shape == occupancy.shape and found.dtype == torch.float32
    for grid, field in zip(occupancy[:, 0].numpy() > 0.5, found[:, 0].numpy(), strict=True):
        depth = np.where(grid, distance_transform_edt(grid) - 0.5, 0.5 - distance_transform_edt(~grid))
        np.testing.assert_allclose(field, np.clip(0.5 + depth / (2 * cells), 0, 1), atol=1e-6)


def test_the_level_of_one_half_gives_the_shape_back() -> None:
    occupancy = shapes(1, 16)
    assert torch.equal((truncated_distance(occupancy, 2.5) >= 0.5).float(), occupancy)


def test_empty_and_full_grids_are_far_from_a_surface() -> None:
    for value in (0.0, 1.0):
        assert bool((truncated_distance(torch.full((1, 1, 8, 8, 8), value), 3.0) == value).all())
