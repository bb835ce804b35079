from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest

from voxgan.training.signs import SHUT, Watch

GAN = ("discriminator", "generator")
VAE = ("discriminator", "autoencoder")
Step = Callable[[int, random.Random], dict[str, float]]


def healthy(step: int, chance: random.Random) -> dict[str, float]:
    """A step of a run that turns out well, as the shipped chairs had them."""
    begun = min(1.0, step / 100)
    accuracy = min(1.0, max(0.3, chance.gauss(0.7 + 0.2 * min(1, step / 3000), 0.12)))
    return {
        "discriminator.total": abs(chance.gauss(1.0, 0.3)),
        "discriminator.moved": float(accuracy < 0.8),
        "accuracy": accuracy,
        "generator.total": abs(chance.gauss(1.5, 0.6)) + (chance.random() < 0.02) * 4,
        "generator.moved": 1.0,
        "occupied": 0.42 * (1 - begun) + 0.05 * begun * chance.uniform(0.5, 1.5),
        "real_occupied": 0.056 * chance.uniform(0.8, 1.2),
        "spread": begun * chance.uniform(0.6, 1.3),
        "sound": float(chance.random() > 0.002),
    }


def run(
    step: Step, steps: int = 800, phases: tuple[str, ...] = GAN, watch: Watch | None = None
) -> list[tuple[int, str]]:
    chance = random.Random(0)
    watch = watch or Watch(phases)
    told = []
    for number in range(1, steps + 1):
        told += [(number, text) for text in watch(number, step(number, chance))]
    return told


def but(**changes: float) -> Step:
    """A healthy run in which some figures are otherwise; a double underscore stands for the dot."""
    named = {key.replace("__", "."): value for key, value in changes.items()}
    return lambda step, chance: {**healthy(step, chance), **named}


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_run_is_silent(seed: int) -> None:
    chance, watch = random.Random(seed), Watch(GAN)
    assert [text for step in range(1, 4001) for text in watch(step, healthy(step, chance))] == []


FAILURES: list[tuple[str, Step, tuple[str, ...], list[str]]] = [
    (
        "empty, D loses",
        but(occupied=0.001, accuracy=0.6, discriminator__moved=1.0),
        GAN,
        ["nearly empty grids: 0.10%", "try a higher discriminator_rate"],
    ),
    ("empty, D wins", but(occupied=0.001, accuracy=0.85), GAN, ["nearly empty grids", "try instance_noise=0.1"]),
    (
        "empty, gate mostly shut",
        lambda step, chance: {**but(occupied=0.001, accuracy=0.7)(step, chance), "discriminator.moved": step % 3 == 0},
        GAN,
        ["nearly empty grids", "try instance_noise=0.1"],
    ),
    ("empty and equal", but(occupied=0.0, spread=0.0), GAN, ["nearly empty grids"]),
    ("full and equal", but(occupied=0.9, spread=0.0), GAN, ["fills its grids"]),
    ("full", but(occupied=0.9, accuracy=0.9), GAN, ["fills its grids: 90.0%", "higher generator_rate"]),
    ("full, unnoticed", but(occupied=0.9, accuracy=0.4), GAN, ["fills its grids", "higher discriminator_rate"]),
    ("equal", but(spread=0.01), GAN, ["differ by 1.0%", "pack=2"]),
    (
        "saturated",
        but(accuracy=0.998, discriminator__total=0.01, discriminator__moved=1.0),
        GAN,
        ["discriminator is saturated: accuracy 99.8%", "gate=0.8"],
    ),
    ("guessing", but(accuracy=0.5, discriminator__total=2 * math.log(2)), GAN, ["learns nothing: accuracy 50%"]),
    ("fooled", but(accuracy=0.1, discriminator__total=8.0), GAN, ["learns nothing: accuracy 10% and a loss of 8"]),
    (
        "shut",
        but(accuracy=0.95, discriminator__moved=0.0, sound=1.0),
        GAN,
        ["gate has been shut for 300", "discriminator_rate", "higher generator_rate"],
    ),
    (
        "shut but for moments",
        lambda step, chance: {**healthy(step, chance), "discriminator.moved": float(step % 50 == 0), "sound": 1.0},
        GAN,
        ["gate was shut in 98.0% of the last 300 steps", "instance_noise"],
    ),
    (
        "alike",
        but(samples__pairwise_iou=0.7, samples__empty=0.0, data__pairwise_iou=0.2),
        GAN,
        ["far more alike than the data: two of them have a mean IoU of 0.70, two real shapes 0.20", "pack=2"],
    ),
    ("alike and equal", but(spread=0.01, samples__pairwise_iou=1.0, data__pairwise_iou=0.2), GAN, ["nearly equal"]),
    ("KL away", but(autoencoder__kl=4000.0), VAE, ["KL term runs away: 4000 nats", "encoder_rate"]),
    ("KL gone", but(autoencoder__kl=0.1), VAE, ["encoder says nothing", "kl_weight"]),
]


@pytest.mark.parametrize(("step", "phases", "said"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
def test_each_failure_is_told_once(step: Step, phases: tuple[str, ...], said: list[str]) -> None:
    told = run(step, 2000, phases)
    assert len(told) == 1, told
    number, text = told[0]
    assert 300 <= number <= 400 and all(part in text for part in said)
    assert "\n" not in text
    assert ": " in text and "In a new run, try " in text, "an option of the model cannot be changed by a resume"


@pytest.mark.parametrize(
    ("phase", "phases", "advice"),
    [
        ("generator", GAN, "generator_rate"),
        ("discriminator", GAN, "discriminator_rate"),
        ("autoencoder", VAE, "encoder"),
    ],
)
def test_an_exploding_loss(phase: str, phases: tuple[str, ...], advice: str) -> None:
    def step(number: int, chance: random.Random) -> dict[str, float]:
        rise = 1.1 ** max(0, number - 500)
        return {**healthy(number, chance), f"{phase}.total": min(1.4 * rise, 1e6)}  # beyond all bounds, but told

    ((number, text),) = run(step, 700, phases)
    assert 500 < number <= 560 and f"{phase}'s loss is exploding" in text and advice in text


@pytest.mark.parametrize("sign", [1, -1])
def test_losses_beyond_all_bounds_are_told_early_and_alone(sign: int) -> None:
    step = but(generator__total=sign * 1e7, discriminator__total=3e8, occupied=0.0, spread=0.0, accuracy=0.95)
    ((number, text),) = run(step, 2000)
    assert number == 50 and "discriminator's loss is beyond all bounds: 3e+08" in text
    assert "In a new run, try a much lower generator_rate and discriminator_rate" in text


def test_beyond_all_bounds_and_back() -> None:
    def step(number: int, chance: random.Random) -> dict[str, float]:
        wild = number <= 400
        return {**healthy(number, chance), "occupied": 0.0, **({"generator.total": 5e4} if wild else {})}

    numbers = [number for number, _ in run(step, 1500)]
    assert len(numbers) == 2 and numbers[0] == 50 and 400 < numbers[1] <= 430, "others are silent until it has gone"


@pytest.mark.parametrize(("term", "told"), [("kl", 0), ("adversarial", 1), ("reconstruction", 1)])
def test_a_total_may_be_large_by_the_weight_of_its_kl_term(term: str, told: int) -> None:
    terms = {"kl": 300.0, "adversarial": 2.0, "reconstruction": 300.0}
    if term != "kl":
        terms[term] = 1e6
    figures = {f"autoencoder.{name}": value for name, value in terms.items()} | {"autoencoder.total": 5e4}
    found = run(lambda step, chance: {**healthy(step, chance), **figures}, 900, VAE)
    assert len(found) == told and all(f"autoencoder's {term} term is beyond all bounds" in text for _, text in found)


def test_skipped_steps() -> None:
    def step(number: int, chance: random.Random) -> dict[str, float]:
        bad = 600 <= number < 604
        return {**healthy(number, chance), "sound": float(not bad), **({"generator.total": math.nan} if bad else {})}

    ((number, text),) = run(step, 1000)
    assert number == 610 and text.startswith("4 of the last 100 steps were skipped") and "retries" in text


def sampled(every: int, pairwise: Callable[[int], float], **changes: float) -> Step:
    """A healthy run that draws samples now and then; the data's mean IoU is a fifth."""

    def step(number: int, chance: random.Random) -> dict[str, float]:
        figures = {"samples.pairwise_iou": pairwise(number), "samples.empty": 0.0, "data.pairwise_iou": 0.2}
        changed = {key.replace("__", "."): value for key, value in changes.items()}
        return {**healthy(number, chance), **(figures | changed if number % every == 0 else {})}

    return step


@pytest.mark.parametrize(
    ("every", "pairwise", "told"),
    [
        (500, 0.65, [1000]),
        (150, 0.65, [450]),  # of steps 300 and 450: what was before counts for nothing
        (35, 0.65, [350]),  # of 315 and 350
        (500, 0.59, []),
        (3000, 0.9, []),
    ],
)
def test_samples_that_are_alike(every: int, pairwise: float, told: list[int]) -> None:
    assert [number for number, _ in run(sampled(every, lambda _: pairwise), 3000)] == told


def test_one_sampling_is_no_sign_and_two_good_ones_end_it() -> None:
    assert run(sampled(500, lambda step: 0.9 if step == 1000 else 0.2), 3000) == []
    bad = {1000, 1500, 3500, 4000}
    told = run(sampled(500, lambda step: 0.9 if step in bad else 0.25), 5000)
    assert [number for number, _ in told] == [1500, 4000]


@pytest.mark.parametrize(
    ("phases", "changes"),
    [
        (VAE, {"autoencoder__reconstruction": 0.5}),  # its shapes from noise say little
        (GAN, {"samples__empty": 0.6}),  # empty grids are equal
        (GAN, {"data__pairwise_iou": math.nan}),
    ],
)
def test_samples_that_are_alike_for_another_reason(phases: tuple[str, ...], changes: dict[str, float]) -> None:
    assert run(sampled(100, lambda _: 1.0, **changes), 2000, phases) == []


def test_samplings_from_long_before_a_resume_count() -> None:
    chance, step = random.Random(0), sampled(2500, lambda _: 0.9)
    lines = [{"step": number, **step(number, chance)} for number in range(1, 8001)]
    for cut, wanted in ((4900, [5000]), (7400, [])):  # the second was told at 5,000
        watch = Watch(GAN)
        watch.replay(lines[:cut])
        assert [line["step"] for line in lines[cut:] if watch(int(line["step"]), line)] == wanted


def test_what_a_bad_step_says_is_passed_over() -> None:
    def step(number: int, chance: random.Random) -> dict[str, float]:
        bad = number % 50 == 0
        return {**healthy(number, chance), "sound": 1.0, **({"sound": 0.0, "generator.total": 1e30} if bad else {})}

    assert run(step, 1500) == []


@pytest.mark.parametrize("change", [{"occupied": 0.0}, {"occupied": 0.9, "accuracy": 0.9}, {"spread": 0.0}])
def test_shapes_from_noise_of_a_model_that_reconstructs(change: dict[str, float]) -> None:
    told = run(but(**change, autoencoder__reconstruction=0.5, autoencoder__total=0.5), 1500, VAE)
    assert told == []


def test_the_gate_is_counted_in_a_row() -> None:
    def step(number: int, chance: random.Random) -> dict[str, float]:
        shut = number % SHUT if number > 1000 else number % 15
        return {**healthy(number, chance), "discriminator.moved": float(shut == 0)}

    assert run(step, 1000) == [], "open in 7 % of the steps"
    ((number, text),) = run(step, 1600)
    assert number > 1000 and "of the last 300 steps" in text, "never shut for 200 in a row"
    told = run(but(discriminator__moved=0.0, sound=1.0))
    assert len(told) == 1 and "shut for 300 steps" in told[0][1]


def occupied_at(bad: Callable[[int], bool]) -> Step:
    return lambda step, chance: {**healthy(step, chance), "occupied": 0.001 if bad(step) else 0.06}


def test_told_again_only_after_it_went_away() -> None:
    told = run(occupied_at(lambda step: step < 1000 or step > 1500), 3000)
    assert [number for number, _ in told] == [300, pytest.approx(1600, abs=20)]


def test_not_told_again_at_once() -> None:
    told = run(occupied_at(lambda step: step // 150 % 2 == 0), 3000)
    assert 1 < len(told) <= 6
    numbers = [number for number, _ in told]
    assert all(b - a >= 500 for a, b in pairwise(numbers))


def test_between_the_bounds_nothing_changes() -> None:
    def step(number: int, chance: random.Random) -> dict[str, float]:
        return {**healthy(number, chance), "real_occupied": 0.1, "occupied": 0.005 if number // 200 % 2 == 0 else 0.015}

    assert len(run(step, 3000)) == 1


def test_nothing_in_the_first_steps() -> None:
    assert run(but(occupied=0.0, spread=0.0, accuracy=1.0, discriminator__total=0.0), 290) == []


@pytest.mark.parametrize("figures", [{}, {"accuracy": None, "occupied": math.nan}, {"real_occupied": 0.1}])
def test_missing_figures(figures: Mapping[str, Any]) -> None:
    watch = Watch(GAN)
    assert all(watch(step, figures) == [] for step in range(1, 601))


def test_after_a_resume_it_goes_on_as_if_there_was_none() -> None:
    step = occupied_at(lambda number: 700 < number < 1300 or number > 2100)
    chance = random.Random(0)
    lines = [{"step": number, **step(number, chance)} for number in range(1, 2501)]
    whole = Watch(GAN)
    wanted = [(line["step"], text) for line in lines for text in whole(int(line["step"]), line)]
    assert len(wanted) == 2
    for cut in (100, 790, 1000, 1350, 2150):
        watch = Watch(GAN)
        watch.replay(lines[:cut])
        later = [(line["step"], text) for line in lines[cut:] for text in watch(int(line["step"]), line)]
        assert later == [told for told in wanted if told[0] > cut]
