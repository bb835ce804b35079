"""The least-squares loss (Mao et al. 2017, "Least squares generative adversarial networks", arXiv:1611.04076, eq. 9).

D is to say 1 of what is real and 0 of what is generated; G is to be told 1. The coding is the paper's 0-1 one, and
both losses carry its factor ½.
"""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor

from voxgan.adversarial.gate import accuracy as above

__all__ = ["CRITIC", "PAIRED", "RECIPE", "UNDECIDED", "accuracy", "discriminator_loss", "generator_loss"]

UNDECIDED = 0.5
CRITIC = PAIRED = False
RECIPE: dict[str, Any] = {}

accuracy = functools.partial(above, threshold=UNDECIDED)
"""The share of real shapes above ½ and of generated ones at most ½."""


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """Return ½ mean (D(x) − 1)² + ½ mean D(G(z))² for outputs (B,).

    Examples
    --------
    >>> import torch
    >>> float(discriminator_loss(torch.zeros(4), torch.full((4,), 2.0)))
    2.5
    """
    return 0.5 * ((real - 1) ** 2).mean() + 0.5 * (generated**2).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """Return ½ mean (D(G(z)) − 1)² for outputs (B,).

    Examples
    --------
    >>> import torch
    >>> float(generator_loss(torch.full((4,), 3.0)))
    2.0
    """
    return 0.5 * ((generated - 1) ** 2).mean()
