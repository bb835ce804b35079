from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import voxgan
from voxgan import models, presets
from voxgan.checkpoint import load, load_state
from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer
from voxgan.errors import CheckpointError, DatasetError, DivergedError, StorageError, UsageError
from voxgan.files import exclusive
from voxgan.models.model import Batch, Model, make_config
from voxgan.training import Training, TrainingWarning
from voxgan.training import options as training_options
from voxgan.training import run as training
from voxgan.training import step as stepping

TINY: dict[str, Any] = {"width": 4, "latent": 8, "batch": 4, "sample_every": 0, "save_every": 3}
SMALL = {
    "gan3d": TINY,
    "vae_gan3d": TINY | {"encoder_width": 2, "discriminator_width": 4},
    "vae_gan3d split": TINY | {"encoder_width": 2, "discriminator_width": 4, "joint": False, "encoder_rate": 1e-3},
}
EVERY = pytest.mark.parametrize("variant", SMALL)
STEPS = 6


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Bit-exactness is promised for the same number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def start(variant: str, data: Path, out: Path, report: training.Report | None = None, **options: Any) -> Model:
    return voxgan.train(variant.split()[0], data, out, report, **{**SMALL[variant], "steps": STEPS, **options})


def at(step: int, action: Callable[[], None]) -> training.Report:
    def report(done: int, steps: int, figures: Mapping[str, float]) -> None:
        if done == step:
            action()

    return report


def interrupt() -> None:
    raise KeyboardInterrupt


def log(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("shapes_per_s", "memory_gb")} for line in lines]


def events(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


class Said:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.said: list[str] = []

    def __call__(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        self.steps.append(done)

    def say(self, text: str) -> None:
        self.said.append(text)


def assert_same_run(found: Path, expected: Path) -> None:
    """Weights, moving average, optimisers, last figures, log: bit for bit."""
    (step, tensors, figures), (other_step, other_tensors, other_figures) = load_state(found), load_state(expected)
    assert step == other_step and figures == other_figures
    assert tensors.keys() == other_tensors.keys()
    kinds = {key.split("/", 1)[0] for key in tensors}
    assert kinds == {"model", "average", "optimizer"}
    assert [key for key in tensors if not torch.equal(tensors[key], other_tensors[key])] == []
    assert log(found) == log(expected)
    configs = [json.loads((run / "config.json").read_text()) for run in (found, expected)]
    assert configs[0]["weights"] == configs[1]["weights"]  # the name and the SHA-256
    assert configs[0].get("class_latents") == configs[1].get("class_latents")
    assert sorted(p.name for p in found.glob("*.safetensors")) == sorted(p.name for p in expected.glob("*.safetensors"))


# ----------------------------------------------------------------------------------------------- a whole run
@EVERY
def test_a_run_folder(variant: str, tmp_path: Path, tiny_data: Path) -> None:
    seen: list[int] = []
    model = start(variant, tiny_data, tmp_path / "run", lambda done, steps, figures: seen.append(done))
    assert seen == [line["step"] for line in log(tmp_path / "run")] == list(range(1, STEPS + 1))
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    loaded = load(tmp_path / "run")
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, loaded.state_dict()[key]) for key, value in model.state_dict().items())
    assert loaded.config.classes == ("round", "square")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert loaded.classes == (("round", "square") if variant.startswith("vae") else ())
    assert names == [
        ".lock",
        *(["class_latents.safetensors"] if variant.startswith("vae") else []),
        "config.json",
        "events.jsonl",
        "log.csv",
        "log.jsonl",
        "report.html",
        "resume.json",
        "state-00000003.safetensors",
        "state-00000006.safetensors",
        "weights-00000006.safetensors",
    ]


@EVERY
def test_the_same_seed_gives_the_same_run_and_another_one_another(
    variant: str, tmp_path: Path, tiny_data: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        start(variant, tiny_data, tmp_path / name, steps=2, seed=seed)
    assert_same_run(tmp_path / "b", tmp_path / "a")
    assert log(tmp_path / "c") != log(tmp_path / "a")


# -------------------------------------------------------------------------------------------------- resuming
@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> dict[str, Path]:
    """One whole run of every variant; of each also copies of its folder as they stood in the steps on the way."""
    folder, runs = tmp_path_factory.mktemp("whole"), {}
    torch.set_num_threads(1)
    for variant in SMALL:
        run = folder / variant

        def copy_folder(done: int, steps: int, figures: Mapping[str, float], run: Path = run) -> None:
            shutil.copytree(run, run.with_name(f"{run.name} at {done}"))

        start(variant, tiny_data, run, copy_folder)
        runs[variant] = run
    return runs


@EVERY
@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_copy_of_the_folder_resumes_as_if_never_stopped(
    variant: str, step: int, tmp_path: Path, uninterrupted: dict[str, Path]
) -> None:
    run = uninterrupted[variant]
    shutil.copytree(run.with_name(f"{run.name} at {step}"), tmp_path / "copy")
    model = voxgan.resume(tmp_path / "copy")
    assert_same_run(tmp_path / "copy", run)
    state = load_file(run / "weights-00000006.safetensors")
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@EVERY
@pytest.mark.parametrize("step", [2, 4])
def test_an_interrupted_run_resumes_as_if_never_stopped(
    variant: str, step: int, tmp_path: Path, tiny_data: Path, uninterrupted: dict[str, Path]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        start(variant, tiny_data, tmp_path / "run", at(step, interrupt))
    assert len(log(tmp_path / "run")) == step
    torch.manual_seed(99)  # what the process drew meanwhile must not matter
    voxgan.resume(tmp_path / "run")
    assert_same_run(tmp_path / "run", uninterrupted[variant])


@pytest.mark.parametrize(
    ("variant", "number"),
    [("gan3d", signal.SIGINT), ("gan3d", signal.SIGTERM), ("vae_gan3d", signal.SIGINT)],
)
def test_a_signal_ends_the_run_after_a_step_that_is_saved(
    variant: str, number: signal.Signals, tmp_path: Path, tiny_data: Path, uninterrupted: dict[str, Path]
) -> None:
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt, match="stopped after step 1; step 1 is saved"):
        start(variant, tiny_data, tmp_path / "run", at(1, lambda: os.kill(os.getpid(), number)))
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert load_state(tmp_path / "run")[0] == 1
    voxgan.resume(tmp_path / "run")
    kept = {path.name for path in (tmp_path / "run").glob("state-*")}
    assert kept == {"state-00000003.safetensors", "state-00000006.safetensors"}
    assert_same_run(tmp_path / "run", uninterrupted[variant])


@EVERY
def test_more_steps_go_on_from_the_end(
    variant: str, tmp_path: Path, tiny_data: Path, uninterrupted: dict[str, Path]
) -> None:
    start(variant, tiny_data, tmp_path / "run", steps=3, cosine=False)
    expected = tmp_path / "expected"
    start(variant, tiny_data, expected, cosine=False)
    voxgan.resume(tmp_path / "run", steps=STEPS)
    assert_same_run(tmp_path / "run", expected)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["training"]["options"]["steps"] == STEPS


def test_a_stop_between_state_and_weights_is_made_good(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    run = uninterrupted["gan3d"]
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "weights-00000006.safetensors").unlink()
    shutil.copy(run.with_name(f"{run.name} at 3") / "config.json", tmp_path / "run")
    shutil.copy(run.with_name(f"{run.name} at 3") / "weights-00000003.safetensors", tmp_path / "run")
    voxgan.resume(tmp_path / "run")
    assert_same_run(tmp_path / "run", run)


def test_a_torn_last_line_of_the_log_is_dropped(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    run = uninterrupted["gan3d"]
    shutil.copytree(run.with_name(f"{run.name} at 5"), tmp_path / "run")
    with (tmp_path / "run" / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 6, "accu\xff')
    voxgan.resume(tmp_path / "run")
    assert_same_run(tmp_path / "run", run)


def test_leftovers_of_a_killed_write_are_swept(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    shutil.copytree(uninterrupted["gan3d"], tmp_path / "run")
    (tmp_path / "run" / ".voxgan-x.partial.safetensors").write_bytes(b"half")
    voxgan.resume(tmp_path / "run")
    assert not list((tmp_path / "run").glob(".voxgan-*"))


@pytest.mark.parametrize("damage", ["missing", "flipped", "short"])
def test_a_damaged_newest_state_falls_back_to_the_one_before(
    damage: str, tmp_path: Path, uninterrupted: dict[str, Path]
) -> None:
    run = uninterrupted["gan3d"]
    shutil.copytree(run, tmp_path / "run")
    newest = tmp_path / "run" / "state-00000006.safetensors"
    content = bytearray(newest.read_bytes())
    content[-1000] ^= 1
    newest.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    if damage == "missing":
        newest.unlink()
    assert load_state(tmp_path / "run")[0] == 3
    with pytest.warns(TrainingWarning, match="the state of step 6 is damaged; going on from that of step 3"):
        voxgan.resume(tmp_path / "run")
    assert_same_run(tmp_path / "run", run)


def test_without_a_whole_state_it_says_so(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    shutil.copytree(uninterrupted["gan3d"], tmp_path / "run")
    for state in (tmp_path / "run").glob("state-*"):
        state.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no training state is whole"):
        voxgan.resume(tmp_path / "run")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"states": []}', '{"states": 3}', '{"states": [3, null]}'])
def test_a_damaged_resume_json(content: str, tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    shutil.copytree(uninterrupted["gan3d"], tmp_path / "run")
    (tmp_path / "run" / "resume.json").write_text(content)
    with pytest.raises(CheckpointError):
        voxgan.resume(tmp_path / "run")


def test_a_state_of_another_model(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    shutil.copytree(uninterrupted["gan3d"], tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["config"]["width"] = 6
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="does not fit its model"):
        voxgan.resume(tmp_path / "run")


@pytest.mark.parametrize("change", [{"options": 5}, {"options": None}, {"data": None}, None])
def test_a_folder_that_is_no_run(change: Any, tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    shutil.copytree(uninterrupted["gan3d"], tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["training"] = config["training"] | change if change else {}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="no run that could be continued"):
        voxgan.resume(tmp_path / "run")


# ------------------------------------------------------------------------------------------- not finite
class Poison:
    """Puts NaN into one tensor, in chosen steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, where: str, steps: range) -> None:
        self.step, self.steps = -1, steps
        plain_batch, plain_loss = stepping.finish_batch, models.find("gan3d").loss

        def finish_batch(*args: Any) -> Batch:
            self.step += 1
            batch = plain_batch(*args)
            if where == "data" and self.step in steps:
                batch["occupancy"][0, 0, 3, 3, 3] = float("nan")
            return batch

        def loss(model: Model, phase: str, batch: Batch) -> dict[str, Tensor]:
            terms = plain_loss(model, phase, batch)
            if self.step in steps and where.startswith(phase):
                if where.endswith("loss"):
                    terms["total"] = terms["total"] * float("nan")
                else:  # a finite loss with gradients that are not
                    weight = next(getattr(model, phase).parameters())
                    terms["total"] = terms["total"] + (weight - weight.detach()).abs().sqrt().sum()
            return terms

        monkeypatch.setattr(stepping, "finish_batch", finish_batch)
        monkeypatch.setattr(models.find("gan3d"), "loss", loss)


PLACES = ["data", "discriminator loss", "discriminator gradient", "generator loss", "generator gradient"]


@pytest.mark.parametrize("where", PLACES)
def test_a_step_that_is_not_finite_is_skipped(
    where: str, tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Poison(monkeypatch, where, range(2, 4))
    start("gan3d", tiny_data, tmp_path / "run", save_every=1, gate=1.0)
    lines = log(tmp_path / "run")
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    moved = [line["generator.moved"] for line in lines]
    assert moved == [1, 1, 0, 0, 1, 1]
    by_discriminator = [line["discriminator.moved"] for line in lines]
    assert by_discriminator == ([1] * STEPS if where.startswith("generator") else moved)
    if where != "data":
        assert (lines[2][f"{where.split()[0]}.total"] is None) is where.endswith("loss")
    tensors = load_state(tmp_path / "run")[1]
    assert all(bool(torch.isfinite(value).all()) for value in tensors.values())


@pytest.mark.parametrize("where", PLACES)
def test_a_skipped_step_changes_no_weight_that_it_was_to_move(
    where: str, tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Poison(monkeypatch, where, range(2, 3))
    start("gan3d", tiny_data, tmp_path / "run", steps=3, save_every=1, gate=1.0)
    folder = tmp_path / "run"
    before, after = (load_file(folder / f"state-{step:08d}.safetensors") for step in (2, 3))
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    allowed = ("model/discriminator", "optimizer/discriminator") if where.startswith("generator") else ()
    assert [key for key in changed if not key.startswith(allowed)] == []


@pytest.mark.parametrize("where", PLACES)
def test_five_bad_steps_end_the_run_and_leave_the_last_checkpoint_whole(
    where: str, tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = Poison(monkeypatch, where, range(3, 100))
    with pytest.raises(
        DivergedError, match=r"not finite in the last 5 of 8 steps; step 3 is saved in .*start anew.*lower rates"
    ):
        start("gan3d", tiny_data, tmp_path / "run", steps=50, gate=1.0)
    assert poison.step == 7
    load(tmp_path / "run").generate(1)
    step, tensors, _ = load_state(tmp_path / "run")
    assert step == 3 and all(bool(torch.isfinite(value).all()) for value in tensors.values())


def test_four_bad_steps_do_not_end_the_run(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Poison(monkeypatch, "discriminator loss", range(4))
    start("gan3d", tiny_data, tmp_path / "run")
    assert load_state(tmp_path / "run")[0] == STEPS


def test_weights_that_are_not_finite_reach_no_checkpoint(tmp_path: Path, tiny_data: Path) -> None:
    held: list[Any] = []
    plain = stepping.Stepper.run

    def step(stepper: Any, number: int, *args: Any) -> Any:
        figures = plain(stepper, number, *args)
        if number == 4:
            next(stepper.model.generator.parameters()).data[0] = float("inf")
            held.append(stepper)
        return figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepping.Stepper, "run", step)
        with pytest.raises(DivergedError, match=r"not saved; nothing is saved yet in .* start anew"):
            start("gan3d", tiny_data, tmp_path / "run", steps=9, save_every=5)
    assert held
    assert not (tmp_path / "run" / "state-00000005.safetensors").exists()


# ---------------------------------------------------------------------------------------- a step ahead
@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the figures of a step when the next one is under way, as on a GPU."""
    monkeypatch.setattr(training, "_lag", lambda device: 1)


@pytest.mark.usefixtures("ahead")
@EVERY
def test_reading_figures_late_changes_nothing(
    variant: str, tmp_path: Path, tiny_data: Path, uninterrupted: dict[str, Path]
) -> None:
    said = Said()
    start(variant, tiny_data, tmp_path / "run", said)
    assert said.steps == list(range(1, STEPS + 1))
    assert_same_run(tmp_path / "run", uninterrupted[variant])


@pytest.mark.usefixtures("ahead")
def test_a_stop_that_is_read_late_saves_the_step_under_way(
    tmp_path: Path, tiny_data: Path, uninterrupted: dict[str, Path]
) -> None:
    with pytest.raises(KeyboardInterrupt, match="stopped after step 2; step 2 is saved"):
        start("gan3d", tiny_data, tmp_path / "run", at(1, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert [line["step"] for line in log(tmp_path / "run")] == [1, 2]
    voxgan.resume(tmp_path / "run")
    assert_same_run(tmp_path / "run", uninterrupted["gan3d"])


@pytest.mark.usefixtures("ahead")
def test_divergence_that_is_read_late(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Poison(monkeypatch, "generator loss", range(4, 10))
    start("gan3d", tiny_data, tmp_path / "run", Said(), steps=12, retries=1)
    assert [line["step"] for line in log(tmp_path / "run")] == list(range(1, 13))
    assert len(events(tmp_path / "run", "retry")) == 1
    assert all(bool(torch.isfinite(value).all()) for value in load_state(tmp_path / "run")[1].values())


# -------------------------------------------------------------------------------------------- going back
def test_a_run_that_diverged_goes_back_with_half_the_rates(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Poison(monkeypatch, "generator loss", range(4, 9))  # steps 5 to 9 of the first try
    rates: dict[int, list[float]] = {}
    plain = stepping.Stepper.run

    def run(stepper: Any, number: int, *args: Any) -> Any:
        figures = plain(stepper, number, *args)
        rates.setdefault(number, []).append(stepper.optimizers["generator"].param_groups[0]["lr"])
        return figures

    monkeypatch.setattr(stepping.Stepper, "run", run)
    said = Said()
    start("gan3d", tiny_data, tmp_path / "run", said, steps=12, retries=2, generator_rate=1e-3)
    assert said.steps == [1, 2, 3, 4, 5, 6, 7, 8, *range(4, 13)]  # the ninth is not reported: it ended the try
    assert rates[3] == rates[8] == [1e-3, 5e-4] and rates[2] == [1e-3] and rates[11] == [5e-4]
    (line,) = events(tmp_path / "run", "retry")
    assert line["step"] == 3 and "back to the state of step 3 with all rates × 0.5 (attempt 1 of 2)" in line["text"]
    assert any("attempt 1 of 2" in text for text in said.said)
    assert [entry["step"] for entry in log(tmp_path / "run")] == list(range(1, 13))
    assert [entry["sound"] for entry in log(tmp_path / "run")] == [1] * 12
    assert load_state(tmp_path / "run")[2]["attempt"] == 1  # resuming goes on with the halved rates


def test_another_try_gets_other_noise(tmp_path: Path, tiny_data: Path) -> None:
    start("gan3d", tiny_data, tmp_path / "once", steps=7, save_every=2)
    with pytest.MonkeyPatch.context() as patch:
        Poison(patch, "discriminator loss", range(4, 9))
        start("gan3d", tiny_data, tmp_path / "twice", Said(), retries=1, retry_rate=1.0, steps=20, save_every=2)
    twice, once = log(tmp_path / "twice"), log(tmp_path / "once")
    assert twice[:4] == once[:4] and twice[4] != once[4]


def test_a_run_that_always_diverges_gives_up(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison = Poison(monkeypatch, "discriminator loss", range(1000))
    with pytest.raises(DivergedError, match="not finite in the last 5 of 5 steps; step 0 is saved"):
        start("gan3d", tiny_data, tmp_path / "run", Said(), retries=3, steps=50)
    assert poison.step == 4 * 5 - 1
    told = [line["text"].split("(")[-1] for line in events(tmp_path / "run", "retry")]
    assert told == [f"attempt {number} of 3)" for number in (1, 2, 3)]
    assert load_state(tmp_path / "run")[0] == 0


def test_the_count_of_bad_steps_is_saved(tmp_path: Path, tiny_data: Path) -> None:
    """Stopped between bad steps and resumed, it diverges where it would have."""
    for name, stops in (("whole", ()), ("stopped", (3,))):
        with pytest.MonkeyPatch.context() as patch:
            poison = Poison(patch, "discriminator loss", range(2, 100))
            with contextlib.suppress(KeyboardInterrupt, DivergedError):
                start("gan3d", tiny_data, tmp_path / name, at(stops[0], interrupt) if stops else None, steps=50)
            if stops:
                poison.step = 2
                with pytest.raises(DivergedError):
                    voxgan.resume(tmp_path / name)
    assert len(log(tmp_path / "whole")) == len(log(tmp_path / "stopped")) == 7


def test_weights_that_are_not_finite_when_saved_go_back_too(tmp_path: Path, tiny_data: Path) -> None:
    plain, spoiled = stepping.Stepper.run, []

    def run(stepper: Any, number: int, *args: Any) -> Any:
        figures = plain(stepper, number, *args)
        if number == 5 and not spoiled:
            spoiled.append(number)
            next(iter(stepper.optimizers["generator"].state.values()))["exp_avg_sq"][0] = float("inf")
        return figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepping.Stepper, "run", run)
        start("gan3d", tiny_data, tmp_path / "run", Said(), steps=9, retries=1)
    (line,) = events(tmp_path / "run", "retry")
    assert line["step"] == 3 and "holds NaN or infinity" in line["text"]
    assert [entry["step"] for entry in log(tmp_path / "run")] == list(range(1, 10))


def test_without_resume_json_nothing_is_thrown_away(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    shutil.copytree(uninterrupted["gan3d"], tmp_path / "run")
    (tmp_path / "run" / "resume.json").unlink()
    with pytest.raises(CheckpointError, match=r"its resume\.json is gone"):
        voxgan.resume(tmp_path / "run", steps=9)
    assert len(log(tmp_path / "run")) == STEPS


def test_files_of_others_are_not_replaced(tmp_path: Path, tiny_data: Path) -> None:
    (tmp_path / "log.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"holds log\.csv, which a run would replace"):
        start("gan3d", tiny_data, tmp_path)
    assert (tmp_path / "log.csv").read_text() == "mine" and not (tmp_path / "config.json").exists()


def test_a_run_that_took_no_step_does_not_block_its_folder(tmp_path: Path, tiny_data: Path) -> None:
    with pytest.raises(TypeError, match="not callable"):
        start("gan3d", tiny_data, tmp_path / "run", 3)  # type: ignore[arg-type]
    (tmp_path / "run" / "log.jsonl").write_text("")
    start("gan3d", tiny_data, tmp_path / "run", steps=1)
    assert [line["step"] for line in log(tmp_path / "run")] == [1]
    with pytest.raises(UsageError, match="holds a run already"):
        start("gan3d", tiny_data, tmp_path / "run", steps=1)


def test_how_a_run_failed_and_what_a_resume_changed_is_recorded(tmp_path: Path, tiny_data: Path) -> None:
    def fail() -> None:
        raise ValueError("a callback's fault")

    with pytest.raises(ValueError, match="fault"):
        start("gan3d", tiny_data, tmp_path / "run", at(4, fail))
    (line,) = events(tmp_path / "run", "failed")
    assert line["step"] in (3, 4) and line["text"] == "a callback's fault"
    assert "a callback" in (tmp_path / "run" / "report.html").read_text()
    voxgan.resume(tmp_path / "run", batch=2, steps="8")
    (line,) = events(tmp_path / "run", "resumed")
    assert "steps 6 → 8" in line["text"] and "batch 4 → 2" in line["text"]


def test_options_of_the_model_are_fixed(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    shutil.copytree(uninterrupted["gan3d"], tmp_path / "run")
    with pytest.raises(UsageError, match="generator_rate is the model's, and fixed when a run begins; start a new run"):
        voxgan.resume(tmp_path / "run", generator_rate=1)


def test_fewer_steps_than_are_done(tmp_path: Path, uninterrupted: dict[str, Path]) -> None:
    shutil.copytree(uninterrupted["gan3d"], tmp_path / "run")
    with pytest.raises(UsageError, match=r"steps=2: .* is at step 6 already"):
        voxgan.resume(tmp_path / "run", steps=2)


# ------------------------------------------------------------------------------------------ readers that fail
@pytest.mark.parametrize("kind", ["error", "killed"])
def test_a_reader_that_fails_ends_the_command(kind: str, tmp_path: Path, tiny_data: Path) -> None:
    """With its message and status, at once: readers are deaf to the SIGTERM by which Python would end them."""
    script = f"""
import os, signal, sys
from voxgan import loader
from voxgan.errors import DatasetError
from voxgan.cli import main
plain = loader.read_batch
def read_batch(data, indices, plan, seed, part):
    if seed == loader.step_seed(0, 5):
        if {kind!r} == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise DatasetError("row 3 is damaged")
    return plain(data, indices, plan, seed, part)
loader.read_batch = read_batch
main(["train", "gan3d", {str(tiny_data)!r}, "--out", {str(tmp_path / "run")!r}, "width=4", "latent=8", "batch=4",
      "steps=50", "loaders=2", "sample_every=0", "save_every=2"])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    last = done.stderr.splitlines()[-1]
    expected = (3, "voxgan: row 3 is damaged") if kind == "error" else (4, "voxgan: a process that reads batches was")
    assert done.returncode == expected[0] and last.startswith(expected[1]), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("reader", [True, False])
def test_a_reader_says_nothing_of_a_batch_that_nobody_takes(reader: bool) -> None:
    """The first process hangs up while it is handed one, when another reader was killed; Python would print that."""
    script = f"""
import socket
from multiprocessing import resource_sharer
from voxgan import loader
if {reader}:
    loader._begin_reader(0)
sharer = resource_sharer._resource_sharer
sharer._start()
with socket.socket(socket.AF_UNIX) as first:
    first.connect(sharer._address)
resource_sharer.stop(timeout=30)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and ("Traceback" in done.stderr) != reader, done.stderr


# ------------------------------------------------------------------------------------------- parts of a batch
@EVERY
def test_a_batch_in_parts_learns_about_the_same(variant: str, tmp_path: Path, tiny_data: Path) -> None:
    """The parts' shapes, noise and gradients are the batch's; only batch norm sees a part at a time."""
    start(variant, tiny_data, tmp_path / "whole", batch=8, steps=1, augment=True)
    start(variant, tiny_data, tmp_path / "parts", batch=8, steps=1, augment=True, accumulate=2)
    (whole,), (parts,) = log(tmp_path / "whole"), log(tmp_path / "parts")
    assert parts["real_occupied"] == pytest.approx(whole["real_occupied"])
    totals = [key for key in whole if key.endswith(".total")]
    assert totals and all(parts[key] == pytest.approx(whole[key], rel=0.3) for key in totals)


def test_checkpointing_changes_nothing(tmp_path: Path, tiny_data: Path) -> None:
    start("gan3d", tiny_data, tmp_path / "kept")
    start("gan3d", tiny_data, tmp_path / "again", checkpointing=True)
    assert_same_run(tmp_path / "again", tmp_path / "kept")


# ------------------------------------------------------------------------------------------- it does learn
def test_vae_gan3d_overfits_eight_shapes(tmp_path: Path, tiny_data: Path) -> None:
    model = voxgan.train(
        "vae_gan3d",
        tiny_data,
        tmp_path / "run",
        steps=150,
        batch=8,
        width=8,
        encoder_width=4,
        discriminator_width=4,
        latent=32,
        generator_rate=3e-3,
        kl_weight=1e-5,
        average=0.9,
        augment=False,
        sample_every=0,
        save_every=150,
    )
    with Dataset(tiny_data) as data:
        view = torch.from_numpy(data.views(range(8), [0] * 8)).permute(0, 3, 1, 2).float() / 255
        real = data.occupancy(range(8)) > 0
    found = model.reconstruct((view[:, :3] * view[:, 3:] + 1 - view[:, 3:]).numpy()).occupancy >= 0.5
    overlap = (found & real).sum((1, 2, 3)) / (found | real).sum((1, 2, 3))
    assert len(overlap) == 8 and overlap.min() > 0.9


# ------------------------------------------------------------------------------------------------- options
@EVERY
def test_bf16_runs_and_keeps_weights_in_single_precision(
    variant: str, tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxgan.training.options.has_bfloat16", lambda device: True)  # slow where it has not
    start(variant, tiny_data, tmp_path / "bf16", steps=3, precision="bf16")
    start(variant, tiny_data, tmp_path / "fp32", steps=3)
    tensors = load_state(tmp_path / "bf16")[1]
    assert {value.dtype for value in tensors.values() if value.is_floating_point()} == {torch.float32}
    (half, *_), (full, *_) = log(tmp_path / "bf16"), log(tmp_path / "fp32")
    totals = [key for key in full if key.endswith(".total")]
    assert any(half[key] != full[key] for key in totals)  # it is another precision,
    assert all(half[key] == pytest.approx(full[key], rel=0.1) for key in totals)  # and the same loss


def test_the_average_is_one_of_the_weights_and_off_at_zero(tmp_path: Path, tiny_data: Path) -> None:
    start("gan3d", tiny_data, tmp_path / "off", average=0.0)
    start("gan3d", tiny_data, tmp_path / "on", average=0.9)
    for name, is_off in (("off", True), ("on", False)):
        tensors = load_state(tmp_path / name)[1]
        same = [torch.equal(v, tensors[f"average/{k[6:]}"]) for k, v in tensors.items() if k.startswith("model/gen")]
        assert all(same) is is_off
    assert log(tmp_path / "off") == log(tmp_path / "on")  # it changes sampling, not training


def test_cosine_ends_at_a_twentieth(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    plain = stepping.Stepper._phase

    def phase(stepper: Any, moved: Any, *args: Any) -> Any:
        if moved.name == "generator":
            rates.append(stepper.optimizers[moved.name].param_groups[0]["lr"])
        return plain(stepper, moved, *args)

    monkeypatch.setattr(stepping.Stepper, "_phase", phase)
    start("gan3d", tiny_data, tmp_path / "run", steps=20, cosine=True, generator_rate=1.0, save_every=20)
    assert rates[0] == 1.0 and rates == sorted(rates, reverse=True)
    assert rates[10] == pytest.approx(0.525) and rates[-1] == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("variant", ["gan3d", "vae_gan3d"])
def test_samples_are_written(variant: str, tmp_path: Path, tiny_data: Path) -> None:
    start(variant, tiny_data, tmp_path / "run", steps=3, sample_every=2)
    pictures = sorted((tmp_path / "run" / "samples").iterdir())
    assert [path.name for path in pictures] == ["00000002.png", "00000003.png"]
    rows = 2 if variant == "gan3d" else 5
    with Image.open(pictures[0]) as image:
        assert image.size == (8 * 128, rows * 128)
        assert np.asarray(image).std() > 1
    scores = [line.get("test_iou") for line in log(tmp_path / "run")]
    assert scores[0] is None and (variant == "gan3d" or all(0 <= score <= 1 for score in scores[1:]))
    kinds = ("pairwise_iou", "ms_ssim", "nearest_iou", "copies", "failed")
    of_sets = {f"{of}.{kind}" for of in ("samples", "data") for kind in kinds} | {"samples.empty"}
    figures = [{k: v for k, v in line.items() if k in of_sets} for line in log(tmp_path / "run")]
    assert not figures[0] and figures[1].keys() == figures[2].keys() == of_sets
    assert all(0 <= value <= 1 for value in figures[1].values())
    assert [line["data.nearest_iou"] for line in figures[1:]] == [figures[1]["data.nearest_iou"]] * 2
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Diversity</h2>" in report and "The last row is the training shape nearest to each of these" in report


def test_sampling_does_not_change_the_run(tmp_path: Path, tiny_data: Path) -> None:
    start("gan3d", tiny_data, tmp_path / "with", steps=2, sample_every=1)
    start("gan3d", tiny_data, tmp_path / "without", steps=2)
    path = tmp_path / "with" / "log.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert all("samples.ms_ssim" in line for line in lines)
    kept = ({k: v for k, v in line.items() if k.split(".")[0] not in ("samples", "data")} for line in lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in kept))
    assert_same_run(tmp_path / "with", tmp_path / "without")


def test_what_is_measured_of_samples_goes_on_after_a_resume(tmp_path: Path, tiny_data: Path) -> None:
    start("gan3d", tiny_data, tmp_path / "whole", steps=4, sample_every=1, save_every=2)
    start("gan3d", tiny_data, tmp_path / "run", steps=2, sample_every=1, save_every=2)
    voxgan.resume(tmp_path / "run", steps=4)
    assert log(tmp_path / "run") == log(tmp_path / "whole")


def test_samples_of_a_model_that_is_told_classes(tmp_path: Path, tiny_data: Path) -> None:
    start("gan3d", tiny_data, tmp_path / "run", steps=1, sample_every=1, condition="projection", turns=2)
    assert 0 <= log(tmp_path / "run")[0]["samples.pairwise_iou"] <= 1


def test_readers_ahead_change_nothing(tmp_path: Path, tiny_data: Path) -> None:
    start("gan3d", tiny_data, tmp_path / "here", steps=4, turns=4)
    start("gan3d", tiny_data, tmp_path / "ahead", steps=4, turns=4, loaders=2)
    assert_same_run(tmp_path / "here", tmp_path / "ahead")


def test_photos_drawn_while_training(tmp_path: Path, tiny_data_without_views: Path) -> None:
    """A data set without pictures trains a photo model; the drawn photos are new in each step, and repeatable."""
    seen: list[Tensor] = []
    plain = stepping.finish_batch

    def finish_batch(*args: Any) -> Batch:
        batch = plain(*args)
        seen.append(batch["image"])
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stepping, "finish_batch", finish_batch)
        start("vae_gan3d", tiny_data_without_views, tmp_path / "one", steps=2, views="drawn")
        start("vae_gan3d", tiny_data_without_views, tmp_path / "two", steps=2, views="drawn")
    assert [tuple(image.shape[1:]) for image in seen] == [(3, 256, 256)] * 4
    assert torch.equal(seen[0], seen[2]) and torch.equal(seen[1], seen[3]) and not torch.equal(seen[0], seen[1])
    assert all(float(image.std()) > 0.02 for image in seen)
    assert_same_run(tmp_path / "one", tmp_path / "two")


def test_only_the_asked_class_is_trained_on(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels: set[int] = set()
    plain = stepping.finish_batch

    def finish_batch(*args: Any) -> Batch:
        batch = plain(*args)
        labels.update(batch["label"].tolist())
        return batch

    monkeypatch.setattr(stepping, "finish_batch", finish_batch)
    start("gan3d", tiny_data, tmp_path / "run", classes="square")
    assert labels == {0}  # the first of the classes that it has
    assert load(tmp_path / "run").config.classes == ("square",)


# ------------------------------------------------------------------------------------------------ refusals
@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("gan3d", {"turns": 3}, "turns=3: expected 1, 2 or 4"),
        ("gan3d", {"shift": -1}, "shift=-1"),
        ("gan3d", {"shift": 1}, "0 free cells around them at 16"),
        ("gan3d", {"loaders": -1}, "loaders=-1"),
        ("gan3d", {"views": "painted"}, "expected auto, stored or drawn"),
        ("vae_gan3d", {"turns": 4}, "the photo says how a shape stands"),
    ],
)
def test_options_of_loading_that_cannot_be(
    tmp_path: Path, tiny_data: Path, model: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        start(model, tiny_data, tmp_path / "run", **options)


@pytest.mark.parametrize(
    ("preset", "options", "error", "says"),
    [
        ("gan3d", {"resolution": 32}, DatasetError, r"its grids are 16³, 32³ was asked for; .*--resolution 32"),
        ("gan3d", {"pack": 3}, UsageError, "batch=4 is no multiple of pack=3"),
        ("gan3d", {"classes": "chair"}, DatasetError, "has no class 'chair'"),
        ("gan3d", {"device": "nowhere"}, UsageError, "device='nowhere' is not to be had here"),
        ("gan3d", {"widht": 4}, UsageError, "did you mean 'width'"),
        ("gan3d", {"stepps": 4}, UsageError, "did you mean 'steps'"),
        ("gan3d", {"kl_weight": 1.0}, UsageError, "unknown option 'kl_weight'"),
        ("gan3d", {"steps": "many"}, UsageError, "steps='many': expected a whole number"),
        ("gan3d", {"steps": 0}, UsageError, "steps=0"),
        ("gan3d", {"batch": 1}, UsageError, "batch=1"),
        ("gan3d", {"save_every": 0}, UsageError, "save_every=0"),
        ("gan3d", {"sample_every": -1}, UsageError, "sample_every=-1"),
        ("gan3d", {"precision": "fp16"}, UsageError, "did you mean .bf16"),
        ("gan3d", {"views": "drawn"}, UsageError, "views=drawn: gan3d learns from shapes alone"),
        ("gan3d", {"average": 1.0}, UsageError, "average=1.0"),
        ("gan3d", {"augment": "maybe"}, UsageError, "augment='maybe'"),
        ("gan2d", {}, UsageError, "no preset or model 'gan2d'; did you mean 'gan3d'"),
        ("../gan3d", {}, UsageError, "no preset or model"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(
    preset: str, options: dict[str, Any], error: type[Exception], says: str, tmp_path: Path, tiny_data: Path
) -> None:
    with pytest.raises(error, match=says):
        voxgan.train(preset, tiny_data, tmp_path / "run", **{**TINY, **options})
    assert not (tmp_path / "run").exists()


def test_an_empty_name_is_no_folder(tiny_data: Path) -> None:
    with pytest.raises(UsageError, match="out is empty"):
        voxgan.train("gan3d", tiny_data, "", **TINY)


def test_photo_models_need_views(tmp_path: Path, tiny_data_without_views: Path) -> None:
    with pytest.raises(DatasetError, match=r"has no rendered views.*--views 24"):
        start("vae_gan3d", tiny_data_without_views, tmp_path / "run")
    start("gan3d", tiny_data_without_views, tmp_path / "other", steps=1)


def test_an_existing_run_is_not_overwritten(tmp_path: Path, uninterrupted: dict[str, Path], tiny_data: Path) -> None:
    run = uninterrupted["gan3d"]
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    with pytest.raises(UsageError, match="holds a run already; continue it with  voxgan resume"):
        start("gan3d", tiny_data, run)
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_a_run_folder_that_cannot_be_made(tmp_path: Path, tiny_data: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        start("gan3d", tiny_data, tmp_path / "file" / "run")


def test_missing_data(tmp_path: Path, tiny_data: Path) -> None:
    with pytest.raises(StorageError, match="no data set at"):
        start("gan3d", tmp_path / "none.h5", tmp_path / "run")
    shutil.copy(tiny_data, tmp_path / "data.h5")
    with pytest.raises(KeyboardInterrupt):
        start("gan3d", tmp_path / "data.h5", tmp_path / "run", at(1, interrupt))
    (tmp_path / "data.h5").unlink()
    with pytest.raises(StorageError, match="no data set at"):
        voxgan.resume(tmp_path / "run")


# ------------------------------------------------------------------------------------------------- presets
@pytest.mark.parametrize("name", presets.names())
def test_every_preset_builds_its_options(name: str) -> None:
    model, options = presets.find(name)
    kind = models.find(model)
    config, run = training_options.split_options(kind, options)
    assert type(config) is kind.Config and type(run) is Training
    for key, value in options.items():
        assert getattr(config if hasattr(config, key) else run, key) == value
    assert run.batch % config.pack == 0
    known = {field.name for kind_ in (kind.Config, Training) for field in dataclasses.fields(kind_)}
    assert set(options) <= known
    assert presets.describe(name) and (importlib.import_module(f"voxgan.presets.{name}").__doc__ or "").count("voxgan")


@pytest.mark.parametrize("name", models.names())
def test_every_model_has_the_preset_of_its_name(name: str) -> None:
    assert presets.find(name)[0] == presets.find(name.replace("_", "-"))[0] == name


def test_options_of_model_and_training_do_not_collide() -> None:
    own = {field.name for field in dataclasses.fields(Training)}
    for name in models.names():
        assert not own & {field.name for field in dataclasses.fields(models.find(name).Config)}


def test_the_paper_presets_are_the_papers() -> None:
    options = presets.find("gan3d_paper")[1]
    wanted = {"width": 64, "latent": 200, "prior": "uniform", "generator_rate": 0.0025, "discriminator_rate": 1e-5}
    wanted |= {"beta1": 0.5, "gate": 0.8, "batch": 100}
    assert {key: options[key] for key in wanted} == wanted
    options = presets.find("vae_gan3d_paper")[1]
    wanted |= {"prior": "normal", "kl_weight": 5.0, "reconstruction_weight": 1e-4, "reconstruction": "l2"}
    wanted |= {"joint": False, "encoder_width": 64}
    assert {key: options[key] for key in wanted} == wanted
    make_config(models.find("vae_gan3d").Config, {k: v for k, v in options.items() if k in wanted and k != "batch"})


# ------------------------------------------------------------------------------------------------- one run, one folder
def test_a_divergence_of_the_last_steps_is_told(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Poison(monkeypatch, "generator loss", range(2, 9))
    with pytest.raises(DivergedError, match="last 4 of 6 steps; step 3 is saved"):
        start("gan3d", tiny_data, tmp_path / "run", steps=6, save_every=1, sample_every=1, gate=1.0)
    assert load_state(tmp_path / "run")[0] == 3


def test_samples_that_are_not_finite_do_not_end_a_run(tmp_path: Path, tiny_data: Path) -> None:
    with pytest.raises(DivergedError):
        start("gan3d", tiny_data, tmp_path / "run", steps=4, sample_every=1, save_every=1, generator_rate=1e30)


def test_two_processes_in_one_folder(tmp_path: Path, tiny_data: Path) -> None:
    start("gan3d", tiny_data, tmp_path / "run", steps=2)
    with exclusive(tmp_path / "run"), pytest.raises(StorageError, match="another process is at work"):
        voxgan.resume(tmp_path / "run", steps=3)


def test_other_data_than_before_is_refused_and_moved_data_is_found(tmp_path: Path, tiny_data: Path) -> None:
    first, moved = tmp_path / "a.h5", tmp_path / "b.h5"
    shutil.copy(tiny_data, first)
    start("gan3d", first, tmp_path / "run", steps=2)
    first.rename(moved)
    with pytest.raises(StorageError, match="no data set"):
        voxgan.resume(tmp_path / "run", steps=3)
    voxgan.resume(tmp_path / "run", data=moved, steps=3)
    with Writer.create(moved, 16, ["round", "square"]) as writer:
        for i in range(8):
            writer.add(np.ones((16, 16, 16)), "round" if i % 2 else "square", "train", f"other_{i}")
    with pytest.raises(DatasetError, match="not the shapes that this run was trained on"):
        voxgan.resume(tmp_path / "run", steps=4)


def test_a_users_own_copies_are_left_alone(tmp_path: Path, tiny_data: Path) -> None:
    start("gan3d", tiny_data, tmp_path / "run", steps=3)
    kept = [tmp_path / "run" / name for name in ("weights-best.safetensors", "state-best.safetensors")]
    for path in kept:
        path.write_text("mine")
    voxgan.resume(tmp_path / "run", steps=9)
    assert all(path.read_text() == "mine" for path in kept)


@pytest.mark.parametrize(("key", "value"), [("seed", -1), ("seed", 2**63), ("device", "meta"), ("batch", 1)])
def test_options_that_cannot_be_leave_no_folder(key: str, value: Any, tmp_path: Path, tiny_data: Path) -> None:
    with pytest.raises(UsageError, match=f"{key}="):
        start("gan3d", tiny_data, tmp_path / "run", **{key: value})
    assert not (tmp_path / "run" / "config.json").exists()
