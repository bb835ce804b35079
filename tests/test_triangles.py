"""Triangles on a grid: the cells touched are exactly those, samples leave no gaps."""

from __future__ import annotations

import numpy as np
import pytest

from voxgan.triangles import cell_of, surface_samples, touched_cells


def clipped(polygon: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Cut a polygon (N, 3) to a box, plane by plane."""
    for axis in range(3):
        for bound, side in ((low[axis], 1), (high[axis], -1)):
            heights = side * (polygon[:, axis] - bound)
            kept = []
            for i in range(len(polygon)):
                a, b, p, q = heights[i - 1], heights[i], polygon[i - 1], polygon[i]
                if a * b < 0:
                    kept.append(p + (q - p) * a / (a - b))
                if b >= 0:
                    kept.append(q)
            polygon = np.array(kept).reshape(-1, 3)
    return polygon


@pytest.mark.parametrize("size", [0.05, 0.5, 1.0])
def test_touched_cells_are_those_that_clipping_finds(size):
    rng = np.random.default_rng(0)
    for _ in range(6):
        triangle = rng.uniform(-0.49 * size, 0.49 * size, (3, 3)) + rng.uniform(-0.4, 0.4, 3) * (1 - size)
        touched = touched_cells(triangle[None], 8)
        expected = np.zeros_like(touched)
        for cell in np.ndindex(8, 8, 8):
            low = np.array(cell) / 8 - 0.5
            expected[cell] = len(clipped(triangle, low, low + 1 / 8)) > 0
        np.testing.assert_array_equal(touched, expected)


def test_what_lies_between_two_cells_counts_for_the_one_behind():
    square = np.array(
        [
            [[-0.25, -0.25, 0], [0.25, -0.25, 0], [0.25, 0.25, 0]],
            [[-0.25, -0.25, 0], [0.25, 0.25, 0], [-0.25, 0.25, 0.0]],
        ]
    )
    for triangles, layer in ((square, 3), (square[:, ::-1], 4)):
        expected = np.zeros((8, 8, 8), bool)
        expected[2:6, 2:6, layer] = True
        np.testing.assert_array_equal(touched_cells(triangles, 8), expected)


def test_slivers_points_and_lines():
    line = np.array([[[-0.39, -0.4, -0.42], [0.41, 0.4, 0.38], [0.01, 0.0, -0.02]]])
    assert 7 <= touched_cells(line, 8).sum() <= 22
    assert touched_cells(np.full((1, 3, 3), 0.1), 8).sum() == 1


def test_samples_leave_no_gap():
    rng = np.random.default_rng(0)
    triangles = rng.uniform(-0.5, 0.5, (20, 3, 3))
    portions = list(surface_samples(triangles, 0.02))
    points, owner = (np.concatenate(x) for x in zip(*portions, strict=True))
    assert set(owner) == set(range(20))
    for i, triangle in enumerate(triangles):
        mine = points[owner == i]
        weights = rng.dirichlet([1, 1, 1], 200)
        gap = np.linalg.norm((weights @ triangle)[:, None] - mine, axis=2).min(axis=1)
        assert gap.max() < 0.04
        inside = np.linalg.solve(np.c_[triangle, np.ones(3)][:, :3].T, mine.T).T
        np.testing.assert_allclose(inside.sum(axis=1), 1, atol=1e-6)
        assert inside.min() > -1e-6


def test_cell_of():
    points = np.array([[-0.5, -0.5, -0.5], [0.49, -0.5, 0.0], [0.5, 0.5, 0.5], [9, -9, 0]])
    assert cell_of(points, 4).tolist() == [0, 3 * 16 + 2, 63, 3 * 16 + 2]
