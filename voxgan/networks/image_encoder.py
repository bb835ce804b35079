"""The 2-D image encoder of 3D-VAE-GAN (Wu et al. 2016, arXiv:1610.07584, §3.3 and supplement)."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

__all__ = ["ImageEncoder"]


class ImageEncoder(nn.Module):
    """Photo → mean and log-variance of a Gaussian over latents.

    Five convolutions of kernels 11, 5, 5, 5, 8, strides 4, 2, 2, 2, 1, paddings 5, 2, 2, 2, 0, with batch norm and
    ReLU between. Channels at width 64: 64, 128, 256, 512, 2·L.

    Parameters
    ----------
    width : int
        Channels of the first convolution; the paper's is 64.
    latent : int
        Numbers L in z.

    Examples
    --------
    >>> import torch
    >>> mean, log_variance = ImageEncoder(width=4)(torch.rand(2, 3, 256, 256))
    >>> mean.shape, log_variance.shape
    (torch.Size([2, 200]), torch.Size([2, 200]))
    """

    image_size = 256

    def __init__(self, width: int = 64, latent: int = 200) -> None:
        super().__init__()
        self.width, self.latent = width, latent
        plan = [(11, 4, 5, width), (5, 2, 2, 2 * width), (5, 2, 2, 4 * width), (5, 2, 2, 8 * width)]
        layers: list[nn.Module] = []
        fan_in = 3
        for kernel, stride, padding, fan_out in plan:
            layers += [nn.Conv2d(fan_in, fan_out, kernel, stride, padding, bias=False)]
            layers += [nn.BatchNorm2d(fan_out), nn.ReLU()]
            fan_in = fan_out
        layers += [nn.Conv2d(fan_in, 2 * latent, 8)]
        self.layers = nn.Sequential(*layers)

    @property
    def last(self) -> nn.Conv2d:
        """The layer that gives means and log-variances."""
        return cast(nn.Conv2d, self.layers[-1])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance, each (B, L), for RGB images (B, 3, 256, 256) in [0, 1]."""
        mean, log_variance = self.layers(image * 2 - 1).flatten(1).chunk(2, dim=1)
        return mean, log_variance
