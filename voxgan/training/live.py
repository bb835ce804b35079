"""The live line of a training: how far it is, how it goes, how long it takes."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import TextIO

from voxgan.progress import Progress, duration

__all__ = ["Live"]

_SMOOTH = 0.95  # momentum of the moving average that losses are shown by
_GATED = 100  # steps over which the gate's share is counted
_PLAIN_FIRST = 10.0  # seconds before the first plain line
_LARGE = 1e5  # losses from here on are written with an exponent
_SCORES = {"test_iou": "IoU", "train_iou": "train IoU"}
_SHORT = {"discriminator": "D", "generator": "G", "autoencoder": "E+G", "encoder": "E"}


class Live:
    """Shows every step's figures on one line of a terminal, or every ten seconds as a plain line.

    From left to right, so that a narrow terminal loses the least: step of steps, time left, the loss of each phase
    (a moving average), D's accuracy (the same), the share of the last 100 steps in which its gate was shut, shapes a
    second, memory, the last score.

    Parameters
    ----------
    stream : text file, optional
        Where to write; default standard error.

    Examples
    --------
    >>> import io
    >>> stream = io.StringIO()
    >>> live = Live(stream)
    >>> live(9, 9, {"discriminator.total": 1.1, "accuracy": 0.75, "shapes_per_s": 30.0})
    >>> print(stream.getvalue(), end="")
    step 9/9  loss D 1.10  accuracy 75%  30 shapes/s
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.progress = Progress("training", "steps", stream)
        self._means: dict[str, float] = {}
        self._shut: deque[bool] = deque(maxlen=_GATED)
        self._latest: dict[str, float] = {}
        self._began: float | None = None

    def __call__(self, done: int, total: int, figures: Mapping[str, float]) -> None:
        """Take up the figures of step `done` of `total`, and show them if it is time."""
        for key, value in figures.items():
            if value is None or not math.isfinite(value):
                continue
            if key == "accuracy" or key == "shapes_per_s" or key.endswith(".total"):
                former = self._means.get(key, value)
                self._means[key] = _SMOOTH * former + (1 - _SMOOTH) * value
            elif key == "memory_gb" or key in _SCORES:
                self._latest[key] = value
        moved = figures.get("discriminator.moved")
        if moved is not None and figures.get("sound") != 0:  # a step that was skipped says nothing of the gate
            self._shut.append(not moved)
        now = time.monotonic()
        first, self._began = self._began is None, now if self._began is None else self._began
        if not self.progress.live and not first and done < total and now - self._began < _PLAIN_FIRST:
            return  # a line at step 2 would say nothing yet
        if self.progress.due(done, total):
            self.progress.show(self._text(done, total), done >= total)

    def say(self, text: str) -> None:
        """Write a line that stays, such as a warning, above the live line."""
        self.progress.say(text)

    def stage(self, label: str, unit: str) -> Progress:
        """Go on with the progress of work that comes after the steps, and return it."""
        self.progress = Progress(label, unit, self.progress.stream)
        return self.progress

    def close(self) -> None:
        """End the live line where it stands: the run was stopped."""
        self.progress.close()

    def _text(self, done: int, total: int) -> str:
        parts = [f"step {done}/{total}"]
        rate = self.progress.rate(done)
        if rate and done < total:
            parts.append(f"{duration((total - done) / rate)} left")
        losses = [key for key in self._means if key.endswith(".total")]
        if losses:
            named = (f"{_SHORT.get(name, name)} {_loss(self._means[key])}" for key in losses for name in [key[:-6]])
            parts.append("loss " + " ".join(named))
        if "accuracy" in self._means:
            parts.append(f"accuracy {self._means['accuracy']:.0%}")
        if any(self._shut):
            parts.append(f"gated {sum(self._shut) / len(self._shut):.0%}")
        if "shapes_per_s" in self._means:
            parts.append(f"{self._means['shapes_per_s']:.3g} shapes/s")
        if "memory_gb" in self._latest:
            parts.append(f"{self._latest['memory_gb']:.3g} GB")
        for key, name in _SCORES.items():
            if key in self._latest:
                parts.append(f"{name} {f'{self._latest[key]:.3f}'.removeprefix('0')}")
        if self.progress.live:  # whole parts only
            while len(parts) > 1 and len("  ".join(parts)) > self.progress.columns:
                parts.pop()
        return "  ".join(parts)


def _loss(value: float) -> str:
    return f"{value:.1e}" if abs(value) >= _LARGE else f"{value:.2f}"
