"""The figures of a run on disk: a line a step, a table, events in words, and TensorBoard where it is asked for.

``log.jsonl`` has one JSON object a step and is only ever appended to, so that ``kill -9`` can tear its last line and
nothing else; `Record` drops such a line, and all steps that will be run again. ``log.csv`` is the same table for
spreadsheets, written whole whenever a state is saved. ``events.jsonl`` says what happened to the run.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import MissingExtraError, StorageError
from voxgan.files import atomic_write, write_bytes

__all__ = ["EVENTS", "Record", "columns", "read_events", "read_log"]

EVENTS = ("started", "resumed", "warning", "skipped", "retry", "stopped", "failed", "finished")
"""The kinds of events."""

_LOG, _TABLE, _EVENTS = "log.jsonl", "log.csv", "events.jsonl"


class Record:
    """What one process, the first of all ranks, writes down of a run.

    Parameters
    ----------
    folder : Path
        The run folder.
    start : int, optional
        Step after which the run goes on. Lines of later steps are dropped, and so is a torn last one.
    tensorboard : bool, optional
        Write to ``folder/tensorboard`` too.

    Raises
    ------
    MissingExtraError
        If TensorBoard is asked for and not installed.
    StorageError
        If the folder cannot be read or written.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> record = Record(folder)
    >>> record.step(1, {"generator.total": 0.7, "accuracy": float("nan")})
    >>> record.event(1, "stopped", "asked to stop")
    >>> record.close()
    >>> read_log(folder)
    [{'step': 1, 'generator.total': 0.7, 'accuracy': None}]
    >>> print((folder / "log.csv").read_text(), end="")
    step,generator.total,accuracy
    1,0.7,
    """

    def __init__(self, folder: Path, start: int = 0, tensorboard: bool = False) -> None:
        self.folder = folder
        self._handle = -1
        self._board: Any = None
        self._writer = _find_writer() if tensorboard else None
        self._keys: dict[str, str] = {}  # names of figures as JSON
        self._columns: list[str] = []
        self._waiting: list[tuple[int, dict[str, str]]] = []  # steps that log.csv has not yet
        self._table_size = -1  # bytes of log.csv as it was written here; -1: it must be made anew
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot("write", folder, error) from error
        _cut(folder / _EVENTS, start)
        self.rewind(start)

    def step(self, step: int, figures: Mapping[str, float]) -> None:
        """Append one step's figures; what is not finite becomes null.

        Raises
        ------
        StorageError
            If the line cannot be written whole.
        """
        texts = {key: f"{value:.6g}" if math.isfinite(value) else "" for key, value in figures.items()}
        for key in texts.keys() - self._keys.keys():
            self._keys[key] = json.dumps(key)
        keys = self._keys
        pairs = "".join(f", {keys[key]}: {text or 'null'}" for key, text in texts.items())
        line = f'{{"step": {step}{pairs}}}\n'.encode()
        try:
            written = os.write(self._handle, line)
        except OSError as error:
            raise _cannot("write", self.folder / _LOG, error) from error
        if written != len(line):  # the disk took what it had room for
            raise StorageError(f"cannot write {self.folder / _LOG}: no space left; free some, then resume")
        self._waiting.append((step, texts))
        if self._board is not None:
            for key, text in texts.items():
                if text:
                    self._board.add_scalar(key.replace(".", "/"), float(text), step)

    def event(self, step: int, kind: str, text: str) -> None:
        """Note something that happened, of one of the kinds `EVENTS`, with the time (UTC)."""
        time = datetime.now(UTC).isoformat(timespec="seconds")
        line = json.dumps({"step": step, "kind": kind, "text": text, "time": time}, ensure_ascii=False) + "\n"
        try:
            with (self.folder / _EVENTS).open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise _cannot("write", self.folder / _EVENTS, error) from error
        if self._board is not None:
            self._board.add_text(kind, text, step)

    def pictures(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Show a picture (H, W, 3) of samples in TensorBoard; without it, nothing is done."""
        if self._board is not None:
            self._board.add_image("samples", picture, step, dataformats="HWC")

    def rewind(self, step: int) -> None:
        """Drop the figures after `step`, which will be run again. Events stay."""
        self._release()
        path = self.folder / _LOG
        _cut(path, step)
        try:
            self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise _cannot("write", path, error) from error
        self._waiting, self._table_size = [], -1
        if self._writer is not None:
            self._board = self._writer(str(self.folder / "tensorboard"), purge_step=step + 1 if step else None)

    def flush(self) -> None:
        """Make the log durable and bring ``log.csv`` up to date; to be called before a state is saved.

        Raises
        ------
        StorageError
            If either cannot be written.
        """
        try:
            os.fsync(self._handle)
        except OSError as error:
            raise _cannot("write", self.folder / _LOG, error) from error
        self._write_table()
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Flush, and let go of the files. The record cannot be used afterwards."""
        try:
            self.flush()
        finally:
            self._release()

    def _release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._board is not None:
            self._board.close()
            self._board = None

    def _write_table(self) -> None:
        """Write the table: the former one and the new steps, or, where that does not fit, all of the log."""
        path = self.folder / _TABLE
        known = set(self._columns)
        grown = path.is_file() and path.stat().st_size == self._table_size
        if grown and all(known.issuperset(texts) for _, texts in self._waiting):
            if not self._waiting:
                return
            with atomic_write(path) as partial:
                shutil.copyfile(path, partial)
                with partial.open("a", encoding="utf-8", newline="") as file:
                    file.write(_rows(self._waiting, self._columns))
        else:
            lines = read_log(self.folder)
            self._columns = columns(lines)
            steps = ((int(line["step"] or 0), {k: _text(v) for k, v in line.items()}) for line in lines)
            head = io.StringIO()
            csv.writer(head, lineterminator="\n").writerow(["step", *self._columns])
            write_bytes(path, (head.getvalue() + _rows(steps, self._columns)).encode())
        self._waiting, self._table_size = [], path.stat().st_size


def read_log(folder: Path) -> list[dict[str, float | None]]:
    """Return the figures of every step of a run, in order; None for what was not finite.

    A torn line is left out, and of a step that stands there twice, the later one counts.

    Raises
    ------
    StorageError
        If there is a log that cannot be read.
    """
    lines: list[dict[str, float | None]] = [line for _, line in _parsed(folder / _LOG)]
    if all(a["step"] < b["step"] for a, b in pairwise(lines)):  # type: ignore[operator]
        return lines
    latest = {line["step"]: line for line in lines}
    return sorted(latest.values(), key=lambda line: line["step"] or 0)


def read_events(folder: Path) -> list[dict[str, Any]]:
    """Return the events of a run, each with ``step``, ``kind``, ``text`` and ``time``, as they happened.

    Raises
    ------
    StorageError
        If there is a file of events that cannot be read.
    """
    lacking = {"kind": "", "text": "", "time": ""}
    return [{**lacking, **event} for _, event in _parsed(folder / _EVENTS)]


def columns(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names of all figures in a log, but ``step``, in the order in which they first appear.

    Examples
    --------
    >>> columns([{"step": 1, "b": 0.5}, {"step": 2, "a": None, "b": 0.4}])
    ['b', 'a']
    """
    kinds = dict.fromkeys(map(tuple, lines))  # most lines have the same
    return [name for name in dict.fromkeys(name for kind in kinds for name in kind) if name != "step"]


def _parsed(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Return each line of a JSON-lines file that is an object with a whole ``step``, beside the object."""
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    except OSError as error:
        raise _cannot("read", path, error) from error
    lines = [line for line in lines if line.strip()]
    try:  # all at once takes half the time of one by one
        values = json.loads(b"[" + b",".join(lines) + b"]", parse_constant=_nothing)
    except (ValueError, RecursionError):
        values = []
    if len(values) != len(lines):
        values = [_value(line) for line in lines]
    return [
        (line, value)
        for line, value in zip(lines, values, strict=True)
        if isinstance(value, dict) and type(value.get("step")) is int
    ]


def _value(line: bytes) -> Any:
    try:
        return json.loads(line, parse_constant=_nothing)
    except (ValueError, RecursionError):
        return None


def _nothing(_: str) -> None:
    """Read NaN and Infinity, which are no JSON, as null."""


def _cut(path: Path, step: int) -> None:
    """Drop the lines after `step`, and those that are torn; leave alone a file that has none."""
    content = b"".join(line + b"\n" for line, value in _parsed(path) if value["step"] <= step)
    try:
        whole = not path.exists() or content == path.read_bytes()
    except OSError as error:
        raise _cannot("read", path, error) from error
    if not whole:
        write_bytes(path, content)


def _rows(steps: Iterable[tuple[int, Mapping[str, str]]], columns: list[str]) -> str:
    return "".join(",".join([str(step), *(texts.get(key, "") for key in columns)]) + "\n" for step, texts in steps)


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) and math.isfinite(value) else ""


def _cannot(what: str, path: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot {what} {path}: {error.strerror or error}; free space or choose another place")


def _find_writer() -> Any:
    """Return TensorBoard's writer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("tensorboard", "tensorboard", "tensorboard=true") from error
    return SummaryWriter
