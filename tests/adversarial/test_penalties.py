from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softplus

from voxgan.adversarial.penalties import between, gradient_penalty, slopes_squared, zero_centred
from voxgan.models.model import Batch, Config, Model, Phase
from voxgan.training import Training
from voxgan.training.ranks import ALONE
from voxgan.training.step import Stepper

# Packs of two shapes of 3·4·5 cells: every axis is another one.
PACKS = (6, 2, 3, 4, 5)


def packs(*shape: int, **options: Any) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(*(shape or PACKS), dtype=torch.float64, **options)


def linear(points: Tensor, w: Tensor) -> Tensor:
    return (points * w).flatten(1).sum(1)


# What they are.


@pytest.mark.parametrize("shape", [PACKS, (6, 1, 3, 4, 5), (6, 2)])
@pytest.mark.parametrize("size", [0.25, 1.0, 3.0])
def test_of_a_linear_discriminator(shape: tuple[int, ...], size: float) -> None:
    x, w = packs(*shape, requires_grad=True), packs(*shape)[0]
    w = size * w / w.norm()
    assert gradient_penalty(linear(x, w), x).item() == pytest.approx((size - 1) ** 2, abs=1e-9)
    assert zero_centred(linear(x, w), x).item() == pytest.approx(size**2 / 2, rel=1e-12)


@pytest.mark.parametrize("axis", range(1, 5))
def test_no_axis_of_a_point_is_left_out(axis: int) -> None:
    """A public program takes the norm along one axis, and the mean over the others."""
    x, w = packs(requires_grad=True), packs()[0]
    w = w / w.norm()  # so that the right penalty is 0, which no other can be
    gradient = w.expand(PACKS)
    others = tuple(a for a in range(1, 5) if a != axis)
    along = (gradient.norm(dim=axis) - 1).square().mean()
    across = (torch.linalg.vector_norm(gradient, dim=others) - 1).square().mean()
    found = gradient_penalty(linear(x, w), x)
    assert found.item() < 1e-20 and min(float(along), float(across)) > 0.05


def test_every_cell_of_a_point_counts() -> None:
    x = packs(2, 2, 3, 3, 3, requires_grad=True)
    for cell in itertools.product(range(2), range(3), range(3), range(3)):
        w = torch.zeros(2, 3, 3, 3, dtype=torch.float64)
        w[cell] = 3
        outputs = linear(x, w)
        assert gradient_penalty(outputs, x).item() == pytest.approx(4, rel=1e-9)
        assert zero_centred(outputs, x).item() == pytest.approx(4.5, rel=1e-12)


def test_each_point_has_its_own_slope() -> None:
    x = packs(requires_grad=True)
    size = torch.arange(1.0, 7, dtype=torch.float64)
    with torch.no_grad():
        x *= (size / x.flatten(1).norm(dim=1)).reshape(-1, 1, 1, 1, 1)
    outputs = x.square().flatten(1).sum(1) / 2  # its gradient is x
    torch.testing.assert_close(slopes_squared(outputs, x), size**2)
    assert zero_centred(outputs, x).item() == pytest.approx((1 + 4 + 9 + 16 + 25 + 36) / 12)
    assert gradient_penalty(outputs, x).item() == pytest.approx((0 + 1 + 4 + 9 + 16 + 25) / 6)


@pytest.mark.parametrize("penalty", [gradient_penalty, zero_centred])
def test_gradients_by_the_weights(penalty: Callable[[Tensor, Tensor], Tensor]) -> None:
    x = packs(3, 2, 2, 2, 2)

    def function(first: Tensor, second: Tensor) -> Tensor:
        points = x.clone().requires_grad_(True)
        return penalty((softplus(points.flatten(1) @ first) @ second).squeeze(1), points)

    weights = packs(16, 5, requires_grad=True), packs(5, 1, requires_grad=True)
    assert torch.autograd.gradcheck(function, weights)
    assert all(float(g.norm()) > 0.01 for g in torch.autograd.grad(function(*weights), weights))


def test_weights_of_zero_have_the_penalty_one_and_a_finite_gradient() -> None:
    x, w = packs(requires_grad=True), torch.zeros(PACKS[1:], dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(linear(x, w), x)
    (gradient,) = torch.autograd.grad(penalty, w)
    assert penalty.item() == pytest.approx(1, abs=1e-5) and gradient.isfinite().all()


@pytest.mark.parametrize("penalty", [slopes_squared, gradient_penalty, zero_centred])
def test_there_is_a_graph_only_where_gradients_are_enabled(penalty: Callable[[Tensor, Tensor], Tensor]) -> None:
    x, w = packs(requires_grad=True), packs()[0].requires_grad_(True)
    outputs = linear(x, w)
    with_graph = penalty(outputs, x)
    assert with_graph.requires_grad
    with torch.no_grad():
        without = penalty(outputs, x)
    assert not without.requires_grad and torch.equal(with_graph, without)
    outputs.sum().backward()  # its graph is still there


def test_squares_are_summed_in_single_precision_at_least() -> None:
    x = torch.zeros(2, 4096, dtype=torch.bfloat16, requires_grad=True)
    squares = slopes_squared(x.sum(1), x)  # in bfloat16, 1 added to 256 leaves 256
    assert squares.dtype == torch.float32 and squares.tolist() == [4096, 4096]
    x = packs(requires_grad=True)
    assert slopes_squared(x.flatten(1).sum(1), x).dtype == torch.float64


# Between real and generated.


def test_points_lie_on_the_line_each_where_its_share_says() -> None:
    real, generated = packs(), packs().flip(0) + 1
    share = torch.tensor([0.0, 0.125, 0.5, 0.75, 0.9, 1.0])
    points = between(real, generated, share)
    for place, part in enumerate(share.double()):
        torch.testing.assert_close(points[place], part * real[place] + (1 - part) * generated[place])
    assert torch.equal(points[0], generated[0]) and torch.equal(points[-1], real[-1])
    assert points.dtype == torch.float64


def test_points_are_leaves_that_leave_their_ends_alone() -> None:
    real, generated = packs(requires_grad=True), packs(requires_grad=True)
    ends = real.detach().clone(), generated.detach().clone()
    points = between(real, 2 * generated, torch.rand(6))
    assert points.is_leaf and points.requires_grad
    gradient_penalty(points.square().flatten(1).sum(1), points).backward()
    assert points.grad is not None and real.grad is None and generated.grad is None
    assert torch.equal(real, ends[0]) and torch.equal(generated, ends[1])


# Two parallel lines in the plane, θ apart: what a critic that learns to tell them finds of their distance.


class Critic(nn.Module):
    """A discriminator of points in the plane, (B, 1, 2)."""

    recompute = False

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 32), nn.Linear(32, 32), nn.Linear(32, 1)])

    def judge(self, points: Tensor, groups: int = 1, labels: Tensor | None = None) -> tuple[Tensor, None]:
        x = points.flatten(1)
        for layer in self.layers:
            x = layer(x if layer is self.layers[0] else leaky_relu(x, 0.2))
        return x.squeeze(1), None


class Lines(Model):
    """Real points on x = 0, generated ones on x = θ, and nobody who moves them."""

    averaged = ()

    def __init__(self, theta: float, **options: Any) -> None:
        torch.manual_seed(0)
        super().__init__(Config(resolution=16, discriminator_norm="none", **options))
        self.theta = theta
        self.generator, self.discriminator = nn.Identity(), Critic()

    @property
    def phases(self) -> tuple[Phase, ...]:
        return (self._discriminator_phase(),)

    def points(self, x: float, y: Tensor) -> Tensor:
        return torch.stack([torch.full_like(y, x), y], dim=1)[:, None]

    def loss(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        y = batch.draws.of("lines").uniform(2)
        return self.discriminator_terms(self.points(0, y[:, 0]), self.points(self.theta, y[:, 1]), batch.draws)

    def estimate(self) -> float:
        """The difference of the critic's means."""
        y = (torch.arange(1000) + 0.5) / 1000
        with torch.no_grad():
            on_real, on_generated = (self.discriminator.judge(self.points(x, y))[0].mean() for x in (0, self.theta))
        return float(on_real - on_generated)


def trained(model: Lines, steps: int, batch: int = 32, largest: float = float("inf")) -> Lines:
    stepper = Stepper(model, Training(steps=steps, batch=batch, cosine=True, augment=False), ALONE)
    raw = {"packed": torch.zeros(batch, 512, dtype=torch.uint8), "label": torch.zeros(batch, dtype=torch.long)}
    for step in range(steps):
        assert stepper.run(step, raw, {})["discriminator.moved"] == 1
        assert max(float(p.detach().abs().max()) for p in model.parameters()) <= largest
    return model


@pytest.mark.parametrize("theta", [1.0, 2.0])
def test_a_gradient_penalty_lets_a_critic_measure_the_distance(theta: float) -> None:
    model = trained(Lines(theta, adversarial="wasserstein_gp", discriminator_rate=3e-3), 200)
    slope = model.estimate() / theta
    # What is lost by a slope s is −θs + 10 (s − 1)², least where s = 1 + θ/20; there it is −θ (1 + θ/40).
    assert slope == pytest.approx(1 + theta / 20, rel=0.02)
    assert model.estimate() - 10 * (slope - 1) ** 2 == pytest.approx(theta, rel=0.1)


def test_with_clipped_weights_the_estimate_grows_with_the_distance() -> None:
    clip = 0.01
    estimates = []
    for theta in (0.5, 1.0, 2.0):
        model = trained(Lines(theta, adversarial="wasserstein"), 100, largest=clip)
        assert max(float(p.detach().abs().max()) for p in model.parameters()) == pytest.approx(clip)
        estimates.append(model.estimate())
    # The steepest critic of weights ±.01 has the slope .01·32·.01·32·.01 = .001, less where LeakyReLU bends.
    assert estimates[0] > 0 and all(1.5 * a < b for a, b in itertools.pairwise(estimates))
    assert estimates[-1] < 4 * 32 * 32 * clip**3
