"""Pictures laid over the scene: what the window's sliders, thumbnails and words are drawn on.

Everything is drawn with Pillow, in pixels, and laid over the scene as it is; sizes are given for a window that is 800
pixels high and grow with it, so that a projected window is as legible.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkRenderingCore import vtkPolyDataMapper2D, vtkRenderer, vtkTexture, vtkTexturedActor2D

from viewer.stage_bodies import TILE, image_of

__all__ = ["ACCENT", "FAINT", "INK", "LINE", "PALE", "Card", "Pen", "scale_of"]

INK = (38, 45, 56)
FAINT = (104, 112, 124)
LINE = (208, 213, 220)
PALE = (255, 255, 255)
ACCENT = (46, 98, 168)
_FINE = 3  # shapes are drawn so much larger, then reduced: smooth edges


def scale_of(window: tuple[int, int]) -> float:
    """Return how much larger than designed everything is drawn in a window of this width and height."""
    return min(max(min(window[0] / 1280, window[1] / 800), 0.35), 4.0)


class Pen:
    """A picture to draw on, in design units from the upper left.

    Parameters
    ----------
    width, height : float
        In design units.
    scale : float
        Pixels in a unit.
    paper : (int, int, int, int)
        Colour and opacity of what is not drawn on.
    """

    def __init__(
        self, width: float, height: float, scale: float, paper: tuple[int, int, int, int] = (*PALE, 0)
    ) -> None:
        self.scale = scale
        self.image = Image.new("RGBA", (max(1, round(width * scale)), max(1, round(height * scale))), paper)

    def box(
        self,
        place: tuple[float, float, float, float],
        fill: tuple[int, ...],
        radius: float = 0.0,
        edge: tuple[int, ...] | None = None,
        edge_width: float = 1.0,
    ) -> None:
        """Draw a rectangle (left, top, right, bottom) with round corners."""
        ours = [x * self.scale for x in place]
        left, top = int(ours[0]) - 1, int(ours[1]) - 1
        size = (int(ours[2]) - left + 2, int(ours[3]) - top + 2)
        # Of no colour but its own around it: reduced edges stay clean.
        around = (*(edge or fill)[:3], 0)
        fine = Image.new("RGBA", (size[0] * _FINE, size[1] * _FINE), around)
        at = [(x - origin) * _FINE for x, origin in zip(ours, (left, top, left, top), strict=True)]
        ImageDraw.Draw(fine).rounded_rectangle(
            [at[0], at[1], at[2] - 1, at[3] - 1],
            radius * self.scale * _FINE,
            fill,
            edge,
            round(edge_width * self.scale * _FINE) if edge else 0,
        )
        self._lay(fine.reduce(_FINE), left, top)

    def disc(self, x: float, y: float, radius: float, fill: tuple[int, ...], edge: tuple[int, ...]) -> None:
        """Draw a disc with an edge around a middle."""
        self.box((x - radius, y - radius, x + radius, y + radius), fill, radius, edge, 2.0)

    def words(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 14,
        colour: tuple[int, int, int] = INK,
        anchor: str = "ls",
        bold: bool = False,
        width: float | None = None,
    ) -> None:
        """Write a line; `anchor` as in Pillow: ``ls`` has (x, y) at the left end of the base line.

        What is longer than `width` ends in an ellipsis.
        """
        font = _font(round(size * self.scale), bold)
        draw = ImageDraw.Draw(self.image)
        if width is not None and draw.textlength(text, font) > width * self.scale:
            while text and draw.textlength(text + "…", font) > width * self.scale:
                text = text[:-1]
            text += "…"
        # On paper that shows through, letters bring their own opacity.
        layer = Image.new("L", self.image.size)
        ImageDraw.Draw(layer).text((x * self.scale, y * self.scale), text, 255, font, anchor)
        ink = Image.new("RGBA", self.image.size, (*colour, 255))
        ink.putalpha(layer)
        self.image.alpha_composite(ink)

    def paste(self, image: Image.Image, x: float, y: float) -> None:
        """Lay a picture, in pixels, with its upper left corner at a place."""
        self._lay(image.convert("RGBA"), round(x * self.scale), round(y * self.scale))

    def _lay(self, image: Image.Image, left: int, top: int) -> None:
        source = (max(0, -left), max(0, -top))
        if source[0] < image.width and source[1] < image.height:
            self.image.alpha_composite(image, (max(0, left), max(0, top)), source)


class Card:
    """One picture at a place of the window, over those that were made before it."""

    def __init__(self, renderer: vtkRenderer) -> None:
        self._data, self._texture = vtkPolyData(), vtkTexture()
        face = vtkCellArray()
        face.InsertNextCell(4, (0, 1, 2, 3))
        self._data.SetPolys(face)
        self._data.GetPointData().SetTCoords(numpy_to_vtk(TILE, deep=True))
        mapper = vtkPolyDataMapper2D()
        mapper.SetInputData(self._data)
        self._texture.InterpolateOff()
        self._actor = vtkTexturedActor2D()
        self._actor.SetMapper(mapper)
        self._actor.SetTexture(self._texture)
        self._actor.VisibilityOff()
        renderer.AddViewProp(self._actor)
        self._renderer = renderer
        self.place = (0, 0, 0, 0)

    def show(self, pen: Pen, x: int, y: int) -> None:
        """Show what was drawn, its lower left corner at pixel (x, y) of the window, counted from below."""
        pixels = np.asarray(pen.image)[::-1]
        self._texture.SetInputData(image_of(pixels))
        height, width = pixels.shape[:2]
        corners = np.zeros((4, 3), np.float32)
        corners[:, :2] = TILE * [width, height] + [x, y]
        points = vtkPoints()
        points.SetData(numpy_to_vtk(corners, deep=True))
        self._data.SetPoints(points)
        self.place = (x, y, x + width, y + height)
        self._actor.VisibilityOn()

    def raise_up(self) -> None:
        """Lay it over all others."""
        self._renderer.RemoveViewProp(self._actor)
        self._renderer.AddViewProp(self._actor)

    def hide(self) -> None:
        """Take the picture away."""
        self._actor.VisibilityOff()

    @property
    def is_shown(self) -> bool:
        """Whether the picture is there."""
        return bool(self._actor.GetVisibility())

    def holds(self, x: float, y: float) -> bool:
        """Say whether a pixel of the window lies on the picture."""
        left, bottom, right, top = self.place
        return self.is_shown and left <= x < right and bottom <= y < top


@functools.lru_cache(maxsize=64)
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return DejaVu Sans, which comes with PyVista's matplotlib, or Pillow's own font, which knows ASCII only."""
    found = importlib.util.find_spec("matplotlib")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        path = Path(folder) / "mpl-data/fonts/ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)
