from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import nn

from voxgan.networks import EfficientNetEncoder


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_backbone_is_that_of_the_published_network() -> None:
    """EfficientNet-Lite0 has 4,652,008 parameters; a convolution 320 → 1280, its norm and the classifier are left."""
    with torch.device("meta"):
        network = EfficientNetEncoder()
    assert parameters(network.backbone) == 4_652_008 - (320 * 1280 + 2 * 1280) - (1280 * 1000 + 1000)


def test_sides_and_channels_of_the_stages() -> None:
    network = EfficientNetEncoder()
    x, seen = torch.rand(1, 3, 128, 128), []
    network.eval()
    with torch.no_grad():
        for layer in network.backbone:
            x = layer(x)
            seen.append((x.shape[1], x.shape[2]))
    stages = [s for i, s in enumerate(seen) if i == 0 or s != seen[i - 1]]
    assert stages == [(32, 64), (16, 64), (24, 32), (40, 16), (80, 8), (112, 8), (192, 4), (320, 4)]


def test_width_scales_all_channels() -> None:
    narrow = EfficientNetEncoder(width=8, latent=5)
    assert narrow.backbone[0].convolution.out_channels == 8
    assert narrow.last.out_features == 10
    assert parameters(narrow.backbone) < parameters(EfficientNetEncoder(width=16).backbone) / 3


def trained(network: EfficientNetEncoder) -> None:
    network.train()
    for _ in range(3):
        network(torch.rand(4, 3, 128, 128))


def test_statistics_of_the_backbone_are_kept_and_those_of_the_head_learnt() -> None:
    torch.manual_seed(0)
    network = EfficientNetEncoder(width=8, latent=3)
    network.keep_statistics = True
    before = {k: v.clone() for k, v in network.state_dict().items() if "running" in k}
    trained(network)
    after = network.state_dict()
    changed = {key.split(".")[0] for key, value in before.items() if not torch.equal(value, after[key])}
    assert changed == {"squeeze", "hidden"}
    network.keep_statistics = False
    trained(network)
    assert not torch.equal(before["backbone.0.norm.running_mean"], network.state_dict()["backbone.0.norm.running_mean"])


def test_norms_rest_outside_training() -> None:
    network = EfficientNetEncoder(width=8).eval()
    pictures = torch.rand(3, 3, 128, 128)
    with torch.no_grad():
        together, alone = network(pictures)[0], network(pictures[1:2])[0]
    torch.testing.assert_close(together[1:2], alone, atol=1e-5, rtol=1e-4)


def test_weights_of_imagenet_go_where_they_belong_whatever_their_names() -> None:
    torch.manual_seed(1)
    source, target = EfficientNetEncoder(), EfficientNetEncoder()
    given = OrderedDict((f"_other.{i}", t + 1) for i, t in enumerate(source.backbone.state_dict().values()))
    given["_head.weight"] = torch.zeros(1280, 320, 1, 1)
    target.load_imagenet(given)
    assert target.keep_statistics
    for got, want in zip(target.backbone.state_dict().values(), source.backbone.state_dict().values(), strict=True):
        assert torch.equal(got, want + 1)


def test_weights_of_another_width_are_refused() -> None:
    source = EfficientNetEncoder()
    with pytest.raises(ValueError, match=r"of width 16; expected 32"):
        EfficientNetEncoder(width=16).load_imagenet(source.backbone.state_dict())


@pytest.mark.parametrize("frozen", [0, 5, 17])
def test_frozen_layers_get_no_gradient_and_give_the_same(frozen: int) -> None:
    torch.manual_seed(0)
    network = EfficientNetEncoder(width=8, latent=3).eval()
    pictures = torch.rand(2, 3, 128, 128)
    free = network(pictures)[0].detach()
    network.frozen = frozen
    mean = network(pictures)[0]
    torch.testing.assert_close(mean.detach(), free)
    mean.sum().backward()
    without = [i for i, layer in enumerate(network.backbone) if all(p.grad is None for p in layer.parameters())]
    assert without == list(range(frozen))
    assert network.last.weight.grad is not None
