from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from voxgan.networks import Generator, forms
from voxgan.networks.generator import channels

LATENT = 200


def convolutions(network: nn.Module) -> list[nn.ConvTranspose3d]:
    return [layer for layer in network.modules() if isinstance(layer, nn.ConvTranspose3d)]


def small(resolution: int) -> Generator:
    return Generator(resolution, width=2 if resolution == 128 else 4)


def random_state(network: nn.Module) -> None:
    """Give batch norms statistics and scales that a mistake in the order of layers would show."""
    torch.manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.01, 0.1)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)


@pytest.fixture(scope="module")
def paper() -> Generator:
    with torch.device("meta"):
        return Generator()


def test_parameters_of_the_paper(paper: Generator) -> None:
    assert sum(p.numel() for p in paper.parameters()) == 17_569_664
    weights = sum(layer.weight.numel() for layer in convolutions(paper))
    assert weights == 17_567_744 and round(weights / 1e6, 2) == 17.57
    assert 17_569_664 - weights == 2 * (512 + 256 + 128 + 64)  # batch norms


def test_layers_of_the_paper(paper: Generator) -> None:
    found = [(c.in_channels, c.out_channels, c.kernel_size, c.stride, c.padding) for c in convolutions(paper)]
    plan = [(200, 512, 1, 0), (512, 256, 2, 1), (256, 128, 2, 1), (128, 64, 2, 1), (64, 1, 2, 1)]
    assert found == [(i, o, (4,) * 3, (s,) * 3, (p,) * 3) for i, o, s, p in plan]
    assert all(c.bias is None and c.output_padding == (0,) * 3 for c in convolutions(paper))
    kinds = [type(layer) for layer in paper.layers]
    block = [nn.BatchNorm3d, nn.ReLU, nn.ConvTranspose3d]
    assert kinds == [nn.ConvTranspose3d, *(4 * block)]
    assert [b.num_features for b in paper.modules() if isinstance(b, nn.BatchNorm3d)] == [512, 256, 128, 64]


@pytest.mark.parametrize("resolution", [16, 32, 64, 128])
def test_output(resolution: int) -> None:
    network = small(resolution).eval()
    with torch.no_grad():
        z = torch.rand(2, LATENT)
        occupancy, logits = network(z), network.logits(z)
    assert occupancy.shape == logits.shape == (2, 1, *(resolution,) * 3)
    assert 0 < occupancy.min() < occupancy.max() < 1
    assert torch.equal(occupancy, torch.sigmoid(logits))
    assert not torch.equal(occupancy[0], occupancy[1])


@pytest.mark.parametrize("resolution", [16, 32, 64, 128])
@pytest.mark.parametrize("training", [False, True])
def test_equals_its_layers_run_plainly(resolution: int, training: bool) -> None:
    network = small(resolution)
    random_state(network)
    z = torch.randn(2, LATENT)

    def run(plainly: bool) -> tuple[Tensor, dict[str, Tensor]]:
        copy = small(resolution).train(training)
        copy.load_state_dict(network.state_dict())
        with torch.no_grad():
            logits = copy.layers(z[:, :, None, None, None]) if plainly else copy.logits(z)
        return logits, copy.state_dict()

    (plain, plain_state), (fast, fast_state) = run(True), run(False)
    assert plain.std() > 0.05
    torch.testing.assert_close(fast, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fast_state, plain_state, atol=1e-5, rtol=1e-5)


def test_gradient_equals_that_of_its_layers() -> None:
    network = small(16).eval()
    random_state(network)
    z = torch.randn(2, LATENT)
    weights = list(network.parameters())
    fast = torch.autograd.grad(network(z).square().sum(), weights)
    plain = torch.autograd.grad(torch.sigmoid(network.layers(z[:, :, None, None, None])).square().sum(), weights)
    torch.testing.assert_close(fast, plain, atol=1e-4, rtol=1e-4)


def test_channels_follow_the_side() -> None:
    assert channels(64, 64) == [512, 256, 128, 64]
    assert channels(128, 2) == [16, 8, 4, 2, 1]
    assert channels(16, 4) == [32, 16]


@pytest.mark.parametrize("resolution", [0, 8, 20, 63, 256])
def test_refuses_resolution(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"resolution {resolution}: expected 16, 32, 64 or 128"):
        Generator(resolution, 4)


@pytest.mark.parametrize("width", [-2, 0, 1, 3])
def test_refuses_width(width: int) -> None:
    with pytest.raises(ValueError, match=f"width {width}: expected an even number"):
        Generator(16, width)


@pytest.mark.parametrize("bf16", [False, True])
def test_recomputation_changes_nothing(bf16: bool) -> None:
    network = small(32)
    random_state(network)
    z = torch.randn(3, LATENT)

    def trained(recompute: bool) -> list[Tensor]:
        other = copy.deepcopy(network)
        other.recompute = recompute
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            y = other(z)
        y.square().sum().backward()
        gradients = [p.grad for p in other.parameters() if p.grad is not None]
        assert len(gradients) == len(list(other.parameters()))
        return [y.detach(), *gradients, *other.buffers()]

    assert all(torch.equal(a, b) for a, b in zip(trained(True), trained(False), strict=True))


def test_gradients_in_bfloat16_are_near(monkeypatch: pytest.MonkeyPatch) -> None:
    network = small(32)
    random_state(network)
    z, weights = torch.randn(8, LATENT), list(network.parameters())
    plain = torch.autograd.grad(torch.sigmoid(network.layers(z[:, :, None, None, None])).square().sum(), weights)
    for many in (0, 2**62):
        monkeypatch.setattr(forms, "_MANY_WEIGHTS", many)
        with torch.autocast("cpu", torch.bfloat16):
            y = network(z)
        assert y.dtype == torch.float32
        for found, expected in zip(torch.autograd.grad(y.square().sum(), weights), plain, strict=True):
            assert found.dtype == torch.float32 and found.stride() == expected.stride()
            assert (found - expected).norm() < 0.15 * expected.norm()


def test_shapes_without_data() -> None:
    with torch.device("meta"):
        network = small(16)
        assert network(torch.rand(3, LATENT)).shape == (3, 1, 16, 16, 16)
