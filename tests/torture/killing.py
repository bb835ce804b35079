"""Trainings that are killed: one process imports everything once and forks a child for each try.

A start of Python with torch takes seconds, a fork milliseconds. The process that forks has one thread and has computed
nothing, so that a child is as good as a fresh process. It reads orders as lines of JSON and answers likewise.

What happens to files is counted as *events*: in a run folder, a file opened for writing, written by `os.write`,
renamed, removed, its mode changed, a folder made, a file or folder synced. `Ended.events` lists them; a fault can
strike at each.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import gc
import hashlib
import importlib
import json
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OF_THE_MACHINE = ("shapes_per_s", "memory_gb")
LIMIT = 30.0  # seconds after which a child hangs: ten, on a machine that others use, too
_LEASH = 90.0  # seconds after which a child that nobody waits for ends itself
_UNLIMITED = resource.RLIM_INFINITY
_PLACES = ("starting", "steps", "a write", "between two writes")
_CHANGES = {"os.rename": "rename", "os.remove": "remove", "os.chmod": "chmod", "os.mkdir": "mkdir", "os.rmdir": "rmdir"}


# ------------------------------------------------------------------------------------------- the tests' side
@dataclass
class Ended:
    """How a child ended: its exit status, or minus the signal; what it printed; where it was."""

    status: int
    out: str
    err: str
    seconds: float
    place: str
    events: list[str] = field(default_factory=list)


@dataclass
class Child:
    """A child under way."""

    server: ForkServer
    pid: int

    def send(self, number: int) -> None:
        os.kill(self.pid, number)  # it is not reaped before `wait`, so the number is still its own

    def wait(self, kill_after: float | None = None, limit: float = LIMIT) -> Ended:
        """Wait for its end; kill it after some seconds if asked to. It must not take longer than `limit`."""
        answer = self.server.ask({"wait": self.pid, "kill_after": kill_after, "limit": limit})
        assert not answer.pop("hung"), f"still at work after {limit} s: {answer}"
        return Ended(**answer)

    def stopped(self) -> bool:
        """Whether it stands still (SIGSTOP)."""
        return bool(self.server.ask({"stopped": self.pid})["stopped"])


class ForkServer:
    """Starts ``voxgan`` commands in forked children."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the process that forks has ended, asked for {order}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def start(self, *words: object, **faults: Any) -> Child:
        """Start ``voxgan words…``; see `_FAULTS` for what can be done to it."""
        return Child(self, self.ask({"words": [str(word) for word in words], "faults": faults})["pid"])

    def run(self, *words: object, kill_after: float | None = None, limit: float = LIMIT, **faults: Any) -> Ended:
        """Run ``voxgan words…`` to its end, or kill it after some seconds."""
        return self.start(*words, **faults).wait(kill_after, limit)

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_whole(run: Path) -> None:
    """Nothing under a final name is torn: JSON can be read, and what it names is there, with its SHA-256."""
    if not run.exists():
        return
    for path in run.glob("[!.]*.json"):
        json.loads(path.read_text())
    named: list[dict[str, Any]] = []
    if (run / "resume.json").exists():
        states = json.loads((run / "resume.json").read_text())["states"]
        assert [state["step"] for state in states] == sorted({state["step"] for state in states}, reverse=True)
        named += states
    if (run / "config.json").exists():
        config = json.loads((run / "config.json").read_text())
        named += [entry for entry in (config.get("weights"), config.get("class_latents")) if entry]
    for entry in named:
        assert digest(run / entry["file"]) == entry["sha256"], entry["file"]
    for path in run.glob("samples/[!.]*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), path
    for path in run.glob("[!.]*.safetensors"):  # also those that nothing names yet
        content = path.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        end = max(entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
        assert len(content) == 8 + int.from_bytes(content[:8], "little") + end, path
    if (run / "log.jsonl").exists():  # at most the last line is torn
        for line in (run / "log.jsonl").read_text(errors="replace").splitlines(keepends=True)[:-1]:
            json.loads(line)
    if (run / "events.jsonl").exists():
        for line in (run / "events.jsonl").read_text(errors="replace").splitlines()[:-1]:
            json.loads(line)
    if (run / "log.csv").exists():
        rows = list(csv.reader((run / "log.csv").read_text().splitlines()))
        assert [row[0] for row in rows] == ["step", *map(str, range(1, len(rows)))]
        assert {len(row) for row in rows} == {len(rows[0])}
    if (run / "report.html").exists():
        assert (run / "report.html").read_text().rstrip().endswith("</html>")


def table_of(run: Path) -> list[dict[str, str]]:
    """The same figures from the table for spreadsheets."""
    rows = csv.DictReader((run / "log.csv").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in OF_THE_MACHINE} for row in rows]


def log_of(run: Path) -> list[dict[str, Any]]:
    """The figures of each step, but for those that are of the machine, not of the training."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in OF_THE_MACHINE} for line in lines]


def assert_same_run(found: Path, expected: Path) -> None:
    """The same states, weights, class latents (by SHA-256), figures, gate's memory, log; no file more or fewer."""
    check_whole(found)
    assert log_of(found) == log_of(expected)
    assert table_of(found) == table_of(expected)
    for name in ("resume.json", "config.json"):
        assert json.loads((found / name).read_text()) == json.loads((expected / name).read_text()), name
    assert json.loads((found / "events.jsonl").read_text().splitlines()[-1])["kind"] == "finished"
    assert files_of(found) == files_of(expected), set(files_of(found)) ^ set(files_of(expected))


def files_of(run: Path) -> list[str]:
    names = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    return [name for name in names if name != ".lock" and not name.endswith(".html")]  # the page: at any time, or never


# -------------------------------------------------------------------------------------------- the fork server
def serve() -> None:
    """Import everything, then fork for each order."""
    import torch

    torch.set_num_threads(1)
    names = ["torch._dynamo", "torch.utils.data", "h5py", "safetensors.torch", "voxgan.cli", "voxgan.class_latents"]
    names += ["voxgan.images", "voxgan.models.gan3d", "voxgan.models.vae_gan3d", "voxgan.preview", "voxgan.training"]
    for name in names:  # torch._dynamo takes seconds, and comes with the first optimiser
        importlib.import_module(name)
    with contextlib.suppress(FileNotFoundError):
        assert len(os.listdir("/proc/self/task")) == 1, "a process with threads must not be forked"  # noqa: PTH208
    gc.collect()
    gc.freeze()
    trials: dict[int, _Trial] = {}
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any] = {}
        if "words" in order:
            trial = _Trial()
            pid = os.fork()
            if pid == 0:
                _child(order["words"], order["faults"], trial)
            trial.began = time.monotonic()
            for end in trial.out, trial.err:
                os.close(end[1])
            trials[pid] = trial
            answer = {"pid": pid}
        elif "stopped" in order:
            found = os.waitid(os.P_PID, order["stopped"], os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
            answer = {"stopped": found is not None}
        elif "wait" in order:
            answer = trials.pop(order["wait"]).wait(order["wait"], order["kill_after"], order["limit"])
        print(json.dumps(answer), flush=True)


class _Trial:
    """What the server holds of one child: pipes, because limits of file sizes spare them, and shared memory."""

    def __init__(self) -> None:
        self.out, self.err, self.board, self.began = os.pipe(), os.pipe(), _Board(), 0.0

    def wait(self, pid: int, kill_after: float | None, limit: float) -> dict[str, Any]:
        killed = hung = False
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            seconds = time.monotonic() - self.began
            if ended:
                break
            hung |= seconds > limit
            if not killed and (hung or (kill_after is not None and seconds >= kill_after)):
                os.kill(pid, signal.SIGKILL)
                killed = True
            time.sleep(0.0005)
        texts = []
        for end, _ in (self.out, self.err):
            os.set_blocking(end, False)  # a grandchild may hold the other end open
            texts.append("")
            with contextlib.suppress(BlockingIOError):
                texts[-1] = os.read(end, 1 << 16).decode(errors="backslashreplace")
            os.close(end)
        events, place = self.board.lines(), _PLACES[self.board.memory[0]]
        self.board.memory.close()
        status = os.waitstatus_to_exitcode(status)
        out, err = texts
        return {
            "status": status, "out": out, "err": err, "seconds": seconds, "place": place, "events": events, "hung": hung
        }  # fmt: skip


class _Board:
    """Memory that outlives a killed child: one byte for its place, then the list of its events."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 1 << 18)
        self.memory.seek(1)

    def lines(self) -> list[str]:
        return self.memory[1:].split(b"\0", 1)[0].decode().splitlines()


def _child(words: list[str], faults: dict[str, Any], trial: _Trial) -> None:
    """Run ``voxgan words…``; never returns."""
    status = 70
    try:
        signal.setitimer(signal.ITIMER_REAL, _LEASH)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(trial.out[1], 1)
        os.dup2(trial.err[1], 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        events = _Events(faults.pop("folder", None), trial.board)
        for name, value in faults.items():
            _FAULTS[name](value, events)
        from voxgan.cli import main

        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            main(words)
        except SystemExit as end:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


class _Events:
    """Counts what happens to files of the run folder, and strikes when asked to."""

    def __init__(self, folder: str | None, board: _Board) -> None:
        self.memory, self.folder, self.count, self.depth = board.memory, folder, 0, 0
        self.rules: list[Callable[[int, str, str], None]] = []
        plain_sync, plain_write = os.fsync, os.write

        def fsync(handle: int) -> None:
            self.happens("sync", "")
            plain_sync(handle)

        def write(handle: int, content: bytes) -> int:
            try:
                path = os.readlink(f"/proc/self/fd/{handle}")  # noqa: PTH115
            except OSError:
                path = ""
            self.happens("write", path)
            return plain_write(handle, content)

        os.fsync, os.write = fsync, write  # type: ignore[assignment]
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.happens("open", path)
        elif event in _CHANGES:
            self.happens(_CHANGES[event], arguments[1 if event == "os.rename" else 0])

    def happens(self, kind: str, path: Any) -> None:
        text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if self.depth or self.folder is None or (kind != "sync" and not text.startswith(self.folder)):
            return
        self.depth += 1  # what a rule does itself is no event
        name = text.rsplit("/", 1)[-1]
        if name.startswith(".voxgan-"):
            name = "." + name.split(".", 2)[-1]  # without its random part
        self.count += 1
        entry = f"{kind} {name}\n".encode()
        if self.memory.tell() + len(entry) < len(self.memory):  # a long run's later events are not listed
            self.memory.write(entry)
        try:
            for rule in self.rules:
                rule(self.count, kind, text)
        finally:
            self.depth -= 1
        if kind == "open" and name.startswith(".partial"):
            self.memory[0] = 2
        elif kind == "write" and name == "log.jsonl":
            self.memory[0] = 1
        elif kind == "rename" and self.memory[0] == 2:
            self.memory[0] = 1 if name == "config.json" else 3


def _die_at(number: int, events: _Events) -> None:
    """Die by SIGKILL before event `number`, counted from 1."""

    def rule(count: int, kind: str, path: str) -> None:
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    events.rules.append(rule)


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, _UNLIMITED))


def _tear_at(numbers: list[int], events: _Events) -> None:
    """Die within the write after event `numbers[0]`, a file that is opened, when it has grown by `numbers[1]` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    def rule(count: int, kind: str, path: str) -> None:
        if count == numbers[0]:
            _limit((Path(path).stat().st_size if Path(path).exists() else 0) + numbers[1])

    events.rules.append(rule)


def _full_at(numbers: list[int], events: _Events) -> None:
    """Let no file grow by more than `numbers[1]` bytes from event `numbers[0]` on: writing fails from there on."""

    def rule(count: int, kind: str, path: str) -> None:
        if count == numbers[0]:
            _limit((Path(path).stat().st_size if path and Path(path).exists() else 0) + numbers[1])

    events.rules.append(rule)


def _file_size(size: int, events: _Events) -> None:
    """Let no file grow beyond `size` bytes: writing fails as on a full disk."""
    _limit(size)


def _stop_at(name: str, events: _Events) -> None:
    """Stop (SIGSTOP) before a file of this name is opened for writing for the first time."""
    seen: list[int] = []

    def rule(count: int, kind: str, path: str) -> None:
        if kind == "open" and Path(path).name == name and not seen:
            seen.append(count)
            os.kill(os.getpid(), signal.SIGSTOP)

    events.rules.append(rule)


def _signal_at(pairs: list[list[int]], events: _Events) -> None:
    """Get a signal before an event: pairs of the event's number and the signal's."""
    wanted = {number: which for number, which in pairs}  # noqa: C416

    def rule(count: int, kind: str, path: str) -> None:
        if count in wanted:
            os.kill(os.getpid(), wanted[count])

    events.rules.append(rule)


def _error_at(numbers: list[int], events: _Events) -> None:
    """Let event `numbers[0]` fail with the error number `numbers[1]`."""

    def rule(count: int, kind: str, path: str) -> None:
        if count == numbers[0]:
            raise OSError(numbers[1], os.strerror(numbers[1]))

    events.rules.append(rule)


def _poison(facts: dict[str, Any], events: _Events) -> None:
    """Put `value` into what `where` names, in steps `first` to `last` of this process, counted from 0.

    ``where`` is "data", or "PHASE loss", or "PHASE gradient" (the loss stays finite).
    """
    import torch

    from voxgan import models

    kind = models.find(facts["model"])
    plain, value, where = kind.loss, float(facts["value"]), facts["where"]
    step = -1

    def loss(model: Any, phase: str, batch: dict[str, Any]) -> dict[str, Any]:
        nonlocal step
        if phase == model.phases[0].name:
            step += 1
        bad = facts["first"] <= step <= facts["last"]
        if bad and where == "data" and phase == model.phases[0].name:
            batch["occupancy"] = batch["occupancy"].clone()
            batch["occupancy"][0, 0, 3, 3, 3] = value
        terms = plain(model, phase, batch)
        if bad and where == f"{phase} loss":
            terms["total"] = terms["total"] * 0 + value
        if bad and where == f"{phase} gradient":
            moved = next(one for one in model.phases if one.name == phase).trains[0]
            chosen = next(getattr(model, moved).parameters())
            terms["total"] = terms["total"] + _Bad.apply(chosen, value).sum()
        return terms

    class _Bad(torch.autograd.Function):
        """Zeros in front, `value` as the gradient behind."""

        @staticmethod
        def forward(ctx: Any, tensor: Any, bad: float) -> Any:
            ctx.bad = bad
            return torch.zeros_like(tensor)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            return torch.full_like(gradient, ctx.bad), None

    kind.loss = loss


def _unprivileged(yes: bool, events: _Events) -> None:
    """Give up all capabilities: a read-only folder is one, for root, too."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        assert libc.capset(header, (ctypes.c_uint32 * 6)()) == 0


_FAULTS: dict[str, Callable[[Any, _Events], None]] = {
    "die_at": _die_at,
    "tear_at": _tear_at,
    "full_at": _full_at,
    "file_size": _file_size,
    "stop_at": _stop_at,
    "signal_at": _signal_at,
    "error_at": _error_at,
    "poison": _poison,
    "unprivileged": _unprivileged,
    "cwd": lambda folder, events: os.chdir(folder),
}


if __name__ == "__main__":
    serve()
