"""What a reconstructed shape is charged for, voxel by voxel: losses on the log-odds of occupancy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

__all__ = ["RECONSTRUCTIONS", "bernoulli"]

_INSIDE = 3.0  # weight of a cell that is inside against one outside, in "weighted_bce"
_MISSED = 0.7  # of Tversky's index: what is missing costs more than what is too much


def bernoulli(logits: Tensor, occupancy: Tensor) -> Tensor:
    """Return the binary cross-entropy of each voxel, averaged, on logits (B, 1, R, R, R).

    Its minimum is the probability of each voxel: what average precision asks for, and blurred where a photo leaves
    doubt.
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
