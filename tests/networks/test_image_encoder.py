from __future__ import annotations

import pytest
import torch
from torch import nn

from voxgan.networks import ImageEncoder


def test_layers_of_the_paper() -> None:
    with torch.device("meta"):
        network = ImageEncoder()
    found = [
        (c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], c.padding[0])
        for c in network.layers
        if isinstance(c, nn.Conv2d)
    ]
    assert found == [
        (3, 64, 11, 4, 5),
        (64, 128, 5, 2, 2),
        (128, 256, 5, 2, 2),
        (256, 512, 5, 2, 2),
        (512, 400, 8, 1, 0),
    ]
    block = [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]
    assert [type(layer) for layer in network.layers] == [*(4 * block), nn.Conv2d]
    assert all(c.kernel_size[0] == c.kernel_size[1] for c in network.layers if isinstance(c, nn.Conv2d))


def test_sides_of_the_paper() -> None:
    network = ImageEncoder(width=2, latent=3)
    x, sides = torch.rand(2, 3, 256, 256), []
    for layer in network.layers:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            sides.append(x.shape[-1])
    assert sides == [64, 32, 16, 8, 1]


@pytest.mark.parametrize("latent", [1, 7, 200])
def test_mean_and_log_variance_are_the_halves_of_the_last_layer(latent: int) -> None:
    network = ImageEncoder(width=2, latent=latent).eval()
    image = torch.rand(2, 3, 256, 256)
    with torch.no_grad():
        mean, log_variance = network(image)
        last = network.layers(image * 2 - 1).flatten(1)  # [0, 1] is shown as [−1, 1]
    assert mean.shape == log_variance.shape == (2, latent)
    assert torch.equal(mean, last[:, :latent]) and torch.equal(log_variance, last[:, latent:])
    assert not torch.equal(mean[0], mean[1])


def test_last_layer_scales_with_the_latent() -> None:
    wide, narrow = ImageEncoder(4, 200), ImageEncoder(4, 10)
    assert wide.layers[-1].out_channels == 400 and narrow.layers[-1].out_channels == 20
    assert wide.layers[-1].bias is not None  # the mean may lie anywhere
