"""The Wasserstein loss with a gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3 and algorithm 1).

The loss is that of `wasserstein`; in place of clipped weights the critic's slope is held at 1 between real and
generated shapes (`voxgan.adversarial.penalties.gradient_penalty`), over all voxels of a shape (or pack) together.
"""

from __future__ import annotations

from typing import Any

from voxgan.adversarial.wasserstein import CRITIC, PAIRED, UNDECIDED, accuracy, discriminator_loss, generator_loss

__all__ = ["CRITIC", "PAIRED", "RECIPE", "UNDECIDED", "accuracy", "discriminator_loss", "generator_loss"]

RECIPE: dict[str, Any] = {
    "gradient_penalty": 10.0,
    "generator_rate": 1e-4,
    "discriminator_rate": 1e-4,
    "beta1": 0.0,
    "beta2": 0.9,
    "critic_steps": 5,
    "gate": 1.0,  # a critic is to be as good as it can
    "discriminator_norm": "none",  # the penalty is on each shape's own slope, which batch norm would mix
}
