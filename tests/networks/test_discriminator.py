from __future__ import annotations

import pytest
import torch
from torch import nn

from voxgan.networks import Discriminator


def convolutions(network: nn.Module) -> list[nn.Conv3d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv3d)]


@pytest.fixture(scope="module")
def paper() -> Discriminator:
    with torch.device("meta"):
        return Discriminator()


def test_parameters_of_the_paper(paper: Discriminator) -> None:
    assert sum(p.numel() for p in paper.parameters()) == 11_048_704
    weights = sum(layer.weight.numel() for layer in convolutions(paper))
    assert weights == 11_046_912 and round(weights / 1e6, 2) == 11.05
    assert 11_048_704 - weights == 2 * (128 + 256 + 512)  # batch norms


def test_layers_of_the_paper(paper: Discriminator) -> None:
    found = [(c.in_channels, c.out_channels, c.kernel_size, c.stride, c.padding) for c in convolutions(paper)]
    plan = [(1, 64, 2, 1), (64, 128, 2, 1), (128, 256, 2, 1), (256, 512, 2, 1), (512, 1, 1, 0)]
    assert found == [(i, o, (4,) * 3, (s,) * 3, (p,) * 3) for i, o, s, p in plan]
    assert all(c.bias is None for c in convolutions(paper))
    block = [nn.Conv3d, nn.BatchNorm3d, nn.LeakyReLU]
    assert [type(layer) for layer in paper.layers] == [nn.Conv3d, nn.LeakyReLU, *(3 * block), nn.Conv3d]
    assert {r.negative_slope for r in paper.modules() if isinstance(r, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("resolution", [16, 32, 64, 128])
@pytest.mark.parametrize("pack", [1, 2])
def test_one_logit_a_pack_and_equal_to_its_layers(resolution: int, pack: int) -> None:
    torch.manual_seed(0)
    network = Discriminator(resolution, width=2 if resolution == 128 else 4, pack=pack)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    occupancy = torch.rand(2, pack, *(resolution,) * 3)
    with torch.no_grad():
        fast = network(occupancy)
        network.load_state_dict(state)
        plain = network.layers(occupancy).flatten()
    assert fast.shape == (2,) and fast.min() < fast.max()
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)


def test_packing_widens_the_first_layer_only() -> None:
    one, three = (convolutions(Discriminator(16, 4, pack=m)) for m in (1, 3))
    assert (one[0].in_channels, three[0].in_channels) == (1, 3)
    assert [c.weight.shape for c in one[1:]] == [c.weight.shape for c in three[1:]]


def test_every_shape_of_a_pack_counts() -> None:
    network = Discriminator(16, 4, pack=3).eval()
    occupancy = torch.rand(1, 3, 16, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(occupancy).sum(), occupancy)
    assert (gradient.abs().sum(dim=(2, 3, 4)) > 0).all()


@pytest.mark.parametrize(("resolution", "width"), [(15, 4), (256, 4), (16, 0), (16, 5)])
def test_refuses(resolution: int, width: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        Discriminator(resolution, width)
