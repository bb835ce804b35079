"""The sliders at the right, and the window's words: title, status, help, a line to type into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from viewer.cards import ACCENT, FAINT, INK, LINE, PALE, Card, Pen, scale_of
from viewer.desktop.keys import HELP

if TYPE_CHECKING:
    import pyvista

__all__ = ["WIDTH", "Panel", "Row", "Words"]

WIDTH = 300
"""Of the window's right edge that the sliders take, in design units."""

_MARGIN, _PADDING, _ROW, _NOTE = 16, 16, 46, 24
_WRONG = (170, 48, 38)


@dataclass(frozen=True)
class Row:
    """A slider.

    Attributes
    ----------
    name : str
        What it moves.
    label, text : str
        What stands over it, to the left and to the right.
    value, low, high : float
    centred : bool
        Whether its bar begins in the middle, where 0 is.
    """

    name: str
    label: str
    text: str
    value: float
    low: float
    high: float
    centred: bool = True


class Panel:
    """Sliders one below the other, in the upper right corner of a window."""

    def __init__(self, plotter: pyvista.Plotter) -> None:
        self._plotter = plotter
        self._paper = Card(plotter.renderer)
        self._cards: list[Card] = []
        self._rows: list[Row] = []
        self._drawn: list[Any] = []
        self._paper_drawn: Any = None

    @property
    def width(self) -> int:
        """How many pixels of the window's right edge it takes."""
        return round(WIDTH * scale_of(self._plotter.window_size))

    def update(self, rows: Sequence[Row], notes: Sequence[tuple[int, str]]) -> None:
        """Draw what has changed.

        Parameters
        ----------
        rows : sequence of Row
        notes : sequence of (int, str)
            Headings: before which row they stand, and what they say.
        """
        width, height = self._plotter.window_size
        scale = scale_of((width, height))
        wide = WIDTH - _MARGIN
        tall = 2 * _PADDING - 6 + _ROW * len(rows) + _NOTE * len(notes)
        left, top = width - (WIDTH) * scale, height - _MARGIN * scale
        now = (tuple(notes), len(rows), width, height)
        if now != self._paper_drawn:
            self._paper_drawn, self._drawn = now, [None] * len(rows)
            pen = Pen(wide, tall, scale)
            pen.box((0, 0, wide, tall), (*PALE, 225), 12, LINE, 1)
            for place, text in notes:
                pen.words(_PADDING, self._offset(place, notes) - 6, text, 12, FAINT)
            self._paper.show(pen, round(left), round(top - tall * scale))
        while len(self._cards) < len(rows):
            self._cards.append(Card(self._plotter.renderer))
        for card in self._cards[len(rows) :]:
            card.hide()
        for place, row in enumerate(rows):
            if self._drawn[place] != row:
                y = top - (self._offset(place, notes) + _ROW) * scale
                self._cards[place].show(_slider(row, wide, scale), round(left), round(y))
                self._drawn[place] = row
        self._rows = list(rows)

    def row_at(self, x: float, y: float) -> Row | None:
        """Return the slider at a pixel of the window, if there is one."""
        for row, card in zip(self._rows, self._cards, strict=False):
            if card.holds(x, y):
                return row
        return None

    def holds(self, x: float, y: float) -> bool:
        """Say whether a pixel of the window lies on the panel."""
        return self._paper.holds(x, y)

    def value_at(self, name: str, x: float) -> float | None:
        """Return what the slider called `name` says with its knob at a column of the window; None if it is gone."""
        scale = scale_of(self._plotter.window_size)
        for row, card in zip(self._rows, self._cards, strict=False):
            if row.name == name:
                begin, end = card.place[0] + _PADDING * scale, card.place[2] - _PADDING * scale
                part = min(max((x - begin) / (end - begin), 0.0), 1.0)
                value = row.low + part * (row.high - row.low)
                return 0.0 if row.centred and abs(value) < 0.02 * row.high else value
        return None

    def knob(self, name: str, value: float) -> tuple[float, float]:
        """Return the pixel where the knob of a slider stands for a value."""
        scale = scale_of(self._plotter.window_size)
        place = [row.name for row in self._rows].index(name)
        row, (left, bottom, right, _) = self._rows[place], self._cards[place].place
        begin, end = left + _PADDING * scale, right - _PADDING * scale
        return begin + (value - row.low) / (row.high - row.low) * (end - begin), bottom + 14 * scale

    @staticmethod
    def _offset(place: int, notes: Sequence[tuple[int, str]]) -> float:
        """Return how far below the panel's upper edge a row begins."""
        return _PADDING - 6 + _ROW * place + _NOTE * sum(before <= place for before, _ in notes)


def _slider(row: Row, wide: float, scale: float) -> Pen:
    pen = Pen(wide, _ROW, scale)
    begin, end, middle = _PADDING, wide - _PADDING, _ROW - 14
    pen.words(begin, 18, row.label, 14, INK)
    moved = not row.centred or row.value != 0
    pen.words(end, 18, row.text, 14, ACCENT if moved else FAINT, "rs", bold=moved)
    at = begin + (row.value - row.low) / (row.high - row.low) * (end - begin)
    pen.box((begin, middle - 2, end, middle + 2), LINE, 2)
    start = (begin + end) / 2 if row.centred else begin
    if abs(at - start) > 1:
        pen.box((min(start, at), middle - 2, max(start, at), middle + 2), ACCENT, 2)
    pen.disc(at, middle, 8, ACCENT if moved else PALE, PALE if moved else FAINT)
    return pen


class Words:
    """What the window says: a title, a status line, help, a line that is being typed."""

    def __init__(self, plotter: pyvista.Plotter) -> None:
        self._plotter = plotter
        self._title, self._status, self._entry, self._help = (Card(plotter.renderer) for _ in range(4))
        self._drawn: dict[str, Any] = {}

    def update(
        self, title: str, line: str, status: str, wrong: bool, entry: tuple[str, str] | None, help: bool
    ) -> None:
        """Draw what has changed.

        Parameters
        ----------
        title, line : str
            In the upper left corner.
        status : str
            In the lower left corner; in red if `wrong`.
        entry : (str, str), optional
            What is asked for, and what has been typed.
        help : bool
            Whether to show the keys.
        """
        size = tuple(self._plotter.window_size)
        for name, content in {
            "title": (title, line, size),
            "status": (status, wrong, size),
            "entry": (entry, size),
            "help": (help, size),
        }.items():
            if self._drawn.get(name) != content:
                self._drawn[name] = content
                getattr(self, f"_draw_{name}")(*content)

    def _draw_title(self, title: str, line: str, size: tuple[int, int]) -> None:
        scale = scale_of(size)
        wide = size[0] / scale - WIDTH - 2 * _MARGIN
        pen = Pen(wide, 64, scale)
        pen.words(4, 26, title, 22, INK, bold=True, width=wide - 8)
        pen.words(4, 52, line, 15, FAINT, width=wide - 8)
        self._title.show(pen, round(_MARGIN * scale), round(size[1] - (_MARGIN + 64) * scale))

    def _draw_status(self, status: str, wrong: bool, size: tuple[int, int]) -> None:
        scale = scale_of(size)
        wide = size[0] / scale - 2 * _MARGIN
        pen = Pen(wide, 26, scale)
        pen.words(4, 17, status, 14, _WRONG if wrong else INK, width=wide - 90)
        pen.words(wide - 4, 17, "h  help", 14, FAINT, "rs")
        self._status.show(pen, round(_MARGIN * scale), 0)

    def _draw_entry(self, entry: tuple[str, str] | None, size: tuple[int, int]) -> None:
        if entry is None:
            self._entry.hide()
            return
        scale = scale_of(size)
        pen = Pen(520, 84, scale)
        pen.box((0, 0, 520, 84), (*PALE, 250), 12, ACCENT, 2)
        pen.words(20, 28, entry[0], 13, FAINT)
        pen.words(500, 28, "Enter · Esc", 13, FAINT, "rs")
        tail = entry[1] if len(entry[1]) < 40 else "…" + entry[1][-39:]
        pen.words(20, 62, tail + "▏", 20, INK)
        left = (size[0] - WIDTH * scale - 520 * scale) / 2
        self._entry.raise_up()
        self._entry.show(pen, round(max(0.0, left)), round(size[1] * 0.34))

    def _draw_help(self, help: bool, size: tuple[int, int]) -> None:
        if not help:
            self._help.hide()
            return
        scale = scale_of(size)
        heights = [30 + 24 * len(lines) + 12 for _, lines in HELP]
        split = min(range(len(HELP)), key=lambda place: max(sum(heights[:place]), sum(heights[place:])))
        wide, tall = 820, max(sum(heights[:split]), sum(heights[split:])) + 44
        pen = Pen(wide, tall, scale)
        pen.box((0, 0, wide, tall), (*PALE, 252), 16, LINE, 1.5)
        for column, groups in enumerate((HELP[:split], HELP[split:])):
            x, y = 32 + column * (wide - 32) / 2, 24.0
            for title, lines in groups:
                pen.words(x, y + 18, title, 15, ACCENT, bold=True)
                y += 30
                for keys, words in lines:
                    pen.words(x, y + 16, keys, 14, INK, bold=True)
                    pen.words(x + 116, y + 16, words, 14, INK)
                    y += 24
                y += 12
        self._help.raise_up()
        self._help.show(pen, round((size[0] - wide * scale) / 2), round((size[1] - tall * scale) / 2))
