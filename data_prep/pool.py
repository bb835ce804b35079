"""Processes that build shapes, each within limits of time and memory: what hangs or dies costs one shape.

Each is a `voxgan.child.Child` that answers with `data_prep.worker.build_shape`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from data_prep.sources import Item
from data_prep.worker import Built, Recipe
from voxgan.child import Child, ChildLost, Limits
from voxgan.dataset_writer import Row

__all__ = ["Limits", "Worker", "build_all", "in_order", "num_cores"]

_AHEAD = 16  # shapes for each process that may be done before the oldest one is

_Future = TypeVar("_Future", bound=Any)  # of the standard library, or of dask


class Worker:
    """One process that builds shapes; a new one takes its place when it is lost."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.child = Child("data_prep.worker:build_shape", limits, "prepares shapes", answers=(Built, Row))

    def build(self, item: Item, recipe: Recipe) -> Built:
        """Build one shape; if the process hangs or dies, that is the reason why there is none.

        Raises
        ------
        StorageError
            If no process can be started.
        """
        try:
            built: Built = self.child.call(item, recipe)
        except ChildLost as lost:
            return Built(item.source, reason=f"{lost}; simplify it, or raise --time-limit" if lost.late else str(lost))
        return built

    def close(self) -> None:
        """End the process."""
        self.child.close()


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
