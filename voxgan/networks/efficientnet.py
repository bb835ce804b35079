"""A stronger image encoder: EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946), without squeeze and swish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["EfficientNetEncoder"]

# Expansion, kernel, stride, channels at width 32, repeats: arXiv:1905.11946, table 1
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_WIDTH = 32  # of the published network's first convolution
_EPSILON = 1e-3  # of batch norm, as the published weights were trained
_SQUEEZED, _HIDDEN = 128, 512


def _padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad so that the output has ⌈side / stride⌉ cells; what is odd goes below and to the right."""
    if kernel == 1:
        return x
    down, across = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:])
    return functional.pad(x, [across // 2, across - across // 2, down // 2, down - down // 2])


class _Convolution(nn.Module):
    """Convolution, batch norm and, unless it is the last of its block, ReLU6."""

    def __init__(
        self, fan_in: int, fan_out: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__()
        self.kernel, self.stride, self.active = kernel, stride, active
        self.convolution = nn.Conv2d(fan_in, fan_out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(fan_out, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.convolution(_padded(x, self.kernel, self.stride)))
        return functional.relu6(y) if self.active else y


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow (Sandler et al. 2018, arXiv:1801.04381)."""

    def __init__(self, fan_in: int, fan_out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = fan_in * expansion
        widen = [_Convolution(fan_in, hidden)] if expansion > 1 else []
        filters = _Convolution(hidden, hidden, kernel, stride, hidden)
        self.layers = nn.Sequential(*widen, filters, _Convolution(hidden, fan_out, active=False))
        self.residual = stride == 1 and fan_in == fan_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.residual else y


class EfficientNetEncoder(nn.Module):
    """Photo → mean and log-variance of a Gaussian over latents, by EfficientNet-Lite0 and two linear layers.

    The network up to its last volume, (320, 4, 4) at width 32, has 3.4 M parameters. A 1 × 1 convolution to 128
    channels and a hidden layer of 512 numbers keep where in the picture something was seen, which pooling would not.

    Parameters
    ----------
    width : int
        Channels of the first convolution; the published network's is 32. All others are scaled with it.
    latent : int
        Numbers L in z.

    Attributes
    ----------
    keep_statistics : bool
        Leave batch norm's statistics as they are while the rest is trained: what real photos have taught stays. The
        hidden layers learn theirs all the same.
    frozen : int
        So many of the backbone's 17 layers, from the picture on, are not trained, and cost a forward pass only.

    Examples
    --------
    >>> mean, log_variance = EfficientNetEncoder(width=8)(torch.rand(2, 3, 128, 128))
    >>> mean.shape, log_variance.shape
    (torch.Size([2, 200]), torch.Size([2, 200]))
    """

    image_size = 128
    keep_statistics = False
    frozen = 0

    def __init__(self, width: int = _WIDTH, latent: int = 200) -> None:
        super().__init__()
        self.width, self.latent = width, latent
        last = self._channels(32)
        layers: list[nn.Module] = [_Convolution(3, last, 3, 2)]
        for expansion, kernel, stride, channels, repeats in _STAGES:
            for place in range(repeats):
                layers.append(_Block(last, self._channels(channels), expansion, kernel, stride if place == 0 else 1))
                last = self._channels(channels)
        self.backbone = nn.Sequential(*layers)
        self.squeeze = nn.Sequential(nn.Conv2d(last, _SQUEEZED, 1, bias=False), nn.BatchNorm2d(_SQUEEZED), nn.ReLU())
        self.hidden = nn.Sequential(
            nn.Linear(_SQUEEZED * (self.image_size // 32) ** 2, _HIDDEN, bias=False),
            nn.BatchNorm1d(_HIDDEN),
            nn.ReLU(),
        )
        self.last = nn.Linear(_HIDDEN, 2 * latent)

    def _channels(self, published: int) -> int:
        """Return a number of channels at this width, a multiple of 4."""
        return max(4, round(published * self.width / _WIDTH / 4) * 4)

    def train(self, mode: bool = True) -> Self:
        """Go into training mode or leave it; with `keep_statistics`, the backbone's norms stay out of it."""
        super().train(mode)
        if mode and self.keep_statistics:
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def load_imagenet(self, weights: Mapping[str, Any]) -> None:
        """Take over the backbone of weights that were trained on ImageNet, and keep their statistics.

        Parameters
        ----------
        weights : mapping of str to Tensor
            Of an EfficientNet-Lite0, in the order of its layers, whatever their names: as `voxgan.imagenet` reads it.

        Raises
        ------
        ValueError
            If they are of another network, or this one has another width.
        """
        mine = self.backbone.state_dict()
        given = list(weights.values())[: len(mine)]
        shapes = [tuple(tensor.shape) for tensor in mine.values()]
        if [tuple(tensor.shape) for tensor in given] != shapes:
            raise ValueError(f"these weights are not those of an EfficientNet-Lite0 of width {self.width}; expected 32")
        self.backbone.load_state_dict(dict(zip(mine, given, strict=True)))
        self.keep_statistics = True

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance, each (B, L), for RGB images (B, 3, 128, 128) in [0, 1]."""
        x = (image * 2 - 1).contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            x = self.backbone[: self.frozen](x)
        seen = self.squeeze(self.backbone[self.frozen :](x)).contiguous().flatten(1)
        mean, log_variance = self.last(self.hidden(seen)).chunk(2, dim=1)
        return mean, log_variance
