"""What a suite is given: the model, the shapes to judge by and those that it may know, the seed, how much to do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxgan.dataset import Dataset
from voxgan.errors import DatasetError, UsageError
from voxgan.feature_space import FeatureSpace
from voxgan.inspection import inspect
from voxgan.models.model import Model

__all__ = ["CHUNK", "Report", "Setting", "copies", "pieces", "same"]

CHUNK = 32
"""Shapes that are made, or read, at once."""

Report = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""

_SAME = {"bookcase": "bookshelf"}  # IKEA's word, and ModelNet's


@dataclass(frozen=True)
class Setting:
    """What `voxgan.evaluate` hands to each suite.

    Attributes
    ----------
    model : Model
    name : str
        What the model's rows are called.
    test : Dataset
        The shapes to judge by.
    train : Dataset or None
        Those that a model may know: for floors and oracles.
    quick : bool
        Fewer shapes, so that it takes minutes.
    seed : int
    count : int or None
        How many samples, or walks, are asked for.
    report : callable
        See `Report`.
    """

    model: Model
    name: str
    test: Dataset
    train: Dataset | None
    quick: bool
    seed: int
    count: int | None
    report: Report

    @property
    def known(self) -> Dataset:
        """The training shapes.

        Raises
        ------
        DatasetError
            If there are none.
        """
        if self.train is None:
            raise DatasetError(
                f"{self.test.path}: has no training shapes, which floors and oracles are made of; "
                "give a data set that has some with  --train DATA.h5"
            )
        return self.train

    @functools.cached_property
    def features(self) -> FeatureSpace:
        """The shipped classifier's feature space."""
        return FeatureSpace.load()

    def require_resolution(self, data: Dataset) -> None:
        """Refuse shapes of another resolution than the model's."""
        own = self.model.config.resolution
        if data.resolution != own:
            raise UsageError(
                f"{self.name} makes {own}³ grids and {data.path} holds {data.resolution}³; "
                f"prepare the data with  --resolution {own}"
            )

    def chosen(self, data: Dataset, most: int) -> NDArray[np.int64]:
        """Return at most so many rows of a data set, drawn by the seed, in order."""
        if len(data) <= most:
            return np.arange(len(data))
        drawn: NDArray[np.int64] = np.random.default_rng(self.seed).choice(len(data), most, replace=False)
        drawn.sort()
        return drawn

    def chosen_of_classes(self, data: Dataset, most: int) -> NDArray[np.int64]:
        """Return at most so many rows of each class, drawn by the seed, in order."""
        rng = np.random.default_rng(self.seed)
        rows = [np.flatnonzero(data.labels == label) for label in np.unique(data.labels)]
        return np.sort(
            np.concatenate([own if len(own) <= most else rng.choice(own, most, replace=False) for own in rows])
        )

    def labels_of(self, data: Dataset) -> NDArray[np.int64]:
        """Return the labels of a data set as indices into the classes of `test`, by name; −1 for those it lacks."""
        own = [same(name) for name in self.test.classes]
        places = [own.index(same(name)) if same(name) in own else -1 for name in data.classes]
        found: NDArray[np.int64] = np.array(places, np.int64)[data.labels]
        return found


def same(name: str) -> str:
    """Return the one name of a class that two collections call differently.

    Examples
    --------
    >>> same("bookcase"), same("chair")
    ('bookshelf', 'chair')
    """
    return _SAME.get(name, name)


def pieces(rows: NDArray[np.int64], size: int = CHUNK) -> Iterator[NDArray[np.int64]]:
    """Yield rows in pieces."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@functools.lru_cache(maxsize=4)
def copies(path: str) -> frozenset[int]:
    """Return the rows of a file's test shapes that stand, voxel for voxel, in its training split, too."""
    with Dataset(path, "all") as data:
        return frozenset(row for _, row in inspect(data).duplicates)
