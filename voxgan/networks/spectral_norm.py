"""Spectral norm on every layer of a discriminator (Miyato et al. 2018, arXiv:1802.05957, §2.1)."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

__all__ = ["spectrally_normalised"]


def spectrally_normalised(network: nn.Module) -> nn.Module:
    """Return `network` with the largest singular value of each convolution and linear layer held at 1.

    The value is tracked by one step of torch's power iteration whenever a layer is used in training mode. A kernel
    counts as the matrix (fan out, fan in · taps), as in the paper. In the ``state_dict`` such a layer's ``weight`` is
    ``parametrizations.weight.original``.

    Examples
    --------
    >>> import torch
    >>> layer = spectrally_normalised(nn.Sequential(nn.Linear(3, 3)))[0]
    >>> for _ in range(50): _ = layer(torch.ones(1, 3))
    >>> round(torch.linalg.matrix_norm(layer.weight.detach(), 2).item(), 3)
    1.0
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
            spectral_norm(module)
    return network
