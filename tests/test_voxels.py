"""Meshes and volumes to occupancy and back: analytic solids, thin parts, damaged meshes, every file format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from scipy.ndimage import label

from voxgan.errors import InputError, MeshError, StorageError, SurfaceError, UsageError
from voxgan.mesh import EXPORT_SUFFIXES, surface
from voxgan.volumes import read_volume, resample
from voxgan.voxelisation import voxelise
from voxgan.voxels import FILL, Shapes, cell_centres

PLACE = np.array([3.0, -2.0, 5.0])
EVERY_WAY = np.ones((3, 3, 3), int)  # 26 neighbours
turning = trimesh.transformations.rotation_matrix


def box(low, high) -> trimesh.Trimesh:
    low, high = np.array(low, float), np.array(high, float)
    return trimesh.creation.box(high - low, trimesh.transformations.translation_matrix((low + high) / 2))


def in_box(p):
    return (np.abs(p) <= [1.0, 0.8, 2.0]).all(-1)


def in_ball(p):
    return np.linalg.norm(p, axis=-1) <= 2


def in_cylinder(p):
    return (np.hypot(p[..., 0], p[..., 1]) <= 1) & (np.abs(p[..., 2]) <= 1.5)


def in_torus(p):
    return np.hypot(np.hypot(p[..., 0], p[..., 1]) - 2, p[..., 2]) <= 0.7


def in_cone(p):
    return (p[..., 2] >= 0) & (np.hypot(p[..., 0], p[..., 1]) <= 1 - p[..., 2] / 3)


SOLIDS = {
    "box": (lambda: trimesh.creation.box((2, 1.6, 4)), in_box),
    "ball": (lambda: trimesh.creation.icosphere(5, 2.0), in_ball),
    "cylinder": (lambda: trimesh.creation.cylinder(1.0, 3.0, sections=256), in_cylinder),
    "torus": (lambda: trimesh.creation.torus(2.0, 0.7, major_sections=128, minor_sections=64), in_torus),
    "cone": (lambda: trimesh.creation.cone(1.0, 3.0, sections=256), in_cone),
}


@pytest.fixture(params=SOLIDS)
def solid(request):
    """A closed mesh that stands at PLACE, and the formula that says what is inside."""
    make, inside = SOLIDS[request.param]
    mesh = make()
    mesh.apply_translation(PLACE)
    return mesh, inside


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def cells(shapes: Shapes) -> NDArray[np.bool_]:
    return shapes.occupancy[0] > 0.5


def source_points(shapes: Shapes) -> NDArray[np.float64]:
    """The cells' centres in the source's own coordinates."""
    return cell_centres(shapes.resolution) * shapes.scale[0] + shapes.centre[0]


def pieces(grid: NDArray[np.bool_], structure=EVERY_WAY) -> int:
    return int(label(grid, structure)[1])


# ----------------------------------------------------------------------------------------- mesh → occupancy
def test_analytic_solids_in_the_meshs_own_coordinates(solid):
    mesh, inside = solid
    shapes = voxelise(mesh, 64)
    assert iou(cells(shapes), inside(source_points(shapes) - PLACE)) >= 0.99
    assert shapes.scale[0] == pytest.approx(mesh.extents.max() / FILL)
    np.testing.assert_allclose(shapes.centre[0], mesh.bounds.mean(axis=0), atol=1e-9)


def test_flipped_faces(solid):
    mesh, inside = solid
    turned = np.random.default_rng(0).random(len(mesh.faces)) < 0.5
    mesh.faces[turned] = mesh.faces[turned][:, ::-1]
    assert not mesh.is_winding_consistent
    shapes = voxelise(mesh, 64)
    assert iou(cells(shapes), inside(source_points(shapes) - PLACE)) >= 0.99


@pytest.mark.parametrize("order", [1, -1])
def test_doubled_faces(solid, order):
    mesh, inside = solid
    doubled = trimesh.Trimesh(mesh.vertices, np.concatenate([mesh.faces, mesh.faces[:, ::order]]), process=False)
    assert not doubled.is_watertight
    shapes = voxelise(doubled, 64)
    assert iou(cells(shapes), inside(source_points(shapes) - PLACE)) >= 0.99


def test_holes(solid):
    mesh, inside = solid
    while len(mesh.faces) < 2000:
        mesh = mesh.subdivide()
    kept = np.random.default_rng(0).random(len(mesh.faces)) >= 0.015
    holed = trimesh.Trimesh(mesh.vertices, mesh.faces[kept], process=False)
    assert not holed.is_watertight
    shapes = voxelise(holed, 64)
    assert iou(cells(shapes), inside(source_points(shapes) - PLACE)) >= 0.99


TURNS = [(0, (0, 0, 1)), (17, (1, 0, 0)), (33, (1, 2, 3)), (45, (0, 1, 0)), (45, (1, 1, 0))]


@pytest.mark.parametrize("thickness", [0.02, 0.3, 0.9])
@pytest.mark.parametrize(("degrees", "axis"), TURNS)
def test_a_thin_plate_is_whole_and_parts_its_two_sides(thickness, degrees, axis):
    plate = trimesh.creation.box((60, 40, thickness))  # at 64³ a cell is about 1
    turn = turning(np.radians(degrees), axis)
    plate.apply_transform(turn)
    shapes = voxelise(plate, 64)
    grid = cells(shapes)
    assert pieces(grid) == 1
    own = (source_points(shapes) - shapes.centre[0]) @ turn[:3, :3]
    around = (np.abs(own) <= [27, 17, 6]).all(-1)  # the plate's middle: nobody walks around its edge
    air, _ = label(around & ~grid)
    above, below = (set(np.unique(air[around & ~grid & (side * own[..., 2] > 3)])) for side in (1, -1))
    assert above and below and not above & below
    assert np.abs(own[grid]).max(axis=0)[2] < 2  # and it is no thicker than it must be


@pytest.mark.parametrize("thickness", [0.02, 0.3, 0.9])
@pytest.mark.parametrize(("degrees", "axis"), TURNS)
@pytest.mark.parametrize("kind", ["box", "cylinder"])
def test_a_thin_rod_is_whole(thickness, degrees, axis, kind):
    if kind == "box":
        rod = trimesh.creation.box((60, thickness, thickness))
    else:
        rod = trimesh.creation.cylinder(thickness / 2, 60, sections=16)
    rod.apply_transform(turning(np.radians(degrees), axis))
    shapes = voxelise(rod, 64)
    grid = cells(shapes)
    assert pieces(grid) == 1
    span = np.ptp(np.argwhere(grid), axis=0) + 1
    assert span.max() == 60
    np.testing.assert_allclose(span * shapes.scale[0] / 64, rod.extents, atol=2.5 * shapes.scale[0] / 64)


def test_a_thin_leg_under_a_thick_top_stays_joined():
    table = trimesh.util.concatenate([box((-1, -1, 0.9), (1, 1, 1)), box((0.7, 0.7, 0), (0.701, 0.701, 0.95))])
    grid = cells(voxelise(table, 64))
    assert pieces(grid) == 1
    assert grid[:, :, 19].any() and not grid[:40, :, 19].any()


def test_a_deep_open_compartment_stays_open():
    def wall(p):
        x, y, z = np.moveaxis(np.abs(p), -1, 0)
        return (x < 0.15) & (y < 0.45) & (z < 0.15) & ~((x < 0.1) & (p[..., 1] < 0.4) & (z < 0.1))

    tube = surface(wall(cell_centres(40)))
    assert tube.is_watertight
    shapes = voxelise(tube, 64)
    x, y, z = np.moveaxis(source_points(shapes), -1, 0)
    inside = (abs(x) < 0.09) & (abs(z) < 0.09) & (y < 0.38)
    assert inside.sum() > 500 and not cells(shapes)[inside].any()
    assert cells(shapes)[(abs(x) < 0.14) & (abs(z) < 0.14) & (y > 0.42) & (y < 0.44)].all()


def test_a_shelf_of_overlapping_panels_has_open_compartments():
    panels = [box((-1, -1, z), (1, 1, z + 0.1)) for z in np.linspace(-1, 0.9, 6)]
    panels += [box((-1, -1, -1), (-0.9, 1, 1)), box((0.9, -1, -1), (1, 1, 1)), box((-1, 0.9, -1), (1, 1, 1))]
    shapes = voxelise(trimesh.util.concatenate(panels), 64)
    p = source_points(shapes)
    expected = np.any([((p >= m.bounds[0]) & (p <= m.bounds[1])).all(-1) for m in panels], axis=0)
    assert iou(cells(shapes), expected) >= 0.99


def test_a_cavity_without_an_opening_is_filled():
    """Documented so: what nobody sees and no printer can empty is solid."""
    inner = trimesh.creation.icosphere(4, 0.5)
    inner.invert()
    hollow = trimesh.util.concatenate([trimesh.creation.icosphere(4, 1.0), inner])
    assert hollow.is_watertight and hollow.volume < 3.7
    shapes = voxelise(hollow, 64)
    assert iou(cells(shapes), np.linalg.norm(source_points(shapes), axis=-1) <= 1) >= 0.99


def test_an_open_sheet_marks_the_cells_it_runs_through():
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], [[0, 1, 2], [0, 2, 3]], process=False)
    grid = cells(voxelise(sheet, 32))
    assert grid.sum() == 30 * 30
    assert grid[1:31, 1:31].any(axis=2).all()
    turn = turning(0.5, (1, 2, 0))
    sheet.apply_transform(turn)
    shapes = voxelise(sheet, 32)
    grid = cells(shapes)
    own = (source_points(shapes) - shapes.centre[0]) @ turn[:3, :3] * 32 / shapes.scale[0]
    assert pieces(grid) == 1
    assert np.abs(own[grid][:, 2]).max() <= np.sqrt(3) / 2 + 1e-6
    around = (np.abs(own) <= [10, 10, 4]).all(-1)
    air, _ = label(around & ~grid)
    above, below = (set(np.unique(air[around & ~grid & (side * own[..., 2] > 2)])) for side in (1, -1))
    assert above and below and not above & below


def test_an_open_half_ball_is_a_bowl_or_a_solid_never_empty():
    ball = trimesh.creation.icosphere(4)
    bowl = trimesh.Trimesh(ball.vertices, ball.faces[ball.triangles_center[:, 2] > 0], process=False)
    shapes = voxelise(bowl, 32)
    p = source_points(shapes)[cells(shapes)]
    assert pieces(cells(shapes)) == 1
    assert np.linalg.norm(p, axis=1).max() < 1 + shapes.scale[0] / 16


@pytest.mark.parametrize("resolution", [2, 16, 33])
def test_other_resolutions(resolution):
    shapes = voxelise(trimesh.creation.box((1, 1, 1)), resolution)
    assert shapes.occupancy.shape == (1, *(resolution,) * 3)
    assert shapes.occupancy.mean() == pytest.approx(FILL**3, abs=3 / resolution)
    assert set(np.unique(shapes.occupancy)) <= {0, 1}


def test_voxelise_is_deterministic_and_leaves_the_mesh_alone():
    mesh = trimesh.creation.torus(1, 0.01)
    before = mesh.vertices.copy()
    assert (voxelise(mesh, 32).occupancy == voxelise(mesh, 32).occupancy).all()
    assert (mesh.vertices == before).all()


def test_voxelise_refuses():
    mesh = trimesh.creation.box()
    for resolution in (0, 1, 513):
        with pytest.raises(UsageError, match="2 to 512"):
            voxelise(mesh, resolution)
    with pytest.raises(MeshError, match="no faces"):
        voxelise(trimesh.Trimesh(mesh.vertices, np.zeros((0, 3), int), process=False), 16)
    with pytest.raises(MeshError, match="no extent"):
        voxelise(trimesh.Trimesh(np.ones((3, 3)), [[0, 1, 2]], process=False), 16)
    vertices = np.array(mesh.vertices)
    vertices[0, 0] = np.nan
    with pytest.raises(MeshError, match="finite"):
        voxelise(trimesh.Trimesh(vertices, mesh.faces, process=False, validate=False), 16)


# --------------------------------------------------------------------------------------------- round trip
def test_mesh_to_cells_to_mesh(solid):
    mesh, _ = solid
    again = voxelise(mesh, 64).to_mesh()
    assert again.is_watertight and again.is_winding_consistent
    assert again.volume == pytest.approx(mesh.volume, rel=0.02)  # positive: the normals point outwards
    cell = mesh.extents.max() / 60
    np.testing.assert_allclose(again.bounds, mesh.bounds, atol=cell)
    np.testing.assert_allclose(again.center_mass, mesh.center_mass, atol=cell / 2)


def test_to_mesh_options():
    ball = Shapes(in_ball(cell_centres(32) * 5))
    assert len(ball.to_mesh(max_faces=300).faces) <= 300
    rough, smooth = ball.to_mesh(), ball.to_mesh(smooth=10)
    assert smooth.area < 0.95 * rough.area
    soft = Shapes(np.clip(1 - np.linalg.norm(cell_centres(32), axis=-1), 0, 1))
    assert soft.to_mesh(level=0.7).volume == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.03)
    assert soft.to_mesh(level=0.8).volume == pytest.approx(4 / 3 * np.pi * 0.2**3, rel=0.03)
    for grid in (np.zeros((8, 8, 8)), np.ones((8, 8, 8))):
        with pytest.raises(SurfaceError):
            Shapes(grid).to_mesh()


# ------------------------------------------------------------------------------------------------ volumes
def test_resample_keeps_one_cell_thin_legs():
    volume = np.zeros((30, 30, 30), np.uint8)
    volume[3:27, 3:27, 18:20] = 1
    for x in (3, 26):
        for y in (3, 26):
            volume[x, y, 3:18] = 1
    shapes = resample(volume, 64)
    grid = cells(shapes)
    assert pieces(grid, None) == 1
    low, high = np.argwhere(grid).min(axis=0), np.argwhere(grid).max(axis=0) + 1
    assert (high - low).max() == FILL * 64
    assert np.abs(low + high - 64).max() <= 1  # centred, to half a cell
    for layer in range(low[2] + 1, low[2] + 35):
        assert pieces(grid[:, :, layer], None) == 4
    assert shapes.scale[0] == pytest.approx(24 / FILL)
    np.testing.assert_allclose(shapes.centre[0], [15, 15, 11.5])


def test_resample_of_an_uneven_volume():
    volume = np.zeros((20, 9, 33), bool)
    volume[2:17, 1:8, 4:9] = True
    shapes = resample(volume, 32)
    p = source_points(shapes)
    expected = ((p >= [2, 1, 4]) & (p <= [17, 8, 9])).all(-1)
    assert iou(cells(shapes), expected) >= 0.95


def test_resample_refuses():
    for empty in (np.zeros((4, 4, 4)), np.full((4, 4, 4), np.nan)):
        with pytest.raises(SurfaceError, match="empty"):
            resample(empty)
    with pytest.raises(InputError, match="three axes"):
        resample(np.ones((4, 4)))


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


# ---------------------------------------------------------------------------------------- damaged volumes
HEADER = b"#binvox 1\ndim 2 2 2\ntranslate -1 -2 -3\nscale 4\ndata\n"


def test_the_order_of_cells_in_a_binvox_file_written_by_hand(tmp_path):
    """The format's rule: y runs fastest, then z, then x."""
    path = tmp_path / "a.binvox"
    bits = [0, 1, 0, 0, 0, 0, 1, 0]  # (x, z, y): 001 and 110
    path.write_bytes(HEADER + b"".join(bytes([bit, 1]) for bit in bits))
    shapes = read_volume(path)
    assert np.argwhere(shapes.occupancy[0]).tolist() == [[0, 1, 0], [1, 0, 1]]
    assert shapes.scale.tolist() == [4] and shapes.centre.tolist() == [[1, 0, -1]]
    path.write_bytes(HEADER + bytes([0, 1, 1, 1, 0, 4, 1, 1, 0, 1]))
    np.testing.assert_array_equal(read_volume(path).occupancy, shapes.occupancy)
    shapes.export(tmp_path / "b.binvox")
    np.testing.assert_array_equal(read_volume(tmp_path / "b.binvox").occupancy, shapes.occupancy)
    assert (tmp_path / "b.binvox").read_bytes().endswith(bytes([0, 1, 1, 1, 0, 4, 1, 1, 0, 1]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#binvox 1\n",
        b"solid\nfacet\n",
        HEADER,
        HEADER + bytes([1, 7]),
        HEADER + bytes([1, 9]),
        HEADER + bytes([1, 8, 0]),
        HEADER.replace(b"dim 2 2 2", b"dim 2 2") + bytes([1, 4]),
        HEADER.replace(b"dim 2 2 2", b"dim 1 2 4") + bytes([1, 8]),
        HEADER.replace(b"dim 2 2 2", b"dim 0 0 0"),
        HEADER.replace(b"dim 2 2 2", b"dim -2 -2 -2") + bytes([1, 8]),
        HEADER.replace(b"dim 2 2 2", b"dim 99999 99999 99999") + bytes([1, 8]),
        HEADER.replace(b"dim 2 2 2", b"dim a b c") + bytes([1, 8]),
        HEADER.replace(b"dim 2 2 2\n", b"") + bytes([1, 8]),
        HEADER.replace(b"scale 4", b"scale nan") + bytes([1, 8]),
        HEADER.replace(b"scale 4", b"scale 0") + bytes([1, 8]),
        HEADER.replace(b"scale 4", b"scale") + bytes([1, 8]),
        HEADER.replace(b"translate -1 -2 -3", b"translate -1 inf -3") + bytes([1, 8]),
        HEADER.replace(b"translate -1 -2 -3", b"translate -1 -2") + bytes([1, 8]),
        HEADER.replace(b"scale 4", b"scale \xff") + bytes([1, 8]),
    ],
)
def test_damaged_binvox(tmp_path, content):
    path = tmp_path / "a.binvox"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.binvox"):
        read_volume(path)


def test_no_advice_to_load_unsafely(tmp_path):
    import pickle

    path = tmp_path / "a.npz"
    np.savez(path, occupancy=np.array([{}], object))
    contents = [path.read_bytes(), pickle.dumps([1]), b"nonsense"]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz") as caught:
            read_volume(path)
        assert "pickle" not in str(caught.value)


def test_damaged_npz(wedge, tmp_path):
    path = wedge.export(tmp_path / "a.npz")
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:-10], b"\0" * 500):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz"):
            read_volume(path)
    flips = np.random.default_rng(0).integers(0, 8 * len(whole), 100)
    for place in flips.tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            again = read_volume(path)
        except InputError:
            continue
        np.testing.assert_array_equal(again.occupancy, wedge.occupancy)


@pytest.mark.parametrize(
    "arrays",
    [
        {"other": np.zeros((4, 4, 4))},
        {"occupancy": np.zeros((4, 4))},
        {"occupancy": np.full((4, 4, 4), np.nan)},
        {"occupancy": np.array([["a"]])},
        {"occupancy": np.array([{"a": 1}], dtype=object)},
        {"occupancy": np.zeros((4, 4, 4)), "scale": np.ones(1)},
        {"occupancy": np.zeros((4, 4, 4)), "scale": np.ones(5), "centre": np.zeros((1, 3))},
        {"occupancy": np.zeros((4, 4, 4)), "scale": np.array([np.nan]), "centre": np.zeros((1, 3))},
    ],
)
def test_npz_of_something_else(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError):
        read_volume(tmp_path / "a.npz")


def test_missing_volume(tmp_path):
    for name in ("a.npz", "a.binvox"):
        with pytest.raises(StorageError, match="cannot read"):
            read_volume(tmp_path / name)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(StorageError, match="cannot read"):
        read_volume(tmp_path / "folder.npz")


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
