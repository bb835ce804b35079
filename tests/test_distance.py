"""Distance of points to triangles."""

from __future__ import annotations

import numpy as np
import trimesh

from voxgan.distance import distance_to, point_triangle_distance


def test_point_to_triangle_as_trimesh_computes_it():
    rng = np.random.default_rng(0)
    triangles, points = rng.normal(size=(500, 3, 3)), 2 * rng.normal(size=(500, 3))
    nearest = trimesh.triangles.closest_point(triangles, points)
    np.testing.assert_allclose(
        point_triangle_distance(points, triangles), np.linalg.norm(points - nearest, axis=1), atol=1e-9
    )


def test_flat_triangles_are_lines_and_points():
    line = np.array([[[0.0, 0, 0], [2, 0, 0], [1, 0, 0]]])
    assert point_triangle_distance(np.array([[1.5, 3, 4]]), line).tolist() == [5]
    point = np.zeros((1, 3, 3))
    assert point_triangle_distance(np.array([[0.0, 3, 4]]), point).tolist() == [5]


def test_distance_to_a_single_point():
    """Fewer points than candidates."""
    spot = np.full((1, 3, 3), 0.1)
    distance = distance_to(spot, np.full((1, 3), 0.1, np.float32), np.zeros(1, np.int64), 8)
    line = (np.arange(8) + 0.5) / 8 - 0.6
    expected = np.sqrt(line[:, None, None] ** 2 + line[:, None] ** 2 + line**2)
    np.testing.assert_allclose(distance, expected, atol=1e-6)
