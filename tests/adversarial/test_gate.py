from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

import voxgan
from voxgan import adversarial
from voxgan.adversarial.gate import Gate, accuracy, midpoint_accuracy, paired_accuracy
from voxgan.batches import Plan
from voxgan.dataset import Dataset
from voxgan.loader import load_batches
from voxgan.models.gan3d import GAN3D, GAN3DConfig
from voxgan.models.model import Batch
from voxgan.training import Training
from voxgan.training.ranks import ALONE
from voxgan.training.step import Stepper

THRESHOLD = 0.75
SCRIPT = [0.9, 0.75, 1.0, 0.0, 0.76, 0.8, 0.7, 0.5]
# In each step the *former* entry decides: at most the threshold is open, and so is the first step.
EXPECTED = [True, False, True, False, True, False, False, True]

EVERY_LOSS = pytest.mark.parametrize("name", adversarial.names())
CRITICS = [name for name in adversarial.names() if adversarial.find(name).CRITIC]
TINY = {"width": 4, "batch": 4, "latent": 8, "sample_every": 0, "save_every": 1, "gate": THRESHOLD}


def test_a_scripted_sequence_gives_exactly_its_updates() -> None:
    gate, last, moved = Gate(THRESHOLD), {}, []
    for value in SCRIPT:
        moved.append(gate(last))
        last = {"accuracy": value}
    assert moved == EXPECTED


@pytest.mark.parametrize("of", [10, 20, 40, 64, 200])
@pytest.mark.parametrize("share", [0.5, 0.75, 0.8, 0.9])
def test_exactly_the_threshold_is_open_in_single_precision_too(of: int, share: float) -> None:
    right = of * share
    if right != int(right):
        right = int(right)  # no batch of this size hits the threshold: below it is open as well
    for more, is_open in ((0, True), (1, False)):
        logits = torch.where(torch.arange(of) < int(right) + more, 1.0, -1.0)
        figure = float(accuracy(logits[: of // 2], -logits[of // 2 :]))
        assert Gate(share)({"accuracy": figure}) is is_open


def test_threshold_one_is_always_open_and_zero_only_for_none_right() -> None:
    assert Gate(1.0)({"accuracy": 1.0})
    assert Gate(0.0)({"accuracy": 0.0}) and not Gate(0.0)({"accuracy": 0.01})


def test_accuracy_counts_zero_as_generated() -> None:
    zero = torch.zeros(3)
    assert float(accuracy(zero, zero)) == 0.5
    assert float(accuracy(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, 3.0]))) == 0.75
    assert not accuracy(torch.ones(1, requires_grad=True), torch.ones(1, requires_grad=True)).requires_grad


class Script:
    """Replaces the accuracy that D reaches by a scripted one, and notes in which steps D's weights really moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.step, self.moved = 0, []
        plain = GAN3D.loss

        def weights(model: GAN3D) -> Tensor:
            return torch.cat([p.detach().flatten() for p in model.discriminator.parameters()]).clone()

        def loss(model: GAN3D, phase: str, batch: Batch) -> dict[str, Tensor]:
            terms = plain(model, phase, batch)
            if phase == "discriminator":
                self.before = weights(model)
                return terms | {"accuracy": torch.tensor(SCRIPT[self.step])}
            self.moved.append(not torch.equal(self.before, weights(model)))
            self.step += 1
            return terms

        monkeypatch.setattr(GAN3D, "loss", loss)


def test_training_obeys_the_script(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(monkeypatch)
    voxgan.train("gan3d", tiny_data, tmp_path / "run", steps=len(SCRIPT), **TINY)
    assert script.moved == EXPECTED
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [bool(line["discriminator.moved"]) for line in log] == EXPECTED
    assert all(line["generator.moved"] == 1 for line in log)


@pytest.mark.parametrize("stop", range(1, len(SCRIPT)))
def test_the_gate_stands_as_it_was_after_a_resume(
    stop: int, tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script(monkeypatch)

    def interrupt(done: int, steps: int, figures: Mapping[str, float]) -> None:
        if done == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        voxgan.train("gan3d", tiny_data, tmp_path / "run", interrupt, steps=len(SCRIPT), **TINY)
    voxgan.resume(tmp_path / "run")
    assert script.moved == EXPECTED


# What accuracy means.


@EVERY_LOSS
def test_accuracy_of_a_perfect_discriminator_and_of_its_opposite(name: str) -> None:
    loss = adversarial.find(name)
    high, low = loss.UNDECIDED + torch.tensor([0.25, 3.0, 40.0]), loss.UNDECIDED - torch.tensor([0.25, 40.0, 3.0])
    assert float(loss.accuracy(high, low)) == 1
    assert float(loss.accuracy(low, high)) == 0


@EVERY_LOSS
def test_accuracy_of_guesses_is_a_half(name: str) -> None:
    loss = adversarial.find(name)
    torch.manual_seed(0)
    scores = loss.UNDECIDED + torch.randn(2, 10_000)
    assert float(loss.accuracy(*scores)) == pytest.approx(0.5, abs=0.02)
    assert float(loss.accuracy(scores[0], scores[0])) == pytest.approx(0.5, abs=0.02)


@EVERY_LOSS
def test_a_discriminator_that_says_one_thing_of_all_guesses(name: str) -> None:
    for score in (-7.3, 0.1, 1e4):
        scores = torch.full((5,), score)
        assert float(adversarial.find(name).accuracy(scores, scores)) == 0.5


@EVERY_LOSS
def test_accuracy_has_no_graph(name: str) -> None:
    real, generated = torch.ones(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    assert not adversarial.find(name).accuracy(real, generated).requires_grad


@pytest.mark.parametrize("name", CRITICS)
@pytest.mark.parametrize("shift", [-1024.0, -3.0, 0.5, 1024.0])
def test_accuracy_of_a_critic_does_not_depend_on_where_its_scores_are(name: str, shift: float) -> None:
    real, generated = torch.tensor([4.0, 0.0, 5.0, 1.5]), torch.tensor([1.0, 2.0, 0.0, 3.5])
    critic = adversarial.find(name)
    plain = float(critic.accuracy(real, generated))
    assert plain == (0.5 if critic.PAIRED else 0.625)
    assert float(critic.accuracy(real + shift, generated + shift)) == plain
    assert float(critic.accuracy(real / 64, generated / 64)) == plain


def test_the_midpoint_lies_between_the_means_not_between_all_scores() -> None:
    real, generated = torch.tensor([4.0, 0.0, 5.0]), torch.tensor([1.0, 2.0, 0.0])  # means 3 and 1
    assert float(midpoint_accuracy(real, generated)) == pytest.approx(5 / 6)
    # Four real ones and one generated one, whose means count alike: 2.5 and −1.5.
    assert float(midpoint_accuracy(torch.tensor([3.0, 3.0, 3.0, 1.0]), torch.tensor([-1.5]))) == 1


def test_one_score_far_out_carries_the_midpoint_over_others() -> None:
    """Apart from both sides of 0, and yet not perfect: the means are 31 and −1."""
    assert float(midpoint_accuracy(torch.tensor([1.0, 2.0, 90.0]), torch.tensor([-1.0, -1.0, -1.0]))) == pytest.approx(
        4 / 6
    )


def test_at_the_midpoint_a_score_counts_as_generated() -> None:
    real, generated = torch.tensor([2.0, 6.0]), torch.tensor([2.0, -2.0])  # means 4 and 0
    assert float(midpoint_accuracy(real, generated)) == 0.75


def test_pairs_are_told_apart_one_by_one() -> None:
    real, generated = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0.0, 2.0, 4.0])
    assert float(paired_accuracy(real, generated)) == 1
    assert float(paired_accuracy(real, generated.roll(-1))) == pytest.approx(1 / 3)
    assert float(paired_accuracy(real, torch.tensor([1.0, 3.0, 4.0]))) == pytest.approx(2 / 3)  # two ties


# With every loss.


def moves(tiny_data: Path, monkeypatch: pytest.MonkeyPatch, script: list[float], **options: object) -> list[bool]:
    """In which steps D's weights move, while the script says what its accuracy is."""
    torch.manual_seed(0)
    model = GAN3D(GAN3DConfig(resolution=16, width=4, latent=8, **options))
    stepper = Stepper(model, Training(batch=4), ALONE, Plan(augment=True))
    found, last = [], {}
    with Dataset(tiny_data) as data:
        for step, raw in enumerate(load_batches(data, 4, 0, stepper.plan, 0, len(script))):
            monkeypatch.setattr(model.adversary, "accuracy", lambda *_, step=step: torch.tensor(script[step]))
            before = [p.detach().clone() for p in model.discriminator.parameters()]
            last = dict(stepper.run(step, raw, last))
            same = [torch.equal(a, b) for a, b in zip(before, model.discriminator.parameters(), strict=True)]
            assert all(same) or not any(same)
            found.append(not any(same))
            assert last["discriminator.moved"] == float(found[-1]) and last["accuracy"] == pytest.approx(script[step])
    return found


@EVERY_LOSS
def test_a_scripted_sequence_gives_exactly_its_updates_with_every_loss(
    name: str, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert moves(tiny_data, monkeypatch, SCRIPT, adversarial=name, gate=THRESHOLD) == EXPECTED


@EVERY_LOSS
def test_the_recipes_gate_is_open_for_critics_whatever_they_reach(
    name: str, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = [0.85, 1.0, 0.8, 0.5]
    expected = [True] * 4 if name in CRITICS else [True, False, False, True]
    assert moves(tiny_data, monkeypatch, script, adversarial=name) == expected


@pytest.mark.parametrize("penalties", [{"r1": 1.0}, {"gradient_penalty": 10.0}])
def test_a_shut_gate_stops_the_penalties_too(
    penalties: dict[str, float], tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"adversarial": "hinge", "gate": THRESHOLD, "discriminator_norm": "none", **penalties}
    assert moves(tiny_data, monkeypatch, SCRIPT, **options) == EXPECTED
