"""The volumetric generator of 3D-GAN (Wu et al. 2016, arXiv:1610.07584, §3.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from voxgan.networks.forms import conv_transpose, conv_transpose_by_blocks
from voxgan.networks.norms import he_initialise, make_norm
from voxgan.networks.recomputation import recomputed

__all__ = ["Generator", "channels"]


def channels(resolution: int, width: int) -> list[int]:
    """Return the channels of the hidden volumes from 4³ upwards: a volume of side s has 32·width/s of them.

    At width 64 and 64³ this is the paper's 512, 256, 128, 64.

    Raises
    ------
    ValueError
        If the resolution is not 16, 32, 64 or 128, or the width gives less than one channel.

    Examples
    --------
    >>> channels(64, 64), channels(16, 64), channels(128, 64)
    ([512, 256, 128, 64], [512, 256], [512, 256, 128, 64, 32])
    """
    if resolution not in (16, 32, 64, 128):
        raise ValueError(f"resolution {resolution}: expected 16, 32, 64 or 128")
    if width < 2 or width % 2:
        raise ValueError(f"width {width}: expected an even number from 2 up (the paper's is 64)")
    return [32 * width // side for side in (4, 8, 16, 32, 64) if side < resolution]


class Generator(nn.Module):
    """Latent → occupancy by volumetric transposed convolutions of kernel 4.

    The first maps 1³ to 4³ (stride 1); each other one doubles the side (stride 2, padding 1). Batch norm and ReLU
    stand between, a sigmoid at the end; no bias, no pooling, no linear layer. At 64³ and width 64 it has the
    paper's 17.57 M parameters.

    Parameters
    ----------
    resolution : {64, 16, 32, 128}
        Side R of the grid.
    width : int
        Channels of the last hidden volume at 64³; the paper's is 64.
    latent : int
        Numbers in z.
    norm : {"batch", "group", "pixel", "none"}
        What stands between; the paper's is batch norm. Weights are scaled to do without where there is none.

    Attributes
    ----------
    recompute : bool
        Compute activations again in the backward pass instead of keeping them: less memory, more time. Off by default.

    Examples
    --------
    >>> generator = Generator(resolution=16, width=4)
    >>> generator(torch.rand(2, 200)).shape
    torch.Size([2, 1, 16, 16, 16])
    """

    recompute: bool = False

    def __init__(self, resolution: int = 64, width: int = 64, latent: int = 200, norm: str = "batch") -> None:
        super().__init__()
        self.resolution, self.width, self.latent, self.norm = resolution, width, latent, norm
        hidden = channels(resolution, width)
        layers: list[nn.Module] = [nn.ConvTranspose3d(latent, hidden[0], 4, bias=False)]
        for fan_in, fan_out in zip(hidden, [*hidden[1:], 1], strict=True):
            layers += [make_norm(norm, fan_in), nn.ReLU()]
            layers += [nn.ConvTranspose3d(fan_in, fan_out, 4, stride=2, padding=1, bias=False)]
        self.layers = nn.Sequential(*layers)
        if norm == "none":
            he_initialise(self.layers)

    @property
    def first(self) -> nn.ConvTranspose3d:
        """The layer that latents go into."""
        return cast(nn.ConvTranspose3d, self.layers[0])

    def logits(self, z: Tensor) -> Tensor:
        """Return the log-odds of occupancy, (B, 1, R, R, R), for latents (B, L).

        Under autocast they are in single precision all the same.
        """
        first, *hidden = cast(Iterable[Any], self.layers)
        x: Tensor
        # A transposed convolution of a single cell is a matrix product. It reads each weight once for the whole
        # batch: nothing is gained in a smaller type that the weights would have to be copied to.
        with torch.autocast(z.device.type, enabled=False) if z.device.type == "cpu" else contextlib.nullcontext():
            x = (z.to(first.weight.dtype) @ first.weight.flatten(1)).reshape(len(z), -1, 4, 4, 4)
        x = x.contiguous(memory_format=torch.channels_last_3d)
        for norm, convolution in zip(hidden[::3], hidden[2::3], strict=True):
            x = self._block(x, norm, convolution)
        return x

    def _block(self, x: Tensor, norm: nn.Module, convolution: nn.Module) -> Tensor:
        """Apply batch norm, ReLU and a transposed convolution."""
        grow = conv_transpose_by_blocks if convolution is self.layers[-1] else conv_transpose
        weight = cast(Tensor, convolution.weight)

        def run(x: Tensor) -> Tensor:
            y = norm(x)
            return grow(relu(y, inplace=y is not x), weight)  # a norm that does nothing hands on what others need

        return recomputed(run, x, norm) if self.recompute and torch.is_grad_enabled() else run(x)

    def forward(self, z: Tensor) -> Tensor:
        """Return occupancy in (0, 1), (B, 1, R, R, R), for latents (B, L)."""
        return torch.sigmoid(self.logits(z))
