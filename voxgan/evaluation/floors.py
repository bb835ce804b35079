"""What costs nothing to know: the mean shape of a class; and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxgan.dataset import Dataset
from voxgan.evaluation.setting import CHUNK, pieces
from voxgan.metrics.iou import best_level

__all__ = ["MeanShape", "mean_shape", "noise_like", "not_ahead"]


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
    real = train.occupancy(some)
    return MeanShape(mean, best_level(np.broadcast_to(mean, real.shape), real)[0])


def noise_like(real: NDArray[np.bool_], count: int, seed: int) -> NDArray[np.bool_]:
    """Return noise, (count, R, R, R), with as many cells inside as real shapes have.

    Examples
    --------
    >>> round(float(noise_like(np.arange(4096).reshape(1, 16, 16, 16) < 2048, 3, seed=0).mean()), 1)
    0.5
    """
    rng, share = np.random.default_rng(seed), real.mean()
    noise = np.empty((count, *real.shape[1:]), bool)
    for grid in noise:
        grid[:] = rng.random(grid.shape, np.float32) < share
    return noise


def not_ahead(name: str, floor: str, own: float | None, other: float | None) -> list[str]:
    """Return a note where a model does not beat a floor.

    Examples
    --------
    >>> not_ahead("mine", "class's mean shape", 0.3, 0.4), not_ahead("mine", "class's mean shape", 0.5, 0.4)
    (["mine does not beat the class's mean shape."], [])
    """
    return [] if own is None or other is None or own > other else [f"{name} does not beat the {floor}."]
