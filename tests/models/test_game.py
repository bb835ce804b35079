"""One batch of the game, against the formulas written out by hand on packed tensors, in double precision."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from voxgan import adversarial, models
from voxgan.batches import Plan
from voxgan.dataset import Dataset
from voxgan.draws import Draws
from voxgan.loader import load_batches
from voxgan.models import game
from voxgan.models.model import Config, Model, make_config
from voxgan.networks.heads import Judge
from voxgan.training import Training
from voxgan.training.ranks import ALONE
from voxgan.training.step import Stepper

PACKS, PACK = 4, 2
CLASSES = ("chair", "lamp", "table")
LABELS = torch.tensor([0, 1, 2, 0, 1, 1, 2, 2])
PENALTIES: list[dict[str, float]] = [
    {"r1": 3.0, "r2": 0.0},
    {"r1": 0.0, "r2": 0.5},
    {"gradient_penalty": 10.0},
    {"r1": 1.0, "r2": 2.0, "gradient_penalty": 5.0},
]
NONE = {"r1": 0.0, "r2": 0.0, "gradient_penalty": 0.0}


def make(name: str = "gan3d", **options: Any) -> Model:
    torch.manual_seed(0)
    tiny = {"resolution": 16, "width": 4, "latent": 8, "discriminator_norm": "none", "adversarial": "hinge"}
    kind = models.find(name)
    return kind(make_config(kind.Config, {**tiny, **options})).double()


def shapes(count: int = PACKS * PACK, **options: Any) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return tuple(torch.rand(2, count, 1, 16, 16, 16, dtype=torch.float64, **options))


def packed(side: Tensor, pack: int = PACK) -> Tensor:
    """Shapes side by side on the channel axis."""
    return torch.stack([torch.cat([*side[first : first + pack]]) for first in range(0, len(side), pack)])


def squares(discriminator: Judge, points: Tensor, **options: Any) -> Tensor:
    """‖∇D‖² of each pack, one by one."""
    found = []
    for place in range(len(points)):
        point = points[place : place + 1].detach().requires_grad_(True)
        told = {key: value[place : place + 1] for key, value in options.items()}
        (gradient,) = torch.autograd.grad(discriminator(point, **told), point, create_graph=True)
        found.append(gradient.square().sum())
    return torch.stack(found)


class Plane(nn.Module):
    """D(x) = w·x, for packs of any shape."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = w

    def judge(self, points: Tensor, groups: int = 1, labels: Tensor | None = None) -> tuple[Tensor, None]:
        return (points * self.w).flatten(1).sum(1), None


# Penalties.


@pytest.mark.parametrize("size", [0.5, 1.0, 3.0])
def test_penalties_of_a_plane(size: float) -> None:
    torch.manual_seed(0)
    w = torch.randn(PACK, 3, 4, 5, dtype=torch.float64)
    plane = Plane(size * w / w.norm())
    real, generated = torch.rand(2, 6, PACK, 3, 4, 5, dtype=torch.float64)

    def penalty(**options: float) -> float:
        config = Config(adversarial="wasserstein", discriminator_norm="none", pack=PACK, **options)
        return game.discriminator_terms(config, plane, real, generated, Draws(0, 12))["penalty"].item()

    assert penalty(gradient_penalty=10.0) == pytest.approx(10 * (size - 1) ** 2, abs=1e-9)
    assert penalty(r1=4.0) == penalty(r2=4.0) == pytest.approx(2 * size**2)
    assert penalty(r1=1.0, r2=2.0, gradient_penalty=10.0) == pytest.approx(1.5 * size**2 + 10 * (size - 1) ** 2)


@pytest.mark.parametrize("network", ["paper", "residual"])
def test_the_gradient_penalty_is_of_packs(network: str) -> None:
    model, (real, generated) = make(network=network, pack=PACK, gradient_penalty=10.0), shapes()
    draws = Draws(5, len(real))
    found = model.discriminator_terms(real, generated, draws)["penalty"].item()
    share = Draws(5, len(real)).of("penalty").uniform()[::PACK].double().reshape(-1, 1, 1, 1, 1)  # one for a pack
    points = share * packed(real) + (1 - share) * packed(generated)
    slopes = squares(model.discriminator, points).sqrt().detach()
    assert found == pytest.approx(float(10 * (slopes - 1).square().mean()), rel=1e-9)
    # Each shape's own part of that slope, as a penalty around the packing would see it, is another number.
    point = points.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(model.discriminator(point).sum(), point)
    alone = gradient.flatten(0, 1).flatten(1).norm(dim=1)
    assert abs(found - float(10 * (alone - 1).square().mean())) > 0.01


@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("gammas", [(3.0, 0.0), (0.0, 0.5), (1.0, 2.0)])
def test_r1_is_of_real_packs_and_r2_of_generated_ones(pack: int, gammas: tuple[float, float]) -> None:
    r1, r2 = gammas
    model, (real, generated) = make(pack=pack, r1=r1, r2=r2), shapes()
    generated = 3 * generated  # their slopes are others
    found = model.discriminator_terms(real, generated, Draws(0, 8))["penalty"].item()
    of_real, of_generated = (
        squares(model.discriminator, packed(side, pack)).mean().item() for side in (real, generated)
    )
    assert abs(of_real - of_generated) > 1e-3
    assert found == pytest.approx(r1 / 2 * of_real + r2 / 2 * of_generated, rel=1e-9)


@pytest.mark.parametrize("options", PENALTIES)
@pytest.mark.parametrize("condition", ["projection", "concatenation"])
def test_penalties_are_told_the_class(options: dict[str, float], condition: str) -> None:
    model = make(pack=PACK, condition=condition, classes=CLASSES, **options)
    real, generated = shapes()
    labels, o = LABELS.reshape(-1, PACK), {**NONE, **options}
    found = model.discriminator_terms(real, generated, Draws(5, 8), LABELS)["penalty"].item()
    share = Draws(5, 8).of("penalty").uniform()[::PACK].double().reshape(-1, 1, 1, 1, 1)
    points = share * packed(real) + (1 - share) * packed(generated)
    r1, r2, between = (
        squares(model.discriminator, side, labels=labels).detach() for side in (packed(real), packed(generated), points)
    )
    expected = o["r1"] / 2 * r1.mean() + o["r2"] / 2 * r2.mean()
    expected = expected + o["gradient_penalty"] * (between.sqrt() - 1).square().mean()
    assert found == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("options", PENALTIES)
@pytest.mark.parametrize("pack", [1, 2])
def test_the_gradient_of_the_whole_is_that_of_the_formula(options: dict[str, float], pack: int) -> None:
    model, (real, generated) = make(pack=pack, adversarial="non_saturating", **options), shapes()
    weights, o = list(model.discriminator.parameters()), {**NONE, **options}
    total = model.discriminator_terms(real, generated, Draws(5, 8))["total"]
    found = torch.autograd.grad(total, weights)
    share = Draws(5, 8).of("penalty").uniform()[::pack].double().reshape(-1, 1, 1, 1, 1)
    real, generated = packed(real, pack), packed(generated, pack)
    expected = nn.functional.softplus(-model.discriminator(real)).mean()
    expected = expected + nn.functional.softplus(model.discriminator(generated)).mean()
    expected = expected + o["r1"] / 2 * squares(model.discriminator, real).mean()
    expected = expected + o["r2"] / 2 * squares(model.discriminator, generated).mean()
    slopes = squares(model.discriminator, share * real + (1 - share) * generated).sqrt()
    expected = expected + o["gradient_penalty"] * (slopes - 1).square().mean()
    assert total.item() == pytest.approx(expected.item(), rel=1e-9)
    torch.testing.assert_close(found, torch.autograd.grad(expected, weights))


def test_shapes_that_were_given_stay_as_they_were() -> None:
    model, (real, occupancy) = make(pack=PACK, r1=1.0, r2=1.0, gradient_penalty=1.0), shapes()
    occupancy.requires_grad_(True)
    generated, copies = occupancy * 1, (real.clone(), occupancy.detach().clone())
    model.discriminator_terms(real, generated, Draws(0, 8))["total"].backward()
    assert torch.equal(real, copies[0]) and torch.equal(generated, copies[1])
    assert not real.requires_grad and generated.requires_grad  # G's phase still needs its graph
    assert occupancy.grad is None  # nothing of D's loss comes to G


# What is in the loss.


@pytest.mark.parametrize("options", [{}, *PENALTIES])
@pytest.mark.parametrize("name", ["gan3d", "ac_gan3d"])
def test_the_whole_is_the_sum_of_its_parts(name: str, options: dict[str, float]) -> None:
    model, (real, generated) = make(name, pack=PACK, classes=CLASSES, **options), shapes()
    labels = LABELS if name == "ac_gan3d" else None
    terms = model.discriminator_terms(real, generated, Draws(0, 8), labels)
    parts = {"adversarial", *(["penalty"] if options else []), *(["class"] if labels is not None else [])}
    parts = parts if len(parts) > 1 else set()
    others = {"total", "accuracy", *(["class_accuracy"] if labels is not None else [])}
    assert terms.keys() == parts | others
    loss = adversarial.find("hinge")
    plain = loss.discriminator_loss(model.discriminator(packed(real)), model.discriminator(packed(generated)))
    whole = {key: terms[key].item() for key in parts} or {"adversarial": terms["total"].item()}
    assert terms["total"].item() == pytest.approx(sum(whole.values()), rel=1e-12)
    assert whole["adversarial"] == pytest.approx(plain.item(), rel=1e-12)
    assert [key for key, value in terms.items() if value.requires_grad] == ["total"]
    assert all(value.shape == () for value in terms.values())


@pytest.mark.parametrize("name", adversarial.names())
@pytest.mark.parametrize("pack", [1, 2])
def test_accuracy_and_loss_are_of_packs(name: str, pack: int) -> None:
    model, (real, generated) = make(adversarial=name, pack=pack, **NONE), shapes()
    terms = model.discriminator_terms(real, generated, Draws(0, 8))
    loss = adversarial.find(name)
    on_real, on_generated = (model.discriminator(packed(side, pack)).detach() for side in (real, generated))
    assert len(on_real) == 8 // pack
    assert terms["total"].item() == pytest.approx(loss.discriminator_loss(on_real, on_generated).item(), rel=1e-12)
    assert float(terms["accuracy"]) == float(loss.accuracy(on_real, on_generated))


@pytest.mark.parametrize("name", adversarial.names())
def test_real_and_generated_packs_are_normalised_apart(name: str) -> None:
    model, (real, generated) = make(adversarial=name, discriminator_norm="batch", pack=PACK, **NONE), shapes()
    weights = list(model.discriminator.parameters())
    found = torch.autograd.grad(model.discriminator_terms(real, 0.1 * generated, Draws(0, 8))["total"], weights)
    sides = (model.discriminator(packed(side)) for side in (real, 0.1 * generated))
    expected = torch.autograd.grad(adversarial.find(name).discriminator_loss(*sides), weights)
    torch.testing.assert_close(found, expected)


# Classes that D says (AC-GAN).


def plain_entropy(logits: Tensor, labels: Tensor) -> float:
    """−mean log P(class), one shape after the other."""
    found = [
        math.log(sum(math.exp(x) for x in row)) - row[label]
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    return sum(found) / len(found)


@pytest.mark.parametrize("pack", [1, 2])
def test_real_and_generated_shapes_are_to_be_recognised_alike(pack: int) -> None:
    model, (real, generated) = make("ac_gan3d", classes=CLASSES, pack=pack), shapes()
    terms = model.discriminator_terms(real, generated, Draws(0, 8), LABELS)
    named = [model.discriminator.judge(packed(side, pack))[1] for side in (real, generated)]
    of_real, of_generated = (plain_entropy(logits.reshape(8, 3), LABELS) for logits in named)
    assert terms["class"].item() == pytest.approx(of_real + of_generated, rel=1e-12)
    assert of_real != pytest.approx(of_generated, rel=1e-3)
    guessed = named[0].reshape(8, 3).argmax(1)
    assert float(terms["class_accuracy"]) == float((guessed == LABELS).double().mean())
    # A generated shape of another class would cost another number.
    wrong = model.discriminator_terms(real, generated, Draws(0, 8), LABELS.roll(1))["class"].item()
    assert wrong != pytest.approx(terms["class"].item(), rel=1e-4)


def test_the_class_term_is_the_sum_over_both_sides_as_the_adversarial_one_is() -> None:
    """Odena et al. 2017, eq. 2 and 3: L_S and L_C are both sums of a term for real and one for generated shapes."""
    model, (real, generated) = make("ac_gan3d", classes=CLASSES, adversarial="non_saturating"), shapes()
    terms = model.discriminator_terms(real, generated, Draws(0, 8), LABELS)
    named = [model.discriminator.judge(side)[1] for side in (real, generated)]
    both = sum(plain_entropy(logits[:, 0], LABELS) for logits in named)
    assert terms["class"].item() == pytest.approx(both, rel=1e-12)


@pytest.mark.parametrize("pack", [1, 2])
def test_the_generator_is_told_the_class_that_was_asked_of_it(pack: int) -> None:
    model, (real, generated) = make("ac_gan3d", classes=CLASSES, pack=pack), shapes()
    terms = model.generator_terms(generated, real, LABELS)
    logits, named = model.discriminator.judge(packed(generated, pack))
    assert terms.keys() == {"adversarial", "class"}
    assert terms["class"].item() == pytest.approx(plain_entropy(named.reshape(8, 3), LABELS), rel=1e-12)
    assert terms["adversarial"].item() == pytest.approx(-logits.mean().item(), rel=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_the_weight_of_the_class_is_the_generators(weight: float, tiny_data: Path) -> None:
    model = make("ac_gan3d", classes=("round", "square"), class_weight=weight).float()
    stepper = Stepper(model, Training(batch=4), ALONE, Plan(augment=True))
    with Dataset(tiny_data) as data:
        (raw,) = load_batches(data, 4, 0, stepper.plan, 0, 1)
        figures = dict(stepper.run(0, raw, {}))
    expected = figures["generator.adversarial"] + weight * figures["generator.class"]
    assert figures["generator.total"] == pytest.approx(expected, rel=1e-6)
    expected = figures["discriminator.adversarial"] + figures["discriminator.class"]
    assert figures["discriminator.total"] == pytest.approx(expected, rel=1e-6)


# The generator's side.


@pytest.mark.parametrize("name", adversarial.names())
@pytest.mark.parametrize("pack", [1, 2])
def test_the_generators_loss_and_its_gradient(name: str, pack: int) -> None:
    model, (real, generated) = make(adversarial=name, pack=pack, **NONE), shapes()
    generated.requires_grad_(True)
    loss, weights = adversarial.find(name), list(model.discriminator.parameters())
    terms = model.generator_terms(generated, real)
    found = torch.autograd.grad(terms["adversarial"], [generated, *weights])
    on_generated = model.discriminator(packed(generated, pack))
    on_real = model.discriminator(packed(real, pack)).detach()  # real shapes are a measure, not something to move
    expected = loss.generator_loss(on_generated, on_real) if loss.PAIRED else loss.generator_loss(on_generated)
    assert terms.keys() == {"adversarial"}
    assert terms["adversarial"].item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(found, torch.autograd.grad(expected, [generated, *weights]))
    assert float(found[0].abs().sum((1, 2, 3, 4)).min()) > 0  # every shape of every pack


def test_pairs_are_judged_with_their_class() -> None:
    model = make(adversarial="relativistic", condition="projection", classes=CLASSES, pack=PACK)
    real, generated = shapes()
    labels = LABELS.reshape(-1, PACK)
    on_real, on_generated = (model.discriminator(packed(side), labels=labels) for side in (real, generated))
    expected = nn.functional.softplus(on_real - on_generated).mean().item()
    assert model.generator_terms(generated, real, LABELS)["adversarial"].item() == pytest.approx(expected, rel=1e-12)
    assert model.generator_terms(generated, real, LABELS.roll(1))["adversarial"].item() != pytest.approx(
        expected, rel=1e-6
    )


# A gate that is shut.


@pytest.mark.parametrize("options", [{}, *PENALTIES])
@pytest.mark.parametrize("name", ["gan3d", "ac_gan3d"])
def test_without_gradients_the_figures_are_the_same_and_have_no_graph(name: str, options: dict[str, float]) -> None:
    model, (real, generated) = make(name, pack=PACK, classes=CLASSES, **options), shapes()
    labels = LABELS if name == "ac_gan3d" else None
    expected = model.discriminator_terms(real, generated, Draws(0, 8), labels)
    with torch.no_grad():
        found = model.discriminator_terms(real, generated, Draws(0, 8), labels)
    assert expected["total"].requires_grad and not any(value.requires_grad for value in found.values())
    assert all(value.isfinite() for value in found.values())
    torch.testing.assert_close(found, {key: value.detach() for key, value in expected.items()})


# Parts of a batch.


@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("parts", [2, 4])
def test_a_gradient_penalty_does_not_depend_on_how_the_batch_is_divided(pack: int, parts: int) -> None:
    model, (real, generated) = make(pack=pack, gradient_penalty=10.0), shapes()
    whole = model.discriminator_terms(real, generated, Draws(5, 8))["penalty"].item()
    found = []
    for first in range(0, 8, 8 // parts):
        part = slice(first, first + 8 // parts)
        found.append(model.discriminator_terms(real[part], generated[part], Draws(5, 8, part))["penalty"].item())
    assert sum(found) / parts == pytest.approx(whole, rel=1e-9)
    assert len({round(value, 9) for value in found}) == parts
    assert model.discriminator_terms(real, generated, Draws(6, 8))["penalty"].item() != pytest.approx(whole, rel=1e-6)


def penalty_of_a_step(model: Model, accumulate: int, tiny_data: Path) -> float:
    images = "stored" if "image" in model.conditions else "none"
    stepper = Stepper(model.float(), Training(batch=8, accumulate=accumulate), ALONE, Plan(images, augment=True))
    with Dataset(tiny_data) as data:
        (raw,) = load_batches(data, 8, 0, stepper.plan, 0, 1)
        return stepper.run(0, raw, {})["discriminator.penalty"]


# Names of models, with options for which a shape of a batch does not depend on its neighbours.
DIVIDED = [
    pytest.param("gan3d", {}, id="gan3d"),
    pytest.param("gan3d", {"condition": "projection", "classes": ("round", "square")}, id="conditional"),
    pytest.param("ac_gan3d", {"classes": ("round", "square")}, id="ac_gan3d"),
    pytest.param("vae_gan3d", {"joint": False}, id="vae_gan3d"),
    pytest.param("vae_gan3d", {"joint": True, "prior_share": 1.0}, id="vae_gan3d, joint"),
    pytest.param(
        "vae_gan3d",
        {"joint": True, "prior_share": 0.5},
        id="vae_gan3d, joint, half",
    ),
]


@pytest.mark.parametrize(("name", "options"), DIVIDED)
@pytest.mark.parametrize("pack", [1, 2])
def test_a_steps_gradient_penalty_does_not_depend_on_its_parts(
    name: str, options: dict[str, Any], pack: int, tiny_data: Path
) -> None:
    options = {**options, "generator_norm": "none", "gradient_penalty": 10.0, "pack": pack}
    whole = penalty_of_a_step(make(name, **options), 1, tiny_data)
    assert penalty_of_a_step(make(name, **options), 2, tiny_data) == pytest.approx(whole, rel=1e-5)
