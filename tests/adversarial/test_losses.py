from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from voxgan import adversarial
from voxgan.models.model import Config
from voxgan.networks import NETWORKS

REAL = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)
GENERATED = torch.tensor([-2.0, 0.25, 4.0], dtype=torch.float64)

EVERY = pytest.mark.parametrize("name", adversarial.names())
CRITICS = ("relativistic", "wasserstein", "wasserstein_gp")


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def log_sigmoid(*values: float) -> float:
    """Mean of log σ(x), written with probabilities as the papers do."""
    return sum(math.log(sigmoid(x)) for x in values) / len(values)


def log_one_minus(*values: float) -> float:
    """Mean of log(1 − σ(x))."""
    return sum(math.log(1 - sigmoid(x)) for x in values) / len(values)


CROSS_ENTROPY = -log_sigmoid(3, -1, 0.5) - log_one_minus(-2, 0.25, 4)

# Name of the loss: D's and G's side on REAL and GENERATED, by hand.
CLOSED_FORMS: dict[str, tuple[float, float]] = {
    "minimax": (CROSS_ENTROPY, log_one_minus(-2, 0.25, 4)),
    "non_saturating": (CROSS_ENTROPY, -log_sigmoid(-2, 0.25, 4)),
    "least_squares": ((4 + 4 + 0.25) / 6 + (4 + 0.0625 + 16) / 6, (9 + 0.5625 + 9) / 6),
    "hinge": ((0 + 2 + 0.5) / 3 + (0 + 1.25 + 5) / 3, -2.25 / 3),
    "wasserstein": (2.25 / 3 - 2.5 / 3, -2.25 / 3),
    "wasserstein_gp": (2.25 / 3 - 2.5 / 3, -2.25 / 3),
    "relativistic": (-log_sigmoid(5, -1.25, -3.5), -log_sigmoid(-5, 1.25, 3.5)),
}
# Name of the loss: what D's side says when all outputs are UNDECIDED.
CHANCE = {
    "minimax": 2 * math.log(2),
    "non_saturating": 2 * math.log(2),
    "least_squares": 0.25,
    "hinge": 2.0,
    "wasserstein": 0.0,
    "wasserstein_gp": 0.0,
    "relativistic": math.log(2),
}
# Name of the loss: derivative of D's side by a real and by a generated output x, and of G's side by a generated one,
# where for losses on pairs the other output of the pair is 0.
SLOPES: dict[str, tuple[Callable[[float], float], ...]] = {
    "minimax": (lambda x: -sigmoid(-x), sigmoid, lambda x: -sigmoid(x)),
    "non_saturating": (lambda x: -sigmoid(-x), sigmoid, lambda x: -sigmoid(-x)),
    "least_squares": (lambda x: x - 1, lambda x: x, lambda x: x - 1),
    "hinge": (lambda x: -float(x < 1), lambda x: float(x > -1), lambda x: -1.0),
    "wasserstein": (lambda x: -1.0, lambda x: 1.0, lambda x: -1.0),
    "wasserstein_gp": (lambda x: -1.0, lambda x: 1.0, lambda x: -1.0),
    "relativistic": (lambda x: -sigmoid(-x), sigmoid, lambda x: -sigmoid(-x)),
}


def generator_loss(name: str, generated: Tensor, real: Tensor) -> Tensor:
    loss = adversarial.find(name)
    return loss.generator_loss(generated, real) if loss.PAIRED else loss.generator_loss(generated)


def slopes(name: str, output: float, other: float = 0.0) -> tuple[float, float, float]:
    """D's slope by one real output, by one generated output, and G's by a generated one; all else is `other`."""
    loss = adversarial.find(name)
    x, rest = torch.tensor([output], requires_grad=True), torch.tensor([other])
    sides = (loss.discriminator_loss(x, rest), loss.discriminator_loss(rest, x), generator_loss(name, x, rest))
    first, second, third = (float(torch.autograd.grad(side, x)[0]) for side in sides)
    return first, second, third


def test_every_loss_is_tested_here() -> None:
    assert set(CLOSED_FORMS) == set(CHANCE) == set(SLOPES) == set(adversarial.names())


# The two sides.


@EVERY
def test_closed_form(name: str) -> None:
    discriminator, generator = CLOSED_FORMS[name]
    found = adversarial.find(name).discriminator_loss(REAL, GENERATED)
    assert found.shape == () and float(found) == pytest.approx(discriminator, rel=1e-12)
    assert float(generator_loss(name, GENERATED, REAL)) == pytest.approx(generator, rel=1e-12)


@EVERY
@pytest.mark.parametrize("output", [-20.0, -0.5, 0.0, 0.25, 2.0, 20.0])
def test_slope_by_one_output(name: str, output: float) -> None:
    for found, expected in zip(slopes(name, output), SLOPES[name], strict=True):
        assert found == pytest.approx(expected(output), rel=1e-5, abs=0)


@EVERY
def test_only_hinge_lets_go_of_what_is_sure(name: str) -> None:
    sure_of_real, sure_of_generated = slopes(name, 20.0)[0], slopes(name, -20.0)[1]
    assert (sure_of_real == 0) == (sure_of_generated == 0) == (name == "hinge")


@EVERY
def test_what_is_taken_for_its_opposite_pulls_hard_on_the_discriminator(name: str) -> None:
    assert slopes(name, -20.0)[0] <= -0.999 and slopes(name, 20.0)[1] >= 0.999


@EVERY
def test_where_the_generator_loses_its_slope_fades_with_minimax_only(name: str) -> None:
    losing = slopes(name, -20.0)[2]
    if name == "minimax":
        assert -1e-8 < losing < 0
    else:
        assert losing <= -0.999


@EVERY
@pytest.mark.parametrize("output", [-1e4, 1e4])
def test_extreme_outputs_stay_finite(name: str, output: float) -> None:
    x = torch.tensor([output], requires_grad=True)
    for other in (x, -x.detach()):
        for value in (
            adversarial.find(name).discriminator_loss(x, other),
            adversarial.find(name).discriminator_loss(other, x),
            generator_loss(name, x, other),
        ):
            (slope,) = torch.autograd.grad(value, x)
            assert value.isfinite() and slope.isfinite()


# What the flags say.


@EVERY
def test_undecided_is_where_both_sides_pull_alike(name: str) -> None:
    loss = adversarial.find(name)
    undecided = torch.full((3,), loss.UNDECIDED, dtype=torch.float64)
    assert float(loss.discriminator_loss(undecided, undecided)) == pytest.approx(CHANCE[name], abs=1e-12)
    assert float(loss.accuracy(undecided, undecided)) == 0.5
    of_real, of_generated, _ = slopes(name, loss.UNDECIDED, loss.UNDECIDED)
    assert of_generated == -of_real != 0


@EVERY
@pytest.mark.parametrize("shift", [-64.0, 2.0, 64.0])
def test_a_shift_of_all_outputs_means_nothing_to_a_critic_alone(name: str, shift: float) -> None:
    loss = adversarial.find(name)
    assert (name in CRITICS) == loss.CRITIC

    def seen(real: Tensor, generated: Tensor) -> list[Tensor]:
        made = generated.clone().requires_grad_(True)
        (pull,) = torch.autograd.grad(generator_loss(name, made, real), made)
        return [loss.discriminator_loss(real, generated), pull]

    before, after = seen(REAL, GENERATED), seen(REAL + shift, GENERATED + shift)
    assert torch.allclose(before[0], after[0], rtol=1e-12) == loss.CRITIC
    # Hinge pulls G with the same force wherever it is, though its D cares.
    assert torch.allclose(before[1], after[1], rtol=1e-12) == (loss.CRITIC or name == "hinge")


@EVERY
@pytest.mark.parametrize("shift", [-64.0, 64.0])
def test_a_shift_of_all_outputs_changes_the_accuracy_of_all_but_critics(name: str, shift: float) -> None:
    loss = adversarial.find(name)
    real, generated = torch.tensor([4.0, 1.0, 3.0, 2.0]), torch.tensor([-1.0, 0.0, -3.0, -0.25])
    assert float(loss.accuracy(real, generated)) == 1
    assert float(loss.accuracy(real + shift, generated + shift)) == (1 if loss.CRITIC else 0.5)


@EVERY
def test_only_pairs_look_at_real_shapes_for_the_generator(name: str) -> None:
    loss = adversarial.find(name)
    assert list(inspect.signature(loss.discriminator_loss).parameters) == ["real", "generated"]
    expected = ["generated", "real"] if loss.PAIRED else ["generated"]
    assert list(inspect.signature(loss.generator_loss).parameters) == expected
    assert (name == "relativistic") == loss.PAIRED
    # Who is paired with whom matters to them, and to nobody else.
    turned = loss.discriminator_loss(REAL, GENERATED.roll(1))
    assert (abs(float(turned) - CLOSED_FORMS[name][0]) < 1e-12) == (not loss.PAIRED)


# Recipes.

# What each paper changes; a loss that is not here trains as 3D-GAN does.
RECIPES: dict[str, dict[str, Any]] = {
    "wasserstein": {
        "optimizer": "rmsprop",
        "generator_rate": 5e-5,
        "discriminator_rate": 5e-5,
        "clip": 0.01,
        "critic_steps": 5,
        "critic_warmup": 25,
        "gate": 1.0,
    },
    "wasserstein_gp": {
        "gradient_penalty": 10.0,
        "generator_rate": 1e-4,
        "discriminator_rate": 1e-4,
        "beta1": 0.0,
        "beta2": 0.9,
        "critic_steps": 5,
        "gate": 1.0,
        "discriminator_norm": "none",
    },
    "relativistic": {
        "r1": 1.0,
        "r2": 1.0,
        "generator_rate": 2e-4,
        "discriminator_rate": 2e-4,
        "beta1": 0.0,
        "beta2": 0.99,
        "gate": 1.0,
        "generator_norm": "none",
        "discriminator_norm": "none",
    },
}
PAPER = {
    "optimizer": "adam",
    "generator_rate": 0.0025,
    "discriminator_rate": 1e-5,
    "beta1": 0.5,
    "beta2": 0.999,
    "gate": 0.8,
    "critic_steps": 1,
    "critic_warmup": 0,
    "clip": 0.0,
    "gradient_penalty": 0.0,
    "r1": 0.0,
    "r2": 0.0,
}


@EVERY
def test_a_recipe_differs_where_its_paper_does(name: str) -> None:
    assert RECIPES.get(name, {}) == adversarial.find(name).RECIPE
    assert adversarial.recipe(name) == {**PAPER, **RECIPES.get(name, {})}
    assert adversarial.STANDARD == PAPER  # not changed by the asking


@EVERY
@pytest.mark.parametrize("network", NETWORKS)
def test_an_option_is_the_recipes_until_one_is_given(name: str, network: str) -> None:
    recipe = {**NETWORKS[network], **adversarial.recipe(name)}
    assert set(recipe) <= {field.name for field in dataclasses.fields(Config)}
    config = Config(adversarial=name, network=network)
    assert {key: getattr(config, key) for key in recipe} == recipe
    given = {"beta2": 0.25, "gate": 0.5, "critic_steps": 3, "generator_norm": "pixel", "clip": 0.0}
    other = Config(adversarial=name, network=network, **given)
    assert {key: getattr(other, key) for key in recipe} == {**recipe, **given}


@pytest.mark.parametrize("name", ["gate", "penalties", "schedule", "nothing", "", "minimax.x", "__init__"])
def test_unknown_loss(name: str) -> None:
    assert name not in adversarial.names()
    with pytest.raises(KeyError):
        adversarial.find(name)
