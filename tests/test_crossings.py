"""Lines through cell centres: closed on every grid, whichever way a mesh lies; faces turned alike."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from voxgan.crossings import crossings, oriented
from voxgan.voxels import cell_centres


def ball(subdivisions: int = 3) -> np.ndarray:
    return np.array(trimesh.creation.icosphere(subdivisions, 0.4).triangles)


@pytest.mark.parametrize("resolution", [2, 7, 16, 64])
def test_corners_and_edges_on_the_lines_are_crossed_once(resolution):
    """Corners snapped to cell centres: every line meets edges and corners, none may count twice or never."""
    for step in (1 / resolution, 0.5 / resolution):
        snapped = np.round((ball() + 0.5) / step - 0.5) * step + 0.5 * step - 0.5
        found = crossings(snapped, resolution)
        assert found.imbalance == (0, 0, 0) and found.odd == 0
    grid = crossings(ball(), resolution).votes
    assert set(np.unique(grid)) <= {0, 6}


def test_votes_are_inside():
    inside = np.linalg.norm(cell_centres(32), axis=-1) < 0.4
    votes = crossings(ball(5), 32).votes
    assert ((votes == 6) != inside).sum() <= 4
    assert (crossings(ball(5)[:, ::-1], 32).votes == 0).all()


def test_walls_lie_between_the_cells_they_part():
    found = crossings(ball(), 24)
    inside = found.votes == 6
    for axis in range(3):
        border = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        changes = np.diff(np.pad(inside, border).astype(int), axis=axis) != 0
        np.testing.assert_array_equal(found.walls[axis], changes)


def test_imbalance_is_the_share_of_missing_faces():
    triangles = ball(5)
    kept = triangles[np.random.default_rng(0).random(len(triangles)) >= 0.02]
    found = crossings(kept, 64)
    assert all(0.01 < share < 0.03 for share in found.imbalance) and found.odd > 0
    sheet = np.array([[[-0.4, -0.4, 0], [0.4, -0.4, 0], [0, 0.4, 0.0]]])
    assert crossings(sheet, 16).imbalance == (0, 0, 1)


def test_oriented_turns_parts_outwards():
    rng = np.random.default_rng(0)
    small = trimesh.creation.box((0.2, 0.1, 0.1), trimesh.transformations.translation_matrix((0.3, 0.3, 0.3))).triangles
    mixed = np.concatenate([ball(), small[:, ::-1]])
    turned = rng.random(len(mixed)) < 0.5
    mixed[turned] = mixed[turned][:, ::-1]
    mixed = mixed[rng.permutation(len(mixed))]
    result = oriented(np.concatenate([mixed, mixed[:50], mixed[:50, ::-1]]))
    assert len(result) == len(mixed)
    found = crossings(result, 32)
    assert found.imbalance == (0, 0, 0)
    np.testing.assert_array_equal(found.votes == 6, crossings(np.concatenate([ball(), small]), 32).votes == 6)


def test_oriented_leaves_sheets_as_most_of_them_lie_and_turns_loose_faces_together():
    sheet = np.array([[[0, 0, 0], [0.4, 0, 0], [0.4, 0.4, 0]], [[0, 0, 0], [0, 0.4, 0], [0.2, 0.2, 0.0]]])
    np.testing.assert_array_equal(oriented(sheet[:1]), sheet[:1])
    loose = ball() + np.random.default_rng(0).normal(0, 1e-3, ball().shape)
    np.testing.assert_array_equal(oriented(loose), loose)
    np.testing.assert_array_equal(oriented(loose[:, ::-1]), loose)


def test_a_surface_that_cannot_be_turned_alike_passes_through():
    """A Möbius strip."""
    n = 24
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    edge = [
        np.stack(
            [
                (0.3 + s * np.cos(turn / 2)) * np.cos(turn),
                (0.3 + s * np.cos(turn / 2)) * np.sin(turn),
                s * np.sin(turn / 2),
            ],
            axis=1,
        )
        for s in (-0.1, 0.1)
    ]
    points = np.concatenate(edge)
    faces = []
    for i in range(n):
        a, b = i, i + n
        c, d = (i + 1, i + 1 + n) if i + 1 < n else (n, 0)
        faces += [(a, c, b), (b, c, d)]
    strip = points[np.array(faces)]
    assert oriented(strip).shape == strip.shape
