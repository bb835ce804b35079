from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from voxgan.batches import (
    Plan,
    finish_batch,
    make_batch,
    order,
    photos,
    read_batch,
    step_seed,
    unpack_on_device,
)
from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer
from voxgan.draws import Draws
from voxgan.loader import load_batches

CPU = torch.device("cpu")


# --------------------------------------------------------------------------------------------------- order
@pytest.mark.parametrize(("count", "batch"), [(8, 4), (8, 8), (10, 4), (7, 3), (3, 8), (1, 2), (100, 32)])
def test_each_shape_once_a_pass(count: int, batch: int) -> None:
    passes = 6
    num_batches = -(-count * passes // batch)
    walk = np.concatenate([order(count, batch, 5, step) for step in range(num_batches)])
    for start in range(0, count * passes, count):
        assert sorted(walk[start : start + count]) == list(range(count))


def test_order_depends_on_seed_and_step_alone() -> None:
    forward = [order(50, 8, 1, step).tolist() for step in range(30)]
    np.random.seed(7)
    torch.manual_seed(7)
    backward = [order(50, 8, 1, step).tolist() for step in reversed(range(30))]
    assert forward == backward[::-1]
    assert forward != [order(50, 8, 2, step).tolist() for step in range(30)]
    assert order(50, 50, 1, 0).tolist() != order(50, 50, 1, 1).tolist()  # shuffled anew in each pass


def test_step_seeds_differ_and_fit_every_generator() -> None:
    seeds = {step_seed(seed, step) for seed in range(20) for step in range(-1, 200)}
    assert len(seeds) == 20 * 201
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert step_seed(1, 11) != step_seed(11, 1)


# ------------------------------------------------------------------------------------------------- batches
@pytest.fixture
def data(tiny_data: Path) -> Dataset:
    with Dataset(tiny_data) as opened:
        yield opened


def test_plain_batch_is_the_data_itself(data: Dataset) -> None:
    indices = np.array([3, 0, 3])
    batch = make_batch(data, indices, images=True, augment=False, device=CPU)
    assert set(batch) == {"occupancy", "label", "image"}
    assert batch["occupancy"].shape == (3, 1, 16, 16, 16) and batch["occupancy"].dtype == torch.float32
    np.testing.assert_array_equal(batch["occupancy"][:, 0].numpy(), data.occupancy(indices))
    assert batch["label"].tolist() == data.labels[indices].tolist()
    view = data.views([3], [0])[0].astype(np.float32) / 255
    expected = view[..., :3] * view[..., 3:] + 1 - view[..., 3:]
    np.testing.assert_allclose(batch["image"][0].permute(1, 2, 0).numpy(), expected, atol=1e-6)
    assert "image" not in make_batch(data, indices, images=False, augment=False, device=CPU)


def test_augmented_batch_is_a_function_of_the_seed(data: Dataset) -> None:
    def draw(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return make_batch(data, np.arange(8), images=True, augment=True, device=CPU)

    first, again, other = draw(1), draw(1), draw(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["image"], other["image"])
    assert first["image"].shape == (8, 3, 256, 256) and first["image"].min() >= 0 and first["image"].max() <= 1


def test_shapes_are_mirrored_in_x_about_half_of_the_time(data: Dataset) -> None:
    lopsided = 3  # its +x half is the thicker one
    plain = torch.from_numpy(data.occupancy([lopsided])[0]).float()
    torch.manual_seed(0)
    batch = make_batch(data, np.full(200, lopsided), images=False, augment=True, device=CPU)
    same = (batch["occupancy"][:, 0] == plain).flatten(1).all(1)
    mirrored = (batch["occupancy"][:, 0] == plain.flip(0)).flatten(1).all(1)
    assert (same ^ mirrored).all() and 70 < int(mirrored.sum()) < 130


def test_picture_and_shape_are_mirrored_together(data: Dataset) -> None:
    """The block of the picture stands left of the middle: where the shape is mirrored it must stand right of it."""
    lopsided = 3  # picture 3: first column, left
    plain = torch.from_numpy(data.occupancy([lopsided])[0]).float()
    right_side = []
    for seed in range(24):
        torch.manual_seed(seed)
        one = make_batch(data, np.array([lopsided]), images=True, augment=True, device=CPU)
        mirrored = not torch.equal(one["occupancy"][0, 0], plain)
        # No background varies down a column; the block does.
        varies = one["image"][0].mean(0).std(0)
        middle = float((varies * torch.arange(256)).sum() / varies.sum())
        right_side.append((mirrored, middle > 128))
    assert {mirrored for mirrored, _ in right_side} == {False, True}
    assert all(mirrored == right for mirrored, right in right_side)


@pytest.mark.parametrize("images", ["stored", "drawn"])
def test_randomised_photos_are_a_function_of_seed_and_step(data: Dataset, images: str) -> None:
    plan = Plan(images, augment=True, photos="randomised", image_size=64)

    def draw(seed: int) -> Tensor:
        torch.manual_seed(seed)
        raw = read_batch(data, np.arange(4), plan, seed)
        return finish_batch(raw, 16, plan, CPU, Draws(seed, 4))["image"]

    first = draw(1)
    assert first.shape == (4, 3, 64, 64) and float(first.min()) >= 0 and float(first.max()) <= 1
    assert torch.equal(first, draw(1)) and not torch.equal(first, draw(2))


def test_randomised_photos_come_with_views_of_other_shapes(data: Dataset) -> None:
    plan = Plan("stored", augment=True, photos="randomised")
    whole = read_batch(data, np.arange(6), plan, 0)["others"]
    assert whole.shape == (6, 2, 256, 256, 4)
    part = read_batch(data, np.arange(6), plan, 0, slice(2, 5))["others"]
    assert torch.equal(part, whole[2:5])
    assert "others" not in read_batch(data, np.arange(6), Plan("stored", photos="randomised"), 0)  # not augmented
    assert "others" not in read_batch(data, np.arange(6), Plan("stored", augment=True), 0)


def test_randomised_photos_without_augmentation_are_the_views(data: Dataset) -> None:
    raw = read_batch(data, np.arange(3), Plan("stored"), 0)
    plain, randomised = (
        finish_batch(raw, 16, Plan("stored", photos=photos), CPU)["image"] for photos in ("plain", "randomised")
    )
    assert torch.equal(plain, randomised)


def test_photos_of_another_size_are_means_of_pixels(data: Dataset) -> None:
    large = make_batch(data, np.arange(3), images=True, augment=False, device=CPU)["image"]
    small = make_batch(data, np.arange(3), images=True, augment=False, device=CPU, image_size=64)["image"]
    torch.testing.assert_close(small, large.reshape(3, 3, 64, 4, 64, 4).mean((3, 5)))


def test_every_view_is_drawn(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    plain = Dataset.views
    monkeypatch.setattr(Dataset, "views", lambda self, i, which: (seen.extend(which), plain(self, i, which))[1])
    torch.manual_seed(0)
    make_batch(data, np.zeros(16, np.int64), images=True, augment=True, device=CPU)
    assert set(seen) == {0, 1}
    seen.clear()
    make_batch(data, np.zeros(4, np.int64), images=True, augment=False, device=CPU)
    assert set(seen) == {0}


# -------------------------------------------------------------------------------------------------- photos
def rgba(count: int = 4, size: int = 32) -> Tensor:
    return torch.randint(0, 256, (count, size, size, 4), generator=torch.Generator().manual_seed(0)).byte()


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("behind", [False, True])
def test_photos_are_colours(augment: bool, behind: bool) -> None:
    backgrounds = rgba()[..., :3] if behind else None
    torch.manual_seed(0)
    found = photos(rgba(), backgrounds, torch.tensor([True, False, True, False]), augment)
    assert found.shape == (4, 3, 32, 32) and found.dtype == torch.float32
    assert 0 <= found.min() < found.max() <= 1
    torch.manual_seed(0)
    again = photos(rgba(), backgrounds, torch.tensor([True, False, True, False]), augment)
    assert torch.equal(found, again)
    torch.manual_seed(1)
    other = photos(rgba(), backgrounds, torch.tensor([True, False, True, False]), augment)
    assert torch.equal(found, other) is not augment


def test_without_augmentation_the_background_is_white_and_nothing_is_mirrored() -> None:
    views = rgba()
    views[..., 3] = 0
    assert (photos(views, None, torch.ones(4, dtype=torch.bool), False) == 1).all()
    views[..., 3] = 255
    plain = photos(views, None, torch.ones(4, dtype=torch.bool), False)
    torch.testing.assert_close(plain, views[..., :3].permute(0, 3, 1, 2).float() / 255)


def test_backgrounds_stand_behind_about_half_of_the_views() -> None:
    clear = torch.zeros(200, 16, 16, 4, dtype=torch.uint8)
    stripes = torch.zeros(200, 16, 16, 3, dtype=torch.uint8)
    stripes[:, :, ::8] = 255
    torch.manual_seed(0)
    found = photos(clear, stripes, torch.zeros(200, dtype=torch.bool), True)
    striped = int((found.mean(1).mean(1).std(1) > 0.08).sum())
    assert 70 < striped < 130


# ------------------------------------------------------------------------------------------ turns and shifts
def test_unpacking_on_a_device_is_unpacking(data: Dataset) -> None:
    packed = torch.from_numpy(data.packed(range(8)))
    expected = torch.from_numpy(data.occupancy(range(8)))
    assert torch.equal(unpack_on_device(packed, 16), expected)
    places = torch.arange(7, -1, -1, dtype=torch.uint8)  # as it is done where numpy cannot reach
    bits = packed[..., None].bitwise_right_shift(places).bitwise_and(1).reshape(-1, 16, 16, 16)
    assert torch.equal(bits, expected)


def test_turns_are_quarter_turns_about_z(data: Dataset) -> None:
    lopsided = np.full(64, 3)
    plain = torch.from_numpy(data.occupancy([3])[0])
    raw = read_batch(data, lopsided, Plan(turns=4), seed=0)
    torch.manual_seed(0)
    found = finish_batch(raw, 16, Plan(turns=4), CPU)["occupancy"][:, 0]
    kinds = [plain.rot90(k, (0, 1)).float() for k in range(4)]
    counts = [sum(torch.equal(grid, kind) for grid in found) for kind in kinds]
    assert sum(counts) == 64 and min(counts) >= 6
    torch.manual_seed(0)
    half = finish_batch(raw, 16, Plan(turns=2), CPU)["occupancy"][:, 0]
    assert {i for grid in half for i, kind in enumerate(kinds) if torch.equal(grid, kind)} == {0, 2}


def test_shifts_move_the_shape_and_lose_nothing(tmp_path: Path) -> None:
    grid = np.zeros((32, 32, 32), bool)
    grid[1:31, 4:20, 1:9] = True
    with Writer.create(tmp_path / "a.h5", 32, ["box"]) as writer:
        writer.add(grid, "box", "train", "box")
    with Dataset(tmp_path / "a.h5") as data:
        raw = read_batch(data, np.zeros(100, np.int64), Plan(shift=1), seed=0)
        torch.manual_seed(0)
        found = finish_batch(raw, 32, Plan(shift=1), CPU)["occupancy"][:, 0]
    corners = {tuple(int(axis.min()) for axis in torch.nonzero(one, as_tuple=True)) for one in found}
    assert (found.sum(dim=(1, 2, 3)) == grid.sum()).all()
    assert len(corners) > 20  # of 27
    assert {c[0] for c in corners} == {0, 1, 2} and {c[1] for c in corners} == {3, 4, 5}


# -------------------------------------------------------------------------------------------------- loading
def test_batches_are_the_same_for_any_number_of_readers(data: Dataset) -> None:
    plan = Plan("stored", augment=True)

    def read(start: int, workers: int) -> list[dict[str, Tensor]]:
        return list(load_batches(data, 4, 7, plan, start, 6, workers))

    here = read(0, 0)
    assert len(here) == 6 and set(here[0]) == {"packed", "label", "views", "backgrounds"}
    for workers in (1, 2):
        for one, two in zip(here, read(0, workers), strict=True):
            assert all(torch.equal(one[key], two[key]) for key in one)
    for one, two in zip(here[3:], read(3, 1), strict=True):  # begun in the middle
        assert all(torch.equal(one[key], two[key]) for key in one)


def test_readers_hand_on_packed_bits(data: Dataset) -> None:
    batch = next(iter(load_batches(data, 8, 0, Plan(), 0, 1, 1)))
    assert batch["packed"].dtype == torch.uint8 and batch["packed"].shape == (8, 16**3 // 8)
