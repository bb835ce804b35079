"""Plain folders: classes, splits, labels from a CSV file, up and front, volumes and meshes."""

from __future__ import annotations

import os
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import trimesh

from data_prep.sources import AXES, Item, find_items
from voxgan.errors import DatasetError, InputError, MeshError, StorageError, UsageError
from voxgan.voxels import FILL, Shapes, cell_centres

DATA = os.environ.get("VOXGAN_TEST_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="VOXGAN_TEST_DATA does not name the folder of real data")


def save(path: Path, extents=(1, 1, 1)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(extents).export(path)
    return path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(items: list[Item], root: Path) -> list[tuple[str, str, str]]:
    return [(Path(item.source).relative_to(root).as_posix(), item.class_name, item.split) for item in items]


# ---------------------------------------------------------------------------------------- classes, splits
def test_class_is_the_folder_and_split_where_it_is_named(tmp_path):
    touch(
        tmp_path,
        *("chair/train/a.obj", "chair/test/b.off", "train/bed/c.stl", "Test/bed/deep/d.PLY", "bed/e.glb"),
        *("chair/train/f.binvox", "chair/readme.txt"),
    )
    items = find_items(tmp_path)
    assert sorted(listed(items, tmp_path)) == [
        ("Test/bed/deep/d.PLY", "bed", "test"),
        ("bed/e.glb", "bed", "train"),
        ("chair/test/b.off", "chair", "test"),
        ("chair/train/a.obj", "chair", "train"),
        ("chair/train/f.binvox", "chair", "train"),
        ("train/bed/c.stl", "bed", "train"),
    ]
    names = {"chair/train/a", "chair/test/b", "train/bed/c", "Test/bed/deep/d", "bed/e", "chair/train/f"}
    assert {item.name for item in items} == names


def test_a_small_class_has_a_test_shape_too(tmp_path):
    touch(tmp_path, "chair/0.obj", "chair/1.obj", "chair/2.obj", "bed/0.obj")
    for share, tests in [(0.1, ["chair/2"]), (0, [])]:
        items = find_items(tmp_path, test_share=share)
        assert [item.name for item in items if item.split == "test"] == tests


def test_the_last_of_each_class_become_the_test(tmp_path):
    touch(tmp_path, *(f"{name}/{i}.obj" for name in ("chair", "bed") for i in range(10)))
    for share, tests in [(0.1, "9"), (0.3, "789"), (0.0, ""), (0.05, "9")]:
        items = find_items(tmp_path, test_share=share)
        for name in ("bed", "chair"):
            found = [item.name for item in items if item.class_name == name and item.split == "test"]
            assert found == [f"{name}/{i}" for i in tests]
        assert {item.split for item in items} <= {"train", "test"}


def test_meshes_without_a_class_take_the_folders_name(tmp_path):
    touch(tmp_path, "cups/a.obj", "cups/train/b.obj")
    assert {item.class_name for item in find_items(tmp_path / "cups")} == {"cups"}


@pytest.mark.parametrize("name", ["a.obj", "-é 漢🙂.STL", "train/a.obj"])
def test_one_file(tmp_path, name):
    (item,) = find_items(save(tmp_path / "cups" / name))
    assert (item.name, item.split, item.kind) == (Path(name).stem, "train", "folder")
    assert item.load(16).shapes.occupancy.any()


# ------------------------------------------------------------------------------------------------- labels
FILES = ("a.obj", "b.off", "deep/c 1.stl", "d.binvox", "unnamed.ply")


@pytest.mark.parametrize(
    "text",
    [
        "file,class,split\na.obj,cup,train\nb.off,7,test\ndeep/c 1.stl,cup,\n./d.binvox,cup,VAL\n",
        '\ufeff"File";"Class";"Split"\r\n"a.obj";"cup";"train"\r\nb.off;7;test\r\n\r\n'
        "deep/c 1.stl;cup\r\nd.binvox;cup;val\r\n",
        'weight\tsplit\tclass\tfile\n1\ttrain\tcup\ta.obj\n"2"\ttest\t7\tb.off\n3\t\tcup\t"deep/c 1.stl"\n'
        "4\tvalidation\tcup\td.binvox\n",
    ],
    ids=["comma", "semicolon, BOM, quotes", "tab, other columns"],
)
def test_labels_name_files_classes_and_splits(tmp_path, text):
    touch(tmp_path / "shapes", *FILES)
    for place in (tmp_path / "labels.csv", tmp_path / "shapes" / "labels.csv"):
        place.write_text(text, encoding="utf-8")
        items = find_items(tmp_path / "shapes", labels=place, test_share=0)
        assert sorted(listed(items, tmp_path / "shapes")) == [
            ("a.obj", "cup", "train"),
            ("b.off", "7", "test"),
            ("d.binvox", "cup", "train"),
            ("deep/c 1.stl", "cup", "train"),
        ]
        assert {item.name for item in items} == {"a", "b", "d", "deep/c 1"}


def test_labels_may_name_files_from_where_they_lie(tmp_path):
    touch(tmp_path, "shapes/a.obj", "more/b.obj")
    (tmp_path / "labels.csv").write_text("file,class\nshapes/a.obj,cup\nmore/b.obj,mug\n")
    items = find_items(tmp_path / "shapes", labels=tmp_path / "labels.csv")
    assert [(item.name, item.class_name) for item in items] == [("a", "cup"), ("../more/b", "mug")]


def test_labels_use_the_share_where_they_say_no_split(tmp_path):
    touch(tmp_path, *(f"{i}.obj" for i in range(10)))
    (tmp_path / "l.csv").write_text("file,class\n" + "".join(f"{i}.obj,cup\n" for i in range(10)))
    items = find_items(tmp_path, labels=str(tmp_path / "l.csv"), test_share=0.2)
    assert [item.name for item in items if item.split == "test"] == ["8", "9"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class\na.obj,cup\nb.obj,cup\n", r"line 3: 'b.obj': no such mesh or volume"),
        ("file,class\nx.obj,cup\na.obj,cup\ny.obj,cup\nz.obj,mug\n", r"line 2: 'x.obj' and 2 more lines"),
        ("file,class\nnotes.txt,cup\n", "line 2: 'notes.txt'"),
        ("file,class\n/etc/passwd,cup\n", "line 2: '/etc/passwd'"),
        ("file,class\n,cup\n", "line 2: ''"),
        ("file,class\na.obj,\n", "line 2: no class for 'a.obj'"),
        ("file,class\na.obj\n", "line 2: no class for 'a.obj'"),
        ("file,class,split\na.obj,cup,trian\n", "line 2: split 'trian'; expected train or test"),
        ("file,class\na.obj,cup\na.obj,mug\n", "line 3: 'a.obj' was named in line 2 already"),
        ("path,class\na.obj,cup\n", "line 1: no column 'file' among path, class"),
        ("a.obj,cup\n", "line 1: no column 'file'"),
        ("", "line 1: no column 'file' among nothing"),
        ("file,class\n", "names no file"),
        (b"file,class\n\xff\xfe.obj,cup\n", "not UTF-8"),
        (b"\x00\x01\x02" * 50, "line 1"),
        ('file,class\n"' + "x" * 200_000 + '",cup\n', "line 2: field larger"),
    ],
)
def test_labels_that_do_not_fit_are_refused_in_one_line(tmp_path, text, message):
    touch(tmp_path, "a.obj", "notes.txt")
    table = tmp_path / "labels.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DatasetError, match=message) as caught:
        find_items(tmp_path, labels=table)
    assert "labels.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_labels_need_one_folder(tmp_path):
    touch(tmp_path, "a.obj")
    (tmp_path / "l.csv").write_text("file,class\na.obj,cup\n")
    for source in ("furniture", [tmp_path, tmp_path], tmp_path / "a.obj"):
        with pytest.raises(UsageError, match=r"expected (one|a) folder of files"):
            find_items(source, labels=tmp_path / "l.csv")
    with pytest.raises(StorageError, match="none"):
        find_items(tmp_path, labels=tmp_path / "none.csv")


# ------------------------------------------------------------------------------------------------ loading
def arrow() -> trimesh.Trimesh:
    """A post that stands on the left front corner of a plate: no two axes or directions alike. z is up."""
    plate = trimesh.creation.box((4, 3, 0.5), trimesh.transformations.translation_matrix((0, 0, 0.25)))
    post = trimesh.creation.box((1, 1, 2.5), trimesh.transformations.translation_matrix((-1.5, -1, 1.25)))
    return trimesh.util.concatenate([plate, post])


def axis(name: str) -> np.ndarray:
    return np.eye(3)["xyz".index(name[-1])] * (-1 if name[0] == "-" else 1)


def laid(up: str, front: str) -> np.ndarray:
    """Turn (3, 3) from the house's axes to those of a source: z → up, −y → front."""
    return np.stack([np.cross(axis(up), axis(front)), -axis(front), axis(up)], axis=1)


PAIRS = [(up, front) for up in AXES for front in AXES if up[-1] != front[-1]]


def test_a_mesh_comes_in_the_unit_cube_with_its_occupancy(tmp_path):
    mesh = arrow()
    mesh.apply_transform(trimesh.transformations.translation_matrix((50, 60, 70)))
    mesh.export(tmp_path / "a.ply")
    loaded = find_items(tmp_path / "a.ply")[0].load(32)
    shapes, inside = loaded.shapes, loaded.mesh
    np.testing.assert_allclose(inside.extents, np.array([4, 3, 2.5]) / 4 * FILL, atol=1e-5)
    np.testing.assert_allclose(inside.bounds.sum(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(shapes.centre[0], mesh.bounds.mean(axis=0), atol=1e-4)
    assert shapes.scale[0] == pytest.approx(4 / FILL)
    np.testing.assert_allclose(loaded.transform[:, :3], np.eye(3) * 4 / FILL)
    np.testing.assert_allclose(loaded.transform[:, 3], mesh.bounds.mean(axis=0), atol=1e-4)
    x, y, z = np.moveaxis(cell_centres(32)[shapes.occupancy[0] > 0.5], -1, 0)
    top = z > 0
    assert top.any() and x[top].max() < 0 and y[top].max() < 0


@pytest.mark.parametrize(("up", "front"), PAIRS)
def test_meshes_of_any_up_and_front_are_stood_up(tmp_path, up, front):
    expected = arrow()
    expected.export(tmp_path / "z.ply")
    lying = arrow()
    lying.vertices = np.add(lying.vertices, (7, 8, 9)) @ laid(up, front).T
    lying.export(tmp_path / "a.ply")
    loaded = find_items(tmp_path / "a.ply", up=up, front=front)[0].load(16)
    straight = find_items(tmp_path / "z.ply")[0].load(16)
    np.testing.assert_array_equal(loaded.shapes.occupancy, straight.shapes.occupancy)
    assert loaded.mesh.volume > 0
    back = loaded.mesh.vertices @ loaded.transform[:, :3].T + loaded.transform[:, 3]
    np.testing.assert_allclose(back, lying.vertices, atol=1e-5)


@pytest.mark.parametrize(("up", "front"), PAIRS)
@pytest.mark.parametrize("suffix", [".npz", ".binvox"])
def test_volumes_of_any_up_and_front_are_stood_up(tmp_path, up, front, suffix):
    turned = laid(up, front)
    straight = np.zeros((12, 12, 12), np.float32)
    straight[1:9, 2:8, 4:6] = straight[1:3, 2:4, 4:10] = 1
    at = (np.argwhere(straight) - 5.5) @ turned.T
    lying = np.zeros_like(straight)
    lying[tuple(np.rint(at + 5.5).astype(int).T)] = 1
    scale, centre = np.array([3.0]), np.array([[10.0, 20.0, 30.0]])
    Shapes(lying, scale, centre).export(tmp_path / f"a{suffix}")
    Shapes(straight).export(tmp_path / "z.npz")
    loaded = find_items(tmp_path / f"a{suffix}", up=up, front=front)[0].load(16)
    expected = find_items(tmp_path / "z.npz")[0].load(16).shapes
    np.testing.assert_array_equal(loaded.shapes.occupancy, expected.occupancy)
    # the middle and the corners of what is inside, in the file's own coordinates
    half = np.array([8, 6, 6]) / 8 * FILL / 2
    found = np.array([loaded.transform @ [*(half * side), 1] for side in (-1, 1)])
    own = centre + (np.array([at.min(axis=0) - 0.5, at.max(axis=0) + 0.5])) * 3 / 12
    np.testing.assert_allclose(np.sort(found, axis=0), own, atol=1e-9)


def test_a_volume_without_a_scale_lies_in_the_unit_cube(tmp_path):
    grid = np.zeros((8, 8, 8))
    grid[4:8, 4:8, 4:8] = 1
    loaded = find_items(Shapes(grid).export(tmp_path / "a.npz"))[0].load(16)
    np.testing.assert_allclose(loaded.transform @ [0, 0, 0, 1], [0.25, 0.25, 0.25])
    np.testing.assert_allclose(loaded.transform @ [FILL / 2, 0, 0, 1], [0.5, 0.25, 0.25])


@pytest.mark.parametrize("suffix", [".obj", ".off", ".stl", ".ply"])
def test_y_up_files_are_stood_up(tmp_path, suffix):
    upright = arrow()
    lying = upright.copy()
    lying.vertices = np.stack([upright.vertices[:, 0], upright.vertices[:, 2], -upright.vertices[:, 1]], axis=1)
    upright.export(tmp_path / f"z{suffix}")
    lying.export(tmp_path / f"y{suffix}")
    expected = find_items(tmp_path / f"z{suffix}")[0].load(16).shapes
    loaded = find_items(tmp_path / f"y{suffix}", up="y")[0].load(16)
    np.testing.assert_array_equal(loaded.shapes.occupancy, expected.occupancy)
    assert loaded.mesh.volume > 0
    other = find_items(tmp_path / f"y{suffix}")[0].load(16).shapes
    assert (other.occupancy != expected.occupancy).any()


@pytest.mark.parametrize("axes", [{}, {"up": "y"}, {"up": "z"}, {"up": "z", "front": "-y"}, {"up": "y", "front": "z"}])
def test_glb_is_y_up_whatever_is_said(tmp_path, axes):
    from voxgan.mesh import export

    export(arrow(), tmp_path / "a.GLB")
    export(arrow(), tmp_path / "a.obj")
    loaded = find_items(tmp_path / "a.GLB", **axes)[0].load(16)
    np.testing.assert_array_equal(loaded.shapes.occupancy, find_items(tmp_path / "a.obj")[0].load(16).shapes.occupancy)
    back = loaded.mesh.vertices @ loaded.transform[:, :3].T + loaded.transform[:, 3]
    np.testing.assert_allclose(np.ptp(back, axis=0), [4, 2.5, 3], atol=1e-5)  # the file's own axes: y is up


@pytest.mark.parametrize("front", ["x", "-x", "-z", "y"])
def test_the_front_of_a_glb_counts(tmp_path, front):
    from voxgan.mesh import export

    mesh = arrow()
    mesh.vertices = mesh.vertices @ laid("z", {"-z": "y"}.get(front, front)).T
    export(mesh, tmp_path / "a.glb")
    export(arrow(), tmp_path / "a.obj")
    up = "z" if front == "y" else "y"
    found = find_items(tmp_path / "a.glb", up=up, front=front)[0].load(16).shapes
    np.testing.assert_array_equal(found.occupancy, find_items(tmp_path / "a.obj")[0].load(16).shapes.occupancy)


@pytest.mark.parametrize("suffix", [".npz", ".binvox"])
def test_volumes_are_resampled_and_centred(tmp_path, suffix):
    grid = np.zeros((20, 20, 20))
    grid[0:10, 2:7, 3:5] = 1
    (item,) = find_items(Shapes(grid).export(tmp_path / f"a{suffix}"))
    loaded = item.load(32)
    assert loaded.mesh is None
    span = np.argwhere(loaded.shapes.occupancy[0] > 0.5)
    assert (span.max(axis=0) - span.min(axis=0) + 1).tolist() == [30, 15, 6]
    assert np.abs(span.max(axis=0) + span.min(axis=0) - 31).max() <= 1


@pytest.mark.parametrize("name", ["a.obj", "a.npz"])
def test_surface_and_distance(tmp_path, name):
    if name == "a.obj":
        path = save(tmp_path / name, (2, 2, 2))
    else:
        path = Shapes(np.ones((8, 8, 8))).export(tmp_path / name)
    (item,) = find_items(path)
    solid = item.load(32).shapes.occupancy[0] > 0.5
    surface = item.load(32, mode="surface").shapes.occupancy[0] > 0.5
    assert surface.any() and not (surface & ~solid).any() and surface.sum() < 0.4 * solid.sum()
    assert not surface[8:24, 8:24, 8:24].any()
    loaded = item.load(32, mode="sdf")
    np.testing.assert_array_equal(loaded.shapes.occupancy[0] > 0.5, solid)
    assert loaded.distance.shape == (32, 32, 32) and loaded.distance.dtype == np.float32
    assert ((loaded.distance < 0) == solid).all()
    assert loaded.distance.min() == pytest.approx(-FILL / 2, abs=1 / 32)


def test_a_damaged_file_is_an_input_error(tmp_path):
    for name, kind in [("a.obj", MeshError), ("a.npz", InputError), ("a.binvox", InputError)]:
        (tmp_path / name).write_text("nonsense")
        with pytest.raises(kind, match=name):
            find_items(tmp_path / name)[0].load(16)


@needs_data
def test_a_real_binvox_lies_as_the_mesh_that_it_was_made_of():
    """binvox keeps the axes of the mesh, and its header leads back to the mesh's own coordinates."""
    folder = Path(str(DATA)) / "meshes" / "modelnet_off"
    mesh = find_items(folder / "toilet_0345.obj")[0].load(32)
    volume = find_items(folder / "toilet_wrl_256.binvox")[0].load(32)
    inside = mesh.shapes.occupancy[0] > 0.5

    def overlap(grid: np.ndarray) -> float:
        return np.logical_and(inside, grid).sum() / np.logical_or(inside, grid).sum()

    found = volume.shapes.occupancy[0] > 0.5
    others = [np.flip(found.transpose(order), flips) for order in permutations(range(3)) for flips in ((), (1,), (2,))]
    assert overlap(found) > 0.75 and max(overlap(grid) for grid in others) == overlap(found)
    np.testing.assert_allclose(volume.transform, mesh.transform, atol=0.01 * mesh.transform[0, 0])
