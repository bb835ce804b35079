"""A first look at the shapes: a sheet of pictures, drawn before anything long is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.pool import Limits, build_all, num_cores
from data_prep.sources import Item
from data_prep.worker import Recipe
from voxgan.contact_sheet import Line, contact_sheet, evenly
from voxgan.dataset import line_about
from voxgan.dataset_writer import decode
from voxgan.errors import DatasetError, UsageError
from voxgan.files import check_output
from voxgan.preview import write_png

__all__ = ["Look", "look"]


@dataclass(frozen=True)
class Look:
    """What a sheet shows.

    Attributes
    ----------
    path : pathlib.Path
        The picture.
    num_shapes, num_classes : int
        How many shapes it shows, and of how many classes.
    all_shapes : int
        How many there are.
    more_classes : int
        How many classes there was no room for.
    not_loaded : tuple of (str, str)
        Source and reason of each shape that has a crossed tile instead of a picture.
    """

    path: Path
    num_shapes: int
    num_classes: int
    all_shapes: int
    more_classes: int
    not_loaded: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        more = f" (of {self.num_classes + self.more_classes})" if self.more_classes else ""
        lines = [f"{self.path}: shows {self.num_shapes} of {self.all_shapes} shapes, {self.num_classes} classes{more}"]
        if self.not_loaded:
            lines[0] += f", {len(self.not_loaded)} could not be loaded"
        lines += [f"  {line_about(source, reason)}" for source, reason in self.not_loaded]
        return "\n".join(lines)


def look(
    items: Sequence[Item],
    path: str | Path,
    per_class: int = 8,
    max_classes: int = 16,
    resolution: int = 32,
    size: int = 128,
) -> Look:
    """Draw some shapes of each class on one sheet.

    Parameters
    ----------
    items : sequence of Item
        As `data_prep.sources.find_items` returns them.
    path : path
        The PNG; what stands there is replaced.
    per_class, max_classes : int
        At most so many shapes of a class, and classes; chosen evenly over all there are, the first and the last among
        them.
    resolution : int
        At which the shapes are loaded.
    size : int
        Side of one shape's picture in pixels.

    Returns
    -------
    Look
        What is on the sheet, and which shapes could not be loaded and why.

    Raises
    ------
    DatasetError
        If there is no item.
    UsageError
        If an option is out of its range, or `path` is no PNG.
    StorageError
        If the sheet cannot be written.
    """
    for name, value, least in (("per_class", per_class, 1), ("max_classes", max_classes, 1), ("size", size, 32)):
        if value < least:
            raise UsageError(f"{name}={value}: expected {least} or more")
    if not items:
        raise DatasetError("no shapes to look at; give a source that has some")
    path = check_output(path)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: a sheet is written as PNG; end its name in .png")
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.class_name, []).append(item)
    chosen = {name: evenly(groups[name], per_class) for name in evenly(sorted(groups), max_classes)}
    loaded = iter(_load([item for group in chosen.values() for item in group], resolution))
    lines, not_loaded = [], []
    for name, group in chosen.items():
        grids: list[NDArray[np.float32] | None] = []
        for item in group:
            grid, reason = next(loaded)
            grids.append(grid)
            if grid is None:
                not_loaded.append((item.source, reason))
        tests = sum(item.split == "test" for item in groups[name])
        lines.append(Line(name, f"{len(groups[name]) - tests} train, {tests} test", grids))
    write_png(path, contact_sheet(lines, size))
    num_shapes = sum(len(line.grids) for line in lines)
    return Look(path, num_shapes, len(lines), len(items), len(groups) - len(lines), tuple(not_loaded))


def _load(items: Sequence[Item], resolution: int) -> list[tuple[NDArray[np.float32] | None, str]]:
    """Return the grid of each shape, or the reason why there is none; what kills a process costs one shape."""
    found: list[tuple[NDArray[np.float32] | None, str]] = []
    for built in build_all(items, Recipe(resolution), num_cores(), Limits(seconds=30)):
        grid = None if built.row is None else decode(built.row, resolution).astype(np.float32)
        found.append((grid, built.reason))
    return found
