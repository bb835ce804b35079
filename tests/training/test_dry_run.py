"""What a dry run says is what the training then does: options, arithmetic, memory, disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

import voxgan
from voxgan import models
from voxgan.errors import DatasetError, StorageError, UsageError
from voxgan.training.dry_run import Estimate, _Alive, _count_step, _Resolved, estimate
from voxgan.training.options import Training
from voxgan.training.ranks import Ranks

SMALL: dict[str, Any] = {"width": 8, "batch": 4, "device": "cpu"}


def counted(model: str, part: int = 2, ranks: int = 1, training: Training | None = None, **config: Any) -> Any:
    kind = models.find(model)
    group = Ranks(0, 1, torch.device("cpu"))
    none: Any = None
    config.setdefault("classes", ("chair", "table"))
    found = _Resolved(kind, kind.Config(**config), training or Training(batch=part), group, (), none)
    return _count_step(found, part, ranks)


# ------------------------------------------------------------------------------------------------------- arithmetic
def test_the_papers_networks_cost_what_arithmetic_says() -> None:
    found = counted("gan3d", width=64)
    # Once more through the generator (7.8 GFLOP) is what the usual count of 93 has on top.
    assert found.flops_per_shape / 1e9 == pytest.approx(85.2, abs=0.1)
    assert counted("gan3d", 2, training=Training(batch=4, accumulate=2), width=64).flops_per_shape / 1e9 == (
        pytest.approx(93, abs=0.1)
    )
    millions = {name: round(count / 1e6, 2) for name, count in found.parameters.items()}
    assert millions == {"generator": 17.57, "discriminator": 11.05}


def test_each_network_is_passed_as_often_as_a_careful_step_needs() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    kind = models.find("gan3d")
    model = kind(kind.Config(resolution=16, width=4))
    forward = {}
    for name, network, given in (
        ("generator", model.generator, torch.rand(1, 200)),
        ("discriminator", model.discriminator, torch.rand(1, 1, 16, 16, 16)),
    ):
        with FlopCounterMode(display=False) as counter:
            network(given)
        forward[name] = counter.get_total_flops()
    g, d = forward["generator"], forward["discriminator"]
    flops = counted("gan3d", resolution=16, width=4).flops
    # D's phase: G once, D three times for a real and a generated shape each; G's phase: D twice, G backward.
    # The gradients of what stands first (noise, occupancy) are not computed.
    assert flops["discriminator"] == pytest.approx(g + 6 * d, rel=0.15) and flops["discriminator"] < g + 6 * d
    assert flops["generator"] == pytest.approx(2 * d + 2 * g, rel=0.15) and flops["generator"] < 2 * d + 2 * g


@pytest.mark.parametrize("model", models.names())
def test_arithmetic_grows_with_the_square_of_the_width_and_not_with_the_batch(model: str) -> None:
    narrow, wide = (counted(model, width=w, discriminator_width=w, resolution=32).flops_per_shape for w in (16, 32))
    assert 2 < wide / narrow < 4.1
    few, many = (counted(model, part=n, width=8, resolution=16).flops_per_shape for n in (4, 8))
    assert few == pytest.approx(many)


# ----------------------------------------------------------------------------------------------------------- memory
def test_memory_that_is_alive_is_counted_once_and_forgotten_when_it_goes() -> None:
    with _Alive() as alive:
        a = torch.zeros(1000)
        b = a[10:].view(-1, 10)  # the same memory
        assert alive.now == alive.most == 4000
        c = a + 1
        assert alive.now == 8000
        del c
        assert alive.now == 4000 and alive.most == 8000
        del a
        assert alive.now == 4000  # b holds it
        del b
        assert alive.now == 0 and alive.most == 8000


def test_memory_of_a_step() -> None:
    few, many = (counted("gan3d", part=n, width=16, resolution=32).memory for n in (4, 8))
    weights = sum(counted("gan3d", width=16, resolution=32).parameters.values()) * 4
    assert weights < few.weights < 1.01 * weights + 4096
    assert few.adam == 2 * weights and few.gradients < weights < few.gradients * 2
    assert 1.6 < many.activations / few.activations < 2.5  # the fullest moment may be another one
    assert few.total == sum(dataclasses.astuple(few))
    halves = counted("gan3d", 8, training=Training(batch=8, precision="bf16"), width=16, resolution=32).memory
    assert halves.activations < 0.8 * many.activations and halves.weights == many.weights
    shared = counted("gan3d", 4, ranks=2, width=16, resolution=32).memory
    assert shared.gradients == weights and shared.activations == few.activations


def test_less_memory_by_accumulating_and_checkpointing() -> None:
    plain = counted("gan3d", 8, width=16, resolution=32).memory.activations
    parts = counted("gan3d", 2, training=Training(batch=8, accumulate=4), width=16, resolution=32).memory.activations
    again = counted("gan3d", 8, training=Training(batch=8, checkpointing=True), width=16, resolution=32)
    assert parts < 0.5 * plain
    assert again.memory.activations < plain


# ---------------------------------------------------------------------------------------------------- a real data set
@pytest.mark.parametrize("preset", ["gan3d", "vae_gan3d", "vae_gan3d_paper"])
def test_a_training_state_is_as_large_as_was_said(preset: str, tmp_path: Path, tiny_data: Path) -> None:
    found = estimate(preset, tiny_data, **SMALL, steps=1)
    voxgan.train(preset, tiny_data, tmp_path / "run", **SMALL, steps=1, sample_every=0)
    (state,) = (tmp_path / "run").glob("state-*.safetensors")
    (weights,) = (tmp_path / "run").glob("weights-*.safetensors")
    assert found.state_bytes == pytest.approx(state.stat().st_size, rel=0.02)
    assert found.weights_bytes == pytest.approx(weights.stat().st_size, rel=0.02)


def test_options_say_where_they_come_from(tiny_data: Path) -> None:
    found = estimate("gan3d", tiny_data, **SMALL, steps="100", classes="round")
    by_name = {option.name: (option.value, option.source) for option in found.options}
    assert by_name["width"] == (8, "given") and by_name["steps"] == (100, "given")
    assert by_name["prior"] == ("normal", "preset") and by_name["latent"] == (200, "default")
    assert by_name["resolution"] == (16, "data") and by_name["classes"] == (("round",), "given")
    kind = models.find("gan3d")
    assert set(by_name) == {f.name for part in (kind.Config, Training) for f in dataclasses.fields(part)}
    assert found.data.shapes == 4 and found.passes == 100 * 4 / 4 and found["steps"] == 100


def test_the_text(tiny_data: Path) -> None:
    found = estimate("vae-gan3d", tiny_data, **SMALL)
    text = str(found)
    for part in ("width", "given", "preset", "encoder", "GFLOP a shape", "memory of a step", "free here", "passes"):
        assert part in text
    assert "8 shapes to train on, 16³, 2 views each: round, square" in text
    assert "\ntime                about " in text and found.seconds == found.step_seconds * found["steps"]  # type: ignore
    assert all(len(line) < 120 for line in found.lines()[1:] if str(tiny_data) not in line)


def test_too_little_memory_is_said_and_nothing_is_tried(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxgan.training.dry_run._free_bytes", lambda device: 1000)
    text = str(estimate("gan3d", tiny_data, **SMALL))
    assert "1.0 kB are free here, which is too little: take a smaller batch" in text and "not tried" in text


def test_it_is_the_same_twice_but_for_the_time_and_leaves_no_trace(tiny_data: Path, tmp_path: Path) -> None:
    before = sorted(tiny_data.parent.iterdir()), tiny_data.read_bytes()
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    timeless = {"step_seconds": None, "available": None}
    first, second = (dataclasses.replace(estimate("gan3d", tiny_data, **SMALL), **timeless) for _ in range(2))
    assert first == second and isinstance(first, Estimate)
    assert torch.equal(torch.rand(3), wanted)  # the caller's random numbers are his
    assert (sorted(tiny_data.parent.iterdir()), tiny_data.read_bytes()) == before


def test_ranks_and_parts_share_a_step(tiny_data: Path) -> None:
    found = estimate("gan3d", tiny_data, ranks="2", width=8, batch=16, accumulate=2, device="cpu")
    assert (found.ranks, found.part) == (2, 4)
    assert "on each device of 2, 4 shapes at once" in str(found) and "without their communication" in str(found)
    alone = estimate("gan3d", tiny_data, width=8, batch=16, accumulate=2, device="cpu")
    assert alone.flops_per_step == found.flops_per_step


def test_photos_are_drawn_or_stored(tiny_data_without_views: Path) -> None:
    found = estimate("vae_gan3d", tiny_data_without_views, **SMALL, views="drawn")
    assert found.data.num_views == 0 and "no views" in str(found) and found.step_seconds is not None


@pytest.mark.parametrize(
    ("preset", "options", "error", "says"),
    [
        ("gan2d", {}, UsageError, "did you mean 'gan3d'"),
        ("gan3d", {"widht": 8}, UsageError, "did you mean 'width'"),
        ("gan3d", {"batch": 5, "pack": 2}, UsageError, "batch=5 is no multiple of pack=2"),
        ("gan3d", {"ranks": 3}, UsageError, "batch=32 is no multiple of 3 ranks"),
        ("gan3d", {"ranks": "many"}, UsageError, "ranks='many': expected a whole number"),
        ("gan3d", {"ranks": 0}, UsageError, "ranks=0"),
        ("gan3d", {"resolution": 32}, DatasetError, "its grids are 16³, 32³ was asked for"),
    ],
)
def test_what_training_refuses_is_refused(
    preset: str, options: dict[str, Any], error: type[Exception], says: str, tiny_data: Path
) -> None:
    with pytest.raises(error, match=says):
        estimate(preset, tiny_data, **options)


def test_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no data set"):
        estimate("gan3d", tmp_path / "none.h5")
