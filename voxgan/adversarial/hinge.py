"""The hinge loss (Lim and Ye 2017, arXiv:1705.02894, §3; Miyato et al. 2018, arXiv:1802.05957, eq. 16 and 17).

D learns from what lies inside its margin, −1 to 1, and from nothing else; G follows D's slope wherever it is.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import relu

from voxgan.adversarial.gate import accuracy

__all__ = ["CRITIC", "PAIRED", "RECIPE", "UNDECIDED", "accuracy", "discriminator_loss", "generator_loss"]

UNDECIDED = 0.0
CRITIC = PAIRED = False
RECIPE: dict[str, Any] = {}


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """Return mean max(0, 1 − D(x)) + mean max(0, 1 + D(G(z))) for outputs (B,).

    Examples
    --------
    >>> import torch
    >>> float(discriminator_loss(torch.tensor([2.0, 0.5]), torch.tensor([-0.5, -3.0])))
    0.5
    """
    return relu(1 - real).mean() + relu(1 + generated).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """Return −mean D(G(z)) for outputs (B,).

    Examples
    --------
    >>> import torch
    >>> float(generator_loss(torch.tensor([1.0, 3.0])))
    -2.0
    """
    return -generated.mean()
