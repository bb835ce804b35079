"""Latents found for given shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import voxgan
from voxgan import models
from voxgan.class_latents import ClassLatents
from voxgan.errors import InputError, UsageError
from voxgan.inversion import find_latent
from voxgan.metrics.iou import iou
from voxgan.models.model import Model, make_config


def make(name: str = "gan3d", **options: Any) -> Model:
    """A model whose shapes differ: lumps with a surface at level 0.5."""
    torch.manual_seed(0)
    kind = models.find(name)
    model = kind(make_config(kind.Config, {"resolution": 16, "width": 4, "latent": 8, "prior": "normal", **options}))
    for layer in model.generator.modules():
        if isinstance(layer, torch.nn.BatchNorm3d):
            layer.running_var.fill_(0.02)
    return model.eval()


def shape_of(model: Model, seed: int) -> np.ndarray:
    return (model.generate(1, seed=seed).occupancy[0] >= 0.5).astype(np.float32)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_a_shape_of_the_model_is_found_again(prior: str) -> None:
    model = make(prior=prior)
    target = shape_of(model, 1000)
    tried = model.decode(model.sample_latents(48, 0)).occupancy
    before = iou(tried, np.broadcast_to(target, tried.shape)).max()
    found = find_latent(model, target, steps=100)
    assert found.iou > 0.85 and found.iou > before + 0.05
    assert found.z.shape == (8,) and not found.z.requires_grad
    assert found.iou == pytest.approx(iou(model.decode(found.z).occupancy, target[None])[0], abs=0.01)


def test_it_stays_near_the_prior() -> None:
    """Even where nothing on the way to the shape, which no latent gives, would stop it."""
    box = np.zeros((16, 16, 16), bool)
    box[4:12, 4:12, 2:14] = True
    assert float(find_latent(make(), box, steps=200).z.norm()) < 4 * np.sqrt(8)
    z = find_latent(make(prior="uniform"), box, steps=200).z
    assert float(((z - 0.5) * np.sqrt(12)).norm()) < 4 * np.sqrt(8)


def test_the_same_seed_finds_the_same_and_another_one_another() -> None:
    model, target = make(), torch.from_numpy(shape_of(make(), 1))
    one, same, other = (find_latent(model, target, steps=5, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.z, same.z) and one.iou == same.iou
    assert not torch.equal(one.z, other.z)


def test_it_begins_with_given_latents() -> None:
    model = make()
    z = torch.cat([model.sample_latents(1, seed) for seed in (1000, 1001)])
    found = find_latent(model, shape_of(model, 1000), steps=1, starts=z)
    assert found.iou == 1 and torch.equal(found.z, z[0])


def test_it_begins_with_class_latents() -> None:
    model = make()
    z = model.sample_latents(1, 1000)
    model.class_latents = ClassLatents(("a", "b"), torch.cat([torch.zeros(1, 8), z]), torch.zeros(2, 8, 1))
    assert find_latent(model, shape_of(model, 1), steps=1).iou == 1  # which comes from one of the two


def test_it_begins_with_what_an_image_encoder_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("vae_gan3d", encoder_width=2)
    z = model.sample_latents(1, 1000)
    asked = []

    def encode(images: torch.Tensor) -> torch.Tensor:
        asked.append(images)
        return z.repeat(len(images), 1)

    monkeypatch.setattr(model, "encode", encode)
    assert find_latent(model, shape_of(model, 1000), steps=1).iou == 1
    (images,) = asked
    assert images.shape == (8, 3, 256, 256) and 0 <= images.min() < 0.8 and images.max() == 1
    assert not torch.equal(images[0], images[1])
    del model.encoder
    assert find_latent(model, shape_of(model, 1000), steps=1).iou < 1


def test_progress_is_told_and_may_end_it() -> None:
    model, told = make().train(), []
    find_latent(model, shape_of(model, 0), steps=12, report=lambda *told_now: told.append(told_now))
    assert told[0] == (1, 12) and told[-1] == (12, 12)
    assert [done for done, _ in told] == sorted(done for done, _ in told)

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_latent(model, shape_of(model, 0), report=stop)
    assert model.training


def test_the_model_is_left_as_it_was() -> None:
    model = make().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.inference_mode(False), torch.no_grad():
        find_latent(model, shape_of(model, 0), steps=3)
    assert model.training and all(p.grad is None and p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


SOLID = np.zeros((16, 16, 16))
SOLID[4:9, 4:9, 4:9] = 1


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        (np.zeros((16, 16, 16)), "an empty grid"),
        (np.full((16, 16, 16), 0.4), "an empty grid"),
        (np.zeros((8, 8, 8)), r"\(8, 8, 8\); expected \(16, 16, 16\)"),
        (np.zeros((1, 16, 16, 16)), "expected"),
        (SOLID * np.nan, "not finite"),
        (np.full((16, 16, 16), np.inf), "not finite"),
        (SOLID * 2, r"outside \[0, 1\]"),
        (SOLID - 0.5, r"outside \[0, 1\]"),
    ],
)
def test_grids_that_are_none_are_refused(grid: np.ndarray, says: str) -> None:
    with pytest.raises(InputError, match=says):
        find_latent(make(), grid)


def test_other_misuse_is_refused() -> None:
    for steps in (0, -5):
        with pytest.raises(UsageError, match=f"steps={steps}: expected 1"):
            find_latent(make(), SOLID, steps=steps)
    for starts in (torch.zeros(8), torch.zeros(0, 8), torch.zeros(2, 9), torch.full((2, 8), torch.nan)):
        with pytest.raises(InputError, match=r"starts of shape .* expected \(N, 8\)"):
            find_latent(make(), SOLID, starts=starts)


@pytest.mark.parametrize(("name", "least"), [("chairs-gan3d", 0.7), ("furniture", 0.85)])
def test_shipped_models_find_their_own_shapes(name: str, least: float) -> None:
    model = voxgan.load(name)
    assert np.mean([find_latent(model, shape_of(model, seed), steps=60).iou for seed in range(3)]) > least
