"""Beds, single, double and bunk."""

from __future__ import annotations

import numpy as np

from data_prep.furniture.parts import (
    Dice,
    Parts,
    Span,
    around,
    bar,
    both,
    box,
    cushion,
    drawer_fronts,
    four_legs,
    lean,
    panel,
    rails,
)

__all__ = ["bed"]


def _bars(xs: Span, y: float, zs: Span, num_bars: int, width: float, depth: float) -> Parts:
    """Upright slats or spindles, evenly across x."""
    places = np.linspace(*xs, num_bars + 2)[1:-1]
    return [bar((x, y, zs[0]), (x, y, zs[1]), width, depth) for x in places]


def _headboard(dice: Dice, width: float, y: float, height: float, style: str) -> Parts:
    """A board at the head or the foot, standing on the floor about y."""
    half, thick = width / 2, dice.size(0.04, 0.08)
    if style == "solid":
        return [box((-half, half), around(y, thick), (0, height))]
    if style == "arch":
        rise = dice.size(0.08, 0.25) * height
        return [panel((-half, half), y - thick / 2, (0.0, lambda u: height - rise * u**2), thick, 17)]
    if style == "padded":
        return [
            cushion((-half, half), around(y, 0.14), (0.1, height), 0.06),
            box((-half, half), around(y, thick), (0, 0.3)),
        ]
    post = dice.size(0.05, 0.08)
    x = half - post / 2
    ends = [bar((x, y, 0), (x, y, height + dice.size(0, 0.08)), post, sides=dice.pick(4, 10))]
    rail = dice.size(0.05, 0.1)
    parts = [
        *both(ends),
        box((-x, x), around(y, 0.04), (height - rail, height)),
        box((-x, x), around(y, 0.04), (0.2, 0.34)),
    ]
    if style == "slats":
        num = dice.count(5, 11)
        return parts + _bars((-x, x), y, (0.3, height - rail / 2), num, dice.size(0.25, 0.5) * width / num, 0.03)
    rungs = np.linspace(0.34, height - rail, dice.count(1, 3) + 2)[1:-1]
    return parts + [box((-x, x), around(y, 0.03), around(z, 0.07)) for z in rungs]


def _mattress(dice: Dice, width: float, length: float, zs: Span, double: bool) -> Parts:
    """Mattress, pillows at +y and perhaps a duvet; y runs over the length about 0."""
    half, head = width / 2, length / 2
    parts = [cushion((-half, half), (-head, head), zs, 0.05)]
    if dice.chance(0.75):
        size, tall = dice.size(0.35, 0.48), dice.size(0.09, 0.15)
        xs = (0.04, half - 0.05) if double else (-min(half - 0.08, 0.35), min(half - 0.08, 0.35))
        pillow = cushion(xs, (head - size - 0.04, head - 0.04), (zs[1] - 0.03, zs[1] + tall), 0.06)
        parts += both(pillow) if double else [pillow]
    if dice.chance(0.5):
        start, drop = head - dice.size(0.55, 0.8), dice.size(0.08, 0.2)
        out = 0.02
        parts.append(cushion((-half - out, half + out), (-head - out, start), (zs[1] - drop, zs[1] + 0.045), 0.04))
    return parts


def bed(dice: Dice) -> Parts:
    """A bed: single or double, with many heads and feet; rarely bunk or four posts."""
    double = dice.chance(0.68)
    width, length = dice.size(1.35, 1.9) if double else dice.size(0.85, 1.2), dice.size(1.9, 2.1)
    if not double and dice.chance(0.2):
        return _bunk(dice, width, length)
    top = dice.size(0.42, 0.65)
    deck = top - dice.size(0.16, 0.28)
    head, half = length / 2, width / 2
    parts = _mattress(dice, width, length, (deck - 0.02, top), double)
    base = dice.pick("box", "box", "rails", "rails", "rails", "drawers")
    posts = dice.chance(0.09)
    if base == "rails":
        low = dice.size(0.12, max(0.13, min(0.25, deck - 0.1)))
        parts.append(box((-half - 0.03, half + 0.03), (-head - 0.03, head + 0.03), (low, deck)))
        if not posts:
            parts += four_legs(dice, half - 0.03, head - 0.03, low + 0.02, dice.size(0.06, 0.1), plain=True)
    else:
        parts.append(box((-half - 0.03, half + 0.03), (-head - 0.03, head + 0.03), (0.0, deck)))
        if base == "drawers":
            fronts = drawer_fronts(dice, (-head, head), -half - 0.03, (0.03, deck - 0.03), 1, 2)
            parts += both([(vertices[:, [1, 0, 2]], faces[:, ::-1]) for vertices, faces in fronts])
    outer = width + dice.pick(0.06, 0.06, 0.16)
    if posts:
        tall, post = dice.size(1.6, 2.1), dice.size(0.06, 0.09)
        x, y = half + 0.03, head + 0.03
        parts += both([bar((x, side, 0), (x, side, tall), post) for side in (-y, y)])
        if dice.chance(0.7):
            parts += rails(x, y, tall - 0.03, 0.05, 0.05)
        return parts + _headboard(dice, width + 0.06, y, top + dice.size(0.3, 0.6), dice.pick("solid", "slats"))
    style = dice.pick("solid", "solid", "arch", "padded", "slats", "rungs", "shelf", "none")
    if style == "shelf":
        tall, deep = top + dice.size(0.25, 0.5), dice.size(0.2, 0.3)
        across, along = around(0, outer), (head + 0.02, head + 0.02 + deep)
        parts += both(box((outer / 2 - 0.04, outer / 2), along, (0, tall)))
        parts += [box(across, along, (z - 0.04, z)) for z in (tall, (tall + top) / 2)]
        parts += [box(across, (along[1] - 0.03, along[1]), (0, tall)), box(across, along, (0, top - 0.06))]
    elif style != "none":
        board = _headboard(dice, outer, head + 0.04, top + dice.size(0.25, 0.75), style)
        parts += lean(board, top, dice.pick(0.0, 0.0, 0.15))
    if style != "none" and dice.chance(0.42):
        parts += _headboard(
            dice,
            outer,
            -head - 0.04,
            top + dice.size(-0.02, 0.25),
            style if style in ("slats", "arch", "rungs") else "solid",
        )
    return parts


def _bunk(dice: Dice, width: float, length: float) -> Parts:
    """Two beds above each other with a ladder on a long side; rarely the lower one is left out."""
    half, head, post = width / 2 + 0.04, length / 2 + 0.04, dice.size(0.06, 0.09)
    upper, tall = dice.size(1.3, 1.55), dice.size(1.7, 1.9)
    parts = both([bar((half, y, 0), (half, y, tall), post) for y in (-head, head)])
    for deck in (dice.size(0.25, 0.4), upper) if dice.chance(0.8) else (upper,):
        parts += _mattress(dice, width, length, (deck, deck + 0.15), double=False)
        parts.append(box((-half, half), (-head, head), (deck - 0.1, deck + 0.01)))
        for y in (-head, head):
            parts += [box((-half, half), around(y, 0.04), around(z, 0.08)) for z in (deck + 0.2, deck + 0.3)]
    parts += both(box(around(half, 0.04), (-head, head), (tall - 0.12, tall - 0.04)))
    x, y = half + 0.04, -head + 0.3
    parts += [bar((x + 0.05, side, 0), (x - 0.02, side, tall), 0.05) for side in (y - 0.2, y + 0.2)]
    return parts + [box(around(x + 0.02, 0.08), around(y, 0.42), around(z, 0.04)) for z in np.arange(0.3, upper, 0.28)]
