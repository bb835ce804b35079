"""Where shapes come from: folders of meshes and volumes, ModelNet's layout, the furniture."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh
from scipy.io import savemat

from data_prep.furniture import CLASSES
from data_prep.sources import MODELNET_TURNS, Item, find_items
from voxgan.errors import DatasetError, InputError, MeshError, StorageError, UsageError
from voxgan.voxels import FILL, Shapes, cell_centres

DATA = os.environ.get("VOXGAN_TEST_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="VOXGAN_TEST_DATA does not name the folder of real data")


def save(path: Path, extents=(1, 1, 1)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(extents).export(path)
    return path


def listed(items: list[Item], root: Path) -> list[tuple[str, str, str]]:
    return [(str(Path(item.source).relative_to(root)), item.class_name, item.split) for item in items]


# ------------------------------------------------------------------------------------------------ folders
def test_class_is_the_folder_and_split_where_it_is_named(tmp_path):
    for name in ("chair/train/a.obj", "chair/test/b.off", "train/bed/c.stl", "Test/bed/deep/d.PLY", "bed/e.glb"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()  # only listed, not read
    Shapes(np.ones((4, 4, 4))).export(tmp_path / "chair" / "train" / "f.binvox")
    (tmp_path / "chair" / "readme.txt").write_text("no shape")
    items = find_items(tmp_path)
    assert sorted(listed(items, tmp_path)) == [
        ("Test/bed/deep/d.PLY", "bed", "test"),
        ("bed/e.glb", "bed", "train"),
        ("chair/test/b.off", "chair", "test"),
        ("chair/train/a.obj", "chair", "train"),
        ("chair/train/f.binvox", "chair", "train"),
        ("train/bed/c.stl", "bed", "train"),
    ]
    assert {item.name: item.kind for item in items} == {
        "chair/train/a": "mesh",
        "chair/test/b": "mesh",
        "train/bed/c": "mesh",
        "Test/bed/deep/d": "mesh",
        "bed/e": "mesh",
        "chair/train/f": "volume",
    }


def test_names_are_unique(tmp_path):
    for name in ("chair/1/model_normalized.obj", "chair/2/model_normalized.obj", "chair/2/model_normalized.ply"):
        save(tmp_path / name)
    names = [item.name for item in find_items([tmp_path, tmp_path / "chair" / "2"])]
    assert names == [
        "chair/1/model_normalized",
        "chair/2/model_normalized",
        "chair/2/model_normalized (2)",
        "model_normalized",
        "model_normalized (2)",
    ]


def test_classes_and_limit_count_over_all_sources(tmp_path):
    for name in ("one/chair/train", "two/chair/train", "two/bed/train"):
        for i in range(3):
            save(tmp_path / name / f"{i}.obj")
    sources = [tmp_path / "one", tmp_path / "two"]
    items = find_items(sources, classes=[" bed", "chair "], limit=4)
    assert Counter(item.class_name for item in items) == {"chair": 4, "bed": 3}
    with pytest.raises(DatasetError, match="no class 'lamp'"):
        find_items(sources, classes=["lamp"])
    assert {item.class_name for item in find_items([*sources, "furniture"], classes=["sofa"])} == {"sofa"}


def test_a_small_class_has_a_test_shape_too(tmp_path):
    for i in range(3):
        save(tmp_path / "chair" / f"{i}.obj")
    save(tmp_path / "bed" / "0.obj")
    for share, tests in [(0.1, ["chair/2"]), (0, [])]:
        items = find_items(tmp_path, test_share=share)
        assert [item.name for item in items if item.split == "test"] == tests


def test_the_last_of_each_class_become_the_test(tmp_path):
    for i in range(10):
        save(tmp_path / "chair" / f"{i}.obj")
        save(tmp_path / "bed" / f"{i}.obj")
    for share, tests in [(0.1, "9"), (0.3, "789"), (0.0, ""), (0.05, "9")]:
        items = find_items(tmp_path, test_share=share)
        for name in ("bed", "chair"):
            found = [item.name for item in items if item.class_name == name and item.split == "test"]
            assert found == [f"{name}/{i}" for i in tests]
        assert {item.split for item in items} <= {"train", "test"}


def test_meshes_without_a_class_take_the_folders_name(tmp_path):
    save(tmp_path / "cups" / "a.obj")
    save(tmp_path / "cups" / "train" / "b.obj")
    assert {item.class_name for item in find_items(tmp_path / "cups")} == {"cups"}


@pytest.mark.parametrize("name", ["a.obj", "-é 漢🙂.STL", "train/a.obj"])
def test_one_file(tmp_path, name):
    (item,) = find_items(save(tmp_path / "cups" / name))
    assert (item.name, item.split, item.kind) == (Path(name).stem, "train", "mesh")
    assert item.load(16)[0].occupancy.any()


def test_order_is_the_same_each_time_and_limit_counts_class_and_split(tmp_path):
    for name in ("chair/train", "chair/test", "bed/train"):
        for i in range(4):
            save(tmp_path / name / f"{i}.obj")
    items = find_items(tmp_path)
    assert items == find_items(tmp_path) and len(items) == 12
    few = find_items(tmp_path, limit=3)
    counts = Counter((item.class_name, item.split) for item in few)
    assert counts == {("chair", "train"): 3, ("chair", "test"): 3, ("bed", "train"): 3}
    assert [item for item in items if item in few] == few
    assert {item.class_name for item in find_items(tmp_path, classes=["bed"])} == {"bed"}


def test_find_items_refuses(tmp_path):
    with pytest.raises(StorageError, match="no such folder or file"):
        find_items(tmp_path / "missing")
    with pytest.raises(DatasetError, match="no shapes in it"):
        find_items(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DatasetError, match="no shapes in it"):
        find_items(tmp_path)
    with pytest.raises(DatasetError, match="no mesh or volume"):
        find_items(tmp_path / "a.txt")
    save(tmp_path / "chair" / "a.obj")
    with pytest.raises(DatasetError, match="did you mean 'chair'"):
        find_items(tmp_path, classes=["chiar"])
    with pytest.raises(UsageError, match="expected z or y"):
        find_items(tmp_path, up="x")


# ------------------------------------------------------------------------------------------------ loading
def arrow() -> trimesh.Trimesh:
    """A post that stands on the left front corner of a plate: no two axes or directions alike. z is up."""
    plate = trimesh.creation.box((4, 3, 0.5), trimesh.transformations.translation_matrix((0, 0, 0.25)))
    post = trimesh.creation.box((1, 1, 2.5), trimesh.transformations.translation_matrix((-1.5, -1, 1.25)))
    return trimesh.util.concatenate([plate, post])


def test_a_mesh_comes_in_the_unit_cube_with_its_occupancy(tmp_path):
    mesh = arrow()
    mesh.apply_transform(trimesh.transformations.translation_matrix((50, 60, 70)))
    mesh.export(tmp_path / "a.ply")
    shapes, inside = find_items(tmp_path / "a.ply")[0].load(32)
    np.testing.assert_allclose(inside.extents, np.array([4, 3, 2.5]) / 4 * FILL, atol=1e-5)
    np.testing.assert_allclose(inside.bounds.sum(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(shapes.centre[0], mesh.bounds.mean(axis=0), atol=1e-4)
    assert shapes.scale[0] == pytest.approx(4 / FILL)
    x, y, z = np.moveaxis(cell_centres(32)[shapes.occupancy[0] > 0.5], -1, 0)
    top = z > 0
    assert top.any() and x[top].max() < 0 and y[top].max() < 0


@pytest.mark.parametrize("suffix", [".obj", ".off", ".stl", ".ply"])
def test_y_up_files_are_stood_up(tmp_path, suffix):
    upright = arrow()
    lying = upright.copy()
    lying.vertices = np.stack([upright.vertices[:, 0], upright.vertices[:, 2], -upright.vertices[:, 1]], axis=1)
    upright.export(tmp_path / f"z{suffix}")
    lying.export(tmp_path / f"y{suffix}")
    expected = find_items(tmp_path / f"z{suffix}")[0].load(16)[0]
    found, mesh = find_items(tmp_path / f"y{suffix}", up="y")[0].load(16)
    np.testing.assert_array_equal(found.occupancy, expected.occupancy)
    assert mesh.volume > 0
    other = find_items(tmp_path / f"y{suffix}")[0].load(16)[0]
    assert (other.occupancy != expected.occupancy).any()


@pytest.mark.parametrize("up", ["y", "z"])
def test_glb_is_y_up_whatever_is_said(tmp_path, up):
    from voxgan.mesh import export

    export(arrow(), tmp_path / "a.GLB")
    export(arrow(), tmp_path / "a.obj")
    found = find_items(tmp_path / "a.GLB", up=up)[0].load(16)[0]
    np.testing.assert_array_equal(found.occupancy, find_items(tmp_path / "a.obj")[0].load(16)[0].occupancy)


@pytest.mark.parametrize("suffix", [".npz", ".binvox"])
def test_volumes_are_resampled_and_centred(tmp_path, suffix):
    grid = np.zeros((20, 20, 20))
    grid[0:10, 2:7, 3:5] = 1
    (item,) = find_items(Shapes(grid).export(tmp_path / f"a{suffix}"))
    shapes, mesh = item.load(32)
    assert mesh is None
    span = np.argwhere(shapes.occupancy[0] > 0.5)
    assert (span.max(axis=0) - span.min(axis=0) + 1).tolist() == [30, 15, 6]
    assert np.abs(span.max(axis=0) + span.min(axis=0) - 31).max() <= 1


def test_a_damaged_file_is_an_input_error(tmp_path):
    for name, kind in [("a.obj", MeshError), ("a.npz", InputError), ("a.binvox", InputError)]:
        (tmp_path / name).write_text("nonsense")
        with pytest.raises(kind, match=name):
            find_items(tmp_path / name)[0].load(16)


# ----------------------------------------------------------------------------------------------- ModelNet
def chair(back: int) -> np.ndarray:
    """A 30³ chair whose back stands at the low (0) or high (1) end of axis 0."""
    volume = np.zeros((30, 30, 30), np.uint8)
    volume[5:25, 7:23, 12:15] = 1
    volume[5:8, 7:23, 3:12] = volume[22:25, 7:23, 3:12] = 1
    volume[slice(22, 25) if back else slice(5, 8), 7:23, 15:27] = 1
    return volume


def save_volume(root: Path, name: str, volume: np.ndarray) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"instance": volume}, do_compression=True)
    return path


def test_modelnet_layout(tmp_path):
    for class_name, number, split in [("chair", 1, "train"), ("chair", 2, "test"), ("sofa", 1, "train")]:
        for rotation in (1, 2, 12):
            save_volume(
                tmp_path / "volumetric_data" / class_name / "30" / split,
                f"{class_name}_{number:09d}_{rotation}.mat",
                chair(1),
            )
    save_volume(tmp_path / "volumetric_data" / "chair" / "30" / "train", "notes.mat", chair(1))
    for root in (tmp_path, tmp_path / "volumetric_data"):
        items = find_items(root)
        assert [(item.name, item.class_name, item.split) for item in items] == [
            ("chair_000000002_1", "chair", "test"),
            ("chair_000000001_1", "chair", "train"),
            ("sofa_000000001_1", "sofa", "train"),
        ]
        assert {item.kind for item in items} == {"modelnet"}
    assert len(find_items(tmp_path, rotations=2)) == 6
    assert len(find_items(tmp_path, rotations=12)) == 9
    with pytest.raises(DatasetError, match="did you mean 'sofa'"):
        find_items(tmp_path, classes=["sofas"])


def upper_centre(occupancy: np.ndarray) -> np.ndarray:
    """Mean place of the cells of the upper third of the shape's height, (3,)."""
    points = cell_centres(len(occupancy))[occupancy > 0.5]
    low, high = points[:, 2].min(), points[:, 2].max()
    return points[points[:, 2] > high - (high - low) / 3].mean(axis=0)


def test_modelnet_classes_are_turned_to_the_houses_front(tmp_path):
    """A ModelNet chair has its back at +x and is turned; a class that is not named stays as it is."""
    assert MODELNET_TURNS["chair"] == 1 and "sofa" not in MODELNET_TURNS
    for class_name, expected in [("chair", (0, 1)), ("sofa", (1, 0))]:
        save_volume(tmp_path / class_name / "30" / "train", f"{class_name}_1_1.mat", chair(1))
        (item,) = find_items(tmp_path, classes=[class_name])
        shapes, mesh = item.load(32)
        assert mesh is None
        x, y, z = upper_centre(shapes.occupancy[0])
        side = 0.3
        assert (x > side, y > side) == (bool(expected[0]), bool(expected[1]))
        assert abs(y if expected[0] else x) < 0.02 and z > 0.2


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0 MAT-file", b"\0" * 300])
def test_a_damaged_mat_is_an_input_error(tmp_path, content):
    path = save_volume(tmp_path / "chair" / "30" / "train", "chair_1_1.mat", chair(1))
    (item,) = find_items(tmp_path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a ModelNet volume"):
        item.load(16)
    path.unlink()
    with pytest.raises(StorageError, match="cannot read"):
        item.load(16)


def test_a_mat_of_something_else_is_an_input_error(tmp_path):
    path = save_volume(tmp_path / "chair" / "30" / "train", "chair_1_1.mat", np.ones((30, 30)))
    (item,) = find_items(tmp_path)
    with pytest.raises(InputError, match="three axes"):
        item.load(16)
    savemat(path, {"other": 1})
    with pytest.raises(InputError, match="expected the variable 'instance'"):
        item.load(16)


@needs_data
@pytest.mark.parametrize("class_name", ["chair", "sofa", "bed"])
def test_real_modelnet_backs_and_heads_lie_at_plus_y(tmp_path, class_name):
    with h5py.File(Path(str(DATA)) / "modelnet40_30_rot12.h5") as file:
        packed = file[class_name]["train"][:40, 0]
        names = [name.decode() for name in file[class_name]["train_ids"][:40]]
    volumes = np.unpackbits(packed, axis=-1, count=27000).reshape(-1, 30, 30, 30)
    for name, volume in zip(names, volumes, strict=True):
        save_volume(tmp_path / "volumetric_data" / class_name / "30" / "train", f"{name}_1.mat", volume)
    items = find_items(tmp_path)
    assert len(items) == 40
    grids = [item.load(32)[0].occupancy[0] for item in items]
    centres = np.array([upper_centre(grid) for grid in grids])
    assert np.mean(centres[:, 1] > 0.05) > 0.8
    assert np.abs(np.median(centres[:, 0])) < 0.05
    if class_name == "chair":  # z is up: four thin legs below, so the lower third holds less than the middle
        layers = np.mean(grids, axis=(0, 1, 2))
        assert layers[3:10].sum() < 0.7 * layers[11:18].sum()


# ---------------------------------------------------------------------------------------------- furniture
def test_furniture():
    items = find_items("furniture", count=10, test_share=0.2)
    assert Counter((item.class_name, item.split) for item in items) == {
        (name, split): n for name in CLASSES for split, n in (("train", 8), ("test", 2))
    }
    assert len({item.name for item in items}) == len(items)
    assert find_items("furniture", ["bed"], count=3)[2].source == "furniture:bed:2"
    assert len(find_items("furniture", ["bed", "sofa"], count=5, limit=2, test_share=0)) == 4
    with pytest.raises(UsageError, match="did you mean 'chair'"):
        find_items("furniture", ["chiar"])


def test_furniture_loads_as_its_generator_makes_it():
    item = find_items("furniture", ["table"], count=8)[7]
    shapes, mesh = item.load(16)
    assert shapes.occupancy.any() and mesh.extents.max() == pytest.approx(FILL)
    np.testing.assert_array_equal(shapes.occupancy, item.load(16)[0].occupancy)


def test_the_word_furniture_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "furniture" / "cup" / "a.obj")
    assert {item.class_name for item in find_items("furniture", count=1)} == set(CLASSES)
    for folder in ("./furniture", Path("furniture")):
        assert [item.class_name for item in find_items(folder)] == ["cup"]
