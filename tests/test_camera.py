"""Cameras: conventions of the house, framing, matrices of OpenCV, seven numbers, rigs."""

from __future__ import annotations

import numpy as np
import pytest

from voxgan.camera import RIGS, Camera, cameras, random_camera
from voxgan.errors import UsageError

CAMERAS = [
    Camera(0, 0, 2, 45),
    Camera(90, 0, 2, 45),
    Camera(35, 25, 1.6, 55, roll=4),
    Camera(200, 60, 3, 25, roll=-3, shift=(0.05, -0.08)),
    Camera(310, -5, 2, 40, roll=20, shift=(-0.3, 0.2)),
]


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


def test_framing_keeps_the_perspective():
    camera = Camera(20, 15, 1.5, 50, roll=2, shift=(0.1, 0))
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (50, 3))
    before, after = camera.project(points), camera.framed(points).project(points)
    scale = np.ptp(after, axis=0) / np.ptp(before, axis=0)
    assert scale[0] == pytest.approx(scale[1])
    np.testing.assert_allclose(after - after.mean(axis=0), (before - before.mean(axis=0)) * scale)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("size", [64, 256])
def test_matrices_of_opencv_project_as_the_camera_does(camera: Camera, size: int):
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3))
    K, extrinsics = camera.intrinsics(size), camera.extrinsics
    x, y, depth = K @ extrinsics @ np.column_stack([points, np.ones(40)]).T
    assert (depth > 0).all()
    np.testing.assert_allclose(np.stack([x, y], 1) / depth[:, None], camera.project(points, size), atol=1e-9)
    turn = extrinsics[:, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(-turn.T @ extrinsics[:, 3], camera.position, atol=1e-12)
    assert K[0, 0] == K[1, 1] and (K[2] == [0, 0, 1]).all() and K[0, 1] == K[1, 0] == 0


def test_depth_grows_forward_and_y_goes_down():
    extrinsics = Camera(0, 0, 2, 45).extrinsics
    np.testing.assert_allclose(extrinsics @ [0, 0.1, 0, 1], [0, 0, 2.1], atol=1e-12)
    np.testing.assert_allclose(extrinsics @ [0, 0, 0.1, 1], [0, -0.1, 2], atol=1e-12)
    np.testing.assert_allclose(extrinsics @ [0.1, 0, 0, 1], [0.1, 0, 2], atol=1e-12)


@pytest.mark.parametrize("camera", CAMERAS)
def test_a_camera_is_its_seven_numbers(camera: Camera):
    assert camera.numbers.shape == (7,)
    assert Camera.from_numbers(camera.numbers) == camera
    stored = Camera.from_numbers(camera.numbers.astype(np.float32))
    assert np.abs(stored.project([[0.2, -0.3, 0.4]]) - camera.project([[0.2, -0.3, 0.4]])).max() < 1e-3


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([1, 2, 3], "expected 7"),
        ([0, 0, float("nan"), 40, 0, 0, 0], "expected 7 finite"),
        ([0, 0, 0, 40, 0, 0, 0], "distance above 0"),
        ([0, 0, 2, 180, 0, 0, 0], "0 to 180"),
    ],
)
def test_numbers_that_are_no_camera(numbers: list[float], words: str):
    with pytest.raises(UsageError, match=words):
        Camera.from_numbers(numbers)


def test_photo_cameras_depend_on_the_seed_and_their_place():
    some = cameras("photo", 5, seed=3)
    assert some[:2] == cameras("photo", 2, seed=3) and some != cameras("photo", 5, seed=4)
    assert some[4] == random_camera(np.random.default_rng([3, 4]))


def test_the_rig_of_72_views():
    rig = cameras("24x3", 72)
    assert [camera.azimuth for camera in rig[:24]] == [15.0 * i for i in range(24)]
    assert sorted({camera.elevation for camera in rig}) == [camera.elevation for camera in rig[::24]] == [10, 25, 40]
    assert len({(camera.azimuth, camera.elevation) for camera in rig}) == 72
    assert len({(camera.distance, camera.field_of_view, camera.roll) for camera in rig}) == 1
    for count in (0, 24, 71, 73):
        with pytest.raises(UsageError, match=rf"{count} views of the rig '24x3': expected 72"):
            cameras("24x3", count)


def test_the_turntable():
    assert [camera.azimuth for camera in cameras("turntable", 8)] == [45.0 * i for i in range(8)]
    assert len({camera.elevation for camera in cameras("turntable", 8)}) == 1
    assert cameras("turntable", 0) == []


def test_rigs_see_the_whole_cube():
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    for name in RIGS:
        for camera in cameras(name, 72):
            framed = camera.framed(corners).project(corners, size=1)
            assert framed.min() == pytest.approx(0.08) and framed.max() == pytest.approx(0.92)


def test_wrong_rigs():
    with pytest.raises(UsageError, match="did you mean 'turntable'"):
        cameras("turntabel", 4)
    with pytest.raises(UsageError, match="num_views=-1"):
        cameras("photo", -1)
    with pytest.raises(UsageError, match="seed=-2"):
        cameras("photo", 1, seed=-2)


def test_random_cameras_are_photo_like():
    rng = np.random.default_rng(0)
    many = [random_camera(rng) for _ in range(2000)]
    front = np.mean([c.azimuth <= 75 or c.azimuth >= 285 for c in many])
    elevation = np.array([c.elevation for c in many])
    assert front == pytest.approx(0.75, abs=0.03)
    assert elevation.min() >= -5 and elevation.max() <= 60 and np.mean(elevation > 40) < 0.12
    assert all(20 <= c.field_of_view <= 60 and abs(c.roll) <= 4 and c.distance > 1 for c in many)
