"""3D-GAN: shapes from noise (Wu et al. 2016, arXiv:1610.07584, §3.1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from voxgan.adversarial.gate import Gate
from voxgan.models.model import Batch, Config, Model, Phase
from voxgan.networks import Discriminator, Generator

__all__ = ["GAN3D", "MODEL"]


class GAN3D(Model):
    """Generator and discriminator, trained in turn, D behind the gate.

    Parameters
    ----------
    config : Config
        See `voxgan.models.model.Config`.

    Examples
    --------
    >>> model = GAN3D(Config(resolution=16, width=4))
    >>> model.generate(2, seed=0)
    Shapes(2 shapes, 16³)
    """

    name: ClassVar[str] = "gan3d"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.generator = Generator(config.resolution, config.width, config.latent)
        self.discriminator = Discriminator(config.resolution, config.discriminator_width or config.width, config.pack)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """D behind the gate, then G."""
        c = self.config
        return (
            Phase("discriminator", {"discriminator": c.discriminator_rate}, c.beta1, when=Gate(c.gate)),
            Phase("generator", {"generator": c.generator_rate}, c.beta1),
        )

    def generated(self, batch: Batch) -> Tensor:
        """Return the shapes generated for this batch, computed once a step, (B, 1, R, R, R)."""
        if "generated" not in batch:
            with torch.enable_grad():
                self.generator.requires_grad_(True)
                batch["generated"] = self.generator(self.batch_latents(batch))
        return batch["generated"]

    def loss(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        """Return the adversarial loss of one side (3D-GAN eq. 1, in the form that the option `adversarial` names)."""
        generated = self.generated(batch)
        if phase == "generator":
            return {"total": self.generator_term(generated)}
        return self.discriminator_terms(batch["occupancy"], generated)


MODEL = GAN3D
