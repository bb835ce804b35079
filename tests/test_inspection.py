"""What is in a data set: how full, which shapes stand in both splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer
from voxgan.errors import DatasetError
from voxgan.inspection import histogram, inspect

R = 16


def box(*sides: int) -> np.ndarray:
    grid = np.zeros((R, R, R), bool)
    grid[tuple(slice(1, 1 + side) for side in sides)] = True
    return grid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three test shapes stand in train, one of them under another class; two training grids repeat one before."""
    rows = [
        ("cup", "train", box(8, 8, 8)),
        ("cup", "train", box(8, 8, 4)),
        ("cup", "train", box(8, 8, 8)),
        ("cup", "train", box(2, 2, 2)),
        ("mug", "train", box(2, 2, 2)),
        ("cup", "test", box(8, 8, 8)),
        ("mug", "test", box(8, 8, 4)),
        ("mug", "test", box(2, 2, 2)),
        ("mug", "test", box(3, 2, 2)),
        ("mug", "test", box(3, 2, 2)),
    ]
    with Writer.create(tmp_path / "a.h5", R, ["cup", "mug"]) as writer:
        for number, (name, split, grid) in enumerate(rows):
            writer.add(grid, name, split, f"{name}_{number}")
    return tmp_path / "a.h5"


def test_duplicates_across_the_splits(path: Path) -> None:
    with Dataset(path, "all") as data:
        found = inspect(data)
    assert found.duplicates == ((0, 5), (1, 6), (4, 7))
    assert found.relabelled == 1 and found.repeated == 2
    np.testing.assert_allclose(found.occupied[:4] * R**3, [512, 256, 512, 8])


def test_one_cell_more_is_no_duplicate(tmp_path: Path) -> None:
    grid = box(8, 8, 8)
    with Writer.create(tmp_path / "a.h5", R, ["cup"]) as writer:
        writer.add(grid, "cup", "train", "a")
        grid[15, 15, 15] = True
        writer.add(grid, "cup", "test", "b")
    with Dataset(tmp_path / "a.h5", "all") as data:
        assert inspect(data).duplicates == ()


def test_an_empty_data_set(tmp_path: Path) -> None:
    with Writer.create(tmp_path / "a.h5", R, ["cup"]):
        pass
    with Dataset(tmp_path / "a.h5", "all") as data:
        found = inspect(data)
    assert len(found.occupied) == 0 and histogram(found.occupied) == []


def test_a_damaged_row_is_told(path: Path) -> None:
    import h5py

    with h5py.File(path) as file:
        place = file["occupancy"].id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    content[place.byte_offset + place.size // 2] ^= 4
    path.write_bytes(content)
    with Dataset(path, "all") as data, pytest.raises(DatasetError, match="row 2 of 'occupancy'"):
        inspect(data)


def test_the_histogram_counts_every_shape_once() -> None:
    shares = np.random.default_rng(0).random(500) ** 3
    lines = histogram([*shares, 0.0, 1.0])
    assert sum(int(line.split("%")[1].split()[0]) for line in lines) == 502
    assert max(line.count("█") for line in lines) == 40
