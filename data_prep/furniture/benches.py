"""Benches."""

from __future__ import annotations

import itertools

import numpy as np

from data_prep.furniture.parts import (
    Dice,
    Parts,
    around,
    bar,
    both,
    box,
    cushion,
    drawer_fronts,
    flat_top,
    four_legs,
    lean,
    moved,
    panel,
    plate,
    rails,
    tube,
    turned,
)

__all__ = ["bench"]


def bench(dice: Dice) -> Parts:
    """A bench: for a park, a hall, the end of a bed, a piano, a church; with and without a back."""
    makers = [_garden_bench] * 7 + [_plank_bench] * 5 + [_soft_bench] * 3 + [_chest_bench] * 2 + [_pew, _curved_bench]
    return dice.pick(*makers)(dice)


def _bench_seat(dice: Dice, width: float, depth: float, z: float, thick: float, style: str) -> Parts:
    """A seat whose upper side lies at z: a plank, or slats along x with what carries them."""
    if style == "plank":
        return [flat_top(width, depth, (z - thick, z), dice.pick("sharp", "sharp", "rounded"), 0.15)]
    if style == "cushion":
        return [
            box(around(0, width - 0.02), around(0, depth - 0.02), (z - thick - 0.03, z - thick + 0.02)),
            cushion(around(0, width), around(0, depth), (z - thick, z + 0.05), 0.035),
        ]
    num = dice.count(3, 6)
    places = np.linspace(-depth / 2, depth / 2, num + 1)
    gap = max(0.018, width / 70)
    parts = [box(around(0, width), (a + gap / 2, b - gap / 2), (z - thick, z)) for a, b in itertools.pairwise(places)]
    x = 0.44 * width
    parts += both(box(around(x, 0.06), around(0, 0.96 * depth), (z - thick - 0.045, z - 0.5 * thick)))
    if width > 1.3:
        parts.append(box(around(0, 0.05), around(0, 0.96 * depth), (z - thick - 0.04, z - 0.5 * thick)))
    return parts


def _plank_bench(dice: Dice) -> Parts:
    """A seat without a back on legs, boards, trestles or blocks."""
    width, z = dice.size(1.15, 1.85), dice.size(0.38, 0.46)
    depth = width * dice.size(0.18, 0.25)
    thick, unit = dice.size(0.03, 0.08), width / 60
    parts = _bench_seat(dice, width, depth, z, thick, dice.pick("plank", "slats", "slats", "cushion"))
    under, leg = z - 0.6 * thick, max(0.04, 1.6 * unit)
    x, y = width / 2 * dice.size(0.75, 0.95), depth / 2 - leg / 2 - 0.01
    base = dice.pick("legs", "legs", "slabs", "slabs", "loops", "X", "A", "blocks", "hairpin")
    if base == "legs":
        parts += four_legs(dice, x, y, under, leg)
        if dice.chance(0.6):
            parts += rails(x, y, under - 0.04, 0.07, 0.8 * leg)
    elif base == "slabs":
        parts += both(box(around(x, 1.2 * leg), (-y, y), (0, under)))
        if dice.chance(0.6):
            parts.append(box((-x, x), around(0, 0.8 * leg), around(z * dice.size(0.3, 0.75), 0.09)))
    elif base == "blocks":
        wide = dice.size(0.16, 0.3)
        parts += both(box(around(min(x, width / 2 - wide / 2), wide), (-y, y), (0, under)))
    elif base == "loops":
        parts += both([box(around(x, leg), around(at, leg), (0, under)) for at in (-y, y)])
        parts += both([box(around(x, leg), (-y, y), level) for level in ((0, leg), (under - leg, under))])
    elif base == "hairpin":
        pins = [
            tube([(x - 0.06, at, under), (x, at * 1.05, 0.012), (x + 0.06, at, under)], 0.5 * leg) for at in (-y, y)
        ]
        parts += _on_floor(both(pins))
    else:
        reach = 0.3 if base == "A" else 1.0
        for side in (-1, 1):
            parts += both(bar((x, side * reach * y, under), (x, (side if base == "A" else -side) * y * 1.1, 0), leg))
        level = 0.4 * z if base == "A" else 0.5 * under
        if base == "A":
            parts += both(box(around(x, leg), (-0.85 * y, 0.85 * y), around(level, leg)))
        parts.append(box((-x, x), around(0, leg), around(level, 0.06)))
    if base in ("legs", "slabs", "loops") and dice.chance(0.15):  # a shelf for shoes
        parts += both(box(around(x, leg), (-y, y), (0.12, 0.13 + unit)))
        for at in np.linspace(-0.8 * y, 0.8 * y, dice.count(2, 4)):
            parts.append(box((-x, x), around(at, 0.5 * y), (0.13, 0.13 + 1.1 * unit)))
    return parts


def _on_floor(parts: Parts) -> Parts:
    """Parts let down so that the lowest stands on z = 0."""
    return moved(parts, z=-min(float(vertices[:, 2].min()) for vertices, _ in parts))


def _garden_bench(dice: Dice) -> Parts:
    """A bench with a back of slats, bars or crosses, and arms at times."""
    width, depth, z = dice.size(1.05, 1.85), dice.size(0.42, 0.55), dice.size(0.4, 0.46)
    tall, unit = dice.size(0.34, 0.55), width / 60
    thick, post = max(0.025, 1.2 * unit), max(0.045, dice.size(1.8, 2.8) * unit)
    top, x, y = z + tall, width / 2 - post / 2, depth / 2 - post / 2
    base = dice.pick("legs", "legs", "legs", "iron", "block")
    parts = _bench_seat(dice, width - 0.01, depth, z, thick, dice.pick("slats", "slats", "slats", "plank"))
    style = dice.pick("slats", "slats", "slats", "bars", "bars", "cross", "solid", "wave")
    back: Parts = []
    if style in ("slats", "solid", "wave"):
        rise = dice.pick(0.0, 0.06, 0.12) if style == "wave" else 0.0
        if style == "slats":
            places = np.linspace(z + 0.06, top, dice.count(2, 5) + 1)
            gap = max(0.02, 1.1 * unit)
            back = [box((-x, x), around(y, thick), (a + gap / 2, b - gap / 2)) for a, b in itertools.pairwise(places)]
            if width > 1.4:
                back.append(box(around(0, 0.05), (y - 0.2 * thick, y + 0.8 * thick), (z - 0.04, top - 0.01)))
        else:
            low = z + dice.pick(-0.03, 0.08)
            back = [panel((-x, x), y - thick / 2, (low, lambda u: top - 0.02 + rise * (1 - u**2)), thick, 21)]
    else:
        back = [
            box((-x, x), around(y, 1.2 * thick), level)
            for level in ((top - 0.07, top), (z + 0.05, z + 0.05 + 2 * unit))
        ]
        low, high = z + 0.07, top - 0.03
        if style == "bars":
            num = round(width / dice.size(0.11, 0.16))
            back += [
                box(around(at, dice.pick(1.2, 1.8) * unit), around(y, 0.9 * thick), (low, high))
                for at in np.linspace(-x, x, num + 2)[1:-1]
            ]
        else:
            fields = np.linspace(-x, x, dice.pick(2, 2, 3, 3) + 1)
            for a, b in itertools.pairwise(fields):
                back += [
                    bar((a, y, low), (b, y, high), 1.5 * unit, thick),
                    bar((b, y, low), (a, y, high), 1.5 * unit, thick),
                ]
                back.append(box(around(b, 1.5 * unit), around(y, thick), (low, high)))
    back += both(box(around(x, post), around(y, post), (z - 0.06, top)))
    parts += lean(back, z, dice.size(0.05, 0.3))
    arms = dice.chance(0.62)
    arm = z + dice.size(0.18, 0.25)
    if base == "legs":
        parts += both(
            [box(around(x, post), around(at, post), (0, end)) for at, end in ((y, z), (-y, arm if arms else z - 0.005))]
        )
        parts += rails(x, y, z - thick - 0.03, 0.06, 0.7 * post)
        if dice.chance(0.4):
            parts += [*both(bar((x, -y, 0.14), (x, y, 0.14), 0.7 * post)), bar((-x, 0, 0.14), (x, 0, 0.14), 0.7 * post)]
    elif base == "iron":  # bent ends
        r = 0.5 * post
        path = [(x, -y - 0.03, r), (x, -0.6 * y, 0.55 * z), (x, -y + 0.02, z - 0.03)]
        other = [(x, y + 0.08, r), (x, 0.5 * y, 0.5 * z), (x, y, z - 0.02)]
        ends = [
            tube(path, r),
            tube(other, r),
            bar((x, -y, z - 0.04), (x, y, z - 0.04), post),
            bar((x, 0.5 * y, 0.5 * z), (x, -0.5 * y, 0.55 * z), 0.8 * post),
        ]
        if arms:
            ends.append(tube([(x, -y + 0.02, z - 0.03), (x, -y - 0.02, arm - 0.03)], r))
        parts = _on_floor(parts + both(ends))
    else:
        wide = dice.size(0.1, 0.22)
        parts += both(box(around(0.36 * width, wide), (-y, y), (0, z - 0.5 * thick)))
        if arms:
            parts += both(box(around(x, post), around(-y, post), (z - 0.03, arm)))
    if arms:
        parts += both(bar((x, -y - 0.03, arm), (x, y + 0.06, arm + 0.01), 1.3 * post, thick))
    if dice.chance(0.08) and arms:
        parts.append(box(around(0, post), (-y, y), (arm - 0.02, arm + 0.02)))
        parts.append(box(around(0, post), around(-0.8 * y, post), (z - 0.03, arm)))
        parts.append(box(around(0, post), (0.7 * y, y + 0.05), (z - 0.03, arm)))
    return parts


def _soft_bench(dice: Dice) -> Parts:
    """An upholstered bench: plain, tufted in squares, with rolled arms, or for a piano."""
    width, depth, z = dice.size(0.9, 1.5), dice.size(0.36, 0.5), dice.size(0.42, 0.52)
    style = dice.pick("plain", "tufted", "tufted", "rolled", "piano", "wings")
    if style == "piano":
        width, depth = dice.size(0.7, 0.85), dice.size(0.3, 0.36)
    thick, leg, unit = dice.size(0.08, 0.14), dice.size(0.04, 0.06), width / 60
    low = z - thick
    parts = [box(around(0, width - 0.03), around(0, depth - 0.03), (low - 0.05, low + 0.02))]
    if style == "tufted":
        columns, rows = dice.count(3, 6), dice.pick(1, 2, 2)
        xs, ys = np.linspace(-width / 2, width / 2, columns + 1), np.linspace(-depth / 2, depth / 2, rows + 1)
        for x0, x1 in itertools.pairwise(xs):
            for y0, y1 in itertools.pairwise(ys):
                parts.append(cushion((x0 + 0.002, x1 - 0.002), (y0 + 0.002, y1 - 0.002), (low, z), 0.04))
        parts.append(box(around(0, width - 0.04), around(0, depth - 0.04), (low - 0.01, low + 0.5 * thick)))
    else:
        parts.append(cushion(around(0, width), around(0, depth), (low, z), dice.size(0.02, 0.05)))
    if style == "rolled":
        radius, x = dice.size(0.06, 0.09), width / 2 - 0.02
        rise = dice.size(0.1, 0.2)
        parts += both(bar((x, -depth / 2 + 0.01, z + rise), (x, depth / 2 - 0.01, z + rise), 2 * radius, sides=16))
        parts += both(box(around(x, 0.7 * radius), around(0, depth - 0.06), (low, z + rise)))
    elif style == "wings":
        rise, x = dice.size(0.15, 0.3), width / 2
        parts += both(cushion((x - 0.09, x), around(0, depth), (low - 0.04, z + rise), 0.035))
        if dice.chance(0.5):
            parts.append(cushion(around(0, width), (depth / 2 - 0.08, depth / 2 + 0.02), (low, z + rise), 0.035))
    x, y = width / 2 - leg - 0.01, depth / 2 - leg
    base = dice.pick("legs", "legs", "X", "turned", "sled")
    under = low - 0.03
    if base == "X":
        for side in (-1, 1):
            parts += both(bar((0.8 * x, side * y, under), (0.8 * x, -side * y, 0), leg))
        parts.append(box((-0.8 * x, 0.8 * x), around(0, 0.8 * leg), around(under / 2, 0.8 * leg)))
    elif base == "turned":
        knobs = [(0.4, 0.0), (0.6, 0.1), (0.35, 0.3), (0.8, 0.6), (0.5, 0.75), (0.8, 0.85), (0.8, 1.0)]
        parts += both([turned([(leg * r * 0.8, under * t) for r, t in knobs], x, at, sides=12) for at in (-y, y)])
    elif base == "sled":
        parts += both([box(around(x, leg), around(at, leg), (0, under)) for at in (-y, y)])
        parts += both(box(around(x, leg), (-y - leg / 2, y + leg / 2), (0, 0.7 * leg)))
    else:
        parts += four_legs(dice, x, y, under, leg)
    if style == "piano" or dice.chance(0.1):
        parts += rails(x, y, under - 0.02, 0.07, 1.6 * unit)
    return parts


def _chest_bench(dice: Dice) -> Parts:
    """A bench that holds things: a chest, compartments for shoes, drawers; with a back and arms at times."""
    width, depth, z = dice.size(0.9, 1.4), dice.size(0.34, 0.46), dice.size(0.42, 0.5)
    half, ys, board, unit = width / 2, (-depth / 2, depth / 2), max(0.025, width / 60 * 1.4), width / 60
    kind, lift = dice.pick("cubes", "cubes", "drawers", "chest"), dice.pick(0.03, 0.06, 0.1)
    if kind == "cubes":
        columns, rows = dice.count(2, 4), dice.pick(1, 1, 2)
        parts = both(box((half - board, half), ys, (lift, z)))
        parts += [
            box((-half, half), ys, around(level, board))
            for level in np.linspace(lift + board / 2, z - board / 2, rows + 1)
        ]
        parts += [box(around(x, board), ys, (lift, z)) for x in np.linspace(-half, half, columns + 1)[1:-1]]
        parts.append(box((-half, half), (ys[1] - 0.7 * board, ys[1]), (lift, z)))
    else:
        parts = [box((-half, half), ys, (lift, z))]
        if kind == "drawers":
            parts += drawer_fronts(dice, (-half, half), ys[0] - 0.012, (lift + 0.02, z - 0.02), 1, dice.pick(2, 3))
            parts.append(box((-half + 0.03, half - 0.03), (ys[0] - 0.02, ys[0] + 0.01), (lift + 0.03, z - 0.03)))
        else:
            num = dice.pick(2, 3, 4)
            for x0, x1 in itertools.pairwise(np.linspace(-half, half, num + 1)):
                edge = 2.2 * unit
                for xs in ((x0, x0 + edge), (x1 - edge, x1)):
                    parts.append(box(xs, (ys[0] - 1.2 * unit, ys[0] + 0.01), (lift, z)))
            for level in ((lift, lift + 2.5 * unit), (z - 2.5 * unit, z)):
                parts.append(box((-half, half), (ys[0] - 1.2 * unit, ys[0] + 0.01), level))
    if dice.chance(0.6):
        parts.append(cushion(around(0, width), (ys[0] - 0.02, ys[1]), (z - 0.01, z + dice.size(0.05, 0.08)), 0.025))
    else:
        parts.append(box(around(0, width + 0.04), (ys[0] - 0.03, ys[1]), (z - 0.005, z + board)))
    parts.append(box((-half + 0.02, half - 0.02), (ys[0] + 0.03, ys[1]), (0, lift + 0.01)))
    if dice.chance(0.55):
        tall = z + dice.size(0.35, 0.6)
        parts.append(box((-half, half), (ys[1] - 1.3 * board, ys[1]), (lift, tall)))
        for x in np.linspace(-half + 0.05, half - 0.05, dice.count(3, 5)):
            parts.append(box(around(x, 2.4 * unit), (ys[1] - 1.3 * board - unit, ys[1]), (z, tall)))
        parts.append(
            box((-half - 0.015, half + 0.015), (ys[1] - 1.3 * board - 1.2 * unit, ys[1]), (tall - 2.5 * unit, tall))
        )
        if dice.chance(0.6):
            parts += both(box((half - 1.2 * board, half), ys, (lift, z + dice.size(0.18, 0.26))))
    return parts


def _pew(dice: Dice) -> Parts:
    """A church bench: solid ends, a solid leaning back."""
    width, depth, z = dice.size(1.2, 2.0), dice.size(0.44, 0.52), dice.size(0.42, 0.46)
    top, board, half = dice.size(0.82, 1.0), dice.size(0.04, 0.06), width / 2
    front, rear = -depth / 2, depth / 2
    arm = z + dice.size(0.15, 0.25)
    round_ = dice.chance(0.5)
    curve = (
        [(0.05 + rear * 0.3, arm + 0.05), (rear * 0.75, top - 0.12)]
        if round_
        else [(rear - 0.1, arm), (rear - 0.06, top)]
    )
    profile = np.array(
        [
            (front, 0.0),
            (rear + 0.1, 0.0),
            (rear + 0.12, 0.5 * top),
            (rear + 0.12, top),
            *curve[::-1],
            (front, arm),
            (front - 0.0, 0.5 * z),
        ]
    )
    parts = both(plate(profile[:, [0, 1]], (half - board, half), axis=0))
    back = [box((-half + 0.01, half - 0.01), (rear - 0.02, rear + 0.02), (z - 0.15, top - 0.02))]
    back.append(box((-half + 0.01, half - 0.01), (rear - 0.05, rear + 0.03), (top - 0.06, top - 0.01)))
    parts += lean(back, z, 0.15)
    parts.append(box((-half + 0.01, half - 0.01), (front + 0.01, rear + 0.02), (z - board, z)))
    if dice.chance(0.5):
        parts.append(box((-half + 0.01, half - 0.01), (front + 0.06, front + 0.1), (z - 0.16, z - board + 0.01)))
    return parts


def _curved_bench(dice: Dice) -> Parts:
    """A seat along an arc, open to the front, perhaps with a back."""
    radius, depth, z = dice.size(0.75, 1.3), dice.size(0.34, 0.44), dice.size(0.4, 0.46)
    angle, thick = np.radians(np.linspace(-1, 1, 25) * dice.size(40, 75)), dice.size(0.05, 0.09)
    way = np.column_stack([np.sin(angle), np.cos(angle)])
    inner, outer = (radius - depth) * way, radius * way
    parts = [plate(np.concatenate([inner, outer[::-1]]), (z - thick, z))]
    places = range(2, 25, dice.pick(5, 10, 20))
    for i in places:
        spoke = np.array([inner[i] * 1.02, outer[i] * 0.98])
        side = np.array([way[i][1], -way[i][0]]) * dice.pick(0.03, 0.06)
        points = np.array([spoke[0] - side, spoke[1] - side, spoke[1] + side, spoke[0] + side])
        parts.append(plate(points, (0, z - 0.5 * thick)))
    if dice.chance(0.6):
        top, board = z + dice.size(0.3, 0.42), 0.045
        low = z + 0.1
        parts.append(plate(np.concatenate([(radius - board) * way, outer[::-1]]), (low, top)))
        for i in range(2, 25, 5):
            x, y = (radius - 0.6 * board) * way[i]
            parts.append(box(around(x, 0.05), around(y, 0.05), (z - thick, top - 0.02)))
    return parts
