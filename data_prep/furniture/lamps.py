"""Lamps that stand on the floor or on a table."""

from __future__ import annotations

import itertools

import numpy as np

from data_prep.furniture.parts import (
    Dice,
    Part,
    Parts,
    around,
    bar,
    both,
    box,
    four_legs,
    hoop,
    loft,
    moved,
    outline,
    rails,
    rising,
    squircle,
    tube,
    turned,
    twisted,
)

__all__ = ["lamp"]

SHADES = ("drum", "drum", "cone", "cone", "empire", "bell", "dome", "globe", "square", "pagoda", "oval", "urn")


def lamp(dice: Dice) -> Parts:
    """A lamp: on a table or on the floor, arched, jointed, on three legs, with many heads, a lantern, a globe."""
    makers = [_table_lamp] * 9 + [_floor_lamp] * 5 + [_desk_lamp] * 4 + [_tripod_lamp] * 2 + [_arc_lamp] * 3
    makers += [_mushroom_lamp, _banker_lamp, _gooseneck_lamp, _tree_lamp, _column_lamp, _torch_lamp, _lantern]
    return dice.pick(*makers)(dice)


def _shade(dice: Dice, style: str, radius: float, height: float, wall: float) -> Parts:
    """A shade about the z axis from 0 to ``height``, open below, held by what comes up through its middle."""
    top, closed = radius * dice.size(0.72, 1.0), dice.chance(0.4)
    profile = [(radius, 0.0), (top, height)]
    if style == "globe":
        angle = np.linspace(-1.2, 1.35, 9)
        ball = [(radius * np.cos(a), height / 2 + height / 2 * np.sin(a) / np.sin(1.35)) for a in angle]
        return [turned(ball, sides=24)]
    if style == "cone":
        profile = [(radius, 0.0), (radius * dice.size(0.3, 0.5), height)]
    elif style == "empire":
        profile = [(radius, 0.0), (radius * dice.size(0.5, 0.7), height)]
    elif style == "bell":
        s = np.linspace(0, 1, 7)
        profile = [(radius * (0.42 + 0.58 * (1 - t) ** 2.2), height * t) for t in s]
    elif style == "dome":
        a = np.linspace(0, 0.47 * np.pi, 8)
        profile, closed = [(radius * np.cos(t), height * np.sin(t)) for t in a], True
    elif style == "pagoda":
        profile = [
            (radius, 0.0),
            (radius * 0.62, height * 0.35),
            (radius * 0.42, height * 0.7),
            (radius * 0.36, height),
        ]
    elif style == "urn":
        profile = [(radius * 0.7, 0.0), (radius, height * 0.4), (radius * 0.95, height * 0.6), (radius * 0.55, height)]
    if style in ("square", "oval", "pagoda"):
        narrow = dice.size(0.6, 1.0)

        def ring(r: float) -> np.ndarray:
            if style == "oval":
                return squircle(around(0, 2 * r), around(0, 2 * r * narrow), 2.0)
            return outline(
                around(0, 2 * r), around(0, 2 * r * (narrow if style == "square" else 1)), 0.02, per_corner=2
            )
    else:

        def ring(r: float) -> np.ndarray:
            return squircle(around(0, 2 * r), around(0, 2 * r), 2.0, num_points=28)

    slopes = [abs(r0 - r1) / max(z1 - z0, 1e-6) for (r0, z0), (r1, z1) in itertools.pairwise(profile)]
    steepest = np.maximum([slopes[0], *slopes], [*slopes, slopes[-1]])
    across = wall * np.minimum(np.hypot(1, steepest), 2.5)  # as thick where the shade lies flatter
    inner = [(max(r - thick, 0.3 * r), z) for (r, z), thick in zip(profile, across, strict=True)]
    if closed:
        inner[-1] = (inner[-1][0], height - wall)
        shell = rising([(ring(r), z) for r, z in [*profile[::-1], *inner]])
        return [shell, turned([(0.8 * wall, 0.4 * height), (0.8 * wall, height - 0.4 * wall)])]
    circle = [np.column_stack([ring(r), np.full(len(ring(r)), z)]) for r, z in [*profile, *inner[::-1]]]
    # a spider of four spokes carries it
    spokes = 0.75 * height
    reach = float(np.interp(spokes, [z for _, z in profile], [r for r, _ in profile]))
    depth = reach * (narrow if style in ("square", "oval") else 1.0)
    parts: Parts = [hoop(circle)]
    parts.append(box(around(0, 2 * reach - wall), around(0, 1.2 * wall), around(spokes, 1.2 * wall)))
    parts.append(box(around(0, 1.2 * wall), around(0, 2 * depth - wall), around(spokes, 1.2 * wall)))
    return parts


def _spin(profile: list[tuple[float, float]], num: int = 24) -> Part:
    return turned(profile, sides=num)


def _body(dice: Dice, radius: float, height: float, neck: float) -> Parts:
    """The foot and the body of a table lamp, up to a height; ``neck`` is the radius where it ends."""
    style = dice.pick(
        "gourd",
        "vase",
        "ball",
        "cylinder",
        "stack",
        "candle",
        "cube",
        "pyramid",
        "bottle",
        "hourglass",
        "loop",
        "column",
        "jar",
        "prism",
        "cone",
    )
    t = np.linspace(0, 1, 13)
    foot = [(0.75 * radius, 0.0), (0.75 * radius, 0.06 * height)]
    if style == "gourd":
        r = 0.55 + 0.45 * np.cos(2 * np.pi * (t * 1.45 - 0.22))
        r = radius * np.maximum(r * (1 - 0.45 * t), 0.22)
        r[-1] = neck
    elif style == "vase":
        r = radius * (0.45 + 0.55 * np.sin(np.pi * t**0.75) ** 1.2)
        r[-2:] = (1.6 * neck, neck)
    elif style == "jar":
        r = radius * np.array([0.55, 0.75, 0.88, 0.96, 1, 1, 1, 0.98, 0.92, 0.8, 0.5, 0.25, 0.2])
    elif style == "bottle":
        r = radius * np.array([0.85, 0.95, 1, 1, 1, 0.97, 0.85, 0.6, 0.38, 0.28, 0.25, 0.25, 0.25])
    elif style == "hourglass":
        r = radius * (0.32 + 0.68 * np.abs(2 * t - 1) ** 1.5)
        r[-1] = neck
    elif style == "cone":
        r = radius * (1 - 0.85 * t)
        r[-1] = neck
    elif style == "cylinder":
        wide = radius * dice.size(0.5, 0.9)
        return [_spin([*foot, (wide, 0.06 * height), (wide, 0.9 * height), (neck, 0.9 * height), (neck, height)])]
    elif style == "ball":
        parts = [_spin([*foot, (1.3 * neck, 0.07 * height), (1.3 * neck, height)])]
        low = dice.size(0.0, 0.2) * height
        size = min(radius, 0.42 * height)
        a = np.linspace(-1.3, 1.3, 9)
        return [*parts, _spin([(size * np.cos(v), low + size + size * np.sin(v)) for v in a])]
    elif style == "stack":
        num, parts = dice.count(2, 4), [_spin([*foot, (neck, 0.08 * height), (neck, height)])]
        shrink = dice.pick(1.0, 1.0, 0.8)
        sizes = shrink ** np.arange(num)
        sizes = 0.92 * height * sizes / sizes.sum()
        z = 0.04 * height
        a = np.linspace(-1.25, 1.25, 7)
        for size in sizes:
            wide = min(0.5 * size * dice.pick(1.0, 1.0, 1.3), 1.1 * radius)
            parts.append(_spin([(wide * np.cos(v), z + size * (0.5 + 0.54 * np.sin(v))) for v in a], 20))
            z += size
        return parts
    elif style in ("candle", "column"):
        thick = max(neck, 0.14 * radius) * (1.0 if style == "candle" else 1.8)
        knobs = [(radius, 0.0), (radius, 0.04 * height), (0.7 * radius, 0.09 * height), (thick, 0.13 * height)]
        if style == "candle":
            for z in dice.pick((0.3, 0.75), (0.2, 0.5, 0.8), (0.45,)):
                knobs += [(thick, (z - 0.05) * height), (2.6 * thick, z * height), (thick, (z + 0.05) * height)]
        knobs += [(thick, 0.92 * height), (1.6 * thick, 0.95 * height), (neck, height)]
        return [_spin(knobs)]
    elif style in ("cube", "prism", "pyramid"):
        wide = radius * {"cube": 0.85, "prism": 0.5, "pyramid": 0.95}[style]
        end = wide * (0.18 if style == "pyramid" else dice.pick(1.0, 1.0, 0.75))
        top = {"cube": min(0.92, 1.9 * wide / height), "prism": 0.92, "pyramid": 0.95}[style] * height
        rings = [
            (outline(around(0, 2 * r), around(0, 2 * r), 0.01, per_corner=2), z) for r, z in ((wide, 0), (end, top))
        ]
        base = [box(around(0, 2.2 * wide), around(0, 2.2 * wide), (0, 0.04 * height))] if dice.chance(0.5) else []
        return [rising(rings), *base, _spin([(1.2 * neck, 0.02), (1.2 * neck, height)], 12)]
    else:  # a loop or a frame that one sees through
        wide, thick = radius * dice.size(0.65, 0.95), 0.13 * radius + 0.008
        a = np.linspace(0, 2 * np.pi, 33)[:-1] + 0.01
        tall = 0.45 * height
        ring = [
            np.column_stack([(wide + dr) * np.sin(a), np.full(32, dy), 0.06 * height + tall + (tall + dr) * -np.cos(a)])
            for dr, dy in ((-thick, -thick), (thick, -thick), (thick, thick), (-thick, thick))
        ]
        return [
            box(around(0, 1.5 * radius), around(0, radius), (0, 0.07 * height)),
            hoop(ring),
            _spin([(1.1 * neck, 0.92 * height), (1.1 * neck, height)], 12),
        ]
    return [
        _spin([*foot[:1], *[(float(a), float(b)) for a, b in zip(r, 0.03 * height + 0.97 * height * t, strict=True)]])
    ]


def _table_lamp(dice: Dice) -> Parts:
    """A body with a shade as wide as or wider than it."""
    height = dice.size(0.4, 0.75)
    shade_height = height * dice.size(0.3, 0.5)
    body = height - 0.8 * shade_height
    radius = height * dice.size(0.22, 0.38)
    neck = 0.029 * height
    style = dice.pick(*SHADES)
    if style in ("globe", "dome"):
        shade_height = min(shade_height, (1.7 if style == "globe" else 0.9) * radius)
        radius = max(radius, 0.5 * shade_height) if style == "dome" else 0.55 * shade_height
    wide = min(radius * dice.size(0.55, 0.85), 0.3 * height)
    parts = _body(dice, max(wide, 0.1 * height), body, neck)
    low = body - 0.08 * shade_height if style != "globe" else body - 0.05 * shade_height
    parts += moved(_shade(dice, style, radius, shade_height, 0.022 * height), z=low)
    top = low + shade_height
    if style != "globe":
        parts.append(_spin([(neck, body - 0.02), (neck, low + 0.8 * shade_height)], 12))
        parts.append(
            _spin(
                [(1.8 * neck, body), (2.4 * neck, body + 0.3 * shade_height), (1.2 * neck, body + 0.5 * shade_height)],
                12,
            )
        )
        if dice.chance(0.3):
            parts.append(
                _spin(
                    [(neck, low + 0.7 * shade_height), (neck, top + 0.02), (2 * neck, top + 0.03), (neck, top + 0.06)],
                    12,
                )
            )
    return parts


def _base(dice: Dice, radius: float, thick: float) -> Parts:
    """What a pole stands on."""
    style = dice.pick("disc", "disc", "dome", "square", "cross", "feet")
    if style == "disc":
        return [_spin([(radius, 0), (radius, thick)])]
    if style == "dome":
        return [_spin([(radius, 0), (radius, 0.4 * thick), (0.6 * radius, 1.4 * thick), (0.15 * radius, 2.2 * thick)])]
    if style == "square":
        return [box(around(0, 1.7 * radius), around(0, 1.7 * radius), (0, thick))]
    num = 4 if style == "cross" else 3
    parts: Parts = []
    for angle in 2 * np.pi * (np.arange(num) + 0.25) / num:
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        if style == "cross":
            parts.append(bar((0, 0, thick), (x, y, 0.5 * thick), 1.2 * thick, thick))
        else:
            path = [
                (0, 0, 0.28 * radius + 0.12),
                (0.45 * x, 0.45 * y, 0.1 + 0.2 * radius),
                (0.85 * x, 0.85 * y, 0.04),
                (x, y, 0.02),
            ]
            parts.append(tube(path, 0.5 * thick))
    if style == "feet":
        parts.append(_spin([(thick, 0.08), (thick, 0.3)], 12))
    return parts


def _floor_lamp(dice: Dice) -> Parts:
    """A pole on a base with a shade at its top."""
    height, pole = dice.size(1.35, 1.75), dice.size(0.02, 0.026)
    pole = max(pole, 0.0128 * height)
    style = dice.pick(*SHADES)
    radius, tall = dice.size(0.16, 0.28), dice.size(0.2, 0.38)
    if style == "globe":
        radius = 0.5 * tall
    low = height - tall
    parts = _base(dice, dice.size(0.13, 0.19), dice.size(0.03, 0.045))
    if dice.chance(0.25):  # a turned column
        z = np.linspace(0.03, low + 0.05, 25)
        r = pole * (1.2 + 0.8 * np.abs(np.sin(z * 9)))
        parts.append(_spin([(float(a), float(b)) for a, b in zip(r, z, strict=True)], 12))
    else:
        parts.append(_spin([(pole, 0.01), (pole, low + 0.05)], 12))
    if style != "globe":
        parts.append(_spin([(pole, low), (pole, low + 0.85 * tall)], 10))
        parts.append(_spin([(0.025, low), (0.045, low + 0.3 * tall), (0.02, low + 0.5 * tall)], 12))
    parts += moved(_shade(dice, style, radius, tall, 0.03), z=low)
    extra = dice.pick("none", "none", "none", "table", "arm")
    if extra == "table":
        z, wide = dice.size(0.5, 0.7), dice.size(0.2, 0.28)
        parts.append(_spin([(wide, z), (wide, z + 0.035)], 28))
    elif extra == "arm":  # a reading lamp at half height, to the front
        z, x = dice.size(0.85, 1.05), dice.pick(-0.1, 0.1)
        parts.append(tube([(0, 0, z), (x, -0.15, z + 0.08), (x, -0.27, z + 0.03)], 0.018))
        parts.append(turned([(0.075, z - 0.09), (0.05, z), (0.025, z + 0.05)], x, -0.27, sides=14))
    return parts


def _tripod_lamp(dice: Dice) -> Parts:
    """Three legs that meet under a shade."""
    floor = dice.chance(0.7)
    height = dice.size(1.3, 1.65) if floor else dice.size(0.5, 0.7)
    tall, radius, thick = height * dice.size(0.18, 0.28), height * dice.size(0.13, 0.2), height * dice.size(0.021, 0.03)
    low = height - tall
    spread, meet, start = (
        height * dice.size(0.16, 0.26),
        low - height * dice.size(0.0, 0.06),
        dice.pick(-np.pi / 2, np.pi / 2),
    )
    parts: Parts = [
        _spin(
            [
                (2 * thick, meet - 2 * thick),
                (2 * thick, meet + thick),
                (0.6 * thick, low),
                (0.6 * thick, low + 0.85 * tall),
            ],
            12,
        )
    ]
    for angle in start + 2 * np.pi * np.arange(3) / 3:
        x, y = spread * np.cos(angle), spread * np.sin(angle)
        across = dice.size(0.0, 0.08) if angle == start else 0.0
        parts.append(bar((x * across, y * across, meet), (x, y, 0), 1.4 * thick, taper=0.8, sides=8))
    ring = dice.pick("none", "none", "ring", "shelf")
    if ring != "none":
        z = meet * dice.size(0.25, 0.45)
        r = spread * (1 - z / meet)
        hub = [
            _spin(
                [
                    (r * (1.15 if ring == "shelf" else 0.35), z),
                    (r * (1.15 if ring == "shelf" else 0.35), z + 1.4 * thick),
                ],
                20,
            )
        ]
        if ring == "ring":
            hub += [
                bar((0, 0, z + 0.5 * thick), (r * np.cos(a), r * np.sin(a), z + 0.5 * thick), thick)
                for a in start + 2 * np.pi * np.arange(3) / 3
            ]
        parts += hub
    style = dice.pick("drum", "drum", "cone", "empire", "bell", "dome", "square")
    return parts + moved(_shade(dice, style, radius, tall, 0.02 * height), z=low)


def _arc_lamp(dice: Dice) -> Parts:
    """A heavy foot, an arch to the front, a shade that hangs from its end."""
    height, reach, radius = dice.size(1.6, 2.0), dice.size(0.8, 1.25), dice.size(0.027, 0.032)
    style = dice.pick("dome", "dome", "drum", "globe", "cone")
    base, side = dice.size(0.15, 0.2), dice.size(-0.6, 0.6)
    thick = dice.size(0.05, 0.12)
    foot = (
        [_spin([(base, 0), (base, thick)])]
        if dice.chance(0.6)
        else [box(around(0, 1.6 * base), around(0, 1.6 * base), (0, 1.4 * thick))]
    )
    drop, t = dice.size(0.15, 0.45), np.linspace(0, 1, 15)
    if dice.chance(0.7):
        angle = np.pi * t * dice.size(0.72, 0.85)
        out, up = (1 - np.cos(angle)) / 2, np.sin(np.minimum(angle, np.pi)) ** 0.8
        out, up = out / out[-1] * reach, height * (0.45 * np.minimum(2 * t, 1) + 0.55 * up)
    else:  # straight up, then over
        out = reach * np.clip((t - 0.5) * 2, 0, 1)
        up = height * np.minimum(2 * t, 1) - 0.12 * height * np.clip((t - 0.55) * 2, 0, 1) ** 2
    up = up / up.max() * height
    path = np.column_stack([0 * t, -out, np.maximum(up, 0.02)])
    end, size = path[-1, 2], dice.size(0.14, 0.24)
    tall = size * {"dome": 0.9, "globe": 1.8, "drum": 1.1, "cone": 1.2}[style]
    low = max(0.7, end - drop) - tall
    head = moved(_shade(dice, style, size if style != "globe" else tall / 2, tall, 0.035), y=-reach, z=low)
    if style != "dome":
        head.append(turned([(radius, low + 0.4 * tall), (radius, low + tall)], 0, -reach, sides=10))
    hang = bar((0, -reach, end + 0.01), (0, -reach, low + tall - 0.04), 2 * radius, sides=8)
    return twisted([*foot, tube(path, radius), hang, *head], np.degrees(side))


def _desk_lamp(dice: Dice) -> Parts:
    """A foot, two jointed arms and a head that looks down to the front."""
    lower, upper, thick = dice.size(0.24, 0.4), dice.size(0.22, 0.36), dice.size(0.012, 0.016)
    back, fore = np.radians(dice.size(5, 35)), np.radians(dice.size(20, 60))
    z0 = dice.size(0.03, 0.05)
    elbow = np.array([0, lower * np.sin(back), z0 + lower * np.cos(back)])
    hand = elbow + np.array([0, -upper * np.cos(fore - 0.35), upper * np.sin(fore)])
    style = dice.pick("cone", "cone", "cone", "dome", "bar", "bar", "disc", "can")
    foot = dice.size(0.085, 0.12)
    parts: Parts = (
        [_spin([(foot, 0), (foot, 0.6 * z0), (0.8 * foot, z0)])]
        if dice.chance(0.65)
        else [box(around(0, 2 * foot), around(0, 1.6 * foot), (0, z0))]
    )
    double = dice.chance(0.45) and style != "bar"
    for x in (-0.022, 0.022) if double else (0.0,):
        parts += [
            tube([(x, 0, 0.5 * z0), (x, elbow[1], elbow[2])], thick * (0.8 if double else 1.1)),
            tube([(x, elbow[1], elbow[2]), (x, hand[1], hand[2])], thick * (0.8 if double else 1.1)),
        ]
    joint = 0.035 if double else 0.024
    for point in (elbow, hand, (0.0, 0.0, z0 + 0.01)):
        parts.append(bar((-joint, *point[1:]), (joint, *point[1:]), 0.05, sides=10))
    tilt = dice.size(10, 55)
    head: Parts
    if style == "bar":
        long, tilt = dice.size(0.28, 0.45), dice.size(-5, 20)
        along = dice.chance(0.5)
        head = [
            box((-0.03, 0.03), (-long, 0.02), (-0.018, 0.018))
            if along
            else box(around(0, long), (-0.05, 0.03), (-0.018, 0.02))
        ]
    elif style == "disc":
        head = [_spin([(0.1, -0.05), (0.11, -0.03), (0.11, -0.01), (0.04, 0.02)])]
    else:
        size, tall = dice.size(0.075, 0.11), dice.size(0.11, 0.17)
        profile = {
            "cone": [(size, -tall), (0.45 * size, -0.2 * tall), (0.35 * size, 0.15 * tall)],
            "dome": [
                (size, -0.8 * tall),
                (0.95 * size, -0.5 * tall),
                (0.7 * size, -0.15 * tall),
                (0.3 * size, 0.1 * tall),
            ],
            "can": [(0.6 * size, -tall), (0.6 * size, 0.0), (0.45 * size, 0.12 * tall)],
        }[style]
        inner = [(max(r - 0.014, 0.012), z - 0.014 * (z > -0.5 * tall)) for r, z in profile]
        inner[0] = (profile[0][0] - 0.014, profile[0][1])
        head = [_spin([*profile[::-1], *inner])]
    head = twisted(head, -tilt, axis=0)
    parts += moved(head, y=hand[1], z=hand[2])
    return twisted(parts, dice.size(-50, 50))


def _gooseneck_lamp(dice: Dice) -> Parts:
    """A bent neck on a small foot; the head looks down."""
    height, reach, radius = dice.size(0.35, 0.6), dice.size(0.15, 0.28), dice.size(0.012, 0.017)
    if tall := dice.chance(0.4):
        height, reach, radius = dice.size(1.2, 1.5), dice.size(0.25, 0.4), dice.size(0.022, 0.028)
    scale = 1.7 if tall else 1.0
    t = np.linspace(0, np.pi * dice.size(0.8, 1.0), 11)
    arch = np.column_stack([0 * t, -reach / 2 * (1 - np.cos(t)), height - reach / 2 + reach / 2 * np.sin(t)])
    path = np.concatenate([[(0, 0, 0.01)], arch])
    foot, (_, y, z) = dice.size(0.09, 0.12) * scale, path[-1]
    size, long = dice.size(0.06, 0.09) * scale, dice.size(0.1, 0.14) * scale
    profile = [(size, -long), (dice.pick(0.5, 0.95) * size, -0.35 * long), (0.4 * size, 0.0), (0.3 * size, 0.1 * long)]
    parts: Parts = [_spin([(foot, 0), (foot, 0.03 * scale)]), tube(path, radius)]
    parts += moved([_spin(profile)], y=y, z=z)
    return twisted(parts, dice.size(-50, 50))


def _banker_lamp(dice: Dice) -> Parts:
    """A stem with a long half-round shade across it."""
    height, long, radius = dice.size(0.34, 0.46), dice.size(0.24, 0.34), dice.size(0.065, 0.09)
    foot, a = dice.size(0.08, 0.11), np.linspace(-0.15, np.pi + 0.15, 13)
    arc = np.column_stack([radius * np.cos(a), radius * np.sin(a)])
    inner = 0.8 * arc[::-1]
    ends = [(long * s / 2, k) for s, k in ((-1.0, 0.75), (-0.8, 1.0), (0.8, 1.0), (1.0, 0.75))]
    ring = np.concatenate([arc, inner])
    shade = loft(
        [
            np.column_stack([np.full(len(ring), x), k * ring[:, 0] - 0.03, k * ring[:, 1] + height - radius])
            for x, k in ends
        ]
    )
    low = height - 0.15 * radius
    stem = [
        (foot, 0),
        (foot, 0.025),
        (0.4 * foot, 0.04),
        (0.016, 0.06),
        (0.016, 0.5 * low),
        (0.028, 0.55 * low),
        (0.016, 0.6 * low),
        (0.016, low),
    ]
    return [
        _spin(stem),
        shade,
        box(around(0, 0.9 * long), around(-0.03, 0.028), around(height - 0.3 * radius, 0.024)),
        box(around(0, 0.05), (-0.03, 0.01), (low - 0.05, low)),
    ]


def _mushroom_lamp(dice: Dice) -> Parts:
    """A dome upon a stem that widens downwards."""
    height, radius = dice.size(0.3, 0.5), dice.size(0.14, 0.22)
    cap = radius * dice.size(0.55, 0.95)
    low, wide = height - cap, radius * dice.size(0.5, 0.8)
    a = np.linspace(0, 1.45, 8)
    dome = [(0.86 * radius, low + 0.03), (0.9 * radius, low - 0.01), (radius, low)] + [
        (radius * np.cos(v), low + cap * np.sin(v)) for v in a[1:]
    ]
    neck = dice.size(0.25, 0.5) * wide
    stem = [(wide, 0), (wide, 0.02), (0.5 * (wide + neck), 0.12 * height), (neck, 0.4 * height), (neck, low + 0.06)]
    if dice.chance(0.4):
        stem = [(0.8 * wide, 0), (0.8 * wide, low + 0.05)]
    return [_spin(stem), _spin(dome, 28)]


def _tree_lamp(dice: Dice) -> Parts:
    """A pole with three to five heads."""
    height, radius, num = dice.size(1.5, 1.8), dice.size(0.02, 0.026), dice.pick(3, 3, 4, 5)
    parts = [*_base(dice, dice.size(0.15, 0.2), 0.04), _spin([(radius, 0.01), (radius, height - 0.02)], 12)]
    heads = dice.pick("globe", "cone", "cup")
    same = dice.chance(0.5)
    for i in range(num):
        angle = 2 * np.pi * (i + 0.2) / num
        z = height - 0.25 if same else height - 0.15 - 0.85 * i / num * height * 0.55
        reach = dice.size(0.18, 0.3)
        x, y = reach * np.cos(angle), reach * np.sin(angle)
        end = z + (0.12 if heads != "cone" else 0.05)
        parts.append(tube([(0, 0, z - 0.05), (0.6 * x, 0.6 * y, z), (x, y, end)], 0.019))
        if heads == "globe":
            a = np.linspace(-1.35, 1.35, 8)
            parts.append(turned([(0.09 * np.cos(v), end + 0.07 + 0.09 * np.sin(v)) for v in a], x, y, sides=16))
        elif heads == "cup":
            parts.append(
                turned(
                    [(0.03, end - 0.03), (0.06, end + 0.03), (0.1, end + 0.12), (0.07, end + 0.12), (0.03, end + 0.04)],
                    x,
                    y,
                    sides=16,
                )
            )
        else:
            parts.append(turned([(0.1, end - 0.13), (0.05, end), (0.03, end + 0.05)], x, y, sides=16))
    return parts


def _column_lamp(dice: Dice) -> Parts:
    """A paper lantern or a frame with a light body between a foot and a head."""
    height, half = dice.size(0.9, 1.5), dice.size(0.1, 0.17)
    round_, t = dice.chance(0.4), np.linspace(0, 1, 11)
    z0, z1 = 0.08 * height, 0.96 * height
    if round_:
        waves = dice.pick(0.0, 0.12, 0.25)
        r = half * (1 - waves + waves * np.abs(np.sin(dice.pick(2, 3) * np.pi * t)) + 0.02)
        body = [_spin([(float(a), float(b)) for a, b in zip(r, z0 + (z1 - z0) * t, strict=True)], 20)]
        return [*body, _spin([(0.9 * half, 0), (0.9 * half, 0.03), (0.5 * half, 0.04), (0.5 * half, z0 + 0.02)], 20)]
    thick, low = 0.03 * height * 0.8, dice.size(0.05, 0.4) * height
    parts = four_legs(dice, half, half, height, thick, plain=True)
    parts.append(box(around(0, 2 * half - 0.2 * thick), around(0, 2 * half - 0.2 * thick), (low, height - 0.3 * thick)))
    for z in (low, height - thick / 2, *np.linspace(low, height, dice.pick(2, 3, 4) + 1)[1:-1]):
        parts += rails(half, half, z, thick, thick)
    if low > 0.25 * height:
        parts += rails(half, half, 0.06 * height, thick, thick)
        if dice.chance(0.5):
            parts.append(box(around(0, 2 * half), around(0, 2 * half), around(0.06 * height, thick)))
    return parts


def _torch_lamp(dice: Dice) -> Parts:
    """A pole with a bowl that opens upwards."""
    height, pole, radius, deep = (
        dice.size(1.55, 1.85),
        dice.size(0.018, 0.026),
        dice.size(0.17, 0.26),
        dice.size(0.1, 0.18),
    )
    low, wall = height - deep, 0.03
    bowl = [
        (0.04, low),
        (0.6 * radius, low + 0.25 * deep),
        (radius, height),
        (radius - wall, height),
        (0.6 * radius - wall, low + 0.25 * deep + wall),
        (0.03, low + wall),
    ]
    parts = [*_base(dice, dice.size(0.14, 0.19), 0.04), _spin([(pole, 0.01), (pole, low + 0.02)], 12), _spin(bowl)]
    if dice.chance(0.5):
        z = dice.size(0.9, 1.1)
        parts.append(tube([(0, 0, z), (0, -0.14, z + 0.12), (0, -0.24, z + 0.05)], 0.02))
        parts.append(turned([(0.08, z - 0.06), (0.055, z + 0.02), (0.025, z + 0.07)], 0, -0.24, sides=14))
    return parts


def _lantern(dice: Dice) -> Parts:
    """A lantern: four posts about a light, a roof, a ring to carry it by."""
    half, height = dice.size(0.09, 0.14), dice.size(0.3, 0.45)
    thick, roof = 0.2 * half, 0.35 * half + dice.size(0.02, 0.08)
    post = half - thick / 2
    parts = both([box(around(post, thick), around(y, thick), (0.0, height)) for y in (-post, post)])
    parts.append(box(around(0, 2.3 * half), around(0, 2.3 * half), (0, 1.3 * thick)))
    rings = [
        (outline(around(0, 2 * r), around(0, 2 * r), 0.005, per_corner=2), z)
        for r, z in ((1.2 * half, height - 0.01), (1.2 * half, height + 0.02), (0.35 * half, height + roof))
    ]
    parts.append(rising(rings))
    size = 0.5 * half
    parts.append(
        _spin([(0.9 * size, thick), (0.9 * size, dice.size(0.5, 0.75) * height), (0.2 * size, 0.8 * height)], 14)
    )
    a = 2 * np.pi * np.arange(20) / 20 + 0.05
    grip, around_it = 0.055 + 0.1 * half, 0.16 * thick + 0.006
    ring = [
        np.column_stack(
            [(grip + dr) * np.cos(a), np.full(20, dy), height + roof + 0.75 * grip + (grip + dr) * np.sin(a)]
        )
        for dr, dy in (
            (-around_it, -around_it),
            (around_it, -around_it),
            (around_it, around_it),
            (-around_it, around_it),
        )
    ]
    return [*parts, hoop(ring)]
