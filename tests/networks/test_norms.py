from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from voxgan.networks import Discriminator, Generator
from voxgan.networks.norms import NORMS, PixelNorm, he_initialise, make_norm


@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("channels", [1, 2, 5, 12, 64])
def test_every_norm_keeps_shape_and_type(name: str, channels: int) -> None:
    norm = make_norm(name, channels)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(3, channels, 4, 4, 4).to(dtype)
        assert norm(x).shape == x.shape and norm(x).dtype == dtype


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (2, 1), (4, 1), (6, 1), (7, 1), (8, 2), (12, 3), (13, 1), (16, 4), (20, 5), (32, 8), (36, 6), (512, 8)],
)
def test_groups_are_large_enough(channels: int, groups: int) -> None:
    norm = make_norm("group", channels)
    assert isinstance(norm, nn.GroupNorm) and norm.num_groups == groups


def test_kinds() -> None:
    assert isinstance(make_norm("batch", 3), nn.BatchNorm3d)
    assert isinstance(make_norm("pixel", 3), PixelNorm)
    assert isinstance(make_norm("none", 3), nn.Identity)


def test_refuses() -> None:
    with pytest.raises(ValueError, match="norm 'layer': expected one of batch, group, pixel, none"):
        make_norm("layer", 3)


def test_pixel_norm_divides_by_the_root_mean_square() -> None:
    x = 5 * torch.randn(2, 6, 4, 4, 4)
    torch.testing.assert_close(PixelNorm()(x), x / x.square().mean(1, keepdim=True).sqrt())
    assert not list(PixelNorm(6).parameters()) and not list(PixelNorm(6).buffers())


def test_pixel_norm_of_nothing_is_nothing_and_has_a_gradient() -> None:
    x = torch.zeros(1, 6, 2, 2, 2, requires_grad=True)
    PixelNorm()(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_pixel_norm_sums_squares_of_half_numbers_in_single_precision() -> None:
    x = torch.full((1, 512, 1, 1, 1), 300.0, dtype=torch.float16)  # the squares are beyond float16
    assert torch.equal(PixelNorm()(x), torch.ones_like(x))


def test_pixel_norm_can_be_derived_twice() -> None:
    x = torch.randn(2, 3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(PixelNorm(), x) and torch.autograd.gradgradcheck(PixelNorm(), x)


def deviations(network: nn.Module, x: Tensor, kinds: tuple[type, ...]) -> list[float]:
    """Standard deviation of what each layer of these kinds gives."""
    found: list[float] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, y: found.append(float(y.std())))
        for layer in network.modules()
        if isinstance(layer, kinds)
    ]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return found


def test_scale_is_kept_through_a_generator() -> None:
    torch.manual_seed(0)
    layers = [layer for layer in Generator(32, width=16).layers if not isinstance(layer, nn.BatchNorm3d)]
    network = nn.Sequential(*layers)
    z = torch.randn(16, 200, 1, 1, 1)
    assert deviations(network, z, (nn.ConvTranspose3d,))[-1] < 0.1
    he_initialise(network)
    assert all(0.7 < value < 1.7 for value in deviations(network, z, (nn.ConvTranspose3d,)))


def test_scale_is_kept_through_a_discriminator() -> None:
    torch.manual_seed(0)
    layers = [layer for layer in Discriminator(32, width=16).layers if not isinstance(layer, nn.BatchNorm3d)]
    network = nn.Sequential(*layers)
    x = torch.randn(64, 1, 32, 32, 32)
    assert deviations(network, x, (nn.Conv3d,))[-1] < 0.1
    he_initialise(network, slope=0.2)
    he_initialise(layers[0], slope=1)
    # Less at borders, where neighbours are zero: after three halvings they are everywhere.
    assert all(0.45 < value < 1.4 for value in deviations(network, x, (nn.Conv3d,)))


@pytest.mark.parametrize(
    ("layer", "summed"),
    [
        (nn.Linear(300, 200), 300),
        (nn.Conv3d(16, 64, 3), 16 * 27),
        (nn.Conv3d(16, 64, 3, groups=2), 8 * 27),
        (nn.ConvTranspose3d(32, 32, 4, stride=2, padding=1), 32 * 8),
        (nn.ConvTranspose3d(200, 64, 4), 200),
        (nn.ConvTranspose3d(32, 64, 3, padding=1), 32 * 27),
    ],
)
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_variance_is_that_of_he(layer: nn.Conv3d, summed: int, slope: float) -> None:
    he_initialise(layer, slope)
    assert float(layer.weight.detach().var()) == pytest.approx(2 / (1 + slope**2) / summed, rel=0.1)
    assert layer.bias is not None and not layer.bias.any()


def test_other_layers_stay() -> None:
    norm = nn.BatchNorm3d(3)
    nn.init.uniform_(norm.weight)
    parametrised = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    network = nn.Sequential(norm, parametrised)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    he_initialise(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
