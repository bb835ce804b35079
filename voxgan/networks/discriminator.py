"""The volumetric discriminator of 3D-GAN (Wu et al. 2016, arXiv:1610.07584, §3.1)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, cast

from torch import Tensor, nn

from voxgan.networks.forms import conv_by_blocks
from voxgan.networks.generator import channels

__all__ = ["Discriminator"]


class Discriminator(nn.Module):
    """Occupancy → one logit: the generator's mirror, kernel 4, strides 2 … 2, 1.

    Batch norm (not after the first convolution) and LeakyReLU 0.2 stand between; no bias. At 64³ and width 64 it has
    the paper's 11.05 M parameters.

    Parameters
    ----------
    resolution : {64, 16, 32, 128}
        Side R of the grid.
    width : int
        Channels of the first hidden volume at 64³; the paper's is 64.
    pack : int
        Shapes seen side by side on the channel axis (PacGAN); only the first convolution widens.

    Examples
    --------
    >>> import torch
    >>> Discriminator(resolution=16, width=4, pack=2)(torch.rand(3, 2, 16, 16, 16)).shape
    torch.Size([3])
    """

    def __init__(self, resolution: int = 64, width: int = 64, pack: int = 1) -> None:
        super().__init__()
        self.resolution, self.width, self.pack = resolution, width, pack
        hidden = channels(resolution, width)[::-1]
        layers: list[nn.Module] = [
            nn.Conv3d(pack, hidden[0], 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(0.2),
        ]
        for fan_in, fan_out in itertools.pairwise(hidden):
            layers += [nn.Conv3d(fan_in, fan_out, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm3d(fan_out), nn.LeakyReLU(0.2)]
        layers += [nn.Conv3d(hidden[-1], 1, 4, bias=False)]
        self.layers = nn.Sequential(*layers)

    def forward(self, occupancy: Tensor) -> Tensor:
        """Return the logit of being real, (B,), for packs of shapes (B, M, R, R, R)."""
        first, *rest = cast(Iterable[Any], self.layers)
        x = conv_by_blocks(occupancy, first.weight)
        for layer in rest:
            x = layer(x)
        return x.flatten()
