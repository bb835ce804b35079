"""How varied a model's samples are beside the data, and whether they are new: the training shape nearest to each."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from voxgan.batches import Plan, finish_batch, read_batch
from voxgan.dataset import Dataset
from voxgan.draws import Draws
from voxgan.metrics.failures import failed
from voxgan.metrics.ms_ssim import mean_ms_ssim
from voxgan.metrics.pairwise_iou import mean_pairwise_iou, pairwise_iou

__all__ = ["COPY", "NUM_SHAPES", "Diversity", "num_compared"]

NUM_SHAPES = 32
"""So many samples are measured, and as many training shapes."""

COPY = 0.99
"""From this IoU on, a shape is a copy of another: all but single cells are the same."""

_COMPARED = 4096  # training shapes that are looked through for the nearest
_COMPARED_CELLS = 1 << 31  # and no more cells than these: 1,024 shapes at 128³
_PAIRS, _FEWEST_PAIRS = 100, 16  # for MS-SSIM, the dearest of the figures
_PAIRED_CELLS = 1 << 23  # 32 pairs at 64³
_CHUNK = 1 << 25  # cells of training shapes that are unpacked at once

Grids = NDArray[np.bool_]
Floats = NDArray[np.float64]


def num_compared(resolution: int, num_shapes: int) -> int:
    """Return how many of a data set's training shapes are looked through, spread evenly, for those nearest to samples.

    Examples
    --------
    >>> num_compared(64, 889), num_compared(64, 50_000), num_compared(128, 50_000)
    (889, 4096, 1024)
    """
    return min(num_shapes, _COMPARED, _COMPARED_CELLS // resolution**3)


class Diversity:
    """Measures samples beside as many training shapes, as training sees them.

    Where training mirrors or turns shapes, a sample is compared with training shapes in each of these poses, and the
    training shapes that are measured are placed by chance, as in a batch. A copy that stands aside by some cells
    (``shift``) is not recognised as one.

    Parameters
    ----------
    data : Dataset
        The training shapes. They are read in pieces of at most 34 MB whenever samples are measured.
    plan : Plan
        How they are augmented.
    seed : int
        Of the poses.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from voxgan.dataset_writer import Writer
    >>> path = Path(tempfile.mkdtemp()) / "bars.h5"
    >>> bars = np.zeros((3, 16, 16, 16), bool)
    >>> bars[0, 2:5], bars[1, 4:7], bars[2, 9:12] = True, True, True
    >>> with Writer.create(path, 16, ["bar"]) as writer:
    ...     for number, bar in enumerate(bars):
    ...         writer.add(bar, "bar", "train", str(number))
    >>> diversity = Diversity(Dataset(path), Plan(), seed=0)
    >>> figures, places = diversity.measure(bars[[2, 2]])
    >>> places.tolist(), figures["samples.copies"], figures["samples.pairwise_iou"]
    ([2, 2], 1.0, 1.0)
    >>> round(figures["data.pairwise_iou"], 3), round(figures["data.nearest_iou"], 3), figures["data.copies"]
    (0.067, 0.133, 0.0)
    """

    def __init__(self, data: Dataset, plan: Plan, seed: int) -> None:
        self._data, self._seed = data, seed
        self._plan = dataclasses.replace(plan, images="none")
        self._compared = _spread(len(data), num_compared(data.resolution, len(data)))
        self._of_data: dict[str, float] | None = None

    def measure(self, grids: Grids) -> tuple[dict[str, float], NDArray[np.int64]]:
        """Return the figures of samples and of the data, and where in the data set the nearest shapes are.

        Parameters
        ----------
        grids : array of bool, (N, R, R, R)
            At least two samples.

        Returns
        -------
        dict
            ``pairwise_iou`` (mean IoU of pairs), ``ms_ssim`` (mean similarity of at most 100 pairs), ``nearest_iou``
            (mean IoU with the nearest training shape; of a training shape, the nearest other one), ``copies`` (share
            for which that is at least `COPY`) and, where SciPy is installed, ``failed`` (share that is empty, full, a
            blob or shattered: `voxgan.metrics.failures`). All of them once with ``samples.`` before the name and once
            with ``data.``; and ``samples.empty``. What cannot be said of the data, of one shape alone, is left out.
        array of int, (N,)
            Where in the data set the nearest training shape is; −1 where none has a cell in common.
        """
        if self._of_data is None:
            self._of_data = self._measure_data()
        figures = self._alone(grids)
        places, ious = self._nearest(grids)
        figures |= {"nearest_iou": float(ious.mean()), "copies": float((ious >= COPY).mean())}
        figures["empty"] = float((~grids.any(axis=(1, 2, 3))).mean())
        return {f"samples.{name}": value for name, value in figures.items()} | self._of_data, places

    def neighbours(self, grids: Grids, places: NDArray[np.int64]) -> Grids:
        """Return the training shapes at `places`, each in the pose in which it is most like its sample.

        Where the place is −1, the grid is empty.
        """
        found = np.zeros_like(grids)
        for grid, place, into in zip(grids, places, found, strict=True):
            if place >= 0:
                poses = self._poses(self._data.occupancy([int(place)]) > 0)[:, 0]
                into[:] = poses[pairwise_iou(poses, grid[None])[:, 0].argmax()]
        return found

    def _measure_data(self) -> dict[str, float]:
        own = _spread(len(self._data), NUM_SHAPES)
        raw = read_batch(self._data, own, self._plan, self._seed)
        draws = Draws(self._seed, len(own))
        batch = finish_batch(raw, self._data.resolution, self._plan, torch.device("cpu"), draws)
        grids = batch["occupancy"][:, 0].numpy() > 0.5
        figures = self._alone(grids)
        if len(self._data) > 1:
            ious = self._nearest(grids, own)[1]
            figures |= {"nearest_iou": float(ious.mean()), "copies": float((ious >= COPY).mean())}
        return {f"data.{name}": value for name, value in figures.items()}

    def _alone(self, grids: Grids) -> dict[str, float]:
        """Return what a set says without the training shapes."""
        figures = {}
        if len(grids) > 1:
            pairs = max(_FEWEST_PAIRS, min(_PAIRS, _PAIRED_CELLS // grids[0].size))
            figures["pairwise_iou"] = mean_pairwise_iou(grids)
            figures["ms_ssim"] = mean_ms_ssim(grids.astype(np.float32), pairs)
        with contextlib.suppress(ImportError):  # SciPy: a training needs none
            figures["failed"] = float(failed(grids).mean())
        return figures

    def _nearest(self, grids: Grids, own: NDArray[np.int64] | None = None) -> tuple[NDArray[np.int64], Floats]:
        """Return place and IoU of the nearest training shape of each grid; at `own` is the grid itself."""
        poses = self._poses(grids)
        rows = poses.reshape(-1, *grids.shape[1:])
        places, best = np.full(len(grids), -1), np.zeros(len(grids))
        step = max(1, _CHUNK // grids[0].size)
        for start in range(0, len(self._compared), step):
            others = self._compared[start : start + step]
            ious = pairwise_iou(rows, self._data.occupancy(others.tolist())).reshape(len(poses), len(grids), -1).max(0)
            if own is not None:
                ious[own[:, None] == others] = 0
            first = ious.argmax(1)
            found = ious[np.arange(len(grids)), first]
            better = found > best
            places[better], best[better] = others[first[better]], found[better]
        return places, best

    def _poses(self, grids: Grids) -> Grids:
        """Return shapes (N, R, R, R) in each of the poses that training may show them in, (P, N, R, R, R)."""
        sides = [grids, grids[:, ::-1]] if self._plan.augment else [grids]
        turns = self._plan.turns
        return np.stack([np.rot90(side, k * (4 // turns), (1, 2)) for side in sides for k in range(turns)])


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of `count` places, spread evenly.

    Examples
    --------
    >>> _spread(9, 3).tolist(), _spread(2, 3).tolist()
    ([0, 4, 8], [0, 1])
    """
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)
