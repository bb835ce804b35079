"""Processes that build shapes, each within limits of time and memory: what hangs or dies costs one shape.

Each process runs `data_prep.worker.main` and answers one job at a time, so it is always known which
shape was in hand. Unlike the pools of the standard library this works amid a user's script without a ``__main__``
guard, in threads, and in processes that may have no children of multiprocessing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from data_prep.sources import Item
from data_prep.worker import Built, Recipe, read_frame, write_frame
from voxgan.errors import StorageError

__all__ = ["Limits", "Worker", "build_all", "in_order", "num_cores"]

_STARTS = 3  # tries to start a process
_AHEAD = 16  # shapes for each process that may be done before the oldest one is

_Future = TypeVar("_Future", bound=Any)  # of the standard library, or of dask


@dataclass(frozen=True)
class Limits:
    """What one shape may take.

    Attributes
    ----------
    seconds : float
        Wall-clock time, after which the shape is set aside.
    gigabytes : float
        Memory of the process that builds it (Linux; elsewhere the system may not hold it to that).
    """

    seconds: float = 120.0
    gigabytes: float = 4.0


class Worker:
    """One process that builds shapes; a new one takes its place when it is lost."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._process: subprocess.Popen[bytes] | None = None

    def build(self, item: Item, recipe: Recipe) -> Built:
        """Build one shape; if the process hangs or dies, that is the reason why there is none.

        Raises
        ------
        StorageError
            If no process can be started.
        """
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        watch = threading.Timer(self.limits.seconds, stop)
        watch.daemon = True
        watch.start()
        try:
            write_frame(process.stdin, (item, recipe))
            built: Built = read_frame(process.stdout)
            return built
        except (EOFError, OSError):
            self.close()
            if late.is_set():
                reason = f"took longer than {self.limits.seconds:g} s; simplify it, or raise --time-limit"
            else:
                reason = "the process that read it died (out of memory, or a fault in a library)"
            return Built(item.source, reason=reason)
        finally:
            watch.cancel()

    def _started(self) -> subprocess.Popen[bytes]:
        """Return the process, started anew if it is lost; one that is lost amid its start gets another try or two."""
        for _ in range(_STARTS):
            if self._process is not None and self._process.poll() is None:
                return self._process
            self.close()
            self._start()
        if self._process is None:
            raise StorageError(
                f"a process that prepares shapes does not start; try  {sys.executable} -c 'import data_prep.worker'"
            )
        return self._process

    def _start(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from data_prep.worker import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the first process to decide on
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            write_frame(self._process.stdin, (self.limits.gigabytes, self.limits.seconds))
            read_frame(self._process.stdout)  # it has imported everything: the time of a shape begins
        except (EOFError, OSError):
            self.close()

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        process.wait()


def num_cores() -> int:
    """Return how many cores this process may use: in a container or a queue often fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    items: Sequence[Item], submit: Callable[[Item], _Future], hands: int
) -> Generator[tuple[Item, _Future], None, None]:
    """Yield each item with its future, in order, while those behind it are at work already: `_AHEAD` for each hand.

    When the walk is closed, what waits is cancelled.
    """
    coming = iter(items)
    waiting = deque((item, submit(item)) for item in itertools.islice(coming, _AHEAD * hands))
    try:
        while waiting:
            yield waiting.popleft()
            waiting.extend((item, submit(item)) for item in itertools.islice(coming, 1))
    finally:
        for _, future in waiting:
            future.cancel()


def build_all(items: Sequence[Item], recipe: Recipe, workers: int, limits: Limits) -> Iterator[Built]:
    """Build every item in so many processes; yield them in order."""
    crew = [Worker(limits) for _ in range(min(workers, max(len(items), 1)))]
    free = deque(crew)  # appending and taking are atomic; there are never more jobs at work than workers

    def job(item: Item) -> Built:
        worker = free.pop()
        try:
            return worker.build(item, recipe)
        finally:
            free.append(worker)

    threads = ThreadPoolExecutor(len(crew), thread_name_prefix="voxgan-prepare")
    try:
        with contextlib.closing(in_order(items, lambda item: threads.submit(job, item), len(crew))) as walk:
            for _, future in walk:
                yield future.result()
    finally:
        for worker in crew:
            worker.close()
        threads.shutdown()
        for worker in crew:  # one may have begun anew at that very moment
            worker.close()
