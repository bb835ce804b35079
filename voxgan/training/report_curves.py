"""Curves of a run as SVG inside HTML: thinned out, so that 200,000 steps stay small and quick to draw.

A curve longer than a few hundred steps is drawn as the mean over stretches of steps, before a band from the lowest to
the highest value of each stretch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from voxgan.training.report_settings import words

__all__ = ["LATEST", "Curve", "Figure", "draw", "latest", "number", "thin"]

Values = NDArray[np.float64]

LATEST = 100
"""Numbers that stand for the end of a run are means over so many steps."""

_WIDTH, _HEIGHT = 460, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 12, 26
_RAW = 120  # so many values are drawn one by one
_MOST = 180  # stretches of a long curve
_LOG = 30.0  # a range of means beyond this factor is drawn on a logarithmic axis


@dataclass(frozen=True)
class Curve:
    """One line of a figure.

    Attributes
    ----------
    name : str
        For the legend.
    values : array (T,)
        One for each step; NaN where there is none.
    colour : int
        0 to 3, of the palette in ``report.css``.
    """

    name: str
    values: Values
    colour: int = 0


@dataclass(frozen=True)
class Figure:
    """Curves on common axes.

    Attributes
    ----------
    title, note : str
        What it shows, and how to read it.
    curves : sequence of Curve
    limits : pair of float or None
        The vertical axis, where it is fixed.
    percent : bool
        Whether values are shares.
    line : float or None
        Where a horizontal line is drawn, called `line_name`.
    bars : bool
        Fill the area below the line, instead of a band.
    marks : sequence of (step, kind, text)
        What happened, as triangles above.
    from_zero : bool
        Whether the vertical axis begins at 0.
    """

    title: str
    note: str
    curves: Sequence[Curve]
    limits: tuple[float, float] | None = None
    percent: bool = False
    line: float | None = None
    line_name: str = ""
    bars: bool = False
    marks: Sequence[tuple[int, str, str]] = field(default=())
    from_zero: bool = False


def latest(steps: Values, values: Values) -> tuple[float, str]:
    """Return a number for the end of a curve, and what it is of; the page has no other.

    Parameters
    ----------
    steps, values : array (T,)
        NaN where there is no value.

    Returns
    -------
    tuple of float and str
        The mean of the last 100 steps, or, where fewer than half of them have a value, the last value.

    Examples
    --------
    >>> latest(np.arange(1.0, 301.0), np.arange(1.0, 301.0))
    (250.5, 'last 100 steps')
    >>> latest(np.array([1.0, 2.0]), np.array([3.0, 5.0]))
    (4.0, 'all 2 steps')
    >>> latest(np.array([1.0, 2.0, 3.0]), np.array([np.nan, 5.0, np.nan]))
    (5.0, 'step 2')
    """
    window = values[-LATEST:]
    good = window[np.isfinite(window)]
    if len(good) and 2 * len(good) >= len(window):
        if len(values) == 1:
            return float(good[0]), f"step {int(steps[-1]):,}"
        return float(good.mean()), f"last {LATEST} steps" if len(values) > LATEST else f"all {len(values)} steps"
    found = np.flatnonzero(np.isfinite(values))
    return (float(values[found[-1]]), f"step {int(steps[found[-1]]):,}") if len(found) else (math.nan, "")


def thin(steps: Values, values: Values, most: int = _MOST) -> tuple[Values, Values, Values, Values]:
    """Reduce a curve to stretches of steps.

    Parameters
    ----------
    steps, values : array (T,)
        NaN values are passed over; where most are NaN, all that lies between two others is.
    most : int
        Stretches at most; a curve of at most 120 steps is left as it is.

    Returns
    -------
    four arrays (S,)
        Middle step, lowest value, mean, highest value of each stretch; NaN where a stretch has none.

    Examples
    --------
    >>> steps = np.arange(1.0, 1001.0)
    >>> middle, low, mean, high = thin(steps, steps % 2, most=10)
    >>> len(middle), float(low.max()), float(mean[0]), float(high.min())
    (10, 0.0, 0.5, 1.0)
    """
    finite = np.isfinite(values)
    if finite.mean() < 0.5:  # now and then: the steps between are no gap
        steps, values, finite = steps[finite], values[finite], finite[finite]
    if len(steps) <= _RAW:
        kept = steps[finite], values[finite]
        return kept[0], kept[1], kept[1], kept[1]
    count = min(most, max(len(steps) // 8, _RAW // 2), len(steps))
    first = np.linspace(0, len(steps), count, endpoint=False).astype(np.int64)
    num = np.add.reduceat(finite.astype(np.float64), first)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(np.where(finite, values, 0.0), first) / np.where(num > 0, num, np.nan)
    low = np.minimum.reduceat(np.where(finite, values, np.inf), first)
    high = np.maximum.reduceat(np.where(finite, values, -np.inf), first)
    low, high = np.where(num > 0, low, np.nan), np.where(num > 0, high, np.nan)
    middle = np.add.reduceat(steps, first) / np.diff(np.append(first, len(steps)))
    return middle, low, mean, high


def number(value: float, percent: bool = False) -> str:
    """Return a number as people write it.

    Examples
    --------
    >>> number(12345.6), number(0.0312), number(3e-7), number(0.5, percent=True), number(200000)
    ('12,346', '0.0312', '3e-07', '50%', '200,000')
    """
    if not math.isfinite(value):
        return "–"
    if percent:
        share = 100 * value
        return f"{share:.0f}%" if share == 0 or abs(share) >= 10 else f"{share:.2g}%"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.3g}"
    return f"{value:.3g}"


def _short(value: float, percent: bool = False) -> str:
    """Return a round number that fits beside an axis."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if not percent and (10 if factor == 1e3 else 1) * factor <= abs(value) < 1e12:
            return f"{value / factor:.3g}{unit}"
    return number(value, percent)


def draw(figure: Figure, steps: Values) -> str:
    """Return a figure as HTML, or an empty string if none of its curves has a value."""
    curves = [c for c in figure.curves if np.isfinite(c.values).any()]
    if not curves:
        return ""
    most = 90 if figure.bars else _MOST
    thinned = [thin(steps, c.values, most) for c in curves]
    axis = _Axis(figure, thinned)
    low_step, high_step = float(steps[0]), float(max(steps[-1], steps[0] + 1))

    def across(step: float) -> float:
        return _LEFT + (step - low_step) / (high_step - low_step) * (_WIDTH - _LEFT - _RIGHT)

    parts = [_grid(axis, figure, across, low_step, high_step)]
    if figure.line is not None:
        y = axis.place(figure.line)
        parts.append(f'<path class="bound" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
    for curve, (middle, low, mean, high) in zip(curves, thinned, strict=True):
        x = np.array([across(step) for step in middle])
        if figure.bars:
            parts.append(_area(x, axis.places(mean), axis.place(0.0), curve.colour))
        elif not np.array_equal(low, high, equal_nan=True):
            parts.append(_band(x, axis.places(low), axis.places(high), curve.colour))
    for curve, (middle, _, mean, _) in zip(curves, thinned, strict=True):
        x = np.array([across(step) for step in middle])
        parts.append(_path(x, axis.places(mean), curve.colour))
        sparse = np.isfinite(mean).sum()
        if sparse <= 30 and not figure.bars:
            dots = zip(x, axis.places(mean), strict=True)
            parts += [f'<circle class="dot c{curve.colour}" cx="{a:.1f}" cy="{b:.1f}" r="2.2"/>' for a, b in dots]
    for step, kind, text in figure.marks:
        if low_step <= step <= high_step:
            x0 = across(step)
            parts.append(
                f'<path class="mark {kind}" d="M{x0:.1f} {_TOP - 8}l4 -4h-8z"><title>{words(text)}</title></path>'
            )
    return _page(figure, curves, thinned, "".join(parts), steps)


class _Axis:
    """The vertical axis: from a value to a place, and where its ticks are."""

    def __init__(self, figure: Figure, thinned: Sequence[tuple[Values, Values, Values, Values]]) -> None:
        means = np.concatenate([t[2][np.isfinite(t[2])] for t in thinned])
        lows = np.concatenate([t[1][np.isfinite(t[1])] for t in thinned])
        highs = np.concatenate([t[3][np.isfinite(t[3])] for t in thinned])
        self.log = False
        if figure.limits is not None:
            self.low, self.high = figure.limits
            self.ticks = _nice(self.low, self.high)
            return
        positive = bool(lows.min() > 0)
        usual = float(np.median(means))
        if positive and not figure.from_zero and (means.max() > _LOG * usual or means.min() * _LOG < usual):
            self.log = True
            self.low, self.high = math.log10(lows.min()), math.log10(highs.max())
            if self.high - self.low < 1e-9:
                self.high = self.low + 1
            first, last = math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9)
            stride = max(1, math.ceil((last - first + 1) / 6))
            self.ticks = [10.0**k for k in range(first, last + 1, stride)] or [10.0**self.low, 10.0**self.high]
            return
        # The band may stick out: one wild step shall not press all others flat.
        low, high = float(np.quantile(lows, 0.01)), float(np.quantile(highs, 0.99))
        low, high = min(low, float(means.min())), max(high, float(means.max()))
        if figure.line is not None:
            low, high = min(low, figure.line), max(high, figure.line)
        if low > 0 and (figure.from_zero or low < 0.6 * high):
            low = 0.0
        if high - low < 1e-9 * max(abs(high), 1e-12):
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        self.ticks = _nice(low, high)
        spacing = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else high - low
        self.low = low if low >= self.ticks[0] else self.ticks[0]
        self.high = high + 0.05 * spacing
        self.ticks = [t for t in self.ticks if self.low <= t <= self.high]

    def places(self, values: Values) -> Values:
        """Return the heights (pixels from above) of values, kept inside the frame."""
        if self.log:
            values = np.log10(np.maximum(values, 1e-300))
        share = np.clip((values - self.low) / (self.high - self.low), 0, 1)
        return _TOP + (1 - share) * (_HEIGHT - _TOP - _BOTTOM)

    def place(self, value: float) -> float:
        return float(self.places(np.array([value]))[0])


def _nice(low: float, high: float, most: int = 5) -> list[float]:
    """Return round numbers that span an interval."""
    raw = max((high - low) / most, 1e-300)
    power = 10.0 ** math.floor(math.log10(raw))
    stride = next(k * power for k in (1, 2, 2.5, 5, 10) if k * power >= raw * 0.999)
    first = math.floor(low / stride + 1e-9)
    last = math.ceil(high / stride - 1e-9)
    return [k * stride for k in range(first, last + 1)]


def _grid(axis: _Axis, figure: Figure, across: object, low: float, high: float) -> str:
    assert callable(across)
    parts = []
    for tick in axis.ticks:
        y = axis.place(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="end">{_short(tick, figure.percent)}</text>')
    for tick in _nice(low, high, 4):
        step = max(tick, low)
        if step > high or step != round(step) or (tick < low and tick > 0):
            continue
        place = "start" if step == low else "end" if across(step) > _WIDTH - 40 else "middle"
        parts.append(f'<text x="{across(step):.1f}" y="{_HEIGHT - 8}" class="{place}">{_short(step)}</text>')
    return "".join(parts)


def _runs(x: Values, *rows: Values) -> list[NDArray[np.int64]]:
    """Return the stretches without a gap, as indices."""
    good = np.flatnonzero(np.all([np.isfinite(row) for row in rows], axis=0) & np.isfinite(x))
    return [run for run in np.split(good, np.flatnonzero(np.diff(good) > 1) + 1) if len(run)]


def _points(x: Values, y: Values) -> str:
    return "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _path(x: Values, y: Values, colour: int) -> str:
    path = "".join("M" + _points(x[run], y[run]) for run in _runs(x, y))
    return f'<path class="line c{colour}" d="{path}"/>'


def _band(x: Values, high: Values, low: Values, colour: int) -> str:
    path = "".join(
        "M" + _points(x[run], low[run]) + "L" + _points(x[run][::-1], high[run][::-1]) + "Z"
        for run in _runs(x, high, low)
    )
    return f'<path class="band c{colour}" d="{path}"/>'


def _area(x: Values, y: Values, floor: float, colour: int) -> str:
    path = "".join(
        f"M{x[run[0]]:.1f} {floor:.1f}L{_points(x[run], y[run])}L{x[run[-1]]:.1f} {floor:.1f}Z" for run in _runs(x, y)
    )
    return f'<path class="band c{colour}" d="{path}"/>'


def _page(
    figure: Figure,
    curves: Sequence[Curve],
    thinned: Sequence[tuple[Values, Values, Values, Values]],
    inside: str,
    steps: Values,
) -> str:
    """Lay legend, drawing and note together; the numbers go along for the pointer and for who cannot see it."""
    legend, told, series = [], [], []
    span = float(steps[0]), float(max(steps[-1], steps[0] + 1))
    numbers = [latest(steps, curve.values) for curve in curves]
    shared = len({window for _, window in numbers}) == 1
    for curve, (middle, low, mean, high), (last, window) in zip(curves, thinned, numbers, strict=True):
        least, most = np.nanmin(low), np.nanmax(high)
        at_end = number(last, figure.percent)
        of = "" if shared else f" <small>{window}</small>"
        legend.append(f'<li><i class="c{curve.colour}"></i>{words(curve.name)} <b>{at_end}</b>{of}</li>')
        told.append(
            f"{curve.name}: {at_end} ({window}), lowest {number(float(least), figure.percent)}, "
            f"highest {number(float(most), figure.percent)}"
        )
        series.append(
            [
                curve.name,
                [float(f"{v:.5g}") for v in middle],
                [float(f"{v:.4g}") if math.isfinite(v) else None for v in mean],
            ]
        )
    if shared:
        legend.append(f"<li><small>{numbers[0][1]}</small></li>")
    if figure.line is not None:
        legend.append(f'<li><i class="bound"></i>{words(figure.line_name)}</li>')
    title = words(figure.title)
    about = words("; ".join(told))
    data = {"span": span, "left": _LEFT, "right": _WIDTH - _RIGHT, "wide": _WIDTH, "percent": figure.percent}
    curve_data = words(json.dumps({**data, "series": series}, separators=(",", ":")))
    return (
        f'<figure class="curve"><h3>{title}</h3><ul class="legend">{"".join(legend)}</ul>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title} by step. {about}" '
        f'data-curve="{curve_data}">{inside}'
        f'<path class="cursor" d="M0 {_TOP}V{_HEIGHT - _BOTTOM}" visibility="hidden"/></svg>'
        f'<output class="at" aria-hidden="true"></output><figcaption>{words(figure.note)}</figcaption></figure>'
    )
