"""Several ways to do the same, timed fairly: each in a process of its own that stays alive, in turns A B C A B C.

What one does to the memory allocator or to torch's settings does not reach the others, and whatever else the machine
does meanwhile slows all of them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch

Work = Callable[..., object]

_TURN = 0.3  # seconds at least: short work is repeated, so that the change of processes does not count


def _serve(pipe: Connection, make: Callable[[], Work], threads: int) -> None:
    torch.set_num_threads(threads)
    work = make()
    while (arguments := pipe.recv()) is not None:
        count, began, spent = 0, time.perf_counter(), 0.0
        while spent < _TURN:
            work(*arguments)
            count, spent = count + 1, time.perf_counter() - began
        pipe.send(spent / count)


class Rounds:
    """One process for each way; `makers` are functions of modules, or partials of them, which build the work there."""

    def __init__(self, makers: Mapping[str, Callable[[], Work]], threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: dict[str, Connection] = {}
        self._processes = []
        for name, make in makers.items():
            self._pipes[name], there = context.Pipe()
            process = context.Process(target=_serve, args=(there, make, threads), daemon=True)
            process.start()
            there.close()
            self._processes.append(process)

    def __enter__(self) -> Rounds:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes.values():
            with contextlib.suppress(OSError):  # it has ended by itself
                pipe.send(None)
        for process in self._processes:
            process.join(10)
            process.terminate()

    def seconds(self, repeat: int, *arguments: Any, warm_up: int = 2) -> dict[str, float]:
        """Median, over turns, of the mean seconds of each way's ``work(*arguments)``."""
        times: dict[str, list[float]] = {name: [] for name in self._pipes}
        for place in range(warm_up + repeat):
            for name, pipe in self._pipes.items():
                pipe.send(arguments)
                taken = pipe.recv()
                if place >= warm_up:
                    times[name].append(taken)
        return {name: statistics.median(values) for name, values in times.items()}
