"""Models that are told a class: sampling, arithmetic, labels, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import voxgan
from voxgan import adversarial, models
from voxgan.adversarial.schedule import CriticSchedule
from voxgan.batches import Plan, read_batch
from voxgan.cli import _run
from voxgan.dataset import Dataset
from voxgan.draws import Draws
from voxgan.errors import DatasetError, InputError, UsageError
from voxgan.inversion import find_latent
from voxgan.models.model import Batch, Model, make_config
from voxgan.training import Training
from voxgan.training.options import resolve, split_options
from voxgan.training.ranks import ALONE
from voxgan.training.step import Stepper
from voxgan.volumes import read_volume

CLASSES = ("chair", "sofa", "table")
CONDITIONAL = pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gan3d", {"condition": "projection"}),
        ("gan3d", {"condition": "concatenation", "network": "residual"}),
        ("ac_gan3d", {}),
        ("ac_gan3d", {"network": "residual", "generator_norm": "pixel"}),
    ],
)


def make(name: str, **options: Any) -> Model:
    torch.manual_seed(0)
    kind = models.find(name)
    wanted = {"resolution": 16, "width": 4, "latent": 8, "classes": CLASSES, **options}
    return kind(make_config(kind.Config, wanted)).eval()


# ------------------------------------------------------------------------------------------------ sampling
@CONDITIONAL
def test_a_seed_gives_the_same_z_for_every_class(name: str, options: dict[str, Any]) -> None:
    model = make(name, **options)
    assert model.conditional and model.classes == CLASSES and model.latent_size == 8 + 3
    drawn = [model.sample_latents(5, seed=3, class_name=each) for each in CLASSES]
    for place, z in enumerate(drawn):
        assert z.shape == (5, 11)
        assert torch.equal(z[:, :8], drawn[0][:, :8])
        assert z[:, 8:].tolist() == [[float(i == place) for i in range(3)]] * 5
        assert torch.equal(z, model.sample_latents(5, seed=3, class_index=place))
        assert torch.equal(z, model.with_class(drawn[0], CLASSES[place]))
        assert torch.equal(z[0], model.with_class(drawn[2][0, :8], class_index=place))


@CONDITIONAL
def test_the_class_changes_the_shape_and_none_draws_all(name: str, options: dict[str, Any]) -> None:
    model = make(name, **options)
    one, other = (model.generate(3, seed=0, class_index=index).occupancy for index in (0, 2))
    assert np.abs(one - other).max() > 1e-3
    labels = model.sample_latents(600, seed=0)[:, 8:].argmax(1)
    assert all(150 < count < 250 for count in labels.bincount().tolist())


@CONDITIONAL
def test_at_first_the_class_says_about_as_much_as_z(name: str, options: dict[str, Any]) -> None:
    model = make(name, **options, prior="normal")
    weight = model.generator.first.weight.detach().flatten(1)
    by_class, by_z = weight[-3:].norm(dim=1).mean(), weight[:-3].norm(dim=1).mean() * 8**0.5
    assert float(by_class) == pytest.approx(float(by_z), rel=0.2)


@CONDITIONAL
def test_arithmetic_and_walks_between_classes_at_one_z(name: str, options: dict[str, Any]) -> None:
    model = make(name, **options)
    z = model.sample_latents(1, seed=0, class_name="chair")[0]
    walk = voxgan.interpolate(z, model.with_class(z, "table"), 5)
    assert torch.equal(walk[:, :8], z[:8].expand(5, -1))
    assert walk[:, 8].tolist() == [1, 0.75, 0.5, 0.25, 0] and walk[:, 10].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert len(model.decode(walk)) == 5
    moved = voxgan.arithmetic(
        "A - B + C", {"A": z, "B": model.with_class(z, "chair"), "C": model.with_class(z, "sofa")}
    )
    assert torch.equal(moved, model.with_class(z, "sofa"))


def test_what_cannot_be_chosen_is_told() -> None:
    model = make("ac_gan3d")
    for options, says in (
        ({"class_name": "chiar"}, "no class 'chiar' in this ac_gan3d model; did you mean 'chair'"),
        (
            {"class_index": 3},
            "no class number 3 in this ac_gan3d model; expected a whole number: 0 chair, 1 sofa, 2 table",
        ),
        ({"class_index": -1}, "no class number -1"),
        ({"class_index": 1.5}, "no class number 1.5"),
        ({"class_name": "chair", "class_index": 0}, "expected one of them"),
    ):
        with pytest.raises(UsageError, match=says):
            model.generate(1, seed=0, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"expected \(B, 11\): 8 of z, and one for each of 3 classes"):
        model.decode(np.zeros((2, 8), np.float32))
    with pytest.raises(InputError, match=r"latents of shape \(2, 9\)"):
        model.with_class(np.zeros((2, 9), np.float32), "chair")
    with pytest.raises(UsageError, match="no class given; expected class_name, one of chair, sofa, table"):
        model.with_class(np.zeros((2, 8), np.float32))
    plain = make("gan3d")
    assert not plain.conditional and plain.classes == ()
    for asked in ({"class_name": "chair"}, {"class_index": 0}):
        with pytest.raises(UsageError, match="this gan3d model; it draws shapes of any class only"):
            plain.generate(1, **asked)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not conditioned on classes; train one with condition=projection"):
        plain.with_class(np.zeros((2, 8), np.float32), "chair")


@pytest.mark.parametrize("classes", [(), ("chair",)])
def test_a_condition_needs_classes_to_choose_from(classes: tuple[str, ...]) -> None:
    for name, options in (("gan3d", {"condition": "projection"}), ("ac_gan3d", {})):
        with pytest.raises(UsageError, match=f"{name} on {len(classes)} classes: there is nothing to choose"):
            make(name, **{**options, "classes": classes})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("gan3d", "projektion", "did you mean 'projection'"),
        ("gan3d", "auxiliary", "is the model ac_gan3d"),
        ("ac_gan3d", "projection", "take the model gan3d"),
    ],
)
def test_unknown_conditions(name: str, value: str, says: str) -> None:
    with pytest.raises(UsageError, match=f"condition='{value}'.*{says}"):
        make(name, condition=value)


# -------------------------------------------------------------------------------------------------- labels
def test_labels_count_the_classes_of_the_model_in_its_order(tiny_data: Path) -> None:
    with Dataset(tiny_data) as data:
        rows = np.arange(len(data))
        own = read_batch(data, rows, Plan(), 0)["label"].tolist()
        turned = read_batch(data, rows, Plan(classes=tuple(reversed(data.classes))), 0)["label"].tolist()
        assert own == data.labels.tolist() and turned == [1 - label for label in own]
        with pytest.raises(DatasetError, match=f"has shapes of the class '{data.classes[1]}', expected"):
            read_batch(data, rows, Plan(classes=(data.classes[0],)), 0)


def test_a_latent_of_a_batch_bears_the_label_of_its_shape() -> None:
    model = make("ac_gan3d")
    labels = torch.tensor([2, 0, 1, 1])
    z = model.batch_latents(Batch(Draws(0, 4), label=labels))
    assert z[:, 8:].argmax(1).tolist() == labels.tolist() and z[:, 8:].sum(1).tolist() == [1] * 4


RUN: dict[str, Any] = {"width": 4, "latent": 8, "batch": 4, "steps": 3, "save_every": 3, "sample_every": 0}


@pytest.mark.parametrize("condition", ["projection", "concatenation", "auxiliary"])
def test_a_training_with_classes_is_saved_loaded_and_asked(
    condition: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "ac_gan3d" if condition == "auxiliary" else "gan3d"
    model = voxgan.train(name, tiny_data, tmp_path / "run", condition=condition, **RUN)
    again = voxgan.load(tmp_path / "run")
    assert again.classes == model.classes and again.conditional
    for each in model.classes:
        one, other = model.generate(2, 0, class_name=each), again.generate(2, 0, class_name=each)
        assert np.array_equal(one.occupancy, other.occupancy)
    assert _run(["info", str(tmp_path / "run")], debug=True) == 0
    printed = capsys.readouterr().out
    assert f"can sample {', '.join(model.classes)}" in printed and f"condition {condition}" in printed


def test_the_command_line_chooses_classes(tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    voxgan.train("ac_gan3d", tiny_data, tmp_path / "run", **RUN)
    run, (first, second) = str(tmp_path / "run"), voxgan.load(tmp_path / "run").classes
    model = ["--model", run]
    for words in (
        ["generate", "--class", second, "-o", str(tmp_path / "a.npz")],
        ["generate", "--class-index", "1", "-o", str(tmp_path / "b.npz")],
        ["interpolate", "--class", first, second, "--steps", "3", "-o", str(tmp_path / "walk.png")],
        ["arithmetic", "A - B", "--class", first, second, "-o", str(tmp_path / "c.npz"), "--level", "0.01"],
    ):
        assert _run([*words, *model], debug=True) == 0
    assert (tmp_path / "walk.png").is_file()
    one, other = (read_volume(tmp_path / f"{name}.npz").occupancy for name in "ab")
    assert np.array_equal(one, other)
    capsys.readouterr()
    for words, says in (
        (["generate", "--class", "cupboard", "-o", str(tmp_path / "x.obj")], "no class 'cupboard'"),
        (["generate", "--class-index", "7", "-o", str(tmp_path / "x.obj")], "no class number 7"),
        (["interpolate", "--class", first, second, first, "-o", str(tmp_path / "x.gif")], "3 classes given"),
        (["arithmetic", "A - B", "--class", *(first,) * 3, "-o", str(tmp_path / "x.obj")], "3 classes for 2 shapes"),
    ):
        assert _run([*words, *model], debug=False) == 2
        assert says in capsys.readouterr().err


def test_classes_that_cannot_be_learnt_are_told_before_long_work(tiny_data: Path, tmp_path: Path) -> None:
    with Dataset(tiny_data) as data:
        one = data.classes[0]
    with pytest.raises(DatasetError, match=r"1 class to train on.*classes=chair,table"):
        voxgan.train("ac_gan3d", tiny_data, tmp_path / "run", classes=one, **RUN)
    with pytest.raises(UsageError, match="stands there twice"):
        voxgan.train("gan3d", tiny_data, tmp_path / "run", classes=f"{one},{one}", condition="projection", **RUN)
    assert not (tmp_path / "run").exists()


# ----------------------------------------------------------------------------------------- recipes of losses
@pytest.mark.parametrize("name", adversarial.names())
def test_a_loss_brings_its_recipe_and_what_is_given_stays(name: str) -> None:
    kind = models.find("gan3d")
    config = make_config(kind.Config, {"adversarial": name})
    for key, value in adversarial.recipe(name).items():
        assert getattr(config, key) == value
    given = make_config(kind.Config, {"adversarial": name, "generator_rate": 0.5, "critic_steps": 3, "gate": 0.7})
    assert (given.generator_rate, given.critic_steps, given.gate) == (0.5, 3, 0.7)


def test_another_loss_than_the_presets_replaces_what_was_chosen_for_it() -> None:
    def options(**given: Any) -> dict[str, Any]:
        return resolve("gan3d_gated", given)[1]

    assert options()["generator_rate"] == 1e-3
    assert options(adversarial="hinge")["generator_rate"] == 1e-3  # which says nothing of rates
    changed = options(adversarial="wasserstein_gp")
    assert "generator_rate" not in changed and changed["width"] == 32
    assert options(adversarial="wasserstein_gp", generator_rate=3e-4)["generator_rate"] == 3e-4
    assert resolve("gan3d", {"adversarial": "wasserstein_gp"}) == resolve("gan3d", {})  # its own
    back = split_options(models.find("gan3d"), resolve("gan3d", {"adversarial": "hinge"})[1])[0]
    assert back == dataclasses.replace(back, **adversarial.STANDARD)  # nothing of another loss is left
    config, _ = split_options(models.find("gan3d"), changed)
    assert (config.generator_rate, config.beta1, config.discriminator_norm) == (1e-4, 0.0, "none")


def test_a_run_in_which_the_generator_never_moves_is_refused(tiny_data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"steps=3: .*the generator first moves in step 100; .*critic_warmup=0"):
        voxgan.train("gan3d", tiny_data, tmp_path / "run", adversarial="wasserstein", **RUN)
    assert not (tmp_path / "run").exists()


def test_a_class_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="classes=a,b,a: one of them stands there twice"):
        make("ac_gan3d", classes=("a", "b", "a"))


def test_finding_a_latent_holds_the_class_of_each_start() -> None:
    model = make("ac_gan3d")
    grid = model.generate(1, seed=5, class_name="sofa").occupancy[0]
    found = find_latent(model, (grid >= np.median(grid)).astype(np.float32), steps=4)
    assert sorted(torch.as_tensor(found.z)[-3:].tolist()) == [0, 0, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"gradient_penalty": 10.0}, "gradient_penalty=10.0 with discriminator_norm=batch: .*take .*none, group or"),
        ({"r1": 1.0}, "r1=1.0 with discriminator_norm=batch"),
        ({"r2": 1.0, "adversarial": "hinge"}, "r2=1.0 with discriminator_norm=batch"),
        ({"adversarial": "wasserstein_gp", "discriminator_norm": "batch"}, "gradient_penalty=10.0 with"),
        ({"adversarial": "relativistic", "discriminator_norm": "batch"}, "r1=1.0 with"),
        ({"spectral_norm": True}, "spectral_norm=True with discriminator_norm=batch"),
        ({"network": "residual", "discriminator_norm": "batch", "r1": 1.0}, "r1=1.0 with"),
        ({"clip": 0.01, "spectral_norm": True, "discriminator_norm": "none"}, "clip=0.01 with spectral_norm"),
    ],
)
def test_penalties_that_batch_norm_makes_meaningless(options: dict[str, Any], says: str) -> None:
    for name in models.names():
        with pytest.raises(UsageError, match=says):
            make_config(models.find(name).Config, options)


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize("network", ["paper", "residual"])
def test_penalties_and_spectral_norm_beside_any_loss(name: str, network: str) -> None:
    kind = models.find(name)
    for loss in adversarial.names():
        for held in ({"gradient_penalty": 1.0}, {"r1": 1.0, "r2": 0.5}, {"spectral_norm": True}):
            options = {"adversarial": loss, "discriminator_norm": "pixel", "network": network, "clip": 0.0, **held}
            config = make_config(kind.Config, options)
            assert all(getattr(config, key) == value for key, value in held.items())


# ---------------------------------------------------------------------------------------- the critic's schedule
def test_the_generator_waits_for_the_critic_and_its_shapes_have_no_graph_meanwhile(tiny_data: Path) -> None:
    kind = models.find("gan3d")
    options = {"resolution": 16, "width": 4, "latent": 8, "adversarial": "wasserstein", "critic_warmup": 0}
    model = kind(make_config(kind.Config, {**options, "critic_steps": 3}))
    run = Stepper(model, Training(batch=4), ALONE, Plan())
    assert run.phases[1].turn == CriticSchedule(3)
    seen, plain = [], kind.loss

    def loss(self: Model, phase: str, batch: Batch) -> Any:
        terms = plain(self, phase, batch)
        seen.append((phase, batch["generated"].requires_grad))
        return terms

    with pytest.MonkeyPatch.context() as patch, Dataset(tiny_data) as data:
        patch.setattr(kind, "loss", loss)
        for step in range(6):
            before = [p.clone() for p in model.generator.parameters()]
            figures = dict(run.run(step, read_batch(data, np.arange(4), Plan(), step), {}))
            still = all(torch.equal(a, b) for a, b in zip(before, model.generator.parameters(), strict=True))
            assert still == (step % 3 != 2) and ("generator.moved" in figures) == (step % 3 == 2)
            assert figures["discriminator.moved"] == 1
            assert all(float(p.detach().abs().max()) <= 0.01 for p in model.discriminator.parameters())
    quiet, moving = ("discriminator", False), [("discriminator", True), ("generator", True)]
    assert seen == [quiet, quiet, *moving] * 2
    assert isinstance(run.optimizers["generator"], torch.optim.RMSprop)


@pytest.mark.parametrize("name", ["gan3d", "vae_gan3d", "ac_gan3d"])
@pytest.mark.parametrize("loss", ["wasserstein", "wasserstein_gp", "relativistic"])
def test_a_resumed_run_equals_an_unbroken_one(name: str, loss: str, tiny_data: Path, tmp_path: Path) -> None:
    options = {**RUN, "adversarial": loss, "critic_steps": 2, "critic_warmup": 0, "pack": 2, "save_every": 1}
    options |= {"cosine": False} | ({"spectral_norm": True} if loss == "relativistic" else {})
    whole = voxgan.train(name, tiny_data, tmp_path / "whole", **{**options, "steps": 5})
    voxgan.train(name, tiny_data, tmp_path / "parts", **{**options, "steps": 2})
    parts = voxgan.training.resume(tmp_path / "parts", steps=5)
    expected = whole.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in parts.state_dict().items())
