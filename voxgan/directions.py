"""Directions of the latent space along which shapes change most, read off the generator's weights.

What a latent does to a shape goes through the generator's first layer, which is linear: a step along a singular
vector of its matrix moves the first hidden volume by the singular value, whatever the latent (Shen & Zhou 2021,
"Closed-form factorization of latent semantics in GANs", arXiv:2007.06600, eq. 4).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from voxgan.errors import UsageError
from voxgan.models.model import Model

__all__ = ["principal_directions"]


@torch.no_grad()
def principal_directions(model: Model, count: int = 16) -> Tensor:
    """Return the directions along which the first hidden volume changes most for a step of the same length.

    Parameters
    ----------
    model : Model
        Its generator's first convolution and batch norm are read; nothing is sampled.
    count : int
        How many, 1 to L.

    Returns
    -------
    Tensor, (count, L)
        Unit vectors at right angles, largest effect first, on the CPU. The largest number of each is positive. Where
        the model is conditioned on K classes, K zeros follow: the class stays.

    Raises
    ------
    UsageError
        If there are not so many.

    Examples
    --------
    >>> from voxgan.models.gan3d import GAN3D, Config
    >>> principal_directions(GAN3D(Config(resolution=16, width=4)), 3).shape
    torch.Size([3, 200])
    """
    latent = model.config.latent
    if not 1 <= count <= latent:
        raise UsageError(f"{count} directions asked for; expected 1 to {latent}, the numbers in z")
    first = model.generator.first
    weight = first.weight.detach().double().cpu()[:latent]
    norm = next((m for m in model.generator.modules() if isinstance(m, nn.BatchNorm3d)), None)
    if norm is not None:  # other norms have no scale of their own that would not depend on the shape
        variance = cast(Tensor, norm.running_var).double().cpu()
        scale = norm.weight.detach().double().cpu() / (variance + norm.eps).sqrt()
        weight = weight * scale[:, None, None, None]
    effect = weight.flatten(1)
    vectors: Tensor = torch.linalg.eigh(effect @ effect.T).eigenvectors.flip(1).T[:count]
    largest = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    found = (vectors * largest.sign()).float()
    return nn.functional.pad(found, (0, model.latent_size - latent))
