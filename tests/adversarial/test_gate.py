from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

import voxgan
from voxgan.adversarial.gate import Gate, accuracy
from voxgan.models.gan3d import GAN3D
from voxgan.models.model import Batch

THRESHOLD = 0.75
SCRIPT = [0.9, 0.75, 1.0, 0.0, 0.76, 0.8, 0.7, 0.5]
# In each step the *former* entry decides: at most the threshold is open, and so is the first step.
EXPECTED = [True, False, True, False, True, False, False, True]

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
