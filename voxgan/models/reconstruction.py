"""What a reconstructed shape is charged for, voxel by voxel: losses on the log-odds of occupancy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

__all__ = ["RECONSTRUCTIONS", "bernoulli", "levelled"]

_INSIDE = 3.0  # weight of a cell that is inside against one outside, in "weighted_bce"
_MISSED = 0.7  # of Tversky's index: what is missing costs more than what is too much


def bernoulli(logits: Tensor, occupancy: Tensor) -> Tensor:
    """Return the binary cross-entropy of each voxel, averaged, on logits (B, 1, R, R, R).

    Its minimum is the probability of each voxel: what average precision asks for, and blurred where a photo leaves
    doubt; `levelled` makes shapes of it.
    """
    return binary_cross_entropy_with_logits(logits.float(), occupancy.float())


def _weighted(logits: Tensor, occupancy: Tensor) -> Tensor:
    weight = torch.full((), _INSIDE, device=logits.device)
    return binary_cross_entropy_with_logits(logits.float(), occupancy.float(), pos_weight=weight)


def _norm(logits: Tensor, occupancy: Tensor) -> Tensor:
    difference = torch.sigmoid(logits.float()) - occupancy.float()
    norm: Tensor = torch.linalg.vector_norm(difference.flatten(1), dim=1)
    return norm.mean()


def _tversky(logits: Tensor, occupancy: Tensor, missed: float = _MISSED) -> Tensor:
    """Return 1 − Tversky's index (Salehi et al. 2017, arXiv:1706.05721, eq. 3), averaged over shapes."""
    probability, real = torch.sigmoid(logits.float()).flatten(1), occupancy.float().flatten(1)
    overlap = (probability * real).sum(1)
    beyond, lacking = probability.sum(1) - overlap, real.sum(1) - overlap
    index = (overlap + 0.5) / (overlap + (1 - missed) * beyond + missed * lacking + 0.5)
    return 1 - index.mean()


def _dice(logits: Tensor, occupancy: Tensor) -> Tensor:
    """Return 1 − dice (Milletari et al. 2016, arXiv:1606.04797): Tversky's where both faults cost the same."""
    return _tversky(logits, occupancy, 0.5)


def _bernoulli_dice(logits: Tensor, occupancy: Tensor) -> Tensor:
    return bernoulli(logits, occupancy) + 0.5 * _dice(logits, occupancy)


RECONSTRUCTIONS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "l2": _norm,
    "bce": bernoulli,
    "weighted_bce": _weighted,
    "dice": _dice,
    "tversky": _tversky,
    "bce_dice": _bernoulli_dice,
}
"""By name: (logits (B, 1, R, R, R), occupancy of the same shape) → a number, averaged over the batch.

========================= ==========================================================================================
``l2``                    ‖p − x‖₂ of a shape, as in 3D-VAE-GAN's eq. 4
``bce``                   binary cross-entropy, the mean over voxels
``weighted_bce``          the same, where cells inside count three times
``dice``                  1 − 2 Σ p x / (Σ p + Σ x)
``tversky``               1 − Σ p x / (Σ p x + 0.3 Σ p (1 − x) + 0.7 Σ (1 − p) x)
``bce_dice``              ``bce`` + ½ ``dice``
========================= ==========================================================================================
"""

_LEVELS = 256  # steps of probability that are told apart
_LOWEST = 0.02  # a level further down would be noise


def levelled(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move each shape's log-odds so that ½ is the level at which its IoU with the real shape is expected to be highest.

    Where p are probabilities, the cells of at least t have about the expected IoU
    J = Σ_{p ≥ t} p / (Σ p + Σ_{p ≥ t} (1 − p)). It is highest at t = J / (1 + J), half of the expected dice (Lipton et
    al. 2014, arXiv:1402.1892): below ½ wherever there is doubt, and a leg that may be here or there is kept rather than
    lost. The order of a shape's cells, and with it average precision, stays.

    Parameters
    ----------
    probability : array, (B, R, R, R)
        In [0, 1].

    Returns
    -------
    array, (B, R, R, R)
        In [0, 1]; 0 and 1 stay. A shape whose best level is ½ is not changed.

    Examples
    --------
    >>> doubtful = np.full((1, 4, 4, 4), 0.01, np.float32)
    >>> doubtful[0, :2] = 0.4
    >>> bool((levelled(doubtful)[0, :2] >= 0.5).all() and (levelled(doubtful)[0, 2:] < 0.1).all())
    True
    """
    moved = np.empty_like(probability)
    for shape, into in zip(probability, moved, strict=True):
        level = _best_level(shape)
        # σ(logit p − logit t) without logarithms
        into[:] = shape * (1 - level) / (shape * (1 - level) + (1 - shape) * level)
    return moved


def _best_level(probability: NDArray[np.float32]) -> float:
    """Return the level of the highest expected IoU."""
    steps = np.minimum((probability.ravel() * _LEVELS).astype(np.int64), _LEVELS - 1)
    count = np.bincount(steps, minlength=_LEVELS)[::-1].cumsum()[::-1]
    total = np.bincount(steps, probability.ravel(), _LEVELS)[::-1].cumsum()[::-1]
    expected = total / np.maximum(total[0] + count - total, 1e-9)
    best = float(expected.max())
    return max(best / (1 + best), _LOWEST)
