from __future__ import annotations

import pytest
import torch

from voxgan.networks import Discriminator, ShapeEncoder


@pytest.mark.parametrize("resolution", [16, 32, 64])
def test_it_has_the_discriminators_convolutions(resolution: int) -> None:
    encoder, discriminator = (kind(resolution, 4) for kind in (ShapeEncoder, Discriminator))
    mine, theirs = (
        [p.shape for p in network.layers.parameters() if p.ndim == 5] for network in (encoder, discriminator)
    )
    assert mine == theirs[:-1]
    assert encoder.last.in_features == discriminator.num_features


def test_it_is_plain_convolutions_and_norms() -> None:
    torch.manual_seed(0)
    encoder = ShapeEncoder(16, 4, 7).eval()
    grids = torch.rand(3, 1, 16, 16, 16)
    first, second, norm = encoder.layers
    with torch.no_grad():
        x = torch.nn.functional.leaky_relu(first(grids), 0.2)
        x = torch.nn.functional.leaky_relu(norm(second(x)), 0.2)
        expected = encoder.last(x.flatten(1))
        mean, log_variance = encoder(grids)
    torch.testing.assert_close(torch.cat([mean, log_variance], dim=1), expected, atol=1e-5, rtol=1e-4)
    assert mean.shape == log_variance.shape == (3, 7)
