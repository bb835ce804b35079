from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from data_prep.furniture import CLASSES, furniture
from data_prep.furniture_parts import bar, both, box, cushion, outline, oval, panel, plate, tube, turned
from voxgan.errors import UsageError
from voxgan.voxelisation import voxelise

SEEDS = range(20)
SIZES = {  # metres: the least and the greatest width, depth, height
    "bed": ((0.85, 1.9, 0.4), (2.2, 2.6, 2.3)),
    "bookshelf": ((0.25, 0.2, 0.6), (2.2, 0.7, 2.6)),
    "chair": ((0.38, 0.38, 0.5), (1.3, 1.2, 1.5)),
    "desk": ((0.95, 0.45, 0.7), (1.9, 1.9, 1.6)),
    "sofa": ((1.0, 0.7, 0.65), (3.6, 2.5, 1.2)),
    "table": ((0.35, 0.28, 0.34), (2.5, 1.4, 0.95)),
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
    "mirrored": lambda: both(box((0.5, 1), (0, 2), (0, 3)))[1],
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_closed_and_looks_outwards(part: str) -> None:
    mesh = trimesh.Trimesh(*PARTS[part](), process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume > 0


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
