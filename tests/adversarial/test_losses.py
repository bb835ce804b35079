from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor

from voxgan import adversarial

REAL = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)
GENERATED = torch.tensor([-2.0, 0.25, 4.0], dtype=torch.float64)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def cross_entropy(real: Tensor, generated: Tensor) -> float:
    """−mean log D(x) − mean log(1 − D(G(z))), written with probabilities as the papers do."""
    return -mean([math.log(sigmoid(x)) for x in real.tolist()]) - mean(
        [math.log(1 - sigmoid(x)) for x in generated.tolist()]
    )


# Name of the loss: closed form of D's and of G's side.
CLOSED_FORMS = {
    "minimax": (cross_entropy, lambda g: mean([math.log(1 - sigmoid(x)) for x in g.tolist()])),
    "non_saturating": (cross_entropy, lambda g: -mean([math.log(sigmoid(x)) for x in g.tolist()])),
}
# Name of the loss: derivative of G's side by one logit x.
GENERATOR_SLOPES = {
    "minimax": lambda x: -sigmoid(x),
    "non_saturating": lambda x: -sigmoid(-x),
}


def slope(value: Tensor, logits: Tensor) -> float:
    (gradient,) = torch.autograd.grad(value, logits)
    return float(gradient.sum())


def test_every_loss_is_tested_here() -> None:
    assert set(CLOSED_FORMS) == set(GENERATOR_SLOPES) == set(adversarial.names())


@pytest.mark.parametrize("name", adversarial.names())
def test_closed_form(name: str) -> None:
    loss = adversarial.find(name)
    discriminator, generator = CLOSED_FORMS[name]
    assert float(loss.discriminator_loss(REAL, GENERATED)) == pytest.approx(discriminator(REAL, GENERATED), rel=1e-12)
    assert float(loss.generator_loss(GENERATED)) == pytest.approx(generator(GENERATED), rel=1e-12)


@pytest.mark.parametrize("name", adversarial.names())
@pytest.mark.parametrize("logit", [-20.0, 0.0, 20.0])
def test_gradient_of_the_generator_does_not_vanish_on_saturated_logits(name: str, logit: float) -> None:
    generated = torch.tensor([logit], requires_grad=True)
    found = slope(adversarial.find(name).generator_loss(generated), generated)
    assert found != 0
    assert found == pytest.approx(GENERATOR_SLOPES[name](logit), rel=1e-5)


@pytest.mark.parametrize("name", adversarial.names())
@pytest.mark.parametrize("logit", [-20.0, 0.0, 20.0])
def test_gradient_of_the_discriminator_does_not_vanish_on_saturated_logits(name: str, logit: float) -> None:
    real = torch.tensor([logit], requires_grad=True)
    generated = torch.tensor([logit], requires_grad=True)
    loss = adversarial.find(name).discriminator_loss(real, generated)
    found = torch.autograd.grad(loss, (real, generated))
    assert float(found[0]) == pytest.approx(-sigmoid(-logit), rel=1e-5) and float(found[0]) != 0
    assert float(found[1]) == pytest.approx(sigmoid(logit), rel=1e-5) and float(found[1]) != 0


def test_non_saturating_generator_learns_most_where_it_loses_and_minimax_least() -> None:
    losing = {}
    for name in ("minimax", "non_saturating"):
        generated = torch.tensor([-20.0], requires_grad=True)
        losing[name] = abs(slope(adversarial.find(name).generator_loss(generated), generated))
    assert losing["non_saturating"] == pytest.approx(1) and losing["minimax"] < 1e-8


@pytest.mark.parametrize("name", adversarial.names())
@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_extreme_logits_stay_finite(name: str, logit: float) -> None:
    loss, logits = adversarial.find(name), torch.tensor([logit])
    assert torch.isfinite(loss.discriminator_loss(logits, logits)) and torch.isfinite(loss.generator_loss(logits))


@pytest.mark.parametrize("name", adversarial.names())
def test_signature_of_the_registry(name: str) -> None:
    loss = adversarial.find(name)
    assert list(inspect.signature(loss.discriminator_loss).parameters) == ["real", "generated"]
    assert list(inspect.signature(loss.generator_loss).parameters) == ["generated"]


@pytest.mark.parametrize("name", ["gate", "nothing", "", "minimax.x", "__init__"])
def test_unknown_loss(name: str) -> None:
    assert name not in adversarial.names()
    with pytest.raises(KeyError):
        adversarial.find(name)
