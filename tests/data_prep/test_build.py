"""Sources to one data set: what is in it, what is set aside, the same content however it is made."""

from __future__ import annotations

import csv
import hashlib
import os
import re
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
from data_prep.furniture import CLASSES
from voxgan.camera import Camera
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
            way_back = np.column_stack([np.eye(3) * expected.scale[0], expected.centre[0]])
            np.testing.assert_allclose(transforms[i], way_back, atol=1e-5)
            source = data.sources()[i]
            assert data.source_sha256()[i] == hashlib.sha256(Path(source).read_bytes()).hexdigest()
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
        assert data.classes == sorted({"ball", "box", *CLASSES})
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
    with pytest.raises(UsageError, match="no furniture class 'lam'"):
        prepare("furniture", tmp_path / "a.h5", 16, classes=["lam"])
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize(
    "option",
    [
        {"resolution": 15},
        {"resolution": 258},
        {"resolution": 14},
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
        {"up": "w"},
        {"up": "x", "front": "-x"},
        {"mode": "solids"},
        {"time_limit": 0.0},
        {"memory": 0.5},
        {"rig": "phot"},
        {"backgrounds": "room"},
        {"views": 1025},
        {"resolution": 64.0},
        {"resolution": "64"},
        {"views": True},
        {"limit": 1.5},
        {"time_limit": "5"},
        {"memory": None},
        {"classes": 3},
        {"classes": []},
        {"cluster": "nix"},
        {"views": 71, "rig": "24x3"},
        {"views": 1, "renderer": "ray"},
        {"views": 1, "backgrounds": "room"},
    ],
)
def test_impossible_options(folder, tmp_path, option):
    with pytest.raises(UsageError, match=list(option)[-1].rstrip("s")) as caught:
        prepare(folder, tmp_path / "a.h5", **({"resolution": 16} | option))
    assert sum(name in str(caught.value) for name in ("views", "count", "limit", "rotations", "seed", "workers")) <= 1
    assert not (tmp_path / "a.h5").exists()


@pytest.mark.parametrize("source", [None, [], [None], 3])
def test_a_source_that_is_none(tmp_path, source):
    with pytest.raises(UsageError, match="expected one or several names"):
        prepare(source, tmp_path / "a.h5", 16)


def test_one_class_as_a_string(folder, tmp_path):
    prepare(folder, tmp_path / "a.h5", 16, classes="ball", limit=1, workers=1)
    with Dataset(tmp_path / "a.h5", "all") as data:
        assert data.classes == ["ball"]


def test_a_preparation_that_is_not_finished_is_told_of(folder, tmp_path):
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(folder, tmp_path / "a.h5", 16, workers=1, report=stop)
    with pytest.raises(DatasetError, match="its preparation is not finished; give its command again"):
        Dataset(tmp_path / "a.h5")


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
    with pytest.raises(KeyboardInterrupt, match=r"3 of 8 shapes are kept in .*the same command goes on"):
        prepare(folder, out, 16, workers=1, report=stop, overwrite=True)
    assert out.read_bytes() == before
    assert sorted(p.name for p in out.parent.iterdir()) == ["a.h5", "a.h5.parts"]


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
    assert done == [1, 2, "noted"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.h5.parts"]
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


# -------------------------------------------------------------------------------------------- going on
def test_stopped_anywhere_it_goes_on_and_nothing_differs(folder, tmp_path, monkeypatch):
    (folder / "box" / "train" / "bad.obj").write_text("nonsense")
    prepare(folder, tmp_path / "whole.h5", 16, workers=1)
    whole = contents(tmp_path / "whole.h5")
    monkeypatch.setattr("data_prep.parts.MAX_SHAPES", 2)
    out = tmp_path / "a.h5"
    seen: list[int] = []

    def stop(done: int, total: int) -> None:
        assert total == 9
        seen.append(done)
        if len(seen) % 2 == 0:
            raise KeyboardInterrupt

    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            prepare(folder, out, 16, workers=1, report=stop)
    assert seen == list(range(1, 9))  # none twice, none left out
    report = prepare(folder, out, 16, workers=1, report=stop)
    assert seen == list(range(1, 10))
    assert report.num_shapes == 8 and len(report.set_aside) == 1
    assert contents(out) == whole
    assert not out.with_name("a.h5.parts").exists()


def test_other_options_do_not_go_on_with_what_was_begun(folder, tmp_path):
    def stop(done: int, _: int) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "a.h5"
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, out, 16, workers=1, report=stop)
    with pytest.raises(UsageError, match=r"resolution=16 was begun there, this one has resolution=32; .*--overwrite"):
        prepare(folder, out, 32, workers=1)
    with pytest.raises(UsageError, match="of 8 shapes was begun there, these are 4"):
        prepare(folder, out, 16, workers=1, classes=["ball"])
    (folder / "ball" / "train" / "ball0.ply").rename(folder / "ball" / "train" / "ball9.ply")
    with pytest.raises(UsageError, match="of other shapes"):
        prepare(folder, out, 16, workers=1)
    assert prepare(folder, out, 16, workers=1, overwrite=True).num_shapes == 8
    prepare(folder, tmp_path / "b.h5", 16, workers=1)
    assert contents(out) == contents(tmp_path / "b.h5")


def test_a_damaged_part_and_those_behind_it_are_made_again(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.parts.MAX_SHAPES", 2)

    def stop(done: int, _: int) -> None:
        if done == 7:
            raise KeyboardInterrupt

    out = tmp_path / "a.h5"
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, out, 16, workers=1, report=stop)
    parts = sorted(out.with_name("a.h5.parts").glob("part-*.h5"))
    assert len(parts) == 4
    parts[1].write_bytes(parts[1].read_bytes()[:1000])
    seen: list[int] = []
    prepare(folder, out, 16, workers=1, report=lambda done, _: seen.append(done))
    assert seen == list(range(3, 9))
    prepare(folder, tmp_path / "b.h5", 16, workers=1)
    assert contents(out) == contents(tmp_path / "b.h5")


SCRIPT = """
import sys
from data_prep import parts
from data_prep.build import prepare
parts.MAX_SHAPES = 1
prepare("furniture", sys.argv[1], 16, count=6, workers=2)
"""


def test_killed_at_random_times_nothing_is_lost_or_double(tmp_path):
    """kill −9 of the whole preparation, again and again, until it comes through."""
    rng = np.random.default_rng(0)
    out = tmp_path / "a.h5"
    kills = 0
    while not out.exists():
        child = subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], stderr=subprocess.DEVNULL)
        try:
            assert child.wait(timeout=float(rng.uniform(0.5, 1.6)) if kills < 8 else 120) == 0
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            kills += 1
            assert not out.exists() or contents(out)
    assert kills > 0
    if (tmp_path / "a.h5.parts").exists():  # killed between the last two steps: the next call tidies up
        with pytest.raises(UsageError, match="exists"):
            prepare("furniture", out, 16, count=6)
    prepare("furniture", tmp_path / "b.h5", 16, count=6, workers=2)
    assert contents(out) == contents(tmp_path / "b.h5")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_parts_that_were_merged_are_tidied_up_and_others_are_not(folder, tmp_path, monkeypatch):
    out = tmp_path / "a.h5"
    with monkeypatch.context() as patch:
        patch.setattr("data_prep.parts.Parts.remove", lambda self: None)  # killed before that
        prepare(folder, out, 16, workers=1)
    parts = tmp_path / "a.h5.parts"
    assert len(list(parts.glob("part-*.h5"))) == 1
    with pytest.raises(UsageError, match="exists"):
        prepare(folder, out, 16, workers=1)
    assert not parts.exists()

    def stop(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(folder, out, 32, workers=1, overwrite=True, report=stop)
    with pytest.raises(UsageError, match="exists"):
        prepare(folder, out, 32, workers=1)
    assert len(list(parts.glob("part-*.h5"))) == 1  # these are not in a.h5


def test_two_preparations_of_one_output(folder, tmp_path):
    """The second is told that the first is at work; a reader of the old file is not disturbed."""
    out = tmp_path / "a.h5"
    prepare(folder, out, 16, workers=1, limit=1)
    told = []

    def second(done: int, _: int) -> None:
        if done == 1:
            with pytest.raises(StorageError, match=r"a\.h5\.parts: another process is at work in it"):
                prepare(folder, out, 16, workers=1, overwrite=True)
            with Dataset(out, "all") as data:
                told.append(len(data))

    prepare(folder, out, 16, workers=1, overwrite=True, report=second)
    assert told == [4]
    with Dataset(out, "all") as data:
        assert len(data) == 8


def test_the_report_as_a_table(folder, tmp_path):
    (folder / "box" / "train" / 'é, "x".obj').write_text("nonsense")
    report = prepare(folder, tmp_path / "a.h5", 16, workers=1)
    report.write_csv(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["source"], row["reason"]) for row in rows] == list(report.set_aside)
    with Dataset(tmp_path / "a.h5", "all") as data:
        assert data.set_aside() == list(report.set_aside)


def test_a_long_report_is_cut_short():
    text = str(Report(Path("a.h5"), 3, tuple((f"{i}.obj", f"{i}.obj: empty") for i in range(50))))
    assert len(text.splitlines()) == 22 and "and 30 more:  voxgan info a.h5 --set-aside" in text


@pytest.mark.parametrize("mode", ["surface", "sdf"])
def test_modes(folder, tmp_path, mode):
    prepare(folder, tmp_path / "solid.h5", 16, workers=1)
    prepare(folder, tmp_path / "a.h5", 16, workers=1, mode=mode)
    with Dataset(tmp_path / "solid.h5", "all") as solid, Dataset(tmp_path / "a.h5", "all") as data:
        assert data.mode == mode
        inside, found = solid.occupancy(range(8)), data.occupancy(range(8))
        if mode == "surface":
            assert inside[:, 8, 8, 8].all() and not found[:4, 7:9, 7:9, 7:9].any()  # hollow balls
            assert (found.sum(axis=(1, 2, 3)) > 100).all()
        else:
            np.testing.assert_array_equal(inside, found)
            distance = data.distance(range(8))
            assert ((distance <= 0) >= (inside > 0)).all() and ((distance >= 0) >= (inside == 0)).all()
            assert distance.min() < -2 / 16


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
                seen = Camera.from_numbers(cameras[i, view]).project(corners)
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


def test_training_shapes_in_pieces_are_set_aside_if_asked(tmp_path):
    """A volume of a box and a crumb: 24·15·5 cells and 3³."""
    for split in ("train", "test"):
        place = tmp_path / "volumetric_data" / "chair" / "30" / split
        place.mkdir(parents=True)
        whole = np.zeros((30, 30, 30), np.uint8)
        whole[3:27, 5:20, 4:9] = 1
        loose = whole.copy()
        loose[10:13, 10:13, 20:23] = 1
        for name, volume in (("whole", whole), ("loose", loose)):
            savemat(place / f"chair_{name}_1.mat", {"instance": volume})
    options = {"resolution": 16, "workers": 1}
    every = prepare(tmp_path, tmp_path / "all.h5", **options)
    assert every.num_shapes == 4
    report = prepare(tmp_path, tmp_path / "whole.h5", one_piece=0.999, **options)
    with Dataset(tmp_path / "whole.h5", "all") as data:
        assert data.summary()["chair"] == {"train": 1, "test": 2}  # what is judged stays as it is
    ((source, reason),) = report.set_aside
    assert "chair_loose_1" in source and re.search(r"its largest part holds 9\d\.\d% of it, 99\.9% are asked", reason)
    assert prepare(tmp_path, tmp_path / "most.h5", one_piece=0.9, **options).num_shapes == 4
    for wrong in (-0.1, 1.5):
        with pytest.raises(UsageError, match=r"one_piece=.*expected a share from 0 to 1"):
            prepare(tmp_path, tmp_path / "none.h5", one_piece=wrong)
