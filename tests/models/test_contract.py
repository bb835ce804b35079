"""What every model, with every adversarial loss, promises; a new file in either registry is tested at once."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from voxgan import adversarial, models
from voxgan.dataset import Dataset
from voxgan.draws import Draws
from voxgan.errors import InputError, MissingExtraError, UsageError
from voxgan.loader import load_batches
from voxgan.models.model import Batch, Config, Model, in_each, make_config
from voxgan.models.reconstruction import levelled
from voxgan.models.vae_gan3d import VAEGANConfig, _looked_at, kl_divergence
from voxgan.training import Training
from voxgan.training.ranks import ALONE
from voxgan.training.step import Stepper
from voxgan.truncated_distance import truncated_distance
from voxgan.voxels import Shapes


def stepper_of(model: Model, batch: int = 4) -> Stepper:
    """Return a stepper in whose steps every phase has its turn."""
    training = Training(batch=batch)
    plan = dataclasses.replace(training.plan(type(model), model.config), classes=())
    run = Stepper(model, training, ALONE, plan)
    run.phases = tuple(dataclasses.replace(phase, turn=in_each) for phase in run.phases)
    return run


def step_of(stepper: Stepper, data: Dataset, step: int = 0) -> dict[str, float]:
    """Run one step of a training, and return its figures."""
    training = stepper.training
    (raw,) = load_batches(data, training.batch, training.seed, stepper.plan, step, step + 1)
    return dict(stepper.run(step, raw, {}))


TINY: dict[str, Any] = {"resolution": 16, "width": 4, "latent": 8, "classes": ("chair", "table")}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "gan3d": [
        {},
        {"network": "residual"},
        {"condition": "projection"},
        {"condition": "concatenation"},
        {"truncation": 1.5},
    ],
    "ac_gan3d": [{}, {"network": "residual"}],
    "vae_gan3d": [
        {"joint": True},
        {"joint": False},
        {"image_encoder": "efficientnet", "encoder_width": 8, "feature_weight": 0.1},
        {"teacher_weight": 0.01},
    ],
}
KINDS = [(name, options) for name in models.names() for options in VARIANTS.get(name, [{}])]
GRID = [
    pytest.param(name, {**options, "adversarial": loss, "pack": pack}, id=f"{name}-{options}-{loss}-{pack}")
    for name, options in KINDS
    for loss in adversarial.names()
    for pack in (1, 2)
]
EVERY = pytest.mark.parametrize(("name", "options"), [pytest.param(*k, id=f"{k[0]}-{k[1]}") for k in KINDS])


def make(name: str, **options: Any) -> Model:
    torch.manual_seed(0)
    kind = models.find(name)
    return kind(make_config(kind.Config, TINY | options))


def weights(model: Model) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


# ------------------------------------------------------------------------------------------------- phases
@pytest.mark.parametrize(("name", "options"), GRID)
def test_one_phase_moves_exactly_the_weights_that_it_names(name: str, options: dict[str, Any], tiny_data: Path) -> None:
    count = len(make(name, **options).phases)
    assert count >= 2
    for chosen in range(count):
        model = make(name, **options)
        before = weights(model)
        with Dataset(tiny_data) as data:
            run = stepper_of(model)
            run.phases = tuple(
                dataclasses.replace(phase, when=lambda last, moves=place == chosen: moves)
                for place, phase in enumerate(run.phases)
            )
            figures = step_of(run, data)
        phase = run.phases[chosen]
        moved = {key for key, value in weights(model).items() if not torch.equal(value, before[key])}
        assert moved == {key for key in before if key.split(".", 1)[0] in phase.trains}
        assert moved
        assert not [key for key, value in model.named_parameters() if value.grad is not None]  # nothing left behind
        assert all(figures[f"{p.name}.moved"] == float(p is phase) for p in run.phases)


@pytest.mark.parametrize(("name", "options"), GRID)
def test_all_phases_together_move_every_weight(name: str, options: dict[str, Any], tiny_data: Path) -> None:
    model = make(name, **options)
    before = weights(model)
    with Dataset(tiny_data) as data:
        step_of(stepper_of(model), data)
    assert {key for key, value in weights(model).items() if torch.equal(value, before[key])} == set()


@EVERY
def test_shapes_from_noise_are_made_once_a_step(
    name: str, options: dict[str, Any], tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, batches = [], []
    plain_draw, plain_loss = Model.batch_latents, models.find(name).loss

    def draw(model: Model, *args: Any) -> Tensor:
        drawn.append(plain_draw(model, *args))
        return drawn[-1]

    def loss(model: Model, phase: str, batch: Any) -> Any:
        terms = plain_loss(model, phase, batch)
        batches.append(batch.get("generated"))
        return terms

    monkeypatch.setattr(Model, "batch_latents", draw)
    monkeypatch.setattr(models.find(name), "loss", loss)
    with Dataset(tiny_data) as data:
        step_of(stepper_of(make(name, **options)), data)
    assert len(drawn) == 1
    seen = [batch for batch in batches if batch is not None]
    assert len(seen) >= 2 and all(batch is seen[0] for batch in seen)


def test_joint_training_runs_the_generator_once(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from voxgan.networks import Generator

    sizes, plain = [], Generator.logits

    def logits(network: Generator, z: Tensor) -> Tensor:
        sizes.append(len(z))
        return plain(network, z)

    monkeypatch.setattr(Generator, "logits", logits)
    with Dataset(tiny_data) as data:
        step_of(stepper_of(make("vae_gan3d", prior_share=0.5)), data)
    assert sizes == [4 + 2]  # four photos, half as many from noise


def test_without_an_adversary_joint_training_has_one_phase() -> None:
    phases = make("vae_gan3d", adversarial_weight=0.0).phases
    assert [phase.trains for phase in phases] == [("encoder", "generator")]


@pytest.mark.parametrize(("share", "pack", "expected"), [(0.5, 1, 4), (0.01, 1, 1), (0.01, 2, 2), (0.4, 2, 2)])
def test_prior_share_is_whole_packs(share: float, pack: int, expected: int) -> None:
    model = make("vae_gan3d", prior_share=share, pack=pack)
    assert len(model._from_prior(8)) == expected


def test_packs_lie_side_by_side() -> None:
    shapes = torch.rand(6, 1, 16, 16, 16)
    packed = make("gan3d", pack=3).packs(shapes)
    assert packed.shape == (2, 3, 16, 16, 16)
    assert torch.equal(packed[1, 2], shapes[5, 0])


def test_instance_noise_has_its_deviation() -> None:
    noisy = make("gan3d", instance_noise=0.25).packs(torch.zeros(4, 1, 16, 16, 16))
    assert float(noisy.std()) == pytest.approx(0.25, rel=0.05)
    assert not make("gan3d").packs(torch.zeros(4, 1, 16, 16, 16)).any()


# ------------------------------------------------------------------------------------------ terms of losses
def test_kl_against_sampling() -> None:
    torch.manual_seed(0)
    mean, log_variance = torch.tensor([[0.5, -1.0, 2.0]]), torch.tensor([[-1.0, 0.3, 0.8]])
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    z = q.sample((400_000,))
    sampled = (q.log_prob(z) - torch.distributions.Normal(0.0, 1.0).log_prob(z)).sum(-1).mean()
    assert float(kl_divergence(mean, log_variance)) == pytest.approx(float(sampled), rel=5e-3)


def test_kl_of_the_prior_itself_is_zero_and_of_a_shift_half_its_square() -> None:
    zeros = torch.zeros(2, 5)
    assert kl_divergence(zeros, zeros).tolist() == [0, 0]
    assert kl_divergence(zeros + 3, zeros).tolist() == [22.5, 22.5]


def test_reconstruction_terms_in_closed_form() -> None:
    real = torch.zeros(2, 1, 2, 2, 2)
    real[0, 0, 0] = 1  # four of eight
    real[1, 0, 0, 0, 0] = 1
    logits = torch.zeros_like(real)
    l2 = make("vae_gan3d", reconstruction="l2")._reconstruction(logits, real)
    assert float(l2) == pytest.approx(np.sqrt(8 * 0.25))
    found = make("vae_gan3d", reconstruction="bce_dice")._reconstruction(logits, real)
    dice = np.mean([(2 * 2 + 1) / (4 + 4 + 1), (2 * 0.5 + 1) / (4 + 1 + 1)])
    assert float(found) == pytest.approx(np.log(2) + 0.5 * (1 - dice), rel=1e-6)


# ------------------------------------------------------------------------------------------------- options
@pytest.mark.parametrize("name", models.names())
def test_unknown_option_names_the_nearest(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown option 'widht'; did you mean 'width'\? known: .*latent"):
        make(name, widht=4)


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("width", "wide"),
        ("width", 4.5),
        ("width", None),
        ("width", []),
        ("latent", "1e3"),
        ("latent", float("nan")),
        ("gate", "half"),
        ("gate", None),
        ("generator_rate", {}),
        ("classes", 5),
    ],
)
def test_wrong_types(name: str, key: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{key}="):
        make(name, **{key: value})


@pytest.mark.parametrize("name", models.names())
@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("resolution", 20, "16, 32, 64, 128"),
        ("width", 3, "even number"),
        ("width", 0, "even number"),
        ("width", 514, "2 to 512"),
        ("discriminator_width", 5, "even number"),
        ("prior", "unifrom", "did you mean 'uniform'"),
        ("adversarial", "minmax", "did you mean 'minimax'"),
        ("adversarial", "gate", "known: "),
        ("adversarial", "penalties", "known: "),
        ("network", "resnet", "paper, residual"),
        ("generator_norm", "layer", "batch, group"),
        ("discriminator_norm", "batchnorm", "did you mean 'batch'"),
        ("optimizer", "sgd", "adam, rmsprop"),
        ("critic_steps", 0, "1 to 1000"),
        ("critic_warmup", -1, "0 to 500"),
        ("beta2", 1.0, "below 1"),
        ("clip", -0.01, "from 0 up"),
        ("gradient_penalty", float("nan"), "from 0 up"),
        ("r1", -1.0, "from 0 up"),
        ("pack", 0, "1 to 64"),
        ("latent", 0, "1 to 65536"),
        ("gate", 1.5, "from 0 to 1"),
        ("gate", float("nan"), "from 0 to 1"),
        ("beta1", -0.1, "from 0 to 1"),
        ("generator_rate", -1.0, "from 0 up"),
        ("discriminator_rate", float("inf"), "from 0 up"),
        ("instance_noise", float("nan"), "from 0 up"),
    ],
)
def test_wrong_values(name: str, key: str, value: Any, says: str) -> None:
    with pytest.raises(UsageError, match=f"{key}=.*{says}"):
        make(name, **{key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("reconstruction", "l1"),
        ("kl_weight", -1.0),
        ("kl_weight", float("nan")),
        ("encoder_rate", float("inf")),
        ("prior_share", 0.0),
        ("prior_share", 1.5),
        ("encoder_width", -2),
        ("joint", "perhaps"),
    ],
)
def test_wrong_values_of_vae_gan3d(key: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"^{key}="):
        make("vae_gan3d", **{key: value})


def test_strings_as_typed_become_values() -> None:
    typed = {"width": "1_6", "gate": "0.5", "joint": "false", "classes": "a,b", "prior": "uniform"}
    config = make_config(VAEGANConfig, typed)
    assert (config.width, config.gate, config.joint, config.classes) == (16, 0.5, False, ("a", "b"))
    assert dataclasses.replace(Config()) == make_config(Config, {})


@pytest.mark.parametrize("name", ["model", "gan", "", "vae_gan3d.x"])
def test_unknown_model(name: str) -> None:
    with pytest.raises(UsageError, match="no model"):
        models.find(name)


# ------------------------------------------------------------------------------------------------ sampling
@EVERY
def test_latents_come_from_the_prior_and_their_seed(name: str, options: dict[str, Any]) -> None:
    model = make(name, **options, prior="uniform")
    z = model.sample_latents(5000, seed=3)
    assert z.shape == (5000, model.latent_size)
    assert torch.equal(z, model.sample_latents(5000, seed=3)) and not torch.equal(z, model.sample_latents(5000, 4))
    assert not torch.equal(model.sample_latents(2), model.sample_latents(2))
    z = z[:, : TINY["latent"]]
    assert 0 <= z.min() < 0.001 and 0.999 < z.max() <= 1
    assert float(z.mean()) == pytest.approx(0.5, abs=0.01) and float(z.std()) == pytest.approx(12**-0.5, abs=0.01)
    normal = make(name, **options, prior="normal").sample_latents(5000, seed=3)[:, : TINY["latent"]]
    assert float(normal.mean()) == pytest.approx(0, abs=0.02) and float(normal.std()) == pytest.approx(1, abs=0.02)


@EVERY
def test_seeded_sampling_leaves_the_global_generator_alone(name: str, options: dict[str, Any]) -> None:
    model = make(name, **options)
    state = torch.get_rng_state()
    model.generate(2, seed=0)
    assert torch.equal(torch.get_rng_state(), state)


@EVERY
@pytest.mark.parametrize("training", [True, False])
def test_sampling_is_in_evaluation_mode_and_restores(name: str, options: dict[str, Any], training: bool) -> None:
    model = make(name, **options).train(training)
    state = copy.deepcopy(model.state_dict())
    shapes = model.generate(3, seed=0)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(module.training is training for module in model.modules())
    assert shapes.occupancy.shape == (3, 16, 16, 16) and 0 < shapes.occupancy.min() < shapes.occupancy.max() < 1
    # In evaluation mode a shape does not depend on its neighbours in the batch.
    alone = model.decode(model.sample_latents(3, seed=0)[1])
    np.testing.assert_allclose(alone.occupancy[0], shapes.occupancy[1], atol=1e-6)


@EVERY
def test_many_shapes_are_decoded_in_parts(name: str, options: dict[str, Any]) -> None:
    model = make(name, **options)
    z = model.sample_latents(35, seed=0)
    shapes = model.decode(z)
    assert len(shapes) == 35
    np.testing.assert_allclose(model.decode(z[34]).occupancy[0], shapes.occupancy[34], atol=1e-6)


@EVERY
def test_decode_refuses(name: str, options: dict[str, Any]) -> None:
    model = make(name, **options)
    size = model.latent_size
    for shape in ((2, size + 1), (7,), (0, size), (1, 2, size), ()):
        with pytest.raises(InputError, match=rf"latents of shape .*expected \(B, {size}\)"):
            model.decode(np.zeros(shape, np.float32))
    for value in (np.nan, np.inf):
        with pytest.raises(InputError, match="NaN or infinity"):
            model.decode(np.full((1, size), value))
    for count in (0, -3):
        with pytest.raises(UsageError, match=f"{count} shapes asked for"):
            model.generate(count)


def test_gan3d_says_what_reconstructs_instead() -> None:
    with pytest.raises(UsageError, match="gan3d cannot reconstruct from a photo; use a vae_gan3d model"):
        make("gan3d").reconstruct("photo.png")


def test_vae_gan3d_reconstructs_each_photo_by_itself() -> None:
    model = make("vae_gan3d")
    size = model.image_size(model.config)
    photos = np.random.default_rng(0).random((2, 3, size, size), dtype=np.float32)
    both = model.reconstruct(photos)
    assert both.occupancy.shape == (2, 16, 16, 16)
    assert not np.array_equal(both.occupancy[0], both.occupancy[1])
    np.testing.assert_allclose(model.reconstruct(photos[1:]).occupancy[0], both.occupancy[1], atol=1e-6)
    picture = np.zeros((40, 40, 3), np.uint8)
    assert len(model.reconstruct(picture)) == 1 and len(model.reconstruct([picture, picture])) == 2
    assert not model.encode(picture).is_inference()


def test_vae_gan3d_averages_what_several_looks_at_a_photo_say() -> None:
    model = make("vae_gan3d")
    with torch.no_grad():  # as fresh weights are, all photos give a half everywhere
        model.encoder.last.weight.mul_(50)
        model.generator.layers[-1].weight.mul_(1e4)
    photo = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    plain, mirrored = (model.reconstruct(p).occupancy for p in (photo, photo.flip(3)))
    two = model.reconstruct(photo, votes=2).occupancy
    np.testing.assert_allclose(two, (plain + mirrored[:, ::-1]) / 2, atol=1e-3)
    assert not np.allclose(two, plain, atol=1e-3)
    # What the mirrored photo shows is the mirrored shape
    np.testing.assert_allclose(model.reconstruct(photo.flip(3), votes=2).occupancy, two[:, ::-1], atol=1e-3)
    many = model.reconstruct(photo, votes=8).occupancy
    assert many.min() >= 0 and many.max() <= 1 and not np.allclose(many, two, atol=1e-4)
    for votes in (0, 9):
        with pytest.raises(UsageError, match=f"votes={votes}: expected 1 to 8"):
            model.reconstruct(photo, votes=votes)


def test_looks_from_farther_leave_white_around() -> None:
    seen = _looked_at(torch.zeros(1, 3, 64, 64), 0.5, False)[0, 0]
    assert bool((seen[:15] == 1).all() and (seen[:, -15:] == 1).all() and (seen[17:47, 17:47] == 0).all())
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    torch.testing.assert_close(_looked_at(ramp, 1.0, True), ramp.flip(3), atol=1e-4, rtol=0)


IMAGENET = {"image_encoder": "efficientnet", "encoder_width": 32, "encoder_start": "imagenet"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image_encoder": "resnet"}, "image_encoder='resnet'; "),
        ({"reconstruction": "bcee"}, "did you mean 'bce'"),
        ({"encoder_start": "imagenet"}, "encoder_start=imagenet with image_encoder=paper of width 4: "),
        ({"encoder_start": "imagenet", "image_encoder": "efficientnet", "encoder_width": 16}, "of width 16: "),
        ({"feature_weight": 0.1, "adversarial_weight": 0}, "feature_weight=0.1: it looks through D's eyes"),
        ({"feature_weight": 0.1, "joint": False}, "feature_weight=0.1: it looks through D's eyes"),
        ({"feature_weight": -1.0}, "feature_weight=-1.0: expected a number from 0 up"),
        ({"encoder_frozen": 3}, "encoder_frozen=3: expected 0, or with encoder_start=imagenet"),
        ({**IMAGENET, "encoder_frozen": 18}, "encoder_frozen=18: "),
        ({"teacher_weight": 0.1, "joint": False}, "teacher_weight=0.1: the teacher learns with joint=true only"),
    ],
)
def test_encoders_and_losses_that_cannot_be(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        make("vae_gan3d", **options)


def test_imagenet_without_its_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxgan.imagenet.PACKAGE", "no_such_package")
    model = make("vae_gan3d", **IMAGENET)
    with pytest.raises(MissingExtraError, match=r"no_such_package: run  pip install 'voxgan-3d\[imagenet\]'"):
        model.begin()


def test_imagenet_is_where_the_encoder_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("vae_gan3d", **IMAGENET)
    given = {str(i): t + 1 for i, t in enumerate(model.encoder.backbone.state_dict().values())}
    monkeypatch.setattr("voxgan.imagenet.imagenet_weights", lambda: given)
    model.begin()
    assert all(map(torch.equal, model.encoder.backbone.state_dict().values(), given.values()))
    assert model.encoder.keep_statistics


def test_feature_matching_asks_for_what_the_discriminator_sees(tiny_data: Path) -> None:
    """Its gradient reaches G and E, not D; on equal shapes it is nothing."""
    model = make("vae_gan3d", feature_weight=1.0)
    real = (torch.rand(4, 1, 16, 16, 16) < 0.2).float()
    assert float(model._feature_difference(200 * real - 100, real).detach()) < 1e-8
    other = torch.zeros_like(real, requires_grad=True)
    model._feature_difference(other, real).backward()
    assert float(other.grad.abs().sum()) > 0


def test_the_photo_encoder_is_drawn_to_its_teacher_and_not_the_teacher_to_it() -> None:
    model = make("vae_gan3d", teacher_weight=1.0, kl_weight=0.0, reconstruction_weight=0.0, adversarial_weight=0.0)
    batch = Batch(
        Draws(0, 4),
        occupancy=(torch.rand(4, 1, 16, 16, 16) < 0.3).float(),
        image=torch.rand(4, 3, 256, 256),
        label=torch.zeros(4, dtype=torch.long),
    )
    terms = model.loss("autoencoder", batch)
    expected = (model.encoder(batch["image"])[0] - model.teacher(batch["occupancy"])[0]).square().sum(1).mean()
    torch.testing.assert_close(terms["apart"], expected)
    terms["total"].backward()
    moved = {
        name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert moved == {"encoder"}


def test_teacher_and_generator_learn_to_give_shapes_back(tiny_data: Path) -> None:
    model = make("vae_gan3d", teacher_weight=0.01, adversarial_weight=0.0, beta1=0.9, generator_rate=5e-3)
    with Dataset(tiny_data) as data:
        run = stepper_of(model, 8)
        figures = [step_of(run, data, step) for step in range(30)]
    taught = [f["autoencoder.teacher"] for f in figures]
    assert taught[-1] < 0.6 * taught[0]


def test_probabilities_are_levelled_where_cross_entropy_alone_was_learnt() -> None:
    plain, calibrated = (make("vae_gan3d", reconstruction=name) for name in ("bce_dice", "bce"))
    z = plain.sample_latents(2, seed=0)
    raw = plain.decode(z).occupancy
    np.testing.assert_allclose(calibrated.decode(z).occupancy, levelled(raw), atol=1e-6)
    photo = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    both = (plain.reconstruct(photo, votes=2).occupancy, calibrated.reconstruct(photo, votes=2).occupancy)
    np.testing.assert_allclose(both[1], levelled(both[0]), atol=1e-6)


@pytest.mark.parametrize("cells", [-0.5, 9.0, float("nan")])
def test_distances_are_cut_off_between_0_and_8_cells(cells: float) -> None:
    with pytest.raises(UsageError, match=f"truncation={cells}: expected 0 to 8 cells"):
        make("gan3d", truncation=cells)


@pytest.mark.parametrize("adversarial", ["wasserstein_gp", "relativistic"])
def test_with_truncation_both_sides_see_distances(
    adversarial: str, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make("gan3d", adversarial=adversarial, truncation=2.0)
    seen: list[Tensor] = []

    def packs(self: Model, occupancy: Tensor) -> Tensor:
        seen.append(occupancy.detach())
        return occupancy

    monkeypatch.setattr(type(model), "packs", packs)
    with Dataset(tiny_data) as data:
        figures = step_of(stepper_of(model), data)
    real = [one for one in seen if len(one.unique()) < 100]  # distances are few, and what is generated takes any value
    assert len(real) == (1 if adversarial == "wasserstein_gp" else 2)
    for one in real:
        assert float(((one > 0) & (one < 1)).float().mean()) > 0.1
        assert torch.equal(one, truncated_distance((one >= 0.5).float(), 2.0))
    assert 0 < figures["real_occupied"] < 1


@pytest.mark.parametrize("options", [{}, {"condition": "projection"}])
def test_shapes_in_pieces_are_drawn_again(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where z begins with a positive number, this model makes two blocks, else one."""
    model = make("gan3d", prior="normal", **options)

    def decode(self: Model, z: Tensor) -> Shapes:
        grids = np.zeros((len(z), 16, 16, 16), np.float32)
        grids[:, 2:6, 2:6, 2:6] = 1
        grids[(z[:, 0] > 0).numpy(), 9:12, 9:12, 9:12] = 0.8  # 27 of 91 cells
        return Shapes(grids)

    monkeypatch.setattr(type(model), "decode", decode)
    plain, whole = model.sample_latents(40, seed=3), model.sample_latents(40, seed=3, whole=0.9)
    assert 5 < int((plain[:, 0] > 0).sum()) < 35 and not bool((whole[:, 0] > 0).any())
    kept = plain[:, 0] <= 0
    assert torch.equal(plain[kept], whole[kept])
    assert torch.equal(whole, model.sample_latents(40, seed=3, whole=0.9))
    assert torch.equal(plain, model.sample_latents(40, seed=3, whole=0.7))  # 64 of 91 cells are .703
    assert torch.equal(plain, model.sample_latents(40, seed=3, whole=0.9, level=0.9))  # where the second is not seen
    assert len({tuple(row.tolist()) for row in whole}) == 40
    if options:
        size = model.config.latent
        assert torch.equal(plain[:, size:], whole[:, size:])  # a shape's class stays, however often it is drawn
        named = model.sample_latents(10, seed=1, class_name="table", whole=0.9)
        assert bool((named[:, -1] == 1).all())
    assert model.generate(5, seed=0, whole=0.9).occupancy[:, 9:12].sum() == 0
    assert model.generate(5, seed=0, whole=0.9, level=0.9).occupancy[:, 9:12].sum() > 0
    for share in (-0.1, 1.1):
        with pytest.raises(UsageError, match=f"whole={share}: expected a share from 0 to 1"):
            model.sample_latents(2, whole=share)


def test_a_model_that_makes_nothing_whole_does_not_draw_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("gan3d")
    calls: list[int] = []

    def decode(self: Model, z: Tensor) -> Shapes:
        calls.append(len(z))
        return Shapes(np.zeros((len(z), 16, 16, 16), np.float32))

    monkeypatch.setattr(type(model), "decode", decode)
    assert len(model.sample_latents(3, seed=0, whole=0.5)) == 3
    assert len(calls) == 20
