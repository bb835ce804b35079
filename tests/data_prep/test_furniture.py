from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from data_prep.furniture import CLASSES, furniture
from data_prep.furniture.parts import (
    bar,
    both,
    box,
    cushion,
    hoop,
    moved,
    outline,
    oval,
    panel,
    plate,
    rising,
    squircle,
    tube,
    turned,
    twisted,
)
from voxgan.errors import UsageError
from voxgan.voxelisation import voxelise

SEEDS = range(20)
SIZES = {  # metres: the least and the greatest width, depth, height
    "bathtub": ((1.0, 0.65, 0.4), (2.5, 2.2, 1.8)),
    "bed": ((0.85, 1.9, 0.4), (2.2, 2.6, 2.3)),
    "bench": ((0.65, 0.2, 0.36), (2.6, 1.4, 1.25)),
    "bookshelf": ((0.25, 0.2, 0.6), (2.2, 0.7, 2.6)),
    "chair": ((0.38, 0.38, 0.5), (1.3, 1.2, 1.5)),
    "desk": ((0.95, 0.45, 0.7), (1.9, 1.9, 1.6)),
    "dresser": ((0.35, 0.38, 0.65), (2.1, 0.75, 2.2)),
    "lamp": ((0.1, 0.1, 0.25), (1.4, 1.8, 2.1)),
    "monitor": ((0.25, 0.1, 0.22), (1.8, 0.7, 1.0)),
    "night_stand": ((0.35, 0.32, 0.38), (0.75, 0.65, 0.85)),
    "sofa": ((1.0, 0.7, 0.65), (3.6, 2.5, 1.2)),
    "stool": ((0.24, 0.22, 0.3), (0.65, 0.85, 1.1)),
    "table": ((0.35, 0.28, 0.34), (2.5, 1.4, 0.95)),
    "toilet": ((0.3, 0.44, 0.36), (1.0, 1.0, 2.2)),
    "tv_stand": ((0.85, 0.35, 0.35), (2.3, 0.75, 1.8)),
    "wardrobe": ((0.4, 0.45, 1.7), (2.4, 1.8, 2.75)),
}
PARTS = {
    "box": lambda: box((0, 1), (0, 2), (0, 3)),
    "square bar": lambda: bar((0, 0, 0), (0.1, 0.2, 1), 0.05),
    "round bar downwards": lambda: bar((0, 0, 1), (0, 0, 0), 0.05, sides=12, taper=0.5),
    "cushion": lambda: cushion((0, 1), (0, 1), (0, 0.2), 0.05),
    "oval": lambda: plate(oval((0, 1), (0, 2)), (0, 0.1)),
    "outline along y": lambda: plate(outline((0, 1), (0, 2), 0.2), (0, 0.1), axis=1),
    "panel": lambda: panel((-1, 1), lambda u: 0.1 * u**2, (0.0, lambda u: 1 - 0.2 * u**2), 0.05),
    "tube": lambda: tube([(0, 0, 0), (0, 0, 1), (0, 1, 1)], 0.05),
    "turned": lambda: turned([(0.3, 0), (0.1, 0.1), (0.1, 0.7)]),
    "hoop": lambda: hoop(
        [np.insert(oval((-r, r), (-r, r)), 2, z, axis=1) for r, z in ((1, 0), (1, 1), (0.8, 1), (0.8, 0))]
    ),
    "vessel": lambda: rising([(oval((-r, r), (-r, r)), z) for r, z in ((1, 0), (1, 1), (0.8, 1), (0.8, 0.2))]),
    "squircle": lambda: plate(squircle((0, 1), (0, 2), 2.0, 6.0), (0, 0.1)),
    "twisted and moved": lambda: moved(twisted([box((0, 1), (0, 2), (0, 3))], 40, about=(1, 0, 0)), x=2)[0],
    "mirrored": lambda: both(box((0.5, 1), (0, 2), (0, 3)))[1],
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_closed_and_looks_outwards(part: str) -> None:
    mesh = trimesh.Trimesh(*PARTS[part](), process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0


def test_a_hoop_is_open_and_a_vessel_hollow() -> None:
    disc = trimesh.Trimesh(*plate(oval((-1, 1), (-1, 1)), (0, 1)), process=False).volume
    assert trimesh.Trimesh(*PARTS["hoop"](), process=False).volume == pytest.approx(0.36 * disc)
    assert trimesh.Trimesh(*PARTS["vessel"](), process=False).volume == pytest.approx((1 - 0.8 * 0.64) * disc)


def test_a_part_is_twisted_about_a_point() -> None:
    vertices, _ = twisted([box((0, 1), (0, 2), (0, 3))], 90)[0]
    assert np.allclose([vertices.min(axis=0), vertices.max(axis=0)], [(-2, 0, 0), (0, 1, 3)])
    vertices, _ = twisted([box((0, 1), (0, 2), (0, 3))], 180, axis=0, about=(0, 1, 1))[0]
    assert np.allclose([vertices.min(axis=0), vertices.max(axis=0)], [(0, 0, -1), (1, 2, 2)])


def test_a_squircle_lies_between_an_oval_and_its_rectangle() -> None:
    def area(points: np.ndarray) -> float:
        (x, y), (next_x, next_y) = points.T, np.roll(points, -1, axis=0).T
        return abs(float((x * next_y - y * next_x).sum())) / 2

    areas = [area(squircle((-1, 1), (-2, 2), power, num_points=200)) for power in (2, 3, 8)]
    assert areas[0] == pytest.approx(2 * np.pi, rel=1e-3)
    assert areas[0] < areas[1] < areas[2] < 8


def test_a_box_has_its_volume() -> None:
    assert trimesh.Trimesh(*box((0, 1), (0, 2), (0, 3)), process=False).volume == pytest.approx(6)


@pytest.mark.parametrize("class_name", CLASSES)
def test_the_same_seed_gives_the_same_mesh_and_another_one_another(class_name: str) -> None:
    first, again, other = furniture(class_name, 5), furniture(class_name, 5), furniture(class_name, 6)
    assert np.array_equal(first.vertices, again.vertices)
    assert np.array_equal(first.faces, again.faces)
    assert not np.array_equal(first.extents, other.extents)


@pytest.mark.parametrize("class_name", CLASSES)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_piece_is_closed_light_and_of_a_real_size(class_name: str, seed: int) -> None:
    mesh = furniture(class_name, seed)
    assert np.isfinite(mesh.vertices).all()
    assert mesh.bounds[0, 2] == 0
    assert np.allclose(mesh.bounds[:, :2].sum(axis=0), 0)
    assert len(mesh.faces) < 5000
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    low, high = SIZES[class_name]
    assert (mesh.extents >= low).all(), mesh.extents
    assert (mesh.extents <= high).all(), mesh.extents
    assert all(part.volume > 0 for part in mesh.split(only_watertight=False))


@pytest.mark.parametrize("class_name", ["chair", "sofa", "bed"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_back_stands_at_plus_y(class_name: str, seed: int) -> None:
    mesh = furniture(class_name, seed)
    points = mesh.triangles_center
    above = points[:, 2] > (0.75 if class_name == "chair" else 0.6) * mesh.extents[2]
    height = np.average(points[above, 1], weights=mesh.area_faces[above])
    assert height > -0.05 * mesh.extents[1]


def _relief(grid: np.ndarray) -> int:
    """How many neighbouring lines of sight along +y end at different depths."""
    depth = np.where(grid.any(axis=1), grid.argmax(axis=1), grid.shape[1])
    return int((np.diff(depth, axis=0) != 0).sum() + (np.diff(depth, axis=1) != 0).sum())


@pytest.mark.parametrize("class_name", ["dresser", "night_stand", "tv_stand", "wardrobe"])
def test_doors_drawers_and_openings_are_at_the_front(class_name: str) -> None:
    grids = [voxelise(furniture(class_name, seed), 48).occupancy[0] > 0.5 for seed in range(12)]
    fronts, backs = [_relief(grid) for grid in grids], [_relief(grid[:, ::-1]) for grid in grids]
    assert sum(front > back for front, back in zip(fronts, backs, strict=True)) >= 10
    assert sum(fronts) > 1.2 * sum(backs)


def _first_y(mesh: trimesh.Trimesh, x: float, z: float) -> float:
    """Where a line of sight along +y first meets the mesh; not a number where it meets nothing."""
    a, b, c = np.moveaxis(mesh.triangles, 1, 0)
    ab, ac, at = (b - a)[:, ::2], (c - a)[:, ::2], (x, z) - a[:, ::2]
    with np.errstate(divide="ignore", invalid="ignore"):
        across = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
        u = (at[:, 0] * ac[:, 1] - at[:, 1] * ac[:, 0]) / across
        v = (ab[:, 0] * at[:, 1] - ab[:, 1] * at[:, 0]) / across
        y = (a + u[:, None] * (b - a) + v[:, None] * (c - a))[(u >= 0) & (v >= 0) & (u + v <= 1), 1]
    return float(y.min()) if len(y) else float("nan")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_screen_is_sunk_or_bent_back_at_the_front(seed: int) -> None:
    mesh = furniture("monitor", seed)
    places = np.linspace(*mesh.bounds[:, 0], 202)[1:-1] + 1e-5
    depth = np.array([_first_y(mesh, x, 0.712 * mesh.extents[2]) for x in places])
    depth = depth[np.isfinite(depth)]
    band = len(depth) // 5
    screen = np.median(depth[band:-band])
    assert depth[:band].min() < screen - 0.003
    assert depth[-band:].min() < screen - 0.003


@pytest.mark.parametrize("seed", SEEDS)
def test_the_highest_of_a_toilet_is_at_its_back(seed: int) -> None:
    mesh = furniture("toilet", seed)
    high = mesh.vertices[:, 2] > 0.85 * mesh.extents[2]
    assert mesh.vertices[high, 1].mean() > 0.1 * mesh.extents[1]
    bowl = (mesh.vertices[:, 2] > 0.25) & (mesh.vertices[:, 2] < 0.5)
    assert mesh.vertices[bowl, 1].min() < mesh.bounds[0, 1] + 0.1 * mesh.extents[1]


def test_a_lamp_that_reaches_out_reaches_to_the_front() -> None:
    reaching = 0
    for seed in range(60):
        mesh = furniture("lamp", seed)
        foot = mesh.vertices[mesh.vertices[:, 2] < 0.03 * mesh.extents[2], 1]
        middle = (foot.min() + foot.max()) / 2
        if abs(middle) > 0.1 * mesh.extents[1]:
            reaching += 1
            assert middle > 0, seed
    assert reaching > 5


def test_the_back_of_a_bench_stands_at_plus_y_and_many_have_none() -> None:
    backed = 0
    for seed in range(40):
        mesh = furniture("bench", seed)
        if mesh.extents[2] > 0.7:
            backed += 1
            points, high = mesh.triangles_center, mesh.triangles_center[:, 2] > 0.85 * mesh.extents[2]
            assert np.average(points[high, 1], weights=mesh.area_faces[high]) > 0.05 * mesh.extents[1], seed
    assert 8 < backed < 34


@pytest.mark.parametrize("seed", range(12))
def test_a_bathtub_is_hollow(seed: int) -> None:
    """Seen from above, much of the plan lies deep below the rim, in one piece."""
    grid = voxelise(furniture("bathtub", seed), 48).occupancy[0] > 0.5
    grid = grid[:, :, np.nonzero(grid.any(axis=(0, 1)))[0][0] :]
    columns = grid.any(axis=2)
    tops = np.where(columns, grid.shape[2] - 1 - np.argmax(grid[:, :, ::-1], axis=2), 0)
    rim = np.median(tops[columns & ~ndimage.binary_erosion(columns, iterations=2)])
    hollow, _ = ndimage.label(columns & (tops < 0.6 * rim))
    assert np.bincount(hollow.ravel())[1:].max() > 0.2 * columns.sum()


@pytest.mark.parametrize("class_name", ["bookshelf", "night_stand", "tv_stand", "wardrobe"])
def test_open_compartments_stay_open(class_name: str) -> None:
    filled = []
    for seed in range(8):
        grid = voxelise(furniture(class_name, seed), 32).occupancy[0] > 0.5
        box_of = ndimage.find_objects(grid.astype(int))[0]
        filled.append(grid[box_of].mean())
    assert min(filled) < 0.5


@pytest.mark.parametrize("class_name", CLASSES)
def test_a_class_varies(class_name: str) -> None:
    extents = np.array([furniture(class_name, seed).extents for seed in SEEDS])
    assert ((extents.std(axis=0) / extents.mean(axis=0)).max()) > 0.1
    assert len({len(furniture(class_name, seed).faces) for seed in SEEDS}) > 8


def test_an_unknown_class_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'chair'"):
        furniture("chiar", 0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="-1"):
        furniture("chair", -1)


@pytest.mark.parametrize("class_name", CLASSES)
def test_a_piece_hangs_together(class_name: str) -> None:
    for seed in range(8):
        occupied = voxelise(furniture(class_name, seed), 64).occupancy[0] > 0.5
        assert ndimage.label(occupied, np.ones((3, 3, 3)))[1] == 1, seed


@pytest.mark.parametrize("class_name", CLASSES)
def test_a_piece_hangs_together_on_a_coarse_grid(class_name: str) -> None:
    for seed in range(5):
        occupied = voxelise(furniture(class_name, seed), 32).occupancy[0] > 0.5
        sizes = np.bincount(ndimage.label(occupied, np.ones((3, 3, 3)))[0].ravel())[1:]
        assert sizes.max() > 0.99 * sizes.sum(), seed
