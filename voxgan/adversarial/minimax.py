"""The minimax loss (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1; 3D-GAN, eq. 1): log D(x) + log(1 − D(G(z))).

Written on logits, so that nothing saturates into inf. The generator minimises log(1 − D(G(z))) literally, whose
gradient fades while D is sure; `non_saturating` is the usual remedy.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import softplus

from voxgan.adversarial.gate import accuracy
from voxgan.adversarial.non_saturating import discriminator_loss

__all__ = ["CRITIC", "PAIRED", "RECIPE", "UNDECIDED", "accuracy", "discriminator_loss", "generator_loss"]

UNDECIDED = 0.0
CRITIC = PAIRED = False
RECIPE: dict[str, Any] = {}


def generator_loss(generated: Tensor) -> Tensor:
    """Return mean log(1 − D(G(z))) for logits (B,).

    Examples
    --------
    >>> import torch
    >>> round(float(generator_loss(torch.zeros(4))), 4)
    -0.6931
    """
    return -softplus(generated).mean()
