"""Bathtubs and toilets."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from data_prep.furniture.parts import (
    Dice,
    Part,
    Parts,
    around,
    bar,
    both,
    box,
    cushion,
    hoop,
    loft,
    outline,
    plate,
    rising,
    squircle,
    tube,
    turned,
)

__all__ = ["bathtub", "toilet"]

Floats = NDArray[np.float64]


def _ledge(outer: Floats, inner: Floats, height: float, thick: float) -> Part:
    """A ring that lies on the edge of a tub and hangs over it, between two outlines (P, 2)."""
    levels = ((outer, height - thick), (outer, height + 0.006), (inner, height + 0.006), (inner, height - thick))
    return hoop([np.column_stack([outline, np.full(len(outline), z)]) for outline, z in levels])


def _scaled(points: Floats, x: float, y: float) -> Floats:
    """An outline whose ends move in by x and y metres."""
    half = np.abs(points).max(axis=0)
    return points * (half - (x, y)) / half


# --- bathtubs


def bathtub(dice: Dice) -> Parts:
    """A bathtub: free-standing, on claws or a plinth, a slipper, built in, in a corner, round; hollow."""
    makers = [_free_tub] * 5 + [_claw_tub] * 4 + [_built_in_tub] * 5 + [_corner_tub] * 2 + [_round_tub]
    parts = dice.pick(*makers)(dice)
    if dice.chance(0.5):
        parts = [(vertices * (-1, 1, 1), faces[:, ::-1]) for vertices, faces in parts]
    return parts


def _tub(
    plan: Floats, foot: float, rim: Floats, floor: float, wall: float, flare: tuple[float, float], bulge: float
) -> Part:
    """A hollow tub whose plan narrows downwards by ``flare``; its rim has one height a point.

    ``bulge`` bends its walls outwards; the floor lies inside at ``floor``, the body begins at ``foot``.
    """

    def narrow(t: float) -> float:
        return 1 - t ** (1 + bulge) if bulge >= 0 else (1 - t) ** (1 - bulge)

    outer = [
        (_scaled(plan, flare[0] * narrow(t), flare[1] * narrow(t)), foot + (rim - foot) * t)
        for t in np.linspace(0, 1, 7)
    ]
    inner = []
    for t in np.linspace(1, 0, 7):
        z = floor + (rim - floor) * t
        inset = narrow(float(np.mean((z - foot) / (rim - foot))))
        thick = wall + 0.05 * (1 - t) ** 2
        inner.append((_scaled(plan, thick + flare[0] * inset, thick + flare[1] * inset), z))
    return rising(outer + inner)


def _rim(plan: Floats, rim: Floats, wall: float, lip: float, thick: float) -> Part:
    """A rolled edge upon the rim of a tub."""
    places = [(lip, 0.0), (lip, 0.6), (0.5 * lip, 1.0), (-0.5 * wall, 1.0), (-1.15 * wall, 0.5), (-1.15 * wall, 0.0)]
    return hoop([np.column_stack([_scaled(plan, -out, -out), rim + thick * (up - 0.6)]) for out, up in places])


def _tap(dice: Dice, x: float, y: float, z: float, towards: tuple[float, float], style: str) -> Parts:
    """Taps: a tube from the floor, or short from a rim at height z, whose spout points ``towards``."""
    radius, reach = dice.size(0.024, 0.029), dice.size(0.14, 0.2)
    dx, dy = towards
    low, high = (0.0, z + dice.size(0.15, 0.35)) if style == "floor" else (z - 0.03, z + dice.size(0.1, 0.2))
    end = (x + reach * dx, y + reach * dy)
    path = [(x, y, low), (x, y, high - 0.04), (x + 0.04 * dx, y + 0.04 * dy, high), (*end, high), (*end, high - 0.06)]
    parts = [tube(path, radius)]
    if style == "floor":
        parts += [
            turned([(0.06, 0), (0.06, 0.02)], x, y),
            box(around(x, 0.05), around(y, 0.16), around(high - 0.12, 0.045)),
        ]
        if abs(dy) > 0.5:
            parts[-1] = box(around(x, 0.16), around(y, 0.05), around(high - 0.12, 0.045))
        return parts
    across = (-dy, dx)
    for side in (-1, 1):
        at = (x + side * 0.09 * across[0], y + side * 0.09 * across[1])
        parts.append(
            turned([(0.028, z - 0.03), (0.028, z + 0.05), (0.045, z + 0.05), (0.045, z + 0.075)], *at, sides=10)
        )
    return parts


def _free_tub(dice: Dice) -> Parts:
    """A shell that stands on the floor by itself: oval to nearly rectangular, level or with raised ends."""
    length, width, height = dice.size(1.45, 1.85), dice.size(0.7, 0.88), dice.size(0.52, 0.64)
    power = dice.pick(2.0, 2.2, 2.6, 3.5, 6.0)
    plan = squircle(around(0, length), around(0, width), power, num_points=48)
    x = plan[:, 0] / (length / 2)
    ends = dice.pick("level", "level", "slipper", "double", "dip")
    rise = dice.size(0.1, 0.26)
    rim = (
        height
        + {
            "level": 0 * x,
            "slipper": rise * np.clip(0.3 + 0.7 * x, 0, 1) ** 1.5,
            "double": rise * np.abs(x) ** 2.2,
            "dip": -0.5 * rise * (1 - x**2),
        }[ends]
    )
    wall, floor = dice.size(0.045, 0.065), dice.size(0.1, 0.15)
    flare = (dice.size(0.04, 0.28), dice.size(0.03, 0.13))
    plinth = dice.chance(0.25)
    foot = dice.size(0.06, 0.1) if plinth else 0.0
    parts = [_tub(plan, foot, rim, foot + floor, wall, flare, dice.pick(-0.5, 0.0, 0.4, 1.0))]
    if plinth:
        base = _scaled(plan, flare[0] + 0.02, flare[1] + 0.02)
        wider = _scaled(plan, max(0.0, flare[0] - 0.04), max(0.0, flare[1] - 0.03))
        parts.append(rising([(wider, 0.0), (wider, 0.03), (base, foot + 0.02)]))
    if dice.chance(0.45):
        parts.append(_rim(plan, rim, wall, dice.size(0.015, 0.045), dice.size(0.03, 0.05)))
    tap = dice.pick("floor", "none", "none")
    if tap == "floor" and dice.chance(0.5):
        parts += _tap(dice, 0.1, width / 2 + 0.07, float(rim.min()), (0.0, -1.0), tap)
        parts.append(box(around(0.1, 0.12), (width / 2 - 0.9 * flare[1] - 0.08, width / 2 + 0.1), (0.0, 0.022)))
    elif tap == "floor":
        low = float(rim[np.argmin(plan[:, 0])])
        parts += _tap(dice, -length / 2 - 0.07, 0.0, low, (1.0, 0.0), tap)
        parts.append(box((-length / 2 - 0.1, -length / 2 + flare[0] + 0.12), around(0, 0.12), (0.0, 0.022)))
    return parts


def _claw_tub(dice: Dice) -> Parts:
    """A tub with a rolled rim upon four feet; one end straight for the taps, or both round, or one raised."""
    length, width, depth = dice.size(1.4, 1.8), dice.size(0.7, 0.82), dice.size(0.38, 0.5)
    foot, wall = dice.size(0.12, 0.2), dice.size(0.045, 0.06)
    plan = squircle(around(0, length), around(0, width), dice.pick(2.2, 2.6), num_points=48)
    style = dice.pick("round", "flat", "slipper", "slipper", "double")
    x = plan[:, 0] / (length / 2)
    if style == "flat":  # a straight end at −x
        square = squircle(around(0, length), around(0, width), 6, num_points=48)
        plan = np.where(plan[:, :1] < 0, square, plan)
    rise = dice.size(0.12, 0.3)
    raised = {"slipper": np.clip(0.35 + 0.65 * x, 0, 1) ** 1.6, "double": np.abs(x) ** 2.2}.get(style, 0 * x)
    rim = foot + depth + rise * raised
    flare = (dice.size(0.12, 0.24), dice.size(0.06, 0.11))
    parts = [
        _tub(plan, foot, rim, foot + 0.06, wall, flare, dice.pick(0.4, 0.8)),
        _rim(plan, rim, wall, dice.size(0.025, 0.05), dice.size(0.04, 0.06)),
    ]
    at_x, at_y = 0.62 * (length / 2 - flare[0]), 0.72 * (width / 2 - flare[1])
    kind, thick, out = dice.pick("claw", "claw", "ball", "block"), dice.size(0.07, 0.1), dice.size(0.03, 0.08)
    for dx in (-at_x, at_x):
        for dy in (-at_y, at_y):
            sx, sy = np.sign(dx), np.sign(dy)
            if kind == "block":
                parts.append(bar((dx, dy, foot + 0.05), (dx, dy, 0), thick, taper=0.8))
                continue
            knee = (dx + sx * out, dy + sy * out)
            parts.append(bar((dx - sx * 0.03, dy - sy * 0.03, foot + 0.07), (*knee, 0.03), thick, taper=0.6, sides=8))
            ball = [(0.3, 0.0), (0.6, 0.2), (0.6, 0.5), (0.3, 0.8)]
            parts.append(turned([(thick * r, thick * z) for r, z in ball], *knee, sides=10))
    if dice.chance(0.35):
        low = float(rim[np.argmin(plan[:, 0])])
        parts += _tap(dice, -length / 2 + 0.01, 0.0, low, (1.0, 0.0), "rim")
    return parts


def _built_in_tub(dice: Dice) -> Parts:
    """A rectangular block with a hollow; panels on its front, a tap, a step, a pane or a head rest at times."""
    length, width, height = dice.size(1.4, 1.9), dice.size(0.68, 0.95), dice.size(0.45, 0.62)
    edge, floor = dice.size(0.05, 0.1), dice.size(0.1, 0.16)
    xs, ys = around(0, length), around(0, width)
    corner = dice.pick(0.02, 0.02, 0.06, 0.12)
    shift = dice.pick(0.0, 0.0, 0.06, 0.1)  # a wider ledge at one end
    power = dice.pick(2.6, 4.0, 6.0, 10.0)
    hole_x, hole_y = (xs[0] + edge + shift, xs[1] - edge), (ys[0] + edge, ys[1] - edge)
    lean = dice.size(0.04, 0.3)
    inner = [
        (squircle((hole_x[0] + 0.05 * s, hole_x[1] - lean * s), (hole_y[0] + 0.09 * s, hole_y[1] - 0.09 * s), power), z)
        for s, z in ((0.0, height), (0.25, height * 0.6 + floor * 0.4), (0.6, floor + 0.05), (1.0, floor))
    ]
    block = outline(xs, ys, corner, per_corner=8)
    block = np.roll(block, -4, axis=0)
    parts = [rising([(block, 0.0), (block, height), *inner])]
    front, out = ys[0], dice.size(0.025, 0.04)
    panels = dice.pick("none", "lip", "lip", "fields", "boards", "recess")
    if panels in ("lip", "recess", "fields"):
        lip = _scaled(block, -out, -out)
        bore = _scaled(block, 0.7 * edge, 0.7 * edge)
        thick = dice.size(0.04, 0.07)
        parts.append(_ledge(lip, bore, height, thick))
    if panels == "recess":
        parts.append(box((xs[0] - 0.01, xs[1] + 0.01), (front - out, ys[1]), (0, 0.06)))
    if panels == "fields":
        num = dice.pick(1, 2, 3, 4)
        places = np.linspace(xs[0] + 0.03, xs[1] - 0.03, num + 1)
        for x0, x1 in itertools.pairwise(places):
            parts.append(box((x0 + 0.035, x1 - 0.035), (front - out, front + 0.01), (0.09, height - 0.12)))
    elif panels == "boards":
        for x in np.linspace(xs[0] + 0.03, xs[1] - 0.03, dice.count(10, 16)):
            parts.append(box(around(x, 0.05), (front - out, front + 0.01), (0, height - 0.03)))
        parts.append(box((xs[0], xs[1]), (front - out - 0.015, front + 0.01), (height - 0.06, height)))
    extra = dice.pick("none", "none", "none", "tap", "tap", "tap", "screen", "step", "rest")
    if extra in ("tap", "step", "rest"):
        parts += _tap(dice, xs[0] + 0.5 * (edge + shift) + 0.01, 0.0, height, (1.0, 0.0), "rim")
    if extra == "screen":  # a pane along its back
        long, tall = length * dice.size(0.4, 1.0), height + dice.size(0.45, 0.9)
        parts.append(box((xs[0] + 0.01, xs[0] + long - 0.01), (ys[1] - 0.05, ys[1] - 0.01), (height - 0.02, tall)))
    elif extra == "step":
        wide = length * dice.size(0.3, 0.6)
        parts.append(box(around(0, wide), (front - 0.28, front + 0.02), (0, height * dice.size(0.35, 0.5))))
    elif extra == "rest":
        parts.append(cushion((hole_x[1] - 0.1, xs[1] - 0.01), around(0, 0.3), (height - 0.06, height + 0.06), 0.03))
    return parts


def _corner_tub(dice: Dice) -> Parts:
    """A tub for a corner: a quarter of a disc or a cut square, its hollow an oval across it."""
    side, height, floor = dice.size(1.2, 1.5), dice.size(0.48, 0.6), dice.size(0.12, 0.18)
    style = dice.pick("quarter", "quarter", "cut", "long")
    if style == "cut":
        cut = side * dice.size(0.35, 0.55)
        plan = np.array(
            [(0, 0), (side, 0), (side, side - cut), (side - cut, side), (0.5 * (side - cut), side), (0, side)]
        )
    else:
        turn = np.linspace(0, np.pi / 2, 13)
        straight = side * dice.size(0.0, 0.3)
        radius = side - straight
        arc = np.column_stack([straight + radius * np.cos(turn), straight + radius * np.sin(turn)])
        plan = np.concatenate([[(0, 0), (side, 0)], arc[1:-1], [(0, side)]])
    # walls at +y and, by the turn, along both diagonals: the corner points to the back
    angle = np.radians(-135)
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if style == "long":
        plan = plan * (1.0, dice.size(0.6, 0.75))
    plan = plan @ spin.T if style != "long" else -plan
    middle = plan.mean(axis=0) if style == "cut" else (plan.min(axis=0) + plan.max(axis=0)) / 2
    plan = np.array(plan) - middle
    if len(plan) % 2:
        plan = np.concatenate([plan, (plan[-1:] + plan[:1]) / 2])
    edge = dice.size(0.07, 0.11)
    wanted = _inset(plan, edge)
    ring = _resampled(plan, 64)
    hole = _inset(ring, edge) if wanted is not None else ring * 0.8
    soft = _smoothed(hole, dice.pick(2, 5, 8))
    centre = soft.mean(axis=0)
    inner = [
        (centre + (soft - centre) * s, z)
        for s, z in ((1.0, height), (0.93, height * 0.6 + 0.4 * floor), (0.84, floor + 0.06), (0.66, floor))
    ]
    parts = [rising([(ring, 0.0), (ring, height), *inner])]
    if dice.chance(0.6):
        out, thick = dice.size(0.02, 0.04), dice.size(0.04, 0.07)
        lip, bore = ring * (1 + out / 0.6), _inset(ring, 0.6 * edge)
        parts.append(_ledge(lip, bore, height, thick))
    if dice.chance(0.5):
        seat = centre + (soft[np.argmax(soft[:, 1])] - centre) * 1.0
        parts += _tap(dice, float(seat[0]), float(seat[1]) + 0.35 * edge, height, (0.0, -1.0), "rim")
    return parts


def _resampled(points: Floats, num_points: int) -> Floats:
    """As many points, evenly along a closed outline."""
    closed = np.concatenate([points, points[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.linspace(0, along[-1], num_points, endpoint=False)
    return np.column_stack([np.interp(at, along, closed[:, i]) for i in (0, 1)])


def _inset(points: Floats, edge: float) -> Floats:
    """A convex outline drawn in towards its middle, so that its sides move by about an edge."""
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    way = points - middle
    return np.asarray(middle + way * (1 - edge / np.linalg.norm(way, axis=1, keepdims=True) * 1.15))


def _smoothed(points: Floats, times: int) -> Floats:
    """A closed outline with rounder corners."""
    for _ in range(times):
        points = 0.5 * points + 0.25 * (np.roll(points, 1, axis=0) + np.roll(points, -1, axis=0))
    return points


def _round_tub(dice: Dice) -> Parts:
    """A round tub: a bowl, or staves with hoops and a step."""
    radius, height, wall = dice.size(0.55, 0.85), dice.size(0.5, 0.8), dice.size(0.04, 0.06)
    staves = dice.chance(0.5)
    foot = radius * (0.97 if staves else dice.size(0.6, 0.85))
    profile = [(foot, 0), ((foot + radius) / 2 + (0 if staves else 0.04), height / 2), (radius, height)]
    profile += [(radius - wall, height), ((foot + radius) / 2 - wall, height / 2), (foot - 1.3 * wall, 0.12)]
    parts = [turned(profile, sides=40)]
    if staves:
        for z in (0.2 * height, 0.75 * height):
            r = foot + (radius - foot) * z / height
            circle = [(r - 0.01, z - 0.03), (r + 0.025, z - 0.03), (r + 0.025, z + 0.03), (r - 0.01, z + 0.03)]
            angle = 2 * np.pi * (np.arange(40) + 0.5) / 40
            parts.append(
                hoop([np.column_stack([a * np.cos(angle), a * np.sin(angle), np.full(40, h)]) for a, h in circle])
            )
        parts.append(box((-0.3, 0.3), (-radius - 0.26, -radius + 0.06), (0, 0.2)))
        if height > 0.6:
            parts.append(box((-0.3, 0.3), (-radius - 0.04, -radius + 0.06), (0, 0.4)))
        parts.append(
            plate(
                np.array([(-0.8, 0.55), (0.8, 0.55), (0.55, 0.8), (-0.55, 0.8)]) * radius,
                (0.4 * height - 0.02, 0.4 * height + 0.02),
            )
        )
    else:
        plan = squircle(around(0, 2 * radius), around(0, 2 * radius), 2.0, num_points=48)
        parts.append(_rim(plan, np.full(48, height), wall, dice.size(0.02, 0.05), 0.045))
        if dice.chance(0.5):
            parts += _tap(dice, 0.0, radius + 0.02, height, (0.0, -1.0), "rim")
    return parts


# --- toilets


def toilet(dice: Dice) -> Parts:
    """A toilet: a bowl, round, long or square, on a foot or skirted; its cistern close, high, low or in the wall."""
    kind = dice.pick(*["close"] * 9, *["one"] * 4, *["wall"] * 3, "module", "high", "low")
    width, length, seat = dice.size(0.34, 0.41), dice.size(0.44, 0.56), dice.size(0.37, 0.45)
    front, rear = dice.pick((2.0, 2.4), (2.0, 3.0), (2.2, 4.0), (2.6, 6.0), (4.5, 8.0))
    plan = squircle(around(0, width), (-length, 0.0), front, rear, num_points=32)
    plan[:, 0] *= 1 - dice.pick(0.0, 0.0, 0.12) * np.clip(-plan[:, 1] / length - 0.5, 0, 1) * 2  # a slimmer front
    base = "hung" if kind == "module" else dice.pick("foot", "foot", "foot", "skirt", "skirt", "waist")
    base = "skirt" if kind == "one" and dice.chance(0.6) else base
    parts = _bowl(dice, plan, length, seat, base, 0.19 if kind != "wall" else 0.03)
    lid = dice.pick("closed", "closed", "open", "open", "ring", "bare")
    if kind == "wall":  # nothing else says what it is
        lid = dice.pick("open", "open", "ring")
    parts += _seat(dice, plan, length, seat, lid)
    if lid == "ring" and kind == "wall":  # a pipe with a valve
        high = seat + dice.size(0.3, 0.5)
        parts.append(tube([(0, 0.04, 0.0), (0, 0.04, high), (0, -0.02, high + 0.03)], 0.026))
        parts += [
            box(around(0, 0.09), (0.0, 0.09), around(high - 0.08, 0.1)),
            box((0, 0.12), around(0.04, 0.03), around(high - 0.08, 0.03)),
        ]
        parts.append(box(around(0, 0.12), (-0.05, 0.06), (seat - 0.12, seat + 0.03)))
    wide = width * dice.size(0.95, 1.3)
    if kind == "close":
        parts += _cistern(dice, wide, seat, dice.size(0.3, 0.42), dice.size(0.15, 0.2))
    elif kind == "one":
        deep, top = dice.size(0.16, 0.2), seat + dice.size(0.1, 0.34)
        parts.append(cushion(around(0, 0.98 * width), (-0.02, deep), (0.0, top), dice.size(0.02, 0.06)))
        parts.append(cushion(around(0, 1.04 * width), (-0.03, deep + 0.01), (top - 0.01, top + 0.04), 0.015))
    elif kind == "module":
        tall, half = dice.size(0.85, 1.15), dice.size(0.23, 0.45)
        deep = dice.size(0.1, 0.2)
        parts.append(box((-half, half), (-0.01, deep), (0, tall)))
        parts.append(box(around(0, 0.26), (-0.035, 0.01), around(tall - 0.14, 0.16)))
        if dice.chance(0.5):
            parts.append(box((-half - 0.03, half + 0.03), (-0.04, deep), (tall - 0.005, tall + 0.035)))
    elif kind in ("high", "low"):
        tall = dice.size(1.1, 1.4) if kind == "high" else dice.size(0.65, 0.85)
        parts += _cistern(dice, wide, tall, dice.size(0.26, 0.36), 0.18)
        parts += [
            box(around(0, 0.08), (0.03, 0.12), (0.1, tall + 0.05)),
            box(around(0, 0.14), (-0.02, 0.12), (seat - 0.16, seat - 0.04)),
        ]
        if kind == "high":
            parts.append(bar((0.42 * wide, 0.05, tall + 0.25), (0.42 * wide, 0.05, tall - 0.55), 0.035))
            parts.append(box((0.3 * wide, 0.46 * wide), (0.03, 0.07), (tall + 0.2, tall + 0.26)))
            parts.append(bar((0.42 * wide, 0.05, tall - 0.5), (0.42 * wide, 0.05, tall - 0.62), 0.06, sides=8))
    if kind in ("close", "one") and dice.chance(0.06):  # arm rests of a frame
        x, y = width / 2 + 0.09, -0.75 * length
        path = [(x, y, 0.0), (x, y, seat + 0.22), (x, y + 0.04, seat + 0.25), (x, 0.1, seat + 0.25)]
        parts += both(tube(path, 0.02))
        parts.append(box((-x - 0.01, x + 0.01), around(0.1, 0.045), around(seat + 0.25, 0.045)))
    return parts


def _bowl(dice: Dice, plan: Floats, length: float, seat: float, base: str, behind: float) -> Parts:
    """A hollow bowl and what carries it; it reaches from y = −length to a trunk behind y = 0."""
    edge, half = dice.size(0.045, 0.06), np.abs(plan[:, 0]).max()
    middle = np.array([0.0, -0.5 * length])

    def ring(x: float, front: float, rear: float) -> Floats:
        """The plan, x times as wide, from a share of the length behind its front to a share before its end."""
        points = plan.copy()
        points[:, 0] *= x
        points[:, 1] = -length * (1 - front) + (points[:, 1] + length) * (1 - front - rear)
        return points

    depth = seat - dice.size(0.16, 0.22)
    hole = [
        ((plan - middle) * (1 - 2 * edge / (2 * half), 1 - 2 * edge / length) + middle, seat),
        (ring(0.66, 0.16, 0.2), (seat + depth) / 2),
        (ring(0.4, 0.3, 0.32), depth),
    ]
    if base == "hung":
        outer = [(ring(0.6, 0.4, 0.0), seat - 0.3), (ring(0.86, 0.15, 0.0), seat - 0.2), (ring(1, 0, 0), seat - 0.06)]
        return [
            rising([*outer, (ring(1, 0, 0), seat), *hole]),
            box((-0.8 * half, 0.8 * half), (-0.14, 0.02), (seat - 0.28, seat - 0.03)),
        ]
    wide, slim = dice.size(0.62, 0.8), dice.size(0.45, 0.62)
    if base == "skirt":
        lean, narrow = dice.size(0.0, 0.2), dice.size(0.75, 0.98)
        outer = [
            (ring(narrow, lean, 0), 0.0),
            (ring(0.5 + 0.5 * narrow, 0.4 * lean, 0), 0.5 * seat),
            (ring(1, 0, 0), seat - 0.08),
        ]
        trunk = [box((-narrow * half * 0.96, narrow * half * 0.96), (-0.12, behind), (0, seat))]
    else:
        waist = 0.12 if base == "foot" else 0.2
        outer = [
            (ring(wide, 0.24, 0.0), 0.0),
            (ring(wide, 0.25, 0.0), 0.04),
            (ring(slim, 0.34 + waist / 3, 0.0), 0.4 * seat),
            (ring(0.5 * (slim + 1), 0.18, 0.0), 0.62 * seat),
            (ring(1, 0.01, 0), seat - 0.07),
        ]
        trunk = [box((-slim * half * 0.95, slim * half * 0.95), (-0.14, behind), (0, seat - 0.02))]
        trunk.append(box((-0.85 * half, 0.85 * half), (-0.1, behind), (seat - 0.1, seat)))
        if base == "waist":
            trunk.append(box((-0.7 * half, 0.7 * half), (-0.2, behind), (0, 0.06)))
    return [rising([*outer, (ring(1, 0, 0), seat), *hole]), *trunk]


def _seat(dice: Dice, plan: Floats, length: float, seat: float, lid: str) -> Parts:
    """A seat ring and a lid, closed or up against what is behind."""
    thick, over = dice.size(0.022, 0.035), dice.size(0.0, 0.015)
    middle = np.array([0.0, -0.5 * length])
    wide = (plan - middle) * (1 + over / np.abs(plan[:, 0]).max(), 1 + over / length) + middle
    z0, z1 = seat - 0.004, seat + thick
    if lid == "bare":
        return []
    if lid == "closed":
        top = (wide - middle) * 0.86 + middle
        gap = (wide - middle) * 0.93 + middle
        return [
            rising(
                [
                    (wide, z0),
                    (wide, z1),
                    (gap, z1),
                    (gap, z1 + 0.012),
                    (wide, z1 + 0.012),
                    (wide, z1 + 0.03),
                    (top, z1 + 0.045),
                ]
            )
        ]
    share = 1 - 0.16 / np.abs(plan[:, 0]).max() * 0.5
    hole = (plan - middle) * (share, 1 - 0.17 / length) + middle + (0.0, -0.02)
    rings = ((wide, z0), (wide, z1), (hole, z1), (hole, z0))
    parts = [hoop([np.column_stack([p, np.full(len(p), z)]) for p, z in rings])]
    if lid == "open":
        tilt, rise = np.radians(dice.size(2, 10)), -wide[:, 1]
        leaf = np.column_stack([wide[:, 0], rise * np.sin(tilt) - 0.07, z1 + rise * np.cos(tilt) - 0.02])
        parts.append(loft([leaf, leaf - (0.0, 0.03, 0.0)]))
    parts.append(box(around(0, 0.2), (-0.075, -0.01), (seat - 0.01, z1 + 0.015)))
    return parts


def _cistern(dice: Dice, width: float, z: float, height: float, depth: float) -> Parts:
    """A tank at z upwards, before y = depth, its lid, and a lever or a button."""
    half, top, ys = width / 2, z + height, (0.0, depth)
    style = dice.pick("box", "soft", "soft", "taper", "bow")
    low = z - 0.01
    if style == "box":
        tank = box((-half, half), ys, (low, top))
    elif style == "soft":
        tank = cushion((-half, half), ys, (low, top), dice.size(0.02, 0.06))
    else:
        shape = (
            outline((-half, half), ys, 0.04) if style == "taper" else squircle((-half, half), (-0.03, depth), 2.6, 12)
        )
        middle = np.array([0.0, depth / 2])
        tank = rising([((shape - middle) * (0.82, 0.9) + middle, low), (shape, top)])
    over, thick = dice.size(0.008, 0.02), dice.size(0.03, 0.05)
    lid_y = (ys[0] - over - (0.03 if style == "bow" else 0), depth + over)
    lid = cushion((-half - over, half + over), lid_y, (top - 0.005, top + thick), 0.012)
    parts = [tank, lid]
    pull = dice.pick("lever", "lever", "button", "button", "knob")
    if pull == "lever":
        x, at = -0.7 * half, top - 0.06
        parts += [
            bar((x, 0.05, at), (x, -0.05, at), 0.035, sides=8),
            box((x - 0.015, x + 0.09), (-0.055, -0.03), around(at, 0.03)),
        ]
    elif pull == "button":
        parts.append(turned([(0.035, top), (0.035, top + thick + 0.02)], 0, depth / 2, sides=12))
    else:
        parts.append(
            turned(
                [(0.015, top), (0.015, top + thick + 0.03), (0.03, top + thick + 0.03), (0.03, top + thick + 0.06)],
                0,
                depth / 2,
                sides=10,
            )
        )
    return parts
