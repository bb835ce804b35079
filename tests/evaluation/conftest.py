"""Small data sets of boxes and balls, and models of four channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from voxgan.dataset_writer import Writer
from voxgan.models import find
from voxgan.models.model import Model
from voxgan.voxels import cell_centres

SIDE = 16
CLASSES = ("box", "ball")


def shape(rng: np.random.Generator, name: str) -> NDArray[np.bool_]:
    x, y, z = np.moveaxis(cell_centres(SIDE), -1, 0)
    a, b, c = rng.uniform(0.15, 0.45, 3)
    if name == "ball":
        return (x / a) ** 2 + (y / b) ** 2 + (z / c) ** 2 < 1
    return (abs(x) < a) & (abs(y) < b) & (abs(z) < c)


def write(path: Path, train: int, test: int, views: int = 0, photos: bool = False, copies: int = 0) -> Path:
    """Write as many shapes of each class; the last test shapes stand in the training split, too."""
    rng = np.random.default_rng(0)
    grids: dict[str, list[NDArray[np.bool_]]] = {name: [] for name in CLASSES}
    with Writer.create(path, SIDE, CLASSES, views) as writer:
        for split, count in (("train", train), ("test", test)):
            for number in range(count):
                for name in CLASSES:
                    copied = split == "test" and number >= count - copies
                    grid = grids[name][number] if copied else shape(rng, name)
                    grids[name].append(grid)
                    pictures = rng.integers(0, 256, (views, 256, 256, 4), np.uint8) if views else None
                    cameras = np.full((views, 7), np.nan if photos else 0.0, np.float32)
                    writer.add(grid, name, split, f"{split}{name}{number}", views=pictures, cameras=cameras)
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 8 test shapes of each of two classes, without views; two of each class stand in both splits."""
    return write(tmp_path_factory.mktemp("data") / "shapes.h5", 24, 8, copies=2)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three test shapes of each class, with a photo each whose camera nobody knows, and no training shapes."""
    return write(tmp_path_factory.mktemp("data") / "photos.h5", 0, 3, 1, photos=True)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shapes of each class in each split, with a view of 256² pixels each."""
    return write(tmp_path_factory.mktemp("data") / "rendered.h5", 2, 2, 1)


@pytest.fixture
def gan() -> Model:
    kind = find("gan3d")
    return kind(kind.Config(resolution=SIDE, width=4, latent=8, classes=CLASSES)).eval()


@pytest.fixture
def conditional() -> Model:
    kind = find("gan3d")
    return kind(kind.Config(resolution=SIDE, width=4, latent=8, classes=CLASSES, condition="projection")).eval()  # type: ignore[call-arg]


@pytest.fixture
def photo_model() -> Model:
    kind = find("vae_gan3d")
    return kind(kind.Config(resolution=SIDE, width=4, latent=8, encoder_width=4, classes=CLASSES)).eval()  # type: ignore[call-arg]
