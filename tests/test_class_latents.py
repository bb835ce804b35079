"""Gaussians of classes: fitted at the end of a training, sampled from, saved, loaded, refused."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import voxgan
from voxgan import models
from voxgan.checkpoint import load, save_class_latents, save_model
from voxgan.class_latents import ClassLatents, _best_codes, _gaussians, _photo_codes, fit_class_latents
from voxgan.cli import _run
from voxgan.dataset import Dataset
from voxgan.domain_randomisation import premultiplied
from voxgan.errors import CheckpointError, DatasetError, InputError, StorageError, UsageError
from voxgan.feature_space import FeatureSpace
from voxgan.files import sha256
from voxgan.metrics.failures import failures
from voxgan.metrics.iou import iou
from voxgan.models.model import Model, make_config
from voxgan.training.live import Live
from voxgan.volumes import read_volume

FILE = "class_latents.safetensors"
TINY: dict[str, Any] = {"width": 4, "latent": 8, "encoder_width": 2, "discriminator_width": 4}
RUN = TINY | {"batch": 4, "steps": 4, "save_every": 2, "sample_every": 0}


def make(name: str = "vae_gan3d", **options: Any) -> Model:
    torch.manual_seed(0)
    kind = models.find(name)
    wanted = {"resolution": 16, "width": 4, "latent": 8, "classes": "round,square", **options}
    model = kind(make_config(kind.Config, wanted))
    for layer in model.generator.modules():  # shapes of many lumps, with a surface at level 0.5
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.running_var.fill_(0.02)
    return model.eval()


def latents(names: tuple[str, ...] = ("round", "square"), length: int = 8, rank: int = 3) -> ClassLatents:
    source = torch.Generator().manual_seed(0)
    means = torch.randn(len(names), length, generator=source) + 10 * torch.arange(len(names))[:, None]
    return ClassLatents(names, means, torch.randn(len(names), length, rank, generator=source))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> tuple[Path, Model]:
    folder = tmp_path_factory.mktemp("trained") / "run"
    return folder, voxgan.train("vae_gan3d", tiny_data, folder, **RUN)


# ------------------------------------------------------------------------------------------------ sampling
def test_samples_have_the_mean_and_the_covariance_of_their_class() -> None:
    made = latents()
    drawn = made.sample(torch.ones(20_000, dtype=torch.long), torch.Generator().manual_seed(1))
    assert drawn.shape == (20_000, 8) and drawn.dtype == torch.float32
    torch.testing.assert_close(drawn.mean(0), made.means[1], atol=0.1, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), made.factors[1] @ made.factors[1].T, atol=0.25, rtol=0.05)
    assert made.sample(torch.tensor([0, 1]), torch.Generator())[:, 0].diff() > 5


def test_what_a_class_says_of_a_latent() -> None:
    made, z = latents(), torch.randn(5, 8, generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([0, 1, 0, 1, 1])
    covariances = made.factors @ made.factors.mT
    doubt = covariances.diagonal(dim1=1, dim2=2).sum(1).mean() / 3
    for row, label in enumerate(labels.tolist()):
        own = covariances[label]
        gain = own @ torch.linalg.inv(own + doubt * torch.eye(8))
        expected = made.means[label] + gain @ (z[row] - made.means[label])
        torch.testing.assert_close(made.given(z, labels)[row], expected, atol=1e-4, rtol=1e-4)
    # what lies at the mean stays there, and a class without spread is its mean
    torch.testing.assert_close(made.given(made.means, torch.tensor([0, 1])), made.means)
    point = ClassLatents(made.names, made.means, torch.zeros_like(made.factors))
    torch.testing.assert_close(point.given(z, labels), made.means[labels])


def test_what_a_class_says_of_a_photo_whose_noise_was_measured() -> None:
    source = torch.Generator().manual_seed(3)
    made, z, labels = latents(), torch.randn(5, 8, generator=source), torch.tensor([0, 1, 0, 1, 1])
    spread = torch.randn(8, 8, generator=source)
    noise = spread @ spread.T + 0.1 * torch.eye(8)
    measured = dataclasses.replace(made, photo_noise=noise)
    for row, label in enumerate(labels.tolist()):
        own = made.factors[label] @ made.factors[label].T
        expected = made.means[label] + own @ torch.linalg.inv(own + noise) @ (z[row] - made.means[label])
        torch.testing.assert_close(measured.given(z, labels)[row], expected, atol=1e-3, rtol=1e-3)
    doubt = (made.factors @ made.factors.mT).diagonal(dim1=1, dim2=2).sum(1).mean() / 3
    alike = dataclasses.replace(made, photo_noise=doubt * torch.eye(8))
    torch.testing.assert_close(alike.given(z, labels), made.given(z, labels))


def test_a_photo_whose_class_is_known() -> None:
    model, source = make(), torch.Generator().manual_seed(0)
    photos = torch.rand(3, 3, 256, 256, generator=source)
    for class_name in ("round", ["round"] * 3):
        with pytest.raises(UsageError, match="no class 'round' in this vae_gan3d model: it has no class latents"):
            model.reconstruct(photos, class_name=class_name)
    model.class_latents = latents()
    plain = model.reconstruct(photos).occupancy
    told = model.reconstruct(photos, class_name="square").occupancy
    given = model.class_latents.given(model.encode(photos), torch.tensor([1, 1, 1]))
    np.testing.assert_array_equal(told, model.decode(given).occupancy)
    assert not np.array_equal(told, plain)
    each = model.reconstruct(photos, class_name=("round", "square", "round")).occupancy
    np.testing.assert_allclose(each[1], told[1], atol=1e-6)
    assert not np.allclose(each[0], told[0])
    twice = model.reconstruct(photos, votes=2, class_name="square").occupancy
    assert not np.allclose(twice, model.reconstruct(photos, votes=2).occupancy)
    for wrong, said in (
        ("flat", "no class 'flat' in this vae_gan3d model"),
        (("round", "square"), "2 classes for 3 photos; expected one for all, or one for each"),
        ((), "class_name holds no class"),
    ):
        with pytest.raises(UsageError, match=said):
            model.reconstruct(photos, class_name=wrong)


def test_a_model_samples_its_classes() -> None:
    model = make()
    assert model.classes == () and model.class_latents is None
    prior = model.sample_latents(4, seed=3)
    model.class_latents = latents()
    assert model.classes == ("round", "square")
    low, high = (model.sample_latents(50, seed=3, class_name=name) for name in model.classes)
    assert low.mean() < 5 < high.mean()
    assert torch.equal(model.sample_latents(50, 3, "square"), high)
    assert not torch.equal(model.sample_latents(50, 4, "square"), high)
    mixed = model.sample_latents(200, seed=3).mean(1) > 5
    assert 60 < mixed.sum() < 140
    np.testing.assert_array_equal(model.generate(2, 3, "square").occupancy, model.decode(
        model.sample_latents(2, 3, "square")).occupancy)  # fmt: skip
    model.class_latents = None
    assert torch.equal(model.sample_latents(4, seed=3), prior)


def test_a_model_of_one_class_takes_its_name() -> None:
    model = make("gan3d", classes="chair")
    assert model.classes == ("chair",)
    assert torch.equal(model.sample_latents(3, 0, "chair"), model.sample_latents(3, 0))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (make("gan3d", classes="chair"), r"no class 'chairs' in this gan3d model; did you mean 'chair'\? known: chair"),
        (make("gan3d"), "no class 'chairs' in this gan3d model; it draws shapes of any class only"),
        (make(), "no class 'chairs' in this vae_gan3d model; it draws shapes of any class only"),
    ],
)
def test_a_class_that_a_model_cannot_choose_is_refused(model: Model, says: str) -> None:
    for ask in (model.sample_latents, model.generate):
        with pytest.raises(UsageError, match=says):
            ask(1, class_name="chairs")


@pytest.mark.parametrize(
    ("names", "means", "factors", "says"),
    [
        ((), torch.zeros(0, 8), torch.zeros(0, 8, 2), "expected one or more, each once"),
        (("a", "a"), torch.zeros(2, 8), torch.zeros(2, 8, 2), "each once"),
        (("a", ""), torch.zeros(2, 8), torch.zeros(2, 8, 2), "each once"),
        (("a", 5), torch.zeros(2, 8), torch.zeros(2, 8, 2), "each once"),
        (("a",), torch.zeros(2, 8), torch.zeros(2, 8, 2), r"of 1 classes; expected \(K, L\) and \(K, L, F\)"),
        (("a", "b"), torch.zeros(2, 8), torch.zeros(2, 9, 2), "expected"),
        (("a", "b"), torch.zeros(2, 8), torch.zeros(2, 8), "expected"),
        (("a", "b"), torch.zeros(2), torch.zeros(2, 8, 2), "expected"),
        (("a",), torch.full((1, 8), torch.nan), torch.zeros(1, 8, 2), "not finite"),
        (("a",), torch.zeros(1, 8), torch.full((1, 8, 2), torch.inf), "not finite"),
        (("a",), torch.zeros(1, 8, dtype=torch.int32), torch.zeros(1, 8, 2), "single precision"),
        (("a",), torch.zeros(1, 8), torch.zeros(1, 8, 2).half(), "single precision"),
    ],
)
def test_gaussians_that_are_none_are_refused(names: Any, means: Any, factors: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        ClassLatents(names, means, factors)


# ------------------------------------------------------------------------------------------------- fitting
def test_a_gaussian_is_that_of_the_codes() -> None:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(12, 3))
    codes = {"a": rng.normal(size=(4000, 3)) @ mix.T + 7, "b": rng.normal(size=(4000, 3)) @ mix.T[::-1] - 1}
    fitted = _gaussians(codes)
    assert fitted.names == ("a", "b") and fitted.factors.shape == (2, 12, 3)
    for label, name in enumerate(fitted.names):
        torch.testing.assert_close(fitted.means[label].double(), torch.from_numpy(codes[name].mean(0)))
        covariance = fitted.factors[label] @ fitted.factors[label].T
        spread = np.abs(np.cov(codes[name].T)).max()
        np.testing.assert_allclose(covariance.numpy(), np.cov(codes[name].T), atol=0.03 * spread)


def test_a_class_of_one_shape_varies_as_the_others_do() -> None:
    rng = np.random.default_rng(0)
    fitted = _gaussians({"many": rng.normal(size=(500, 8)) * 3, "one": np.full((1, 8), 9.0)})
    assert fitted.means[1].tolist() == [9] * 8
    assert float(fitted.factors[1].square().sum()) == pytest.approx(float(fitted.factors[0].square().sum()), rel=0.1)
    alone = _gaussians({"one": np.full((1, 8), 9.0)})
    assert alone.sample(torch.tensor([0]), torch.Generator()).tolist() == [[9] * 8]


def test_few_axes_are_kept() -> None:
    rng = np.random.default_rng(0)
    assert _gaussians({"a": rng.normal(size=(300, 200))}).factors.shape == (1, 200, 32)


def test_fitting_to_a_data_set(tiny_data: Path) -> None:
    model, told = make(encoder_width=2), []
    with Dataset(tiny_data) as data:
        fitted = fit_class_latents(model, data, lambda *now: told.append(now))
        again = fit_class_latents(model, data)
        codes = _best_codes(model, data, np.flatnonzero(data.labels == 1))
    assert fitted.names == ("round", "square") and told == [(4, 8), (8, 8)]
    torch.testing.assert_close(fitted.means[1].double(), torch.from_numpy(codes.mean(0)))
    assert torch.equal(fitted.means, again.means) and torch.equal(fitted.factors, again.factors)
    with Dataset(tiny_data, classes=["square"]) as data:
        assert fit_class_latents(model, data).names == ("square",)


def test_the_noise_of_photos_is_measured(tiny_data: Path) -> None:
    model = make(encoder_width=2)
    before = torch.get_rng_state()
    with Dataset(tiny_data) as data:
        first, again = (fit_class_latents(model, data).photo_noise for _ in range(2))
        rows = [np.flatnonzero(data.labels == label) for label in (0, 1)]
        twice = [np.repeat(part, 2) for part in rows]
        photos = np.concatenate([_photo_codes(model, data, part) for part in twice])
        white = np.concatenate([_best_codes(model, data, part) for part in twice])
    assert first is not None and again is not None and torch.equal(first, again)
    assert torch.equal(before, torch.get_rng_state())
    apart = photos - white
    plain = apart.T @ apart  # of 16 photos; 8 more, alike in all directions, are added
    expected = (plain + 8 * np.trace(plain) / 16 / 8 * np.eye(8)) / 24
    torch.testing.assert_close(first, torch.from_numpy(expected).float())


def test_photos_show_shapes_as_they_stand(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(views: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(premultiplied(views)[:, :3], (256, 256))

    def plain(views: torch.Tensor, _: object, __: object, flipped: torch.Tensor, *___: object) -> torch.Tensor:
        made.append(flipped)
        return torch.where(flipped[:, None, None, None], small(views).flip(3), small(views))

    model, made, seen = make(encoder_width=2), [], []
    monkeypatch.setattr("voxgan.batches.randomised", plain)
    monkeypatch.setattr(type(model), "encode", lambda self, photos: seen.append(photos) or torch.zeros(len(photos), 8))
    with Dataset(tiny_data) as data:
        lopsided = [row for row, grid in enumerate(data.occupancy(np.arange(8))) if (grid != grid[::-1]).any()]
        rows = np.repeat(lopsided, 10)
        _photo_codes(model, data, rows)
        upright = [small(torch.from_numpy(data.views(rows.tolist(), [view] * len(rows)))) for view in (0, 1)]
    assert 0 < made[0].sum() < len(rows)  # some are flipped, with their shapes, as in training
    for place in range(len(rows)):
        assert any(torch.equal(seen[0][place], view[place]) for view in upright)


def test_many_classes_take_no_longer_than_few(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxgan.class_latents._MAX_IN_ALL", 6)
    told: list[tuple[int, int]] = []
    with Dataset(tiny_data) as data:
        fit_class_latents(make(encoder_width=2), data, lambda *now: told.append(now))
    assert told == [(3, 6), (6, 6)]


def test_the_view_with_the_best_reconstruction_counts(tiny_data: Path) -> None:
    model = make(encoder_width=2)
    with Dataset(tiny_data) as data:
        real, chosen = data.occupancy(np.arange(8)), _best_codes(model, data, np.arange(8))
        seen = []
        for view in range(data.num_views):
            rgba = data.views(list(range(8)), [view] * 8).astype(np.float32) / 255
            on_white = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
            seen.append(model.encode(np.ascontiguousarray(on_white.transpose(0, 3, 1, 2))))
    scores = np.stack([iou(model.decode(z).occupancy, real) for z in seen])
    assert len(set(scores.argmax(0))) == 2  # now the one, now the other
    expected = torch.stack(seen)[scores.argmax(0), torch.arange(8)]
    torch.testing.assert_close(torch.from_numpy(chosen).float(), expected, atol=1e-5, rtol=1e-4)


def test_views_are_drawn_where_there_are_none(tiny_data_without_views: Path) -> None:
    model = make(encoder_width=2)
    with Dataset(tiny_data_without_views) as data:
        fitted = fit_class_latents(model, data)
        drawn = model.encode_shapes(data.occupancy([0, 4]), num_views=3, seed=1)
    assert fitted.names == ("round", "square") and float(fitted.factors.abs().max()) > 0
    assert drawn.shape == (2, 3, 8)
    assert not torch.equal(drawn[0, 0], drawn[0, 1]) and not torch.equal(drawn[0], drawn[1])


def test_models_and_data_that_do_not_fit_are_refused(tiny_data: Path) -> None:
    with Dataset(tiny_data) as data:
        with pytest.raises(UsageError, match="this gan3d has no image encoder"):
            fit_class_latents(make("gan3d"), data)
        with pytest.raises(DatasetError, match="its grids are 16³, the model's 32³"):
            fit_class_latents(make(resolution=32), data)


# ------------------------------------------------------------------------------------- at the end of a training
def test_a_training_ends_with_class_latents(run: tuple[Path, Model], tiny_data: Path) -> None:
    folder, model = run
    with Dataset(tiny_data) as data:
        fitted = fit_class_latents(model, data)
    loaded = load(folder)
    for found in (model, loaded):
        assert found.classes == ("round", "square")
        assert torch.equal(found.class_latents.means, fitted.means)
        assert torch.equal(found.class_latents.factors, fitted.factors)
    np.testing.assert_array_equal(loaded.generate(3, 0, "square").occupancy, model.generate(3, 0, "square").occupancy)


def test_fitting_says_how_far_it_is(tmp_path: Path, tiny_data: Path) -> None:
    stream = io.StringIO()
    voxgan.train("vae_gan3d", tiny_data, tmp_path / "run", Live(stream), **RUN)
    steps, fitting = stream.getvalue().splitlines()
    assert steps.startswith("step 4/4") and fitting.startswith("fitting class latents: 8/8 shapes")


def test_a_stopped_run_has_none_until_it_is_finished(run: tuple[Path, Model], tmp_path: Path, tiny_data: Path) -> None:
    def stop(done: int, steps: int, figures: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        voxgan.train("vae_gan3d", tiny_data, tmp_path / "run", stop, **RUN)
    assert not (tmp_path / "run" / FILE).exists() and load(tmp_path / "run").class_latents is None
    voxgan.resume(tmp_path / "run")
    assert sha256(tmp_path / "run" / FILE) == sha256(run[0] / FILE)
    voxgan.resume(tmp_path / "run")  # finished: nothing changes
    assert sha256(tmp_path / "run" / FILE) == sha256(run[0] / FILE)
    load(tmp_path / "run")


def test_going_on_replaces_them(tmp_path: Path, tiny_data: Path) -> None:
    voxgan.train("vae_gan3d", tiny_data, tmp_path / "run", **RUN)
    first = sha256(tmp_path / "run" / FILE)
    seen = []

    def look(done: int, steps: int, figures: object) -> None:
        seen.append((done, (tmp_path / "run" / FILE).exists(), load(tmp_path / "run").class_latents is None))

    voxgan.resume(tmp_path / "run", look, steps=6)
    assert seen == [(5, True, False), (6, False, True)]  # those of step 4; none beside the weights of step 6
    assert sha256(tmp_path / "run" / FILE) != first
    load(tmp_path / "run")


def test_codes_that_are_not_finite_do_not_spoil_a_run(
    tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "voxgan.models.vae_gan3d.VAEGAN3D.encode", lambda self, photos, background="auto": torch.full((8, 8), np.nan)
    )
    model = voxgan.train("vae_gan3d", tiny_data, tmp_path / "run", **RUN)
    assert model.class_latents is None and load(tmp_path / "run").class_latents is None


# ------------------------------------------------------------------------------------------- saved and loaded
@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = make()
    model.class_latents = latents()
    return save_model(model, tmp_path / "model")


def test_they_are_saved_with_the_model_and_loaded_bit_for_bit(folder: Path) -> None:
    loaded = load(folder)
    assert loaded.class_latents.names == ("round", "square")
    assert torch.equal(loaded.class_latents.means, latents().means)
    assert torch.equal(loaded.class_latents.factors, latents().factors)
    assert sorted(path.name for path in folder.iterdir()) == [FILE, "config.json", "weights.safetensors"]


def test_saving_a_model_without_them_takes_the_old_ones_away(folder: Path) -> None:
    save_model(make(), folder)
    assert not (folder / FILE).exists() and load(folder).class_latents is None


def test_a_folder_without_them_loads_and_may_get_some(tmp_path: Path) -> None:
    folder = save_model(make(), tmp_path / "model")
    weights = sha256(folder / "weights.safetensors")
    assert "class_latents" not in json.loads((folder / "config.json").read_text())
    for names in (("round", "square"), ("left", "right", "up")):
        save_class_latents(latents(names), folder)
        assert load(folder).classes == names
    assert sha256(folder / "weights.safetensors") == weights
    with pytest.raises(CheckpointError, match="a model with latents of 8 numbers, not 9"):
        save_class_latents(latents(length=9), folder)
    assert load(folder).classes == ("left", "right", "up")


def test_a_folder_is_whole_whenever_saving_stops(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("voxgan.checkpoint.write_tensors", fail)
        with pytest.raises(StorageError):
            save_class_latents(latents(("left", "right")), folder)
    assert load(folder).class_latents is None


def rewrite(folder: Path, tensors: Any = None, **changes: Any) -> None:
    """Write other tensors, and an entry with the hash that belongs to them but for `changes`."""
    if tensors is not None:
        save_file(tensors, folder / FILE)
    content = json.loads((folder / "config.json").read_text())
    content["class_latents"] |= {"sha256": sha256(folder / FILE)} | changes
    (folder / "config.json").write_text(json.dumps(content))


def flip(folder: Path, place: int) -> None:
    content = bytearray((folder / FILE).read_bytes())
    content[place] ^= 1
    (folder / FILE).write_bytes(content)


def entry(folder: Path, value: Any) -> None:
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | {"class_latents": value}))


def changed(folder: Path, **tensors: Any) -> dict[str, torch.Tensor]:
    return load_file(folder / FILE) | tensors


DAMAGES: dict[str, tuple[Any, type[Exception], str]] = {
    "bit in the header": (lambda f: flip(f, 20), CheckpointError, "SHA-256.*damaged"),
    "last bit": (lambda f: flip(f, -1), CheckpointError, "SHA-256.*damaged"),
    "cut": (lambda f: (f / FILE).write_bytes((f / FILE).read_bytes()[:-1]), CheckpointError, "SHA-256.*damaged"),
    "empty": (lambda f: (f / FILE).write_bytes(b""), CheckpointError, "SHA-256.*damaged"),
    "gone": (lambda f: (f / FILE).unlink(), StorageError, "cannot read .*class_latents.safetensors"),
    "wrong hash": (lambda f: rewrite(f, sha256="0" * 64), CheckpointError, "expected 000000000000"),
    "no hash": (lambda f: rewrite(f, sha256=""), CheckpointError, "lacks file, sha256 or names"),
    "no file": (lambda f: rewrite(f, file=None), CheckpointError, "lacks file, sha256 or names"),
    "no names": (lambda f: rewrite(f, names=None), CheckpointError, "lacks file, sha256 or names"),
    "file a number": (lambda f: rewrite(f, file=5), CheckpointError, "lacks file, sha256 or names"),
    "file elsewhere": (lambda f: rewrite(f, file="../" + FILE), CheckpointError, "expected a .safetensors file beside"),
    "file a pickle": (lambda f: rewrite(f, file="class_latents.pt"), CheckpointError, "expected a .safetensors file"),
    "entry a list": (lambda f: entry(f, [1]), CheckpointError, "'class_latents' in its config.json is no object"),
    "entry empty": (lambda f: entry(f, {}), CheckpointError, "lacks file, sha256 or names"),
    "one name less": (lambda f: rewrite(f, names=["round"]), CheckpointError, "of 1 classes"),
    "one name twice": (lambda f: rewrite(f, names=["round", "round"]), CheckpointError, "each once"),
    "a name a list": (lambda f: rewrite(f, names=["round", []]), CheckpointError, "class_latents.safetensors"),
    "no safetensors": (
        lambda f: ((f / FILE).write_bytes(b"\0" * 99), rewrite(f)),
        CheckpointError,
        "not a readable safetensors file",
    ),
    "extra tensor": (
        lambda f: rewrite(f, changed(f, more=torch.zeros(1))),
        CheckpointError,
        "holds factors, means, more; expected means and factors, and photo_noise at most",
    ),
    "no tensor": (lambda f: rewrite(f, {}), CheckpointError, "holds nothing; expected means and factors"),
    "NaN": (lambda f: rewrite(f, changed(f, means=torch.full((2, 8), torch.nan))), CheckpointError, "not finite"),
    "half precision": (
        lambda f: rewrite(f, changed(f, means=torch.zeros(2, 8).half())),
        CheckpointError,
        "single precision",
    ),
    "factors cut": (
        lambda f: rewrite(f, changed(f, factors=torch.zeros(2, 7, 3))),
        CheckpointError,
        r"expected \(K, L\) and \(K, L, F\)",
    ),
    "noise of nothing": (
        lambda f: rewrite(f, changed(f, photo_noise=torch.zeros(8, 8))),
        CheckpointError,
        r"photo noise \(8, 8\) of latents of 8 numbers; expected a covariance",
    ),
    "noise cut": (
        lambda f: rewrite(f, changed(f, photo_noise=torch.eye(7))),
        CheckpointError,
        r"photo noise \(7, 7\)",
    ),
    "other model": (
        lambda f: rewrite(f, {"means": torch.zeros(2, 9), "factors": torch.zeros(2, 9, 1)}),
        CheckpointError,
        "means of 9 numbers, the model's latents have 8",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_refused(damage: str, folder: Path) -> None:
    change, error, says = DAMAGES[damage]
    load(folder)
    change(folder)
    with pytest.raises(error, match=says) as refusal:
        load(folder)
    assert "\n" not in str(refusal.value)


# ------------------------------------------------------------------------------------------- command and shipped
def test_the_command_makes_a_class(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "shapes.npz"
    assert (
        _run(["generate", "-m", str(folder), "--class", "square", "--seed", "5", "-o", str(out), "--no-clean"], False)
        == 0
    )
    expected = load(folder).generate(1, 5, "square").occupancy
    np.testing.assert_array_equal(read_volume(out).occupancy, expected)
    capsys.readouterr()
    status = _run(["generate", "-m", str(folder), "--class", "sqare", "-o", str(tmp_path / "new" / "a.obj")], False)
    assert status == 2 and not (tmp_path / "new").exists()
    assert capsys.readouterr().err == (
        "voxgan: no class 'sqare' in this vae_gan3d model; did you mean 'square'? known: round, square\n"
    )


def test_the_command_is_told_what_photos_show(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, tone in zip(photos, (60, 200), strict=True):
        Image.new("RGB", (40, 40), (tone, 90, 90)).save(path)
    asked = ["reconstruct", *map(str, photos), "-m", str(folder), "-o", str(tmp_path), "-f", "npz", "--no-clean"]
    asked += ["--background", "keep"]
    assert _run([asked[0], "--class", "round", "--class", "square", *asked[1:]], False) == 0  # before the photos, too
    expected = load(folder).reconstruct(photos, "keep", class_name=("round", "square")).occupancy
    for path, shape in zip(photos, expected, strict=True):
        np.testing.assert_array_equal(read_volume(path.with_suffix(".npz")).occupancy[0], shape)
    capsys.readouterr()
    for named, said in (
        (["sqare"], "no class 'sqare' in this vae_gan3d model; did you mean 'square'? known: round, square"),
        (["round"] * 3, "3 classes for 2 photos; expected one for all, or one for each"),
    ):
        assert _run([*asked, *(word for name in named for word in ("--class", name))], False) == 2
        assert capsys.readouterr().err == f"voxgan: {said}\n"


def test_info_names_the_classes_that_can_be_sampled(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, said in (
        (str(folder), "round, square"),
        ("chairs-gan3d", "chair"),
        ("furniture", "bed, bookshelf, chair"),
    ):
        assert _run(["info", name], False) == 0
        assert f"can sample {said}" in capsys.readouterr().out
    save_model(make(), folder)
    assert _run(["info", str(folder)], False) == 0
    assert "can sample -\n" in capsys.readouterr().out


def of_their_classes(name: str, whole: float) -> Model:
    """Look at eight shapes of each class of a shipped model: sound, and named right by the classifier."""
    model, space = voxgan.load(name), FeatureSpace.load()
    assert model.classes == model.config.classes
    for class_name in model.classes:
        made = model.generate(8, seed=0, class_name=class_name, whole=whole).occupancy
        found = failures(made)
        assert found["empty"] == found["full"] == 0 and found["shattered"] <= (0 if whole else 0.25)
        told = space.probabilities_of(space.features(made >= 0.5)).argmax(1)
        assert [space.classes[place] for place in told].count(class_name) >= 6
    return model


def test_furniture_gives_whole_furniture_of_its_classes() -> None:
    model, space = of_their_classes("furniture", 0), FeatureSpace.load()
    model.class_latents = None
    prior = space.probabilities_of(space.features(model.generate(16, seed=0).occupancy >= 0.5))
    assert prior.max(1).mean() < 0.5  # what the prior gives is nothing that the classifier knows


@pytest.mark.parametrize("name", ["furniture-gan3d", "planes-cars"])
def test_generators_give_whole_shapes_of_their_classes(name: str) -> None:
    of_their_classes(name, whole=0.95)
