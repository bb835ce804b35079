"""Principal directions: what a step along them does to the first hidden volume."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import voxgan
from voxgan.directions import principal_directions
from voxgan.errors import UsageError
from voxgan.metrics.iou import iou
from voxgan.models.gan3d import GAN3D, Config
from voxgan.models.model import Model

LATENT = 12


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    made = GAN3D(Config(resolution=16, width=4, latent=LATENT)).eval()
    norm = made.generator.layers[1]
    norm.running_var.uniform_(0.1, 5)
    norm.running_mean.normal_()
    with torch.no_grad():
        norm.weight.uniform_(-2, 2)
        norm.bias.normal_()
    return made


def effect(model: Model, direction: Tensor, start: Tensor | None = None) -> float:
    """How far a step of length one moves the first hidden volume."""
    layers = model.generator.layers[:2]
    z = torch.zeros(LATENT) if start is None else start
    with torch.no_grad():
        volumes = layers(torch.stack([z, z + direction])[..., None, None, None])
    return float((volumes[1] - volumes[0]).norm())


def test_they_are_unit_vectors_at_right_angles_with_a_fixed_sign(model: Model) -> None:
    found = principal_directions(model, LATENT)
    assert found.shape == (LATENT, LATENT) and found.dtype == torch.float32
    torch.testing.assert_close(found @ found.T, torch.eye(LATENT), atol=1e-5, rtol=0)
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()


def test_the_effect_falls_from_the_largest_possible_to_the_smallest(model: Model) -> None:
    effects = [effect(model, d) for d in principal_directions(model, LATENT)]
    assert effects == sorted(effects, reverse=True)
    for direction in torch.nn.functional.normalize(torch.randn(200, LATENT), dim=1):
        assert effects[-1] - 1e-4 <= effect(model, direction) <= effects[0] + 1e-4
    assert effect(model, principal_directions(model, 1)[0], torch.randn(LATENT)) == pytest.approx(effects[0], rel=1e-3)


def test_fewer_are_the_first_of_more_and_always_the_same(model: Model) -> None:
    assert torch.equal(principal_directions(model, 3), principal_directions(model, LATENT)[:3])
    assert torch.equal(principal_directions(model.train(), 3), principal_directions(model.eval(), 3))


def test_the_scale_of_the_batch_norm_counts(model: Model) -> None:
    """A channel that is scaled up a hundredfold decides; one with a great variance does not."""
    norm = model.generator.layers[1]
    with torch.no_grad():
        norm.weight.fill_(1)
        norm.weight[2] = 100
    norm.running_var.fill_(1)
    alone = torch.linalg.svd(model.generator.layers[0].weight.detach()[:, 2].flatten(1))[0][:, 0]
    assert float((principal_directions(model, 1)[0] @ alone).abs()) > 0.999
    norm.running_var[2] = 1e8
    assert float((principal_directions(model, 1)[0] @ alone).abs()) < 0.9


@pytest.mark.parametrize("count", [0, -1, LATENT + 1])
def test_a_count_that_cannot_be_is_refused(count: int, model: Model) -> None:
    with pytest.raises(UsageError, match=f"{count} directions asked for; expected 1 to {LATENT}"):
        principal_directions(model, count)


@pytest.mark.parametrize("name", voxgan.shipped())
def test_the_first_directions_of_shipped_models_change_shapes_more_than_single_numbers_do(name: str) -> None:
    model = voxgan.load(name)
    z = model.sample_latents(4, seed=0)
    here = model.decode(z).occupancy
    found = principal_directions(model, 3)
    single = torch.eye(model.latent_size)[:3]
    changes = [1 - iou(model.decode(z + 4 * step).occupancy, here).mean() for step in (*found, *single)]
    assert sum(changes[:3]) > 2 * sum(changes[3:]) > 0
