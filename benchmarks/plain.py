"""The paper's networks and steps in the plain form that every speed is measured against.

Full width (17.57 M and 11.05 M parameters), single precision, torch's default memory layout, nothing rewritten.
`careful_step` computes the generated batch once and freezes D while G learns; `usual_step` is what the public
re-implementations of 3D-GAN compute: the generator runs twice, and each phase computes gradients that it throws away.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

LATENT = 200
RATES = (2.5e-3, 1e-5)  # of generator and discriminator; the paper's
BETAS = (0.5, 0.999)


def plain_generator(width: int = 64) -> nn.Sequential:
    """Latent (B, 200) → occupancy (B, 1, 64, 64, 64)."""
    channels = [8 * width, 4 * width, 2 * width, width, 1]
    layers: list[nn.Module] = [
        nn.Unflatten(1, (LATENT, 1, 1, 1)),
        nn.ConvTranspose3d(LATENT, channels[0], 4, bias=False),
    ]
    for before, after in itertools.pairwise(channels):
        layers += [nn.BatchNorm3d(before), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose3d(before, after, 4, stride=2, padding=1, bias=False)]
    return nn.Sequential(*layers, nn.Sigmoid())


def plain_discriminator(width: int = 64) -> nn.Sequential:
    """Occupancy (B, 1, 64, 64, 64) → logit (B,)."""
    channels = [width, 2 * width, 4 * width, 8 * width]
    layers: list[nn.Module] = [nn.Conv3d(1, width, 4, stride=2, padding=1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv3d(before, after, 4, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm3d(after), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv3d(channels[-1], 1, 4, bias=False), nn.Flatten(0))


class Plain:
    """Both networks and their optimisers, and one training step in two plain ways."""

    def __init__(self, width: int = 64, device: str = "cpu") -> None:
        torch.manual_seed(0)
        self.generator, self.discriminator = (n(width).to(device) for n in (plain_generator, plain_discriminator))
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), RATES[0], betas=BETAS)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), RATES[1], betas=BETAS)

    def _judged(self, occupancy: Tensor, real: bool) -> Tensor:
        logits = self.discriminator(occupancy)
        return cross_entropy(logits, torch.full_like(logits, float(real)))

    def careful_step(self, real: Tensor) -> None:
        """Update D, then G, on one generated batch."""
        generated = self.generator(torch.rand(len(real), LATENT, device=real.device))
        self.discriminator_adam.zero_grad(set_to_none=True)
        (self._judged(real, True) + self._judged(generated.detach(), False)).backward()
        self.discriminator_adam.step()
        self.discriminator.requires_grad_(False)
        self.generator_adam.zero_grad(set_to_none=True)
        self._judged(generated, True).backward()
        self.generator_adam.step()
        self.discriminator.requires_grad_(True)

    def usual_step(self, real: Tensor) -> None:
        """Update D, then G, with all that is thrown away."""
        z = (torch.rand(len(real), LATENT, device=real.device) for _ in range(2))
        self.discriminator_adam.zero_grad()
        (self._judged(real, True) + self._judged(self.generator(next(z)), False)).backward()
        self.discriminator_adam.step()
        self.generator_adam.zero_grad()
        self.discriminator_adam.zero_grad()
        self._judged(self.generator(next(z)), True).backward()
        self.generator_adam.step()
