"""The Wasserstein loss with clipped weights (Arjovsky et al. 2017, "Wasserstein GAN", arXiv:1701.07875, algorithm 1).

The discriminator is a critic: the difference of its means estimates the distance of the two distributions, up to the
factor that the clipped weights allow. RMSProp, because momentum made the paper's critics unstable.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from voxgan.adversarial.gate import midpoint_accuracy as accuracy

__all__ = ["CRITIC", "PAIRED", "RECIPE", "UNDECIDED", "accuracy", "discriminator_loss", "generator_loss"]

UNDECIDED = 0.0
CRITIC, PAIRED = True, False
RECIPE: dict[str, Any] = {
    "optimizer": "rmsprop",
    "generator_rate": 5e-5,
    "discriminator_rate": 5e-5,
    "clip": 0.01,  # every weight of the critic, after each of its steps
    "critic_steps": 5,
    "critic_warmup": 25,  # generator steps with 100 critic steps each; so has every 500th
    "gate": 1.0,  # a critic is to be as good as it can
}


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """Return mean D(G(z)) − mean D(x), the negative estimate of the distance, for scores (B,).

    Examples
    --------
    >>> import torch
    >>> float(discriminator_loss(torch.tensor([3.0, 5.0]), torch.tensor([1.0, 1.0])))
    -3.0
    """
    return generated.mean() - real.mean()


def generator_loss(generated: Tensor) -> Tensor:
    """Return −mean D(G(z)) for scores (B,).

    Examples
    --------
    >>> import torch
    >>> float(generator_loss(torch.tensor([1.0, 3.0])))
    -2.0
    """
    return -generated.mean()
