"""Progress of long work on standard error: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Mapping
from typing import TextIO

__all__ = ["Progress", "Stages", "duration"]

_LIVE_EVERY = 0.2
_PLAIN_EVERY = 10.0
_SETTLED = 1.0  # seconds after which a rate means something


class Progress:
    """Says how far work is, how fast it goes and how long the rest takes.

    Parameters
    ----------
    label : str
        What is being done.
    unit : str
        What is counted.
    stream : text file, optional
        Where to write; default standard error.

    Examples
    --------
    >>> import io
    >>> stream = io.StringIO()
    >>> progress = Progress("preparing", "shapes", stream)
    >>> progress(5, 5)
    >>> stream.getvalue().startswith("preparing: 5/5 shapes")
    True
    """

    def __init__(self, label: str, unit: str, stream: TextIO | None = None) -> None:
        self.label, self.unit = label, unit
        self.stream = sys.stderr if stream is None else stream
        self.live = self.stream.isatty()
        self._began = time.monotonic()
        self._first: int | None = None
        self._shown = -1e9
        self._line = ""  # what the live line says now

    def __call__(self, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
        """Report `done` of `total`; `figures` are shown beside them."""
        if not self.due(done, total):
            return
        text = f"{self.label}: {done}/{total} {self.unit}".rstrip()
        rate = self.rate(done)
        if rate is not None:
            text += f", {rate:.3g}/s, {duration((total - done) / rate)} left"
        if figures:
            text += "  " + " ".join(f"{key}={value:.3g}" for key, value in figures.items())
        self.show(text, done >= total)

    def due(self, done: int, total: int) -> bool:
        """Say whether a line should be shown now; to be asked once for each `done`."""
        now = time.monotonic()
        if self._first is None:  # what came before was the start, not the rate
            self._first, self._began = done, now
            if done < total:
                return False
        if done < total and now - self._shown < (_LIVE_EVERY if self.live else _PLAIN_EVERY):
            return False
        self._shown = now
        return True

    def rate(self, done: int) -> float | None:
        """Return how many are done a second, or None before that means something."""
        passed = time.monotonic() - self._began
        if self._first is None or done <= self._first or passed <= _SETTLED:
            return None
        return (done - self._first) / passed

    def show(self, text: str, last: bool = False) -> None:
        """Put `text` in place of the live line, cut to the terminal's width, or write it as a line of its own."""
        if self.live:
            text = _cut(text, self.columns)
            self.stream.write(f"\r\033[K{text}" + ("\n" if last else ""))
            self._line = "" if last else text
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def say(self, text: str) -> None:
        """Write a line of its own; a live line makes room for it and goes on below."""
        line = self._line
        self.stream.write(f"\r\033[K{text}\n{line}" if line else text + "\n")
        self.stream.flush()

    def close(self) -> None:
        """End the live line where it stands, so that what is written next begins on a line of its own."""
        if self._line:
            self._line = ""
            self.stream.write("\n")
            self.stream.flush()

    @property
    def columns(self) -> int:
        """How many characters the live line may have: one less than the terminal's width, which would wrap."""
        try:
            width = os.get_terminal_size(self.stream.fileno()).columns
        except (OSError, ValueError, AttributeError):  # no terminal, or one that does not tell
            width = 0
        return max((width or 80) - 1, 1)


class Stages:
    """Says how far work of several stages is, each with a line and a rate of its own.

    Parameters
    ----------
    stream : text file, optional
        Where to write; default standard error.

    Examples
    --------
    >>> import io
    >>> stream = io.StringIO()
    >>> stages = Stages(stream)
    >>> stages("reading", 2, 2), stages("judging", 3, 3)
    (None, None)
    >>> stream.getvalue().splitlines()
    ['reading: 2/2', 'judging: 3/3']
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._stage: Progress | None = None

    def __call__(self, label: str, done: int, total: int) -> None:
        """Report `done` of `total` in the stage of this name."""
        if self._stage is None or self._stage.label != label:
            self.close()
            self._stage = Progress(label, "", self._stream)
        self._stage(done, total)

    def close(self) -> None:
        """End the live line where it stands."""
        if self._stage is not None:
            self._stage.close()


def duration(seconds: float) -> str:
    """Return a time in words.

    Examples
    --------
    >>> duration(7), duration(75), duration(7500)
    ('7 s', '1 min 15 s', '2 h 05 min')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


def _cut(text: str, columns: int) -> str:
    """Return so much of a line as fits: wide characters count twice, and what would break the line is left out."""
    kept, taken = [], 0
    for character in text:
        if not character.isprintable():
            continue
        taken += 2 if unicodedata.east_asian_width(character) in "WF" else 0 if unicodedata.combining(character) else 1
        if taken > columns:
            break
        kept.append(character)
    return "".join(kept)
