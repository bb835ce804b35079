"""A process of its own that answers one call at a time: what hangs or dies in it costs one call.

`Child` is this end, `main` is what runs at the other. One call is in hand at a time, so it is always known which one
was lost. Unlike the pools of the standard library this works amid a user's script without a ``__main__`` guard, in
threads, and in processes that may have no children of multiprocessing.

A call goes there as a pickle, for the caller is trusted. The answer comes back as plain JSON followed by the bytes of
its arrays, for a process that reads strangers' files may be no longer our own: no answer makes this end call anything
but the dataclasses that its owner has named.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import math
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from voxgan import errors
from voxgan.errors import StorageError, VoxganError

__all__ = ["Child", "ChildLost", "Limits", "main"]

_STARTS = 3  # tries to start a process
_START_SECONDS = 300  # for its imports, which on a busy cluster's disk take their time
_GRACE = 10  # seconds after the limit, when a process ends itself, should this end be gone
_LONGEST_REASON = 1000
_LONGEST_HEAD = 1 << 24  # bytes of an answer without its arrays
_NUMBERS = re.compile(r"[<>|][biufc](1|2|4|8|16)")


@dataclass(frozen=True)
class Limits:
    """What one call may take.

    Attributes
    ----------
    seconds : float
        Wall-clock time, after which the process is ended.
    gigabytes : float
        Memory of the process (Linux; elsewhere the system may not hold it to that), and of its answer.
    """

    seconds: float = 120.0
    gigabytes: float = 4.0


class ChildLost(Exception):  # noqa: N818
    """No answer came of a call; its text says why. The owner of the `Child` makes of it what its users can act on.

    Attributes
    ----------
    late : bool
        Whether it took too long.
    """

    def __init__(self, reason: str, late: bool = False) -> None:
        super().__init__(reason)
        self.late = late


class Child:
    """One process, and a new one in its place when it is lost. It is started by the first call.

    A child belongs to one thread at a time.

    Parameters
    ----------
    function : str
        What answers the calls, as ``package.module:name``. Where its module has a function ``get_ready``, that is
        called once as the process starts: what it loads is no part of the first call's time.
    limits : Limits
    purpose : str
        What the process does, for the message when it does not start: "prepares shapes".
    answers : sequence of type
        Dataclasses that an answer may be, or hold. Apart from these it is made of None, truth values, numbers, texts,
        bytes, lists, tuples, dictionaries and arrays of numbers.

    Examples
    --------
    >>> child = Child("math:factorial", Limits(seconds=30), "counts")
    >>> child.call(5)
    120
    >>> child.close()
    """

    def __init__(self, function: str, limits: Limits, purpose: str, answers: Sequence[type] = ()) -> None:
        self.function = function
        self.limits = limits
        self._purpose = purpose
        self._answers = {_name_of(kind): kind for kind in answers}
        self._process: subprocess.Popen[bytes] | None = None

    def call(self, *arguments: Any) -> Any:
        """Return what the function returns.

        Raises
        ------
        VoxganError
            What the function has raised: the same kind, the same line.
        ChildLost
            If the process hangs, dies, wants too much memory, or the function fails in another way.
        StorageError
            If no process can be started.
        """
        content = pickle.dumps(arguments, pickle.HIGHEST_PROTOCOL)
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        with _ended_after(self.limits.seconds, process) as late:
            try:
                _send(process.stdin, content)
                answer = _Answer(process.stdout, self._answers, self.limits.gigabytes)
            except Exception as error:  # whatever came instead of an answer
                self.close()
                if late.is_set():
                    raise ChildLost(f"took longer than {self.limits.seconds:g} s", late=True) from error
                raise ChildLost("the process that read it died (out of memory, or a fault in a library)") from error
            except BaseException:  # interrupted: its answer must not be taken for that of the next call
                self.close()
                raise
        if late.is_set():  # it answered at the very last moment, and was ended all the same
            self.close()
        return answer.result()

    def _started(self) -> subprocess.Popen[bytes]:
        """Return the process, started anew if it is lost; one that is lost amid its start gets another try or two."""
        for _ in range(_STARTS):
            if self._process is not None and self._process.poll() is None:
                return self._process
            self.close()
            self._start()
        if self._process is None:
            module = self.function.partition(":")[0]
            raise StorageError(
                f"a process that {self._purpose} does not start; try  {sys.executable} -c 'import {module}'"
            )
        return self._process

    def _start(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        command = [sys.executable, "-c", "from voxgan.child import main; main()", self.function]
        env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:  # in a session of its own: Ctrl-C is for the first process to decide on
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, env=env
            )
        except OSError:  # no such program, or no more processes allowed
            return
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        with _ended_after(_START_SECONDS, process):
            try:
                _send(process.stdin, pickle.dumps(self.limits))
                _Answer(process.stdout, {}, 0)  # it has imported everything: the time of a call begins
            except Exception:
                self.close()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the process; the next call starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()


@contextlib.contextmanager
def _ended_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """End a process if the block takes longer; the event says that it was."""
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    watch = threading.Timer(seconds, stop)
    watch.daemon = True
    watch.start()
    try:
        yield late
    finally:
        watch.cancel()
        watch.join()


# ------------------------------------------------------------------------------------------------ between the ends
def _send(stream: IO[bytes], head: bytes, blocks: Sequence[bytes | memoryview] = ()) -> None:
    stream.write(struct.pack("<Q", len(head)) + head)
    for block in blocks:
        stream.write(block)
    stream.flush()


def _received(stream: IO[bytes], most: float = math.inf) -> bytes:
    """Receive what `_send` was given as its head; EOFError when the other end is gone."""
    length = stream.read(8)
    size = struct.unpack("<Q", length)[0] if len(length) == 8 else 0
    content = stream.read(size) if 0 < size <= most else b""
    if not size or len(content) < size:
        raise EOFError
    return content


def _name_of(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _plain(value: Any, blocks: list[bytes | memoryview]) -> Any:
    """Return a value as JSON can hold it; bytes and arrays are added to the blocks that follow."""
    if isinstance(value, np.number | np.bool_):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        blocks.append(value)
        return {"bytes": len(value)}
    if isinstance(value, np.ndarray) and _NUMBERS.fullmatch(value.dtype.str):
        if value.size:
            blocks.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        return {"array": value.dtype.str, "shape": value.shape}
    if isinstance(value, list):
        return [_plain(one, blocks) for one in value]
    if isinstance(value, tuple):
        return {"tuple": [_plain(one, blocks) for one in value]}
    if isinstance(value, Mapping):
        return {"dict": [[_plain(key, blocks), _plain(one, blocks)] for key, one in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [_plain(getattr(value, field.name), blocks) for field in dataclasses.fields(value)]
        return {"made": _name_of(type(value)), "fields": fields}
    raise TypeError(f"an answer holds a {type(value).__name__}, which does not travel between processes")


class _Answer:
    """What a process has answered, read from its stream: a result, or an error. Nothing of it is trusted."""

    def __init__(self, stream: IO[bytes], kinds: Mapping[str, type], gigabytes: float) -> None:
        self._stream = stream
        self._kinds = kinds
        self._room = gigabytes * 2**30
        content = json.loads(_received(stream, _LONGEST_HEAD))
        self._reason = " ".join(str(content.get("reason", "")).split())[:_LONGEST_REASON]
        self._error = content.get("error")
        self._value = self._built(content.get("value"))

    def result(self) -> Any:
        """Return the value, or raise what came instead of one."""
        if self._error is None:
            return self._value
        kind = getattr(errors, str(self._error), None) if self._error in errors.__all__ else None
        if not (isinstance(kind, type) and issubclass(kind, VoxganError)):
            raise ChildLost(self._reason)
        raise kind.__new__(kind, self._reason)  # past `__init__`, which may ask for other things than the line

    def _built(self, plain: Any) -> Any:
        if isinstance(plain, list):
            return [self._built(one) for one in plain]
        if not isinstance(plain, dict):
            return plain
        if "bytes" in plain:
            return bytes(self._numbers("|u1", [plain["bytes"]]).data)
        if "array" in plain:
            return self._numbers(plain["array"], plain["shape"])
        if "tuple" in plain:
            return tuple(self._built(one) for one in plain["tuple"])
        if "dict" in plain:
            return {self._built(key): self._built(one) for key, one in plain["dict"]}
        return self._kinds[plain["made"]](*(self._built(one) for one in plain["fields"]))

    def _numbers(self, dtype: str, shape: Sequence[int]) -> np.ndarray[Any, Any]:
        """Read the next array."""
        if not _NUMBERS.fullmatch(dtype) or len(shape) > 32 or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("no array of numbers")
        self._room -= math.prod(shape) * np.dtype(dtype).itemsize
        if self._room < 0:
            raise ValueError("more than the process may hold")
        array = np.empty(shape, dtype)
        if array.size:
            block = array.reshape(-1).view(np.uint8).data
            if self._stream.readinto(block) < len(block):  # type: ignore[attr-defined]
                raise EOFError
        return array


# ----------------------------------------------------------------------------------------------- the other end
def main() -> None:
    """Answer calls until standard input ends.

    What a library prints goes to standard error, so that it cannot stand between the answers.
    """
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    path, _, name = sys.argv[1].partition(":")
    module = importlib.import_module(path)
    function = getattr(module, name)
    getattr(module, "get_ready", lambda: None)()
    limits = pickle.loads(_received(calls))
    _stay_offline()
    _limit_memory(limits.gigabytes)
    _send(answers, b"{}")
    alarm = getattr(signal, "setitimer", None)  # ends this process even amid a library, if the other end is gone
    while True:
        try:
            content = _received(calls)
        except EOFError:
            return
        if alarm is not None:
            alarm(signal.ITIMER_REAL, limits.seconds + _GRACE)
        head, blocks = _answer(function, content, limits)
        if alarm is not None:
            alarm(signal.ITIMER_REAL, 0)
        try:
            _send(answers, head, blocks)
        except BrokenPipeError:
            return


def _answer(function: Callable[..., Any], content: bytes, limits: Limits) -> tuple[bytes, list[bytes | memoryview]]:
    """Call the function; return its result, or what went wrong."""
    blocks: list[bytes | memoryview] = []
    try:
        return json.dumps({"value": _plain(function(*pickle.loads(content)), blocks)}).encode(), blocks
    except VoxganError as error:
        kind = next(base.__name__ for base in type(error).__mro__ if base.__name__ in errors.__all__)
        answer = {"error": kind, "reason": str(error)}
    except MemoryError:
        answer = {"error": "", "reason": f"it takes more memory than {limits.gigabytes:g} GB"}
    except Exception as error:
        answer = {"error": "", "reason": f"{type(error).__name__}: {str(error)[:300]}"}
    return json.dumps(answer).encode(), []


def _stay_offline() -> None:
    """Let Python code in this process reach no network: a file that names an address is a file."""

    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if event in _NETWORK:
            raise PermissionError(1, "this process reads files, not the network")

    sys.addaudithook(refuse)


_NETWORK = frozenset(f"socket.{name}" for name in ("bind", "connect", "getaddrinfo", "gethostbyname", "sendto"))


def _limit_memory(gigabytes: float) -> None:
    """Let the process take at most so much, where the system can hold it to that."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        kind = resource.RLIMIT_DATA if sys.platform.startswith("linux") else resource.RLIMIT_AS
        limit = int(gigabytes * 2**30)
        resource.setrlimit(kind, (limit, limit))
