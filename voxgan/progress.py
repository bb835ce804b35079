"""Progress of long work on standard error: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

__all__ = ["Progress"]

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

    def __call__(self, done: int, total: int, figures: Mapping[str, float] | None = None) -> None:
        """Report `done` of `total`; `figures` are shown beside them."""
        now = time.monotonic()
        if self._first is None:  # what came before was the start, not the rate
            self._first, self._began = done, now
            if done < total:
                return
        if done < total and now - self._shown < (_LIVE_EVERY if self.live else _PLAIN_EVERY):
            return
        self._shown = now
        text = f"{self.label}: {done}/{total} {self.unit}"
        if done > self._first and now - self._began > _SETTLED:
            rate = (done - self._first) / max(now - self._began, 1e-9)
            text += f", {rate:.3g}/s, {_duration((total - done) / rate)} left"
        if figures:
            text += "  " + " ".join(f"{key}={value:.3g}" for key, value in figures.items())
        if self.live:
            self.stream.write(f"\r\033[K{text[:200]}" + ("\n" if done >= total else ""))
        else:
            self.stream.write(text + "\n")
        self.stream.flush()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
