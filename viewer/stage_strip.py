"""The anchors side by side along the lower edge, and the path through them with its knob."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from viewer.cards import ACCENT, FAINT, INK, LINE, PALE, Card, Pen, scale_of
from viewer.state import MAX_ANCHORS, Anchor, State
from voxgan.preview import picture

if TYPE_CHECKING:
    import pyvista

    from viewer.session import Session

__all__ = ["HEIGHT", "AnchorStrip", "shares"]

HEIGHT = 158
"""Of the strip and the line of words below it, in design units."""

_BELOW = 30  # room for a line of words under the strip
_SLOT, _LABEL, _PATH = 112, 20, 26
_THUMB = 84
_NARROW = 58  # slots below this have no room for a label


class AnchorStrip:
    """Thumbnails of all anchors over the scene.

    Parameters
    ----------
    plotter : pyvista.Plotter
    """

    def __init__(self, plotter: pyvista.Plotter) -> None:
        self._plotter = plotter
        self._renderer = plotter.renderer
        self._cards: list[Card] = []
        self._drawn: list[Any] = []
        self._path = Card(self._renderer)
        self._path_drawn: Any = None
        self._thumbs: OrderedDict[Any, Image.Image] = OrderedDict()
        self._names: list[str] = []
        self._first, self._slot = 0.0, 0.0  # middle of the first slot and width of a slot, in pixels

    @property
    def height(self) -> int:
        """How many pixels of the window's lower edge it takes."""
        return round(HEIGHT * scale_of(self._plotter.window_size))

    def update(self, session: Session, left: int = 0, right: int = 0, fast: bool = False) -> None:
        """Draw what has changed.

        Parameters
        ----------
        session : Session
        left, right : int, pixels
            Of the window, that stay clear.
        fast : bool
            Draw no new thumbnails.
        """
        state, scale = session.state, scale_of(self._plotter.window_size)
        count = len(state.anchors)
        free = self._plotter.window_size[0] - left - right
        if count * _SLOT * scale > free:  # many take the whole width
            left, free = 0, self._plotter.window_size[0]
        slot = min(_SLOT, (free / scale - 32) / max(count, 1))
        self._slot = slot * scale
        self._first = left + (free - count * self._slot) / 2 + self._slot / 2
        self._names = [anchor.name for anchor in state.anchors]
        while len(self._cards) < count:
            self._cards.append(Card(self._renderer))
            self._drawn.append(None)
        for card in self._cards[count:]:
            card.hide()
        weights = shares(state)
        for place, (anchor, card) in enumerate(zip(state.anchors, self._cards, strict=False)):
            weight = round(weights.get(anchor.name, 0.0), 1)
            now = (anchor, weight, slot, scale, self._first)
            if self._drawn[place] == now and card.is_shown:
                continue
            if fast and self._key(anchor, slot, scale) not in self._thumbs:
                continue
            pen = self._drawing(session, anchor, weight, slot, scale)
            card.show(pen, round(self._first + (place - 0.5) * self._slot), round(_BELOW * scale))
            self._drawn[place] = now
        self._draw_path(state, scale)

    def anchor_at(self, x: float, y: float) -> str | None:
        """Return the name of the anchor at a pixel of the window, if there is one."""
        for name, card in zip(self._names, self._cards, strict=False):
            if card.holds(x, y):
                return name
        return None

    def is_on_path(self, x: float, y: float) -> bool:
        """Say whether a pixel of the window lies on the path with the knob."""
        return self._path.holds(x, y)

    def position_at(self, x: float) -> float:
        """Return the place on the path above a column of the window; near an anchor, the anchor."""
        last = max(len(self._names) - 1, 0)
        position = min(max((x - self._first) / max(self._slot, 1), 0.0), float(last))
        return float(round(position)) if abs(position - round(position)) < 0.03 else position

    def x_of(self, position: float) -> float:
        """Return the column of the window where the knob stands for a place on the path."""
        return self._first + position * self._slot

    def _draw_path(self, state: State, scale: float) -> None:
        count = len(state.anchors)
        now = (count, state.mode, state.position, self._slot, self._first, scale)
        if now == self._path_drawn:
            return
        self._path_drawn = now
        if count < 2:
            self._path.hide()
            return
        slot, middle = self._slot / scale, _PATH / 2
        pen = Pen(slot * count, _PATH, scale)
        walking = state.mode == "path"
        pen.box((slot / 2, middle - 2, slot * (count - 0.5), middle + 2), LINE, 2)
        for place in range(count):
            x = slot * (place + 0.5)
            pen.disc(x, middle, 4, PALE, LINE)
        if walking:
            pen.disc(slot * (state.position + 0.5), middle, 9, ACCENT, PALE)
        self._path.show(
            pen, round(self._first - self._slot / 2), round((_BELOW + _LABEL + self._thumb_side(slot) + 6) * scale)
        )

    def _drawing(self, session: Session, anchor: Anchor, weight: float, slot: float, scale: float) -> Pen:
        side = self._thumb_side(slot)
        pen = Pen(slot, _LABEL + side + 2, scale)
        left = (slot - side) / 2
        faint = tuple(round(LINE[i] + (ACCENT[i] - LINE[i]) * min(1.0, weight)) for i in range(3))
        pen.box((left, 1, left + side, 1 + side), (*PALE, 255), 8, faint, 1.5 + 1.5 * (weight > 0))
        thumb = self._thumb(session, anchor, slot, scale)
        pen.paste(thumb, left + (side - thumb.width / scale) / 2, 1 + (side - thumb.height / scale) / 2)
        colour = ACCENT if weight > 0 else INK
        if slot >= _NARROW:
            pen.words(left + 7, 6, anchor.name, 15, colour, "lt", bold=True)
            pen.words(slot / 2, side + 16, anchor.label, 12, FAINT, "ms", width=slot - 6)
        else:
            pen.words(slot / 2, side + 16, anchor.name, 13, colour, "ms", bold=True)
        return pen

    def _thumb(self, session: Session, anchor: Anchor, slot: float, scale: float) -> Image.Image:
        """Return the anchor's picture, its paper as white as the card's; drawn once."""
        key = self._key(anchor, slot, scale)
        if key not in self._thumbs:
            while len(self._thumbs) > 2 * MAX_ANCHORS:
                self._thumbs.popitem(last=False)
            grid = session.anchor_shape(anchor.name).occupancy[0]
            pixels = picture(grid, size=key[1], zoom=1.2)
            self._thumbs[key] = Image.fromarray(_on_white(pixels))
        return self._thumbs[key]

    @staticmethod
    def _key(anchor: Anchor, slot: float, scale: float) -> tuple[Any, int]:
        return anchor.latent, max(8, round((AnchorStrip._thumb_side(slot) - 8) * scale))

    @staticmethod
    def _thumb_side(slot: float) -> float:
        return min(_THUMB, slot - 6)


def shares(state: State) -> Mapping[str, float]:
    """Return how much of each anchor there is in what is seen, 0 to 1: of those that are part of it."""
    if state.mode == "expression":
        return dict.fromkeys(re.findall(r"[A-Za-z_]\w*", state.expression), 1.0)
    before = int(state.position)
    beyond = state.position - before
    parts = {before: 1 - beyond, before + 1: beyond}
    return {anchor.name: parts[i] for i, anchor in enumerate(state.anchors) if parts.get(i)}


def _on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture whose background is the card's white."""
    lift = (np.array(PALE) - pixels[0, 0].astype(int)).clip(0)
    lifted: NDArray[np.uint8] = np.minimum(pixels.astype(int) + lift, 255).astype(np.uint8)
    return lifted
