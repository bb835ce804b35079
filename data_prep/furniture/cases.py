"""Cases of boards: doors, drawers and open compartments, their handles, and what a case stands on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from data_prep.furniture.parts import (
    Dice,
    Parts,
    Span,
    around,
    bar,
    both,
    box,
    four_legs,
    outline,
    plate,
    rising,
    tube,
    turned,
    twisted,
)

__all__ = [
    "Layout",
    "Look",
    "case",
    "drawers",
    "drawn_look",
    "footing",
    "in_columns",
    "in_rows",
    "leaf",
    "pull",
    "shelves",
    "top_board",
]

# What a case holds: rows (bottom to top) or columns (left to right), each a share and what is in it; or one thing:
# open, rail, clothes, basket, plain (shut without a front), drawer, flap, pair (of doors), left, right (a door, named
# after the side of its hinge), ajar left, ajar right.
Layout = str | tuple[str, list[tuple[float, "Layout"]]]


def in_rows(*shares: tuple[float, Layout]) -> Layout:
    """Rows, bottom to top, each a share of the height and what it holds."""
    return "rows", list(shares)


def in_columns(*shares: tuple[float, Layout]) -> Layout:
    """Columns, left to right, each a share of the width and what it holds."""
    return "columns", list(shares)


def drawers(num_rows: int, num_columns: int = 1, growth: float = 1.0) -> Layout:
    """Drawers in rows and columns, each row higher than the one above it by a factor."""
    row: Layout = in_columns(*[(1.0, "drawer")] * num_columns) if num_columns > 1 else "drawer"
    return in_rows(*[(growth ** (num_rows - i), row) for i in range(num_rows)])


def shelves(num_rows: int) -> Layout:
    """Open rows of one height."""
    return in_rows(*[(1.0, "open")] * num_rows) if num_rows > 1 else "open"


@dataclass(frozen=True)
class Look:
    """What the fronts of one piece share; lengths in metres, measured in sixtieths of its longest side."""

    unit: float
    gap: float
    proud: float
    inset: float
    face: str
    handle: str


def drawn_look(dice: Dice, longest: float, *faces: str) -> Look:
    """Draw the style of the fronts of a piece."""
    unit = longest / 60
    inset = unit * dice.size(1.0, 1.7) if dice.chance(0.25) else 0.0
    return Look(
        unit=unit,
        gap=unit * dice.size(0.45, 0.85),
        proud=unit * dice.size(1.0, 1.5),
        inset=inset,
        face=dice.pick(*faces),
        handle=dice.pick("knob", "knob", "bar", "bar", "loop", "cup", "strip", "none"),
    )


def pull(look: Look, xs: Span, y: float, zs: Span, opens: str, sunk: float = 0.0) -> Parts:
    """The handle of one front whose face is at y, or deeper where it is fixed."""
    unit, x, z, wide = look.unit, sum(xs) / 2, sum(zs) / 2, xs[1] - xs[0]
    grip, reach = 1.15 * unit, (y - 1.5 * unit, y + 0.3 * unit + sunk)
    upright = opens in ("left", "right")
    if upright:  # named after the side of the hinge
        x = xs[1] - 2 * unit if opens == "left" else xs[0] + 2 * unit
    elif opens == "flap":
        z = zs[1] - 2 * unit
    if look.handle == "none":
        return []
    if look.handle == "strip":
        if upright:
            return [box(around(x, grip), reach, (zs[0] + unit, zs[1] - unit))]
        return [box((xs[0] + unit, xs[1] - unit), reach, (zs[1] - 1.5 * unit, zs[1] - 0.4 * unit))]
    if look.handle == "knob":
        places = (x - wide / 4, x + wide / 4) if wide > 24 * unit and not upright else (x,)
        return [bar((at, reach[1], z), (at, reach[0], z), 1.5 * unit, sides=10) for at in places]
    long = 0.3 * (zs[1] - zs[0]) if upright else (0.22 if look.handle == "cup" else 0.42) * wide
    long = max(min(long, 16 * unit), 2.5 * unit)
    if look.handle == "loop":
        out = y - 2.1 * unit
        at = [(x, z - long / 2), (x, z + long / 2)] if upright else [(x - long / 2, z), (x + long / 2, z)]
        path = [(*at[0], y + 0.2 * unit + sunk), (*at[0], out), (*at[1], out), (*at[1], y + 0.2 * unit + sunk)]
        return [tube([(px, py, pz) for px, pz, py in path], 0.75 * unit, sides=8)]
    if upright:
        return [box(around(x, grip), reach, around(z, long))]
    return [box(around(x, long), reach, around(z, 1.6 * grip if look.handle == "cup" else grip))]


def leaf(look: Look, xs: Span, y: float, zs: Span, opens: str) -> Parts:
    """One drawer, door or flap before a case at y: a slab, a frame, a raised field or slats in a frame."""
    xs, zs = (xs[0] + look.gap, xs[1] - look.gap), (zs[0] + look.gap, zs[1] - look.gap)
    unit, out, rear = look.unit, y - look.proud, y + 0.5 * look.unit
    least = min(xs[1] - xs[0], zs[1] - zs[0])
    if look.face == "slab" or least < 7 * unit:
        return [box(xs, (out, rear), zs), *pull(look, xs, out, zs, opens)]
    edge = min(0.16 * least, 3.2 * unit) + 0.4 * unit
    inner_x, inner_z = (xs[0] + edge, xs[1] - edge), (zs[0] + edge, zs[1] - edge)
    if look.face == "raised":
        return [
            box(xs, (y - 0.4 * look.proud, rear), zs),
            box(inner_x, (out - 0.4 * unit, rear), inner_z),
            *pull(look, xs, out - 0.4 * unit, zs, opens),
        ]
    parts = [box(xs, (y - 0.1 * unit, rear), zs)]
    parts += [box(span, (out, rear), zs) for span in ((xs[0], inner_x[0]), (inner_x[1], xs[1]))]
    parts += [box(xs, (out, rear), span) for span in ((zs[0], inner_z[0]), (inner_z[1], zs[1]))]
    tall = zs[1] - zs[0]
    if look.face == "slats" and opens != "drawer":
        places = np.linspace(*inner_z, max(3, round(tall / (3 * unit))) + 1)
        parts += [box(inner_x, (out, rear), around(z, 0.45 * (places[1] - places[0]))) for z in places[1:-1]]
    elif look.face == "cross" and opens != "drawer":
        middle = (out + rear) / 2
        ends = [(inner_x[0], middle, inner_z[0]), (inner_x[1], middle, inner_z[1])]
        across = [(inner_x[1], middle, inner_z[0]), (inner_x[0], middle, inner_z[1])]
        parts += [bar(a, b, 1.6 * unit, rear - out) for a, b in (ends, across)]
    elif tall > 28 * unit and look.face == "frame":
        parts.append(box(xs, (out, rear), around(zs[0] + 0.45 * tall, edge)))
    return parts + pull(look, xs, out, zs, opens, look.proud if opens == "drawer" else 0.0)


def _ajar(look: Look, xs: Span, y: float, zs: Span, opens: str, degrees: float) -> Parts:
    """A door that stands open."""
    door = leaf(replace(look, proud=max(look.proud, 1.2 * look.unit)), xs, y, zs, opens)
    if opens == "left":
        return twisted(door, -degrees, about=(xs[0] + look.gap, y, 0))
    return twisted(door, degrees, about=(xs[1] - look.gap, y, 0))


def _content(look: Look, xs: Span, ys: Span, zs: Span, board: float, content: Layout) -> Parts:
    """Fill a cell between the middles of the boards about it."""
    if isinstance(content, tuple):
        spans = xs if content[0] == "columns" else zs
        shares = np.array([share for share, _ in content[1]])
        edges = spans[0] + (spans[1] - spans[0]) * np.concatenate([[0], np.cumsum(shares) / shares.sum()])
        parts: Parts = []
        for (low, high), (_, inner) in zip(itertools.pairwise(edges), content[1], strict=True):
            cell = ((low, high), zs) if content[0] == "columns" else (xs, (low, high))
            parts += _content(look, cell[0], ys, cell[1], board, inner)
        for at in edges[1:-1]:
            wall = (around(at, board), zs) if content[0] == "columns" else (xs, around(at, board))
            parts.append(box(wall[0], ys, wall[1]))
        return parts
    half = board / 2
    hole_x, hole_z = (xs[0] + half, xs[1] - half), (zs[0] + half, zs[1] - half)
    middle, rear = sum(xs) / 2, ys[1] - 0.002
    if content == "open":
        return []
    if content == "rail":
        z = hole_z[1] - 3 * look.unit
        return [bar((hole_x[0] - 0.01, 0, z), (hole_x[1] + 0.01, 0, z), 1.2 * look.unit, sides=8)]
    if content == "clothes":
        z, deep = hole_z[1] - 3 * look.unit, 0.7 * (ys[1] - ys[0])
        parts = _content(look, xs, ys, zs, board, "rail")
        num = max(2, int((hole_x[1] - hole_x[0]) / (4.2 * look.unit)))
        lengths = 0.45 + 0.35 * np.abs(np.sin(7.3 * np.arange(1, num + 1) + 40 * hole_x[0]))
        for x, length in zip(np.linspace(*hole_x, num + 2)[1:-1], lengths, strict=True):
            low = z - length * (hole_z[1] - hole_z[0])
            points = np.array([(-deep / 2, low), (deep / 2, low), (deep / 3, z - 0.04), (-deep / 3, z - 0.04)])
            parts.append(plate(points, around(x, 1.8 * look.unit), axis=0))
            parts.append(box(around(x, 1.2 * look.unit), (-0.02, 0.02), (z - 0.06, z)))
        return parts
    if content == "basket":
        low, tall = hole_z[0] - 0.002, 0.7 * (hole_z[1] - hole_z[0])
        inside = (hole_x[0] + look.gap, hole_x[1] - look.gap)
        deep = (ys[0] + 0.7 * look.unit, rear)
        inner = 1.2 * look.unit
        return [
            rising(
                [
                    (outline(inside, deep, 0.02), low),
                    (outline(inside, deep, 0.02), low + tall),
                    (
                        outline((inside[0] + inner, inside[1] - inner), (deep[0] + inner, rear - inner), 0.02),
                        low + tall,
                    ),
                    (
                        outline((inside[0] + inner, inside[1] - inner), (deep[0] + inner, rear - inner), 0.02),
                        low + inner,
                    ),
                ]
            )
        ]
    if content.startswith("ajar"):
        side = content.removeprefix("ajar ")  # how far it stands open follows from where it stands
        return _ajar(look, xs, ys[0], zs, side, 70 + 35 * abs(np.sin(90 * middle + 3)))
    y = ys[0] + look.inset
    parts = [box((hole_x[0] - 0.004, hole_x[1] + 0.004), (y, rear), (hole_z[0] - 0.004, hole_z[1] + 0.004))]
    fronts = (hole_x, hole_z) if look.inset else (xs, zs)
    inset = replace(look, proud=0.4 * look.unit, gap=0.9 * look.gap) if look.inset else look
    if content == "plain":
        return parts
    if content == "pair":
        (x0, x1), z = fronts
        return [
            *parts,
            *leaf(inset, (x0, middle + 0.3 * look.gap), y, z, "left"),
            *leaf(inset, (middle - 0.3 * look.gap, x1), y, z, "right"),
        ]
    return parts + leaf(inset, fronts[0], y, fronts[1], content)


def case(look: Look, xs: Span, ys: Span, zs: Span, board: float, layout: Layout, *, back: bool = True) -> Parts:
    """A case of boards and what it holds."""
    parts = [box(side, ys, zs) for side in ((xs[0], xs[0] + board), (xs[1] - board, xs[1]))]
    parts += [box(xs, ys, level) for level in ((zs[0], zs[0] + board), (zs[1] - board, zs[1]))]
    if back:
        parts.append(box(xs, (ys[1] - 0.6 * board, ys[1]), zs))
    inner = board / 2
    return parts + _content(look, (xs[0] + inner, xs[1] - inner), ys, (zs[0] + inner, zs[1] - inner), board, layout)


def footing(dice: Dice, half: float, half_y: float, lift: float, thickness: float, *kinds: str) -> Parts:
    """What a case stands on, up to a height; its front and rear lie at ∓half_y."""
    kind, top = dice.pick(*kinds), lift + 0.006
    x, y = half - thickness / 2, half_y - thickness / 2
    if kind == "plinth":
        return [box((-half + 0.02, half - 0.02), (-half_y + dice.pick(0.0, 0.03, 0.05), half_y), (0, top))]
    if kind == "legs":
        inset = dice.pick(0.0, 0.02, 0.05)
        return four_legs(dice, x - inset, y - inset, top, thickness)
    if kind == "bun":
        ball = [(0.5, 0.0), (0.8, 0.3), (0.8, 0.6), (0.5, 1.0)]
        feet = [
            turned([(thickness * r, top * z) for r, z in ball], x - 0.02, side * (y - 0.02), sides=12)
            for side in (-1, 1)
        ]
        return both(feet)
    if kind == "bracket":
        long, rise = 0.17 * (half + half_y), 0.6 * top
        profile = np.array([(0, 0), (0.6 * long, 0), (long, rise), (long, top), (0.5 * long, top), (0, top)])
        front = plate(profile - (half, 0), (-half_y, -half_y + thickness), axis=1)
        sides = [
            plate(np.column_stack([side * (profile[:, 0] - half_y), profile[:, 1]]), (-half, -half + thickness), axis=0)
            for side in (1, -1)
        ]
        rear = plate(profile - (half, 0), (half_y - thickness, half_y), axis=1)
        return both([front, rear, *sides])
    if kind == "sled":
        loop = [(x, -y, top), (x, -y, thickness / 2), (x, y, thickness / 2), (x, y, top)]
        return [*both(tube(loop, thickness / 2, sides=6)), box((-x, x), around(0, thickness), (lift - 0.01, top))]
    if kind == "slabs":
        return both(box((half - thickness, half), (-half_y, half_y), (0, top)))
    frame = [box((-x, x), around(side * y, 0.7 * thickness), (0.65 * lift, top)) for side in (-1, 1)]
    frame += both(box(around(x, 0.7 * thickness), (-y, y), (0.65 * lift, top)))
    return frame + four_legs(dice, x, y, top, thickness, plain=True)


def top_board(dice: Dice, half: float, ys: Span, z: float, unit: float) -> tuple[Parts, float]:
    """A top board that reaches over the case, and how high it ends."""
    over, thick = unit * dice.pick(0.0, 0.8, 1.6, 2.2), unit * dice.size(1.0, 2.0)
    return [box((-half - over, half + over), (ys[0] - over, ys[1]), (z - 0.004, z + thick))], z + thick
