from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from voxgan.networks import Discriminator, ResidualDiscriminator
from voxgan.networks.heads import CONDITIONS, Judge
from voxgan.networks.spectral_norm import spectrally_normalised

LABELS = torch.tensor([[0, 1], [1, 2], [2, 0], [1, 1]])
BOTH = pytest.mark.parametrize("kind", [Discriminator, ResidualDiscriminator])
EVERY = pytest.mark.parametrize("condition", CONDITIONS)


def judge_of(kind: type[Judge], condition: str = "none", norm: str = "none", seed: int = 0) -> Judge:
    torch.manual_seed(seed)
    network = kind(16, 4, pack=2, norm=norm, classes=0 if condition == "none" else 3, condition=condition)
    return spectrally_normalised(network)


def occupancy() -> Tensor:
    torch.manual_seed(1)
    return torch.rand(4, 2, 16, 16, 16)


def layers(network: nn.Module) -> list[nn.Module]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv3d | nn.Linear)]


def moved(network: Judge) -> None:
    """Give the layers scales of their own, and vectors u and v that know nothing of them."""
    torch.manual_seed(2)
    with torch.no_grad():
        for number, layer in enumerate(layers(network)):
            layer.parametrizations.weight.original.mul_(3.0 ** (number % 5 - 2))
        for vector in network.buffers():
            if vector.ndim == 1:
                vector.copy_(nn.functional.normalize(torch.randn_like(vector), dim=0))


@BOTH
@EVERY
@pytest.mark.parametrize("norm", ["none", "group"])
def test_the_largest_singular_value_of_every_layer_becomes_one(kind: type[Judge], condition: str, norm: str) -> None:
    network, x = judge_of(kind, condition, norm), occupancy()
    moved(network)

    def largest() -> list[float]:
        with torch.no_grad():
            return [float(torch.linalg.matrix_norm(layer.weight.flatten(1), 2)) for layer in layers(network.eval())]

    assert max(largest()) > 1.5
    network.train()
    with torch.no_grad():
        for _ in range(100):
            network.judge(x, labels=LABELS)
    for value in largest():
        assert 1 - 1e-4 < value < 1.02
    for layer in layers(network):
        # It is the weight that is divided, and by one number: the layer's direction stays.
        original = layer.parametrizations.weight.original
        ratio = original / layer.weight
        torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-3, atol=0)


@BOTH
@EVERY
def test_every_layer_takes_one_step_a_pass_and_none_in_evaluation(kind: type[Judge], condition: str) -> None:
    network, x = judge_of(kind, condition), occupancy()
    moved(network)
    parts = [layer.parametrizations.weight[0] for layer in layers(network)]
    expected = []
    for layer, part in zip(layers(network), parts, strict=True):
        matrix = layer.parametrizations.weight.original.detach().flatten(1)
        u = nn.functional.normalize(matrix @ part._v, dim=0)
        expected.append((u, nn.functional.normalize(matrix.T @ u, dim=0)))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.eval().judge(x, labels=LABELS)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    network.train().judge(x, groups=2, labels=LABELS)
    for part, (u, v) in zip(parts, expected, strict=True):
        torch.testing.assert_close(part._u, u)
        torch.testing.assert_close(part._v, v)


@BOTH
@EVERY
@pytest.mark.parametrize("norm", ["none", "group"])
def test_recomputation_changes_nothing(kind: type[Judge], condition: str, norm: str) -> None:
    network, x = judge_of(kind, condition, norm).double(), occupancy().double()
    moved(network)

    def trained(recompute: bool) -> list[Tensor]:
        other, points = copy.deepcopy(network), x.clone().requires_grad_(True)
        other.recompute = recompute
        logits, named = other.judge(points, groups=2, labels=LABELS)
        (slope,) = torch.autograd.grad(logits.sum(), points, create_graph=True)
        total = logits.square().sum() + slope.square().sum()
        if named is not None:
            total = total + named.square().sum()
        total.backward()
        gradients = [p.grad for p in other.parameters()]
        assert all(g is not None for g in gradients)
        return [logits.detach(), slope.detach(), *gradients, *other.buffers()]

    kept, again = trained(False), trained(True)
    assert not torch.equal(kept[-1], list(network.buffers())[-1])  # u and v have moved
    for found, expected in zip(again, kept, strict=True):
        torch.testing.assert_close(found, expected)


@BOTH
@EVERY
@pytest.mark.parametrize("assign", [False, True])
def test_a_state_comes_back(kind: type[Judge], condition: str, assign: bool) -> None:
    network, x = judge_of(kind, condition), occupancy()
    moved(network)
    network.judge(x, labels=LABELS)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    assert sum(key.endswith("parametrizations.weight.original") for key in state) == len(layers(network))
    with torch.device("meta" if assign else "cpu"):
        other = judge_of(kind, condition, seed=3)
    other.load_state_dict(state, assign=assign)
    assert all(value.device.type == "cpu" for value in other.state_dict().values())
    assert {p.requires_grad for p in other.parameters()} == {True}
    for training in (True, False):  # and goes on as it would have
        for _ in range(2):
            expected = network.train(training).judge(x, labels=LABELS)
            found = other.train(training).judge(x, labels=LABELS)
            assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(other.state_dict(), network.state_dict(), rtol=0, atol=0)


@BOTH
@EVERY
def test_a_copy_is_the_same_and_its_own(kind: type[Judge], condition: str) -> None:
    network, x = judge_of(kind, condition), occupancy()
    moved(network)
    network(x, labels=LABELS).sum().backward()
    other = copy.deepcopy(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert torch.equal(other.eval()(x, labels=LABELS), copy.deepcopy(network).eval()(x, labels=LABELS))
    other.train()(x, labels=LABELS).sum().backward()
    with torch.no_grad():
        for p in other.parameters():
            p.add_(1)
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    shared = {value.data_ptr() for value in other.state_dict().values()}
    assert not shared & {value.data_ptr() for value in network.state_dict().values()}
