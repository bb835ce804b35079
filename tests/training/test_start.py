"""A training that begins with another model's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import avg_pool3d, interpolate

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
    if network == "residual":
        assert not any(key.startswith("generator.blocks.1") for key in seen)  # what doubles 16³ is new
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


GROWN: list[dict[str, Any]] = [
    {"adversarial": "wasserstein_gp"},
    {"adversarial": "wasserstein_gp", "generator_norm": "none", "pack": 2},
    {"adversarial": "wasserstein_gp", "condition": "projection", "classes": ("round", "square")},
]


@pytest.mark.parametrize("options", GROWN)
def test_twice_the_resolution_begins_with_the_same_shapes(tmp_path: Path, options: dict[str, Any]) -> None:
    half = make("gan3d", 0, **options).eval()
    if half.config.generator_norm == "batch":
        half.generator.layers[4].running_var.fill_(0.02)  # logits that differ from each other
    whole = make("gan3d", 1, resolution=32, **options)
    take_over(whole, saved(tmp_path / "half", half))
    whole.eval()
    z = half.sample_latents(64, seed=0)
    with torch.no_grad():
        small = half.generator.logits(z)
        large = whole.generator.logits(z)
        expected = interpolate(small, scale_factor=2, mode="trilinear", align_corners=False)
        inner = (..., *(slice(1, -1),) * 3)  # the padding outside is 0, that of interpolation is the edge
        assert small.std() > 0.01
        torch.testing.assert_close(large[inner], expected[inner], atol=1e-4, rtol=1e-3)
        # In training, too, where the new norm takes the batch's statistics
        whole.generator.layers[-3].train()
        torch.testing.assert_close(whole.generator.logits(z)[inner], expected[inner], atol=1e-4, rtol=1e-3)
        shapes = torch.rand(3, half.config.pack, 32, 32, 32)
        judged = whole.discriminator.logits(whole.discriminator.features(shapes))
        before = half.discriminator.logits(half.discriminator.features(avg_pool3d(shapes, 2)))
        torch.testing.assert_close(judged, before, atol=1e-5, rtol=1e-4)


def test_what_has_grown_can_learn(tmp_path: Path) -> None:
    half = make("gan3d", 0, adversarial="wasserstein_gp")
    whole = make("gan3d", 1, resolution=32, adversarial="wasserstein_gp")
    take_over(whole, saved(tmp_path / "half", half))
    whole.train()
    whole.generator.logits(torch.randn(4, 8)).square().mean().backward()
    whole.discriminator.logits(whole.discriminator.features(torch.rand(4, 1, 32, 32, 32))).sum().backward()
    moved = [whole.generator.layers[-1].weight.grad, whole.discriminator.layers[2].weight.grad]
    assert bool((moved[0] != 0).any(dim=(1, 2, 3, 4)).all()) and bool((moved[1] != 0).any(dim=(0, 2, 3, 4)).all())


@pytest.mark.parametrize(
    "options",
    [
        {"generator_norm": "group"},
        {"adversarial": "wasserstein_gp", "spectral_norm": True},
        {"adversarial": "wasserstein_gp", "discriminator_norm": "group"},
    ],
)
def test_what_cannot_grow_stays_random(tmp_path: Path, options: dict[str, Any]) -> None:
    whole = make("gan3d", 1, resolution=32, **options)
    child, key = ("generator", "layers.9.weight") if "generator_norm" in options else ("discriminator", "layers.0.")
    fresh = {k: v.clone() for k, v in getattr(whole, child).state_dict().items() if k.startswith(key)}
    take_over(whole, saved(tmp_path / "half", make("gan3d", 0, **options)))
    assert fresh and all(torch.equal(getattr(whole, child).state_dict()[k], v) for k, v in fresh.items())


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


def test_a_dry_run_looks_at_the_start(tmp_path: Path, tiny_data: Path) -> None:
    options = {"width": 4, "latent": 8, "batch": 4, "steps": 1}
    with pytest.raises(StorageError, match="no model"):
        estimate("gan3d", tiny_data, start=str(tmp_path / "none"), **options)
    other = saved(tmp_path / "old", make("gan3d", 5, width=8))
    with pytest.raises(UsageError, match="nothing of its generator fits"):
        estimate("gan3d", tiny_data, start=str(other), **options)
    assert estimate("gan3d", tiny_data, start=str(saved(tmp_path / "fits", make("gan3d", 5))), **options).parameters


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
