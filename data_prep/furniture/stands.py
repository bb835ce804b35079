"""Night stands, and stands for a television."""

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
    shelves,
    top_board,
)
from data_prep.furniture.parts import (
    Dice,
    Parts,
    around,
    bar,
    both,
    box,
    flat_top,
    four_legs,
    plate,
    turned,
)

__all__ = ["night_stand", "tv_stand"]

# --- night stands


def night_stand(dice: Dice) -> Parts:
    """A night stand: a small case or table with a drawer or two, open below, round, or with doors."""
    kind = dice.pick(*["case"] * 5, *["open"] * 4, *["table"] * 4, "round", "door", "cube", "barrel")
    if kind in ("round", "barrel"):
        return _round_night_stand(dice, kind)
    width, depth, height = dice.size(0.38, 0.6), dice.size(0.34, 0.46), dice.size(0.42, 0.68)
    half, ys = width / 2, (-depth / 2, depth / 2)
    look = drawn_look(dice, max(width, height), "slab", "slab", "frame", "raised")
    look = replace(look, handle="knob") if look.handle == "none" and not look.inset else look
    board = look.unit * dice.size(1.6, 2.8)
    thick = look.unit * dice.size(2.6, 4.0)
    if kind == "table":
        return _drawer_table(dice, width, depth, height, look)
    lift = dice.pick(0.03, 0.05, dice.size(0.08, 0.22), dice.size(0.08, 0.22))
    if kind == "open":
        lift = dice.pick(0.03, 0.06, 0.12)
    top = max(height, lift + 0.3)
    kinds = ("plinth", "slabs") if lift < 0.05 else ("legs", "legs", "legs", "bun", "bracket", "sled", "frame")
    parts = footing(dice, half, depth / 2, lift, thick, *kinds)
    room = top - lift
    layout: Layout
    if kind == "case":
        layout = drawers(dice.pick(2, 2, 3) if room > 0.34 else dice.pick(1, 2), 1, dice.pick(1.0, 1.0, 1.3))
    elif kind == "open":
        drawer = dice.size(0.55, 1.0)
        layout = in_rows((1.3, shelves(dice.pick(1, 1, 2))), (drawer, "drawer"))
        if dice.chance(0.3):
            layout = in_rows((drawer, "drawer"), (0.9, "open"))
        elif dice.chance(0.25):
            layout = in_rows((0.8, "drawer"), (0.7, "open"), (0.7, "drawer"))
        elif dice.chance(0.25):
            layout = in_rows((1.3, "basket"), (0.7, "drawer"))
    elif kind == "door":
        layout = dice.pick(in_rows((1.6, "left"), (0.7, "drawer")), "left", in_rows((1.4, "left"), (0.8, "open")))
    else:
        layout = dice.pick(shelves(2), in_rows((1.0, "basket"), (0.8, "open")))
    parts += case(look, (-half, half), ys, (lift, top), board, layout, back=dice.chance(0.85))
    lid, top = top_board(dice, half, ys, top, look.unit)
    parts += lid
    if dice.chance(0.15):
        rim = 1.6 * look.unit
        tall = top + dice.size(0.03, 0.08)
        parts += [box((-half, half), (ys[1] - rim, ys[1]), (top - 0.01, tall))]
        if dice.chance(0.5):
            parts += both(box((half - rim, half), ys, (top - 0.01, tall)))
    if dice.chance(0.5):
        parts = [(vertices * (-1, 1, 1), faces[:, ::-1]) for vertices, faces in parts]
    return parts


def _drawer_table(dice: Dice, width: float, depth: float, height: float, look: Look) -> Parts:
    """Four legs, a box with a drawer under the top, perhaps a shelf near the floor."""
    half, unit, thick = width / 2, look.unit, look.unit * dice.size(2.6, 4.2)
    chest, ys = height * dice.size(0.3, 0.46), (-depth / 2, depth / 2)
    low = height - chest
    x, y = half - thick / 2, depth / 2 - thick / 2
    shelf = dice.chance(0.75)
    parts = four_legs(dice, x, y, low + 0.02, thick, plain=shelf)
    look = replace(look, inset=0.0)
    two = chest > 0.2 and dice.chance(0.5)
    parts += case(look, (-half, half), ys, (low, height), 1.6 * unit, drawers(2) if two else "drawer")
    parts += top_board(dice, half, ys, height, unit)[0]
    if shelf:
        z = low * dice.size(0.2, 0.5)
        parts.append(
            box(
                (-half + 0.2 * thick, half - 0.2 * thick),
                (ys[0] + 0.2 * thick, ys[1] - 0.2 * thick),
                around(z, 2.2 * unit),
            )
        )
        if dice.chance(0.3):
            parts += both(bar((x, -y, (z + low) / 2), (x, y, (z + low) / 2), 1.8 * unit))
    return parts


def _round_night_stand(dice: Dice, kind: str) -> Parts:
    """A drum with drawers, or a round top over a round box on legs."""
    radius, height = dice.size(0.2, 0.27), dice.size(0.45, 0.62)
    unit = max(2 * radius, height) / 60
    lift = dice.size(0.03, 0.08) if kind == "barrel" else height * dice.size(0.45, 0.6)
    rows = dice.pick(2, 3) if kind == "barrel" else 1
    parts = [turned([(radius, lift), (radius, height)], sides=32)]
    parts.append(turned([(radius + 2 * unit, height - 0.004), (radius + 2 * unit, height + 2 * unit)], sides=32))
    angle = np.radians(np.linspace(-52, 52, 15))
    out = radius + 1.4 * unit
    for z0, z1 in itertools.pairwise(np.linspace(lift + unit, height - unit, rows + 1)):
        ends = (z0 + 0.8 * unit, z1 - 0.8 * unit)
        arc = np.column_stack([np.sin(angle), -np.cos(angle)])
        parts.append(plate(np.concatenate([out * arc, (radius - 0.02) * arc[::-1]]), ends))
        z = (z0 + z1) / 2
        parts.append(bar((0, -radius, z), (0, -out - 2 * unit, z), dice.pick(2.0, 2.6) * unit, sides=10))
    if kind == "barrel":
        parts.append(turned([(radius * 0.9, 0), (radius * 0.9, lift + 0.01)], sides=24))
        return parts
    if dice.chance(0.5):
        parts.append(turned([(radius, 0.06), (radius, 0.06 + 2 * unit)], sides=32))
        return parts + four_legs(dice, 0.66 * radius, 0.66 * radius, lift + 0.01, 3 * unit, plain=True)
    return parts + four_legs(dice, 0.6 * radius, 0.6 * radius, lift + 0.01, 3 * unit)


# --- stands for a television


def tv_stand(dice: Dice) -> Parts:
    """A stand for a television: low and wide, open in the middle, on legs or a plinth, of boards, stepped, bridged."""
    kind = dice.pick(*["case"] * 8, *["boards"] * 3, "stepped", "stepped", "mount", "corner", "bridge")
    width, depth, height = dice.size(1.0, 2.1), dice.size(0.36, 0.5), dice.size(0.38, 0.6)
    half, ys = width / 2, (-depth / 2, depth / 2)
    look = drawn_look(dice, width, "slab", "slab", "slab", "frame", "slats", "cross")
    board = max(0.025, look.unit * dice.size(1.1, 1.9))
    if kind in ("boards", "mount"):
        return _board_stand(dice, width, depth, height, board, kind == "mount")
    if kind == "corner":
        return _corner_stand(dice, dice.size(0.9, 1.3), height)
    lift = dice.pick(0.03, 0.05, dice.size(0.08, 0.2), dice.size(0.08, 0.2))
    kinds = (
        ("plinth", "plinth", "slabs") if lift < 0.07 else ("legs", "legs", "legs", "sled", "frame", "bun", "bracket")
    )
    parts = footing(dice, half, depth / 2, lift, max(0.04, 2 * look.unit), *kinds)
    top = max(height, lift + 0.28)
    side: Layout = dice.pick(
        "left", "left", drawers(2), drawers(2), shelves(2), "open", in_rows((1.0, "drawer"), (0.9, "open"))
    )
    far: Layout = "right" if side == "left" else side
    middle: Layout = dice.pick(
        shelves(2), shelves(2), "open", in_rows((1.0, "drawer"), (1.2, "open")), in_rows((1.0, "flap"), (0.6, "open"))
    )
    if dice.chance(0.2):
        middle = in_rows((1.0, in_columns((1.0, "open"), (1.0, "open"))), (0.8, "open"))
    style = dice.pick("three", "three", "three", "two", "slots", "over", "pairs")
    layout: Layout
    if style == "three":
        layout = in_columns((1.0, side), (dice.size(0.9, 1.8), middle), (1.0, far))
    elif style == "two":
        layout = in_columns((1.0, dice.pick("pair", drawers(2), "left")), (dice.size(0.8, 1.3), middle))
    elif style == "slots":
        layout = in_rows(
            (1.3, in_columns(*[(1.0, dice.pick("drawer", "flap"))] * dice.pick(2, 3))),
            (0.9, in_columns(*[(1.0, "open")] * dice.pick(1, 2, 3))),
        )
    elif style == "over":
        layout = in_rows(
            (1.0, in_columns((1.0, "open"), (1.0, "open"))), (0.8, in_columns(*[(1.0, "drawer")] * dice.pick(2, 3)))
        )
    else:
        layout = (
            in_columns((1.0, "pair"), (0.7, middle), (1.0, "pair"))
            if width > 1.4
            else in_columns((1.0, "left"), (1.2, middle), (1.0, "right"))
        )
    tower = dice.size(0.25, 0.6)
    if kind == "stepped":
        cut = half * dice.size(0.3, 0.55)
        parts += case(look, (-half, cut), ys, (lift, top), board, layout)
        parts += case(
            look,
            (cut - board, half),
            ys,
            (lift, top + tower),
            board,
            dice.pick(shelves(3), in_rows((1.0, "left"), (0.8, "open")), drawers(3)),
        )
    else:
        parts += case(look, (-half, half), ys, (lift, top), board, layout, back=dice.chance(0.8))
        if dice.chance(0.6):
            lid, top = top_board(dice, half, ys, top, look.unit)
            parts += lid
    if kind == "bridge":  # a frame about where the screen stands
        tall, post = top + dice.size(0.75, 1.0), dice.size(0.18, 0.3)
        upper = (ys[0] + 0.12, ys[1])
        look = replace(look, inset=0.0)
        parts += both(case(look, (half - post, half), upper, (top - 0.01, tall), board, shelves(dice.pick(2, 3))))
        parts += [
            box((-half, half), upper, (tall - board, tall)),
            box((-half, half), upper, (tall - 0.2, tall - 0.2 + board)),
        ]
    if dice.chance(0.5):
        parts = [(vertices * (-1, 1, 1), faces[:, ::-1]) for vertices, faces in parts]
    return parts


def _board_stand(dice: Dice, width: float, depth: float, height: float, board: float, mount: bool) -> Parts:
    """Two or three boards between posts, panels or a frame; with a panel that carries the screen at times."""
    half, rear, unit = width / 2, depth / 2, width / 60
    if mount:
        width = dice.size(0.9, 1.3)
        half, unit = width / 2, width / 60
    levels = np.linspace(dice.size(0.04, 0.14), height - board, 4 if height > 0.52 and dice.chance(0.5) else 3)
    shape = dice.pick("sharp", "sharp", "rounded", "bowed")
    parts: Parts = []
    for z in levels:
        shrink = 1.0 if z == levels[-1] or dice.chance(0.7) else 0.9
        if shape == "bowed":
            u = np.linspace(-1, 1, 15)
            front = np.column_stack([shrink * half * u, -rear - 0.1 * (1 - u**2)])
            back = np.column_stack([shrink * half * u[::-1], np.full(15, rear)])
            parts.append(plate(np.concatenate([front, back]), (z, z + board)))
        else:
            parts.append(flat_top(shrink * width, depth, (z, z + board), shape, 0.25))
    post = max(0.035, 1.8 * unit)
    style = dice.pick("posts", "round", "panels", "inner", "frame")
    x, y = 0.9 * half - 0.1 * depth - post, rear - post
    if style in ("posts", "round"):
        places = (x,) if dice.chance(0.7) else (x, 0.3 * half)
        for at in places:
            parts += both(
                [
                    bar((at, end, 0), (at, end, height - 0.01), 1.3 * post, sides=4 if style == "posts" else 12)
                    for end in (-0.8 * y, y)
                ]
            )
    elif style == "panels":
        parts += both(box(around(x, 1.2 * post), (-0.9 * y, y), (0, height - 0.01)))
        if dice.chance(0.5):
            parts.append(box(around(0, post), (-0.8 * y, y), (levels[0], height - 0.01)))
    elif style == "inner":
        parts += both(box(around(0.55 * half, 1.2 * post), (-0.8 * y, y), (0, height - 0.01)))
        parts += both(bar((x, -0.7 * y, height - 0.01), (x, -0.7 * y, 0), 1.2 * post, sides=8))
    else:
        for end in (-y, y):
            loop = [(x, end, post / 2), (x, end, height - 0.02)]
            parts += both(bar(loop[0], loop[1], post))
            parts.append(bar((-x, end, post / 2), (x, end, post / 2), post))
        parts += both(bar((x, -y, post / 2), (x, y, post / 2), post))
        parts += both(bar((x, -y, height - 0.03), (x, y, height - 0.03), post))
    if mount:
        tall = height + dice.size(0.55, 0.9)
        wide = half * dice.size(0.16, 0.4)
        parts.append(box((-wide, wide), (rear - 0.05, rear), (0, tall)))
        parts.append(box(around(0, 1.1 * half), (rear - 0.09, rear - 0.03), around(tall - 0.12, 0.1)))
        parts += both(box(around(0.4 * half, 0.06), (rear - 0.1, rear - 0.05), around(tall - 0.16, 0.34)))
    return parts


def _corner_stand(dice: Dice, width: float, height: float) -> Parts:
    """A stand for the corner of a room: its plan narrows to the back."""
    half, depth, board, lift = width / 2, dice.size(0.4, 0.52), width / 60 * dice.size(1.2, 1.9), dice.size(0.03, 0.08)
    narrow, straight = half * dice.size(0.3, 0.55), depth * dice.size(0.25, 0.4)
    rear, front = depth / 2, -depth / 2
    plan = np.array(
        [
            (-half, front),
            (half, front),
            (half, front + straight),
            (narrow, rear),
            (-narrow, rear),
            (-half, front + straight),
        ]
    )
    levels = np.linspace(lift, height - board, dice.pick(2, 3))
    parts = [plate(plan, (z, z + board)) for z in levels]
    parts.append(plate(0.9 * plan, (0, lift + 0.01)))
    unit = width / 60
    wall = both(box((half - board, half), (front, front + straight), (lift, height)))
    slope = np.array(
        [
            (half - 0.004, front + straight),
            (narrow, rear),
            (narrow - 1.4 * board, rear),
            (half - 1.4 * board, front + straight),
        ]
    )
    wall += both(plate(slope, (lift, height)))
    parts += [*wall, box((-narrow, narrow), (rear - board, rear), (lift, height))]
    side = dice.size(0.5, 0.75) * half
    look = replace(drawn_look(dice, width, "slab", "frame"), inset=0.0)
    if dice.chance(0.75):
        for xs, opens in (((-half, -half + side), "left"), ((half - side, half), "right")):
            parts.append(
                box((xs[0] + 0.01, xs[1] - 0.01), (front + 0.002, front + straight), (lift + 0.01, height - 0.01))
            )
            parts += leaf(look, xs, front, (lift, height - 0.5 * unit), opens)
    return parts
