"""Truncated signed distance: grids of 0 and 1 as fields that say how far the surface is (Curless and Levoy 1996)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

__all__ = ["FURTHEST", "truncated_distance"]

FURTHEST = 8  # cells; the time that distances take grows with it, and their squares must fit in a byte


def truncated_distance(occupancy: Tensor, cells: float) -> Tensor:
    """Return how deep each cell lies, in [0, 1]: 1 from `cells` inside the surface on, ½ on it, 0 from `cells` outside.

    The surface lies halfway between cells of 1 and of 0; ½ cuts the field into the cells that were there. Distances
    are Euclidean, between centres of cells, and exact as far as they are kept: the squares' lower envelope along one
    axis after another (Felzenszwalb and Huttenlocher 2012, eq. 5), which need not look further than `cells`.

    Parameters
    ----------
    occupancy : Tensor, (B, 1, R, R, R)
        Of 0 and 1, on any device.
    cells : float
        Where distances are cut off, above 0, at most `FURTHEST`.

    Returns
    -------
    Tensor of float32, (B, 1, R, R, R)

    Examples
    --------
    >>> line = torch.zeros(1, 1, 1, 1, 8); line[..., 3:] = 1
    >>> truncated_distance(line, 2.0).flatten().tolist()
    [0.0, 0.125, 0.375, 0.625, 0.875, 1.0, 1.0, 1.0]
    """
    inside = occupancy > 0.5
    reach = math.ceil(cells + 0.5)
    away = torch.where(inside, _squares(inside, reach), _squares(~inside, reach)).float().sqrt_().sub_(0.5)
    return (0.5 + torch.where(inside, away, -away) / (2 * cells)).clamp_(0, 1)


def _squares(cells: Tensor, reach: int) -> Tensor:
    """Return each cell's squared distance to the nearest that is not among `cells`, or more if that is beyond `reach`.

    Bytes hold them: no sum is above 10² + 9².
    """
    far = (reach + 1) ** 2
    squares = cells.to(torch.uint8) * far
    for axis in (2, 3, 4):
        side = squares.shape[axis]
        wide = pad(squares, (0, 0) * (4 - axis) + (reach, reach), value=far)  # a copy: squares change below
        for step in range(1, reach + 1):
            nearer = torch.minimum(wide.narrow(axis, reach - step, side), wide.narrow(axis, reach + step, side))
            torch.minimum(squares, nearer.add_(step**2), out=squares)
    return squares
