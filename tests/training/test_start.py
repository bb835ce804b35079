"""A training that begins with another model's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import voxgan
from voxgan import models
from voxgan.checkpoint import save_model
from voxgan.errors import MissingExtraError, StorageError, UsageError
from voxgan.models.model import Model, make_config
from voxgan.training import estimate
from voxgan.training.start import take_over


def make(name: str, seed: int, **options: Any) -> Model:
    torch.manual_seed(seed)
    kind = models.find(name)
    return kind(make_config(kind.Config, {"resolution": 16, "width": 4, "latent": 8, **options}))


def saved(folder: Path, model: Model) -> Path:
    save_model(model, folder)
    return folder


def test_the_same_model_is_taken_over_whole(tmp_path: Path) -> None:
    old, new = make("vae_gan3d", 0), make("vae_gan3d", 1)
    assert set(take_over(new, saved(tmp_path / "old", old))) == {"generator", "discriminator", "encoder"}
    for key, value in old.state_dict().items():
        assert torch.equal(new.state_dict()[key], value), key


@pytest.mark.parametrize("network", ["paper", "residual"])
def test_of_half_the_resolution_all_but_the_new_volume_is_taken_over(tmp_path: Path, network: str) -> None:
    half = make("gan3d", 0, network=network)
    whole = make("gan3d", 1, network=network, resolution=32)
    fresh = {key: value.clone() for key, value in whole.state_dict().items()}
    assert set(take_over(whole, saved(tmp_path / "half", half))) == {"generator", "discriminator"}
    seen = {key: value for key, value in whole.state_dict().items() if not torch.equal(value, fresh[key])}
    old = half.state_dict()
    last = {"paper": "layers.6", "residual": "blocks.1"}[network]
    assert not any(key.startswith(f"generator.{last}") for key in seen)  # what doubles 16³ is new
    first = {"paper": "generator.layers.0.weight", "residual": "generator.first.weight"}[network]
    assert torch.equal(whole.state_dict()[first], old[first])
    weights = [
        old[key] for key in old if key.startswith("discriminator") and old[key].ndim == 5 and old[key].shape[1] > 1
    ]
    mine = [value for key, value in whole.state_dict().items() if key.startswith("discriminator")]
    for weight in weights[-1:]:
        assert any(value.shape == weight.shape and torch.equal(value, weight) for value in mine)


def test_volumes_of_the_half_stand_in_the_whole(tmp_path: Path) -> None:
    """What both generators compute up to 8³ is the same."""
    half, whole = make("gan3d", 0).eval(), make("gan3d", 1, resolution=32)
    take_over(whole, saved(tmp_path / "half", half))
    whole.eval()
    z = torch.rand(2, 8)
    with torch.no_grad():
        for network in (half.generator, whole.generator):
            x = z[:, :, None, None, None]
            for layer in network.layers[:4]:
                x = layer(x)
            if network is half.generator:
                expected = x
    torch.testing.assert_close(x, expected)


def test_another_width_is_refused_with_what_would_do(tmp_path: Path) -> None:
    other = saved(tmp_path / "old", make("gan3d", 0, width=8))
    with pytest.raises(
        UsageError, match=r"nothing of its generator fits \(it is paper, 16³, width 8; this one .*width 4"
    ):
        take_over(make("gan3d", 1), other)


def test_training_says_what_it_begins_with(tmp_path: Path, tiny_data: Path) -> None:
    other = saved(tmp_path / "old", make("gan3d", 5))
    options = {"width": 4, "latent": 8, "batch": 4, "steps": 1, "sample_every": 0, "generator_rate": 0.0}
    model = voxgan.train("gan3d", tiny_data, tmp_path / "run", start=str(other), **options)
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert any("with generator and discriminator of" in event["text"] for event in events)
    kept = voxgan.load(other).state_dict()["generator.layers.0.weight"]
    assert torch.equal(model.state_dict()["generator.layers.0.weight"], kept)


def test_a_start_that_is_not_there(tmp_path: Path, tiny_data: Path) -> None:
    with pytest.raises(StorageError, match="no model"):
        voxgan.train("gan3d", tiny_data, tmp_path / "run", start=str(tmp_path / "none"), steps=1, width=4)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("way", ["train", "estimate"])
def test_imagenet_without_its_package_is_told_before_anything_is_written(
    way: str, tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxgan.imagenet.PACKAGE", "no_such_package")
    options = {"image_encoder": "efficientnet", "encoder_start": "imagenet", "width": 4, "steps": 1}
    with pytest.raises(MissingExtraError, match=r"voxgan-3d\[imagenet\]"):
        if way == "train":
            voxgan.train("vae_gan3d", tiny_data, tmp_path / "run", **options)
        else:
            estimate("vae_gan3d", tiny_data, **options)
    assert not (tmp_path / "run").exists()
