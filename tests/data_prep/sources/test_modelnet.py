"""ModelNet: the volumes' layout and the OFF files', facing, damaged files."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh
from scipy.io import savemat

from data_prep.sources import MODELNET_TURNS, find_items
from data_prep.sources.modelnet import CLASSES
from voxgan.errors import DatasetError, InputError, StorageError
from voxgan.voxels import cell_centres

DATA = os.environ.get("VOXGAN_TEST_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="VOXGAN_TEST_DATA does not name the folder of real data")


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


def upper_centre(occupancy: np.ndarray) -> np.ndarray:
    """Mean place of the cells of the upper third of the shape's height, (3,)."""
    points = cell_centres(len(occupancy))[occupancy > 0.5]
    low, high = points[:, 2].min(), points[:, 2].max()
    return points[points[:, 2] > high - (high - low) / 3].mean(axis=0)


# ------------------------------------------------------------------------------------------------ volumes
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


def test_modelnet_classes_are_turned_to_the_houses_front(tmp_path):
    """A ModelNet chair has its back at +x and is turned; a class that is not named stays as it is."""
    assert MODELNET_TURNS["chair"] == 1 and "sofa" not in MODELNET_TURNS
    for class_name, expected in [("chair", (0, 1)), ("sofa", (1, 0))]:
        save_volume(tmp_path / class_name / "30" / "train", f"{class_name}_1_1.mat", chair(1))
        (item,) = find_items(tmp_path, classes=[class_name])
        loaded = item.load(32)
        assert loaded.mesh is None
        x, y, z = upper_centre(loaded.shapes.occupancy[0])
        side = 0.3
        assert (x > side, y > side) == (bool(expected[0]), bool(expected[1]))
        assert abs(y if expected[0] else x) < 0.02 and z > 0.2
        (asked,) = find_items(tmp_path, classes=[class_name], front="x")
        assert upper_centre(asked.load(32).shapes.occupancy[0])[1] < -side  # turned the other way, its back in front


def test_the_transform_counts_cells(tmp_path):
    save_volume(tmp_path / "chair" / "30" / "train", "chair_1_1.mat", chair(1))
    loaded = find_items(tmp_path)[0].load(32)
    back = np.argwhere(loaded.shapes.occupancy[0] > 0.5) / 32 - 0.5 + 0.5 / 32
    own = back @ loaded.transform[:, :3].T + loaded.transform[:, 3]
    np.testing.assert_allclose(own.min(axis=0), [5, 7, 3], atol=0.6)
    np.testing.assert_allclose(own.max(axis=0), [25, 23, 27], atol=0.6)
    high = own[own[:, 2] > 18]
    assert high[:, 0].min() > 21  # the back lies at the high end of the file's first axis


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


# ---------------------------------------------------------------------------------------------- OFF files
def off(path: Path, back: str) -> None:
    """Write an L as OFF, z up, with the high end at `back`, in the manner of ModelNet: counts behind OFF."""
    seat = trimesh.creation.box((2, 2, 1))
    rest = trimesh.creation.box((0.3, 2, 3), trimesh.transformations.translation_matrix((0.85, 0, 1)))
    mesh = trimesh.util.concatenate([seat, rest])
    if back == "y":
        mesh.vertices = mesh.vertices[:, [1, 0, 2]] * (-1, 1, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"OFF{len(mesh.vertices)} {len(mesh.faces)} 0"]
    rows += [" ".join(map(str, vertex)) for vertex in mesh.vertices]
    rows += [f"3 {a} {b} {c}" for a, b, c in mesh.faces]
    path.write_text("\n".join(rows))


@pytest.mark.parametrize("below", ["", "ModelNet10"])
def test_the_tree_of_off_files(tmp_path, below):
    root = tmp_path / below
    off(root / "chair" / "train" / "chair_0001.off", "y")
    off(root / "chair" / "test" / "chair_0890.off", "y")
    off(root / "night_stand" / "train" / "night_stand_0001.off", "x")
    (root / "README.txt").touch()
    (root / "chair" / "train" / ".DS_Store").touch()
    (tmp_path / "__MACOSX").mkdir()
    items = find_items(tmp_path, test_share=0.5)
    assert [(item.name, item.class_name, item.split, item.kind) for item in items] == [
        ("chair_0890", "chair", "test", "modelnet"),
        ("chair_0001", "chair", "train", "modelnet"),
        ("night_stand_0001", "night_stand", "train", "modelnet"),
    ]
    for item in items:
        loaded = item.load(32)
        assert upper_centre(loaded.shapes.occupancy[0])[1] > 0.2 and loaded.mesh.is_watertight is not None
    assert upper_centre(find_items(tmp_path, front="y")[0].load(32).shapes.occupancy[0])[1] < -0.2


@pytest.mark.parametrize("name", ["gadget/train/gadget_0001.off", "chair/train/mine.off", "chair/train/sofa_0001.off"])
def test_other_trees_of_off_files_are_plain_folders(tmp_path, name):
    off(tmp_path / "chair" / "train" / "chair_0001.off", "y")
    off(tmp_path / name, "y")
    assert {(item.kind, item.front) for item in find_items(tmp_path)} == {("folder", "-y")}


def test_the_classes_are_the_forty():
    assert len(set(CLASSES)) == 40 and set(MODELNET_TURNS) <= set(CLASSES)


# ---------------------------------------------------------------------------------------------- real data
@needs_data
@pytest.mark.parametrize("class_name", ["chair", "sofa", "bed", "toilet", "laptop"])
def test_real_modelnet_backs_and_heads_lie_at_plus_y(tmp_path, class_name):
    with h5py.File(Path(str(DATA)) / "modelnet40_30_rot12.h5") as file:
        packed = file[class_name]["train"][:40, 0]
        names = [name.decode() for name in file[class_name]["train_ids"][:40]]
    volumes = np.unpackbits(packed, axis=-1, count=27000).reshape(-1, 30, 30, 30)
    for name, volume in zip(names, volumes, strict=True):
        save_volume(tmp_path / "volumetric_data" / class_name / "30" / "train", f"{name}_1.mat", volume)
    items = find_items(tmp_path)
    assert len(items) == 40
    grids = [item.load(32).shapes.occupancy[0] for item in items]
    centres = np.array([upper_centre(grid) for grid in grids])
    assert np.mean(centres[:, 1] > 0.05) > (0.6 if class_name == "laptop" else 0.8)  # some laptops are shut
    assert np.abs(np.median(centres[:, 0])) < 0.05
    if class_name == "chair":  # z is up: four thin legs below, so the lower third holds less than the middle
        layers = np.mean(grids, axis=(0, 1, 2))
        assert layers[3:10].sum() < 0.7 * layers[11:18].sum()


@needs_data
def test_real_off_files_face_as_the_volumes_do(tmp_path):
    """Three files whose volume is in the release too, under another number: alike, but for a mirror in x."""
    pairs = {"chair_0892": "chair_000000002", "chair_0890": "chair_000000000", "toilet_0001": "toilet_000000458"}
    for mesh_name, volume_name in pairs.items():
        class_name = mesh_name[:-5]
        tree = tmp_path / "off" / class_name / "train"
        tree.mkdir(parents=True, exist_ok=True)
        (tree / f"{mesh_name}.off").write_bytes((Path(str(DATA)) / f"meshes/modelnet_off/{mesh_name}.off").read_bytes())
        with h5py.File(Path(str(DATA)) / "modelnet40_30_rot12.h5") as file:
            split = "test" if class_name == "chair" else "train"
            row = [name.decode() for name in file[f"{class_name}/{split}_ids"]].index(volume_name)
            volume = np.unpackbits(file[f"{class_name}/{split}"][row, 0], count=27000).reshape(30, 30, 30)
        save_volume(tmp_path / "mat" / class_name / "30" / split, f"{volume_name}_1.mat", volume)
    meshes = {item.name: item for item in find_items(tmp_path / "off")}
    volumes = {item.name: item for item in find_items(tmp_path / "mat")}
    for mesh_name, volume_name in pairs.items():
        one = meshes[mesh_name].load(32).shapes.occupancy[0][::-1] > 0.5
        two = volumes[f"{volume_name}_1"].load(32).shapes.occupancy[0] > 0.5
        scores = [
            np.logical_and(np.rot90(one, k), two).sum() / np.logical_or(np.rot90(one, k), two).sum() for k in range(4)
        ]
        assert np.argmax(scores) == 0 and scores[0] > 0.5
