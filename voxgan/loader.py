"""Batches read ahead by other processes, in order: still packed, 32 kB a shape at 64³ instead of a megabyte."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from voxgan.batches import Plan, order, read_batch, step_seed
from voxgan.dataset import Dataset
from voxgan.errors import StorageError, VoxganError

__all__ = ["load_batches", "readers_watched"]

Raw = dict[str, Tensor]

_AHEAD = 4  # batches for each process


class _Steps(TorchDataset[Raw | VoxganError]):
    """The batch of each step, as a function of (seed, step); each process opens the file for itself."""

    def __init__(self, data: Dataset, batch: int, seed: int, plan: Plan, part: slice | None) -> None:
        self.data, self.batch, self.seed, self.plan, self.part = data, batch, seed, plan, part
        self._own: Dataset | None = None

    def __getitem__(self, step: int) -> Raw | VoxganError:
        if torch.utils.data.get_worker_info() is None:
            return self._read(self.data, step)
        try:  # an exception that crosses the processes would come as a traceback in one line
            if self._own is None:
                self._own = self.data.reopened()
            return self._read(self._own, step)
        except VoxganError as error:
            return error

    def _read(self, data: Dataset, step: int) -> Raw:
        indices = order(len(data), self.batch, self.seed, step)
        return read_batch(data, indices, self.plan, step_seed(self.seed, step), self.part)


def load_batches(
    data: Dataset,
    batch: int,
    seed: int,
    plan: Plan,
    start: int,
    stop: int,
    workers: int = 0,
    part: slice | None = None,
) -> Generator[Raw, None, None]:
    """Yield the raw batches of steps `start` to `stop`, which `voxgan.batches.finish_batch` finishes.

    Parameters
    ----------
    data : Dataset
        What is read.
    batch, seed
        Shapes a step; of the order and of the choice of views.
    plan : Plan
        What a batch is made of.
    workers : int
        Processes that read ahead; 0 reads in this one. The batches are the same for any number.
    part : slice, optional
        Only these shapes of each batch: one process's share of a training on many.
    """
    steps = _Steps(data, batch, seed, plan, part)
    if workers == 0 or start >= stop:
        yield from (steps._read(data, step) for step in range(start, stop))
        return
    options: dict[str, Any] = {"num_workers": workers, "prefetch_factor": _AHEAD, "worker_init_fn": _begin_reader}
    if torch.cuda.is_available():
        options["pin_memory"] = True
    loader = iter(DataLoader(steps, batch_size=None, sampler=range(start, stop), **options))
    try:
        for raw in loader:
            if isinstance(raw, VoxganError):
                raise raw
            yield raw
    finally:  # readers do not listen to SIGTERM, with which Python would end them, and wait for them, at its own end
        end = getattr(loader, "_shutdown_workers", None)
        if end is not None:
            end()


@contextlib.contextmanager
def readers_watched() -> Iterator[None]:
    """Say in words that a process that reads ahead was killed; torch raises that wherever the first one stands.

    Raises
    ------
    StorageError
        If one was.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker (pid" not in str(error):
            raise
        raise StorageError(
            "a process that reads batches was killed, perhaps by the system for want of memory; take fewer loaders"
        ) from error


def _begin_reader(_number: int) -> None:
    """Leave to the first process, with which readers end, what stops a run and what is said of it.

    A reader that ended by Ctrl-C or SIGTERM would end the step in hand, too. And the first process may hang up while
    a batch is being handed to it, because another reader was killed: that is its to tell.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _hung_up_is_silent


def _hung_up_is_silent(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The hook by which Python's thread that hands batches over reports; a reader's own errors come another way."""
    if not isinstance(error, EOFError | ConnectionError):
        sys.__excepthook__(kind, error, trace)
