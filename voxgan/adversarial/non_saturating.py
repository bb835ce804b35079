"""The non-saturating loss (Goodfellow et al. 2014, arXiv:1406.2661, §3): G maximises log D(G(z)).

Binary cross-entropy on logits. Every implementation of 3D-GAN in practice trains its generator so.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import softplus

from voxgan.adversarial.gate import accuracy

__all__ = ["CRITIC", "PAIRED", "RECIPE", "UNDECIDED", "accuracy", "discriminator_loss", "generator_loss"]

UNDECIDED = 0.0
CRITIC = PAIRED = False
RECIPE: dict[str, Any] = {}


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """Return −mean log D(x) − mean log(1 − D(G(z))) for logits (B,).

    Examples
    --------
    >>> import torch
    >>> round(float(discriminator_loss(torch.zeros(4), torch.zeros(4))), 4)
    1.3863
    """
    return softplus(-real).mean() + softplus(generated).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """Return −mean log D(G(z)) for logits (B,).

    Examples
    --------
    >>> import torch
    >>> round(float(generator_loss(torch.zeros(4))), 4)
    0.6931
    """
    return softplus(-generated).mean()
