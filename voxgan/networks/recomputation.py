"""Activations computed again in the backward pass instead of being kept (Chen et al. 2016, arXiv:1604.06174)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["recomputed"]


def recomputed(function: Callable[[Tensor], Tensor], x: Tensor, norm: nn.Module | None = None) -> Tensor:
    """Return ``function(x)``, of whose graph only `x` is kept until the backward pass.

    Parameters
    ----------
    function : callable
        Draws no random numbers.
    x : Tensor
    norm : Module, optional
        The batch norm inside, if there is one; its running statistics count the first computation only.

    Examples
    --------
    >>> import torch
    >>> norm, x = nn.BatchNorm1d(3), torch.rand(4, 3, requires_grad=True)
    >>> recomputed(norm, x, norm).sum().backward()
    >>> int(norm.num_batches_tracked)
    1
    """
    return cast(
        Tensor,
        checkpoint(
            function,
            x,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (
                contextlib.nullcontext(),
                contextlib.nullcontext() if norm is None else _StatisticsAside(norm),
            ),
        ),
    )


class _StatisticsAside(contextlib.AbstractContextManager[None]):
    """Let what `norm` counts in the block be lost; entered again for each backward pass through the same graph."""

    def __init__(self, norm: nn.Module) -> None:
        self.norm = norm
        self.kept: dict[str, Any] = {}

    def __enter__(self) -> None:
        # Buffers are exchanged, not written back: a batch norm's graph holds them, and would see that they changed.
        self.kept = dict(self.norm._buffers)
        self.norm._buffers.update({name: value.clone() for name, value in self.kept.items() if value is not None})

    def __exit__(self, *_: object) -> None:
        self.norm._buffers.update(self.kept)
