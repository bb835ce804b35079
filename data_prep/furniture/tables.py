"""Desks and tables."""

from __future__ import annotations

import numpy as np

from data_prep.furniture.parts import (
    Dice,
    Parts,
    around,
    bar,
    both,
    box,
    drawer_fronts,
    flat_top,
    four_legs,
    rails,
    turned,
)

__all__ = ["desk", "table"]


def _trestle(x: float, half_y: float, top: float, thickness: float, style: str) -> Parts:
    """One support in the plane of x: an A, a T, a loop, an X, a slab."""
    if style == "slab":
        return [box(around(x, thickness), (-half_y, half_y), (0, top))]
    foot = box(around(x, thickness * 1.2), (-half_y, half_y), (0, thickness))
    head = box(around(x, thickness * 1.2), (-half_y, half_y), (top - thickness, top))
    if style == "T":
        return [foot, head, box(around(x, thickness), around(0, half_y * 0.5), (0, top))]
    if style == "loop":
        return [foot, head] + [
            box(around(x, thickness), around(y, thickness), (0, top))
            for y in (thickness / 2 - half_y, half_y - thickness / 2)
        ]
    reach = half_y if style == "X" else half_y * 0.25
    legs = [
        bar(
            (x, side * reach, top - 0.01),
            (x, -side * half_y if style == "X" else side * half_y, 0),
            thickness,
        )
        for side in (-1, 1)
    ]
    if style == "A":
        legs.append(box(around(x, thickness), around(0, half_y * 1.1), around(top * 0.4, thickness)))
    return [*legs, head]


def desk(dice: Dice) -> Parts:
    """A desk: pedestals with drawers, panels, legs or trestles; a hutch or an L at times."""
    width, depth, height = dice.size(1.0, 1.8), dice.size(0.5, 0.8), dice.size(0.71, 0.78)
    board, half = dice.size(0.025, 0.05), width / 2
    front, rear = -depth / 2, depth / 2
    under = height - board + 0.005
    shape = dice.pick("sharp", "sharp", "sharp", "rounded")
    top = flat_top(width, depth, (height - board, height), shape, dice.size(0.03, 0.1))
    parts = [top]
    inset = dice.size(0.0, 0.05)
    outer, y = half - inset, (front + inset, rear - inset)
    chest = dice.size(0.32, 0.45)
    layout = dice.pick("both", "both", "left", "right", "left", "right", "none")
    lift = dice.pick(0.0, 0.0, 0.06, 0.15)
    other = (
        dice.pick("slab", "slab", "legs", "loop") if layout != "none" else dice.pick("legs", "legs", "loop", "T", "A")
    )
    thick = dice.size(0.035, 0.06)
    for side in (-1, 1):
        if layout == "both" or layout == ("left" if side < 0 else "right"):
            xs = around(side * (outer - chest / 2), chest)
            low = lift if dice.chance(0.9) else height - dice.size(0.3, 0.4)
            parts.append(box(xs, y, (low, under)))
            parts += drawer_fronts(dice, xs, y[0], (low + 0.01, under - 0.01), dice.count(2, 4) if low <= lift else 2)
            if low:
                parts += [
                    box(around(x, 0.05), around(at, 0.05), (0, low + 0.01))
                    for x in (xs[0] + 0.03, xs[1] - 0.03)
                    for at in (y[0] + 0.03, y[1] - 0.03)
                ]
        elif other == "legs":
            x = side * (outer - thick / 2)
            parts += [bar((x, at, under), (x, at, 0), thick) for at in (y[0] + thick / 2, y[1] - thick / 2)]
        else:
            parts += _trestle(side * (outer - thick / 2), (y[1] - y[0]) / 2, under, thick, other)
    if layout == "none" or dice.chance(0.25):  # a shallow drawer between
        room = outer - (chest if layout == "both" else 0.06)
        xs = (-room, room) if layout in ("both", "none") else (-half + 0.06, half - 0.06)
        low = under - dice.size(0.09, 0.14)
        parts.append(box(xs, (y[0] + 0.02, y[1]), (low, under)))
        parts += drawer_fronts(dice, xs, y[0] + 0.02, (low, under), 1, dice.pick(1, 2, 3))
    if dice.chance(0.6):  # a modesty panel
        low = dice.pick(0.02, 0.25, 0.4) if layout != "none" else 0.35
        parts.append(box((-outer + 0.01, outer - 0.01), (y[1] - 0.03, y[1] - 0.005), (low, under)))
    if dice.chance(0.3):
        parts += _hutch(dice, width, rear, height)
    if width > 1.3 and dice.chance(0.22):  # an L
        reach, deep = dice.size(0.5, 0.9), dice.size(0.42, 0.55)
        xs, end = (half - deep, half), front - reach
        parts += [
            box(xs, (end, front + 0.05), (height - board, height)),
            box(xs, (end + 0.02, end + 0.06), (0, under)),
        ]
        if dice.chance(0.5):
            parts.append(box((half - 0.04, half - 0.01), (end + 0.02, front + 0.05), (0.2, under)))
        if dice.chance(0.5):
            parts = [(vertices * (-1, 1, 1), faces[:, ::-1]) for vertices, faces in parts]
    return parts


def _hutch(dice: Dice, width: float, rear: float, height: float) -> Parts:
    """Shelves upon the back of a desk."""
    half, deep, tall, board = width / 2, dice.size(0.2, 0.3), dice.size(0.2, 0.75), dice.size(0.025, 0.04)
    y, top = (rear - deep, rear), height + tall
    parts = both(box((half - board, half), y, (height - 0.01, top)))
    levels = [top] if tall < 0.35 else [top, height + tall * dice.size(0.45, 0.6)]
    parts += [box((-half, half), y, (z - board, z)) for z in levels]
    parts += [
        box(around(x, board), y, (height - 0.01, top)) for x in np.linspace(-half, half, dice.count(1, 3) + 1)[1:-1]
    ]
    if dice.chance(0.6):
        parts.append(box((-half, half), (rear - 0.02, rear), (height - 0.01, top)))
    return parts


def table(dice: Dice) -> Parts:
    """A table: dining, round, coffee, console or side, upon one of many bases."""
    kind = dice.pick(*["dining"] * 3, *["round"] * 2, *["coffee"] * 4, "console", "side")
    low, high = {"coffee": (0.35, 0.5), "side": (0.45, 0.62), "console": (0.74, 0.9)}.get(kind, (0.7, 0.78))
    height = dice.size(low, high)
    depth = {
        "coffee": dice.size(0.5, 0.75),
        "side": dice.size(0.38, 0.6),
        "console": dice.size(0.3, 0.45),
    }.get(kind, dice.size(0.75, 1.1))
    width = (
        depth * dice.size(1.0, 1.05)
        if kind in ("round", "side")
        else max(depth, dice.size(0.9, 2.2 if kind == "dining" else 1.4))
    )
    style = "oval" if kind == "round" else dice.pick("sharp", "sharp", "sharp", "rounded", "rounded", "oval")
    board = dice.size(0.025, 0.07)
    under, thick = height - board + 0.005, dice.size(0.045, 0.1) * min(1.0, height / 0.6, depth / 0.6)
    roundness = dice.size(0.05, 0.5)
    parts = [flat_top(width, depth, (height - board, height), style, roundness)]
    inset = dice.pick(*(0.0, 0.0, 0.02, 0.06) if kind == "coffee" else (0.0, 0.02, 0.06, 0.12)) * depth + thick / 2
    if style == "rounded":
        inset += 0.3 * roundness * depth
    x, y = width / 2 - inset, depth / 2 - inset
    if style == "oval":
        x, y, thick = width * 0.3, depth * 0.3, 0.8 * thick
    bases = (
        ["legs"] * (9 if kind == "coffee" else 5) + ["A", "T", "loop", "slab", "X"]
        if style != "oval"
        else ["legs"] * 3 + ["pedestal"] * 3 + ["crossfoot", "loop"]
    )
    base = dice.pick(*bases, "pedestal") if kind != "console" else dice.pick("legs", "legs", "loop", "slab")
    if base in ("pedestal", "crossfoot"):
        places = (0.0,) if width < 1.6 * depth else (-width / 4, width / 4)
        neck, foot = dice.size(0.035, 0.08), min(depth, width / len(places)) * dice.size(0.24, 0.36)
        for at in places:
            if base == "pedestal" and dice.chance(0.4):  # tulip
                column = [
                    (foot, 0),
                    (foot, 0.015),
                    (foot * 0.5, 0.05),
                    (neck, under * 0.35),
                    (neck, under * 0.6),
                    (foot * 0.6, under),
                ]
            elif base == "pedestal":
                column = [(foot, 0), (foot, 0.04), (neck, 0.045), (neck, under - 0.04), (neck * 2, under)]
            else:
                column = [(neck, 0.02), (neck * 1.4, 0.2), (neck, 0.35), (neck, under)]
                parts += [
                    bar((at, 0, 0.16), (at + dx * foot * 1.2, dy * foot * 1.2, 0.0), 0.07, 0.07, taper=0.7)
                    for dx, dy in ((1, 0.01), (-1, 0.01), (0.01, 1), (0.01, -1))
                ]
            parts.append(turned(column, x=at, sides=20))
        return parts
    if base == "legs":
        shelf = dice.chance({"coffee": 0.6, "side": 0.5, "console": 0.5}.get(kind, 0.12))
        braced = not shelf and dice.chance(0.15)
        parts += four_legs(dice, x, y, under, thick, plain=shelf or braced)
        apron = dice.chance(0.55)
        if apron or style == "oval":
            parts += rails(x, y, under - 0.04, 0.08 if apron else 0.04, 0.03)
        if shelf:
            z = height * dice.size(0.2, 0.4)
            parts.append(box((-x - thick / 2, x + thick / 2), (-y - thick / 2, y + thick / 2), (z, z + 0.03)))
        elif braced:
            z = height * dice.size(0.15, 0.3)
            parts += [*both(bar((x, -y, z), (x, y, z), 0.04)), bar((-x, 0, z), (x, 0, z), 0.04)]
        return parts
    reach = depth / 2 * (dice.size(0.8, 0.95) if style != "oval" else 0.6)
    if style == "rounded":
        reach -= 0.25 * roundness * depth
    x = x if base in ("slab", "loop") else x * dice.size(0.7, 0.9)
    for side in (-x, x):
        parts += _trestle(side, reach, under, thick, base)
    if base in ("A", "T", "X") or dice.chance(0.3):
        z = {"A": 0.4, "X": 0.5}.get(base, dice.size(0.25, 0.6)) * under
        if base == "loop":  # only its head and foot have something to hold on to
            z = under - 0.8 * thick
        parts.append(box((-x, x), around(0, thick * 0.8), around(z, thick)))
    return parts
