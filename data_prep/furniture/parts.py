"""The closed solids that furniture is made of, and the dice that choose them.

Nearly every solid is a loft: rings of points, joined by walls, closed by a cap at either end.
Lengths in metres, axes (x, y, z), z up.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Dice",
    "Part",
    "Parts",
    "Span",
    "around",
    "bar",
    "both",
    "box",
    "cushion",
    "drawer_fronts",
    "flat_top",
    "four_legs",
    "hoop",
    "lean",
    "loft",
    "moved",
    "outline",
    "oval",
    "panel",
    "plate",
    "rails",
    "rising",
    "sheet",
    "squircle",
    "tube",
    "turned",
    "twisted",
]

Floats = NDArray[np.float64]
Part = tuple[Floats, NDArray[np.int64]]
Span = tuple[float, float]
Parts = list[Part]
T = TypeVar("T")


class Dice:
    """The few ways in which furniture is drawn at random."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def size(self, low: float, high: float) -> float:
        """A length, evenly from a span."""
        return float(self.rng.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return bool(self.rng.random() < probability)

    def pick(self, *options: T) -> T:
        """One of the options, all alike."""
        return options[int(self.rng.integers(len(options)))]


def loft(rings: ArrayLike) -> Part:
    """Join rings of points into one closed solid whose faces look outwards.

    Parameters
    ----------
    rings : array_like, shape (num_rings, n, 3)
        Outlines with an even number of points; the caps join point i with point n − 1 − i, so an outline may
        be a thin arc as well as a convex shape.

    Returns
    -------
    vertices : ndarray, shape (num_rings · n, 3)
    faces : ndarray, shape (F, 3)

    Examples
    --------
    >>> square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    >>> vertices, faces = loft([square, square + [0, 0, 1]])
    >>> len(vertices), len(faces)
    (8, 12)
    """
    rings = np.asarray(rings, dtype=np.float64)
    num_rings, n, _ = rings.shape
    i = np.arange(n)
    j = (i + 1) % n
    below = n * np.arange(num_rings - 1)[:, None]
    above = below + n
    walls = [np.stack([below + i, below + j, above + j], -1), np.stack([below + i, above + j, above + i], -1)]
    k = np.arange(n // 2 - 1)
    cap = np.concatenate(
        [np.stack([k, k + 1, n - 1 - k], -1), np.stack([k + 1, n - 2 - k, n - 1 - k], -1)]
    )  # counter-clockwise where the ring is
    faces = np.concatenate([wall.reshape(-1, 3) for wall in walls] + [cap[:, ::-1], cap + n * (num_rings - 1)])
    vertices = rings.reshape(-1, 3)
    a, b, c = (vertices[faces[:, corner]] - vertices[0] for corner in range(3))
    inside_out = np.einsum("fi,fi->", a, np.cross(b, c)) < 0
    return vertices, (faces[:, ::-1] if inside_out else faces)


def around(centre: float, size: float) -> Span:
    """The span of a size about a centre."""
    return centre - size / 2, centre + size / 2


def box(xs: Span, ys: Span, zs: Span) -> Part:
    """A box between two corners."""
    (x0, x1), (y0, y1) = xs, ys
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    return loft([[(x, y, z) for x, y in corners] for z in zs])


def outline(xs: Span, ys: Span, radius: float, per_corner: int = 4) -> Floats:
    """A rectangle with rounded corners, shape (4 · per_corner, 2)."""
    radius = min(radius, 0.499 * (xs[1] - xs[0]), 0.499 * (ys[1] - ys[0]))
    turn = np.linspace(0, np.pi / 2, per_corner)
    corners = []
    for quarter, (x, y) in enumerate([(xs[1], ys[1]), (xs[0], ys[1]), (xs[0], ys[0]), (xs[1], ys[0])]):
        centre = (x - radius if x == xs[1] else x + radius, y - radius if y == ys[1] else y + radius)
        angle = turn + quarter * np.pi / 2
        corners.append(centre + radius * np.stack([np.cos(angle), np.sin(angle)], -1))
    return np.concatenate(corners)


def oval(xs: Span, ys: Span, num_points: int = 32) -> Floats:
    """The ellipse in a rectangle, shape (num_points, 2)."""
    angle = 2 * np.pi * (np.arange(num_points) + 0.5) / num_points
    middle, half = np.mean([xs, ys], axis=1), np.diff([xs, ys], axis=1)[:, 0] / 2
    return np.asarray(middle + half * np.stack([np.cos(angle), np.sin(angle)], -1))


def squircle(xs: Span, ys: Span, front: float = 2.5, rear: float | None = None, num_points: int = 32) -> Floats:
    """A closed curve in a rectangle between an ellipse (power 2) and the rectangle itself, shape (num_points, 2).

    The half towards −y and the half towards +y may have powers of their own.
    """
    angle = 2 * np.pi * (np.arange(num_points) + 0.5) / num_points
    way = np.stack([np.cos(angle), np.sin(angle)], -1)
    power = np.where(way[:, 1] < 0, front, front if rear is None else rear)[:, None]
    middle, half = np.mean([xs, ys], axis=1), np.diff([xs, ys], axis=1)[:, 0] / 2
    return np.asarray(middle + half * np.sign(way) * np.abs(way) ** (2 / power))


def rising(rings: Iterable[tuple[Floats, ArrayLike]]) -> Part:
    """A solid of outlines (n, 2), each at a height or with one height a point.

    Outlines that lead up outside and down again inside make a vessel.
    """
    return loft([np.column_stack([points, np.broadcast_to(z, len(points))]) for points, z in rings])


def hoop(rings: ArrayLike) -> Part:
    """Rings of points, shape (num_rings, n, 3), the last joined to the first: a solid with a hole through it."""
    rings = np.asarray(rings, dtype=np.float64)
    num_rings, n, _ = rings.shape
    ring, i = np.arange(num_rings)[:, None], np.arange(n)
    here, there, j = n * ring, n * ((ring + 1) % num_rings), (i + 1) % n
    walls = [np.stack([here + i, here + j, there + j], -1), np.stack([here + i, there + j, there + i], -1)]
    faces = np.concatenate([wall.reshape(-1, 3) for wall in walls])
    vertices = rings.reshape(-1, 3)
    a, b, c = (vertices[faces[:, corner]] - vertices[0] for corner in range(3))
    inside_out = np.einsum("fi,fi->", a, np.cross(b, c)) < 0
    return vertices, (faces[:, ::-1] if inside_out else faces)


def plate(points: Floats, span: Span, axis: int = 2) -> Part:
    """A flat outline, drawn out along one axis; its two columns are the other two axes in order."""
    return loft([np.insert(points, axis, end, axis=1) for end in span])


def cushion(xs: Span, ys: Span, zs: Span, radius: float, rounds: int = 3) -> Part:
    """A box with all its edges rounded."""
    radius = min([radius] + [0.475 * (high - low) for low, high in (xs, ys, zs)])
    corner = min(1.3 * radius, 0.49 * (xs[1] - xs[0]), 0.49 * (ys[1] - ys[0]))
    rings = []
    for base, start in ((zs[0] + radius, -np.pi / 2), (zs[1] - radius, 0.0)):
        for angle in np.linspace(start, start + np.pi / 2, rounds):
            inset = radius * (1 - np.cos(angle))
            inner = [(low + inset, high - inset) for low, high in (xs, ys)]
            ring = outline(inner[0], inner[1], corner - inset)
            rings.append(np.insert(ring, 2, base + radius * np.sin(angle), axis=1))
    return loft(rings)


def bar(
    start: Sequence[float],
    end: Sequence[float],
    width: float,
    depth: float | None = None,
    taper: float = 1.0,
    sides: int = 4,
) -> Part:
    """A straight bar between two points, its ends cut level with the axis it mostly follows.

    Parameters
    ----------
    start, end : sequence of float, length 3
        The middles of the two ends.
    width, depth : float
        Thickness along the first and the second of the two other axes; a missing depth is the width.
    taper : float
        The thickness at the end, as a share of that at the start.
    sides : int
        4 is a square bar, a larger even number a round one.

    Returns
    -------
    Part
    """
    points = np.array([start, end], dtype=np.float64)
    axis = int(np.argmax(np.abs(points[1] - points[0])))
    angle = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    section = np.stack([np.cos(angle), np.sin(angle)], -1) / (np.sqrt(2) if sides == 4 else 2)
    if sides == 4:
        section = np.sign(section) / 2
    section = section * (width, width if depth is None else depth)
    flat = np.insert(section, axis, 0.0, axis=1)
    return loft([points[0] + flat, points[1] + taper * flat])


def tube(path: ArrayLike, radius: float, sides: int = 8) -> Part:
    """A round tube along a path of points, shape (num_points, 3)."""
    points = np.asarray(path, dtype=np.float64)
    steps = np.diff(points, axis=0)
    steps /= np.linalg.norm(steps, axis=1, keepdims=True)
    along = np.concatenate([steps[:1], steps[:-1] + steps[1:], steps[-1:]])
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    first = np.cross(along[0], (0.31, 0.53, 0.79))
    angle = 2 * np.pi * np.arange(sides) / sides
    rings = []
    for point, axis in zip(points, along, strict=True):
        first = first - axis * (first @ axis)  # carried along, so that the tube does not twist
        first /= np.linalg.norm(first)
        second = np.cross(axis, first)
        rings.append(point + radius * (np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second))
    return loft(rings)


def turned(profile: Iterable[tuple[float, float]], x: float = 0.0, y: float = 0.0, sides: int = 16) -> Part:
    """A solid of revolution about an upright axis through (x, y); the profile gives (radius, z) upwards."""
    angle = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    return loft([np.insert(np.array([x, y]) + radius * circle, 2, z, axis=1) for radius, z in profile])


def sheet(surface: ArrayLike, offset: ArrayLike) -> Part:
    """A grid of points, shape (U, V, 3), given a thickness by an offset that broadcasts to it."""
    surface = np.asarray(surface, dtype=np.float64)
    other = surface + np.asarray(offset, dtype=np.float64)
    return loft(np.concatenate([surface, other[:, ::-1]], axis=1))


def panel(
    xs: Span,
    y: Callable[[Floats], Floats] | float,
    zs: tuple[float, Callable[[Floats], Floats] | float],
    thickness: float,
    num_rings: int = 13,
) -> Part:
    """An upright panel across x; its place in y and its upper edge may follow u, which runs from −1 to 1.

    The panel reaches from ``y`` to ``y + thickness``.
    """
    u = np.linspace(-1, 1, num_rings)
    x = np.linspace(*xs, num_rings)
    ys, tops = (f(u) if callable(f) else np.full_like(u, f) for f in (y, zs[1]))
    low, high = np.stack([x, ys, np.full_like(x, zs[0])], -1), np.stack([x, ys, tops], -1)
    return sheet(np.stack([low, high], axis=1), (0, thickness, 0))


def lean(parts: Iterable[Part], start: float, slope: float) -> list[Part]:
    """Shear what is above a height towards +y, by ``slope`` metres a metre."""
    sheared = []
    for vertices, faces in parts:
        moved = vertices.copy()
        moved[:, 1] += slope * np.maximum(vertices[:, 2] - start, 0)
        sheared.append((moved, faces))
    return sheared


def both(parts: Part | list[Part]) -> list[Part]:
    """Parts and their mirror images in x."""
    parts = parts if isinstance(parts, list) else [parts]
    return parts + [(vertices * (-1, 1, 1), faces[:, ::-1]) for vertices, faces in parts]


def moved(parts: Iterable[Part], x: float = 0.0, y: float = 0.0, z: float = 0.0) -> list[Part]:
    """Parts in another place."""
    step = np.array([x, y, z])
    return [(vertices + step, faces) for vertices, faces in parts]


def twisted(
    parts: Iterable[Part], degrees: float, axis: int = 2, about: Sequence[float] = (0.0, 0.0, 0.0)
) -> list[Part]:
    """Parts turned about an axis through a point; seen against the axis, counter-clockwise."""
    turn, i, j = np.eye(3), (axis + 1) % 3, (axis + 2) % 3
    angle = np.radians(degrees)
    turn[i, i] = turn[j, j] = np.cos(angle)
    turn[j, i], turn[i, j] = np.sin(angle), -np.sin(angle)
    return [((vertices - about) @ turn.T + about, faces) for vertices, faces in parts]


# --- pieces that several classes share


def four_legs(dice: Dice, half_x: float, half_y: float, top: float, thickness: float, plain: bool = False) -> Parts:
    """Four legs whose middles stand under the corners of a rectangle: straight, tapered, splayed."""
    sides, taper = dice.pick(4, 4, 4, 12), dice.pick(1.0, 1.0, 0.6, 0.75)
    splay = 0.0 if plain else top * dice.pick(0.0, 0.0, 0.0, 0.08, 0.15)
    parts: Parts = []
    for y in (-half_y, half_y):
        foot = (half_x + splay, y + np.sign(y) * splay, 0.0)
        parts += both(bar((half_x, y, top), foot, thickness, taper=taper, sides=sides))
    return parts


def flat_top(width: float, depth: float, zs: Span, style: str, roundness: float) -> Part:
    """A table top or a seat: sharp, rounded (corners of that share of the shorter side) or oval."""
    xs, ys = around(0, width), around(0, depth)
    if style == "sharp":
        return box(xs, ys, zs)
    points = oval(xs, ys) if style == "oval" else outline(xs, ys, roundness * min(width, depth), per_corner=6)
    return plate(points, zs)


def rails(half_x: float, half_y: float, z: float, height: float, thickness: float) -> Parts:
    """Four rails about a rectangle: an apron, or stretchers."""
    parts = both(bar((half_x, -half_y, z), (half_x, half_y, z), thickness, height))
    return parts + [bar((-half_x, y, z), (half_x, y, z), thickness, height) for y in (-half_y, half_y)]


def drawer_fronts(dice: Dice, xs: Span, y: float, zs: Span, rows: int, columns: int = 1) -> Parts:
    """Drawers or doors standing proud of a front at y, with gaps between them and a handle each."""
    parts: Parts = []
    knob = dice.chance(0.4)
    x_edges, z_edges = np.linspace(*xs, columns + 1), np.linspace(*zs, rows + 1)
    for x0, x1 in itertools.pairwise(x_edges):
        for z0, z1 in itertools.pairwise(z_edges):
            x, z = (x0 + x1) / 2, (z0 + z1) / 2
            parts.append(box((x0 + 0.008, x1 - 0.008), (y - 0.02, y + 0.01), (z0 + 0.008, z1 - 0.008)))
            width = 0.03 if knob else 0.4 * (x1 - x0)
            parts.append(box(around(x, width), (y - 0.045, y), around(z, 0.025)))
    return parts
