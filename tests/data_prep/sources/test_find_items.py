"""Listing over all sources: recognition, classes, limits, names; and the contract that every source keeps."""

from __future__ import annotations

import os
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.io import savemat

from data_prep import sources
from data_prep.furniture import CLASSES
from data_prep.sources import find_items
from data_prep.sources.listing import files_below
from voxgan.errors import DatasetError, StorageError, UsageError
from voxgan.voxels import Shapes


def save(path: Path, extents=(1, 1, 1)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(extents).export(path)
    return path


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


# ----------------------------------------------------------------------------------------------- contract
def one_of_each(root: Path) -> dict[str, str | Path]:
    """Lay out a small example of every source."""
    save(root / "folder" / "cup" / "a.obj")
    grid = np.zeros((8, 8, 8), np.uint8)
    grid[2:6, 2:6, 2:5] = 1
    folder = root / "modelnet" / "chair" / "30" / "train"
    folder.mkdir(parents=True)
    savemat(folder / "chair_1_1.mat", {"instance": grid})
    save(root / "shapenet" / "03001627" / "abc" / "model.obj")
    write_ikea(root / "ikea")
    return {name: root / name for name in ("folder", "modelnet", "shapenet", "ikea")} | {"parametric": "furniture"}


def write_ikea(root: Path) -> None:
    import h5py

    root.mkdir()
    (root / "manifest.csv").write_text("image,class,model_id,voxel_row\na.jpg,chair,59,0\n")
    grid = np.zeros((20, 20, 20), np.uint8)
    grid[4:10, 2:18, 5:9] = 1
    with h5py.File(root / "voxels_20.h5", "w") as file:
        file["voxels"] = np.packbits(grid.reshape(1, -1), axis=-1)
        file["model_id"] = np.array([59])


@pytest.mark.parametrize("name", sources.names())
def test_every_source_lists_and_loads(tmp_path, name):
    """A new file among the sources is tested here the day it is added: it needs an example above."""
    items = find_items(one_of_each(tmp_path)[name], count=1, test_share=0)
    assert {item.kind for item in items} == {name}
    item = pickle.loads(pickle.dumps(items[0]))
    loaded = item.load(16)
    assert loaded.shapes.occupancy.shape == (1, 16, 16, 16) and set(np.unique(loaded.shapes.occupancy)) == {0, 1}
    assert loaded.transform.shape == (3, 4) and loaded.transform.dtype == np.float64
    assert loaded.distance is None and loaded.pictures is None and loaded.cameras is None
    with pytest.raises(UsageError, match="known: sdf, solid, surface"):
        item.load(16, mode="solidus")


def test_a_source_is_found_by_its_file_name():
    assert sources.names()[-1] == "folder" and set(sources.names()) >= {"ikea", "modelnet", "shapenet", "parametric"}
    assert sources.find("ikea").find.__module__ == "data_prep.sources.ikea"
    with pytest.raises(KeyError):
        sources.find("item")


# ----------------------------------------------------------------------------------------------- choosing
def test_classes_and_limit_count_over_all_sources(tmp_path):
    for name in ("one/chair/train", "two/chair/train", "two/bed/train"):
        for i in range(3):
            save(tmp_path / name / f"{i}.obj")
    several = [tmp_path / "one", tmp_path / "two"]
    items = find_items(several, classes=[" bed", "chair "], limit=4)
    assert Counter(item.class_name for item in items) == {"chair": 4, "bed": 3}
    with pytest.raises(DatasetError, match="no class 'lamp'"):
        find_items([tmp_path / "one"], classes=["lamp"])
    assert {item.class_name for item in find_items([*several, "furniture"], classes=["sofa"])} == {"sofa"}


def test_order_is_the_same_each_time_and_limit_counts_class_and_split(tmp_path):
    for name in ("chair/train", "chair/test", "bed/train"):
        touch(tmp_path, *(f"{name}/{i}.obj" for i in range(4)))
    items = find_items(tmp_path)
    assert items == find_items(tmp_path) and len(items) == 12
    few = find_items(tmp_path, limit=3)
    counts = Counter((item.class_name, item.split) for item in few)
    assert counts == {("chair", "train"): 3, ("chair", "test"): 3, ("bed", "train"): 3}
    assert [item for item in items if item in few] == few
    assert {item.class_name for item in find_items(tmp_path, classes=["bed"])} == {"bed"}


def test_names_are_unique(tmp_path):
    touch(
        tmp_path,
        *("chair/1/model_normalized.obj", "chair/2/model_normalized.obj", "chair/2/model_normalized.ply"),
    )
    names = [item.name for item in find_items([tmp_path, tmp_path / "chair" / "2"])]
    assert names == [
        "chair/1/model_normalized",
        "chair/2/model_normalized",
        "chair/2/model_normalized (2)",
        "model_normalized",
        "model_normalized (2)",
    ]


def test_many_equal_names_take_no_quadratic_time(tmp_path):
    folders = []
    for i in range(3):
        touch(tmp_path / str(i), "a.obj", "a (2).obj")
        folders.append(tmp_path / str(i))
    names = [item.name for item in find_items(folders)]
    assert names == ["a (2)", "a", "a (2) (2)", "a (3)", "a (2) (3)", "a (4)"]
    assert len({item.name for item in find_items(folders * 3000)}) == 18_000


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
    with pytest.raises(StorageError):
        find_items("a\0b")
    save(tmp_path / "chair" / "a.obj")
    with pytest.raises(DatasetError, match="did you mean 'chair'"):
        find_items(tmp_path, classes=["chiar"])


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"up": "w"}, "up axis 'w'; expected one of x, -x, y, -y, z, -z"),
        ({"front": ""}, "front axis ''; expected"),
        ({"up": "y", "front": "-y"}, "lie on one line; expected a front of x, -x, z, -z"),
        ({"front": "z"}, "lie on one line"),
    ],
)
def test_axes_that_cannot_be(tmp_path, axes, message):
    touch(tmp_path, "a.obj")
    with pytest.raises(UsageError, match=message):
        find_items(tmp_path, **axes)


# ------------------------------------------------------------------------------------------------ listing
def test_hidden_files_and_those_of_macos_are_passed_over(tmp_path):
    touch(tmp_path, "cup/a.obj", "cup/._a.obj", ".git/b.obj", "__MACOSX/cup/a.obj", "cup/.DS_Store")
    assert [item.name for item in find_items(tmp_path)] == ["cup/a"]


def test_a_ring_of_links_ends_and_a_link_elsewhere_is_followed(tmp_path):
    touch(tmp_path / "tree", "cup/a.obj", "cup/deep/b.obj")
    touch(tmp_path / "elsewhere", "c.obj")
    for link, target in [
        ("tree/cup/up", tmp_path / "tree"),
        ("tree/cup/above", tmp_path),
        ("tree/mug", tmp_path / "elsewhere"),
        ("tree/again", tmp_path / "elsewhere"),
        ("elsewhere/back", tmp_path / "tree" / "cup"),
        ("tree/broken", tmp_path / "nowhere"),
        ("tree/itself", tmp_path / "tree" / "itself"),
    ]:
        (tmp_path / link).symlink_to(target)
    (tmp_path / "tree" / "cup" / "d.obj").symlink_to(tmp_path / "elsewhere" / "c.obj")
    names = ["again/c", "cup/a", "cup/d", "cup/deep/b"]
    assert sorted(item.name for item in find_items(tmp_path / "tree")) == names


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_said(tmp_path):
    touch(tmp_path, "cup/a.obj", "mug/b.obj")
    (tmp_path / "mug").chmod(0)
    try:
        with pytest.raises(StorageError, match="mug"):
            find_items(tmp_path)
    finally:
        (tmp_path / "mug").chmod(0o755)


def test_no_file_is_asked_for_its_size(tmp_path, monkeypatch):
    """A million files are listed from their folders alone: what calls stat once a file takes minutes over a network."""
    touch(tmp_path, *(f"c{i}/{j}.obj" for i in range(3) for j in range(50)))
    calls = Counter()
    for name in ("stat", "lstat"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, _real=real, **k: calls.update(["stat"]) or _real(*a, **k))
    assert len(find_items(tmp_path)) == 150
    assert calls["stat"] < 60
    assert len(list(files_below(tmp_path))) == 150


# ---------------------------------------------------------------------------------------------- furniture
def test_the_word_furniture_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "furniture" / "cup" / "a.obj")
    assert {item.class_name for item in find_items("furniture", count=1)} == set(CLASSES)
    for folder in ("./furniture", Path("furniture")):
        assert [item.class_name for item in find_items(folder)] == ["cup"]


def test_an_unknown_layout_is_a_plain_folder(tmp_path):
    """Folders that only look like another source's are taken as they are."""
    touch(tmp_path, "chair/train/mine.off", "12345678/readme.txt", "manifest.csv")
    Shapes(np.ones((4, 4, 4))).export(tmp_path / "chair" / "b.binvox")
    assert {item.kind for item in find_items(tmp_path)} == {"folder"}
