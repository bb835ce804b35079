"""Random numbers of one training step that belong to its shapes, not to the process that computes them."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

__all__ = ["Draws", "moved"]


def moved(values: Tensor, device: torch.device) -> Tensor:
    """Return `values` on `device`, without waiting for what a GPU has in hand."""
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


class Draws:
    """Draws for every shape of a step's batch, and hands out those of one part of it.

    However a batch is divided over devices, or into parts that are computed one after the other, a shape gets the
    same numbers, as long as each part asks for the same things in the same order. It costs the whole batch's numbers
    in each part: meant for the few that a shape needs (a latent, a choice of view), not for noise on every cell.

    Parameters
    ----------
    seed : int
        Of the step.
    total : int
        Shapes in the whole batch.
    part : slice, optional
        Which of them are wanted; all by default.

    Examples
    --------
    >>> whole, rest = Draws(7, 4), Draws(7, 4, slice(2, 4))
    >>> torch.equal(whole.normal(3)[2:], rest.normal(3))
    True
    >>> torch.equal(whole.of("z").normal(3), whole.of("z").normal(3))
    True
    """

    def __init__(self, seed: int, total: int, part: slice | None = None) -> None:
        self.seed, self.total, self.part = seed, total, part if part is not None else slice(0, total)
        self.generator = torch.Generator().manual_seed(seed)

    def of(self, purpose: str) -> Draws:
        """Return draws for one purpose, always the same ones: for what is computed twice, or in another order."""
        digest = hashlib.sha256(f"{self.seed}/{purpose}".encode()).digest()
        return Draws(int.from_bytes(digest[:7], "big"), self.total, self.part)

    def uniform(self, *shape: int) -> Tensor:
        """Return numbers from [0, 1), (B, *shape), for the B shapes of this part."""
        return torch.rand(self.total, *shape, generator=self.generator)[self.part]

    def normal(self, *shape: int) -> Tensor:
        """Return numbers from N(0, 1), (B, *shape)."""
        return torch.randn(self.total, *shape, generator=self.generator)[self.part]

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Return whole numbers from `low` to `high` − 1, (B, *shape)."""
        return torch.randint(low, high, (self.total, *shape), generator=self.generator)[self.part]
