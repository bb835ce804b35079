"""Fixtures that several test files share: a tiny data set with views, made of analytic shapes, not rendered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from voxgan.dataset_writer import Writer
from voxgan.voxels import cell_centres

RESOLUTION = 16
CLASSES = ("round", "square")
NUM_TRAIN = 8
NUM_TEST = 2
NUM_VIEWS = 2


def analytic_shapes() -> list[tuple[str, NDArray[np.bool_]]]:
    """Ten shapes, class and grid: eight to train on, two to test with. The fourth is another one when mirrored in x."""
    x, y, z = np.moveaxis(cell_centres(RESOLUTION), -1, 0)
    flat = np.hypot(x, y)
    return [
        ("round", np.sqrt(x**2 + y**2 + z**2) < 0.4),
        ("round", (flat < 0.2) & (abs(z) < 0.45)),
        ("round", (flat > 0.2) & (flat < 0.45) & (abs(z) < 0.2)),
        ("round", np.hypot(y, z) < np.where(x > 0, 0.4, 0.2)),
        ("square", np.maximum(np.maximum(abs(x), abs(y)), abs(z)) < 0.3),
        ("square", (abs(x) < 0.45) & (abs(y) < 0.45) & (abs(z) < 0.15)),
        ("square", (abs(x) < 0.15) & (abs(y) < 0.45) & (abs(z) < 0.45)),
        ("square", (z < -0.2) | ((x > 0.2) & (z < 0.4))),
        ("round", np.hypot(flat, z) < 0.3),
        ("square", (abs(x) < 0.3) & (abs(y) < 0.3) & (abs(z) < 0.4)),
    ]


def picture(number: int, view: int) -> NDArray[np.uint8]:
    """A simple RGBA picture, another one for every shape and view: a coloured block in its own place."""
    rgba = np.zeros((256, 256, 4), np.uint8)
    row, column = divmod(number % 9, 3)
    top, left = 20 + 70 * row + 6 * view, 20 + 70 * column
    rgba[top : top + 70, left : left + 70, :3] = (40 + 20 * number, 220 - 20 * number, 90 * view)
    rgba[top : top + 70, left : left + 70, 3] = 255
    return rgba


def write_data(path: Path, num_views: int = NUM_VIEWS, backgrounds: bool = True) -> Path:
    """Write the tiny data set to `path`."""
    with Writer.create(path, RESOLUTION, CLASSES, num_views) as writer:
        for number, (name, grid) in enumerate(analytic_shapes()):
            writer.add(
                grid,
                name,
                "train" if number < NUM_TRAIN else "test",
                f"shape{number}",
                views=np.stack([picture(number, view) for view in range(num_views)]) if num_views else None,
                cameras=np.zeros((num_views, 7), np.float32),
            )
        if num_views and backgrounds:
            ramp = np.linspace(0, 255, 256).astype(np.uint8)
            writer.add_backgrounds(np.broadcast_to(ramp[None, :, None], (2, 256, 256, 3)).copy())
    return path


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten shapes at 16³ (eight to train on) in two classes, two views each, two backgrounds."""
    return write_data(tmp_path_factory.mktemp("data") / "tiny.h5")


@pytest.fixture(scope="session")
def tiny_data_without_views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shapes, without views."""
    return write_data(tmp_path_factory.mktemp("data") / "bare.h5", num_views=0)
