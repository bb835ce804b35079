"""Bookshelves."""

from __future__ import annotations

import itertools

import numpy as np

from data_prep.furniture.parts import Dice, Parts, Span, bar, both, box, drawer_fronts, four_legs

__all__ = ["bookshelf"]


def _books(dice: Dice, xs: Span, ys: Span, z: float, room: float) -> Parts:
    """A run of books standing on a shelf, from the left."""
    parts: Parts = []
    x, end = xs[0] - 0.005, xs[0] + (xs[1] - xs[0]) * dice.size(0.4, 1.0)
    while x + 0.08 < end and len(parts) < 8:
        thick = dice.size(0.03, 0.08)
        parts.append(
            box(
                (x, x + thick + 0.003),
                (ys[0] + dice.size(0.02, 0.08), ys[1]),
                (z - 0.005, z + room * dice.size(0.6, 0.92)),
            )
        )
        x += thick
    return parts


def bookshelf(dice: Dice) -> Parts:
    """A bookshelf: case, cubes, posts, a ladder, uneven cells; doors and books at times."""
    style = dice.pick(*["case"] * 7, "cubes", "cubes", "ladder", "posts", "uneven", "uneven")
    if style == "ladder":
        return _ladder_shelf(dice)
    width, depth, height = dice.size(0.5, 1.3), dice.size(0.24, 0.4), dice.size(0.85, 2.2)
    rows, columns = max(2, round(height / dice.size(0.28, 0.42))), max(1, round(width / dice.size(0.45, 0.9)))
    if style == "case" and dice.chance(0.15):
        width, columns = dice.size(0.3, 0.45), 1  # a tower
    if style == "cubes":
        cell, rows, columns = dice.size(0.32, 0.4), dice.count(2, 5), dice.count(1, 5)
        columns = 2 if rows == 2 and columns == 1 else columns
        width, height = cell * columns, cell * rows
    board = dice.size(0.025, 0.05)
    half, y = width / 2, (-depth / 2, depth / 2)
    lift = dice.pick(0.0, 0.0, 0.05, 0.08, 0.14)
    low, high = lift, lift + height
    levels = np.linspace(low, high - board, rows + 1)
    if style == "case" and dice.chance(0.4):  # shelves closer towards the top
        levels = low + (height - board) * np.linspace(0, 1, rows + 1) ** dice.size(0.75, 0.9)
    edges = np.linspace(-half, half - board, columns + 1)
    back = dice.chance(0.65 if style != "posts" else 0.1)
    parts: Parts = []
    if style == "posts":
        thick = dice.size(0.035, 0.05)
        for side in (y[0] + thick / 2, y[1] - thick / 2):
            parts += both(
                bar((half - thick / 2, side, 0), (half - thick / 2, side, high), thick, sides=dice.pick(4, 10))
            )
        levels, columns, edges = np.maximum(levels, 0.08), 1, np.array([-half, half - board])
        if dice.chance(0.4):
            parts += both(bar((-half, y[1] - 0.015, levels[0]), (half, y[1] - 0.015, levels[-1]), 0.025))
    else:
        parts += both(box((half - board, half), y, (low, high)))
        parts += [box((x, x + board), y, (low, high)) for x in edges[1:-1]]
    cells = []
    for x0, x1 in itertools.pairwise(edges):
        here = levels
        if style == "uneven":
            steps = dice.rng.uniform(0.5, 1.5, max(2, rows + dice.count(-2, 1)))
            here = low + (height - board) * np.concatenate([[0], np.cumsum(steps) / steps.sum()])
        parts += [box((x0, x1 + board), y, (z, z + board)) for z in here]
        cells += [((x0 + board, x1), z + board, upper - z - board) for z, upper in itertools.pairwise(here)]
    if back:
        parts.append(box((-half, half), (y[1] - 0.02, y[1]), (levels[0], high)))
    if style == "case" and dice.chance(0.25):
        shut = levels[min(len(levels) - 2, 2 if rows > 4 else 1)]
        parts.append(box((-half, half), (y[0] + 0.005, y[0] + 0.02), (low, shut + board)))
        parts += drawer_fronts(
            dice, (-half, half), y[0] + 0.005, (low, shut + board), dice.pick(1, 1, 2), max(2, columns)
        )
        cells = [cell for cell in cells if cell[1] > shut]
    if dice.chance(0.3):
        for xs, z, room in cells:
            if dice.chance(0.6) and len(parts) < 200:
                parts += _books(dice, xs, y, z, room)
    if lift and style != "posts":
        if dice.chance(0.5):
            parts.append(box((-half + 0.01, half - 0.01), (y[0] + 0.02, y[1]), (0, lift + 0.01)))
        else:
            parts += four_legs(dice, half - 0.03, depth / 2 - 0.03, lift + 0.01, dice.size(0.04, 0.06), plain=True)
    if style == "case" and dice.chance(0.3):  # a cornice
        parts.append(box((-half - 0.03, half + 0.03), (y[0] - 0.03, y[1]), (high - 0.005, high + 0.04)))
    return parts


def _ladder_shelf(dice: Dice) -> Parts:
    """Sides that lean to the wall, shelves that grow deeper downwards."""
    half, depth, height = dice.size(0.5, 0.9) / 2, dice.size(0.38, 0.55), dice.size(1.4, 2.0)
    thick, board, rows = dice.size(0.035, 0.05), dice.size(0.025, 0.04), dice.count(4, 5)
    rear, narrow = depth / 2, dice.size(0.1, 0.22)
    x = half - thick / 2
    parts = both(
        [
            bar((x, -rear, 0), (x, rear - narrow, height), thick),
            bar((x, rear - thick / 2, 0), (x, rear - thick / 2, height), thick),
        ]
    )
    for z in np.linspace(0.12, height - 0.1, rows):
        front = -rear + (depth - narrow) * z / height
        parts.append(box((-half, half), (front, rear), (z, z + board)))
        if dice.chance(0.3):
            parts.append(box((-half, half), (rear - 0.02, rear), (z, z + 0.1)))
    return parts
