"""R5 and R11: parts that somebody meddled with, processes that are killed, two at one output, a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import faults
import h5py
import numpy as np
import pytest
from trial import FULL

from data_prep.build import prepare
from data_prep.parts import parts_folder
from data_prep.pool import Limits, Worker
from data_prep.sources import Item
from data_prep.worker import Recipe, build_shape
from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer
from voxgan.errors import VoxganError

NUM_FLIPS = 400 if FULL else 15
NUM_KILLS = 40 if FULL else 4
NUM_LIMITS = 20 if FULL else 3
NUM_REPLACED = 300 if FULL else 25
OPTIONS = {"resolution": 16, "mode": "sdf", "views": 1, "workers": 1}


def contents(path: Path) -> dict[str, object]:
    """Everything that an HDF5 file holds."""
    with h5py.File(path) as file:
        found: dict[str, object] = {name: file[name][:].tobytes() for name in file}
        return found | {f"@{name}": repr(value) for name, value in file.attrs.items()}


# ----------------------------------------------------------------------------------------- parts, meddled with
class Begun:
    """A preparation of nine files, two of them bad, that was stopped after the eighth; every shape is built once."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.source = folder / "meshes"
        self.source.mkdir()
        for i in range(9):
            content = b"nonsense" if i in (3, 4) else faults.off(faults.HEALTHY_V * [1, 1 + i, 1], faults.HEALTHY_F)
            (self.source / f"shape{i}.off").write_bytes(content)
        built: dict[object, object] = {}
        monkeypatch.setattr("data_prep.parts.MAX_SHAPES", 2)
        monkeypatch.setattr("data_prep.build.NUM_BACKGROUNDS", 2)
        monkeypatch.setattr(
            "data_prep.build.build_all",
            lambda items, recipe, *_: (built.setdefault((i, recipe), build_shape(i, recipe)) for i in items),
        )
        prepare(self.source, folder / "whole.h5", **OPTIONS)
        self.whole = contents(folder / "whole.h5")
        self.parts = self.stopped("begun.h5")

    def stopped(self, name: str, **other: object) -> Path:
        def stop(done: int, _: int) -> None:
            if done == 8:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare(self.source, self.folder / name, **(OPTIONS | other), report=stop)
        return parts_folder(self.folder / name)

    def goes_on(self, change: Callable[[Path, list[Path]], object]) -> str:
        """Meddle with a copy of the parts, and go on: ``whole``, or the error; never anything else."""
        out = self.folder / "out" / "a.h5"
        shutil.rmtree(out.parent, ignore_errors=True)
        folder = parts_folder(out)
        shutil.copytree(self.parts, folder)
        change(folder, sorted(folder.glob("part-*.h5")))
        try:
            prepare(self.source, out, **OPTIONS)
        except VoxganError as error:
            assert "\n" not in str(error) and not out.exists()
            assert not list(out.parent.glob("**/*.partial*"))
            return str(error)
        assert contents(out) == self.whole
        return "whole"


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Begun(tmp_path_factory.mktemp("begun"), monkeypatch)


def rewritten(rows: list[int], folder: Path, parts: list[Path]) -> None:
    """Put other rows of the same part in its place, by the writer itself."""
    source = parts[0].rename(folder / "former.h5")
    with h5py.File(source, "a", libver="latest") as file:
        for name in file:
            kept = file[name][:][rows]
            file[name].resize(len(rows), axis=0)
            file[name][:] = kept
    source.rename(parts[0])


def swapped(a: int, b: int, parts: list[Path]) -> None:
    one, other = parts[a].read_bytes(), parts[b].read_bytes()
    parts[a].write_bytes(other)
    parts[b].write_bytes(one)


def folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def plan(content: bytes) -> Callable[[Path, list[Path]], object]:
    return lambda folder, _: (folder / "plan.json").write_bytes(content)


MEDDLED: dict[str, tuple[Callable[[Path, list[Path]], object], str]] = {
    "nothing": (lambda folder, parts: None, "whole"),
    "plan missing": (lambda folder, parts: (folder / "plan.json").unlink(), "whole"),
    "plan empty": (plan(b""), "whole"),
    "plan nonsense": (plan(b"\x00\xff nonsense"), "whole"),
    "plan deep": (plan(b"[" * 100_000), "whole"),
    "plan a list": (plan(b"[]"), "whole"),
    "plan null": (plan(b"null"), "whole"),
    "plan UTF-16": (plan("{}".encode("utf-16")), "whole"),
    "plan without anything": (plan(b"{}"), "--overwrite"),
    "plan of numbers": (plan(b'{"options": 5, "shapes": [], "fingerprint": null}'), "--overwrite"),
    "plan a folder": (lambda folder, parts: folder_in_place(folder / "plan.json"), "it is a folder"),
    "two swapped": (lambda folder, parts: swapped(0, 2, parts), "whole"),
    "the last two swapped": (lambda folder, parts: swapped(2, 3, parts), "whole"),
    "first missing": (lambda folder, parts: parts[0].unlink(), "whole"),
    "second missing": (lambda folder, parts: parts[1].unlink(), "whole"),
    "all missing": (lambda folder, parts: [part.unlink() for part in parts], "whole"),
    "said to hold more": (lambda folder, parts: parts[0].rename(folder / "part-000000000-000000004.h5"), "whole"),
    "said to hold less": (lambda folder, parts: parts[0].rename(folder / "part-000000000-000000001.h5"), "whole"),
    "said to hold none": (lambda folder, parts: parts[0].rename(folder / "part-000000000-000000000.h5"), "whole"),
    "said to go back": (lambda folder, parts: parts[1].rename(folder / "part-000000002-000000001.h5"), "whole"),
    "said to end behind the list": (
        lambda folder, parts: parts[3].rename(folder / "part-000000006-000000099.h5"), "whole"),
    "twice, under two names": (
        lambda folder, parts: shutil.copy(parts[0], folder / "part-000000000-000000003.h5"), "whole"),
    "behind the end": (lambda folder, parts: shutil.copy(parts[0], folder / "part-000000008-000000010.h5"), "whole"),
    "odd names": (lambda folder, parts: shutil.copy(parts[0], folder / "part-x.h5"), "whole"),
    "empty": (lambda folder, parts: parts[1].write_bytes(b""), "whole"),
    "cut short": (lambda folder, parts: os.truncate(parts[1], 5000), "whole"),
    "cut by a byte": (lambda folder, parts: os.truncate(parts[1], parts[1].stat().st_size - 1), "whole"),
    "a folder": (lambda folder, parts: folder_in_place(parts[1]), "cannot write in"),
    "a text": (lambda folder, parts: parts[1].write_text("hello"), "whole"),
    "rows turned round": (lambda folder, parts: rewritten([1, 0], folder, parts), "whole"),
    "a row twice": (lambda folder, parts: rewritten([0, 0], folder, parts), "whole"),
    "a row less": (lambda folder, parts: rewritten([0], folder, parts), "whole"),
    "leftovers": (lambda folder, parts: (folder / ".voxgan-x.partial.h5").write_bytes(b"half"), "whole"),
}  # fmt: skip


@pytest.mark.parametrize("fault", MEDDLED)
def test_parts_that_were_meddled_with(begun, fault):
    """What comes of them is what would have come without a stop, or an error."""
    change, expected = MEDDLED[fault]
    assert expected in begun.goes_on(change)


@pytest.mark.parametrize("other", [{"resolution": 18}, {"mode": "solid"}, {"views": 2}, {"seed": 1}])
def test_parts_of_other_options_without_their_plan(begun, other):
    """A part of another resolution was copied, cell by cell, into grids of this one."""
    name = f"{next(iter(other))}.h5"
    parts = begun.stopped(name, **other)

    def change(folder: Path, mine: list[Path]) -> None:
        for path in mine:
            shutil.copy(parts / path.name, path)
        if "seed" in other:  # which stands in the plan only
            (folder / "plan.json").unlink()

    assert begun.goes_on(change) == "whole"


def test_flipped_bits_of_parts(begun):
    """Between a stop and going on: the flipped row was copied as it was, and failed when the data set was read."""
    rng = np.random.default_rng(0)

    def flip(folder: Path, parts: list[Path]) -> None:
        path = [*parts, folder / "plan.json"][int(rng.integers(len(parts) + 1))]
        content = bytearray(path.read_bytes())
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)

    came = [begun.goes_on(flip) for _ in range(NUM_FLIPS)]
    assert all(one == "whole" or "--overwrite" in one for one in came)
    assert came.count("whole") > NUM_FLIPS / 2


# -------------------------------------------------------------------------------------------------- processes
COMMAND = """
import resource, sys
from data_prep import build, parts
from voxgan import cli
parts.MAX_SHAPES, build.NUM_BACKGROUNDS, limit = int(sys.argv.pop(1)), 2, int(sys.argv.pop(1))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
cli.main()
"""


def start(out: Path, *more: object, at_once: int = 256, limit: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COMMAND, at_once, limit, "prepare", "furniture", out, "--resolution", 16, *more]
    return subprocess.Popen(
        [str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a preparation started; no others."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    threads = Path(f"/proc/{process.pid}/task")
    try:
        found = [int(pid) for path in threads.iterdir() for pid in (path / "children").read_text().split()]
    except OSError:
        assert not children.exists()
        return []
    return [pid for pid in found if b"data_prep.worker" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")


def rows_by_name(path: Path) -> dict[str, tuple[object, ...]]:
    with Dataset(path, "all") as data:
        every = range(len(data))
        columns = data.packed(every), data.labels, data.splits, data.transforms(), data.source_sha256()
        return {
            name: tuple(np.asarray(column[i]).tobytes() for column in columns) for i, name in enumerate(data.names())
        }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "a.h5"
    process = start(out, "--count", 4, "--workers", 1)
    assert ended(process)[0] == 0
    return out


def test_the_second_of_two_preparations_is_sent_away(tmp_path):
    out = tmp_path / "a.h5"
    first = start(out, "--count", 200, "--workers", 1)
    try:
        while not (parts_folder(out) / "plan.json").exists():
            assert first.poll() is None
            time.sleep(0.05)
        for more in ((), ("--overwrite",), ("--seed", "1", "--overwrite")):
            status, errors = ended(start(out, "--count", 200, "--workers", 1, *more))
            assert status == 4 and "another process is at work in it" in errors
            assert len(errors.strip().splitlines()) == 1
        assert first.poll() is None
    finally:
        first.terminate()
        status, errors = ended(first)
    assert status in (0, 130) and "Traceback" not in errors


@needs_proc
def test_killed_workers_cost_the_shapes_in_hand_and_no_more(tmp_path, undisturbed):
    rng = np.random.default_rng(0)
    out = tmp_path / "a.h5"
    kills, status, errors = 0, 4, "does not start"
    while status == 4 and "does not start" in errors:  # killed three times amid its start: the same command goes on
        process = start(out, "--count", 30 if FULL else 4, "--workers", 2)
        while process.poll() is None and kills < NUM_KILLS:
            time.sleep(float(rng.uniform(0.05, 0.4)))
            for pid in rng.permutation(workers_of(process)).tolist()[:1]:
                os.kill(pid, signal.SIGKILL)
                kills += 1
        status, errors = ended(process)
    assert status == 0 and "Traceback" not in errors, errors
    assert kills > 0
    with Dataset(out, "all") as data:
        aside = data.set_aside()
    assert len(aside) <= kills
    assert all("died" in reason for _, reason in aside)
    found, expected = rows_by_name(out), rows_by_name(undisturbed)
    assert len(found) + len(aside) == (30 if FULL else 4) * len(expected) // 4
    same = set(found) & set(expected)
    assert len(same) >= len(expected) - kills
    if not FULL:  # the split hangs on how many there are
        assert all(found[name] == expected[name] for name in same)


def test_a_worker_that_dies_while_it_starts_gets_another_try(tmp_path, monkeypatch):
    """As when the system, short of memory, ends it amid its imports: the preparation went down with it."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nmkdir "{tmp_path}/once" 2>/dev/null && exit 1\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    worker = Worker(Limits(seconds=20))
    try:
        item = Item("parametric", "a", "table", "train", "furniture:table:0")
        assert worker.build(item, Recipe(16)).row is not None
    finally:
        worker.close()
    assert (tmp_path / "once").exists()


READER = """
import sys, time
from pathlib import Path
import numpy as np
from voxgan.dataset import Dataset
count = 0
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    with Dataset(sys.argv[1], "all") as data:
        version = int(data.classes[0])
        assert len(data) == 5 + version % 3 and data.names() == [f"{version} {i}" for i in range(len(data))]
        for i in range(len(data)):
            assert data.occupancy([i]).sum() == 1 + version % 100
        assert (data.transforms()[:, 0, 0] == version).all()
        count += 1
print(count)
"""


def test_three_read_while_one_replaces(tmp_path):
    """Whoever has a data set open keeps the old one to the end; whoever opens it anew gets the new one, whole."""
    path = tmp_path / "a.h5"

    def write(version: int) -> None:
        with Writer.create(path, 16, [str(version)]) as writer:
            grid = np.zeros(16**3)
            grid[: 1 + version % 100] = 1
            for i in range(5 + version % 3):
                writer.add(
                    grid.reshape(16, 16, 16), str(version), "train", f"{version} {i}", transform=version * np.eye(3, 4)
                )

    write(1)
    command = [sys.executable, "-c", READER, str(path), str(tmp_path / "stop")]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for reader in readers:
            assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
        for version in range(2, 2 + NUM_REPLACED):
            write(version)
            time.sleep(0.01)
    finally:
        (tmp_path / "stop").touch()
        counts = [reader.communicate(timeout=60)[0] for reader in readers]
    assert [reader.returncode for reader in readers] == [0, 0, 0]
    assert all(int(count) > 1 for count in counts)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "stop"]


# -------------------------------------------------------------------------------------------------- disk full
@pytest.mark.parametrize("number", range(NUM_LIMITS))
def test_a_full_disk(tmp_path, undisturbed, number):
    """No file may become larger than so much: first no part can be written, then parts can, but not the whole."""
    out = tmp_path / "a.h5"
    largest = undisturbed.stat().st_size
    limits = np.geomspace(300, largest - 200, NUM_LIMITS).astype(int).tolist()
    at_once = (256, 7, 1)[number % 3]
    options = ("--count", 4, "--workers", 1)
    status, errors = ended(start(out, *options, at_once=at_once, limit=limits[number]))
    lines = [line for line in errors.strip().splitlines() if not line.startswith("\r")]
    assert status == 4, errors
    assert "cannot write" in lines[-1] and "Traceback" not in errors
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not any("partial" in name or name == "a.h5" for name in left), left
    parts = list(parts_folder(out).glob("part-*.h5"))
    for path in parts:
        Dataset(path, "all").close()
    if at_once == 1 and limits[number] > largest / 2:  # each part is smaller than that, the whole is not
        assert len(parts) == len(rows_by_name(undisturbed))
    assert ended(start(out, *options, at_once=at_once))[0] == 0
    assert contents(out) == contents(undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
