"""The relativistic pairing loss (Jolicoeur-Martineau 2019, arXiv:1807.00734; R3GAN, Huang et al., arXiv:2501.05441).

D is to tell which of a real and a generated shape is the real one: log σ(D(x) − D(G(z))). With penalties R1 and R2 on
both sides it converges where the classical losses circle, says the second paper, whose recipe this is: no
normalisation anywhere, no momentum. Its β2 rises from .9 to .99 in a run; here it is .99 throughout.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import softplus

from voxgan.adversarial.gate import paired_accuracy as accuracy

__all__ = ["CRITIC", "PAIRED", "RECIPE", "UNDECIDED", "accuracy", "discriminator_loss", "generator_loss"]

UNDECIDED = 0.0
CRITIC = PAIRED = True
RECIPE: dict[str, Any] = {
    "r1": 1.0,
    "r2": 1.0,
    "generator_rate": 2e-4,
    "discriminator_rate": 2e-4,
    "beta1": 0.0,
    "beta2": 0.99,
    "gate": 1.0,  # penalties hold D back, not the gate
    "generator_norm": "none",
    "discriminator_norm": "none",
}


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """Return −mean log σ(D(x) − D(G(z))) over pairs, for outputs (B,).

    Examples
    --------
    >>> import torch
    >>> round(float(discriminator_loss(torch.ones(4), torch.ones(4))), 4)
    0.6931
    """
    return softplus(generated - real).mean()


def generator_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Return −mean log σ(D(G(z)) − D(x)) over pairs, for outputs (B,).

    Examples
    --------
    >>> import torch
    >>> round(float(generator_loss(torch.full((4,), 30.0), torch.ones(4))), 4)
    0.0
    """
    return softplus(real - generated).mean()
