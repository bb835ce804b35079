"""What may come of a damaged file: a shape that is one, or a reason in one line. Nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from data_prep.build import Report
from data_prep.pool import Worker
from data_prep.sources import Item
from data_prep.worker import Built, Recipe
from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer

FULL = os.environ.get("VOXGAN_TORTURE") == "full"
SMALL = Recipe(16, views=1)

_LEAKED = re.compile(r"Traceback|died|took longer|^\w+(Error|Exception|Warning|Interrupt)\b|\n")


class Trial:
    """Builds shapes from files, as a preparation does, and holds each to what it may say."""

    def __init__(self, worker: Worker, folder: Path) -> None:
        self.worker = worker
        self.folder = folder
        self.built: list[tuple[Recipe, Built]] = []

    def content(self, name: str, content: bytes, recipe: Recipe = SMALL) -> str:
        """Write a file and build it: ``shape`` or ``refused``."""
        path = self.folder / name
        path.write_bytes(content)
        verdict = self.file(path, recipe)
        path.unlink()
        return verdict

    def file(self, path: Path, recipe: Recipe = SMALL) -> str:
        built = self.worker.build(Item("folder", path.stem, "a", "train", str(path)), recipe)
        if built.row is None:
            assert built.reason and not _LEAKED.search(built.reason), f"{path.name}, {recipe}: {built.reason}"
            shown = str(Report(Path("a.h5"), 0, ((built.source, built.reason),))).splitlines()
            assert len(shown) == 2 and path.name in shown[1]
            return "refused"
        self.built.append((recipe, built))
        return "shape"

    def check_rows(self) -> None:
        """Write the rows that came back into data sets, and look at what those hold."""
        for recipe in {recipe for recipe, _ in self.built}:
            mine = [built for one, built in self.built if one == recipe]
            path = self.folder / "rows.h5"
            with Writer.create(path, recipe.resolution, ["a"], recipe.views, 256, recipe.mode) as writer:
                for built in mine:
                    assert built.row is not None
                    writer.append(built.row)
            with Dataset(path, "all") as data:
                transforms, cameras = data.transforms(), data.cameras()
                for i, built in enumerate(mine):
                    self._check_row(data, i, recipe, built.source)
                    assert np.isfinite(transforms[i]).all(), built.source
                    assert np.abs(transforms[i, :, :3]).max() > 0, built.source
                    assert np.isfinite(cameras[i]).all(), built.source
        self.built.clear()

    @staticmethod
    def _check_row(data: Dataset, i: int, recipe: Recipe, source: str) -> None:
        cells = np.argwhere(data.occupancy([i])[0])
        assert len(cells), source
        side = np.ptp(cells, axis=0).max() + 1  # the shape fills its frame, and is in the middle of it
        slack = 1 if recipe.mode == "surface" else 2
        assert side <= np.ceil(recipe.resolution * 15 / 16) + slack, source
        for view in range(recipe.views):
            assert data.views([i], [view])[0, ..., 3].any(), f"{source}: view {view} shows nothing"
        if recipe.mode == "sdf":
            distance = data.distance([i])[0]
            assert ((distance <= 0) >= (data.occupancy([i])[0] > 0)).all(), source
