"""Faster forms of the paper's layers: the same weights, the same mathematics, another order of the work.

A convolution of kernel 4 and stride 2 with one channel on its wide side keeps a processor's vector units idle. Both
directions become a convolution of kernel 2 over eight channels, one for each corner of a 2×2×2 block.

On a CPU, in bfloat16, the deepest layers, which have millions of weights and few places to apply them to, are matrix
products (`voxgan.networks.neighbourhoods`). In single precision, where the processor lacks AVX-512, wide layers are
computed with fewer multiplications (`voxgan.networks.winograd`).

All functions give gradients of any order, and none changes the layout of the weights, which is the paper's.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import platform
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d

from voxgan.networks import neighbourhoods, winograd
from voxgan.networks.derivatives import Way, convolved, convolved_transposed

__all__ = [
    "block_kernel",
    "compute_dtype",
    "conv",
    "conv_by_blocks",
    "conv_transpose",
    "conv_transpose_by_blocks",
    "has_bfloat16",
    "unblock",
    "without_autocast",
]

# Where matrix products are faster than convolutions: at 512 × 256 channels, up to 32 shapes.
_MANY_WEIGHTS = 2**22
_FEW_PLACES = 2**11


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type in which layers compute: autocast's where it is on, else that of `x`."""
    device = x.device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype


def without_autocast(x: Tensor) -> contextlib.AbstractContextManager[object]:
    """Return a context in which layers compute in the types of what they are given, on the device of `x`."""
    device = x.device.type
    return contextlib.nullcontext() if device == "meta" else torch.autocast(device, enabled=False)


@functools.cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16; a CPU without was 25 times slower than in fp32.

    Examples
    --------
    >>> isinstance(has_bfloat16(torch.device("cpu")), bool)
    True
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return True
    asked: Any = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    if asked is not None and not asked():
        return False
    # oneDNN takes it wherever AVX-512 is, and imitates it where that is all there is.
    native = [getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")]
    if platform.machine().lower() in ("x86_64", "amd64") and None not in native:
        return any(ask() for ask in native if ask is not None)
    return True


def conv(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``conv3d(x, weight, stride=2, padding=1)`` for kernel 4, in `compute_dtype`.

    Parameters
    ----------
    x : Tensor, (B, C, S, S, S)
        S even.
    weight : Tensor, (D, C, 4, 4, 4)

    Returns
    -------
    Tensor, (B, D, S/2, S/2, S/2)

    Examples
    --------
    >>> x, weight = torch.rand(2, 3, 8, 8, 8), torch.rand(5, 3, 4, 4, 4)
    >>> plain = torch.nn.functional.conv3d(x, weight, stride=2, padding=1)
    >>> torch.allclose(conv(x, weight), plain, atol=1e-5)
    True
    """
    x = x.to(compute_dtype(x))
    if way := _way(x, weight, x.shape[2] // 2):
        return convolved(x, weight, way)
    x = _laid_out(x, weight)
    return conv3d(x, _laid_out_weight(weight, x), stride=2, padding=1)


def conv_transpose(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``conv_transpose3d(x, weight, stride=2, padding=1)`` for kernel 4, in `compute_dtype`.

    Parameters
    ----------
    x : Tensor, (B, C, S, S, S)
    weight : Tensor, (C, D, 4, 4, 4)

    Returns
    -------
    Tensor, (B, D, 2S, 2S, 2S)

    Examples
    --------
    >>> x, weight = torch.rand(2, 3, 4, 4, 4), torch.rand(3, 5, 4, 4, 4)
    >>> plain = torch.nn.functional.conv_transpose3d(x, weight, stride=2, padding=1)
    >>> torch.allclose(conv_transpose(x, weight), plain, atol=1e-5)
    True
    """
    x = x.to(compute_dtype(x))
    if way := _way(x, weight, x.shape[2]):
        return convolved_transposed(x, weight, way)
    x = _laid_out(x, weight)
    return conv_transpose3d(x, _laid_out_weight(weight, x), stride=2, padding=1)


def conv_transpose_by_blocks(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``conv_transpose3d(x, weight, stride=2, padding=1)`` for kernel 4 and one output channel.

    Parameters
    ----------
    x : Tensor, (B, C, S, S, S)
    weight : Tensor, (C, 1, 4, 4, 4)

    Returns
    -------
    Tensor, (B, 1, 2S, 2S, 2S)
        In single precision where layers compute in less.

    Examples
    --------
    >>> x, weight = torch.rand(2, 3, 4, 4, 4), torch.rand(3, 1, 4, 4, 4)
    >>> plain = torch.nn.functional.conv_transpose3d(x, weight, stride=2, padding=1)
    >>> torch.allclose(conv_transpose_by_blocks(x, weight), plain, atol=1e-5)
    True
    """
    x = x.to(compute_dtype(x))
    y = conv3d(x, block_kernel(weight).to(x.dtype), padding=1)
    return unblock(y, torch.promote_types(x.dtype, torch.float32))


def conv_by_blocks(x: Tensor, weight: Tensor) -> Tensor:
    """Return ``conv3d(x, weight, stride=2, padding=1)`` for kernel 4 and few input channels, in `compute_dtype`.

    Parameters
    ----------
    x : Tensor, (B, M, S, S, S)
        S even.
    weight : Tensor, (C, M, 4, 4, 4)

    Returns
    -------
    Tensor, (B, C, S/2, S/2, S/2)

    Examples
    --------
    >>> x, weight = torch.rand(2, 1, 8, 8, 8), torch.rand(3, 1, 4, 4, 4)
    >>> plain = torch.nn.functional.conv3d(x, weight, stride=2, padding=1)
    >>> torch.allclose(conv_by_blocks(x, weight), plain, atol=1e-5)
    True
    """
    packed = x.shape[1]
    blocks = cast(Tensor, _Block.apply(x, compute_dtype(x)))  # type: ignore[no-untyped-call]
    kernel = weight.reshape(len(weight), packed, 2, 2, 2, 2, 2, 2).permute(0, 1, 3, 5, 7, 2, 4, 6)
    kernel = kernel.reshape(len(weight), 8 * packed, 2, 2, 2).to(blocks.dtype)
    return conv3d(blocks, kernel.contiguous(memory_format=torch.channels_last_3d))


def block_kernel(weight: Tensor) -> Tensor:
    """Return the kernel (8, C, 2, 2, 2) over blocks of a transposed convolution (C, 1, 4, 4, 4)."""
    # Along one axis, output 2p − 1 takes taps 2, 0 of inputs p − 1, p; output 2p takes taps 3, 1.
    taps = weight.reshape(len(weight), 2, 2, 2, 2, 2, 2).flip(1, 3, 5)
    return taps.permute(2, 4, 6, 0, 1, 3, 5).reshape(8, len(weight), 2, 2, 2)


def unblock(y: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Lay blocks (B, 8, S + 1, S + 1, S + 1) out as a grid (B, 1, 2S, 2S, 2S); the outermost cells fall away."""
    return cast(Tensor, _Unblock.apply(y, dtype))  # type: ignore[no-untyped-call]


class _Block(torch.autograd.Function):
    """Grid (B, M, 2S, 2S, 2S) → blocks (B, 8M, S + 1, S + 1, S + 1), channels last, zeros around it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype = x.dtype
        x = x.to(dtype)  # first: torch changes types slowly while it scatters
        batch, packed, side = x.shape[0], x.shape[1], x.shape[2] // 2
        y = x.new_zeros((batch, side + 1, side + 1, side + 1, packed, 8), dtype=dtype)
        for corner, (i, j, k) in enumerate(_BEGINNINGS):
            cells = x[:, :, i::2, j::2, k::2].permute(0, 2, 3, 4, 1)
            y[:, i : i + side, j : j + side, k : k + side, :, corner] = cells
        return y.flatten(4).permute(0, 4, 1, 2, 3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return cast(Tensor, _Unblock.apply(gradients[0], ctx.dtype)), None  # type: ignore[no-untyped-call]


class _Unblock(torch.autograd.Function):
    """The adjoint of `_Block`: blocks → grid."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype = y.dtype
        batch, packed, side = y.shape[0], y.shape[1] // 8, y.shape[2] - 1
        y = y.permute(0, 2, 3, 4, 1).reshape(batch, side + 1, side + 1, side + 1, packed, 8)
        x = y.new_empty((batch, packed, 2 * side, 2 * side, 2 * side), dtype=dtype)
        for corner, (i, j, k) in enumerate(_BEGINNINGS):
            cells = y[:, i : i + side, j : j + side, k : k + side, :, corner]
            x[:, :, i::2, j::2, k::2] = cells.permute(0, 4, 1, 2, 3)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return cast(Tensor, _Block.apply(gradients[0], ctx.dtype)), None  # type: ignore[no-untyped-call]


# Where the cells of each of a block's eight corners begin, in the blocks and in the grid. Block 0 begins one cell
# before the grid, so that first corners are the grid's odd cells, from block 1 on.
_BEGINNINGS = list(itertools.product((1, 0), repeat=3))


def _way(x: Tensor, weight: Tensor, side: int) -> Way | None:
    """Return what computes a layer faster than oneDNN; `side` is that of the smaller of the two volumes."""
    if x.device.type != "cpu":
        return None
    if x.dtype == torch.bfloat16 and weight.numel() >= _MANY_WEIGHTS and len(x) * side**3 <= _FEW_PLACES:
        return neighbourhoods
    real = type(x) is Tensor  # those who only count operations shall count torch's
    if real and x.dtype == torch.float32 and winograd.pays(weight, len(x), side):
        return winograd
    return None


def _laid_out(x: Tensor, weight: Tensor) -> Tensor:
    """Lay activations out as a convolution with these weights is fastest, in both directions."""
    # Single precision: the gradient of the weights comes out in the layout of the activations, and is copied into the
    # weights' own, which is dear where they are many.
    many = x.device.type == "cpu" and weight.numel() >= _MANY_WEIGHTS and x.dtype == torch.float32
    return x.contiguous(memory_format=torch.contiguous_format if many else torch.channels_last_3d)


def _laid_out_weight(weight: Tensor, x: Tensor) -> Tensor:
    """Give weights the type and the layout of the activations, which oneDNN would do in each direction anew."""
    if weight.device.type != "cpu":
        return weight.to(x.dtype)
    if weight.dtype == x.dtype and x.is_contiguous():
        return weight
    return cast(Tensor, _LaidOut.apply(weight, x.dtype))  # type: ignore[no-untyped-call]


class _LaidOut(torch.autograd.Function):
    """Weights in another type, channels last; their gradient comes back in their own, in one copy."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, dtype: torch.dtype) -> Tensor:
        ctx.dtype = weight.dtype
        return neighbourhoods.prepared(weight, dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].to(ctx.dtype, memory_format=torch.contiguous_format), None
