"""The processes that share a training: one, or many started by torchrun.

Each is a rank. All ranks take the same decisions, because they see the same figures: the mean over all.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from voxgan.checkpoint import find_device
from voxgan.errors import RankError, UsageError, VoxganError

__all__ = ["ALONE", "Ranks", "joined", "told_once"]

_PATIENCE = datetime.timedelta(minutes=30)  # the first rank may draw samples and write states meanwhile
_LOST = ("connection closed", "connection reset", "broken pipe", "timed out", "timeout", "gloo", "nccl", "tcpstore")


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is.

    Attributes
    ----------
    number, count : int
        This rank, from 0, of so many.
    device : torch.device
        Where this rank computes.
    """

    number: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this rank keeps the moving average, the record and the run folder."""
        return self.number == 0

    def share(self, total: int) -> slice:
        """Return which of `total` things are this rank's; `total` is a multiple of `count`."""
        each = total // self.count
        return slice(self.number * each, (self.number + 1) * each)

    def mean_(self, values: Tensor) -> Tensor:
        """Replace `values` by their mean over all ranks."""
        if self.count > 1:
            dist.all_reduce(values)
            values /= self.count
        return values

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make an error of any rank within the block the error of all, so that none waits for one that is gone.

        Raises
        ------
        VoxganError
            Of the lowest rank that had an error, whatever it was, on all ranks; the first raises its own as it is. On
            all others it is marked ``told``, so that it is printed once.
        """
        if self.count == 1:
            yield
            return
        problem: Exception | None = None
        try:
            yield
        except Exception as error:
            problem = error
        found: list[tuple[int, str] | None] = [None] * self.count
        text = " ".join(str(problem).split())
        with self.watched():
            dist.all_gather_object(found, None if problem is None else (getattr(problem, "exit_status", 1), text))
        for number, entry in enumerate(found):
            if entry is None:
                continue
            if problem is None or not self.first:
                other = VoxganError(f"rank {number}: {entry[1]}")
                other.exit_status, other.told = entry[0], not self.first
                raise other from problem
            raise problem

    @contextlib.contextmanager
    def watched(self, advice: Callable[[], str] = lambda: "start it again") -> Iterator[None]:
        """Say in words that another rank was lost, where a collective call fails for it.

        Parameters
        ----------
        advice : callable
            Says what is saved, and what to do.

        Raises
        ------
        RankError
            On the first two ranks to be told, as one of them may be the one that was lost.
        """
        try:
            yield
        except RuntimeError as error:
            text = " ".join(str(error).split())
            if self.count == 1 or isinstance(error, VoxganError) or not any(sign in text.lower() for sign in _LOST):
                raise
            lost = RankError(f"one of the {self.count} ranks is gone ({_reason(text)}); {advice()}")
            lost.told = self.number > 1
            raise lost from error


def _count() -> int:
    """Return how many processes torchrun has started; 1 without it."""
    text = os.environ.get("WORLD_SIZE", "1")
    if not text.isdecimal() or int(text) < 1 or (text != "1" and "RANK" not in os.environ):
        raise UsageError(
            f"WORLD_SIZE={text} is set, but not by torchrun (RANK is {os.environ.get('RANK', 'not set')}): unset it, "
            "or start the command with torchrun"
        )
    return int(text)


def _reason(text: str) -> str:
    """Return what is worth reading of a message of gloo or NCCL."""
    found = re.search(
        r"connection (closed|reset) by (remote )?peer|timed out[^.]{0,60}|broken pipe", text, re.IGNORECASE
    )
    return found.group(0).lower() if found else text[:120]


ALONE = Ranks(0, 1, torch.device("cpu"))


@contextlib.contextmanager
def told_once() -> Iterator[None]:
    """Mark an error that all processes must meet alike, before they know of each other, so that one tells it."""
    try:
        yield
    except VoxganError as error:
        error.told = os.environ.get("RANK", "0") != "0"
        raise


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the other processes that torchrun has started, if it has, for the block.

    Parameters
    ----------
    device : str
        "auto", "cpu" or "cuda": each rank takes the GPU with its number on its machine.

    Raises
    ------
    UsageError
        If the machine has fewer GPUs than ranks.
    RankError
        If the ranks do not find each other.
    """
    chosen = find_device(device)
    if _count() == 1 and not dist.is_initialized():
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen if chosen.index is not None else 0)
        yield Ranks(0, 1, chosen)
        return
    if chosen.type == "cuda":
        if chosen.index is not None:
            raise UsageError(f"device={device} on many ranks: expected cuda; each rank takes the GPU with its number")
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"rank {local} of this machine has no GPU, it has {torch.cuda.device_count()}; "
                "start at most as many ranks per node, or train with device=cpu"
            )
        chosen = torch.device("cuda", local)
        torch.cuda.set_device(chosen)
    mine = not dist.is_initialized()
    if mine:
        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
        except (RuntimeError, ValueError) as error:
            raise RankError(f"the ranks did not find each other: {' '.join(str(error).split())[:200]}") from error
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        if mine and dist.is_initialized():
            with contextlib.suppress(RuntimeError):
                dist.destroy_process_group()
