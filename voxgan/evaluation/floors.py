"""The mean shape of a class: what costs nothing to know of any shape of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxgan.dataset import Dataset
from voxgan.evaluation.setting import CHUNK, pieces
from voxgan.metrics.iou import best_level

__all__ = ["MeanShape", "mean_shape", "mean_shape_level", "not_ahead"]


@dataclass(frozen=True)
class MeanShape:
    """The mean of a class's training shapes.

    Attributes
    ----------
    occupancy : array, (R, R, R)
        In [0, 1].
    level : float
        At which it is most like the class's training shapes.
    """

    occupancy: NDArray[np.float32]
    level: float


def mean_shape(train: Dataset, rows: NDArray[np.int64]) -> MeanShape:
    """Return the mean of these training shapes, and its best level among them.

    The level is chosen on at most 200 of them, spread evenly: the test shapes have no say.
    """
    total = np.zeros((train.resolution,) * 3, np.float64)
    for part in pieces(rows, 4 * CHUNK):
        total += train.occupancy(part).sum(axis=0)
    mean = (total / len(rows)).astype(np.float32)
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), 200)).round().astype(np.int64)]
    return MeanShape(mean, mean_shape_level(mean, train.occupancy(some)))


def mean_shape_level(mean: NDArray[np.float32], real: NDArray[np.uint8]) -> float:
    """Return the level at which a mean shape has the highest mean IoU with real shapes (B, R, R, R).

    Examples
    --------
    >>> mean_shape_level(np.full((2, 2, 2), 0.3, np.float32), np.ones((1, 2, 2, 2), np.uint8))
    0.05
    """
    return best_level(np.broadcast_to(mean, real.shape), real)[0]


def not_ahead(name: str, floor: str, own: float | None, other: float | None) -> list[str]:
    """Return a note where a model does not beat a floor.

    Examples
    --------
    >>> not_ahead("mine", "class's mean shape", 0.3, 0.4), not_ahead("mine", "class's mean shape", 0.5, 0.4)
    (["mine does not beat the class's mean shape."], [])
    """
    return [] if own is None or other is None or own > other else [f"{name} does not beat the {floor}."]
