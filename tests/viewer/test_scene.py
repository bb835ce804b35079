from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from voxgan import graphics as opengl
from voxgan.errors import MissingExtraError, UsageError

pytest.importorskip("pyvista", reason="the extra `viewer` is not installed")
scene = pytest.importorskip("viewer.scene")
voxels = pytest.importorskip("voxgan.voxels")


@pytest.fixture
def graphics() -> None:
    reason = opengl._probe()
    if reason is not None:
        pytest.skip(f"OpenGL does not work here: {reason}")


def box_and_rod() -> NDArray[np.float32]:
    grids = np.zeros((2, 16, 16, 16), np.float32)
    grids[0, 4:12, 4:12, 4:12] = 1
    grids[1, 7:9, 7:9, 2:14] = 1
    return grids


def drawn(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (np.abs(image.astype(int) - scene.BACKGROUND) > 8).any(2)


@pytest.mark.usefixtures("graphics")
def test_two_shapes_stand_side_by_side() -> None:
    image = scene.screenshot(voxels.Shapes(box_and_rod()), size=(200, 100), columns=2, azimuth=0, elevation=0)
    assert image.shape == (100, 200, 3) and image.dtype == np.uint8
    seen = drawn(image)
    assert seen[:, :100].sum() > 2 * seen[:, 100:].sum() > 0
    assert not seen[[0, -1]].any() and not seen[:, [0, -1]].any()


@pytest.mark.usefixtures("graphics")
def test_which_side_is_tall_depends_on_the_azimuth() -> None:
    grid = np.zeros((16, 16, 16), np.float32)
    grid[2:14, 2:14, 2:5] = 1
    grid[10:14, 10:14, 2:14] = 1
    for azimuth, right in ((0, True), (90, True), (180, False), (270, False)):
        upper = drawn(scene.screenshot(voxels.Shapes(grid), (80, 80), azimuth=azimuth, elevation=0))[:38]
        assert (upper[:, 40:].sum() > upper[:, :40].sum()) == right


@pytest.mark.usefixtures("graphics")
def test_an_empty_shape_leaves_a_word() -> None:
    grids = box_and_rod()
    grids[1] = 0
    seen = drawn(scene.screenshot(voxels.Shapes(grids), size=(300, 150), columns=2))
    assert seen[:, :150].any()
    rows, columns = np.nonzero(seen[:, 150:])
    assert 0 < len(rows) < 800 and np.ptp(rows) < 40 and np.ptp(columns) > 15
    assert abs(rows.mean() - 75) < 5 and abs(columns.mean() - 75) < 5


@pytest.mark.usefixtures("graphics")
def test_a_shape_of_another_scale_is_shown_in_its_place() -> None:
    far = voxels.Shapes(box_and_rod(), np.array([70.0, 3.0]), np.array([[500.0, 0, 0], [0, -9.0, 4]]))
    assert np.array_equal(
        scene.screenshot(far, size=(64, 32)), scene.screenshot(voxels.Shapes(box_and_rod()), size=(64, 32))
    )


@pytest.mark.usefixtures("graphics")
def test_a_full_grid_is_a_cube_and_the_level_counts() -> None:
    areas = [
        drawn(scene.screenshot(voxels.Shapes(grid), (64, 64), level=level)).sum()
        for grid, level in ((np.ones((8, 8, 8)), 0.5), (np.full((8, 8, 8), 0.4), 0.3))
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.1) and areas[0] > 0.3 * 64 * 64


@pytest.mark.usefixtures("graphics")
def test_plotters_are_closed_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyvista

    closed = []
    close = pyvista.Plotter.close
    monkeypatch.setattr(pyvista.Plotter, "close", lambda self: (closed.append(self), close(self))[1])
    with pytest.raises(UsageError, match="elevation=100"):
        scene.screenshot(voxels.Shapes(box_and_rod()), size=(16, 16), elevation=100)
    assert closed


@pytest.mark.usefixtures("graphics")
def test_show_opens_one_window_and_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyvista

    calls = []
    show, close = pyvista.Plotter.show, pyvista.Plotter.close
    monkeypatch.setattr(pyvista, "OFF_SCREEN", True)
    monkeypatch.setattr(scene, "has_screen", lambda: True)
    monkeypatch.setattr(pyvista.Plotter, "show", lambda self: (calls.append("show"), show(self))[1])
    monkeypatch.setattr(pyvista.Plotter, "close", lambda self: (calls.append("close"), close(self))[1])
    scene.show(voxels.Shapes(box_and_rod()))
    assert calls[0] == "show" and "close" in calls and calls.count("show") == 1


def test_a_failed_probe_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "_probe", lambda: "a trial picture ended with signal 11")
    for call in (scene.show, scene.screenshot):
        with pytest.raises(UsageError, match=r"signal 11.*apt-get install libegl1 libgl1-mesa-dri"):
            call(voxels.Shapes(box_and_rod()))


def test_without_pyvista(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"voxgan-3d\[viewer\]"):
        scene.screenshot(voxels.Shapes(box_and_rod()))


def test_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl, "_probe", lambda: None)
    monkeypatch.setattr(scene, "has_screen", lambda: False)
    with pytest.raises(UsageError, match=r"no display .*take a picture of them, shapes\.render\(\)"):
        voxels.Shapes(box_and_rod()).show()


def test_import_does_not_bring_pyvista() -> None:
    code = "import sys, viewer.scene; sys.exit('pyvista' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
