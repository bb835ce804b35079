"""What a suite is given: the model, the shapes to judge by and those that it may know, the seed, how much to do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.dataset import Dataset
from voxgan.errors import DatasetError, UsageError
from voxgan.feature_space import FeatureSpace
from voxgan.inspection import digest_of
from voxgan.models.model import Model

__all__ = ["CHUNK", "Report", "Setting", "copies", "in_proportion", "pieces", "same"]

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
    votes : int
        Looks at each photo (`VAEGAN3D.reconstruct`).
    whole : float
        Share of a sample that must hang together (`Model.sample_latents`).
    """

    model: Model
    name: str
    test: Dataset
    train: Dataset | None
    quick: bool
    seed: int
    count: int | None
    report: Report
    votes: int = 1
    whole: float = 0.0

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

    @functools.cached_property
    def own_classes(self) -> NDArray[np.bool_]:
        """Which of the classifier's classes the test shapes have, (K,)."""
        there = set(map(same, self.names_of(self.test.labels)))
        return np.array([same(name) in there for name in self.features.classes])

    def require_resolution(self) -> None:
        """Refuse test or training shapes of another resolution than the model's."""
        self._check_resolution(self.test)
        self._check_resolution(self.known)

    def _check_resolution(self, data: Dataset) -> None:
        own = self.model.config.resolution
        if data.resolution != own:
            raise UsageError(
                f"{self.name} makes {own}³ grids and {data.path} holds {data.resolution}³; "
                f"prepare the data with  --resolution {own}"
            )

    def lacking(self) -> str | None:
        """Say why the data does not serve a suite that needs test and training shapes of the model's resolution."""
        if self.train is None:
            return f"{self.test.path.name} has no training shapes"
        for data in (self.test, self.train):
            if data.resolution != self.model.config.resolution:
                return f"{data.path.name} has another resolution than {self.name}"
        return None

    def require_classes(self, labels: NDArray[np.int64]) -> None:
        """Refuse test shapes of a class that has no training shape."""
        lost = np.setdiff1d(labels, self.labels_of(self.known))
        if len(lost):
            names = ", ".join(self.test.classes[label] for label in lost)
            raise DatasetError(
                f"{self.known.path}: has no training shapes of {names}, and {self.test.path.name} has test shapes; "
                "give a data set that has some with  --train DATA.h5"
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

    def names_of(self, labels: NDArray[np.int64]) -> list[str]:
        """Return the names of different labels of `labels_of`, in their order."""
        return [self.test.classes[label] for label in np.unique(labels)]

    def readings(self, labels: NDArray[np.int64]) -> dict[str, list[str] | None]:
        """Return the model's rows where it reads photos of these classes, and what it is told the classes are.

        Nothing in the first; the second, what the model calls each, is there where it has latents of all of them.
        """
        latents = self.model.class_latents
        known = {same(name): name for name in latents.names} if latents is not None else {}
        wanted = [same(self.test.classes[label]) for label in labels]
        readings: dict[str, list[str] | None] = {self.name: None}
        if known.keys() >= set(wanted):
            readings[f"{self.name}, told the class"] = [known[name] for name in wanted]
        return readings

    def reconstructed(
        self, photos: Any, readings: Mapping[str, Sequence[str] | None], part: NDArray[np.int64]
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield the name and the reconstructions of each of `readings`, for photos at these places of its labels."""
        for name, told in readings.items():
            named = None if told is None else [told[place] for place in part]
            yield name, self.model.reconstruct(photos, votes=self.votes, class_name=named).occupancy

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


def copies(test: Dataset, rows: NDArray[np.int64], known: Dataset) -> NDArray[np.bool_]:
    """Say which of these test shapes stand, cell for cell, among the training shapes, too."""
    if test.resolution != known.resolution:
        return np.zeros(len(rows), bool)
    digests = {digest_of(row) for part in pieces(np.arange(len(known)), 8 * CHUNK) for row in known.packed(part)}
    return np.array([digest_of(row) in digests for part in pieces(rows, 8 * CHUNK) for row in test.packed(part)], bool)


def in_proportion(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Return so many labels in the proportions of these, (count,), in random order.

    Examples
    --------
    >>> np.bincount(in_proportion(np.array([0, 0, 1]), 6, 0)).tolist()
    [4, 2]
    """
    shuffled: NDArray[np.int64] = np.random.default_rng(seed).permutation(labels)
    return np.resize(shuffled, count)
