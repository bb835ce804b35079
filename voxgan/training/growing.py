"""Networks of twice the resolution that begin by computing what the smaller ones did.

Karras et al. 2018 (arXiv:1710.10196, §2) let networks grow while they are trained and fade each new layer in. Here the
new layers are set so that nothing changes at first, as Chen et al. 2016 (Net2Net, arXiv:1511.05641) widen and deepen
classifiers: the generator's logits are the smaller one's, interpolated, and the discriminator sees the mean of 2×2×2
cells. With random layers instead, a critic that has learnt throws the generator far off in its first steps.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from voxgan.models.model import Model
from voxgan.networks.discriminator import Discriminator
from voxgan.networks.generator import Generator

__all__ = ["grow"]

_SHAPES = 64  # whose logits set the new norm


def grow(network: Model, other: Model) -> None:
    """Set the new layers of a model whose other layers are those of one of half the resolution.

    Only of the paper's networks; of the generator where its norm is ``batch`` or ``none``, of the discriminator where
    it has none, for other norms mix what is old with what is new. Elsewhere the new layers stay random.
    """
    new, old = network.generator, other.generator
    if isinstance(new, Generator) and isinstance(old, Generator) and new.norm in ("batch", "none"):
        _grow_generator(new, old, other)
    judge, former = getattr(network, "discriminator", None), getattr(other, "discriminator", None)
    plain = not network.config.spectral_norm  # which would scale what is set here
    if plain and isinstance(judge, Discriminator) and isinstance(former, Discriminator) and judge.norm == "none":
        _grow_discriminator(judge, former)


def _grow_generator(new: Generator, old: Generator, other: Model) -> None:
    """Carry logits l through the new ReLU as ReLU(l) − ReLU(−l), and double their side by linear interpolation."""
    before, norm, last = new.layers[-4], new.layers[-3], new.layers[-1]
    into, out = _weight(before), _weight(last)
    told = _weight(old.layers[-1])[:, 0]
    if into.shape[0] != told.shape[0] or into.shape[1] < 2:
        return
    kernel = _along_axes(0.25, 0.75, 0.75, 0.25)
    with torch.no_grad():
        into[:, 0], into[:, 1] = told, -told
        out.zero_()
        out[0, 0], out[1, 0] = kernel, -kernel
        if isinstance(norm, nn.BatchNorm3d):
            with other.sampling():
                logits = old.logits(other.sample_latents(_SHAPES, seed=0))
            variance, middle = logits.var(correction=0), torch.stack([logits.mean(), -logits.mean()])
            norm.weight[:2], norm.bias[:2] = (variance + norm.eps).sqrt(), middle
            cast(Tensor, norm.running_mean)[:2], cast(Tensor, norm.running_var)[:2] = middle, variance


def _grow_discriminator(new: Discriminator, old: Discriminator) -> None:
    """Average over 2×2×2 cells in one new channel for each shape of a pack, which the next layer reads as the shape."""
    first, second = (_weight(layer) for layer in (new.layers[0], new.layers[2]))
    told = _weight(old.layers[0])
    pack = told.shape[1]
    if first.shape[1] != pack or first.shape[0] < pack or second.shape[0] != told.shape[0]:
        return
    with torch.no_grad():
        first[:pack] = torch.eye(pack)[:, :, None, None, None] * _along_axes(0.0, 0.5, 0.5, 0.0)
        second.zero_()
        second[:, :pack] = told


def _weight(layer: nn.Module) -> Tensor:
    return cast(Tensor, layer.weight)


def _along_axes(*weights: float) -> Tensor:
    """Return the product of the same K weights along three axes, (K, K, K)."""
    axis = torch.tensor(weights)
    return axis[:, None, None] * axis[:, None] * axis
