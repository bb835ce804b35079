"""The deepest layers in bfloat16 on a CPU: matrix products over 4×4×4 neighbourhoods written side by side.

Volumes are ``wide`` (B, C, 2S, 2S, 2S) or ``narrow`` (B, D, S, S, S), weights (D, C, 4, 4, 4) in both directions, as in
`voxgan.networks.derivatives`, which makes layers of these functions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv_transpose3d, pad

__all__ = ["correlate", "grow", "prepared", "shrink"]


def prepared(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return weights in another type, channels last."""
    # Two copies: one that changes type and order at once is slower than both.
    return weight.to(dtype).contiguous(memory_format=torch.channels_last_3d)


def grow(narrow: Tensor, weight: Tensor) -> Tensor:
    """Return the transposed convolution, (B, C, 2S, 2S, 2S)."""
    return conv_transpose3d(narrow.contiguous(memory_format=torch.channels_last_3d), weight, stride=2, padding=1)


def shrink(wide: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution, (B, D, S, S, S)."""
    side = wide.shape[2] // 2
    rows = _neighbourhoods(wide) @ weight.permute(0, 2, 3, 4, 1).reshape(len(weight), -1).t()
    return rows.reshape(len(wide), side, side, side, len(weight)).permute(0, 4, 1, 2, 3)


def correlate(wide: Tensor, narrow: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the gradient of the weights, (D, C, 4, 4, 4)."""
    matrix = narrow.permute(0, 2, 3, 4, 1).reshape(-1, narrow.shape[1]).t() @ _neighbourhoods(wide)
    matrix = matrix.reshape(-1, 4, 4, 4, wide.shape[1]).permute(0, 4, 1, 2, 3)
    return matrix.to(dtype, memory_format=torch.contiguous_format)


def _neighbourhoods(wide: Tensor) -> Tensor:
    """Return the neighbourhood of each cell of the narrow volume as a row, (B·S³, 64·C)."""
    batch, channels, side = wide.shape[0], wide.shape[1], wide.shape[2] // 2
    padded = pad(wide.permute(0, 2, 3, 4, 1), (0, 0, 1, 1, 1, 1, 1, 1)).contiguous()
    stride = padded.stride()
    shape = (batch, side, side, side, 4, 4, 4, channels)
    return padded.as_strided(shape, (stride[0], *(2 * s for s in stride[1:4]), *stride[1:])).reshape(
        batch * side**3, 64 * channels
    )
