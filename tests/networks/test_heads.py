from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, conv3d, leaky_relu, one_hot

from voxgan.adversarial.penalties import gradient_penalty
from voxgan.networks import Discriminator, ResidualDiscriminator
from voxgan.networks.heads import CONDITIONS, Judge

K, M, B = 3, 2, 4  # classes, shapes in a pack, packs
LABELS = torch.tensor([[0, 1], [1, 0], [2, 2], [0, 1]])

BOTH = pytest.mark.parametrize("kind", [Discriminator, ResidualDiscriminator])
CONDITIONED = pytest.mark.parametrize("condition", CONDITIONS[1:])
TOLD = pytest.mark.parametrize("condition", ["projection", "concatenation"])


def judge_of(kind: type[Judge], condition: str = "none", norm: str = "none", **options: Any) -> Judge:
    torch.manual_seed(0)
    classes = 0 if condition == "none" else K
    return kind(16, 4, pack=M, norm=norm, classes=classes, condition=condition, **options).double()


def occupancy(count: int = B, **options: Any) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(count, M, 16, 16, 16, dtype=torch.float64, **options)


def plain_features(network: Judge, x: Tensor) -> Tensor:
    """The last volume, (B, C, 4, 4, 4), layer by layer."""
    if isinstance(network, Discriminator):
        return network.layers[:-1](x)
    x = avg_pool3d(network.first(x), 2)
    for block in network.blocks:
        y = block.first(leaky_relu(block.first_norm(x), 0.2))
        x = avg_pool3d(block.second(leaky_relu(block.second_norm(y), 0.2)), 2) + block.skip(avg_pool3d(x, 2))
    return leaky_relu(network.last_norm(x), 0.2)


def plain_logits(network: Judge, volume: Tensor) -> Tensor:
    """The logit of a volume, (B,)."""
    if isinstance(network, Discriminator):
        return network.layers[-1](volume).flatten()
    return network.last(volume.flatten(1)).flatten()


# What each condition says.


@BOTH
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_without_a_condition_it_is_its_layers(kind: type[Judge], norm: str) -> None:
    network, x = judge_of(kind, norm=norm), occupancy()
    plain = copy.deepcopy(network)
    expected = plain_logits(plain, plain_features(plain, x))
    logits, named = network.judge(x)
    assert named is None and logits.shape == (B,) and float(logits.detach().std()) > 1e-3
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(network.eval()(x), plain_logits(plain.eval(), plain_features(plain, x)))
    # A class that is said to a network without a condition is not heard.
    assert torch.equal(network(x, labels=LABELS), network(x))


@BOTH
@CONDITIONED
def test_a_condition_only_adds_weights(kind: type[Judge], condition: str) -> None:
    bare, network = judge_of(kind), judge_of(kind, condition)
    own = {"projection": {"projection.weight"}, "concatenation": {"mixing.weight", "mixing.bias"}}
    added = own.get(condition, {"auxiliary.weight", "auxiliary.bias"})
    assert network.state_dict().keys() - bare.state_dict().keys() == added
    assert bare.state_dict().keys() <= network.state_dict().keys()


@BOTH
def test_projection_adds_the_product_with_the_vector_of_each_class(kind: type[Judge]) -> None:
    network, x = judge_of(kind, "projection"), occupancy()
    volume = plain_features(network, x)
    V = network.projection.weight.reshape(-1, M, K)  # one vector for each place and class
    expected = plain_logits(network, volume)
    for pack, labels in enumerate(LABELS.tolist()):
        for place, label in enumerate(labels):
            expected[pack] += V[:, place, label] @ volume[pack].flatten()
    torch.testing.assert_close(network(x, labels=LABELS), expected)
    assert (expected - plain_logits(network, volume)).abs().min() > 1e-4


@BOTH
def test_concatenation_is_a_convolution_on_features_and_maps_of_the_class(kind: type[Judge]) -> None:
    network, x = judge_of(kind, "concatenation"), occupancy()
    volume = plain_features(network, x)
    maps = torch.zeros(B, M * K, 4, 4, 4, dtype=x.dtype)
    for pack, labels in enumerate(LABELS.tolist()):
        for place, label in enumerate(labels):
            maps[pack, place * K + label] = 1
    weight, bias = network.mixing.weight[:, :, None, None, None], network.mixing.bias
    mixed = leaky_relu(conv3d(torch.cat([volume, maps], dim=1), weight, bias), 0.2)
    torch.testing.assert_close(network(x, labels=LABELS), plain_logits(network, mixed))


@BOTH
def test_auxiliary_says_the_class_of_every_shape_and_leaves_the_logit_alone(kind: type[Judge]) -> None:
    network, x = judge_of(kind, "auxiliary"), occupancy()
    logits, named = network.judge(x)
    assert named is not None and named.shape == (B, M, K)
    volume = plain_features(network, x)
    torch.testing.assert_close(logits, plain_logits(network, volume))
    expected = volume.flatten(1) @ network.auxiliary.weight.T + network.auxiliary.bias
    torch.testing.assert_close(named[:, 1, 2], expected[:, 1 * K + 2])
    torch.testing.assert_close(named, expected.reshape(B, M, K))
    assert torch.equal(network(x), logits)


@BOTH
@TOLD
def test_the_same_pack_is_judged_otherwise_as_another_class(kind: type[Judge], condition: str) -> None:
    network, x = judge_of(kind, condition), occupancy(1)
    every = torch.cartesian_prod(torch.arange(K), torch.arange(K))
    logits = network(x.expand(len(every), -1, -1, -1, -1), labels=every).detach()
    # Nine different answers: (0, 1) is another one than (1, 0), which holds the same classes in other places.
    differences = (logits[:, None] - logits)[~torch.eye(len(every), dtype=torch.bool)]
    assert differences.abs().min() > 1e-5


@BOTH
@CONDITIONED
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_groups_are_as_many_passes(kind: type[Judge], condition: str, norm: str) -> None:
    network, x = judge_of(kind, condition, norm), occupancy()
    plain = copy.deepcopy(network)
    together = network.judge(x, groups=2, labels=LABELS)
    apart = [plain.judge(x[part], labels=LABELS[part]) for part in (slice(0, 2), slice(2, 4))]
    for found, parts in zip(together, zip(*apart, strict=True), strict=True):
        if found is not None:
            torch.testing.assert_close(found, torch.cat(parts))
    torch.testing.assert_close(network.state_dict(), plain.state_dict())


# What is refused.


@BOTH
@pytest.mark.parametrize(
    ("condition", "classes", "says"),
    [
        ("label", 3, "condition 'label': expected one of none, projection, concatenation, auxiliary"),
        ("none", 3, "condition 'none' with 3 classes: expected both, or neither"),
        ("projection", 0, "condition 'projection' with 0 classes"),
        ("concatenation", 0, "condition 'concatenation' with 0 classes"),
        ("auxiliary", 0, "condition 'auxiliary' with 0 classes"),
    ],
)
def test_refuses(kind: type[Judge], condition: str, classes: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        kind(16, 4, classes=classes, condition=condition)


@BOTH
@TOLD
@pytest.mark.parametrize("shape", [None, (B,), (B, M + 1), (B + 1, M), (B * M,), (B, M, 1)])
def test_refuses_labels(kind: type[Judge], condition: str, shape: tuple[int, ...] | None) -> None:
    labels = None if shape is None else torch.zeros(shape, dtype=torch.long)
    with pytest.raises(ValueError, match=r"labels .*: expected the class of every shape, \(4, 2\)"):
        judge_of(kind, condition)(occupancy(), labels=labels)


# Gradients.


@BOTH
@CONDITIONED
@pytest.mark.parametrize("norm", ["none", "group"])
@pytest.mark.parametrize("recompute", [False, True])
def test_a_penalty_can_be_derived_by_the_weights(kind: type[Judge], condition: str, norm: str, recompute: bool) -> None:
    network, x = judge_of(kind, condition, norm), occupancy(requires_grad=True)
    network.recompute = recompute
    for p in network.parameters():  # a penalty of 1 − 0 would not depend on small slopes
        p.data.mul_(1.5)

    def penalty() -> Tensor:
        return gradient_penalty(network(x, labels=LABELS), x)

    weights = dict(network.named_parameters())
    found = dict(zip(weights, torch.autograd.grad(penalty(), list(weights.values()), allow_unused=True), strict=True))
    # All that multiplies what the logit depends on has a share in its slope; what only says the class has none.
    for name, weight in weights.items():
        if name.startswith("auxiliary"):
            assert found[name] is None
        elif weight.ndim > 1:
            assert found[name] is not None and float(found[name].norm()) > 1e-6, name
    if condition == "projection":
        shown = one_hot(LABELS, K).sum(0).flatten() > 0
        assert torch.equal(found["projection.weight"].norm(dim=0) > 0, shown)
    # Along a line through all weights at once, the gradient is what the penalty changes by.
    torch.manual_seed(2)
    way = {name: torch.randn_like(weight) for name, weight in weights.items()}
    expected = sum(float((way[name] * slope).sum()) for name, slope in found.items() if slope is not None)
    values, step = [], 1e-7
    for sign in (1, -2):  # forth, and back to the other side
        with torch.no_grad():
            for name, weight in weights.items():
                weight += sign * step * way[name]
        values.append(penalty().item())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(expected, rel=1e-4)
    assert abs(expected) > 1e-3


@BOTH
@CONDITIONED
def test_answers_are_in_single_precision_under_autocast(kind: type[Judge], condition: str) -> None:
    network, x = judge_of(kind, condition).float(), occupancy().float()
    plainly = network.judge(x, labels=LABELS)
    with torch.autocast("cpu", torch.bfloat16):
        answers = network.judge(x, labels=LABELS)
    for found, expected in zip(answers, plainly, strict=True):
        assert (found is None) == (expected is None)
        if found is not None and expected is not None:
            assert found.dtype == torch.float32
            assert (found - expected).norm() <= 0.05 * expected.norm()
            assert not torch.equal(found, expected)  # the volumes were in bfloat16


@BOTH
@CONDITIONED
def test_every_weight_learns(kind: type[Judge], condition: str) -> None:
    network = judge_of(kind, condition, "batch")
    logits, named = network.judge(occupancy(), labels=LABELS)
    loss = logits.square().sum()
    if named is not None:
        loss = loss + nn.functional.cross_entropy(named.flatten(0, 1), LABELS.flatten())
    loss.backward()
    assert all(p.grad is not None and float(p.grad.norm()) > 0 for p in network.parameters())
