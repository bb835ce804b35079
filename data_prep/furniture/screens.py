"""Monitors."""

from __future__ import annotations

import numpy as np

from data_prep.furniture.parts import (
    Dice,
    Part,
    Parts,
    Span,
    around,
    bar,
    both,
    box,
    cushion,
    loft,
    moved,
    outline,
    oval,
    plate,
    rising,
    sheet,
    tube,
    turned,
    twisted,
)

__all__ = ["monitor"]


def monitor(dice: Dice) -> Parts:
    """A monitor: flat or curved, wide or upright, with a chin, two or three together, or an old tube."""
    makers = (
        [_flat_monitor] * 11
        + [_curved_monitor] * 3
        + [_tube_monitor] * 4
        + [_several_monitors] * 2
        + [_chin_monitor] * 2
    )
    return dice.pick(*makers)(dice)


def _screen(dice: Dice, xs: Span, zs: Span, thick: float, bezel: float, sunk: float, below: float = 0.0) -> Parts:
    """A flat panel whose front lies at y = 0 and whose screen is sunk in a bezel, broader ``below``; a bulge behind."""
    frame = [box(side, (0, thick), zs) for side in ((xs[0], xs[0] + bezel), (xs[1] - bezel, xs[1]))]
    frame += [box(xs, (0, thick), level) for level in ((zs[0], zs[0] + bezel + below), (zs[1] - bezel, zs[1]))]
    parts = [*frame, box(xs, (sunk, thick), zs)]
    width, height, centre = xs[1] - xs[0], zs[1] - zs[0], sum(zs) / 2
    bulge, style = dice.size(0.02, 0.06), dice.pick("box", "soft", "wedge")
    wide, tall = width * dice.size(0.35, 0.8) / 2, height * dice.size(0.4, 0.8) / 2
    span, level = around(sum(xs) / 2, 2 * wide), (centre - tall, centre + 0.9 * tall)
    if style == "box":
        parts.append(box(span, (thick - 0.4 * (thick - sunk), thick + bulge), level))
    elif style == "soft":
        parts.append(cushion(span, (thick - 0.4 * (thick - sunk), thick + bulge), level, 0.02))
    else:
        ends = (
            ((xs[0] + 0.01, xs[1] - 0.01), (zs[0] + 0.01, zs[1] - 0.01), thick - 0.005),
            (span, level, thick + bulge),
        )
        parts.append(loft([np.insert(outline(a, b, 0.02, per_corner=2), 1, y, axis=1) for a, b, y in ends]))
    return parts


def _stand(dice: Dice, width: float, low: float, hold: float, y: float, unit: float) -> Parts:
    """A foot on the floor and a neck that ends at height ``hold`` behind a panel whose back is at y."""
    style = dice.pick("oval", "square", "square", "disc", "vee", "feet", "bow", "arch", "easel", "bend")
    neck, deep = width * dice.size(0.06, 0.2), dice.size(1.3, 2.0) * unit
    rear, thick = y + deep, max(0.012, 1.1 * unit)
    foot, reach = width * dice.size(0.32, 0.55), dice.size(0.14, 0.24) * min(1.4, max(0.7, width / 0.55))
    middle = y + 0.5 * deep
    if style == "feet":  # two feet near the ends, as televisions have
        x, wide = width * dice.size(0.3, 0.44), 1.6 * unit
        legs = [
            bar((x, y - 0.01, low + 0.03), (x, middle - reach / 2, 0.0), wide, wide),
            bar((x, y - 0.01, low + 0.03), (x, middle + reach / 2, 0.0), wide, wide),
        ]
        return [*both(legs), box((-x - wide, x + wide), (y - 0.012, y + 0.012), (low + 0.01, low + 0.05))]
    upright = [box(around(0, neck), (y - 0.002, rear), (thick * 0.5, hold))]
    if style == "bend":  # one sheet that bends from the foot into the neck
        side = max(neck, 0.1)
        points = [
            (-reach / 2, thick / 2),
            (reach / 2 - 0.02, thick / 2),
            (reach / 2, 0.03),
            (deep, hold * 0.8),
            (deep * 0.7, hold),
        ]
        wall = sheet(
            np.array([[(-side / 2, y + a, b), (side / 2, y + a, b)] for a, b in points]), (0, 0.8 * thick, -0.5 * thick)
        )
        block = box(around(0, side * 0.8), (y - 0.002, y + deep + 0.012), (hold - 0.06, hold))
        return _grounded([wall, block])
    if style == "easel":
        leg = [
            bar((0, y, hold), (0, y + 0.55 * hold, 0), neck, 1.2 * thick),
            box(around(0, neck), (y - 0.002, y + 0.03), (hold - 0.05, hold)),
        ]
        return [*leg, *both(bar((0.32 * width, y - 0.004, low + 0.05), (0.34 * width, y - 0.05, 0.0), 1.6 * unit))]
    if style == "arch":
        x = foot / 2
        path = [(x, middle - reach / 2, thick / 2), (x, middle + reach / 2, thick / 2)]
        base = both(tube(path, 0.55 * thick))
        base.append(tube([(-x, path[1][1], thick / 2), (x, path[1][1], thick / 2)], 0.55 * thick))
        slope = [
            bar((0, rear - 0.3 * deep, hold), (0, path[1][1], thick / 2), neck, 1.2 * thick),
            box(around(0, neck), (y - 0.002, rear), (hold - 0.07, hold)),
        ]
        return base + slope
    if style == "vee":
        legs = [tube([(0, rear - 0.2 * deep, 0.8 * thick), (foot / 2, middle - 0.6 * reach, 0.6 * thick)], 0.6 * thick)]
        return [*upright, *both(legs), tube([(0, y, 0.7 * thick), (0, rear + 0.25 * reach, 0.7 * thick)], 0.7 * thick)]
    if style == "bow":
        u = np.linspace(-1, 1, 15)
        arc = [(foot / 2 * v, middle + 0.3 * reach - reach * v**2 * 0.8, 0.6 * thick) for v in u]
        return [*upright, tube(arc, 0.7 * thick), box(around(0, neck), (y, middle + 0.35 * reach), (0, thick))]
    if style == "square":
        shape = outline(around(0, foot), around(middle, reach), dice.pick(0.01, 0.03), per_corner=4)
    else:
        size = reach if style == "disc" else foot
        shape = oval(around(0, size), around(middle, reach))
    centre = np.array([0.0, middle])
    return [*upright, rising([(shape, 0.0), (shape, 0.6 * thick), ((shape - centre) * 0.9 + centre, 1.2 * thick)])]


def _grounded(parts: Parts) -> Parts:
    """Parts let down so that they stand on z = 0."""
    low = min(vertices[:, 2].min() for vertices, _ in parts)
    return moved(parts, z=-low)


def _flat_monitor(dice: Dice) -> Parts:
    """One flat panel on a stand."""
    width = dice.size(0.4, 0.75)
    ratio = dice.pick(16 / 9, 16 / 9, 16 / 10, 4 / 3, 5 / 4, 21 / 9)
    if dice.chance(0.2):
        width, ratio = dice.size(0.9, 1.4), 16 / 9  # as large as a television
    height, unit = width / ratio, width / 60
    upright = width < 0.65 and ratio < 2 and dice.chance(0.1)
    if upright:
        width, height = height, width
    low = dice.size(0.03, 0.16) * (1.0 if width < 0.8 else 0.7)
    thick, bezel = max(dice.size(0.02, 0.05), 1.5 * unit), max(dice.size(0.01, 0.035), 0.9 * unit)
    sunk = min(1.1 * unit, 0.5 * thick)
    zs = (low, low + height)
    parts = _screen(dice, around(0, width), zs, thick, bezel, sunk, dice.pick(0.0, 0.0, 0.02, 0.05))
    extra = dice.pick("none", "none", "none", "speakers", "bar", "camera")
    if extra == "speakers":
        wide = dice.size(0.05, 0.09)
        parts += both(
            cushion((width / 2 - 0.004, width / 2 + wide), (-0.01, thick), (zs[0] + 0.02, zs[1] - 0.02), 0.02)
        )
    elif extra == "bar":
        parts.append(cushion(around(0, 0.8 * width), (-0.03, thick), (low - min(0.05, low - 0.01), low + 0.015), 0.015))
    elif extra == "camera":
        parts.append(cushion(around(0, 0.09), (-0.015, 0.03), (zs[1] - 0.008, zs[1] + 0.03), 0.012))
    parts = _tilted(parts, dice.pick(0.0, 0.0, 0.05, 0.12), low + 0.5 * height)
    return parts + _stand(dice, max(width, 0.6 * height), low, low + 0.5 * height, thick - 0.003, unit)


def _tilted(parts: Parts, slope: float, about: float) -> Parts:
    """Sheared so that a panel looks up a little."""
    tilted: Parts = []
    for vertices, faces in parts:
        bent = vertices.copy()
        bent[:, 1] += slope * (vertices[:, 2] - about)
        tilted.append((bent, faces))
    return tilted


def _bent(width: float, bow: float, span: Span, zs: Span, num: int = 21) -> Part:
    """A curved panel between two distances behind its front, whose ends come forward by ``bow``."""
    u = np.linspace(-1, 1, num)
    front = np.column_stack([width / 2 * u, span[0] - bow * u**2])
    rear = np.column_stack([width / 2 * u[::-1], span[1] - bow * u[::-1] ** 2])
    return plate(np.concatenate([front, rear]), zs)


def _curved_monitor(dice: Dice) -> Parts:
    """A wide panel whose ends come forward."""
    width, ratio = dice.size(0.7, 1.15), dice.pick(16 / 9, 21 / 9, 21 / 9, 32 / 9)
    height, unit, bow = width / ratio, width / 60, width * dice.size(0.06, 0.13)
    low, thick = dice.size(0.06, 0.16), max(0.03, 2.3 * unit)
    bezel, sunk = 1.1 * unit, 0.9 * unit
    zs = (low, low + height)
    parts = [_bent(width, bow, (sunk, thick), zs)]
    parts += [_bent(width, bow, (0, thick), level) for level in ((zs[0], zs[0] + bezel), (zs[1] - bezel, zs[1]))]
    parts += both(box((width / 2 - bezel, width / 2), (-bow, thick - bow + 0.01), zs))
    parts.append(box(around(0, 0.34 * width), ((sunk + thick) / 2, thick + 0.04), around(sum(zs) / 2, 0.5 * height)))
    return parts + _stand(dice, 0.8 * width, low, low + 0.55 * height, thick - 0.003, unit)


def _chin_monitor(dice: Dice) -> Parts:
    """A panel with a broad band below its screen, on a bent foot or a dome."""
    width = dice.size(0.45, 0.65)
    height, unit = width * dice.size(0.74, 0.86), width / 60
    low, thick = dice.size(0.08, 0.14), dice.size(0.03, 0.05)
    parts = _screen(
        dice, around(0, width), (low, low + height), thick, 1.2 * unit, 1.1 * unit, dice.size(0.12, 0.2) * height
    )
    side, reach = width * dice.size(0.25, 0.42), dice.size(0.15, 0.2)
    if dice.chance(0.6):
        plank = 1.3 * unit
        points = [
            (thick + 0.02, low + 0.45 * height),
            (thick + 0.045, low),
            (thick + 0.03, plank),
            (thick - reach, plank),
        ]
        wall = sheet(np.array([[(-side / 2, a, b), (side / 2, a, b)] for a, b in points]), (0, 0.3 * plank, -plank))
        return [
            *_grounded([wall]),
            *parts,
            box(around(0, side), (thick - 0.006, thick + 0.05), around(low + 0.4 * height, 0.08)),
        ]
    dome = [(0.5 * side, 0.0), (0.48 * side, 0.02), (0.36 * side, 0.06), (0.12 * side, 0.085), (0.1 * side, 0.09)]
    arm = tube(
        [(0, thick + 0.06, 0.05), (0, thick + 0.08, low + 0.2 * height), (0, thick - 0.005, low + 0.45 * height)], 0.022
    )
    return [*parts, turned(dome, 0, thick + 0.02, sides=24), arm]


def _tube_monitor(dice: Dice) -> Parts:
    """A cathode ray tube: a deep case that narrows to the back, the screen sunk in a broad bezel, a swivelling foot."""
    width = dice.size(0.34, 0.5)
    height, depth, unit = width * dice.size(0.78, 0.92), width * dice.size(0.8, 1.05), width / 60
    foot = dice.size(0.03, 0.08)
    xs, zs = around(0, width), (foot, foot + height)
    bezel, chin, sunk = dice.size(0.03, 0.05), dice.size(0.0, 0.04), dice.size(1.5, 2.6) * unit
    collar = dice.size(0.18, 0.4) * depth
    hole_x, hole_z = (xs[0] + bezel, xs[1] - bezel), (zs[0] + bezel + chin, zs[1] - bezel)
    narrow, drop = dice.size(0.45, 0.72), dice.size(0.1, 0.3) * height
    rear_x, rear_z = around(0, narrow * width), (zs[0] + dice.size(0.0, 0.1) * height, zs[1] - drop)
    soft = dice.size(0.012, 0.04)
    outer = [(xs, zs, 0.0), (xs, zs, collar), (rear_x, rear_z, dice.size(0.75, 0.9) * depth), (rear_x, rear_z, depth)]
    rings = [np.insert(outline(a, b, soft, per_corner=3), 1, y, axis=1) for a, b, y in outer[::-1]]
    flare = [(hole_x, hole_z, 0.0), ((hole_x[0] + 0.01, hole_x[1] - 0.01), (hole_z[0] + 0.01, hole_z[1] - 0.01), sunk)]
    rings += [np.insert(outline(a, b, soft, per_corner=3), 1, y, axis=1) for a, b, y in flare]
    parts = [loft(rings)]
    middle = 0.42 * depth
    style = dice.pick("disc", "disc", "block", "pedestal", "desktop")
    if style == "block":
        parts.append(box(around(0, 0.7 * width), (0.08 * depth, 0.75 * depth), (0, foot + 0.03)))
    elif style == "desktop":  # a flat computer below
        tall = dice.size(0.09, 0.13)
        parts = moved(parts, z=tall + 0.02)
        parts.append(turned([(0.3 * width, tall - 0.005), (0.3 * width, tall + foot + 0.05)], 0, middle, sides=20))
        case = around(0, dice.size(1.0, 1.2) * width)
        parts.append(box(case, (-0.02, 0.95 * depth), (0, tall)))
        parts += [box((0.02, case[1] - 0.03), (-0.02 - 1.2 * unit, 0.0), around(tall * t, 0.022)) for t in (0.3, 0.7)]
    else:
        base = dice.size(0.32, 0.42) * width
        slim = 0.3 * width if style == "disc" else 0.2 * width
        parts.append(
            turned([(base, 0), (base, 0.4 * foot), (slim, 0.6 * foot), (slim, foot + 0.035)], 0, middle, sides=24)
        )
    if style != "desktop" and dice.chance(0.3):
        parts += [
            bar(
                (x * width, 0.01, zs[0] + 0.5 * (bezel + chin)),
                (x * width, -1.2 * unit, zs[0] + 0.5 * (bezel + chin)),
                1.6 * unit,
                sides=8,
            )
            for x in (0.2, 0.28, 0.36)
        ]
    return parts


def _several_monitors(dice: Dice) -> Parts:
    """Two or three panels on one stand, turned towards who sits before them."""
    num, width, angle = dice.pick(2, 2, 3), dice.size(0.42, 0.56), dice.size(0, 18)
    height, unit = width * dice.pick(9 / 16, 10 / 16, 3 / 4), width * num / 60
    low, thick, bezel = dice.size(0.08, 0.16), max(0.03, 1.3 * unit), 0.7 * unit
    zs, depth = (low, low + height), 0.02
    side = _screen(dice, (0.004, width), zs, thick, bezel, min(0.9 * unit, 0.5 * thick))
    if num == 2:
        parts = both(twisted(side, -angle))
        reach = 0.5 * width
    else:
        centre = _screen(dice, around(0, width), zs, thick, bezel, min(0.9 * unit, 0.5 * thick))
        parts = centre + both(moved(twisted(side, -angle), x=width / 2))
        reach = width * 0.98
    z = low + 0.5 * height
    rear, radius = thick + depth, 1.0 * unit
    turn = np.radians(angle)
    start = 0.0 if num == 2 else width / 2
    end = (start + (reach - start) * np.cos(turn), thick + radius - (reach - start) * np.sin(turn))
    hub = rear + 1.5 * unit
    parts += both(tube([(0, hub, z), (0.5 * start + 0.02, hub, z), (end[0], end[1], z)], radius))
    parts.append(box(around(0, 0.07), (0.8 * thick, hub + unit), (z - 0.05, z + 0.05)))
    parts.append(box(around(0, 3.2 * unit), (hub - unit, hub + 1.6 * unit), (0.004, z + 0.04)))
    foot = outline(around(0, width * dice.size(0.5, 0.9)), (hub - 0.16, hub + 0.1), 0.03, per_corner=4)
    return [*parts, plate(foot, (0, 1.3 * unit))]
