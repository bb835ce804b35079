"""An evaluation as one page: tables, plots and pictures in a single file without a script, which opens offline."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from voxgan.evaluation.result import Column, Evaluation, Plot, Row, Sheet, Suite, Table
from voxgan.preview import png_bytes
from voxgan.progress import duration

__all__ = ["page"]

_KINDS = {
    "model": "model",
    "oracle": "oracle: real shapes",
    "floor": "floor",
    "noise": "chance",
    "published": "published",
}
_BETTER = {"high": "higher is better", "low": "lower is better", "half": "50 is ideal"}
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 520, 240, 56, 12, 12, 40
_COLOURS = 6


def page(found: Evaluation) -> str:
    """Return the page as HTML."""
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    title = f"{found.model} on {found.data}"
    links = "".join(f'<a href="#{escape(s.name)}">{escape(s.name)}</a>' for s in found.suites)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; '
        "style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: evaluation</title><style>{style}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1><p class=soft>{escape(_told(found))}</p><nav>{links}</nav></header>"
        f"{''.join(map(_suite, found.suites))}"
        f"{_left_out(found)}<footer><p>Bold: better than every floor, and than chance.</p>"
        f"{_facts(found.facts)}</footer></main></body></html>\n"
    )


def _told(found: Evaluation) -> str:
    facts = found.facts
    text = f"{facts.get('kind')} at {facts.get('resolution')}³, width {facts.get('width')}: "
    text += ", ".join(facts.get("classes", ())) + f"; {facts.get('test_shapes', 0):,} test shapes"
    text += f", {facts.get('train_shapes', 0):,} training shapes; seed {facts.get('seed')}"
    return text + ("; quick: few shapes, rough figures" if facts.get("quick") else "")


def _left_out(found: Evaluation) -> str:
    lines = found.facts.get("left_out", {}).items()
    return "".join(f"<p class=soft>Left out: {escape(name)}, for {escape(why)}.</p>" for name, why in lines)


def _suite(suite: Suite) -> str:
    plots = "".join(map(_plot, suite.plots))
    sheets = "".join(map(_sheet, suite.sheets))
    return (
        f'<section id="{escape(suite.name)}"><h2>{escape(suite.title)}</h2>'
        f"{''.join(map(_table, suite.tables))}"
        + (f"<div class=plots>{plots}</div>" if plots else "")
        + (f"<div class=sheets>{sheets}</div>" if sheets else "")
        + f"<p class=soft>Took {escape(duration(suite.seconds))}.</p></section>"
    )


def _table(table: Table) -> str:
    head = "".join(
        f'<th scope="col" title="{escape(column.note or column.title)}">{escape(column.title)}'
        + (f"<small>{_BETTER[column.better]}</small>" if column.better else "")
        + "</th>"
        for column in table.columns
    )
    best = {column.name: _best(column, table.rows) for column in table.columns}
    lines = []
    for row in table.rows:
        cells = "".join(_cell(column, row, best[column.name]) for column in table.columns)
        lines.append(
            f'<tr class="{row.kind}"><th scope="row">{escape(row.name)}<small>{_KINDS[row.kind]}</small></th>'
            f"{cells}</tr>"
        )
    notes = "".join(f"<p>{escape(note)}</p>" for note in table.notes)
    return (
        f"<figure class=table><h3>{escape(table.title)}</h3><div class=scroll tabindex=0><table><thead><tr><td></td>"
        f"{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        f"<figcaption>{notes}</figcaption></figure>"
    )


def _cell(column: Column, row: Row, beaten: float | None) -> str:
    value = row.values.get(column.name)
    better = row.kind == "model" and value is not None and beaten is not None and _ahead(column, value, beaten)
    return f"<td{' class=best' if better else ''}>{escape(column.show(value))}</td>"


def _ahead(column: Column, value: float, other: float) -> bool:
    """Say whether a value, as it is shown, is better than another."""
    if column.show(value) == column.show(other):
        return False
    if column.better == "half":
        return abs(value - 0.5) < abs(other - 0.5)
    return value > other if column.better == "high" else value < other


def _best(column: Column, rows: Sequence[Row]) -> float | None:
    """Return the best of the figures of floors and chance, which a model has to beat."""
    values = [row.values.get(column.name) for row in rows if row.kind in ("floor", "noise")]
    there = [value for value in values if value is not None and math.isfinite(value)]
    if not there or not column.better:
        return None
    if column.better == "half":
        return min(there, key=lambda value: abs(value - 0.5))
    return max(there) if column.better == "high" else min(there)


def _sheet(sheet: Sheet) -> str:
    data = base64.b64encode(png_bytes(sheet.picture)).decode()
    title = escape(sheet.title)
    height, width = sheet.picture.shape[:2]
    return (
        f'<figure><img src="data:image/png;base64,{data}" width={width} height={height} alt="{title}">'
        f"<figcaption>{title}</figcaption></figure>"
    )


def _plot(plot: Plot) -> str:
    xs = [x for line in plot.lines.values() for x in line[0]]
    ys = [y for line in plot.lines.values() for y in line[1] if math.isfinite(y)]
    if not xs or not ys:
        return ""
    x_ticks, y_ticks = _ticks(min(xs), max(xs)), _ticks(min(ys), max(ys))
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    y_low, y_high = min(y_ticks[0], min(ys)), max(y_ticks[-1], max(ys), y_ticks[0] + 1e-9)

    def across(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return _HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for tick in y_ticks:
        y = down(tick)
        parts.append(f'<line class=grid x1={_LEFT} x2={_WIDTH - _RIGHT} y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class=end x={_LEFT - 6} y="{y + 4:.1f}">{tick:g}</text>')
    for tick in x_ticks:
        if x_low <= tick <= x_high:
            parts.append(f'<text class=middle x="{across(tick):.1f}" y={_HEIGHT - _BOTTOM + 16}>{tick:g}</text>')
    parts.append(f"<text class=middle x={(_LEFT + _WIDTH) / 2} y={_HEIGHT - 6}>{escape(plot.x_title)}</text>")
    legend = []
    for number, (name, (line_xs, line_ys)) in enumerate(plot.lines.items()):
        points = " ".join(
            f"{across(x):.1f},{down(y):.1f}" for x, y in zip(line_xs, line_ys, strict=True) if math.isfinite(y)
        )
        parts.append(f'<polyline class="c{number % _COLOURS}" points="{points}"/>')
        legend.append(f'<li><i class="c{number % _COLOURS}"></i>{escape(name)}</li>')
    return (
        f"<figure class=plot><h3>{escape(plot.title)}</h3><ul class=legend>{''.join(legend)}</ul>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role=img aria-label="{escape(plot.title)}: {escape(plot.y_title)} over '
        f'{escape(plot.x_title)}">{"".join(parts)}</svg></figure>'
    )


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers that span a range.

    Examples
    --------
    >>> _ticks(0.03, 0.41)
    [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    """
    span = max(high - low, 1e-9)
    raw = span / count
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _facts(facts: Any) -> str:
    shown = {key: value for key, value in facts.items() if key not in ("classes", "left_out")}
    return (
        "<dl>"
        + "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(str(v))}</dd></div>" for k, v in shown.items())
        + "</dl>"
    )
