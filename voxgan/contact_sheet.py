"""Many shapes on one sheet: a row for each class, its name beside it, the floor and the front of every shape marked.

Every shape is seen from the front, a little from its right and from above, with the floor it stands on: one that lies,
or turns its back, has a wrong up or front.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from voxgan.preview import BACKGROUND, picture

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

__all__ = ["Line", "contact_sheet", "evenly", "place_of"]

AZIMUTH, ELEVATION, ZOOM = 35.0, 25.0, 1.05
MARGIN, HEAD = 150, 26  # of the names at the left and the legend above, in pixels
FRONT_COLOUR, X_COLOUR, FLOOR_COLOUR, TEXT_COLOUR = (226, 112, 30), (110, 110, 118), (206, 206, 212), (40, 40, 46)

_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Line:
    """One row of a sheet.

    Attributes
    ----------
    name, note : str
        What is written beside it, one above the other.
    grids : sequence of (R, R, R) array, or None
        The shapes; None is drawn as a crossed tile.
    """

    name: str
    note: str
    grids: Sequence[NDArray[np.float32] | None]


def contact_sheet(lines: Sequence[Line], size: int = 128) -> NDArray[np.uint8]:
    """Draw rows of shapes.

    Parameters
    ----------
    lines : sequence of Line
        At least one, with at least one shape.
    size : int
        Side of one shape's picture in pixels.

    Returns
    -------
    array (height, width, 3), uint8
    """
    from PIL import Image, ImageDraw

    columns = max(len(line.grids) for line in lines)
    sheet = Image.new("RGB", (MARGIN + columns * size, HEAD + len(lines) * size), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = _font()
    _legend(draw, font)
    for row, line in enumerate(lines):
        top = HEAD + row * size
        _write(draw, font, line, top, size)
        for column, grid in enumerate(line.grids):
            sheet.paste(Image.fromarray(_tile(grid, size)), (MARGIN + column * size, top))
    return np.asarray(sheet)


def evenly(things: Sequence[_Thing], most: int) -> list[_Thing]:
    """Return at most so many of the things, evenly chosen, the first and the last among them.

    Examples
    --------
    >>> evenly(range(11), 3)
    [0, 5, 10]
    """
    if len(things) <= most:
        return list(things)
    return [things[round(i)] for i in np.linspace(0, len(things) - 1, most)]


def _tile(grid: NDArray[np.float32] | None, size: int) -> NDArray[np.uint8]:
    """Draw one shape on its floor, the arrows to the front and along x beside it; or a cross where there is none."""
    from PIL import Image, ImageDraw

    if grid is None:
        empty = Image.new("RGB", (size, size), BACKGROUND)
        draw = ImageDraw.Draw(empty)
        low, high = round(0.3 * size), round(0.7 * size)
        draw.rectangle((2, 2, size - 3, size - 3), outline=FLOOR_COLOUR)
        draw.line((low, low, high, high), fill=X_COLOUR, width=2)
        draw.line((low, high, high, low), fill=X_COLOUR, width=2)
        return np.asarray(empty)
    drawn = picture(grid, AZIMUTH, ELEVATION, size, zoom=ZOOM)
    floor = np.flatnonzero((grid > 0.5).any(axis=(0, 1)))[0] / len(grid) - 0.5
    behind = np.array(picture(grid, AZIMUTH, ELEVATION, size, zoom=ZOOM, shadow=False)) == np.array(BACKGROUND)
    image = Image.fromarray(drawn)
    draw = ImageDraw.Draw(image)
    square = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5)]
    draw.line([place_of((x, y, floor), size) for x, y in square], fill=FLOOR_COLOUR)
    _arrow(draw, (0, -0.5, floor), (0, -0.74, floor), size, FRONT_COLOUR)
    _arrow(draw, (0.5, 0, floor), (0.74, 0, floor), size, X_COLOUR)
    return np.where(behind.all(axis=-1, keepdims=True), np.asarray(image), drawn)


def place_of(point: tuple[float, float, float], size: int) -> tuple[float, float]:
    """Return where a point of the unit cube falls on a tile, as `voxgan.preview.picture` draws it: x and y in pixels.

    Examples
    --------
    >>> place_of((0, 0, 0), 128)
    (64.0, 64.0)
    """
    a, e = math.radians(AZIMUTH), math.radians(ELEVATION)
    right = (math.cos(a), math.sin(a), 0.0)
    up = (-math.sin(a) * math.sin(e), math.cos(a) * math.sin(e), math.cos(e))
    corner = math.sqrt(0.5)
    span = 2 * max(corner, 0.5 * math.cos(e) + corner * math.sin(e)) / ZOOM
    across, above = (sum(p * q for p, q in zip(point, way, strict=True)) for way in (right, up))
    return size / 2 + across / span * size, size / 2 - above / span * size


def _arrow(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    size: int,
    colour: tuple[int, int, int],
) -> None:
    """Draw an arrow that lies on the floor."""
    tail, tip = np.array(start), np.array(end)
    along = tip - tail
    aside = np.array([-along[1], along[0], 0.0]) * 0.4
    neck = tail + 0.45 * along
    draw.line([place_of(tuple(tail), size), place_of(tuple(neck), size)], fill=colour, width=max(2, size // 48))
    draw.polygon([place_of(tuple(p), size) for p in (tip, neck + aside, neck - aside)], fill=colour)


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont | None:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(13)
    except (ImportError, OSError, TypeError):  # a Pillow without FreeType: the sheet has no words then
        return None


def _legend(draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont | None) -> None:
    if font is not None:
        draw.text((8, 6), "front", fill=FRONT_COLOUR, font=font)
        draw.text((46, 6), "x to the right", fill=X_COLOUR, font=font)


def _write(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont | None,
    line: Line,
    top: int,
    size: int,
) -> None:
    """Write the name of a row, and its note."""
    if font is None:
        return
    name = line.name if len(line.name) <= 20 else line.name[:19] + "…"
    for i, text in enumerate((name, line.note)):
        shown = text if text.isprintable() else ascii(text)
        draw.text((8, top + size // 2 - 18 + 18 * i), shown, fill=X_COLOUR if i else TEXT_COLOUR, font=font)
