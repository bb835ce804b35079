"""The volumetric discriminator of 3D-GAN (Wu et al. 2016, arXiv:1610.07584, §3.1)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from voxgan.networks.forms import conv, conv_by_blocks
from voxgan.networks.generator import channels
from voxgan.networks.recomputation import recomputed

__all__ = ["Discriminator"]

_SLOPE = 0.2
_AT_ONCE = 16  # shapes whose first volume is computed again at once


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

    Attributes
    ----------
    recompute : bool
        Compute activations again in the backward pass instead of keeping them: less memory, more time. Off by default.

    Examples
    --------
    >>> Discriminator(resolution=16, width=4, pack=2)(torch.rand(3, 2, 16, 16, 16)).shape
    torch.Size([3])
    """

    recompute: bool = False

    def __init__(self, resolution: int = 64, width: int = 64, pack: int = 1) -> None:
        super().__init__()
        self.resolution, self.width, self.pack = resolution, width, pack
        hidden = channels(resolution, width)[::-1]
        layers: list[nn.Module] = [
            nn.Conv3d(pack, hidden[0], 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(_SLOPE),
        ]
        for fan_in, fan_out in itertools.pairwise(hidden):
            layers += [nn.Conv3d(fan_in, fan_out, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm3d(fan_out), nn.LeakyReLU(_SLOPE)]
        layers += [nn.Conv3d(hidden[-1], 1, 4, bias=False)]
        self.layers = nn.Sequential(*layers)

    def forward(self, occupancy: Tensor, groups: int = 1) -> Tensor:
        """Return the logit of being real, (B,), for packs of shapes (B, M, R, R, R).

        Parameters
        ----------
        occupancy : Tensor, (B, M, R, R, R)
        groups : int
            Equal parts of the batch, one after the other, each with batch statistics of its own; running statistics
            see one after the other. Logits and gradients are those of that many calls, which take longer.

        Returns
        -------
        Tensor, (B,)
            In single precision, under autocast too.

        Raises
        ------
        ValueError
            If the batch cannot be divided into equal groups.
        """
        if groups < 1 or len(occupancy) % groups:
            raise ValueError(f"{groups} groups in a batch of {len(occupancy)}: expected a number that divides it")
        first, _, second, *rest, last = cast(Iterable[Any], self.layers)

        def stem(x: Tensor) -> Tensor:
            return conv(leaky_relu(conv_by_blocks(x, first.weight), _SLOPE, inplace=True), second.weight)

        if self.recompute and torch.is_grad_enabled():
            # No batch norm binds these shapes together, so that the largest volume need never be there for all.
            x = torch.cat([recomputed(stem, part) for part in torch.split(occupancy, _AT_ONCE)])
        else:
            x = stem(occupancy)
        for norm, convolution in zip(rest[::3], [*rest[2::3], last], strict=True):
            x = self._block(x, norm, convolution, groups)
        return x.flatten()

    def _block(self, x: Tensor, norm: nn.Module, convolution: nn.Module, groups: int) -> Tensor:
        """Apply batch norm, LeakyReLU and a convolution."""
        weight = cast(Tensor, convolution.weight)
        last = convolution is self.layers[-1]

        def run(x: Tensor) -> Tensor:
            y = torch.cat([norm(part) for part in x.chunk(groups)]) if norm.training and groups > 1 else norm(x)
            y = leaky_relu(y, _SLOPE, inplace=True)
            return _project(y, weight) if last else conv(y, weight)

        return recomputed(run, x, norm) if self.recompute and torch.is_grad_enabled() else run(x)


def _project(x: Tensor, weight: Tensor) -> Tensor:
    """Return the convolution of (B, C, 4, 4, 4) with one kernel as large, (B,): a product of vectors."""
    with torch.autocast(x.device.type, enabled=False) if x.device.type != "meta" else contextlib.nullcontext():
        return x.flatten(1).to(weight.dtype) @ weight.flatten()
