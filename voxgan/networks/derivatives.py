"""A convolution, its transpose, and the gradient of their weights: each other's derivatives, in a way of one's choice.

Each is linear in both of its arguments, and its derivatives are the other two: written with one another, they can be
derived as often as one likes. ``wide`` is (B, C, 2S, 2S, 2S), ``narrow`` (B, D, S, S, S), and the weights
(D, C, 4, 4, 4) of both directions alike. A way (`voxgan.networks.winograd`, `voxgan.networks.neighbourhoods`) says how
the three are computed; none of its functions has gradients of its own.
"""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from torch import Tensor

__all__ = ["Way", "convolved", "convolved_transposed"]


class Way(Protocol):
    """How the three are computed; a module is one."""

    def prepared(self, weight: Tensor, dtype: torch.dtype, /) -> Tensor:
        """Return the weights as `grow` and `shrink` want them, for volumes of this type."""

    def grow(self, narrow: Tensor, prepared: Tensor, /) -> Tensor:
        """Return the transposed convolution: kernel 4, stride 2, padding 1."""

    def shrink(self, wide: Tensor, prepared: Tensor, /) -> Tensor:
        """Return the convolution."""

    def correlate(self, wide: Tensor, narrow: Tensor, dtype: torch.dtype, /) -> Tensor:
        """Return the gradient of the weights, in this type and torch's default layout."""


def convolved(wide: Tensor, weight: Tensor, way: Way) -> Tensor:
    """Return ``conv3d(wide, weight, stride=2, padding=1)``, with gradients of any order.

    Parameters
    ----------
    wide : Tensor, (B, C, 2S, 2S, 2S)
    weight : Tensor, (D, C, 4, 4, 4)
    way : Way

    Returns
    -------
    Tensor, (B, D, S, S, S)

    Examples
    --------
    >>> from voxgan.networks import winograd
    >>> convolved(torch.rand(2, 3, 8, 8, 8), torch.rand(5, 3, 4, 4, 4), winograd).shape
    torch.Size([2, 5, 4, 4, 4])
    """
    return cast(Tensor, _Convolve.apply(wide, weight, None, way))  # type: ignore[no-untyped-call]


def convolved_transposed(narrow: Tensor, weight: Tensor, way: Way) -> Tensor:
    """Return ``conv_transpose3d(narrow, weight, stride=2, padding=1)``, with gradients of any order.

    Parameters
    ----------
    narrow : Tensor, (B, D, S, S, S)
    weight : Tensor, (D, C, 4, 4, 4)
    way : Way

    Returns
    -------
    Tensor, (B, C, 2S, 2S, 2S)

    Examples
    --------
    >>> from voxgan.networks import winograd
    >>> convolved_transposed(torch.rand(2, 5, 4, 4, 4), torch.rand(5, 3, 4, 4, 4), winograd).shape
    torch.Size([2, 3, 8, 8, 8])
    """
    return cast(Tensor, _ConvolveTransposed.apply(narrow, weight, None, way))  # type: ignore[no-untyped-call]


# The third argument is the prepared weights, where they have been made.


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wide: Tensor, weight: Tensor, prepared: Tensor | None, way: Way) -> Tensor:
        prepared = way.prepared(weight, wide.dtype) if prepared is None else prepared
        ctx.save_for_backward(wide, weight, prepared)
        ctx.way = way
        return way.shrink(wide, prepared)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (wide, weight, prepared), narrow, way = ctx.saved_tensors, gradients[0], ctx.way
        of_wide = _ConvolveTransposed.apply(narrow, weight, prepared, way) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_weight = _Correlate.apply(wide, narrow, weight.dtype, way) if ctx.needs_input_grad[1] else None  # type: ignore[no-untyped-call]
        return of_wide, of_weight, None, None


class _ConvolveTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, narrow: Tensor, weight: Tensor, prepared: Tensor | None, way: Way) -> Tensor:
        prepared = way.prepared(weight, narrow.dtype) if prepared is None else prepared
        ctx.save_for_backward(narrow, weight, prepared)
        ctx.way = way
        return way.grow(narrow, prepared)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (narrow, weight, prepared), wide, way = ctx.saved_tensors, gradients[0], ctx.way
        of_narrow = _Convolve.apply(wide, weight, prepared, way) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_weight = _Correlate.apply(wide, narrow, weight.dtype, way) if ctx.needs_input_grad[1] else None  # type: ignore[no-untyped-call]
        return of_narrow, of_weight, None, None


class _Correlate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wide: Tensor, narrow: Tensor, dtype: torch.dtype, way: Way) -> Tensor:
        ctx.save_for_backward(wide, narrow)
        ctx.way = way
        return way.correlate(wide, narrow, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (wide, narrow), weight, way = ctx.saved_tensors, gradients[0], ctx.way
        of_wide = _ConvolveTransposed.apply(narrow, weight, None, way) if ctx.needs_input_grad[0] else None  # type: ignore[no-untyped-call]
        of_narrow = _Convolve.apply(wide, weight, None, way) if ctx.needs_input_grad[1] else None  # type: ignore[no-untyped-call]
        return of_wide, of_narrow, None, None
