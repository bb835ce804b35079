"""Dressers and wardrobes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from data_prep.furniture.cases import (
    Layout,
    Look,
    case,
    drawers,
    drawn_look,
    footing,
    in_columns,
    in_rows,
    leaf,
    pull,
    shelves,
    top_board,
)
from data_prep.furniture.parts import (
    Dice,
    Parts,
    Span,
    around,
    bar,
    both,
    box,
    hoop,
    moved,
    oval,
    panel,
    plate,
    twisted,
)

__all__ = ["dresser", "wardrobe"]

# --- dressers


def dresser(dice: Dice) -> Parts:
    """A dresser: a chest of drawers, low and wide or tall and narrow, bowed or stepped, at times with a mirror."""
    kind = dice.pick(*["chest"] * 3, *["double"] * 4, "triple", "combo", "combo", "tower", "bow", "stepped", "vanity")
    if kind == "bow":
        return _bow_dresser(dice)
    if kind == "vanity":
        return _vanity(dice)
    width, height = {
        "chest": (dice.size(0.65, 1.0), dice.size(0.8, 1.3)),
        "double": (dice.size(1.1, 1.7), dice.size(0.7, 0.95)),
        "triple": (dice.size(1.4, 1.9), dice.size(0.72, 0.95)),
        "combo": (dice.size(0.9, 1.4), dice.size(0.8, 1.25)),
        "tower": (dice.size(0.4, 0.55), dice.size(1.15, 1.45)),
        "stepped": (dice.size(1.1, 1.5), dice.size(0.85, 1.2)),
    }[kind]
    depth, half = dice.size(0.4, 0.55), width / 2
    look = drawn_look(dice, max(width, height), "slab", "slab", "slab", "frame", "raised")
    look = replace(look, handle="knob") if look.handle == "none" and not look.inset else look
    board, ys = max(0.025, look.unit * dice.size(1.0, 1.8)), (-depth / 2, depth / 2)
    lift = dice.pick(0.03, 0.06, 0.1, dice.size(0.12, 0.22))
    kinds = ("plinth",) if lift < 0.05 else ("legs", "legs", "bun", "bracket", "bracket", "sled", "frame", "plinth")
    parts = footing(dice, half, depth / 2, lift, max(0.035, 2 * look.unit), *kinds)
    growth, num_rows = dice.pick(1.0, 1.0, 1.12, 1.25), dice.count(3, 5)
    layout: Layout
    if kind == "chest":
        layout = drawers(num_rows, 1, growth)
        if dice.chance(0.45):
            layout = in_rows((num_rows - 1, drawers(num_rows - 1, 1, growth)), (0.85, drawers(1, dice.pick(2, 2, 3))))
    elif kind == "double":
        layout = drawers(dice.pick(2, 3, 3, 4), 2, growth)
        style = dice.pick("plain", "plain", "small top", "wide bottom", "cubby")
        if style == "small top":
            layout = in_rows((2.0, drawers(2, 2, growth)), (0.8, drawers(1, dice.pick(3, 4))))
        elif style == "wide bottom":
            layout = in_rows((1.2, "drawer"), (2.0, drawers(2, 2)))
        elif style == "cubby":
            layout = in_rows((2.4, drawers(dice.pick(2, 3), 2)), (0.8, in_columns(*[(1.0, "open")] * dice.pick(2, 3))))
    elif kind == "triple":
        side = drawers(dice.pick(3, 4), 1, growth)
        middle = dice.pick("pair", drawers(3), "left", in_rows((2.0, "pair"), (1.0, "drawer")))
        layout = in_columns((1.0, side), (dice.size(0.8, 1.2), middle), (1.0, side))
    elif kind == "tower":
        layout = drawers(dice.count(5, 7), 1, dice.pick(1.0, 1.06))
    else:
        shut = dice.pick("left", "left", in_rows((2.0, "left"), (0.7, "open")), in_rows((1.0, "drawer"), (2.0, "left")))
        sides = [(dice.size(0.6, 0.9), shut), (1.0, drawers(num_rows, 1, growth))]
        layout = in_columns(*sides)
    top = lift + height
    if kind == "stepped":
        step, cut = dice.size(0.55, 0.72) * height, half * dice.size(-0.1, 0.35)
        parts += case(look, (-half, cut), ys, (lift, top), board, drawers(num_rows, 1, growth))
        low = drawers(max(2, num_rows - 2), 1, growth) if dice.chance(0.6) else "left"
        parts += case(look, (cut - board, half), ys, (lift, lift + step), board, low)
    else:
        parts += case(look, (-half, half), ys, (lift, top), board, layout)
        lid, top = top_board(dice, half, ys, top, look.unit)
        parts += lid
        if kind in ("double", "triple", "combo", "chest") and dice.chance(0.2 if kind != "double" else 0.35):
            parts += _mirror(dice, half, ys, top, look.unit)
        elif dice.chance(0.1):  # a rim about three sides
            rim = look.unit * dice.size(1.2, 1.6)
            tall = top + dice.size(0.05, 0.12)
            parts += [box((-half, half), (ys[1] - rim, ys[1]), (top - 0.01, tall))]
            parts += both(box((half - rim, half), ys, (top - 0.01, tall)))
    if dice.chance(0.5):
        parts = [(vertices * (-1, 1, 1), faces[:, ::-1]) for vertices, faces in parts]
    return parts


def _mirror(dice: Dice, half: float, ys: Span, z: float, unit: float) -> Parts:
    """A mirror that stands on the back of a dresser: a rectangle, an arch or an oval in a frame."""
    style, wide, tall = dice.pick("square", "arch", "oval", "posts"), half * dice.size(0.55, 0.9), dice.size(0.55, 0.95)
    thick, edge, y = 2 * unit, 2.2 * unit, ys[1] - 1.2 * unit
    low = z + (0.0 if style == "square" else dice.size(0.03, 0.1))
    span, back = around(y, thick), (y - 0.2 * unit, y + thick / 2)
    stand = both(bar((0.55 * wide, y, z - 0.02), (0.55 * wide, y, low + 0.3 * tall), 2 * unit))
    if style == "oval":
        points, hole = (
            oval((-wide, wide), (low, low + tall)),
            oval((edge - wide, wide - edge), (low + edge, low + tall - edge)),
        )
        ring = [
            np.insert(p, 1, at, axis=1)
            for p, at in ((points, span[0]), (points, span[1]), (hole, span[1]), (hole, span[0]))
        ]
        return [
            hoop(ring),
            plate(oval((-wide + unit, wide - unit), (low + unit, low + tall - unit)), back, axis=1),
            *stand,
        ]
    if style == "arch":
        rise = dice.size(0.1, 0.3) * tall
        return [
            panel((-wide, wide), y, (low, lambda u: low + tall - rise * u**2), thick / 2, 17),
            *both(box((wide - edge, wide), span, (low, low + tall - rise))),
            box((-wide, wide), span, (low, low + edge)),
            *stand,
        ]
    frame = both(box((wide - edge, wide), span, (low, low + tall)))
    frame += [box((-wide, wide), span, level) for level in ((low, low + edge), (low + tall - edge, low + tall))]
    frame.append(box((-wide, wide), back, (low, low + tall)))
    if style == "posts":
        x = wide + 1.8 * unit
        frame += both(bar((x, y, z - 0.02), (x, y, low + 0.75 * tall), 2 * unit, sides=dice.pick(4, 10)))
        frame.append(box((-x, x), around(y, unit), around(low + 0.5 * tall, 1.6 * unit)))
        return frame
    return frame + stand


def _bow_dresser(dice: Dice) -> Parts:
    """A chest whose front is bowed outwards or waved."""
    width, height, depth = dice.size(0.8, 1.4), dice.size(0.75, 1.05), dice.size(0.4, 0.5)
    half, lift, unit = width / 2, dice.size(0.08, 0.2), max(width, height) / 60
    bow, waves = dice.size(0.06, 0.14), dice.pick(0.0, 0.0, 0.35)
    u = np.linspace(-1, 1, 17)

    def front(x: np.ndarray) -> np.ndarray:
        v = x / half
        return -depth / 2 - bow * ((1 - v**2) - waves * (1 - np.cos(3 * np.pi * v)) / 2)

    def slab(grow: float, zs: Span) -> tuple[np.ndarray, np.ndarray]:
        x = (half + grow) * u
        ys = front(half * u) - grow
        edge = np.column_stack([x, ys])
        rear = np.column_stack([x[::-1], np.full(17, depth / 2)])
        return plate(np.concatenate([edge, rear]), zs)

    parts = [slab(0, (lift, lift + height))]
    over = unit * dice.pick(1.2, 2.0, 2.6)
    parts.append(slab(over, (lift + height - 0.005, lift + height + 1.6 * unit)))
    if dice.chance(0.6):
        parts.append(slab(0.6 * over, (lift - 0.005, lift + 1.6 * unit)))
    rows, columns, gap, proud = dice.count(3, 4), dice.pick(1, 1, 2), 0.7 * unit, dice.size(1.1, 1.5) * unit
    handle = dice.pick("knob", "bar", "knob")
    levels = np.linspace(lift + 1.6 * unit, lift + height - 0.5 * unit, rows + 1)
    for z0, z1 in itertools.pairwise(levels):
        for x0, x1 in itertools.pairwise(np.linspace(-half + unit, half - unit, columns + 1)):
            xs = (x0 + gap, x1 - gap)

            def face(v: np.ndarray, xs: Span = xs) -> np.ndarray:
                return front(xs[0] + (v + 1) / 2 * (xs[1] - xs[0])) - proud

            parts.append(panel(xs, face, (z0 + gap, z1 - gap), proud + 0.02, 17))
            z = (z0 + z1) / 2
            for share in (0.25, 0.75) if columns == 1 else (0.5,):
                x = x0 + share * (x1 - x0)
                y = float(front(np.array(x))) - proud
                if handle == "knob":
                    parts.append(bar((x, y + 0.02, z), (x, y - 1.5 * unit, z), 1.7 * unit, sides=10))
                else:
                    parts.append(box(around(x, 6 * unit), (y - 1.3 * unit, y + 0.02), around(z, 1.3 * unit)))
    parts += footing(dice, half, depth / 2, lift, 2.2 * unit, "legs", "bun", "bracket")
    if dice.chance(0.25):
        parts += _mirror(dice, 0.8 * half, (-depth / 2, depth / 2), lift + height + 1.5 * unit, unit)
    return parts


def _vanity(dice: Dice) -> Parts:
    """A low middle between two chests of drawers, with a mirror."""
    width, depth, height = dice.size(1.2, 1.6), dice.size(0.4, 0.5), dice.size(0.7, 0.85)
    half, side, drop = width / 2, width * dice.size(0.28, 0.36), dice.size(0.1, 0.25)
    ys, lift = (-depth / 2, depth / 2), dice.size(0.04, 0.14)
    look = replace(drawn_look(dice, width + 0.2, "slab", "frame"), inset=0.0)
    board = 1.4 * look.unit
    rows = dice.count(3, 4)
    chest = case(look, (half - side, half), ys, (lift, height), board, drawers(rows))
    chest += [
        box((half - side - look.unit, half + look.unit), (ys[0] - look.unit, ys[1]), (height - 0.004, height + board))
    ]
    parts = both(chest)
    inner, low = half - side + board, height - drop
    parts += case(look, (-inner, inner), ys, (lift, low), board, dice.pick("drawer", "pair", drawers(2), "open"))
    parts += footing(dice, half, depth / 2, lift, 2.4 * look.unit, "legs", "bun", "plinth", "bracket")
    return parts + _mirror(dice, inner + 0.05, ys, low, look.unit)


# --- wardrobes


def wardrobe(dice: Dice) -> Parts:
    """A wardrobe: doors hinged or sliding, drawers, open compartments, mirrors, cornice; doors stand ajar at times."""
    kinds = ["doors"] * 5 + ["drawers"] * 3 + ["open"] * 3 + ["sliding", "ajar", "niche", "stepped"] * 2
    kind = dice.pick(*kinds, "arch", "corner")
    num_doors = dice.pick(2, 2, 2, 3, 3, 4)
    width = num_doors * dice.size(0.4, 0.52)
    height, depth = dice.size(1.75, 2.3), dice.size(0.5, 0.66)
    if kind == "doors" and dice.chance(0.12):
        num_doors, width = 1, dice.size(0.45, 0.65)
    look = drawn_look(dice, max(width, height), "slab", "slab", "frame", "frame", "raised", "slats")
    look = replace(look, handle="bar") if look.handle == "none" and look.face == "slab" and not look.inset else look
    look = replace(look, gap=max(look.gap, 0.6 * look.unit))
    board, half, ys = max(0.03, look.unit * dice.size(1.0, 1.5)), width / 2, (-depth / 2, depth / 2)
    lift = dice.pick(0.04, 0.07, 0.1, 0.15)
    feet = ("plinth", "slabs") if lift < 0.08 else ("legs", "bun", "bracket", "bracket", "plinth", "frame")
    top = height
    if kind == "corner":
        return _corner_wardrobe(dice, look, depth, (lift, top), board)
    parts = footing(dice, half, depth / 2, lift, max(0.05, 2 * look.unit), *feet)
    doors: list[tuple[float, Layout]] = [(1.0, "left" if i % 2 == 0 else "right") for i in range(num_doors)]
    layout: Layout = in_columns(*doors) if num_doors > 1 else "left"
    if kind == "drawers":
        rows = dice.pick(1, 1, 2)
        chest = drawers(rows, dice.pick(1, 1, max(2, num_doors) if num_doors < 4 else 2))
        layout = in_rows((rows * dice.size(0.14, 0.2), chest), (1.0, layout))
        if num_doors >= 3 and dice.chance(0.4):
            column = in_rows((1.0, drawers(dice.count(3, 4))), (0.9, dice.pick("left", "open", shelves(2))))
            layout = in_columns((2.0, in_columns(*doors[:2])), (1.0, column))
    elif kind == "doors" and num_doors > 1 and dice.chance(0.3):  # small doors above
        layout = in_rows((1.0, layout), (dice.size(0.18, 0.28), in_columns(*doors)))
    elif kind == "open":
        hang: Layout = dice.pick("rail", "clothes", "clothes")
        stack = dice.pick(shelves(4), shelves(5), in_rows((1.0, drawers(3)), (1.2, shelves(3))))
        tall: Layout = dice.pick(
            hang, in_rows((0.3, dice.pick("drawer", drawers(2))), (1.0, hang)), in_rows((1.0, hang), (0.22, "open"))
        )
        layout = in_columns((dice.size(0.9, 1.4), tall), (0.8, stack))
        if width > 1.3:
            layout = in_columns((1.0, tall), (0.7, stack), (1.0, dice.pick("left", hang)))
        elif dice.chance(0.3):
            layout = tall
    elif kind == "niche":  # two columns with doors, between them drawers, an opening, small doors
        above: Layout = dice.pick("open", "pair", "pair", shelves(2))
        middle = in_rows((0.7, drawers(dice.pick(2, 3))), (dice.size(0.6, 1.2), "open"), (0.5, above))
        layout = in_columns((1.0, "left"), (dice.size(0.8, 1.6), middle), (1.0, "right"))
    elif kind == "ajar":
        shut, opened = ("left", "ajar right") if dice.chance(0.5) else ("ajar left", "ajar right")
        layout = in_columns((1.0, shut), (1.0, opened))
        if num_doors > 2:
            layout = in_columns((1.0, "left"), (1.0, "ajar left"), (1.0, "right"))
    if kind == "arch":
        return parts + _armoire(dice, look, half, ys, (lift, top), board, num_doors)
    if kind == "sliding":
        return parts + _sliding(dice, look, half, ys, (lift, top), board)
    if kind == "stepped":  # a lower case beside a high one
        step, cut = top * dice.size(0.5, 0.78), half * dice.size(-0.1, 0.4)
        deep = (ys[0] + dice.pick(0.0, 0.0, 0.12), ys[1])
        low: Layout = dice.pick(shelves(4), drawers(4), in_rows((1.0, drawers(2)), (1.4, shelves(2))), "left")
        parts += case(look, (-half, cut), ys, (lift, top), board, in_columns((1.0, "left"), (1.0, "right")))
        parts += case(look, (cut - board, half), deep, (lift, step), board, low)
    else:
        parts += case(look, (-half, half), ys, (lift, top), board, layout)
    if kind == "ajar":  # what is seen inside
        z = top - board - 0.12
        parts.append(bar((-half + 0.01, 0, z), (half - 0.01, 0, z), 1.2 * look.unit, sides=8))
        parts.append(
            box((-half + 0.01, half - 0.01), (ys[0] + 0.08, ys[1]), around(lift + dice.size(0.25, 0.5), board))
        )
    cornice = dice.pick("none", "none", "flat", "flat", "stepped", "gable") if kind != "stepped" else "none"
    parts += _cornice(dice, half, ys, top, look.unit, cornice)
    if dice.chance(0.5):
        parts = [(vertices * (-1, 1, 1), faces[:, ::-1]) for vertices, faces in parts]
    return parts


def _cornice(dice: Dice, half: float, ys: Span, z: float, unit: float, style: str) -> Parts:
    """What crowns a wardrobe."""
    over = unit * dice.size(1.2, 2.2)
    if style == "none":
        return []
    board = [box((-half - over, half + over), (ys[0] - over - unit, ys[1]), (z - 0.005, z + 1.5 * unit))]
    if style == "stepped":
        board.append(box((-half - 2 * over, half + 2 * over), (ys[0] - 2 * over, ys[1]), (z + unit, z + 2.6 * unit)))
    elif style == "gable":
        rise, curve = dice.size(0.08, 0.2), dice.pick(1.0, 2.0)
        front = ys[0] - 0.5 * over
        board.append(
            panel((-half, half), front, (z, lambda u: z + 2 * unit + rise * (1 - np.abs(u) ** curve)), 2 * unit, 17)
        )
    return board


def _armoire(dice: Dice, look: Look, half: float, ys: Span, zs: Span, board: float, num_doors: int) -> Parts:
    """A wardrobe with a round head and doors that follow it."""
    rise, unit = dice.size(0.15, 0.35), look.unit
    low, spring = zs[0], zs[1] - rise
    x = half * np.linspace(-1, 1, 21)
    head = spring + rise * np.sqrt(np.maximum(0, 1 - 0.92 * (x / half) ** 2))
    points = np.concatenate([np.column_stack([x, np.full(21, low)]), np.column_stack([x, head])[::-1]])
    parts = [plate(points, (ys[0], ys[1]), axis=1)]
    over = 1.2 * unit
    band = np.concatenate(
        [np.column_stack([x * 1.04, head - unit]), np.column_stack([x * 1.04, head + 1.5 * unit])[::-1]]
    )
    parts.append(plate(band, (ys[0] - over - look.proud, ys[1]), axis=1))
    chest = low + (dice.size(0.25, 0.4) if dice.chance(0.6) else 0.0)
    if chest > low:
        parts += leaf(look, (-half, half), ys[0], (low, chest), "drawer")
    num = max(2, min(num_doors, 3))
    for i, (x0, x1) in enumerate(itertools.pairwise(np.linspace(-half + unit, half - unit, num + 1))):
        xs = (x0 + look.gap, x1 - look.gap)
        ends = np.interp(xs, x, head) - 2.4 * unit

        def crown(u: np.ndarray, xs: Span = xs) -> np.ndarray:
            return np.interp(xs[0] + (u + 1) / 2 * (xs[1] - xs[0]), x, head) - 2.4 * unit

        parts.append(panel(xs, ys[0] - look.proud, (chest + look.gap, crown), look.proud + 0.02, 13))
        bottom = chest + look.gap + 3 * unit
        if look.face != "slab":
            field = (xs[0] + 3 * unit, xs[1] - 3 * unit)
            parts.append(box(field, (ys[0] - look.proud - 0.9 * unit, ys[0]), (bottom, min(ends) - 3 * unit)))
        handle = replace(look, handle="knob" if look.handle in ("none", "cup") else look.handle)
        out = ys[0] - look.proud - (0.5 * unit if look.face != "slab" else 0)
        parts += pull(handle, xs, out, (bottom, float(min(ends)) - unit), "left" if i % 2 == 0 else "right")
    return parts


def _corner_wardrobe(dice: Dice, look: Look, depth: float, zs: Span, board: float) -> Parts:
    """Two wings that meet in the corner of a room: one along the back, one coming forward at +x."""
    wide, reach = dice.size(1.2, 1.7), dice.size(0.45, 0.9)
    look = replace(look, inset=0.0)
    half, ys = wide / 2, (-depth / 2, depth / 2)
    doors = in_columns((1.0, "left"), (1.0, "right"))
    inner = half - depth
    parts = case(look, (-half, inner + board), ys, zs, board, doors)
    wing = case(
        look,
        (-reach / 2 - depth / 2, reach / 2 + depth / 2),
        ys,
        zs,
        board,
        in_columns((depth, "plain"), (reach, "right")),
    )
    wing = moved(twisted(wing, -90), x=half - depth / 2, y=-reach / 2)
    parts += [box((-half + 0.03, half - 0.03), (ys[0] + 0.03, ys[1]), (0, zs[0] + 0.01))]
    parts += [box((inner + 0.03, half - 0.03), (ys[0] - reach, ys[1]), (0, zs[0] + 0.01))]
    return [*parts, *wing]


def _sliding(dice: Dice, look: Look, half: float, ys: Span, zs: Span, board: float) -> Parts:
    """Doors that slide past each other, one plane before the other, of fields or mirrors."""
    unit = look.unit
    parts = case(look, (-half, half), ys, zs, board, "plain")
    num = dice.pick(2, 2, 3) if half > 0.6 else 2
    edges = np.linspace(-half + board, half - board, num + 1)
    low, high, fields = zs[0] + 1.2 * board, zs[1] - 1.2 * board, dice.pick(1, 1, 2, 3, 5)
    for i, (x0, x1) in enumerate(itertools.pairwise(edges)):
        out = ys[0] - (2.6 * unit if i % 2 == 0 else 0.9 * unit)
        xs = (x0, x1 + 1.5 * unit) if i % 2 == 0 and i < num - 1 else (x0, x1)
        parts.append(box(xs, (out, ys[0] + 0.01), (low, high)))
        edge, thick = 2 * unit, (out - 1.1 * unit, out + 0.01)
        parts += [box(side, thick, (low, high)) for side in ((xs[0], xs[0] + edge), (xs[1] - edge, xs[1]))]
        for z in np.linspace(low + edge / 2, high - edge / 2, fields + 1):
            parts.append(box(xs, thick, around(z, edge)))
    rail = (ys[0] - 4 * unit, ys[1])
    return parts + [box((-half, half), rail, level) for level in ((zs[0], zs[0] + board), (zs[1] - board, zs[1]))]
