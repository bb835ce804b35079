"""Which way is up: bringing the axes of other people's files to those of the house, z up and the front to −y."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["AXES", "front_of", "turn", "turned"]

AXES = ("x", "-x", "y", "-y", "z", "-z")
"""What `up` and `front` may be."""


def front_of(up: str) -> str:
    """Return where shapes face by custom in files whose up is `up`.

    Examples
    --------
    >>> front_of("y"), front_of("z")
    ('z', '-y')
    """
    return "z" if up[-1] == "y" else "-y"


def turn(up: str, front: str) -> NDArray[np.float64]:
    """Return the rotation (3, 3) that brings a source's own axes to the house's: up to z, front to −y.

    Examples
    --------
    >>> turn("y", "z").astype(int).tolist()
    [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    """
    z, forward = _direction(up), _direction(front)
    return np.stack([np.cross(z, forward), -forward, z]) + 0.0  # no −0


def turned(grid: NDArray[Any], rotation: NDArray[np.float64]) -> NDArray[Any]:
    """Return a grid whose axes lie as `rotation`, of quarter turns, takes them."""
    order = np.abs(rotation).argmax(axis=1)
    flips = tuple(axis for axis in range(3) if rotation[axis, order[axis]] < 0)
    result: NDArray[Any] = np.flip(np.transpose(grid, order), flips)
    return result


def _direction(axis: str) -> NDArray[np.float64]:
    vector = np.zeros(3)
    vector["xyz".index(axis[-1])] = -1.0 if axis.startswith("-") else 1.0
    return vector
