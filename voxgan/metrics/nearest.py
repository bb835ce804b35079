"""The training shape that is closest to each sample: does a model invent, or remember?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.metrics.pairwise_iou import pairwise_iou

__all__ = ["nearest"]


def nearest(
    samples: NDArray[Any], training: NDArray[Any] | Iterable[NDArray[Any]], level: float = 0.5
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each sample the training shape of highest intersection over union, and that figure.

    Of training shapes that are equally close, the first one counts.

    Parameters
    ----------
    samples : array, (N, R, R, R)
        Occupancy in [0, 1]; cells at or above `level` count as inside.
    training : array, (M, R, R, R), or iterable of such arrays
        In pieces, of which M may differ, a data set never has to be in memory as a whole.
    level : float

    Returns
    -------
    indices : array, (N,)
        Places in `training`, counted through all of its pieces.
    ious : array, (N,)
        1 for an exact copy.

    Raises
    ------
    ValueError
        If `training` has no shapes, or shapes of another resolution.

    Examples
    --------
    >>> training = np.zeros((3, 4, 4, 4))
    >>> training[0, :2], training[1, 1:3], training[2, 3:] = 1, 1, 1
    >>> indices, ious = nearest(training[1:, :, :2], iter([training[:2, :, :2], training[2:, :, :2]]))
    >>> indices.tolist(), ious.tolist()
    ([1, 2], [1.0, 1.0])
    """
    indices = np.zeros(len(samples), np.int64)
    ious = np.full(len(samples), -1.0)
    seen = 0
    for chunk in [training] if isinstance(training, np.ndarray) else training:
        if not len(chunk):
            continue
        found = pairwise_iou(samples, chunk, level)
        first = found.argmax(1)
        best = found[np.arange(len(found)), first]
        better = best > ious
        indices[better], ious[better] = first[better] + seen, best[better]
        seen += len(chunk)
    if not seen:
        raise ValueError("no training shapes; expected at least one to compare with")
    return indices, ious
