"""Penalties on the slope of the discriminator, which serve beside any loss.

Each is a function of D's outputs and of the points that they were computed from, where a point is all that D sees at
once: a shape, or with PacGAN a pack. A slope is the norm of a gradient over *all* numbers of a point.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["between", "gradient_penalty", "slopes_squared", "zero_centred"]


def slopes_squared(outputs: Tensor, points: Tensor) -> Tensor:
    """Return ‖∇D(x)‖² for each point.

    Parameters
    ----------
    outputs : Tensor, (B,)
        Computed from `points`, each from its own: with batch norm in D they are not, and the gradient is another.
    points : Tensor, (B, …)
        Requires gradients.

    Returns
    -------
    Tensor, (B,)
        In single precision or better; with a graph, where gradients are enabled.

    Examples
    --------
    >>> x = torch.rand(3, 1, 2, 2, 2, requires_grad=True)
    >>> slopes_squared(2 * x.sum((1, 2, 3, 4)), x)
    tensor([32., 32., 32.])
    """
    graph = torch.is_grad_enabled()
    ones = torch.ones_like(outputs)
    (gradient,) = torch.autograd.grad(outputs, points, ones, create_graph=graph, retain_graph=True)
    gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    return (gradient * gradient).flatten(1).sum(1)


def zero_centred(outputs: Tensor, points: Tensor) -> Tensor:
    """Return ½ mean ‖∇D(x)‖²: R1 on real points, R2 on generated ones (Mescheder et al. 2018, arXiv:1801.04406, eq. 9).

    Parameters
    ----------
    outputs, points : Tensor
        As for `slopes_squared`.

    Examples
    --------
    >>> x = torch.rand(3, 4, requires_grad=True)
    >>> float(zero_centred((3 * x).sum(1), x))
    18.0
    """
    return 0.5 * slopes_squared(outputs, points).mean()


def gradient_penalty(outputs: Tensor, points: Tensor) -> Tensor:
    """Return mean (‖∇D(x̂)‖ − 1)² (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3) at points of `between`.

    Parameters
    ----------
    outputs, points : Tensor
        As for `slopes_squared`.

    Examples
    --------
    >>> x = torch.rand(3, 4, requires_grad=True)
    >>> float(gradient_penalty((3 * x).sum(1), x))
    25.0
    """
    # A slope of exactly 0 has no direction to grow in, and its square root no gradient.
    return ((slopes_squared(outputs, points) + 1e-12).sqrt() - 1).pow(2).mean()


def between(real: Tensor, generated: Tensor, share: Tensor) -> Tensor:
    """Return points on the straight lines from generated to real ones, detached, ready for `gradient_penalty`.

    Parameters
    ----------
    real, generated : Tensor, (B, …)
    share : Tensor, (B,)
        In [0, 1], one for each pair; drawn uniformly in the paper.

    Examples
    --------
    >>> between(torch.ones(2, 3), torch.zeros(2, 3), torch.tensor([0.25, 1.0]))
    tensor([[0.2500, 0.2500, 0.2500],
            [1.0000, 1.0000, 1.0000]], requires_grad=True)
    """
    share = share.reshape(-1, *(1 for _ in real.shape[1:])).to(real.device, real.dtype)
    return torch.lerp(generated.detach().to(real.dtype), real.detach(), share).requires_grad_(True)
