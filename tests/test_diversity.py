from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from voxgan import diversity as module
from voxgan.batches import Plan
from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer
from voxgan.diversity import Diversity, num_compared
from voxgan.metrics.ms_ssim import mean_ms_ssim
from voxgan.metrics.pairwise_iou import mean_pairwise_iou, pairwise_iou

R = 16


def shapes(count: int, seed: int = 0) -> NDArray[np.bool_]:
    """Two boxes each, like no other when mirrored or turned."""
    random = np.random.default_rng(seed)
    grids = np.zeros((count, R, R, R), bool)
    for grid in grids:
        for _ in range(2):
            low = random.integers(0, 9, 3)
            high = low + random.integers(2, 8, 3)
            grid[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = True
    return grids


def write(path: Path, grids: NDArray[np.bool_]) -> Dataset:
    with Writer.create(path, R, ["box"]) as writer:
        for number, grid in enumerate(grids):
            writer.add(grid, "box", "train", str(number))
    return Dataset(path)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return write(tmp_path / "boxes.h5", shapes(40))


def test_figures_of_samples_and_of_data(data: Dataset) -> None:
    made = shapes(32, seed=1)
    figures, places = Diversity(data, Plan(), 0).measure(made)
    real = shapes(40)
    chosen = np.linspace(0, 39, 32).round().astype(int)
    between = pairwise_iou(made, real)
    assert places.tolist() == between.argmax(1).tolist()
    assert figures["samples.nearest_iou"] == pytest.approx(between.max(1).mean())
    others = pairwise_iou(real[chosen], real)
    others[np.arange(32), chosen] = 0
    assert figures["data.nearest_iou"] == pytest.approx(others.max(1).mean())
    for of, grids in (("samples", made), ("data", real[chosen])):
        assert figures[f"{of}.pairwise_iou"] == pytest.approx(mean_pairwise_iou(grids))
        assert figures[f"{of}.ms_ssim"] == pytest.approx(mean_ms_ssim(grids.astype(np.float32)))
        assert figures[f"{of}.copies"] == 0 and 0 <= figures[f"{of}.failed"] <= 1
    assert figures["samples.empty"] == 0


def test_pieces_change_nothing(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, made = Plan(augment=True, turns=2), shapes(8, seed=1)
    whole = Diversity(data, plan, 0).measure(made)
    monkeypatch.setattr(module, "_CHUNK", 7 * R**3)
    found = Diversity(data, plan, 0).measure(made)
    assert found[0] == whole[0] and found[1].tolist() == whole[1].tolist()


@pytest.mark.parametrize(
    ("plan", "pose", "copies"),
    [
        (Plan(), lambda grids: grids, 1.0),
        (Plan(), lambda grids: grids[:, ::-1], 0.0),
        (Plan(augment=True), lambda grids: grids[:, ::-1], 1.0),
        (Plan(augment=True), lambda grids: np.rot90(grids, 2, (1, 2)), 0.0),
        (Plan(turns=2), lambda grids: np.rot90(grids, 2, (1, 2)), 1.0),
        (Plan(turns=2), lambda grids: np.rot90(grids, 1, (1, 2)), 0.0),
        (Plan(augment=True, turns=4), lambda grids: np.rot90(grids[:, ::-1], 3, (1, 2)), 1.0),
        (Plan(augment=True, turns=4), lambda grids: grids.transpose(0, 3, 1, 2), 0.0),
    ],
)
def test_copies_are_found_in_all_poses_of_the_training(data: Dataset, plan: Plan, pose: Any, copies: float) -> None:
    made = np.ascontiguousarray(pose(shapes(40)[5:9]))
    diversity = Diversity(data, plan, 0)
    figures, places = diversity.measure(made)
    assert figures["samples.copies"] == copies
    assert (places.tolist() == [5, 6, 7, 8]) == bool(copies)
    assert (diversity.neighbours(made, places) == made).all() == bool(copies), "drawn in the sample's own pose"


def test_a_shape_is_no_copy_of_itself_but_of_its_double(tmp_path: Path) -> None:
    grids = shapes(8)
    assert Diversity(write(tmp_path / "a.h5", grids), Plan(augment=True), 0).measure(grids)[0]["data.copies"] == 0
    grids[7] = grids[2, ::-1]
    data = write(tmp_path / "b.h5", grids)
    assert Diversity(data, Plan(augment=True), 0).measure(grids)[0]["data.copies"] == 0.25
    assert Diversity(data, Plan(), 0).measure(grids)[0]["data.copies"] == 0
    symmetric = grids | grids[:, ::-1]
    assert (
        Diversity(write(tmp_path / "c.h5", symmetric[:7]), Plan(augment=True), 0).measure(grids)[0]["data.copies"] == 0
    ), "the mirror image of a symmetric shape is that shape"


def test_the_data_is_placed_as_in_a_batch(data: Dataset) -> None:
    made = shapes(4, seed=1)
    still = Diversity(data, Plan(), 0).measure(made)[0]
    moved = Diversity(data, Plan(augment=True, turns=4, shift=3), 0).measure(made)[0]
    assert moved["data.pairwise_iou"] < still["data.pairwise_iou"], "turned boxes meet less often"
    assert moved["data.nearest_iou"] != still["data.nearest_iou"]


def test_empty_samples(data: Dataset) -> None:
    made = shapes(4, seed=1)
    made[:3] = False
    diversity = Diversity(data, Plan(augment=True), 0)
    figures, places = diversity.measure(made)
    assert figures["samples.empty"] == 0.75 and figures["samples.failed"] >= 0.75
    assert places[:3].tolist() == [-1] * 3 and places[3] >= 0
    drawn = diversity.neighbours(made, places)
    assert not drawn[:3].any() and drawn[3].any()
    made[:] = False
    figures, _ = diversity.measure(made)
    assert figures["samples.pairwise_iou"] == 1 and figures["samples.nearest_iou"] == 0


def test_one_training_shape_has_no_neighbour(tmp_path: Path) -> None:
    data = write(tmp_path / "one.h5", shapes(1))
    figures, _ = Diversity(data, Plan(), 0).measure(shapes(3))
    assert {name for name in figures if name.startswith("data.")} == {"data.failed"}
    assert figures["samples.copies"] == pytest.approx(1 / 3)


def test_large_data_sets_are_looked_through_in_part(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [num_compared(size, 10**6) for size in (16, 32, 64, 128)] == [4096, 4096, 4096, 1024]
    monkeypatch.setattr(module, "_COMPARED", 14)
    figures, places = Diversity(data, Plan(), 0).measure(shapes(40))
    seen = np.linspace(0, 39, 14).round().astype(int).tolist()
    assert set(places.tolist()) <= set(seen) | {-1} and figures["samples.copies"] == pytest.approx(14 / 40)
    assert figures["data.copies"] == 0, "what is not looked through is left out all the same"


def test_nothing_is_drawn_from_torchs_generator(data: Dataset) -> None:
    state = torch.get_rng_state()
    first = Diversity(data, Plan("stored", True, 4, 2), 3).measure(shapes(4))[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert Diversity(data, Plan("stored", True, 4, 2), 3).measure(shapes(4))[0] == first


def test_without_scipy_nothing_is_said_of_parts(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    figures, _ = Diversity(data, Plan(), 0).measure(shapes(4))
    assert not [name for name in figures if name.endswith("failed")] and "samples.ms_ssim" in figures
