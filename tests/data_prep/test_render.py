"""Views: cameras agree with pictures, conventions of the house, seeds, framing; backgrounds."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from data_prep.render import Camera, _Scene, _trace, backgrounds, random_camera, render_view, render_views
from voxgan.errors import MeshError, UsageError


def box(low, high) -> trimesh.Trimesh:
    low, high = np.array(low, float), np.array(high, float)
    return trimesh.creation.box(high - low, trimesh.transformations.translation_matrix((low + high) / 2))


@pytest.fixture(scope="module")
def chair() -> trimesh.Trimesh:
    """A seat in front (−y) and a tall back behind (+y)."""
    return trimesh.util.concatenate(
        [box([-0.3, -0.3, -0.47], [0.3, 0.15, 0]), box([-0.3, 0.15, -0.47], [0.3, 0.3, 0.47])]
    )


CAMERAS = [
    Camera(0, 0, 2, 45),
    Camera(90, 0, 2, 45),
    Camera(35, 25, 1.6, 55, roll=4),
    Camera(200, 60, 3, 25, roll=-3, shift=(0.05, -0.08)),
    Camera(310, -5, 2, 40),
]


@pytest.mark.parametrize("camera", CAMERAS)
def test_projected_corners_agree_with_the_alpha(camera):
    mesh = box([-0.3, -0.2, -0.4], [0.25, 0.2, 0.35])
    alpha = render_view(mesh, camera, np.random.default_rng(0))[..., 3]
    corners = camera.project(mesh.vertices)
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    assert abs(columns[0] - corners[:, 0].min()) <= 1
    assert abs(columns[-1] + 1 - corners[:, 0].max()) <= 1
    assert abs(rows[0] - corners[:, 1].min()) <= 1
    assert abs(rows[-1] + 1 - corners[:, 1].max()) <= 1


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_tiny_box_falls_where_it_is_projected(camera):
    place = np.array([0.2, -0.15, 0.3])
    alpha = render_view(box(place - 0.02, place + 0.02), camera, np.random.default_rng(0))[..., 3]
    rows, columns = np.nonzero(alpha)
    found = np.array([columns.mean(), rows.mean()]) + 0.5
    assert np.abs(found - camera.project(place)[0]).max() < 1


def test_axes_of_the_picture():
    x, y, z = np.eye(3) * 0.3
    right, _, up = Camera(0, 0, 2, 45).project([x, y, z]) - 128
    assert right[0] > 0 and up[1] < 0
    _, right, _ = Camera(90, 0, 2, 45).project([x, y, z]) - 128
    assert right[0] > 0
    np.testing.assert_allclose(Camera(0, 0, 2, 45).position, [0, -2, 0], atol=1e-12)
    np.testing.assert_allclose(Camera(90, 0, 2, 45).position, [2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(Camera(77, 90, 2, 45).position, [0, 0, 2], atol=1e-12)
    assert Camera(0, 0, 2, 45, roll=10).project([[0, 0, 0.3]])[0, 0] > 128


def test_the_front_shows_the_seat_before_the_back(chair):
    def seat_seen(azimuth: float) -> int:
        hits = _trace(_Scene(chair, None), Camera(azimuth, 30, 2, 45), 64)
        return int(((hits.normal[:, 2] > 0.9) & (np.abs(hits.point[:, 2]) < 1e-3)).sum())

    assert seat_seen(0) > 50
    assert seat_seen(180) == 0


def test_from_plus_x_the_back_is_on_the_right(chair):
    alpha = render_view(chair, Camera(90, 0, 2.5, 40), np.random.default_rng(0))[..., 3] > 0
    upper = alpha[: len(alpha) // 2 - 5]
    assert np.nonzero(upper)[1].mean() > 128 + 20


def test_views_are_framed_and_cameras_agree(chair):
    views, cameras = render_views(chair, 6, seed=3, size=128)
    assert views.shape == (6, 128, 128, 4) and views.dtype == np.uint8
    for view, camera in zip(views, cameras, strict=True):
        rows, columns = np.nonzero(view[..., 3])
        low, high = (
            camera.project(chair.vertices, size=128).min(axis=0),
            camera.project(chair.vertices, 128).max(axis=0),
        )
        assert np.abs([columns.min() - low[0], rows.min() - low[1]]).max() <= 1
        assert np.abs([columns.max() + 1 - high[0], rows.max() + 1 - high[1]]).max() <= 1
        assert max(high - low) == pytest.approx(128 * 0.84, abs=0.15)
        np.testing.assert_allclose((low + high) / 2, 64, atol=0.15)
        alpha = view[..., 3]
        assert 0.9 < np.isin(alpha, [0, 255]).mean() < 1
        assert (view[alpha == 0] == 0).all()


def test_framing_keeps_the_perspective():
    camera = Camera(20, 15, 1.5, 50, roll=2, shift=(0.1, 0))
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (50, 3))
    before, after = camera.project(points), camera.framed(points).project(points)
    scale = np.ptp(after, axis=0) / np.ptp(before, axis=0)
    assert scale[0] == pytest.approx(scale[1])
    np.testing.assert_allclose(after - after.mean(axis=0), (before - before.mean(axis=0)) * scale)


def test_views_follow_the_seed_and_the_index(chair):
    views, cameras = render_views(chair, 3, seed=5, size=64)
    again, same = render_views(chair, 2, seed=5, size=64)
    assert (views[:2] == again).all() and cameras[:2] == same
    other, _ = render_views(chair, 1, seed=6, size=64)
    assert (views[0] != other[0]).any() and (views[0] != views[1]).any()


def test_given_cameras_are_framed(chair):
    _, cameras = render_views(chair, 2, seed=0, size=32, cameras=CAMERAS[:2])
    assert [(c.azimuth, c.elevation, c.distance) for c in cameras] == [(0, 0, 2), (90, 0, 2)]


def test_a_sphere_is_round_and_lit():
    ball = trimesh.creation.icosphere(4, radius=0.47)
    views, _ = render_views(ball, 1, seed=0, size=64)
    share = (views[0, ..., 3] / 255).mean()
    assert share == pytest.approx(np.pi / 4 * 0.84**2, abs=0.01)
    assert views[0, ..., :3][views[0, ..., 3] == 255].std() > 2


def test_parts_that_share_a_plane_do_not_flicker():
    # two boxes with a common front: whichever wins, it must win everywhere
    mesh = trimesh.util.concatenate([box([-0.4, -0.3, -0.4], [0.4, 0.3, 0.4]), box([-0.2, -0.3, -0.2], [0.2, 0, 0.2])])
    scene = _Scene(mesh, None)
    hits = _trace(scene, Camera(0, 0, 2, 45), 64)
    middle = (np.abs(hits.point[:, [0, 2]]) < 0.18).all(axis=1)
    assert middle.sum() > 50 and len(np.unique(scene.part[hits.face[middle]])) == 1


def test_round_where_round_and_sharp_where_sharp():
    tube = trimesh.creation.cylinder(radius=0.3, height=0.8, sections=32)
    normals = _Scene(tube, None).normals
    upright = np.abs(normals[..., 2])
    assert np.isclose(upright, 0, atol=1e-6).sum() + np.isclose(upright, 1, atol=1e-6).sum() == upright.size
    rim = tube.triangles[..., :2]
    side = upright < 0.5
    outward = rim[side] / np.linalg.norm(rim[side], axis=-1, keepdims=True)
    assert (np.einsum("ij,ij->i", normals[side][:, :2], outward) > 0.995).all()


def test_pictures_vary(chair):
    views, _ = render_views(chair, 12, seed=1, size=48)
    means = np.array([v[..., :3][v[..., 3] == 255].mean(axis=0) for v in views])
    assert means.mean(axis=1).std() > 15
    assert 20 < means.mean() < 220


def test_cameras_are_photo_like():
    rng = np.random.default_rng(0)
    cameras = [random_camera(rng) for _ in range(2000)]
    front = np.mean([c.azimuth <= 75 or c.azimuth >= 285 for c in cameras])
    elevation = np.array([c.elevation for c in cameras])
    assert front == pytest.approx(0.75, abs=0.03)
    assert elevation.min() >= -5 and elevation.max() <= 60 and np.mean(elevation > 40) < 0.12
    assert all(20 <= c.field_of_view <= 60 and abs(c.roll) <= 4 and c.distance > 1 for c in cameras)


def test_refusals(chair):
    with pytest.raises(MeshError, match="0 faces"):
        render_views(trimesh.Trimesh(), 1, seed=0)
    with pytest.raises(MeshError, match="finite"):
        render_views(trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, np.nan, 1]], [[0, 1, 2]], process=False), 1, seed=0)
    with pytest.raises(UsageError, match="1 cameras came for 2"):
        render_views(chair, 2, seed=0, cameras=CAMERAS[:1])
    with pytest.raises(UsageError, match="seed -1"):
        render_views(chair, 1, seed=-1)
    with pytest.raises(UsageError, match="seed -1"):
        backgrounds(1, seed=-1)
    with pytest.raises(UsageError, match="raise the distance"):
        render_views(chair, 1, seed=0, cameras=[Camera(0, 0, 0.1, 45)])


def test_backgrounds():
    rooms = backgrounds(16, seed=2, size=96)
    assert rooms.shape == (16, 96, 96, 3) and rooms.dtype == np.uint8
    assert (backgrounds(3, seed=2, size=96) == rooms[:3]).all()
    assert rooms.mean(axis=(1, 2, 3)).std() > 10
    assert np.median(rooms.std(axis=(1, 2)).mean(axis=1)) > 8
