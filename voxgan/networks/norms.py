"""What keeps the scale of activations between convolutions: norms by their name, and weights drawn where none does."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["NORMS", "PixelNorm", "he_initialise", "make_norm"]

NORMS = ("batch", "group", "pixel", "none")

_MOST_GROUPS = 8
_LEAST_CHANNELS = 4  # of a group: one of a single channel would make all maps equally strong


def make_norm(name: str, channels: int) -> nn.Module:
    """Return a norm for volumes (B, C, S, S, S).

    Parameters
    ----------
    name : {"batch", "group", "pixel", "none"}
        Batch norm (Ioffe and Szegedy 2015, arXiv:1502.03167); group norm (Wu and He 2018, arXiv:1803.08494) with as
        many equal groups as leave each at least 4 channels, 8 at most, or one group of all; `PixelNorm`; or nothing.
    channels : int
        Channels C.

    Raises
    ------
    ValueError
        If there is no norm of this name.

    Examples
    --------
    >>> make_norm("group", 64).num_groups, make_norm("group", 12).num_groups, make_norm("group", 2).num_groups
    (8, 3, 1)
    >>> make_norm("none", 64)
    Identity()
    """
    match name:
        case "batch":
            return nn.BatchNorm3d(channels)
        case "group":
            most = min(_MOST_GROUPS, max(1, channels // _LEAST_CHANNELS))
            return nn.GroupNorm(next(groups for groups in range(most, 0, -1) if channels % groups == 0), channels)
        case "pixel":
            return PixelNorm(channels)
        case "none":
            return nn.Identity()
    raise ValueError(f"norm {name!r}: expected one of {', '.join(NORMS)}")


class PixelNorm(nn.Module):
    """Each cell's vector of channels over its root mean square (Karras et al. 2018, arXiv:1710.10196, §4.2).

    It has no parameters, and sees neither other cells nor other shapes.

    Parameters
    ----------
    channels : int, optional
        Not used: any number will do. It is here so that all norms are made alike.

    Examples
    --------
    >>> y = PixelNorm()(torch.rand(2, 8, 4, 4, 4))
    >>> torch.allclose(y.square().mean(dim=1), torch.ones(2, 4, 4, 4))
    True
    """

    eps = 1e-8

    def __init__(self, channels: int | None = None) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, …) normalised over C, in the type of `x`; squares are summed in single precision at least."""
        full = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(full.square().mean(dim=1, keepdim=True) + self.eps)
        return (full * scale).to(x.dtype)


def he_initialise(network: nn.Module, slope: float = 0.0) -> None:
    """Draw the weights of all 3-D convolutions and linear layers anew, so that activations keep their scale.

    He et al. 2015 (arXiv:1502.01852, eq. 14 and 15): a Gaussian of variance 2 / ((1 + slope²)·n), where n is how many
    numbers each output is a sum of. Biases become zero. Norms are left as they are; so are weights that a
    parametrisation computes, which must be put on afterwards.

    Parameters
    ----------
    network : Module
        Or a single layer.
    slope : float
        Of the activation before each layer, for negative numbers: 0 for ReLU, 1 where there is none.

    Notes
    -----
    A transposed convolution of kernel k and stride s sums (k/s)³ cells a channel: 8 for kernel 4 and stride 2. One of
    stride 1 without padding is taken for what it is in generators, the first, which is applied to a single cell.

    Examples
    --------
    >>> layer = nn.ConvTranspose3d(64, 32, 4, stride=2, padding=1, bias=False)
    >>> he_initialise(layer)
    >>> round(float(layer.weight.detach().std() * (8 * 64) ** 0.5), 1)  # √2
    1.4
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv3d | nn.ConvTranspose3d | nn.Linear) or "weight" not in layer._parameters:
            continue
        nn.init.normal_(layer.weight, std=math.sqrt(2 / (1 + slope**2) / _summed(layer)))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _summed(layer: nn.Conv3d | nn.ConvTranspose3d | nn.Linear) -> float:
    """Return how many numbers each output of a layer is a sum of."""
    if isinstance(layer, nn.Linear):
        return layer.in_features
    cells = math.prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose3d):
        single = layer.stride == (1, 1, 1) and layer.padding == (0, 0, 0)
        cells = 1 if single else max(1, cells // math.prod(layer.stride))
    return cells * layer.in_channels // layer.groups
