from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from voxgan.errors import MissingExtraError, StorageError
from voxgan.training import record as module
from voxgan.training.record import Record, read_events, read_log


def steps_of(folder: Path) -> list[Any]:
    return [line["step"] for line in read_log(folder)]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def filled(folder: Path, last: int) -> Record:
    record = Record(folder)
    for step in range(1, last + 1):
        record.step(step, {"generator.total": step / 7, "accuracy": 0.5})
    return record


def test_a_line_a_step(tmp_path: Path) -> None:
    record = Record(tmp_path)
    record.step(1, {"a": 1 / 3, "b": float("nan")})
    record.step(2, {"a": 123456789.0, "b": float("-inf"), 'odd "name", é': 1.0})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_bytes().splitlines()]  # before any flush
    assert lines == [
        {"step": 1, "a": 0.333333, "b": None},
        {"step": 2, "a": 1.23457e8, "b": None, 'odd "name", é': 1.0},
    ]
    assert read_log(tmp_path) == lines
    record.close()
    with (tmp_path / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["step", "a", "b", 'odd "name", é'], ["1", "0.333333", "", ""], ["2", "1.23457e+08", "", "1"]]


def test_going_on_leaves_neither_gap_nor_repeat(tmp_path: Path) -> None:
    record = filled(tmp_path, 8)
    record.event(3, "warning", "told before the state")
    record.event(8, "warning", "told after it")
    record.close()
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "accur')  # kill -9
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"step')
    assert steps_of(tmp_path) == list(range(1, 9)), "a torn line can be read past"
    again = Record(tmp_path, start=5)
    for step in range(6, 9):
        again.step(step, {"generator.total": -step, "test_iou": 0.5})
    again.close()
    assert steps_of(tmp_path) == list(range(1, 9))
    assert [line["generator.total"] for line in read_log(tmp_path)[4:6]] == [pytest.approx(5 / 7, rel=1e-5), -6.0]
    assert [event["text"] for event in read_events(tmp_path)] == ["told before the state"]
    assert [row["step"] for row in table(tmp_path)] == [str(step) for step in range(1, 9)]
    assert [row["test_iou"] for row in table(tmp_path)] == [""] * 5 + ["0.5"] * 3


def test_a_new_run_begins_empty(tmp_path: Path) -> None:
    filled(tmp_path, 3).close()
    Record(tmp_path).close()
    assert steps_of(tmp_path) == [] and table(tmp_path) == []


def test_a_whole_log_is_not_written_again(tmp_path: Path) -> None:
    filled(tmp_path, 3).close()
    before = (tmp_path / "log.jsonl").stat().st_ino
    Record(tmp_path, start=3).close()
    assert (tmp_path / "log.jsonl").stat().st_ino == before


def test_rewind_keeps_events(tmp_path: Path) -> None:
    record = filled(tmp_path, 9)
    record.event(9, "retry", "back to step 4")
    record.rewind(4)
    record.step(5, {"accuracy": 0.25})
    record.close()
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5] and read_log(tmp_path)[-1] == {"step": 5, "accuracy": 0.25}
    (event,) = read_events(tmp_path)
    assert (event["kind"], event["step"], event["text"]) == ("retry", 9, "back to step 4")
    assert event["time"].endswith("+00:00")


def test_the_table_grows_by_new_steps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = filled(tmp_path, 4)
    record.flush()
    monkeypatch.setattr(module, "read_log", lambda _: pytest.fail("the log was read again"))
    record.step(5, {"accuracy": 1.0})
    record.flush()
    record.flush()
    assert [row["accuracy"] for row in table(tmp_path)] == ["0.5"] * 4 + ["1"]
    assert table(tmp_path)[-1]["generator.total"] == ""
    monkeypatch.undo()
    record.step(6, {"test_iou": 0.3})  # a new column
    record.close()
    assert list(table(tmp_path)[0]) == ["step", "generator.total", "accuracy", "test_iou"] and len(table(tmp_path)) == 6


@pytest.mark.parametrize("change", ["removed", "changed"])
def test_a_table_that_others_touched_is_made_anew(tmp_path: Path, change: str) -> None:
    record = filled(tmp_path, 4)
    record.flush()
    if change == "removed":
        (tmp_path / "log.csv").unlink()
    else:
        (tmp_path / "log.csv").write_text("mine")
    record.step(5, {"accuracy": 1.0})
    record.close()
    assert [row["step"] for row in table(tmp_path)] == list("12345")


def test_every_step_outlives_kill_9(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal\n"
        "from voxgan.training.record import Record\n"
        f"record = Record(pathlib.Path({str(tmp_path)!r}))\n"
        "for step in range(1, 51): record.step(step, {'accuracy': 0.5})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -9
    assert steps_of(tmp_path) == list(range(1, 51))


@pytest.mark.parametrize(
    "text",
    [
        b'{"step": 1, "a": 2}\n\x00\xff garbage\n{"step": 2, "a": NaN}\n',
        b'{"step": 1, "a": 2}\n[1]\n"x"\n{"a": 5}\n{"step": true}\n{"step": 2, "a": null}\n',
        b'{"step": 2, "a": 7}\n{"step": 1, "a": 2}\n{"step": 2, "a": null}\n',  # a repeat: the later counts
        b'{"step": 1, "a": 2}\n\n{"step": 2, "a": -Infinity}\n' + b"[" * 100_000 + b"\n",
        b'{"step": 1, "a": 2}\n{"step": 2, "a": null}\n[{"step": 3\n}]\n',  # a value only when laid together
    ],
)
def test_damaged_logs_are_read_past(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "log.jsonl").write_bytes(text)
    assert read_log(tmp_path) == [{"step": 1, "a": 2}, {"step": 2, "a": None}]


def test_nothing_there(tmp_path: Path) -> None:
    assert read_log(tmp_path) == [] and read_events(tmp_path) == []
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(StorageError, match=r"cannot read .*log\.jsonl"):
        read_log(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot"):
        Record(tmp_path / "file")


def test_events_of_others_lack_nothing(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"step": 3}\n')
    assert read_events(tmp_path) == [{"step": 3, "kind": "", "text": "", "time": ""}]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to("/dev/null")
    (tmp_path / "events.jsonl").symlink_to("/dev/null")
    record = Record(tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, record._handle)
    os.close(full)
    with pytest.raises(StorageError, match=r"cannot write .*log\.jsonl: No space left"):
        record.step(1, {"accuracy": 0.5})
    record._release()


def test_half_a_line_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = filled(tmp_path, 2)
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda handle, line: write(handle, line[:7]))
    with pytest.raises(StorageError, match="no space left"):
        record.step(3, {"accuracy": 0.5})
    monkeypatch.undo()
    record.close()
    assert steps_of(tmp_path) == [1, 2]
    Record(tmp_path, start=2).close()
    assert (tmp_path / "log.jsonl").read_bytes().count(b"\n") == 2


def test_tensorboard_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"tensorboard=true needs .*voxgan-3d\[tensorboard\]"):
        Record(tmp_path, tensorboard=True)


class Writer:
    """Stands in for TensorBoard's, and notes what it is asked for."""

    notes: list[tuple[Any, ...]] = []  # noqa: RUF012

    def __init__(self, folder: str, purge_step: int | None) -> None:
        self.notes.append(("open", Path(folder).name, purge_step))

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **_: self.notes.append((name, *[a for a in args if not isinstance(a, np.ndarray)]))


def test_what_tensorboard_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_find_writer", lambda: Writer)
    monkeypatch.setattr(Writer, "notes", [])
    record = Record(tmp_path, tensorboard=True)
    record.step(1, {"generator.total": 0.5, "accuracy": float("nan")})
    record.pictures(1, np.zeros((4, 4, 3), np.uint8))
    record.event(1, "warning", "empty")
    record.rewind(0)
    record.step(1, {"accuracy": 0.5})
    record.close()
    Record(tmp_path, start=1, tensorboard=True)._release()
    assert Writer.notes == [
        ("open", "tensorboard", None),
        ("add_scalar", "generator/total", 0.5, 1),
        ("add_image", "samples", 1),
        ("add_text", "warning", "empty", 1),
        ("close",),
        ("open", "tensorboard", None),
        ("add_scalar", "accuracy", 0.5, 1),
        ("flush",),
        ("close",),
        ("open", "tensorboard", 2),
        ("close",),
    ]


def test_tensorboard_reads_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = Record(tmp_path, tensorboard=True)
    for step in range(1, 6):
        record.step(step, {"accuracy": step / 10})
    record.pictures(5, np.zeros((4, 8, 3), np.uint8))
    record.close()
    again = Record(tmp_path, start=3, tensorboard=True)
    again.step(4, {"accuracy": 0.9})
    again.close()
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    values = {s.step: s.value for s in found.Scalars("accuracy")}
    assert values == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.9})
