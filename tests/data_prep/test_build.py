"""Sources to one data set: what is in it, what is set aside, the same content however it is made."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh
from scipy.io import savemat

from data_prep.build import Report, prepare
from data_prep.camera import Camera
from voxgan.dataset import Dataset
from voxgan.errors import DatasetError, StorageError, UsageError
from voxgan.voxelisation import voxelise

MAKERS = {
    "ball": lambda i: trimesh.creation.icosphere(2, 1 + i),
    "box": lambda i: trimesh.creation.box((1, 2, 3 + i)),
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four balls and four boxes, of which one each is for testing."""
    for name, make in MAKERS.items():
        for i in range(4):
            path = tmp_path / "meshes" / name / ("test" if i == 3 else "train") / f"{name}{i}.ply"
            path.parent.mkdir(parents=True, exist_ok=True)
            mesh = make(i)
            mesh.apply_translation((i, 0, -i))
            mesh.export(path)
    return tmp_path / "meshes"


def contents(path: Path) -> dict[str, object]:
    """Everything that an HDF5 file holds."""
    with h5py.File(path) as file:
        found: dict[str, object] = {name: file[name][:].tobytes() for name in file}
        return found | {f"@{name}": repr(value) for name, value in file.attrs.items()}


def test_what_stands_in_the_data_set(folder, tmp_path):
    seen = []
    report = prepare(folder, tmp_path / "new" / "a.h5", 16, workers=1, report=lambda *done: seen.append(done))
    assert isinstance(report, Report)
    assert (report.path, report.num_shapes, report.set_aside) == (tmp_path / "new" / "a.h5", 8, ())
    assert seen == [(i, 8) for i in range(1, 9)]
    with Dataset(report.path, "all") as data:
        assert data.classes == ["ball", "box"] and data.num_views == data.num_backgrounds == 0
        assert data.summary() == {name: {"train": 3, "test": 1} for name in ("ball", "box")}
        names, transforms = data.names(), data.transforms()
        for i, name in enumerate(names):
            maker = name.rsplit("/")[0]
            mesh = MAKERS[maker](int(name[-1]))
            mesh.apply_translation((int(name[-1]), 0, -int(name[-1])))
            expected = voxelise(mesh, 16)
            np.testing.assert_array_equal(data.occupancy([i])[0], expected.occupancy[0])
            np.testing.assert_allclose(transforms[i], [expected.scale[0], *expected.centre[0]], atol=1e-5)
            assert data.classes[data.labels[i]] == maker
    assert [p.name for p in report.path.parent.iterdir()] == ["a.h5"]


def test_a_single_file_with_an_odd_name(folder, tmp_path):
    path = folder / "-é 漢🙂 .ply"
    (folder / "box" / "train" / "box0.ply").rename(path)
    report = prepare(str(path), tmp_path / "a.h5", 16)
    with Dataset(report.path) as data:
        assert data.names() == ["-é 漢🙂 "] and data.classes == ["meshes"]


def test_a_name_that_is_no_utf8(folder, tmp_path):
    path = os.fsdecode(os.fsencode(folder / "box" / "train") + b"/\xff.ply")
    (folder / "box" / "train" / "box0.ply").rename(path)
    report = prepare(folder, tmp_path / "a.h5", 16, workers=1, classes=["box"])
    assert report.num_shapes == 4 and not report.set_aside


def test_several_sources_in_one(folder, tmp_path):
    savemat_path = tmp_path / "mn" / "chair" / "30" / "train"
    savemat_path.mkdir(parents=True)
    volume = np.zeros((30, 30, 30), np.uint8)
    volume[3:27, 5:20, 4:9] = 1
    savemat(savemat_path / "chair_1_1.mat", {"instance": volume})
    report = prepare([folder, tmp_path / "mn", "furniture"], tmp_path / "a.h5", 16, count=2, limit=1, workers=1)
    with Dataset(report.path, "all") as data:
        assert data.classes == sorted({"ball", "box", "bed", "bookshelf", "chair", "desk", "sofa", "table"})
        summary = data.summary()
        assert summary["chair"] == {"train": 1, "test": 1}  # the volume, and one of the furniture
        assert summary["ball"] == {"train": 1, "test": 1}
        assert "furniture_chair_00001" in data.names() and "chair_1_1" in data.names()


def test_broken_meshes_are_set_aside_with_the_reason(folder, tmp_path):
    bad = {
        "empty.ply": b"",
        "cut.ply": (folder / "ball" / "train" / "ball0.ply").read_bytes()[:300],
        "point.obj": b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n",
        "nan.obj": b"v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n",
        "range.off": b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n",
        "noise.npz": b"PK\x03\x04 nonsense",
        "other.glb": b"glTF" + b"\xff" * 60,
    }
    for name, content in bad.items():
        (folder / "ball" / "train" / name).write_bytes(content)
    report = prepare(folder, tmp_path / "a.h5", 16, workers=1)
    assert report.num_shapes == 8
    assert {Path(source).name for source, _ in report.set_aside} == set(bad)
    for source, reason in report.set_aside:
        assert len(reason) > 20 and "\n" not in reason and Path(source).name in reason
    assert "8 shapes, 7 set aside" in str(report) and len(str(report).splitlines()) == 8
    reasons = {Path(source).name: reason for source, reason in report.set_aside}
    assert "is empty" in reasons["empty.ply"] and "not finite" in reasons["nan.obj"]
    with Dataset(report.path, "all") as data:
        assert data.summary()["ball"] == {"train": 3, "test": 1}


def test_when_nothing_is_left(tmp_path):
    (tmp_path / "meshes").mkdir()
    with pytest.raises(DatasetError, match="no shapes in it"):
        prepare(tmp_path / "meshes", tmp_path / "out" / "a.h5", 16)
    (tmp_path / "meshes" / "a.obj").write_text("nonsense")
    with pytest.raises(DatasetError, match=r"none of 1 shapes could be prepared; the first: .*a\.obj"):
        prepare(tmp_path / "meshes", tmp_path / "out" / "a.h5", 16, workers=1)
    assert not list((tmp_path / "out").iterdir())


def test_unknown_class(folder, tmp_path):
    with pytest.raises(DatasetError, match="did you mean 'ball'"):
        prepare(folder, tmp_path / "a.h5", 16, classes=["bal"])
    with pytest.raises(UsageError, match="no furniture class 'lamp'"):
        prepare("furniture", tmp_path / "a.h5", 16, classes=["lamp"])
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize(
    "option",
    [
        {"resolution": 15},
        {"resolution": 48},
        {"views": -1},
        {"count": 0},
        {"limit": 0},
        {"rotations": 0},
        {"rotations": 13},
        {"seed": -1},
        {"workers": 0},
        {"test_share": 1.0},
        {"test_share": -0.1},
        {"test_share": float("nan")},
        {"up": "x"},
    ],
)
def test_impossible_options(folder, tmp_path, option):
    with pytest.raises(UsageError, match=next(iter(option))) as caught:
        prepare(folder, tmp_path / "a.h5", **({"resolution": 16} | option))
    assert sum(name in str(caught.value) for name in ("views", "count", "limit", "rotations", "seed", "workers")) <= 1
    assert not (tmp_path / "a.h5").exists()


def test_an_output_that_cannot_be_written_is_refused_before_any_work(folder, tmp_path):
    (tmp_path / "file").write_text("x")
    done = []
    for out in (tmp_path / "file" / "a.h5", tmp_path, Path("/dev/null")):
        with pytest.raises(StorageError, match="cannot write"):
            prepare(folder, out, 16, workers=1, report=lambda *numbers: done.append(numbers))
    with pytest.raises(StorageError, match="no such folder"):
        prepare(tmp_path / "missing", tmp_path / "a.h5", 16)
    assert not done


def test_an_interrupt_leaves_the_old_data_set(folder, tmp_path):
    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    out = tmp_path / "out" / "a.h5"
    prepare(folder, out, 16, workers=1)
    before = out.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, out, 16, workers=1, report=stop, overwrite=True)
    assert out.read_bytes() == before and [p.name for p in out.parent.iterdir()] == ["a.h5"]


@pytest.fixture
def ctrl_c():
    """Hear SIGINT even where the tests run in the background, which ignores it."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_stops_after_the_shape_in_hand(folder, tmp_path, workers):
    done = []

    def stop(number: int, _: int) -> None:
        done.append(number)
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
            done.append("noted")

    with pytest.raises(KeyboardInterrupt):
        prepare(folder, tmp_path / "out" / "a.h5", 16, workers=workers, report=stop)
    assert done == [1, 2, "noted"] and not list((tmp_path / "out").iterdir())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_old_data_set_is_replaced_only_if_asked(folder, tmp_path):
    out = tmp_path / "a.h5"
    out.write_text("precious")
    with pytest.raises(UsageError, match=r"a\.h5 exists; choose another name, or pass --overwrite"):
        prepare(folder, out, 16, workers=1)
    assert out.read_text() == "precious"
    assert prepare(folder, out, 16, workers=1, overwrite=True).num_shapes == 8


def test_y_up(tmp_path):
    upright = trimesh.creation.cone(1, 3)
    lying = upright.copy()
    lying.vertices = np.stack([upright.vertices[:, 0], upright.vertices[:, 2], -upright.vertices[:, 1]], axis=1)
    upright.export(tmp_path / "z.obj")
    lying.export(tmp_path / "y.obj")
    grids = []
    for up in ("z", "y"):
        prepare(tmp_path / f"{up}.obj", tmp_path / f"{up}.h5", 16, up=up)
        with Dataset(tmp_path / f"{up}.h5") as data:
            grids.append(data.occupancy([0])[0])
    np.testing.assert_array_equal(*grids)
    layers = grids[0].sum(axis=(0, 1))
    assert layers[2] > 5 * layers[12] > 0  # broad below, pointed above


# ------------------------------------------------------------------------------------------ views, workers
@pytest.fixture
def no_backgrounds(monkeypatch):
    """Two backgrounds instead of 256, which take seconds and are tested elsewhere."""
    monkeypatch.setattr("data_prep.build.NUM_BACKGROUNDS", 2)


@pytest.mark.usefixtures("no_backgrounds")
def test_views_agree_with_their_cameras(tmp_path):
    corner = trimesh.creation.box((0.5, 2, 3), trimesh.transformations.translation_matrix((20, 0, 0)))
    corner.export(tmp_path / "box.obj")
    savemat_path = tmp_path / "mn" / "box" / "30" / "train"
    savemat_path.mkdir(parents=True)
    volume = np.zeros((30, 30, 30), np.uint8)
    volume[12:16, 3:19, 3:27] = 1
    savemat(savemat_path / "box_1_1.mat", {"instance": volume})
    prepare([tmp_path / "box.obj", tmp_path / "mn"], tmp_path / "a.h5", 32, views=3, seed=1, workers=1)
    with Dataset(tmp_path / "a.h5") as data, h5py.File(tmp_path / "a.h5") as file:
        assert (data.num_views, data.image_size, data.num_backgrounds) == (3, 256, 2)
        cameras = file["cameras"][:]
        assert len(np.unique(cameras[..., 0])) == 6  # every view from elsewhere
        for i in range(2):
            points = np.argwhere(data.occupancy([i])[0]) / 32 - 0.5
            corners = np.concatenate(
                [points + np.array([x, y, z]) for x in (0, 1 / 32) for y in (0, 1 / 32) for z in (0, 1 / 32)]
            )
            for view in range(3):
                azimuth, elevation, distance, field, roll, *shift = cameras[i, view].tolist()
                seen = Camera(azimuth, elevation, distance, field, roll, tuple(shift)).project(corners)
                rows, columns = np.nonzero(data.views([i], [view])[0, ..., 3] > 127)
                found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                cell = 256 / 32
                np.testing.assert_allclose(found, [*seen.min(axis=0), *seen.max(axis=0)], atol=1.5 * cell)


@pytest.mark.usefixtures("no_backgrounds")
def test_the_same_seed_gives_the_same_content_for_any_number_of_workers(folder, tmp_path):
    (folder / "box" / "train" / "bad.obj").write_text("nonsense")

    def made(name: str, **options) -> dict[str, object]:
        report = prepare(folder, tmp_path / name, 16, views=1, limit=1, **options)
        assert report.num_shapes == 3 and len(report.set_aside) == 1  # bad.obj comes first in box/train
        return contents(tmp_path / name)

    one = made("a.h5", seed=7, workers=1)
    assert made("b.h5", seed=7, workers=1) == one
    assert made("c.h5", seed=7, workers=2) == one
    other = made("d.h5", seed=8, workers=1)
    assert {name for name in one if one[name] != other[name]} == {"views", "cameras", "backgrounds"}


def test_a_script_needs_no_main_guard(folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from data_prep.build import prepare\n"
        "print('started', flush=True)\n"
        "print(prepare(sys.argv[1], sys.argv[2], 16, workers=2).num_shapes, __file__ == sys.argv[0])\n"
    )
    command = [sys.executable, str(script), str(folder), str(tmp_path / "a.h5")]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
    assert child.stdout.splitlines() == ["started", "8 True"] and child.stderr == ""
    prepare(folder, tmp_path / "b.h5", 16, workers=1)
    assert contents(tmp_path / "a.h5") == contents(tmp_path / "b.h5")
