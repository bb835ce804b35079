"""A Gaussian in latent space for each class: fitted, sampled, saved, damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from voxgan.checkpoint import load, read_config, save_class_latents, save_model
from voxgan.class_latents import ClassLatents, _gaussians, fit_class_latents
from voxgan.dataset import Dataset
from voxgan.errors import CheckpointError, DatasetError, InputError, UsageError
from voxgan.files import sha256
from voxgan.models.gan3d import GAN3D, Config
from voxgan.models.vae_gan3d import VAEGAN3D, VAEGANConfig


def latents(length: int = 8) -> ClassLatents:
    generator = torch.Generator().manual_seed(0)
    means, factors = torch.randn(2, length, generator=generator), torch.randn(2, length, 3, generator=generator)
    return ClassLatents(("round", "square"), means, factors)


@pytest.fixture
def model() -> VAEGAN3D:
    torch.manual_seed(0)
    model = VAEGAN3D(VAEGANConfig(resolution=16, width=4, latent=8, classes=("round", "square")))
    model.class_latents = latents()
    return model


@pytest.fixture
def folder(model: VAEGAN3D, tmp_path: Path) -> Path:
    return save_model(model, tmp_path / "model")


def test_a_fit_has_the_mean_and_covariance_of_what_it_is_fitted_to() -> None:
    generator = torch.Generator().manual_seed(1)
    true = latents()
    codes = {name: true.sample(torch.full((5000,), i), generator).double().numpy() for i, name in enumerate(true.names)}
    fitted = _gaussians(codes)
    assert fitted.names == true.names
    assert torch.allclose(fitted.means, true.means, atol=0.15)
    for ours, theirs in zip(fitted.factors, true.factors, strict=True):
        assert torch.allclose(ours @ ours.T, theirs @ theirs.T, atol=0.6)


def test_samples_have_their_class_and_follow_from_the_seed(model: VAEGAN3D) -> None:
    assert model.classes == ("round", "square")
    many = model.sample_latents(4000, seed=0, class_name="square")
    assert torch.allclose(many.mean(0), model.class_latents.means[1], atol=0.2)
    assert torch.equal(model.sample_latents(3, seed=4, class_name="round"), model.sample_latents(3, 4, "round"))
    assert not torch.equal(model.sample_latents(3, seed=4), model.sample_latents(3, seed=5))


def test_without_a_class_samples_are_of_all(model: VAEGAN3D) -> None:
    z = model.sample_latents(400, seed=0)
    nearest = torch.cdist(z, model.class_latents.means).argmin(1)
    assert 100 < int(nearest.sum()) < 300


def test_a_class_that_is_none(model: VAEGAN3D) -> None:
    with pytest.raises(UsageError, match="known: round, square"):
        model.generate(1, class_name="rond")
    plain = GAN3D(Config(resolution=16, width=4, classes=("a", "b")))
    assert plain.classes == ()
    with pytest.raises(UsageError, match="any class"):
        plain.generate(1, class_name="a")


def test_a_model_of_one_class_takes_its_name() -> None:
    plain = GAN3D(Config(resolution=16, width=4, classes=("chair",)))
    assert torch.equal(plain.sample_latents(2, 3, class_name="chair"), plain.sample_latents(2, 3))


def test_fitted_to_a_data_set(tiny_data: Path, model: VAEGAN3D) -> None:
    data = Dataset(tiny_data)
    seen: list[tuple[int, int]] = []
    fitted = fit_class_latents(model, data, report=lambda done, total: seen.append((done, total)))
    assert set(fitted.names) == set(data.classes)
    assert seen[-1][0] == seen[-1][1]
    assert torch.equal(fitted.means, fit_class_latents(model, data).means)


def test_fitted_to_a_data_set_without_views(tiny_data_without_views: Path, model: VAEGAN3D) -> None:
    assert fit_class_latents(model, Dataset(tiny_data_without_views)).means.shape[1] == 8


def test_what_cannot_be_fitted(tiny_data: Path) -> None:
    with pytest.raises(UsageError, match="no image encoder"):
        fit_class_latents(GAN3D(Config(resolution=16, width=4)), Dataset(tiny_data))
    with pytest.raises(DatasetError, match="16³"):
        fit_class_latents(VAEGAN3D(VAEGANConfig(resolution=32, width=4)), Dataset(tiny_data))


def test_saved_and_loaded(folder: Path, model: VAEGAN3D) -> None:
    again = load(folder)
    assert again.classes == model.classes
    assert torch.equal(again.sample_latents(5, 1), model.sample_latents(5, 1))


def test_new_weights_do_not_keep_the_old_ones(folder: Path, model: VAEGAN3D) -> None:
    model.class_latents = None
    save_model(model, folder)
    assert load(folder).class_latents is None
    assert not list(folder.glob("class_latents*"))


def test_folders_without_them_are_read(folder: Path) -> None:
    content = read_config(folder)[1]
    del content["class_latents"]
    (folder / "config.json").write_text(json.dumps(content))
    assert load(folder).class_latents is None


def test_damaged_bytes_are_refused(folder: Path) -> None:
    path = next(folder.glob("class_latents*"))
    whole = path.read_bytes()
    for place in range(0, len(whole), max(len(whole) // 25, 1)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load(folder)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"means": torch.zeros(2, 8)}, "expected means and factors"),
        ({"means": torch.zeros(2, 7), "factors": torch.zeros(2, 7, 1)}, "7 numbers"),
        ({"means": torch.zeros(3, 8), "factors": torch.zeros(3, 8, 1)}, "2 classes"),
        ({"means": torch.zeros(2, 8), "factors": torch.zeros(2, 8)}, "2 classes"),
        ({"means": torch.full((2, 8), torch.nan), "factors": torch.zeros(2, 8, 1)}, "not finite"),
        ({"means": torch.zeros(2, 8).double(), "factors": torch.zeros(2, 8, 1)}, "single precision"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(folder: Path, tensors: dict[str, torch.Tensor], says: str) -> None:
    path = next(folder.glob("class_latents*"))
    save_file(tensors, path)
    content = read_config(folder)[1]
    content["class_latents"]["sha256"] = sha256(path)
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=says) as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_a_path_out_of_the_folder_is_refused(folder: Path) -> None:
    content = read_config(folder)[1]
    content["class_latents"]["file"] = "../class_latents.safetensors"
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="beside it"):
        load(folder)


def test_those_of_another_model_are_not_written(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="8 numbers"):
        save_class_latents(latents(5), folder)
    assert load(folder).classes == ("round", "square")


@pytest.mark.parametrize("names", [(), ("a", "a"), ("a", ""), ("a",)])
def test_names_that_are_none(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError):
        ClassLatents(names, torch.zeros(2, 8), torch.zeros(2, 8, 1))
