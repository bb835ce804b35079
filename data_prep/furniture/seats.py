"""Chairs and sofas."""

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
    flat_top,
    four_legs,
    lean,
    oval,
    panel,
    plate,
    rails,
    sheet,
    tube,
    turned,
)

__all__ = ["chair", "sofa"]


def _chair_back(dice: Dice, width: float, y: float, z: float, height: float, style: str) -> Parts:
    """An upright back from the seat at z upwards, about y; the caller leans it."""
    post, half = dice.size(0.03, 0.05), width / 2
    top, edge = z + height, dice.size(0.05, 0.12)
    bow = dice.pick(0.0, 0.0, 0.03, 0.06)
    arch = dice.pick(0.0, 0.0, 0.04, 0.08)

    def curve(u: np.ndarray) -> np.ndarray:
        return y - post / 2 + bow * (1 - u**2)

    def crown(u: np.ndarray) -> np.ndarray:
        return top + arch * (1 - u**2)

    if style == "solid":
        lift = dice.pick(-0.03, -0.03, 0.06, 0.12)
        parts = [panel((-half, half), curve, (z + lift, crown), post)]
        if lift > 0:
            parts += both(bar((half * 0.7, y, z - 0.04), (half * 0.7, y, z + lift + 0.06), 0.05, post))
            if bow and lift < 0.1 and dice.chance(0.3):
                parts += both(bar((half - post / 2, y, z - 0.04), (half - post / 2, y, top), post))
        return parts
    if style == "round":
        points = oval((-half, half), (z + 0.08, top))
        stays = both(bar((half * 0.5, y, z - 0.04), (half * 0.5, y, z + 0.35 * height + 0.05), 0.045, post))
        return [plate(points, around(y, post), axis=1), *stays]
    x = half - post / 2
    parts = both(bar((x, y, z - 0.04), (x, y, top - 0.01), post, sides=dice.pick(4, 10)))
    rail = panel((-half, half), curve, (top - edge, crown), post)
    if style == "ladder":
        rungs = dice.count(2, 4) if height > 0.3 else 1
        thick = dice.size(0.03, max(0.035, 0.4 * height / rungs))
        parts += [
            panel((-x, x), lambda u: curve(u) + 0.005, (low, low + thick), post * 0.7)
            for low in z + height * (np.arange(rungs) + 0.6) / (rungs + 0.6)
            if low + thick < top - edge
        ]
        return [*parts, rail]
    if style == "cross":
        ends = (z + 0.04, top - edge / 2)
        return [*parts, *both(bar((-x, y, ends[0]), (x, y, ends[1]), 0.03, 0.05)), rail]
    if style == "splat":
        return [
            *parts,
            box(
                around(0, width * dice.size(0.25, 0.5)),
                around(y + bow, post * 0.7),
                (z - 0.03, top - edge / 2),
            ),
            rail,
        ]
    num_bars = dice.count(3, 6)
    thick = dice.size(0.018, 0.6 * width / num_bars) if style == "slats" else dice.size(0.016, 0.024)
    for place in np.linspace(-1, 1, num_bars + 2)[1:-1]:
        at = y + bow * (1 - place**2)
        foot = (place * x * 0.9, y, z - 0.03)
        parts.append(bar(foot, (place * x, at, top - edge / 2), thick, min(thick, post * 0.8)))
    return [*parts, rail]


def _dining_chair(dice: Dice) -> Parts:
    """Four legs or runners, a seat, one of many backs, perhaps arms."""
    width, depth, seat = dice.size(0.4, 0.54), dice.size(0.4, 0.52), dice.size(0.42, 0.48)
    if dice.chance(0.07):
        seat = dice.size(0.6, 0.75)  # a bar chair
    height = dice.pick(dice.size(0.15, 0.28), *[dice.size(0.35, 0.62)] * 5)
    thick, slab = dice.size(0.035, 0.06), dice.size(0.025, 0.07)
    x, y = width / 2 - thick / 2, depth / 2 - thick / 2
    slope = dice.size(0.05, 0.28)
    style = dice.pick("slats", "ladder", "solid", "solid", "spindles", "cross", "splat", "round")
    back = lean(_chair_back(dice, width, y, seat, height, style), seat - slab, slope)
    base = dice.pick("legs", "legs", "legs", "legs", "sled", "cantilever") if seat < 0.5 else "legs"
    if dice.chance(0.35):
        top = cushion(around(0, width), around(0, depth), (seat - slab, seat + 0.03), 0.03)
    else:
        top = flat_top(
            width, depth, (seat - slab, seat), dice.pick("sharp", "rounded", "rounded"), dice.size(0.04, 0.2)
        )
    parts = [top, *back]
    if base == "legs":
        braced = dice.chance(0.35)
        parts += four_legs(dice, x * 0.96, y * 0.96, seat - slab / 2, thick, plain=braced)
        if dice.chance(0.4):
            parts += rails(x * 0.94, y * 0.94, seat - slab - 0.02, 0.06, 0.025)
        if braced:
            z = seat * dice.size(0.25, 0.45)
            x, y = 0.96 * x, 0.96 * y
            parts += [*both(bar((x, -y, z), (x, y, z), 0.025)), bar((-x, 0, z), (x, 0, z), 0.025)]
    else:
        radius = dice.size(0.015, 0.022)
        x, y, z = width / 2 - radius, depth / 2, seat - slab / 2
        low = radius
        if base == "sled":
            path = [
                (x, y - 0.08, z),
                (x, y, 0.03),
                (x, y - 0.03, low),
                (x, 0.03 - y, low),
                (x, -y, 0.03),
                (x, 0.06 - y, z),
            ]
            parts += [*both(tube(path, radius)), bar((-x, 0, z), (x, 0, z), 0.03)]
        else:
            path = [(x, y, z), (x, 0.05 - y, z), (x, 0.01 - y, z - 0.02), (x, -y, z - 0.07)]
            path += [(x, -y, 0.06), (x, 0.02 - y, 0.02), (x, 0.06 - y, low), (x, y, low)]
            parts += [*both(tube(path, radius)), bar((-x, y - 0.02, low), (x, y - 0.02, low), 2 * radius)]
    if dice.chance(0.3):
        z, x, y = seat + min(dice.size(0.17, 0.25), height - 0.01), width / 2, depth / 2
        reach = min(y + slope * (z - seat), y + 0.06)
        end = -y * dice.size(0.5, 0.95)
        parts += both(box(around(x, 0.05), (end - 0.03, reach), around(z, 0.03)))
        parts += both(bar((x - 0.01, end, seat - slab), (x, end, z), 0.035))
        if height < z - seat + 0.03:
            parts += both(bar((x - 0.01, y - 0.03, seat - slab), (x, reach - 0.03, z), 0.035))
    return parts


def _office_chair(dice: Dice) -> Parts:
    """A star base, a column, cushions for seat and back, perhaps arms."""
    seat, width, depth = dice.size(0.44, 0.52), dice.size(0.44, 0.54), dice.size(0.42, 0.5)
    reach, height, spokes = dice.size(0.27, 0.34), dice.size(0.38, 0.75), dice.pick(5, 5, 4)
    parts = [turned([(0.03, 0.06), (0.03, 0.25), (0.022, 0.25), (0.022, seat - 0.06)])]
    for angle in 2 * np.pi * (np.arange(spokes) + dice.pick(0.25, 0.5)) / spokes:
        x, y = reach * np.cos(angle), reach * np.sin(angle)
        parts += [bar((0, 0, 0.11), (x, y, 0.065), 0.055, 0.045, taper=0.7)]
        parts += [turned([(0.015, 0.0), (0.03, 0.01), (0.03, 0.05), (0.015, 0.075)], x, y, sides=8)]
    parts.append(cushion(around(0, width), around(0, depth), (seat - 0.09, seat), 0.04))
    gap, bow = dice.pick(0.0, 0.08, 0.14), dice.size(0.0, 0.08)
    y, half = depth / 2 - 0.04, width * dice.size(0.4, 0.5)
    back = [
        panel(
            (-half, half),
            lambda u: y + bow * (1 - u**2),
            (seat + gap - 0.05, lambda u: seat + height - 0.05 * u**4),
            dice.size(0.04, 0.09),
        )
    ]
    back.append(bar((0, y + bow, seat - 0.06), (0, y + bow + 0.03, seat + gap + 0.15), 0.09, 0.04))
    back.append(box((-0.045, 0.045), (0, y + bow + 0.02), (seat - 0.11, seat - 0.06)))
    if dice.chance(0.25):
        back.append(cushion(around(0, 0.28), around(y + bow, 0.09), around(seat + height + 0.1, 0.14), 0.04))
        back.append(bar((0, y + bow + 0.02, seat + height - 0.1), (0, y + bow + 0.02, seat + height + 0.1), 0.06, 0.03))
    parts += lean(back, seat, dice.size(0.05, 0.25))
    if dice.chance(0.65):
        z, x = seat + dice.size(0.18, 0.24), width / 2 + 0.03
        parts += both(
            [
                box(around(x, 0.06), (-0.14, 0.15), around(z, 0.035)),
                bar((x, 0.03, seat - 0.07), (x, 0.03, z), 0.035, 0.07),
            ]
        )
        parts += [box((-x, x), (0.0, 0.06), (seat - 0.09, seat - 0.055))]
    return parts


def _shell_chair(dice: Dice) -> Parts:
    """A moulded shell, bent from seat into back, upon legs or a column."""
    seat, width, depth, height = (
        dice.size(0.42, 0.47),
        dice.size(0.44, 0.56),
        dice.size(0.4, 0.46),
        dice.size(0.3, 0.5),
    )
    profile = np.array(
        [
            (-0.5, -0.03),
            (-0.44, 0.0),
            (0.0, -0.02),
            (0.3, -0.01),
            (0.45, 0.06),
            (0.5, 0.14),
            (0.56, 0.6),
            (0.6, 1),
        ]
    )
    profile = profile * (depth, 1) + (0, seat)
    profile[4:, 1] = seat + np.array([0.05, 0.13, 0.6, 1]) * (1, 1, height, height)
    widths = width / 2 * np.array([0.9, 0.97, 1, 1, 0.97, 0.95, 0.9, dice.size(0.55, 0.92)])
    curl = dice.size(0.02, 0.14)
    u = np.linspace(-1, 1, 11)
    surface = np.empty((8, 11, 3))
    surface[..., 0] = widths[:, None] * u
    upright = np.array([0, 0, 0, 0.2, 0.6, 0.9, 1, 1])[:, None]
    surface[..., 1] = profile[:, :1] - upright * curl * u**2
    surface[..., 2] = profile[:, 1:] + (1 - upright) * curl * u**2
    thick = dice.size(0.025, 0.04)
    parts = [sheet(surface, np.stack([0 * upright, upright, upright - 1], -1) * thick)]
    if dice.chance(0.65):
        return (
            parts
            + four_legs(dice, width * 0.3, depth * 0.3, seat - 0.01, dice.size(0.03, 0.045))
            + rails(width * 0.3, depth * 0.3, seat - 0.045, 0.035, 0.03)
        )
    foot = dice.size(0.2, 0.26)
    return [
        *parts,
        turned(
            [(foot, 0), (foot, 0.015), (0.05, 0.04), (0.03, 0.1), (0.03, seat - 0.06), (0.1, seat - 0.02)],
            sides=20,
        ),
    ]


def _tub_chair(dice: Dice) -> Parts:
    """A rounded wall about a cushion."""
    seat, radius, thick = dice.size(0.38, 0.45), dice.size(0.3, 0.38), dice.size(0.06, 0.11)
    height, arm, leg = dice.size(0.68, 0.85), dice.size(0.56, 0.66), dice.size(0.04, 0.16)
    angle = np.linspace(-0.25 * np.pi, 1.25 * np.pi, 25)
    rise = np.clip(np.sin(angle) * 1.6 - 0.2, 0, 1) if dice.chance(0.6) else np.ones(25)
    around_it = np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)
    wall = radius * around_it
    low, high = (
        wall + np.array([0, 0, leg]),
        wall + np.stack([0 * rise, 0 * rise, arm + (height - arm) * rise], -1),
    )
    parts = [sheet(np.stack([low, high], axis=1), -thick * around_it[:, None])]
    inside = radius - 0.6 * thick
    parts += [turned([(inside, leg), (inside, seat - 0.13)], sides=24)]
    parts += [
        turned(
            [
                (inside - 0.02, seat - 0.14),
                (inside, seat - 0.11),
                (inside, seat - 0.03),
                (inside - 0.03, seat),
            ],
            sides=24,
        )
    ]
    return parts + four_legs(dice, radius * 0.6, radius * 0.6, leg + 0.02, dice.size(0.04, 0.07))


def chair(dice: Dice) -> Parts:
    """A chair: mostly for dining, else office, shell, tub or arm chair."""
    makers = [_dining_chair] * 11 + [_office_chair] * 3 + [_shell_chair] * 2 + [_tub_chair, _armchair, _armchair]
    return dice.pick(*makers)(dice)


def _armchair(dice: Dice) -> Parts:
    return _upholstered(dice, 1, dice.size(0.5, 0.62), dice.size(0.72, 0.88))[0]


def _upholstered(dice: Dice, seats: int, seat_width: float, depth: float) -> tuple[Parts, dict[str, float]]:
    """An armchair or a straight sofa, and the measures that a corner is built on."""
    leg, seat, height = dice.size(0.03, 0.17), dice.size(0.4, 0.48), dice.size(0.7, 0.95)
    inner = seats * seat_width
    arm = dice.pick("block", "block", "soft", "rolled", "slope", "wood", "none")
    arm = "block" if seats == 1 and arm == "none" else arm
    arm_width = {"none": 0.0, "wood": 0.06}.get(arm, dice.size(0.1, 0.26))
    arm_height = (
        dice.pick(dice.size(0.56, 0.68), dice.size(0.56, 0.68), height) if arm == "block" else dice.size(0.55, 0.68)
    )
    back, soft, slope = dice.size(0.1, 0.2), dice.size(0.12, 0.18), dice.pick(0.0, 0.1, 0.2)
    front, rear = -depth / 2, depth / 2
    half, outer = inner / 2, inner / 2 + arm_width
    floor = leg if dice.chance(0.75) else 0.0
    parts = [box((-half - 0.01, half + 0.01), (front + 0.02, rear), (floor, seat - soft + 0.01))]
    # back
    camel = dice.pick(0.0, 0.0, 0.0, 0.08, 0.14) if seats > 1 else dice.pick(0.0, 0.06)
    wide = outer if camel == 0 and arm != "rolled" and dice.chance(0.5) else half + 0.01
    if arm == "block" and arm_height == height:
        camel = slope = 0.0
    board = panel((-wide, wide), rear - back, (floor, lambda u: height - camel * u**2), back, 13)
    parts += lean([board], seat, slope)
    # cushions
    tight = camel > 0 or dice.chance(0.25)
    edges = np.linspace(-half, half, seats + 1)
    plump = dice.size(0.1, 0.2)
    if dice.chance(0.2):
        parts.append(cushion((-half, half), (front, rear - back + 0.02), (seat - soft, seat), 0.05))
    else:
        for x0, x1 in itertools.pairwise(edges):
            parts.append(cushion((x0 + 0.004, x1 - 0.004), (front, rear - back + 0.02), (seat - soft, seat), 0.05))
    if not tight:
        rise = dice.size(-0.04, 0.1)
        pillows = [
            cushion(
                (x0 + 0.006, x1 - 0.006),
                (rear - back - plump, rear - back + 0.04),
                (seat - 0.03, height + rise),
                0.07,
            )
            for x0, x1 in itertools.pairwise(edges)
        ]
        parts += lean(pillows, seat, slope + 0.08)
    # arms
    top = arm_height
    if arm == "block":
        parts += both(box((half - 0.01, outer), (front, rear), (floor, top)))
    elif arm == "soft":
        parts += both(cushion((half - 0.02, outer), (front, rear), (floor, top), dice.size(0.04, 0.12)))
    elif arm == "rolled":
        roll = arm_width * dice.size(0.5, 0.62)
        x = half + arm_width / 2
        parts += both(
            [
                box(around(x, arm_width * 0.85 + 0.01), (front, rear), (floor, top - roll)),
                plate(
                    oval(around(x + 0.02, 2 * roll), (top - 2 * roll, top), 18),
                    (front - 0.015, rear - 0.02),
                    axis=1,
                ),
            ]
        )
    elif arm == "slope":
        drop = dice.size(0.05, 0.12)
        points = np.array([(front, floor), (rear, floor), (rear, top + drop), (front, top - drop)])
        parts += both(plate(points, (half - 0.01, outer), axis=0))
    elif arm == "wood":
        x = half + 0.03
        parts += both(
            [
                box(around(x, 0.07), (front, rear), (top - 0.05, top)),
                box((half - 0.02, x), (front + 0.05, rear), (seat - soft - 0.1, seat - soft)),
            ]
        )
        parts += both([box(around(x, 0.06), around(y, 0.06), (0, top - 0.03)) for y in (front + 0.06, rear - 0.06)])
    if arm != "wood" and floor > 0:
        inset = dice.size(0.04, 0.08) + (arm_width if arm == "soft" else 0.0)
        parts += four_legs(
            dice, outer - inset, depth / 2 - inset, floor + 0.03, dice.size(0.04, 0.07), plain=arm == "none"
        )
    measures = {
        "floor": floor,
        "seat": seat,
        "soft": soft,
        "height": height - camel,
        "half": half,
        "outer": outer,
        "front": front,
        "rear": rear,
        "back": back,
        "plump": plump,
    }
    return parts, measures


def sofa(dice: Dice) -> Parts:
    """A sofa of two to four seats, at times an L."""
    seats = dice.pick(2, 2, 2, 3, 3, 3, 4)
    parts, m = _upholstered(dice, seats, dice.size(0.55, 0.72), dice.size(0.8, 1.0))
    if dice.chance(0.3):  # scatter cushions
        x, y = m["half"] - 0.22, m["rear"] - m["back"] - m["plump"] - 0.02
        parts += both(
            lean(
                [cushion(around(x, 0.4), around(y, 0.14), (m["seat"] - 0.02, m["seat"] + 0.36), 0.06)],
                m["seat"],
                0.25,
            )
        )
    if seats > 2 and dice.chance(0.4):
        parts += _sofa_corner(dice, m, m["half"] * 2 / seats)
        if dice.chance(0.5):
            parts = [(vertices * (-1, 1, 1), faces[:, ::-1]) for vertices, faces in parts]
    return parts


def _sofa_corner(dice: Dice, m: dict[str, float], width: float) -> Parts:
    """What makes a sofa an L, at its +x end: a chaise, or a side with its own back."""
    reach = dice.size(0.5, 0.8)
    x0, x1, front = m["half"] - width, m["half"], m["front"] - reach
    if sectional := dice.chance(0.5):
        front, x1 = m["front"] - dice.size(0.7, 1.3), m["outer"]
    bottom = m["seat"] - m["soft"]
    parts = [
        box((x0, x1), (front + 0.02, m["front"] + 0.1), (m["floor"], bottom + 0.01)),
        cushion((x0, x1), (front, m["front"] + 0.06), (bottom, m["seat"]), 0.05),
    ]
    if sectional:
        parts.append(box((x1 - m["back"], x1), (front, m["front"] + 0.05), (m["floor"], m["height"])))
        parts.append(
            cushion(
                (x1 - m["back"] - m["plump"], x1 - m["back"] + 0.03),
                (front + 0.02, m["front"] + 0.04),
                (m["seat"] - 0.03, m["height"] + 0.03),
                0.06,
            )
        )
    for x in (x0 + 0.06, x1 - 0.06):
        parts.append(bar((x, front + 0.08, m["floor"] + 0.03), (x, front + 0.08, 0), 0.05))
    return parts
