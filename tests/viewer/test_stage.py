"""The stage: what is drawn of a session, in every display, from every side."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from voxgan.errors import InputError, VoxganError
from voxgan.graphics import check_graphics
from voxgan.models.gan3d import GAN3D, Config
from voxgan.voxels import Shapes, cell_centres

pyvista = pytest.importorskip("pyvista", reason="the extra `viewer` is not installed")
try:
    check_graphics()
except VoxganError as error:
    pytest.skip(str(error), allow_module_level=True)

from vtkmodules.util.numpy_support import vtk_to_numpy

from viewer.scene import BACKGROUND
from viewer.session import DISPLAYS, Session
from viewer.stage import Stage
from viewer.stage_bodies import Cubes, SoftLight, Surface, exposed_faces

SIZE = (160, 120)


def chair(resolution: int = 16) -> NDArray[np.float32]:
    """A seat, a back at +y, and one arm at +x: no two sides are alike."""
    x, y, z = np.moveaxis(cell_centres(resolution), -1, 0)
    seat = (abs(x) < 0.4) & (abs(y) < 0.4) & (z > -0.45) & (z < -0.1)
    back = (abs(x) < 0.4) & (y > 0.2) & (y < 0.4) & (z > -0.2) & (z < 0.45)
    arm = (x > 0.2) & (x < 0.4) & (abs(y) < 0.4) & (z > -0.2) & (z < 0.2)
    grid: NDArray[np.float32] = (seat | back | arm).astype(np.float32)
    return grid


@pytest.fixture
def session() -> Session:
    """A session whose shape is what `shown` is set to."""
    model = GAN3D(Config(resolution=16, width=4))
    model.decode = lambda z: Shapes(model.shown)  # type: ignore[method-assign, assignment, return-value]
    model.shown = chair()  # type: ignore[assignment]
    return Session(model, "small")


def show(session: Session, grid: NDArray[np.float32]) -> None:
    session.model.shown = grid  # type: ignore[assignment]
    session._decoded.clear()
    session._raw = None


@pytest.fixture
def stage(session: Session) -> Iterator[Stage]:
    plotter = pyvista.Plotter(off_screen=True, window_size=SIZE, notebook=False)
    yield Stage(plotter, session, anchors=False)
    plotter.close()


def seen(image: NDArray[np.uint8], contrast: int = 60) -> NDArray[np.bool_]:
    """Where the shape is; shadows are fainter."""
    return (np.abs(image.astype(int) - BACKGROUND) > contrast).any(2)


def window(stage: Stage) -> NDArray[np.uint8]:
    """What the stage's own plotter shows now."""
    stage.plotter.render_window.Render()
    return np.array(stage.plotter.screenshot(return_img=True), np.uint8)[..., :3]


# Bodies


def test_exposed_faces_are_those_that_touch_the_air_and_point_there() -> None:
    inside = np.zeros((4, 4, 4), bool)
    inside[1:3, 1, 1] = inside[3, 3, 3] = True
    corners, normals = exposed_faces(inside)
    assert len(corners) == 4 * (10 + 6)
    quads = corners.reshape(-1, 4, 3)
    crossed = np.cross(quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 1])
    assert np.allclose(crossed * 16, normals[::4])
    pair = quads[(quads[..., 2] <= 0).all(1)]
    outwards = ((pair.mean(1) - pair.mean((0, 1))) * normals.reshape(-1, 4, 3)[(quads[..., 2] <= 0).all(1), 0]).sum(1)
    assert (outwards > 0).all()
    assert corners.min() == -0.25 and corners.max() == 0.5


@pytest.mark.parametrize("resolution", [8, 15, 32])
def test_the_surface_is_closed_and_where_the_mesh_of_the_library_is(resolution: int) -> None:
    grid = np.zeros((resolution,) * 3, np.float32)
    grid[2:, 1:-1, 0:-3] = 0.9  # touches two sides of the grid
    body = Surface()
    body.show(grid, 0.5, SoftLight(grid, 0.5))
    surface = pyvista.wrap(body.data)
    mesh = Shapes(grid).to_mesh()
    assert surface.n_open_edges == 0
    assert np.allclose(np.array(surface.bounds).reshape(3, 2).T, mesh.bounds, atol=1e-5)
    assert surface.volume == pytest.approx(mesh.volume, rel=1e-4)


def test_normals_point_outwards_and_corners_are_dark() -> None:
    ball = (np.linalg.norm(cell_centres(32), axis=-1) < 0.35).astype(np.float32)
    body = Surface()
    body.show(ball, 0.5, SoftLight(ball, 0.5))
    points = vtk_to_numpy(body.data.GetPoints().GetData())
    normals = vtk_to_numpy(body.data.GetPointData().GetNormals())
    assert (np.sum(points * normals, axis=1) > 0.3).all()
    angle = np.zeros((32, 32, 32), np.float32)
    angle[4:28, 4:28, 4:8] = angle[4:8, 4:28, 4:28] = 1
    light = SoftLight(angle, 0.5)
    floor = np.array([[x, 0.0, -0.25] for x in (-0.22, 0.1)], np.float32)
    inner, free = light.colours(floor, np.tile(np.float32([0, 0, 1]), (2, 1))).astype(int).sum(1)
    assert inner < 0.85 * free


def test_cubes_take_no_time_to_speak_of() -> None:
    noise = np.random.default_rng(0).random((64, 64, 64)).astype(np.float32)
    corners, _ = exposed_faces(noise > 0.5)
    assert len(corners) // 4 > 300_000  # the worst there is: yet no loop over cells
    Cubes().show(noise, 0.9, SoftLight(noise, 0.9))


# What is seen


def test_every_display_shows_the_same_shape_in_its_own_way(stage: Stage) -> None:
    pictures = {}
    for display in DISPLAYS:
        stage.session.set_display(display)
        stage.update()
        pictures[display] = window(stage)
        assert stage.message == ""
    mesh, voxels, points = (seen(pictures[display]) for display in ("mesh", "voxels", "points"))
    assert mesh.sum() > 1000
    for other in (voxels, points):
        assert (mesh & other).sum() > 0.75 * (mesh | other).sum()
    for one, other in (("mesh", "voxels"), ("mesh", "points"), ("voxels", "points")):
        assert np.abs(pictures[one].astype(int) - pictures[other]).mean() > 1


def test_the_shape_faces_the_front_three_quarters(stage: Stage) -> None:
    stage.update()
    stage.reset_camera()
    assert np.allclose(stage.camera()["position"], [4 * x for x in (0.5198, -0.7424, 0.4226)], atol=1e-3)
    for azimuth, back_is_right in ((90.0, True), (270.0, False)):
        stage.reset_camera()
        stage.turn(azimuth - 35, -25)
        upper = seen(window(stage))
        upper = upper[: np.flatnonzero(upper.any(1))[0] + 8]
        columns = np.flatnonzero(upper.any(0))
        assert (columns.mean() > SIZE[0] / 2) == back_is_right


def test_a_higher_level_shows_less(stage: Stage) -> None:
    distance = np.linalg.norm(cell_centres(16), axis=-1)
    show(stage.session, np.clip(1 - 1.6 * distance, 0, 1).astype(np.float32))
    areas = []
    for level in (0.3, 0.5, 0.7):
        stage.session.set_level(level)
        stage.update()
        areas.append(seen(window(stage)).sum())
    assert areas[0] > 1.3 * areas[1] > 1.5 * areas[2] > 0


def test_there_is_a_soft_shadow_on_the_floor_seen_from_above_only(stage: Stage) -> None:
    stage.update()
    image = window(stage)
    shadow = seen(image, 5) & ~seen(image, 40)
    assert shadow.sum() > 200
    stage.turn(0, -60)  # from below
    image = window(stage)
    assert (seen(image, 5) & ~seen(image, 40)).sum() < 60


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_no_surface_is_said_in_words_and_comes_back(stage: Stage, value: float) -> None:
    stage.update()
    shown = window(stage)
    show(stage.session, np.full((16, 16, 16), value, np.float32))
    stage.session.set_clean(False)
    for display in DISPLAYS:
        stage.session.set_display(display)
        stage.update()
        assert stage.message.startswith("no surface at this level") and "\n" not in stage.message
        rows, columns = np.nonzero(seen(window(stage)))
        assert 20 < len(rows) < 1500 and abs(rows.mean() - SIZE[1] / 2) < 6 and abs(columns.mean() - SIZE[0] / 2) < 6
    show(stage.session, chair())
    stage.session.set_display("mesh")
    stage.update()
    assert stage.message == ""
    assert np.array_equal(window(stage), shown)


def test_an_error_of_the_session_is_a_message_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(z: torch.Tensor) -> Shapes:
        raise InputError("occupancy holds NaN")

    stage.session._decoded.clear()
    stage.session._raw = None
    monkeypatch.setattr(stage.session.model, "decode", fails)
    stage.update()
    assert stage.message == "occupancy holds NaN"
    assert len(stage.picture((32, 24))) == 24


def test_nothing_is_made_again_that_has_not_changed(stage: Stage) -> None:
    stage.update()
    body = stage._bodies["mesh"]
    before = body.data.GetMTime(), body.mapper.GetAddressAsString(""), body.actor.GetAddressAsString("")
    stage.update()
    assert body.data.GetMTime() == before[0]
    stage.session.set_level(0.4)
    stage.update()
    assert body.data.GetMTime() > before[0]
    assert (body.mapper.GetAddressAsString(""), body.actor.GetAddressAsString("")) == before[1:]


def test_fast_leaves_out_smooth_edges_and_nothing_else(stage: Stage) -> None:
    stage.update()
    still = window(stage)
    stage.update(fast=True)
    fast = window(stage)
    assert stage.plotter.render_window.GetMultiSamples() == 0
    stage.update()
    assert stage.plotter.render_window.GetMultiSamples() > 0
    assert np.array_equal(window(stage), still)
    assert (seen(still) != seen(fast)).mean() < 0.02
    if np.array_equal(still, fast):
        pytest.skip("this OpenGL smooths no edges")


def test_another_session_of_another_resolution_takes_its_place(stage: Stage) -> None:
    stage.update()
    small = seen(window(stage))
    model = GAN3D(Config(resolution=32, width=4))
    model.decode = lambda z: Shapes(chair(32))  # type: ignore[method-assign, assignment]
    stage.session = Session(model, "larger")
    stage.update()
    large = seen(window(stage))
    assert (small & large).sum() > 0.8 * (small | large).sum() and not np.array_equal(small, large)


def test_margins_move_the_shape_and_keep_it_whole(stage: Stage) -> None:
    show(stage.session, np.pad(np.ones((14, 14, 14), np.float32), 1))
    stage.update()
    for left, bottom, right, top in ((0, 0, 0, 0), (80, 0, 0, 0), (0, 60, 0, 0), (10, 0, 60, 50)):
        stage.keep_clear(left, bottom, right, top)
        shape = seen(window(stage))
        rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
        assert columns[0] >= left - 1 and columns[-1] <= SIZE[0] - right
        assert rows[0] >= top - 1 and rows[-1] <= SIZE[1] - bottom
        assert abs(columns.mean() - (SIZE[0] + left - right) / 2) < 2
        assert abs(rows.mean() - (SIZE[1] + top - bottom) / 2) < 2


# The camera


def test_a_camera_comes_back(stage: Stage) -> None:
    stage.update()
    stage.turn(70, 30)
    stage.zoom(0.8)
    stage.shift(10, -5)
    there, camera = window(stage), stage.camera()
    stage.reset_camera()
    assert not np.array_equal(window(stage), there)
    stage.set_camera(camera)
    assert np.abs(window(stage).astype(int) - there).mean() < 0.1
    for key, numbers in stage.camera().items():
        assert numbers == pytest.approx(camera[key])


@pytest.mark.parametrize(
    "camera",
    [
        None,
        {},
        {"position": [0, 0, 0], "focal_point": [0, 0, 0], "up": [0, 0, 1], "scale": [1]},
        {"position": [0, 0, 3], "focal_point": [0, 0, 0], "up": [0, 0, 1], "scale": [1]},
        {"position": [0, -3, 0], "focal_point": [0, 0, 0], "up": [0, 0, 1], "scale": [0]},
        {"position": [0, -3, 0], "focal_point": [0, 0, 0], "up": [0, 0, 1], "scale": []},
        {"position": [0, -3], "focal_point": [0, 0, 0], "up": [0, 0, 1], "scale": [1]},
        {"position": [0, -1e300, 0], "focal_point": [0, 0, 0], "up": [0, 0, 1], "scale": [1]},
        {"position": [0, float("nan"), 0], "focal_point": [0, 0, 0], "up": [0, 0, 1], "scale": [1]},
        {"position": ["a"] * 3, "focal_point": [0, 0, 0], "up": [0, 0, 1], "scale": [1]},
    ],
)
def test_what_is_no_camera_is_the_view_from_the_front(stage: Stage, camera: dict[str, list[float]] | None) -> None:
    stage.reset_camera()
    usual = stage.camera()
    stage.turn(50)
    stage.set_camera(camera)
    assert stage.camera() == usual


def test_the_camera_goes_all_around_but_not_over_the_top(stage: Stage) -> None:
    start = stage.camera()
    for _ in range(12):
        stage.turn(30)
    assert stage.camera()["position"] == pytest.approx(start["position"])
    for _ in range(9):
        stage.turn(0, 40)
    x, y, z = stage.camera()["position"]
    assert z > 3.9 and np.hypot(x, y) > 0.01
    stage.turn(0, -89 - 25)
    assert stage.camera()["position"][2] < 0


# Pictures


def test_a_picture_shows_what_is_seen_without_the_anchors(session: Session) -> None:
    plotter = pyvista.Plotter(off_screen=True, window_size=(320, 240), notebook=False)
    try:
        stage = Stage(plotter, session)
        stage.update()
        assert seen(window(stage))[-60:].any()
        picture = stage.picture((100, 80))
        assert picture.shape == (80, 100, 3) and picture.dtype == np.uint8
        rows = np.flatnonzero(seen(picture).any(1))
        assert abs(rows.mean() - 40) < 8 and not seen(picture)[-6:].any()
        stage.turn(90)
        assert not np.array_equal(stage.picture((100, 80)), picture)
    finally:
        plotter.close()


def test_a_turntable_goes_round_once(stage: Stage) -> None:
    stage.update()
    frames = list(stage.turntable(4, (60, 60)))
    assert [frame.shape for frame in frames] == [(60, 60, 3)] * 4
    assert np.array_equal(frames[0], stage.picture((60, 60)))
    for i in range(4):
        for j in range(i):
            assert np.abs(frames[i].astype(int) - frames[j]).mean() > 1


def test_plotters_are_closed_whatever_happens(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    close = pyvista.Plotter.close
    monkeypatch.setattr(pyvista.Plotter, "close", lambda self: (closed.append(self), close(self))[1])
    turning = stage.turntable(4, (32, 32))
    next(turning)
    assert not closed
    turning.close()  # type: ignore[attr-defined]
    assert len(closed) == 1
    monkeypatch.setattr(Stage, "_frame", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stage.picture()
    assert len(closed) == 2
