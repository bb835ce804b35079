from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from voxgan.networks import Discriminator, discriminator


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


@pytest.fixture
def network() -> Discriminator:
    torch.manual_seed(0)
    return Discriminator(32, width=4)


def trained(network: Discriminator, occupancy: torch.Tensor, groups: int, plainly: bool = False) -> list[torch.Tensor]:
    """Logits, gradients and buffers after one pass, or one a group through the bare layers."""
    network = copy.deepcopy(network)
    occupancy = occupancy.clone().requires_grad_(True)
    if plainly:
        logits = torch.cat([network.layers(part).flatten() for part in occupancy.chunk(groups)])
    else:
        logits = network(occupancy, groups=groups)
    torch.nn.functional.softplus(logits * torch.linspace(-1, 1, len(logits))).sum().backward()
    assert occupancy.grad is not None
    gradients = [occupancy.grad, *(p.grad for p in network.parameters() if p.grad is not None)]
    assert len(gradients) == 1 + len(list(network.parameters()))
    return [logits.detach(), *gradients, *network.buffers()]


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_groups_are_as_many_passes(network: Discriminator, groups: int) -> None:
    occupancy = torch.rand(6, 1, 32, 32, 32)
    occupancy[3:] *= 0.1  # other statistics
    fast, plain = trained(network, occupancy, groups), trained(network, occupancy, groups, plainly=True)
    for found, expected in zip(fast, plain, strict=True):
        assert (found - expected).double().norm() <= 1e-4 * expected.double().norm()
    assert int(fast[-1]) == groups  # batches tracked
    together = trained(network, occupancy, 1)
    assert groups == 1 or (fast[0] - together[0]).abs().max() > 1e-3


def test_groups_do_not_matter_in_evaluation(network: Discriminator) -> None:
    occupancy = torch.rand(4, 1, 32, 32, 32)
    with torch.no_grad():
        assert torch.equal(network.eval()(occupancy, groups=2), network(occupancy))


@pytest.mark.parametrize("groups", [0, 3])
def test_refuses_groups(network: Discriminator, groups: int) -> None:
    with pytest.raises(ValueError, match=f"{groups} groups in a batch of 4"):
        network(torch.rand(4, 1, 32, 32, 32), groups=groups)


@pytest.mark.parametrize("bf16", [False, True])
def test_recomputation_changes_nothing(network: Discriminator, bf16: bool) -> None:
    occupancy = torch.rand(4, 1, 32, 32, 32)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        kept = trained(network, occupancy, 2)
        network.recompute = True
        again = trained(network, occupancy, 2)
    assert all(torch.equal(a, b) for a, b in zip(again, kept, strict=True))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("bf16", [False, True])
def test_gradient_penalty(network: Discriminator, recompute: bool, bf16: bool) -> None:
    """WGAN-GP derives the gradient of the logits once more."""
    occupancy = torch.rand(4, 1, 32, 32, 32, requires_grad=True)

    def found(plainly: bool) -> list[torch.Tensor]:
        other = copy.deepcopy(network)
        other.recompute = recompute
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16 and not plainly):
            logits = other.layers(occupancy).flatten() if plainly else other(occupancy)
        (slope,) = torch.autograd.grad(logits.sum(), occupancy, create_graph=True)
        (slope.flatten(1).norm(dim=1) - 1).square().mean().backward()
        return [slope.detach(), *(p.grad for p in other.parameters() if p.grad is not None)]

    for value, expected in zip(found(False), found(True), strict=True):
        assert (value - expected).norm() <= (0.15 if bf16 else 1e-4) * expected.norm() + 1e-7


def test_logits_are_in_single_precision_under_autocast(network: Discriminator) -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert network(torch.rand(2, 1, 32, 32, 32)).dtype == torch.float32


def test_recomputation_keeps_less(network: Discriminator) -> None:
    def kept() -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            logits = network(occupancy)
        logits.sum().backward()
        return sum(sizes.values())

    occupancy = torch.rand(2, 1, 32, 32, 32)
    usual = kept()
    network.recompute = True
    assert kept() < usual


def test_recomputation_in_portions_is_the_same_to_rounding(
    network: Discriminator, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupancy = torch.rand(6, 1, 32, 32, 32)
    kept = trained(network, occupancy, 2)
    network.recompute = True
    monkeypatch.setattr(discriminator, "_AT_ONCE", 4)
    for found, expected in zip(trained(network, occupancy, 2), kept, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
