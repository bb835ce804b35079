from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import voxgan
from voxgan.models.gan3d import GAN3D, Config
from voxgan.networks import Generator, sampling, winograd
from voxgan.networks.sampling import Sampler, SamplingForm

PACKS = sampling._can_pack(torch.float32)


def spread(generator: Generator) -> Generator:
    """Give batch norms statistics that a mistake in folding would show."""
    torch.manual_seed(1)
    for norm in generator.modules():
        if isinstance(norm, nn.BatchNorm3d):
            nn.init.uniform_(norm.running_mean, -0.5, 0.5)
            nn.init.uniform_(norm.running_var, 0.01, 0.1)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
    return generator.eval()


@pytest.fixture
def generator() -> Generator:
    return spread(Generator(16, width=4))


@pytest.fixture(params=[True, False], ids=["packed", "plain"])
def packs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Both ways through the middle layers."""
    if request.param and not PACKS:
        pytest.skip("oneDNN's own functions are not usable here")
    if not request.param:
        monkeypatch.setattr(sampling, "_can_pack", lambda dtype: False)
    yield request.param


def plainly(generator: Generator, z: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.sigmoid(generator.layers(z[:, :, None, None, None]))


@pytest.mark.parametrize("resolution", [16, 32, 64, 128])
def test_equals_the_layers_run_plainly(resolution: int, packs: bool) -> None:
    generator = spread(Generator(resolution, width=2 if resolution == 128 else 4))
    form = SamplingForm(generator)
    assert {type(layer) for layer in form._hidden} == {sampling._Packed if packs else sampling._Plain}
    for batch in (1, 3):
        z = torch.randn(batch, 200)
        plain = plainly(generator, z)
        assert plain.std() > 0.02
        torch.testing.assert_close(form(z), plain, atol=1e-5, rtol=1e-5)


@pytest.fixture
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in bfloat16 where the processor has it not, too: slowly."""
    monkeypatch.setattr(sampling, "has_bfloat16", lambda device: True)


@pytest.mark.usefixtures("bfloat16")
def test_in_bfloat16_is_near(generator: Generator, packs: bool) -> None:
    z = torch.randn(3, 200)
    found, plain = SamplingForm(generator, "bf16")(z), plainly(generator, z)
    assert found.dtype == torch.float32 and found.shape == plain.shape
    assert 0 < (found - plain).abs().max() < 0.05


def test_without_bfloat16_is_single_precision(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "has_bfloat16", lambda device: False)
    z = torch.randn(3, 200)
    assert torch.equal(SamplingForm(generator, "bf16")(z), SamplingForm(generator)(z))


def test_wide_layers_by_winograd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_outruns_convolutions", lambda: True)
    monkeypatch.setattr(winograd, "_MANY_WEIGHTS", 0)
    generator = spread(Generator(64, width=32))  # channels 256, 128, 64, 32
    form = SamplingForm(generator)
    first, *others = form._hidden
    assert not isinstance(first, sampling._Winograd)
    assert len(others) == 2 and all(isinstance(layer, sampling._Winograd) for layer in others)
    z = torch.randn(5, 200)
    plain = plainly(generator, z)
    assert plain.std() > 0.02
    for batch in (1, 5):  # one shape alone, and parts of which the last is smaller
        torch.testing.assert_close(form(z[:batch]), plain[:batch], atol=1e-5, rtol=1e-5)


@pytest.mark.usefixtures("bfloat16")
def test_bfloat16_keeps_more_of_z_than_bfloat16_does(generator: Generator) -> None:
    z = 1 + 0.003 * torch.rand(4, 200)  # bfloat16 holds no number between 1 and 1.0078
    assert SamplingForm(generator, "bf16")(z).std(0).max() > 0


@pytest.mark.usefixtures("bfloat16")
@pytest.mark.parametrize("by_winograd", [False, True])
@pytest.mark.parametrize("name", ["furniture", "chairs-gan3d"])
def test_shipped_models_give_the_same_shapes(name: str, by_winograd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_outruns_convolutions", lambda: by_winograd)
    monkeypatch.setattr(winograd, "_MANY_WEIGHTS", 0)  # these are narrow
    model = voxgan.load(name)
    by = [isinstance(layer, sampling._Winograd) for layer in SamplingForm(model.generator)._hidden]
    assert by == ([False, True, True] if by_winograd else [False, False, False])
    z = model.sample_latents(8, seed=7)
    plain = torch.from_numpy(model.finished(plainly(model.generator, z)[:, 0].numpy())) > 0.5
    full = torch.from_numpy(model.decode(z).occupancy) > 0.5
    assert (full != plain).float().mean() <= 1e-6
    model.precision = "bf16"
    low = torch.from_numpy(model.decode(z).occupancy) > 0.5
    overlap = (low & plain).flatten(1).sum(1) / (low | plain).flatten(1).sum(1)
    assert overlap.mean() >= 0.995


def test_batch_sizes_are_remembered_up_to_a_limit(generator: Generator) -> None:
    form = SamplingForm(generator)
    (layer,) = form._hidden
    if not isinstance(layer, sampling._Packed):
        pytest.skip("oneDNN's own functions are not usable here")
    z = torch.randn(9, 200)
    whole = form(z)
    for batch in (1, 2, 3, 4, 5, 1, 9):
        torch.testing.assert_close(form(z[:batch]), whole[:batch], atol=1e-5, rtol=1e-5)
    assert len(layer.packed) == sampling._MAX_PACKED and [shape[0] for shape in layer.packed][-2:] == [1, 9]


def test_functions_that_compute_something_else_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> Tensor:
        raise RuntimeError("no kernel")

    try:
        for wrong in (lambda layer, x: torch.zeros(2, 6, 6, 6, 6), failing):
            sampling._can_pack.cache_clear()
            monkeypatch.setattr(sampling._Packed, "__call__", wrong)
            assert not sampling._can_pack(torch.float32)
    finally:
        sampling._can_pack.cache_clear()


def test_the_check_draws_none_of_others_random_numbers() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    sampling._can_pack.cache_clear()
    sampling._can_pack(torch.bfloat16)
    assert torch.equal(torch.rand(3), expected)


def test_no_gradient_and_no_autocast(generator: Generator) -> None:
    form = SamplingForm(generator)
    z = torch.randn(2, 200, requires_grad=True)
    expected = form(z)
    assert not expected.requires_grad
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(form(z), expected)


def test_made_in_inference_mode_it_works_outside(generator: Generator) -> None:
    sampler, z = Sampler(), torch.randn(2, 200)
    with torch.inference_mode():
        inside = sampler.form(generator)(z)
    outside = sampler.form(generator)(z.requires_grad_(True))
    assert torch.equal(inside, outside) and not outside.is_inference()
    assert sampler.form(generator)._first.is_inference() is False


def test_refuses_another_precision(generator: Generator) -> None:
    with pytest.raises(ValueError, match="precision 'fp16': expected fp32 or bf16"):
        SamplingForm(generator, "fp16")
    with pytest.raises(voxgan.errors.UsageError, match=r"precision='bf'.*bf16"):
        GAN3D(Config(resolution=16, width=4)).precision = "bf"


def _by_data(generator: Generator) -> None:
    generator.layers[3].weight.data.mul_(1.01)  # counts no writing


def _by_optimizer(generator: Generator) -> None:
    for weight in generator.parameters():
        weight.grad = torch.ones_like(weight)
    torch.optim.Adam(generator.parameters(), 1e-3, fused=True).step()


def _by_statistics(generator: Generator) -> None:
    generator.train()(torch.randn(2, 200))
    generator.eval()


def _by_state(generator: Generator) -> None:
    generator.load_state_dict(spread(Generator(16, width=4)).state_dict(), assign=True)


def _by_replacing(generator: Generator) -> None:
    generator.layers[-1].weight = nn.Parameter(generator.layers[-1].weight.detach() * 2)


def _one_number(generator: Generator) -> None:
    with torch.no_grad():
        generator.layers[0].weight[1, 2, 3, 2, 1] += 1


@pytest.mark.parametrize("change", [_by_data, _by_optimizer, _by_statistics, _by_state, _by_replacing, _one_number])
def test_is_built_again_when_weights_change(generator: Generator, change: Callable[[Generator], None]) -> None:
    sampler, z = Sampler(), torch.randn(2, 200)
    before = sampler.form(generator)
    assert sampler.form(generator) is before
    change(generator)
    after = sampler.form(generator)
    assert after is not before
    torch.testing.assert_close(after(z), plainly(generator, z), atol=1e-5, rtol=1e-5)
    assert sampler.form(generator) is after


def test_is_built_again_for_another_precision_and_after_clear(generator: Generator) -> None:
    sampler = Sampler()
    first = sampler.form(generator)
    assert sampler.form(generator, "bf16") is not first
    assert sampler.form(generator) is not first
    sampler.clear()
    assert sampler._kept is None


def test_models_carry_no_form_away() -> None:
    model = GAN3D(Config(resolution=16, width=4)).eval()
    keys = set(model.state_dict())
    expected = model.generate(2, seed=0).occupancy
    assert model._sampler._kept is not None and set(model.state_dict()) == keys
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other._sampler._kept is None and other._sampler is not model._sampler
        assert (other.generate(2, seed=0).occupancy == expected).all()


def test_going_on_with_training_gives_the_memory_back() -> None:
    model = GAN3D(Config(resolution=16, width=4)).eval()
    model.generate(1, seed=0)
    assert model._sampler._kept is not None
    assert model.train() is model and model._sampler._kept is None
