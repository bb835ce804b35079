"""Processes with limits: what hangs, dies or wants too much memory costs one shape, and says why."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from data_prep.pool import Limits, Worker, build_all
from data_prep.sources import Item
from data_prep.worker import Recipe, build_shape
from voxgan.errors import InputError, StorageError

RECIPE = Recipe(16)


class Sleeper(Item):
    def load(self, *_):
        time.sleep(60)


class Faulty(Item):
    def load(self, *_):
        ctypes.string_at(0)


class Hungry(Item):
    def load(self, *_):
        return np.ones(3 << 27)  # 3 GiB


class Quitter(Item):
    def load(self, *_):
        os._exit(0)


class Talker(Item):
    def load(self, *rest):
        os.write(1, b"a library prints where the answers go\n")
        print("so does Python")
        return super().load(*rest)


class Wrong(Item):
    def load(self, *_):
        raise ZeroDivisionError("first line\nsecond line")


class Refused(Item):
    def load(self, *_):
        raise InputError("a.obj: expected\nfaces")


def item(kind: type[Item] = Item, number: int = 0) -> Item:
    return kind("parametric", f"{kind.__name__}_{number}", "table", "train", f"furniture:table:{number}")


@pytest.fixture
def worker():
    one = Worker(Limits(seconds=20, gigabytes=1.5))
    yield one
    one.close()


def test_a_process_builds_what_this_one_would(worker):
    recipe = Recipe(16, views=1, seed=3)
    there, here = worker.build(item(), recipe), build_shape(item(), recipe)
    assert there.row is not None and here.row is not None and there.reason == here.reason == ""
    assert there.row.chunks == here.row.chunks and there.row.source_sha256 == here.row.source_sha256
    np.testing.assert_array_equal(there.row.transform, here.row.transform)
    np.testing.assert_array_equal(there.row.cameras, here.row.cameras)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Faulty, "died"),
        (Quitter, "died"),
        (Wrong, "ZeroDivisionError: first line second line"),
        (Refused, "a.obj: expected faces"),
        pytest.param(
            Hungry, "more memory", marks=pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits")
        ),
    ],
)
def test_what_goes_wrong_is_the_reason_and_the_next_shape_is_built(worker, kind, reason):
    built = worker.build(item(kind), RECIPE)
    assert built.row is None and reason in built.reason and "\n" not in built.reason
    assert worker.build(item(), RECIPE).row is not None


def test_a_process_that_is_ready_loads_nothing_more_for_its_first_shape():
    script = (
        "import sys\nfrom data_prep.sources import Item\nfrom data_prep.worker import Recipe, build_shape, get_ready\n"
        "get_ready(); before = set(sys.modules)\n"
        "assert build_shape(Item('parametric', 'a', 'table', 'train', 'furniture:table:1'), Recipe(16)).row\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_hangs_is_ended():
    worker = Worker(Limits(seconds=1))
    began = time.monotonic()
    built = worker.build(item(Sleeper), RECIPE)
    assert built.row is None and "longer than 1 s" in built.reason and "--time-limit" in built.reason
    assert time.monotonic() - began < 30
    worker.close()


def test_what_a_library_prints_does_not_stand_between_the_answers(worker, capfd):
    assert worker.build(item(Talker), RECIPE).row is not None
    assert "a library prints" in capfd.readouterr().err


def test_all_come_in_order_whatever_happens_to_some(monkeypatch):
    kinds = [Item, Faulty, Item, Sleeper, Item, Item, Wrong, Quitter, Item, Item]
    items = [item(kind, number) for number, kind in enumerate(kinds)]
    built = list(build_all(items, RECIPE, 2, Limits(seconds=5)))
    assert [one.source for one in built] == [one.source for one in items]
    assert [one.row is None for one in built] == [kind is not Item for kind in kinds]
    assert [one.row.name for one in built if one.row] == [one.name for one in items if type(one) is Item]


def test_stopped_amid_the_work_no_process_is_left():
    walk = build_all([item(number=i) for i in range(50)], RECIPE, 2, Limits())
    assert next(walk).row is not None
    walk.close()
    children = subprocess.run(
        ["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=False
    ).stdout
    assert "data_prep.worker" not in children


def test_a_process_that_is_killed_from_outside_costs_one_shape(worker):
    assert worker.build(item(), RECIPE).row is not None
    worker.child._process.send_signal(signal.SIGKILL)
    worker.child._process.wait()
    assert worker.build(item(), RECIPE).row is not None  # it was idle: a new one takes the job


def test_processes_end_when_the_first_one_is_killed(tmp_path):
    """Their standard input ends, and so do they."""
    script = (
        "import sys, time\nfrom data_prep.pool import Limits, Worker\nfrom tests_items import one, recipe\n"
        "w = Worker(Limits()); w.build(one, recipe); print(w.child._process.pid, flush=True); time.sleep(60)\n"
    )
    (tmp_path / "tests_items.py").write_text(
        "from data_prep.sources import Item\nfrom data_prep.worker import Recipe\n"
        "one = Item('parametric', 'a', 'table', 'train', 'furniture:table:0'); recipe = Recipe(16)\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    assert first.stdout is not None
    pid = int(first.stdout.readline())
    first.kill()
    first.wait()
    first.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        if state == "Z":
            break
        time.sleep(0.1)
    assert time.monotonic() < deadline


def test_a_process_that_does_not_start_is_an_error_not_a_reason(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StorageError, match="does not start"):
        Worker(Limits()).build(item(), RECIPE)
