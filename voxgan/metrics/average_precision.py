"""Average precision of predicted occupancies, over the voxels of each shape."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_precision"]


def average_precision(found: NDArray[Any], real: NDArray[Any]) -> NDArray[np.float64]:
    """Return the average precision of each pair: voxels are ranked by predicted occupancy, and no level is chosen.

    Σ (Rₙ − Rₙ₋₁) Pₙ over the different values n that are predicted, from the highest down, with precision P and recall
    R of all voxels from that value up, and without interpolation, as scikit-learn defines it. 3D-GAN (Wu et al. 2016,
    §4.3) and Girdhar et al. 2016 (arXiv:1603.08637) report it, in per cent, for shapes made from photos.

    Parameters
    ----------
    found : array, (B, R, R, R)
        Predicted occupancy. Only its order matters; voxels of equal value are taken together.
    real : array, (B, R, R, R)
        Cells above ½ are inside.

    Returns
    -------
    array, (B,)
        In [0, 1]; a prediction of one value everywhere has the share of voxels that are inside. NaN for an empty real
        shape.

    Raises
    ------
    ValueError
        If the shapes of the arrays differ, or a prediction is not finite.

    Examples
    --------
    >>> real = np.zeros((1, 2, 2, 2)); real[0, 0, 0] = 1
    >>> found = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> average_precision(found, real).round(3), average_precision(0 * found, real)
    (array([0.196]), array([0.25]))
    """
    scores, truth = np.asarray(found), np.asarray(real)
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float32)
    if scores.shape != truth.shape or scores.ndim < 2:
        raise ValueError(f"shapes {scores.shape} and {truth.shape}; expected two equal (B, R, R, R)")
    if not np.isfinite(scores).all():
        raise ValueError("predictions hold NaN or infinity; expected finite numbers")
    inside = truth.reshape(len(truth), -1) > 0.5
    return np.array([_of_one(row, own) for row, own in zip(scores.reshape(len(scores), -1), inside, strict=True)])


def _of_one(scores: NDArray[Any], inside: NDArray[np.bool_]) -> float:
    total = int(inside.sum())
    if not total:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)  # of each run of equal values
    hits = np.cumsum(inside[order])[last]
    return float((np.diff(hits, prepend=0) / total * hits / (last + 1)).sum())
