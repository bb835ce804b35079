"""A process of its own: what travels, what goes wrong in it, and what it may not do to the other end."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import voxgan.child
from voxgan import errors
from voxgan.child import Child, ChildLost, Limits
from voxgan.errors import StorageError, VoxganError


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any = None


@dataclass(frozen=True)
class Other:
    value: int


class Stranger(errors.MeshError):
    """An error that this end does not know."""


def echo(value: Any) -> Any:
    return value


def do(what: str) -> Any:
    """Do one of the things that go wrong."""
    return getattr(Deeds, what)()


class Deeds:
    @staticmethod
    def pid() -> int:
        return os.getpid()

    @staticmethod
    def sleep() -> None:
        time.sleep(60)

    @staticmethod
    def nap() -> str:
        time.sleep(1)
        return "slept"

    @staticmethod
    def fault() -> None:
        ctypes.string_at(0)

    @staticmethod
    def quit() -> None:
        os._exit(0)

    @staticmethod
    def leave() -> None:
        sys.exit("bye")

    @staticmethod
    def divide() -> float:
        return 1 / 0 if True else 0.0

    @staticmethod
    def stranger() -> None:
        raise Stranger("no\n  faces")

    @staticmethod
    def eat() -> Any:
        return np.ones(3 << 27)  # 3 GiB

    @staticmethod
    def talk() -> str:
        os.write(1, b"a library prints where the answers go\n")
        print("so does Python")
        return sys.stdin.read() + "nothing to read"

    @staticmethod
    def an_object() -> Any:
        return np.array([object()])


def fail(kind: str, text: str) -> None:
    raise getattr(errors, kind)(text)


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5)


def look_up() -> None:
    socket.getaddrinfo("localhost", 80)


def hurry(seconds: float) -> int:
    """Sleep; from the second call on the process ends itself soon after its limit."""
    voxgan.child._GRACE = 0.1
    time.sleep(seconds)
    return os.getpid()


_READY: list[int] = []


def get_ready() -> None:
    _READY.append(os.getpid())


def ready() -> list[int]:
    return _READY


def child_of(name: str, limits: Limits = Limits(20, 1.5)) -> Child:  # noqa: B008
    return Child(f"{__name__}:{name}", limits, "is tried", (Pair,))


@pytest.fixture(scope="module")
def echoing() -> Iterator[Child]:
    child = child_of("echo")
    yield child
    child.close()


@pytest.fixture(scope="module")
def doing() -> Iterator[Child]:
    child = child_of("do")
    yield child
    child.close()


# ------------------------------------------------------------------------------------------------- what travels
def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Pair):
        return same((one.left, one.right), (other.left, other.right))
    return repr(one) == repr(other)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        2**70,
        0.1,
        float("inf"),
        float("nan"),
        "a chair, 漢 and \ud800\0\n",
        b"",
        b"\0\xff" * 1000,
        [],
        (1, (2.0, "three"), [b"4"]),
        {"a": 1, 2: (3,), (4, 5): {}},
        {"bytes": 3, "array": "<f4", "made": "x"},
        Pair(Pair(1, (b"two",)), {"x": np.arange(3)}),
        *(np.arange(24).reshape(2, 3, 4).astype(kind) for kind in ("?", "u1", "i2", "<i8", ">f4", "f2", "f8", "c16")),
        np.array(3, np.float32),
        np.zeros((0, 3)),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        np.arange(20)[::-3],
    ],
    ids=repr,
)
def test_what_travels_arrives_as_it_was(echoing, value):
    assert same(echoing.call(value), value)


def test_numbers_of_numpy_arrive_as_plain_ones(echoing):
    came = echoing.call([np.float32(0.5), np.float64(2), np.int16(-3), np.bool_(True)])
    assert same(came, [0.5, 2.0, -3, True])


def test_large_arrays_arrive_whole_and_may_be_written_to(echoing):
    sent = np.random.default_rng(0).random((3, 1 << 20))
    came = echoing.call([sent, (sent[0] > 0.5)])
    np.testing.assert_array_equal(came[0], sent)
    np.testing.assert_array_equal(came[1], sent[0] > 0.5)
    came[0][:] = 0


@pytest.mark.parametrize("value", [{1, 2}, Other(1), np.array(["a"]), np.datetime64("2020-01-01"), Pair, 1j])
def test_what_does_not_travel_is_said(echoing, value):
    with pytest.raises(ChildLost, match=r"died|does not travel between processes"):
        echoing.call(value)
    assert echoing.call(1) == 1


@pytest.mark.parametrize("kind", sorted(set(errors.__all__) - {"nearest", "MissingExtraError"}))
def test_every_error_arrives_as_what_it_was(kind):
    child = child_of("fail")
    with pytest.raises(VoxganError) as caught:
        child.call(kind, "a.obj: 漢\n has no\tfaces")
    child.close()
    assert type(caught.value) is getattr(errors, kind)
    assert str(caught.value) == "a.obj: 漢 has no faces"


def test_an_error_with_another_signature_and_one_of_the_owners_own(doing):
    child = Child("voxgan.errors:MissingExtraError", Limits(20), "is tried")
    with pytest.raises(ChildLost, match="MissingExtraError, which does not travel"):
        child.call("a", "b", "c")
    child.close()
    with pytest.raises(errors.MeshError) as caught:
        doing.call("stranger")
    assert type(caught.value) is errors.MeshError and str(caught.value) == "no faces"


# --------------------------------------------------------------------------------------------- what goes wrong
@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("fault", "died"),
        ("quit", "died"),
        ("leave", "died"),
        ("divide", "ZeroDivisionError: division by zero"),
        ("an_object", "does not travel"),
        pytest.param(
            "eat",
            "more memory than 1.5 GB",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits"),
        ),
    ],
)
def test_what_goes_wrong_costs_one_call(doing, deed, reason):
    with pytest.raises(ChildLost, match=reason) as caught:
        doing.call(deed)
    assert not caught.value.late and "\n" not in str(caught.value)
    assert isinstance(doing.call("pid"), int)


def test_what_hangs_is_ended():
    child = child_of("do", Limits(0.5))
    pid = child.call("pid")
    began = time.monotonic()
    with pytest.raises(ChildLost, match=r"took longer than 0.5 s") as caught:
        child.call("sleep")
    assert caught.value.late and time.monotonic() - began < 10
    assert child.call("pid") != pid
    child.close()


def test_one_process_answers_all_calls_until_it_is_closed(doing):
    pid = doing.call("pid")
    assert pid == doing.call("pid") != os.getpid()
    doing.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert doing.call("pid") != pid


def test_prints_go_to_standard_error_and_nothing_is_read_from_the_calls(capfd):
    child = child_of("do")
    assert child.call("talk") == "nothing to read"
    child.close()
    said = capfd.readouterr()
    assert said.out == "" and "a library prints" in said.err and "so does Python" in said.err


def test_the_network_is_out_of_reach():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        child = child_of("connect")
        with pytest.raises(ChildLost, match=r"PermissionError: .* not the network"):
            child.call(server.getsockname()[1])
        child.close()
        with pytest.raises(TimeoutError):
            server.accept()
    child = child_of("look_up")
    with pytest.raises(ChildLost, match="not the network"):
        child.call()
    child.close()


def test_the_answer_of_an_interrupted_call_is_not_taken_for_that_of_the_next(doing):
    doing.call("pid")
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind a shell's &
    interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        doing.call("nap")
    interrupt.join()
    signal.signal(signal.SIGINT, former)
    assert isinstance(doing.call("pid"), int)


def test_it_gets_ready_once_before_the_first_call(doing):
    pid = doing.call("pid")
    child = child_of("ready")
    assert child.call() == child.call() != [pid]
    assert len(child.call()) == 1
    child.close()


def test_what_does_not_start_is_an_error(capfd):
    child = Child("no_such_module:function", Limits(), "is tried")
    with pytest.raises(StorageError, match=r"a process that is tried does not start; try .*-c 'import no_such_module'"):
        child.call()
    assert "No module named 'no_such_module'" in capfd.readouterr().err


def test_a_program_that_is_not_there_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match="does not start"):
        child_of("echo").call(1)


def test_what_hangs_in_its_imports_does_not_start_either(tmp_path, monkeypatch):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr("voxgan.child._START_SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(StorageError, match="does not start"):
        child_of("echo").call(1)
    assert time.monotonic() - began < 10


# ------------------------------------------------------------------------------------- what is not to be trusted
def frame(head: bytes, *blocks: bytes) -> bytes:
    return struct.pack("<Q", len(head)) + head + b"".join(blocks)


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("taken_over",)


DISHONEST = {
    "a pickle": frame(pickle.dumps(Evil())),
    "a function for a class": frame(b'{"value": {"made": "os:mkdir", "fields": ["taken_over"]}}'),
    "a class that was not named": frame(b'{"value": {"made": "test_child:Other", "fields": [1]}}'),
    "too many fields": frame(b'{"value": {"made": "test_child:Pair", "fields": [1, 2, 3]}}'),
    "more than there is memory": frame(b'{"value": {"array": "<f8", "shape": [1000000, 1000000]}}'),
    "more in sum": frame(b'{"value": [%s]}' % b",".join([b'{"array": "|u1", "shape": [1000000000]}'] * 3)),
    "objects": frame(b'{"value": {"array": "|O", "shape": [1]}}', b"\0" * 8),
    "numbers of no size": frame(b'{"value": {"array": "<f1", "shape": [1]}}', b"\0"),
    "less than nothing": frame(b'{"value": {"array": "<f8", "shape": [-1]}}'),
    "sides that are none": frame(b'{"value": {"array": "<f8", "shape": [true]}}', b"\0" * 8),
    "bytes that do not come": frame(b'{"value": {"bytes": 100}}', b"\0" * 99),
    "a key that is a list": frame(b'{"value": {"dict": [[[1], 2]]}}'),
    "deep": frame(b"[" * 100_000),
    "a list": frame(b"[]"),
    "no JSON": frame(b"hello"),
    "no end": struct.pack("<Q", 1 << 62) + b"x" * 1000,
    "cut off": frame(b'{"value": 1}')[:-1],
    "an error that is none": frame(b'{"error": "nearest", "reason": "x"}'),
    "an error that is a list": frame(b'{"error": [], "reason": "x"}'),
}


@pytest.mark.parametrize("what", DISHONEST)
def test_a_process_that_was_taken_over_takes_nothing_else_over(tmp_path, monkeypatch, what):
    (tmp_path / "said").write_bytes(frame(b"{}") + DISHONEST[what])
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\ncat "{tmp_path}/said"; exec cat > /dev/null\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.chdir(tmp_path)
    child = child_of("echo", Limits(seconds=2))
    with pytest.raises(ChildLost) as caught:
        child.call(1)
    child.close()
    assert len(str(caught.value)) < 200
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program", "said"]


def test_the_line_of_a_dishonest_error_is_a_line(tmp_path, monkeypatch):
    line = {"error": "MeshError", "reason": "a\r\n\x0bb " * 10_000}
    (tmp_path / "said").write_bytes(frame(b"{}") + frame(json.dumps(line).encode()))
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\ncat "{tmp_path}/said"; exec cat > /dev/null\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    child = child_of("echo")
    with pytest.raises(errors.MeshError, match=r"^a b a b") as caught:
        child.call(1)
    child.close()
    assert len(str(caught.value)) <= 1000


# ------------------------------------------------------------------------------------------------- where it works
def test_in_a_script_without_a_guard_and_in_threads(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from concurrent.futures import ThreadPoolExecutor\nfrom voxgan.child import Child, Limits\n"
        "print('begun')\nchildren = [Child('math:factorial', Limits(60), 'counts') for _ in range(3)]\n"
        "with ThreadPoolExecutor(3) as threads:\n"
        "    print(list(threads.map(lambda child, n: child.call(n), children, (3, 4, 5))))\n"
        "for child in children: child.close()\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("begun\n[6, 24, 120]\n", "")


def test_children_of_many_threads_do_not_hold_each_others_ends(echoing):
    children = [child_of("do") for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        pids = list(threads.map(lambda child: child.call("pid"), children))
    assert len(set(pids)) == 4
    for child, pid in zip(children, pids, strict=True):
        process = child._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.close()  # the end of its calls is its own end, though the others live on
        assert process.wait(10) == 0, pid
        process.stdout.close()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc")
def test_a_process_amid_a_call_ends_when_the_first_one_is_killed():
    script = (
        "import threading, time\nfrom test_child import Limits, child_of\n"
        "child = child_of('hurry', Limits(seconds=1))\nprint(child.call(0), flush=True)\n"
        "threading.Thread(target=child.call, args=(60,), daemon=True).start()\ntime.sleep(60)\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    first = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    )
    assert first.stdout is not None
    pid = int(first.stdout.readline())
    time.sleep(0.2)
    first.kill()
    first.wait()
    first.stdout.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists():
        if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
            break
        time.sleep(0.1)
    assert time.monotonic() < deadline
