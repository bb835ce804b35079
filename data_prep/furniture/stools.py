"""Stools."""

from __future__ import annotations

import numpy as np

from data_prep.furniture.parts import (
    Dice,
    Parts,
    around,
    bar,
    both,
    box,
    cushion,
    flat_top,
    four_legs,
    hoop,
    lean,
    plate,
    sheet,
    tube,
    turned,
)

__all__ = ["stool"]


def stool(dice: Dice) -> Parts:
    """A stool: round or square, low or at a bar, on legs, a column, runners, or solid; with steps, folding, soft."""
    makers = [_legged_stool] * 8 + [_column_stool] * 4 + [_saddle_stool] * 2 + [_step_stool] * 2 + [_sled_stool] * 2
    makers += [_folding_stool, _pouf, _solid_stool, _slab_stool]
    return dice.pick(*makers)(dice)


def _stool_seat(dice: Dice, size: float, z: float, thick: float) -> Parts:
    """A seat about the z axis, its upper side at z: round, square, soft, hollowed."""
    style = dice.pick("round", "round", "round", "square", "rounded", "soft", "soft square", "dish")
    if style == "round":
        edge = 0.25 * thick
        return [
            turned(
                [
                    (size / 2 - edge, z - thick),
                    (size / 2, z - thick + edge),
                    (size / 2, z - edge),
                    (size / 2 - edge, z),
                ],
                sides=28,
            )
        ]
    if style == "soft":
        r = size / 2
        return [
            turned(
                [(0.92 * r, z - thick), (r, z - 0.6 * thick), (r, z), (0.9 * r, z + 0.03), (0.5 * r, z + 0.045)],
                sides=28,
            ),
            turned([(0.85 * r, z - thick - 0.02), (0.85 * r, z)], sides=28),
        ]
    if style == "soft square":
        return [cushion(around(0, size), around(0, size), (z - thick, z + 0.03), 0.03)]
    if style == "dish":
        r = size / 2
        return [
            turned(
                [(0.7 * r, z - thick), (r, z - 0.3 * thick), (r, z), (0.9 * r, z), (0.4 * r, z - 0.35 * thick)],
                sides=28,
            )
        ]
    size *= 0.9
    return [
        flat_top(
            size, size * dice.pick(1.0, 1.0, 0.8), (z - thick, z), "sharp" if style == "square" else "rounded", 0.25
        )
    ]


def _legged_stool(dice: Dice) -> Parts:
    """Three or four legs that splay, with rungs or a ring."""
    tall = dice.chance(0.5)
    z, size = (dice.size(0.6, 0.8), dice.size(0.3, 0.4)) if tall else (dice.size(0.34, 0.5), dice.size(0.28, 0.36))
    thick, leg = dice.size(0.03, 0.06), dice.size(0.026, 0.045) if not tall else dice.size(0.03, 0.042)
    parts = _stool_seat(dice, size, z, thick)
    num, splay = dice.pick(3, 4, 4, 4), dice.pick(0.0, 0.08, 0.16, 0.22) * (0.7 if tall else 1.0)
    at, sides, taper = 0.36 * size, dice.pick(4, 10), dice.pick(1.0, 0.75, 1.3)
    start = np.pi / 4 if num == 4 else -np.pi / 2
    angles = start + 2 * np.pi * np.arange(num) / num
    ways = np.column_stack([np.cos(angles), np.sin(angles)])
    if num == 4 and dice.chance(0.6):
        at *= 1.15
    for x, y in ways:
        foot = at + splay * z
        parts.append(bar((x * at, y * at, z - 0.5 * thick), (x * foot, y * foot, 0), leg, taper=taper, sides=sides))
    rungs = dice.pick("none", "rungs", "rungs", "ring", "two") if not tall else dice.pick("rungs", "ring", "two", "two")
    for level in {"none": (), "rungs": (0.35,), "ring": (0.38,), "two": (0.28, 0.58)}[rungs]:
        height = level * z
        reach = at + splay * (z - height)
        if rungs == "ring":
            turn = 2 * np.pi * np.arange(28) / 28
            r = 0.42 * leg
            circle = [(reach - r, -r), (reach + r, -r), (reach + r, r), (reach - r, r)]
            rings = [np.column_stack([a * np.cos(turn), a * np.sin(turn), np.full(28, height + h)]) for a, h in circle]
            parts.append(hoop(rings))
            continue
        for i, (x, y) in enumerate(ways):
            ox, oy = ways[(i + 1) % num]
            shift = dice.pick(0.0, 0.0, 0.06) * (i % 2) * z
            parts.append(
                bar(
                    (x * reach, y * reach, height + shift),
                    (ox * reach, oy * reach, height + shift),
                    0.8 * leg,
                    sides=sides,
                )
            )
    if tall and dice.chance(0.22):
        parts += _low_back(dice, size, z)
    return parts


def _low_back(dice: Dice, size: float, z: float) -> Parts:
    """A short back for a bar stool; it stays a stool."""
    angle, rise = np.radians(np.linspace(30, 150, 15)), dice.size(0.1, 0.18)
    way = np.column_stack([np.cos(angle), np.sin(angle)])
    r = 0.48 * size
    parts = [plate(np.concatenate([r * way, (r - 0.028) * way[::-1]]), (z + rise, z + rise + dice.size(0.05, 0.09)))]
    for i in (2, 7, 12):
        x, y = (r - 0.015) * way[i]
        parts.append(bar((x * 0.95, y * 0.95, z - 0.02), (x, y, z + rise + 0.02), 0.028, sides=8))
    return parts


def _column_stool(dice: Dice) -> Parts:
    """A seat that turns on a column over a disc, a trumpet or a star of feet."""
    base = dice.pick("disc", "trumpet", "star", "star", "cross")
    z = dice.size(0.45, 0.62) if base == "star" else dice.size(0.5, 0.82)
    size, thick, pole = dice.size(0.32, 0.4), dice.size(0.05, 0.09), dice.size(0.02, 0.035)
    parts = _stool_seat(dice, size, z, thick)
    reach = dice.size(0.19, 0.25)
    if base == "disc":
        column = [
            (reach, 0),
            (reach, 0.02),
            (1.5 * pole, 0.035),
            (pole, 0.05),
            (pole, z - thick - 0.06),
            (2.4 * pole, z - 0.8 * thick),
        ]
    elif base == "trumpet":
        column = [
            (reach, 0),
            (0.97 * reach, 0.02),
            (0.5 * reach, 0.06),
            (0.3 * reach, 0.14),
            (pole, 0.28),
            (pole, z - thick - 0.05),
            (0.35 * size, z - 0.7 * thick),
        ]
    else:
        column = [
            (1.3 * pole, 0.05),
            (1.3 * pole, 0.5 * z),
            (0.9 * pole, 0.5 * z),
            (0.9 * pole, z - thick - 0.03),
            (2.6 * pole, z - 0.7 * thick),
        ]
        num = 5 if base == "star" else 4
        for angle in 2 * np.pi * (np.arange(num) + 0.25) / num:
            x, y = 1.1 * reach * np.cos(angle), 1.1 * reach * np.sin(angle)
            low = 0.045 if base == "star" else 0.02
            parts.append(bar((0, 0, 0.09), (x, y, low), 0.045, 0.04, taper=0.8))
            if base == "star":
                parts.append(turned([(0.02, 0), (0.028, 0.012), (0.028, 0.045), (0.02, 0.06)], x, y, sides=8))
            else:
                parts.append(turned([(0.022, 0), (0.022, 0.04)], x, y, sides=8))
    parts.append(turned(column, sides=20))
    if z > 0.6 or dice.chance(0.2):
        level, ring = z * dice.size(0.3, 0.4), 0.75 * reach
        turn = 2 * np.pi * np.arange(28) / 28
        circle = [(ring - 0.013, -0.013), (ring + 0.013, -0.013), (ring + 0.013, 0.013), (ring - 0.013, 0.013)]
        parts.append(
            hoop([np.column_stack([a * np.cos(turn), a * np.sin(turn), np.full(28, level + h)]) for a, h in circle])
        )
        parts.append(box((-ring, ring), around(0, 0.024), around(level, 0.024)))
    if z > 0.6 and dice.chance(0.35):
        parts += _low_back(dice, size, z)
    return parts


def _saddle_stool(dice: Dice) -> Parts:
    """A seat hollowed across x on four legs."""
    z, width, depth = dice.size(0.42, 0.76), dice.size(0.38, 0.48), dice.size(0.24, 0.34)
    thick, leg, u = dice.size(0.035, 0.06), dice.size(0.03, 0.045), np.linspace(-1, 1, 13)
    rise = dice.size(0.03, 0.07)
    wall = np.array([[(width / 2 * a, y, z + rise * a**2) for y in (-depth / 2, depth / 2)] for a in u])
    parts = [sheet(wall, (0, 0, -thick))]
    splay, x, y = z * dice.size(0.04, 0.14), 0.38 * width, 0.36 * depth
    ends = [(side, (x + splay, side * (y + 0.6 * splay), 0.0)) for side in (-1, 1)]
    for side, foot in ends:
        parts += both(bar((x, side * y, z - 0.4 * thick + 0.5 * rise), foot, leg, sides=dice.pick(4, 10)))
    for level in (0.25, 0.5) if z > 0.55 else (0.35,):
        out_x, out_y = x + splay * (1 - level), y + 0.6 * splay * (1 - level)
        parts += both(bar((out_x, -out_y, level * z), (out_x, out_y, level * z), 0.8 * leg))
        parts += [
            bar((-out_x, s * out_y, level * z + 0.05), (out_x, s * out_y, level * z + 0.05), 0.8 * leg) for s in (-1, 1)
        ]
    return parts


def _step_stool(dice: Dice) -> Parts:
    """Two or three steps between side boards or on legs; the lowest at the front."""
    num, width, rise, tread = dice.pick(2, 2, 3), dice.size(0.36, 0.46), dice.size(0.2, 0.25), dice.size(0.18, 0.24)
    half, board, total = width / 2, dice.size(0.025, 0.04), num * tread
    parts: Parts = []
    sides = dice.chance(0.6)
    for i in range(num):
        front, top = -total / 2 + i * tread, (i + 1) * rise
        parts.append(
            box((-half, half), (front - 0.02, front + tread + (0.02 if i < num - 1 else 0)), (top - board, top))
        )
        if sides:
            parts += both(
                box(
                    (half - board - 0.02, half - 0.02),
                    (front + 0.01, total / 2 - 0.01),
                    (top - rise if i else 0.0, top - 0.5 * board),
                )
            )
        else:
            parts += both(bar((half - 0.04, front + 0.03, top - 0.5 * board), (half - 0.04, front + 0.01, 0), 0.034))
    if not sides:
        parts += both(
            bar((half - 0.04, total / 2 - 0.03, num * rise - 0.5 * board), (half - 0.04, total / 2, 0), 0.034)
        )
        for i in range(num):
            parts += both(
                box(
                    around(half - 0.04, 0.03),
                    (-total / 2 + i * tread, total / 2),
                    ((i + 1) * rise - board - 0.03, (i + 1) * rise - 0.5 * board),
                )
            )
    if dice.chance(0.25):
        z, y = num * rise, total / 2 - 0.02
        parts.append(
            tube(
                [
                    (-half + 0.03, y, z - 0.03),
                    (-half + 0.03, y, z + 0.3),
                    (half - 0.03, y, z + 0.3),
                    (half - 0.03, y, z - 0.03),
                ],
                0.016,
            )
        )
    return parts


def _solid_stool(dice: Dice) -> Parts:
    """A turned block: an hourglass, a cork, a barrel."""
    z, r = dice.size(0.4, 0.5), dice.size(0.16, 0.21)
    style, t = dice.pick("hourglass", "hourglass", "cork", "cork", "garden"), np.linspace(0, 1, 13)
    if style == "hourglass":
        radii = r * (0.55 + 0.45 * np.abs(2 * t - 1) ** 1.7)
    elif style == "cork":
        radii = r * np.array([1, 1, 1, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 1, 1, 1])
        t = np.array([0, 0.1, 0.17, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.83, 0.9, 1])
    else:
        radii = r * (0.75 + 0.3 * np.sin(np.pi * t) ** 0.7)
        radii[0], radii[-1] = 0.8 * r, 0.8 * r
    parts = [turned([(float(a), float(b) * z) for a, b in zip(radii, t, strict=True)], sides=28)]
    if style == "garden":
        parts += [
            turned([(k * r, a), (k * r, b)], sides=28) for k, a, b in ((0.97, 0.0, 0.03), (0.97, z - 0.02, z + 0.015))
        ]
    elif dice.chance(0.5):
        parts.append(turned([(1.05 * r, z - 0.01), (1.1 * r, z + 0.02), (0.9 * r, z + 0.05)], sides=28))
    return parts


def _folding_stool(dice: Dice) -> Parts:
    """Crossed legs under a sling or a board."""
    width, depth, z, leg = dice.size(0.36, 0.46), dice.size(0.3, 0.38), dice.size(0.4, 0.5), dice.size(0.026, 0.036)
    x, y = width / 2, depth / 2 - leg / 2
    parts: Parts = []
    for side in (-1, 1):
        parts += [bar((s * x, side * y, z - 0.02), (-s * x, side * y, 0), leg, leg) for s in (-1, 1)]
    parts += both(
        [
            bar((x, -y, z - 0.02), (x, y, z - 0.02), leg),
            bar((0.85 * x, -y, 0.075 * z), (0.85 * x, y, 0.075 * z), 0.8 * leg),
        ]
    )
    u, sag = np.linspace(-1, 1, 13), dice.pick(0.0, 0.05, 0.08)
    wall = np.array([[(1.05 * x * a, at, z - sag * (1 - a**2)) for at in (-0.92 * y, 0.92 * y)] for a in u])
    return [*parts, sheet(wall, (0, 0, -dice.size(0.02, 0.03)))]


def _pouf(dice: Dice) -> Parts:
    """A soft round or square block on short legs."""
    z, size, leg = dice.size(0.38, 0.46), dice.size(0.36, 0.5), dice.pick(0.05, 0.1, 0.15)
    if dice.chance(0.5):
        r = size / 2
        body = [
            turned([(0.94 * r, leg), (r, leg + 0.03), (r, z - 0.05), (0.93 * r, z - 0.015), (0.6 * r, z)], sides=28)
        ]
        body.append(turned([(1.03 * r, z - 0.1), (1.03 * r, z - 0.07)], sides=28))
    else:
        body = [
            cushion(around(0, size), around(0, size), (leg, z - 0.08), 0.02),
            cushion(around(0, size + 0.01), around(0, size + 0.01), (z - 0.1, z), 0.04),
        ]
    return body + four_legs(dice, 0.3 * size, 0.3 * size, leg + 0.02, 0.04)


def _sled_stool(dice: Dice) -> Parts:
    """A seat on bent tubes or a frame with runners."""
    z, width, depth = dice.size(0.45, 0.8), dice.size(0.34, 0.42), dice.size(0.32, 0.4)
    r, thick = dice.size(0.013, 0.019), dice.size(0.03, 0.06)
    x, y, grow = 0.42 * width, 0.4 * depth, z * dice.size(0.0, 0.12)
    parts = [flat_top(width, depth, (z - thick, z), dice.pick("sharp", "rounded"), 0.2)]
    if dice.chance(0.4):
        parts = [cushion(around(0, width), around(0, depth), (z - thick, z + 0.02), 0.025)]
    low = r
    loop = [(x, -y, z - 0.5 * thick), (x + grow, -y - grow, low), (x + grow, y + grow, low), (x, y, z - 0.5 * thick)]
    parts += both(tube(loop, r))
    level = dice.size(0.25, 0.4)
    out = grow * (1 - level)
    front = dice.pick((-1,), (-1, 1))
    parts += [bar((-x - out, s * (y + out), level * z), (x + out, s * (y + out), level * z), 2 * r) for s in front]
    if z > 0.6 and dice.chance(0.5):
        back = [
            box(around(0, width), around(depth / 2 - 0.015, 0.03), (z + 0.08, z + dice.size(0.16, 0.24))),
            *both(bar((0.35 * width, depth / 2 - 0.015, z - 0.02), (0.35 * width, depth / 2 - 0.015, z + 0.12), 0.03)),
        ]
        parts += lean(back, z, 0.12)
    return parts


def _slab_stool(dice: Dice) -> Parts:
    """Two side boards or a bent sheet under a board to sit on, a bar between."""
    z, width, depth, board = (
        dice.size(0.38, 0.48),
        dice.size(0.36, 0.46),
        dice.size(0.26, 0.36),
        dice.size(0.025, 0.045),
    )
    x = 0.42 * width
    parts = [flat_top(width, depth, (z - board, z), dice.pick("sharp", "rounded"), 0.12)]
    foot = dice.pick(0.0, 0.04)
    side = np.array(
        [
            (-0.45 * depth, 0),
            (-0.15 * depth, 0),
            (-0.08 * depth, 0.14),
            (0.08 * depth, 0.14),
            (0.15 * depth, 0),
            (0.45 * depth, 0),
            (0.42 * depth, z - 0.5 * board),
            (-0.42 * depth, z - 0.5 * board),
        ]
    )
    for s in (-1, 1):
        half = [side[[0, 1, 2, 7]], side[[3, 4, 5, 6]]]
        for points in half:
            parts.append(plate(points, (s * x - board / 2, s * x + board / 2), axis=0))
        parts.append(box(around(s * x, board), (-0.3 * depth, 0.3 * depth), (0.14 * 0.9, z - 0.5 * board)))
    parts.append(box((-x, x), around(0, board), around(z * dice.size(0.45, 0.8), 0.06)))
    if foot:
        parts += both(box(around(x, 1.4 * board), (-0.48 * depth, 0.48 * depth), (0, foot)))
    return parts
