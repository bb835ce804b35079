from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, conv3d, interpolate, leaky_relu, linear, relu, softplus
from torch.nn.utils.parametrizations import spectral_norm

from voxgan.networks.forms import conv, conv_by_blocks, conv_transpose, conv_transpose_by_blocks
from voxgan.networks.norms import NORMS
from voxgan.networks.residual import ResidualDiscriminator, ResidualGenerator, averaging_kernel, repeating_kernel

LATENT = 200
# Of each norm, and of the largest side one: resolution, width, norm.
KINDS = [*((side, 4, norm) for side in (16, 32, 64) for norm in NORMS), (128, 2, "none")]


def random_state(network: nn.Module) -> None:
    """Give norms and biases values that a mistake in the order of layers would show."""
    torch.manual_seed(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm3d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.02, 0.1)
        if isinstance(layer, nn.BatchNorm3d | nn.GroupNorm):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
        bias = getattr(layer, "bias", None)
        if bias is not None:
            nn.init.uniform_(bias, -0.5, 0.5)


def plain_logits(network: ResidualGenerator, z: Tensor) -> Tensor:
    """The generator as it is described: cells are repeated, then convolved."""
    x = network.first(z[:, :, None, None, None])
    for block in network.blocks:
        y = block.first(interpolate(relu(block.first_norm(x)), scale_factor=2))
        x = block.second(relu(block.second_norm(y))) + block.skip(interpolate(x, scale_factor=2))
    return network.last(interpolate(relu(network.last_norm(x)), scale_factor=2))


def plain_judgement(network: ResidualDiscriminator, occupancy: Tensor) -> Tensor:
    """The discriminator as it is described: cells are convolved, then averaged."""
    x = avg_pool3d(network.first(occupancy), 2)
    for block in network.blocks:
        y = block.first(leaky_relu(block.first_norm(x), 0.2))
        x = avg_pool3d(block.second(leaky_relu(block.second_norm(y), 0.2)), 2) + block.skip(avg_pool3d(x, 2))
    return linear(leaky_relu(network.last_norm(x), 0.2).flatten(1), network.last.weight, network.last.bias).flatten()


# What the layers rest on.


@pytest.mark.parametrize("side", [2, 3, 4, 7])
@pytest.mark.parametrize("fan_out", [1, 5])
def test_repeating_is_a_transposed_convolution(side: int, fan_out: int) -> None:
    x, weight = torch.randn(2, 3, side, side, side), torch.randn(fan_out, 3, 3, 3, 3)
    plain = conv3d(interpolate(x, scale_factor=2), weight, padding=1)
    kernel = repeating_kernel(weight)
    assert kernel.shape == (3, fan_out, 4, 4, 4)
    torch.testing.assert_close(conv_transpose(x, kernel), plain, atol=1e-5, rtol=1e-5)
    if fan_out == 1:
        torch.testing.assert_close(conv_transpose_by_blocks(x, kernel), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", [2, 4, 6, 8])
@pytest.mark.parametrize("fan_in", [1, 3])
def test_averaging_is_a_convolution(side: int, fan_in: int) -> None:
    x, weight = torch.randn(2, fan_in, side, side, side), torch.randn(5, fan_in, 3, 3, 3)
    plain = avg_pool3d(conv3d(x, weight, padding=1), 2)
    kernel = averaging_kernel(weight)
    assert kernel.shape == (5, fan_in, 4, 4, 4)
    torch.testing.assert_close(conv(x, kernel), plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(conv_by_blocks(x, kernel), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("by_blocks", [False, True])
def test_gradients_of_the_layers(by_blocks: bool) -> None:
    grow, shrink = (conv_transpose_by_blocks, conv_by_blocks) if by_blocks else (conv_transpose, conv)

    def repeated(x: Tensor, weight: Tensor) -> Tensor:
        return grow(x, repeating_kernel(weight))

    def averaged(x: Tensor, weight: Tensor) -> Tensor:
        return shrink(x, averaging_kernel(weight))

    for function, sides, fan_out in ((repeated, 2, 1), (averaged, 4, 2)):
        x = torch.randn(2, 2, sides, sides, sides, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(fan_out, 2, 3, 3, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(function, (x, weight), fast_mode=True)
        assert torch.autograd.gradgradcheck(function, (x, weight), fast_mode=True)


def test_kernels_keep_their_precision_under_autocast() -> None:
    weight = torch.randn(3, 2, 3, 3, 3)
    for kernel in (repeating_kernel, averaging_kernel):
        with torch.autocast("cpu", torch.bfloat16):
            found = kernel(weight)
        assert torch.equal(found, kernel(weight))


# The networks.


def test_parameters() -> None:
    with torch.device("meta"):
        networks = [ResidualGenerator(), ResidualDiscriminator()]
    numbers = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert numbers == [13_697_473, 7_175_232]
    for network, number in zip(networks, numbers, strict=True):
        assert f"{number / 1e6:.2f} M parameters" in (type(network).__doc__ or "")


def test_biases_stand_where_norms_have_none() -> None:
    for norm in NORMS:
        for network in (ResidualGenerator(16, 4, norm=norm), ResidualDiscriminator(16, 4, norm=norm)):
            convolutions = [c for block in network.blocks for c in (block.first, block.second)]
            assert {c.bias is not None for c in convolutions} == {norm in ("pixel", "none")}
            assert all(block.skip.bias is None for block in network.blocks)
            assert (network.last.bias is not None) == isinstance(network, ResidualGenerator)


@pytest.mark.parametrize(("resolution", "width", "norm"), KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_generator_equals_its_description(resolution: int, width: int, norm: str, training: bool) -> None:
    torch.manual_seed(0)
    network = ResidualGenerator(resolution, width, norm=norm).double().train(training)
    random_state(network)
    other = copy.deepcopy(network)
    z = torch.randn(2, LATENT, dtype=torch.float64)
    with torch.no_grad():
        logits, plain = network.logits(z), plain_logits(other, z)
        assert logits.shape == (2, 1, *(resolution,) * 3) and plain.std() > 0.05
        torch.testing.assert_close(logits, plain)
        torch.testing.assert_close(network.state_dict(), other.state_dict())
        occupancy = network.eval()(z)
        assert torch.equal(occupancy, torch.sigmoid(network.logits(z)))
        assert 0 <= occupancy.min() < occupancy.max() <= 1 and not torch.equal(occupancy[0], occupancy[1])


@pytest.mark.parametrize(("resolution", "width", "norm"), KINDS)
@pytest.mark.parametrize("pack", [1, 2])
def test_discriminator_equals_its_description(resolution: int, width: int, norm: str, pack: int) -> None:
    torch.manual_seed(0)
    network = ResidualDiscriminator(resolution, width, pack=pack, norm=norm).double()
    random_state(network)
    other = copy.deepcopy(network)
    occupancy = torch.rand(2, pack, *(resolution,) * 3, dtype=torch.float64)
    with torch.no_grad():
        logits, plain = network(occupancy), plain_judgement(other, occupancy)
    assert logits.shape == (2,) and logits.min() < logits.max()
    torch.testing.assert_close(logits, plain)
    torch.testing.assert_close(network.state_dict(), other.state_dict())


def test_features() -> None:
    network = ResidualDiscriminator(32, 4)
    occupancy = torch.rand(3, 1, 32, 32, 32)
    with torch.no_grad():
        features = network.features(occupancy)
        assert features.shape == (3, network.num_features) == (3, 32 * 64)
        assert torch.equal(network.logits(features), network(occupancy))


@pytest.mark.parametrize("norm", NORMS)
def test_every_parameter_moves_in_the_first_step(norm: str) -> None:
    torch.manual_seed(0)
    generator, discriminator = ResidualGenerator(32, 4, norm=norm), ResidualDiscriminator(32, 4, norm=norm)
    softplus(-discriminator(generator(torch.randn(4, LATENT)))).mean().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), name


def test_scale_is_kept_without_norms() -> None:
    torch.manual_seed(0)
    generator, discriminator = ResidualGenerator(64, 8, norm="none"), ResidualDiscriminator(64, 8)
    with torch.no_grad():
        assert 0.4 < generator.logits(torch.randn(8, LATENT)).std() < 2.5
        occupancy = (torch.linspace(-1, 1, 64).square() < 0.25).float().expand(1, 1, 64, 64, 64)
        features = discriminator.features(occupancy)
    assert 0.2 < features.square().mean().sqrt() / occupancy.square().mean().sqrt() < 2


@pytest.mark.parametrize("arguments", [(15, 4), (256, 4), (16, 0), (16, 5)])
def test_refuses(arguments: tuple[int, int]) -> None:
    for network in (ResidualGenerator, ResidualDiscriminator):
        with pytest.raises(ValueError, match="expected"):
            network(*arguments)
        with pytest.raises(ValueError, match="norm 'layer'"):
            network(16, 4, norm="layer")


@pytest.mark.parametrize("groups", [0, 3])
def test_refuses_groups(groups: int) -> None:
    with pytest.raises(ValueError, match=f"{groups} groups in a batch of 4"):
        ResidualDiscriminator(16, 4)(torch.rand(4, 1, 16, 16, 16), groups=groups)


def judged(network: ResidualDiscriminator, occupancy: Tensor, groups: int, apart: bool = False) -> list[Tensor]:
    """Logits, gradients and buffers after one pass, or one a group as described."""
    network, occupancy = copy.deepcopy(network), occupancy.clone().requires_grad_(True)
    if apart:
        logits = torch.cat([plain_judgement(network, part) for part in occupancy.chunk(groups)])
    else:
        logits = network(occupancy, groups=groups)
    softplus(logits * torch.linspace(-1, 1, len(logits))).sum().backward()
    assert occupancy.grad is not None
    gradients = [occupancy.grad, *(p.grad for p in network.parameters() if p.grad is not None)]
    assert len(gradients) == 1 + len(list(network.parameters()))
    return [logits.detach(), *gradients, *network.buffers()]


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("norm", NORMS)
def test_groups_are_as_many_passes(norm: str, groups: int) -> None:
    torch.manual_seed(0)
    network = ResidualDiscriminator(32, 4, norm=norm).double()
    occupancy = torch.rand(6, 1, 32, 32, 32, dtype=torch.float64)
    occupancy[3:] *= 0.1  # other statistics
    together = judged(network, occupancy, groups)
    for found, expected in zip(together, judged(network, occupancy, groups, apart=True), strict=True):
        torch.testing.assert_close(found, expected)
    if norm == "batch":
        assert int(together[-1]) == groups  # batches tracked
        assert groups == 1 or (together[0] - judged(network, occupancy, 1)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bf16", [False, True])
def test_recomputation_changes_nothing_in_discriminators(norm: str, bf16: bool) -> None:
    torch.manual_seed(0)
    network = ResidualDiscriminator(32, 4, norm=norm)
    random_state(network)
    occupancy = torch.rand(4, 1, 32, 32, 32)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        kept = judged(network, occupancy, 2)
        network.recompute = True
        again = judged(network, occupancy, 2)
    assert all(torch.equal(a, b) for a, b in zip(again, kept, strict=True))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bf16", [False, True])
def test_recomputation_changes_nothing_in_generators(norm: str, bf16: bool) -> None:
    torch.manual_seed(0)
    network = ResidualGenerator(32, 4, norm=norm)
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


@pytest.mark.parametrize("norm", NORMS)
def test_recomputation_keeps_less(norm: str) -> None:
    def kept(network: nn.Module, x: Tensor) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            y = network(x)
        y.sum().backward()
        return sum(sizes.values())

    inputs = (torch.rand(8, 1, 32, 32, 32), torch.randn(8, LATENT))
    networks = (ResidualDiscriminator(32, 4, norm=norm), ResidualGenerator(32, 4, norm=norm))
    for network, x in zip(networks, inputs, strict=True):
        usual = kept(network, x)
        network.recompute = True
        assert kept(network, x) < usual


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("bf16", [False, True])
def test_gradient_penalty(norm: str, recompute: bool, bf16: bool) -> None:
    """Penalties derive the gradient of the logits once more."""
    torch.manual_seed(0)
    dtype = torch.float32 if bf16 else torch.float64
    network = ResidualDiscriminator(32, 4, norm=norm).to(dtype)
    random_state(network)
    occupancy = torch.rand(4, 1, 32, 32, 32, dtype=dtype, requires_grad=True)

    def found(plainly: bool) -> list[Tensor]:
        other = copy.deepcopy(network)
        other.recompute = recompute
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16 and not plainly):
            logits = plain_judgement(other, occupancy) if plainly else other(occupancy)
        (slope,) = torch.autograd.grad(logits.sum(), occupancy, create_graph=True)
        (slope.flatten(1).norm(dim=1) - 1).square().mean().backward()
        return [slope.detach(), *(p.grad for p in other.parameters() if p.grad is not None)]

    for value, expected in zip(found(False), found(True), strict=True):
        assert value.dtype == dtype
        assert (value - expected).norm() <= (0.2 if bf16 else 1e-7) * expected.norm() + 1e-6


@pytest.mark.parametrize("norm", NORMS)
def test_derivatives_of_the_discriminator(norm: str) -> None:
    torch.manual_seed(0)
    network = ResidualDiscriminator(16, 2, norm=norm).double()
    occupancy = torch.rand(2, 1, 16, 16, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, occupancy, fast_mode=True)
    assert torch.autograd.gradgradcheck(network, occupancy, fast_mode=True)


@pytest.mark.parametrize("norm", NORMS)
def test_single_precision_under_autocast(norm: str) -> None:
    generator, discriminator = ResidualGenerator(32, 4, norm=norm), ResidualDiscriminator(32, 4, norm=norm)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        occupancy = generator(torch.randn(2, LATENT))
        features = discriminator.features(occupancy)
        logits = discriminator.logits(features)
    assert occupancy.dtype == features.dtype == logits.dtype == torch.float32


def test_volumes_are_in_bfloat16_under_autocast() -> None:
    """Some of torch's layers go back to single precision by themselves, and would take those after them along."""
    network, seen = ResidualDiscriminator(32, 4), []
    network.last_norm.register_forward_pre_hook(lambda _, x: seen.append(x[0].dtype))
    generator = ResidualGenerator(32, 4)
    generator.last_norm.register_forward_pre_hook(lambda _, x: seen.append(x[0].dtype))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        network(generator(torch.randn(2, LATENT)))
    assert seen == [torch.bfloat16, torch.bfloat16]


@pytest.mark.parametrize("recompute", [False, True])
def test_spectral_norm(recompute: bool) -> None:
    torch.manual_seed(0)
    network = ResidualDiscriminator(16, 4)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv3d | nn.Linear)]
    read = dict.fromkeys(layers, 0)

    def count(layer: nn.Module) -> None:
        read[layer] += 1

    for layer in layers:
        spectral_norm(layer)
        layer.parametrizations.weight[0].register_forward_hook(lambda *_, layer=layer: count(layer))
    network.recompute = recompute
    read = dict.fromkeys(layers, 0)
    occupancy = torch.rand(2, 1, 16, 16, 16)
    for passes in range(1, 21):
        network(occupancy).sum().backward()
        assert set(read.values()) == {passes}  # each weight once a pass, in the backward pass too
    network.eval()
    with torch.no_grad():
        for layer in layers:
            assert float(torch.linalg.matrix_norm(layer.weight.flatten(1), 2)) == pytest.approx(1, abs=0.05)
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_shapes_without_data() -> None:
    with torch.device("meta"):
        assert ResidualGenerator(16, 4)(torch.rand(3, LATENT)).shape == (3, 1, 16, 16, 16)
        assert ResidualDiscriminator(16, 4)(torch.rand(3, 1, 16, 16, 16)).shape == (3,)
