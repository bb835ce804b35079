"""A volumetric encoder: the shape itself to a Gaussian over latents."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from voxgan.networks.forms import conv, conv_by_blocks
from voxgan.networks.generator import channels
from voxgan.networks.heads import SLOPE

__all__ = ["ShapeEncoder"]


class ShapeEncoder(nn.Module):
    """Occupancy → mean and log-variance of a Gaussian over latents, by the discriminator's convolutions.

    What an autoencoder of shapes needs beside the generator, as in the TL-embedding network (Girdhar et al. 2016,
    arXiv:1603.08637): kernel 4, stride 2 down to 4³, batch norm (not after the first) and LeakyReLU 0.2, then a linear
    layer. The photo encoder can learn from what it says; nothing needs it afterwards.

    Parameters
    ----------
    resolution : {64, 16, 32, 128}
        Side R of the grid.
    width : int
        Channels of the first volume at 64³.
    latent : int
        Numbers L in z.

    Examples
    --------
    >>> import torch
    >>> mean, log_variance = ShapeEncoder(resolution=16, width=4)(torch.rand(2, 1, 16, 16, 16))
    >>> mean.shape, log_variance.shape
    (torch.Size([2, 200]), torch.Size([2, 200]))
    """

    def __init__(self, resolution: int = 64, width: int = 64, latent: int = 200) -> None:
        super().__init__()
        self.resolution, self.width, self.latent = resolution, width, latent
        hidden = channels(resolution, width)[::-1]
        layers: list[nn.Module] = [nn.Conv3d(1, hidden[0], 4, stride=2, padding=1, bias=False)]
        for fan_in, fan_out in itertools.pairwise(hidden):
            layers += [nn.Conv3d(fan_in, fan_out, 4, stride=2, padding=1, bias=False), nn.BatchNorm3d(fan_out)]
        self.layers = nn.Sequential(*layers)
        self.last = nn.Linear(hidden[-1] * 4**3, 2 * latent)

    def forward(self, occupancy: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance, each (B, L), for grids (B, 1, R, R, R) in [0, 1]."""
        first, *others = cast(Iterable[Any], self.layers)
        x = leaky_relu(conv_by_blocks(occupancy, first.weight), SLOPE)
        for convolution, norm in zip(others[::2], others[1::2], strict=True):
            x = leaky_relu(norm(conv(x, convolution.weight)), SLOPE)
        mean, log_variance = self.last(x.flatten(1).to(self.last.weight.dtype)).chunk(2, dim=1)
        return mean, log_variance
