"""The volumetric discriminator of 3D-GAN (Wu et al. 2016, arXiv:1610.07584, §3.1)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from voxgan.networks.forms import conv, conv_by_blocks
from voxgan.networks.generator import channels
from voxgan.networks.heads import SLOPE, Judge
from voxgan.networks.norms import he_initialise, make_norm
from voxgan.networks.recomputation import recomputed

__all__ = ["Discriminator"]

_AT_ONCE = 16  # shapes whose first volume is computed again at once


class Discriminator(Judge):
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
    norm : {"batch", "group", "pixel", "none"}
        What stands between; the paper's is batch norm. Weights are scaled to do without where there is none.
    classes, condition
        As for `voxgan.networks.heads.Judge`.

    Examples
    --------
    >>> Discriminator(resolution=16, width=4, pack=2)(torch.rand(3, 2, 16, 16, 16)).shape
    torch.Size([3])
    """

    def __init__(
        self,
        resolution: int = 64,
        width: int = 64,
        pack: int = 1,
        norm: str = "batch",
        classes: int = 0,
        condition: str = "none",
    ) -> None:
        hidden = channels(resolution, width)[::-1]
        super().__init__(hidden[-1], pack, classes, condition)
        self.resolution, self.width, self.norm = resolution, width, norm
        layers: list[nn.Module] = [
            nn.Conv3d(pack, hidden[0], 4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(SLOPE),
        ]
        for fan_in, fan_out in itertools.pairwise(hidden):
            layers += [nn.Conv3d(fan_in, fan_out, 4, stride=2, padding=1, bias=False)]
            layers += [make_norm(norm, fan_out), nn.LeakyReLU(SLOPE)]
        layers += [nn.Conv3d(hidden[-1], 1, 4, bias=False)]
        self.layers = nn.Sequential(*layers)
        if norm == "none":
            he_initialise(self.layers, slope=SLOPE)

    def features(self, occupancy: Tensor, groups: int = 1) -> Tensor:
        """Return the last volume after its activation, float32 (B, C·64), for packs of shapes (B, M, R, R, R).

        Parameters
        ----------
        occupancy : Tensor, (B, M, R, R, R)
        groups : int
            Equal parts of the batch, one after the other, each with batch statistics of its own; running statistics
            see one after the other. Features and gradients are those of that many calls, which take longer.

        Raises
        ------
        ValueError
            If the batch cannot be divided into equal groups.
        """
        self._check_groups(occupancy, groups)
        first, _, second, *rest, _ = cast(Iterable[Any], self.layers)
        # Each weight is asked for once: spectral norm takes a step of its power iteration whenever it is.
        weights = first.weight, second.weight

        def stem(x: Tensor) -> Tensor:
            return conv(leaky_relu(conv_by_blocks(x, weights[0]), SLOPE, inplace=True), weights[1])

        if self.recompute and torch.is_grad_enabled():
            # No batch norm binds these shapes together, so that the largest volume need never be there for all.
            x = torch.cat([recomputed(stem, part) for part in torch.split(occupancy, _AT_ONCE)])
        else:
            x = stem(occupancy)
        for norm, convolution in zip(rest[::3], [*rest[2::3], None], strict=True):
            x = self._block(x, norm, convolution, groups)
        return x.flatten(1).to(torch.promote_types(x.dtype, torch.float32))

    def volumes(self, occupancy: Tensor) -> list[Tensor]:
        """Return the hidden volumes after their activations, (B, C, S, S, S) each, from the largest to 4³."""
        first, _, second, *rest, _ = cast(Iterable[Any], self.layers)
        found = [leaky_relu(conv_by_blocks(occupancy, first.weight), SLOPE)]
        x = conv(found[0], second.weight)
        for norm, convolution in zip(rest[::3], [*rest[2::3], None], strict=True):
            found.append(self._activated(x, norm, 1))
            x = found[-1] if convolution is None else conv(found[-1], convolution.weight)
        return found

    def _block(self, x: Tensor, norm: nn.Module, convolution: nn.Module | None, groups: int) -> Tensor:
        """Apply the norm, LeakyReLU and a convolution, where one follows."""
        weight = None if convolution is None else cast(Tensor, convolution.weight)

        def run(x: Tensor) -> Tensor:
            y = self._activated(x, norm, groups)
            return y if weight is None else conv(y, weight)

        return recomputed(run, x, norm) if self.recompute and torch.is_grad_enabled() else run(x)

    def logits(self, features: Tensor) -> Tensor:
        """Return the logit of being real, (B,): the last convolution, whose kernel is as large as the volume."""
        weight = cast(nn.Conv3d, self.layers[-1]).weight
        return features.to(weight.dtype) @ weight.flatten()
