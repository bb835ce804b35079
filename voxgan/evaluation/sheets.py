"""Sheets on which pictures stand beside the shapes that were made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.preview import BACKGROUND, picture

__all__ = ["beside", "ranked"]

_SHOWN = 6
_TILE = 128
_AZIMUTH, _ELEVATION = 35.0, 25.0


def ranked(scores: NDArray[np.float64]) -> dict[str, NDArray[np.int64]]:
    """Return which six of a set are the best, the middle and the worst by their scores: failures are shown, too.

    Examples
    --------
    >>> {name: places.tolist() for name, places in ranked(np.arange(20.0)).items()}["worst"]
    [5, 4, 3, 2, 1, 0]
    """
    order = np.argsort(-scores, kind="stable")
    middle = max(0, len(order) // 2 - _SHOWN // 2)
    return {"best": order[:_SHOWN], "middle": order[middle : middle + _SHOWN], "worst": order[-_SHOWN:]}


def beside(pictures: NDArray[np.uint8], found: NDArray[Any], real: NDArray[Any], columns: int = 2) -> NDArray[np.uint8]:
    """Draw each picture, the shape found in it and the real one side by side; such triples stand in columns.

    Parameters
    ----------
    pictures : array, (B, S, S, 3), uint8
    found, real : array, (B, R, R, R)
        Occupancy in [0, 1].
    columns : int

    Returns
    -------
    array (height, width, 3), uint8

    Examples
    --------
    >>> grids = np.zeros((3, 8, 8, 8))
    >>> beside(np.zeros((3, 16, 16, 3), np.uint8), grids, grids).shape
    (256, 800, 3)
    """
    gap = _TILE // 4
    width = 3 * _TILE
    height = -(-len(pictures) // columns)
    whole = np.empty((height * _TILE, columns * width + (columns - 1) * gap, 3), np.uint8)
    whole[:] = BACKGROUND
    for place, (pixels, one, other) in enumerate(zip(pictures, found, real, strict=True)):
        top, left = place // columns * _TILE, place % columns * (width + gap)
        tiles = [
            _fitted(pixels),
            *(picture(np.asarray(g, np.float32), _AZIMUTH, _ELEVATION, _TILE) for g in (one, other)),
        ]
        for number, tile in enumerate(tiles):
            whole[top : top + _TILE, left + number * _TILE : left + (number + 1) * _TILE] = tile
    return whole


def _fitted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring a square picture to the size of a tile."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((_TILE, _TILE), Image.Resampling.BILINEAR))
