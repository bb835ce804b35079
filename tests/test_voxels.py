"""Shapes: batches, surface and export in every format."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from voxgan import graphics
from voxgan.errors import InputError, StorageError, SurfaceError, UsageError
from voxgan.mesh import EXPORT_SUFFIXES
from voxgan.volumes import read_volume
from voxgan.voxels import Shapes, cell_centres

turning = trimesh.transformations.rotation_matrix


def cells(shapes: Shapes) -> NDArray[np.bool_]:
    return shapes.occupancy[0] > 0.5


# ------------------------------------------------------------------------------------------------- Shapes
@pytest.fixture
def three() -> Shapes:
    grids = np.random.default_rng(0).random((3, 8, 8, 8))
    return Shapes(grids, np.array([1.0, 2, 3]), np.arange(9.0).reshape(3, 3))


def test_indexing_and_iteration(three):
    assert len(three) == 3 and three.resolution == 8 and repr(three) == "Shapes(3 shapes, 8³)"
    assert repr(three[0]) == "Shapes(1 shape, 8³)"
    for index, expected in [
        (0, [0]),
        (2, [2]),
        (-1, [2]),
        (-3, [0]),
        (np.int64(1), [1]),
        (slice(1, None), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        ([2, 0], [2, 0]),
        (np.array([False, True, True]), [1, 2]),
        ([], []),
    ]:
        picked = three[index]
        assert isinstance(picked, Shapes)
        np.testing.assert_array_equal(picked.occupancy, three.occupancy[expected])
        np.testing.assert_array_equal(picked.scale, np.array([1.0, 2, 3])[expected])
        np.testing.assert_array_equal(picked.centre, three.centre[expected])
    each = list(three)
    assert [one.scale.tolist() for one in each] == [[1], [2], [3]]
    assert all(len(one) == 1 for one in each)
    for index in (3, -4):
        with pytest.raises(IndexError):
            three[index]


def test_one_grid_becomes_a_batch_of_one():
    shapes = Shapes(np.zeros((4, 4, 4), bool))
    assert shapes.occupancy.shape == (1, 4, 4, 4) and shapes.occupancy.dtype == np.float32
    assert shapes.scale is None and shapes[0].centre is None


@pytest.mark.parametrize("shape", [(), (4,), (4, 4), (4, 4, 5), (1, 4, 4, 5), (1, 1, 4, 4, 4), (0, 0, 0), (1, 0, 0, 0)])
def test_shapes_refuses_what_is_no_batch_of_cubes(shape):
    with pytest.raises(InputError, match="expected"):
        Shapes(np.zeros(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_shapes_refuses_what_is_not_finite(bad):
    grid = np.zeros((2, 4, 4, 4))
    grid[1, 2, 3, 0] = bad
    with pytest.raises(InputError, match="NaN"):
        Shapes(grid)
    with pytest.raises(InputError, match="finite"):
        Shapes(np.zeros((4, 4, 4)), np.array([1.0]), np.array([[0, bad, 0]]))
    with pytest.raises(InputError, match="scale"):
        Shapes(np.zeros((4, 4, 4)), np.array([bad]), np.zeros((1, 3)))


def test_shapes_refuses_a_wrong_scale_or_centre():
    grid = np.zeros((2, 4, 4, 4))
    with pytest.raises(InputError, match="together"):
        Shapes(grid, scale=np.ones(2))
    with pytest.raises(InputError, match="together"):
        Shapes(grid, centre=np.zeros((2, 3)))
    for scale, centre in [(np.ones(3), np.zeros((2, 3))), (np.ones(2), np.zeros((2, 2)))]:
        with pytest.raises(InputError, match=r"expected \(2,"):
            Shapes(grid, scale, centre)
    for scale in (0.0, -1.0):
        with pytest.raises(InputError, match="above 0"):
            Shapes(grid, np.array([1.0, scale]), np.zeros((2, 3)))


def test_only_one_shape_makes_a_mesh_or_a_file(three, tmp_path):
    with pytest.raises(UsageError, match=r"shapes\[0\]"):
        three.to_mesh()
    for suffix in (".obj", ".npz", ".binvox"):
        with pytest.raises(UsageError, match=r"shapes\[0\]"):
            three.export(tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_to_mesh_options():
    ball = Shapes(np.linalg.norm(cell_centres(32), axis=-1) <= 0.4)
    assert len(ball.to_mesh(max_faces=300).faces) <= 300
    rough, smooth = ball.to_mesh(), ball.to_mesh(smooth=10)
    assert smooth.area < 0.95 * rough.area
    soft = Shapes(np.clip(1 - np.linalg.norm(cell_centres(32), axis=-1), 0, 1))
    assert soft.to_mesh(level=0.7).volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.03)
    assert soft.to_mesh(level=0.8).volume == pytest.approx(4 / 3 * np.pi * 0.2**3, rel=0.03)
    for grid in (np.zeros((8, 8, 8)), np.ones((8, 8, 8))):
        with pytest.raises(SurfaceError):
            Shapes(grid).to_mesh()


def test_specks_go_and_cavities_are_filled() -> None:
    grid = np.zeros((32, 32, 32), np.float32)
    grid[4:20, 4:20, 4:20] = 1
    grid[10, 10, 10] = 0  # a cavity
    grid[4, 12, 12] = 0  # a dent, open to the outside
    grid[28:30, 28:30, 28:30] = 0.8  # a speck
    shapes = Shapes(grid, np.array([2.0]), np.ones((1, 3)))
    cleaned = shapes.cleaned()
    assert shapes.to_mesh().body_count == 3
    assert cleaned.to_mesh().body_count == 1
    assert cleaned.occupancy[0, 4, 12, 12] == 0
    assert cleaned.scale is not None and cleaned.scale[0] == 2
    assert shapes.occupancy[0, 28, 28, 28] > 0, "the original is untouched"


def test_parts_of_some_size_stay() -> None:
    grid = np.zeros((32, 32, 32), np.float32)
    grid[4:10, 4:10, 4:10], grid[20:26, 20:26, 20:26] = 1, 1
    assert np.array_equal(Shapes(grid).cleaned().occupancy[0], grid)
    assert not Shapes(np.zeros((8, 8, 8))).cleaned().occupancy.any()


# ------------------------------------------------------------------------------------------------- pictures
def drawn(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (np.abs(picture.astype(int) - (250, 250, 251)) > 60).any(2)  # shadows are not


@pytest.fixture
def chairs() -> Shapes:
    """A chair, one twice as large, and nothing."""
    grids = np.zeros((3, 32, 32, 32), np.float32)
    for grid, step in zip(grids, (1, 2), strict=False):
        grid[16 - 6 * step : 16 + 6 * step, 16 - 6 * step : 16 + 6 * step, 15 : 15 + step] = 1
        grid[16 - 6 * step : 16 + 6 * step, 16 + 5 * step : 16 + 6 * step, 15 : 15 + 7 * step] = 1
    return Shapes(grids)


def test_both_renderers_draw_the_same_view(chairs):
    pytest.importorskip("pyvista", reason="the extra `viewer` is not installed")
    if graphics._probe() is not None:
        pytest.skip(f"OpenGL does not work here: {graphics._probe()}")
    for options in ({}, {"columns": 1}, {"azimuth": 120, "elevation": -10}, {"elevation": 90, "level": 0.3}):
        first, second = (
            drawn(chairs[:2].render((300, 200), renderer=renderer, **options)) for renderer in ("pyvista", "rays")
        )
        assert first.shape == second.shape == (200, 300)
        assert (first & second).sum() > 0.95 * (first | second).sum() > 0, options


def test_automatic_takes_opengl_where_it_works_and_says_nothing(chairs, monkeypatch):
    monkeypatch.setattr(graphics, "_probe", lambda: None)
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: object())
    scene = pytest.importorskip("viewer.scene")
    monkeypatch.setattr(scene, "screenshot", lambda *arguments: arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chairs.render((64, 48), 1, 2, 3, 0.4) == (chairs, (64, 48), 3, 0.4, 1, 2)


def test_without_opengl_rays_are_cast_and_a_warning_says_so(chairs, monkeypatch):
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(graphics, "_probe", lambda: "a trial picture ended with signal 11")
    with pytest.warns(UserWarning, match=r"^drawn by casting rays instead: .*signal 11.*apt-get install") as caught:
        picture = chairs.render((96, 64))
    assert caught[0].filename == __file__
    assert np.array_equal(picture, chairs.render((96, 64), renderer="rays"))
    with pytest.raises(UsageError, match="signal 11"):
        chairs.render((96, 64), renderer="pyvista")


def test_without_pyvista_rays_are_cast(chairs, monkeypatch):
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: None)
    with pytest.warns(UserWarning, match=r"rays instead: drawing with PyVista needs the package pyvista: run  pip"):
        assert drawn(chairs.render((96, 64))).any()


def test_a_crash_in_opengl_harms_nobody(tmp_path):
    """VTK that ends its process: a picture all the same, and a message in place of a window."""
    pytest.importorskip("pyvista", reason="the extra `viewer` is not installed")
    (tmp_path / "vtkmodules").mkdir()
    (tmp_path / "vtkmodules" / "__init__.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    code = """
import numpy as np, voxgan
ball = voxgan.Shapes(np.pad(np.ones((8, 8, 8)), 4))
print(ball.render((64, 48)).std() > 5)
try:
    ball.show()
except voxgan.VoxganError as error:
    print(error)
"""
    search = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": search, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "UserWarning: drawn by casting rays instead" in done.stderr and "Traceback" not in done.stderr
    picture, message = done.stdout.splitlines()
    assert picture == "True" and message.startswith("OpenGL does not work here (a trial picture ended with signal 11)")


@pytest.mark.parametrize("renderer", ["rays", "pyvista"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": (0, 5)}, "size=\\(0, 5\\)"),
        ({"size": (5, 9000)}, "1 to 8192"),
        ({"columns": 0}, "columns=0"),
        ({"elevation": 91}, "elevation=91"),
        ({"azimuth": np.inf}, "azimuth=inf"),
        ({"level": 1.0}, "level=1.0"),
        ({"size": (2, 2), "columns": 3}, "too small for 3 shapes"),
        ({"renderer": "opengl"}, "known: auto, pyvista, rays"),
    ],
)
def test_pictures_that_cannot_be(chairs, monkeypatch, renderer, options, words):
    monkeypatch.setattr("viewer.scene.check_graphics", lambda: None)
    if renderer == "pyvista":
        pytest.importorskip("pyvista", reason="the extra `viewer` is not installed")
    with pytest.raises(UsageError, match=words):
        chairs.render(**{"renderer": renderer, **options})
    with pytest.raises(UsageError, match="no shapes"):
        chairs[:0].render(renderer=renderer)


def test_a_notebook_shows_shapes_as_a_picture(chairs):
    def shown(shapes: Shapes) -> tuple[int, int]:
        with Image.open(io.BytesIO(shapes._repr_png_())) as image:
            return image.size

    assert shown(chairs) == (384, 128) and shown(chairs[0]) == (256, 256)
    assert shown(Shapes(np.zeros((100, 4, 4, 4)))) == (768, 4 * 128 + 24)
    assert chairs[:0]._repr_png_() is None


# ------------------------------------------------------------------------------------------------- export
@pytest.fixture(scope="module")
def wedge() -> Shapes:
    """A shape that no turn or mirror maps on itself, of known scale and place: 4 long, 2 wide, 1 high."""
    x, y, z = np.moveaxis(cell_centres(32), -1, 0)
    body = (abs(x) < 0.4) & (abs(y) < 0.2) & (abs(z) < 0.1)
    grid = body & ~((x > 0) & (y > 0)) & ~((x < -0.2) & (z > 0))
    return Shapes(grid, np.array([5.0]), np.array([[10.0, 20.0, 30.0]]))


def reread(path: Path) -> trimesh.Trimesh:
    """By trimesh, not by ourselves; glTF turned back to z-up."""
    mesh = trimesh.load(path, force="mesh")
    if path.suffix == ".glb":
        mesh.apply_transform(turning(np.pi / 2, (1, 0, 0)))
    mesh.merge_vertices()
    return mesh


@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES)
def test_every_mesh_format_keeps_scale_and_place(wedge, tmp_path, suffix):
    path = wedge.export(tmp_path / f"a{suffix}")
    assert path == tmp_path / f"a{suffix}"
    mesh, expected = reread(path), wedge.to_mesh()
    assert mesh.is_watertight and mesh.volume == pytest.approx(expected.volume, rel=1e-4)
    np.testing.assert_allclose(mesh.bounds, expected.bounds, atol=1e-4)
    np.testing.assert_allclose(mesh.center_mass, expected.center_mass, atol=1e-4)
    np.testing.assert_allclose(mesh.bounds.mean(axis=0), [10, 20, 30], atol=1e-4)


@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES)
def test_size_floor_and_up_axis(wedge, tmp_path, suffix):
    path = wedge.export(tmp_path / f"a{suffix}", size_mm=80)
    low, high = reread(path).bounds * (1000 if suffix == ".glb" else 1)
    expected = wedge.to_mesh().extents * 80 / wedge.to_mesh().extents.max()
    np.testing.assert_allclose(high - low, expected, atol=1e-3)
    assert high[0] - low[0] == pytest.approx(80, abs=1e-3)
    assert low[2] == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose((low + high)[:2], 0, atol=1e-3)


def test_only_glb_is_y_up(wedge, tmp_path):
    for suffix in EXPORT_SUFFIXES:
        mesh = trimesh.load(wedge.export(tmp_path / f"a{suffix}"), force="mesh")
        order = np.argsort(mesh.extents).tolist()
        assert order == ([1, 2, 0] if suffix == ".glb" else [2, 1, 0]), suffix
        x, y, z = wedge.to_mesh().center_mass
        np.testing.assert_allclose(mesh.center_mass, [x, z, -y] if suffix == ".glb" else [x, y, z], atol=1e-4)


@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES)
def test_size_of_a_shape_of_unknown_scale(wedge, tmp_path, suffix):
    generated = Shapes(wedge.occupancy)
    bounds = reread(generated.export(tmp_path / f"a{suffix}")).bounds
    if suffix in (".stl", ".3mf"):  # printed: millimetres
        assert np.ptp(bounds, axis=0).max() == pytest.approx(100, abs=1e-3)
        assert bounds[0, 2] == pytest.approx(0, abs=1e-3)
    else:
        np.testing.assert_allclose(bounds, generated.to_mesh().bounds, atol=1e-5)
    small = reread(generated.export(tmp_path / f"b{suffix}", size_mm=7)).extents.max()
    assert small == pytest.approx(0.007 if suffix == ".glb" else 7, rel=1e-4)


@pytest.mark.parametrize("suffix", [".npz", ".binvox", ".NPZ", ".BINVOX"])
@pytest.mark.parametrize("known", [True, False])
def test_voxel_formats(wedge, tmp_path, suffix, known):
    shapes = wedge if known else Shapes(wedge.occupancy)
    path = shapes.export(tmp_path / f"a{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    again = read_volume(path)
    np.testing.assert_array_equal(again.occupancy, wedge.occupancy)
    if known:
        np.testing.assert_allclose(again.scale, [5])
        np.testing.assert_allclose(again.centre, [[10, 20, 30]])


def test_npz_keeps_probabilities(tmp_path):
    grid = np.random.default_rng(0).random((16, 16, 16)).astype(np.float32)
    again = read_volume(Shapes(grid).export(tmp_path / "a.npz"))
    np.testing.assert_array_equal(again.occupancy[0], grid)
    assert again.scale is None


def test_binvox_as_trimesh_reads_it(wedge, tmp_path):
    with wedge.export(tmp_path / "a.binvox").open("rb") as file:
        other = trimesh.exchange.binvox.load_binvox(file)
    np.testing.assert_array_equal(np.asarray(other.matrix), cells(wedge))


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.stll", "a.obj.gz", ".obj"])
def test_unknown_suffix(wedge, tmp_path, name):
    with pytest.raises(UsageError, match=r"known: .*\.3mf"):
        wedge.export(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_export_where_nothing_can_be_written(wedge, tmp_path):
    (tmp_path / "file").write_text("x")
    for suffix in (".obj", ".npz", ".binvox"):
        with pytest.raises(StorageError, match="cannot write"):
            wedge.export(tmp_path / "file" / f"a{suffix}")
    with pytest.raises(SurfaceError):
        Shapes(np.zeros((4, 4, 4))).export(tmp_path / "a.obj")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
