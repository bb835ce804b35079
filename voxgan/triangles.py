"""Triangles on a grid: points spread evenly over them, and the cells that they touch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["cell_of", "surface_samples", "touched_cells", "unit_normals"]

_MOST_SAMPLES = 1.6e7  # of one mesh: a million triangles that cross the whole cube would have 1,000 times as many
_SAMPLES_AT_ONCE = 1 << 17
_PAIRS_AT_ONCE = 1 << 19
_PIECE = 3.0  # cells; larger triangles are cut before their cells are looked for
_BEHIND = 1e-8  # of a cell
_MARGIN = 1e-9


def unit_normals(triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return normals (F, 3) of length 1; those of triangles without an area are 0."""
    normals: NDArray[np.float64] = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return normals


def cell_of(points: NDArray[np.floating], resolution: int) -> NDArray[np.int64]:
    """Return the flat index of the cell that holds each point of the unit cube."""
    i = np.clip(np.floor((points + 0.5) * resolution).astype(np.int64), 0, resolution - 1)
    flat: NDArray[np.int64] = (i[:, 0] * resolution + i[:, 1]) * resolution + i[:, 2]
    return flat


def surface_samples(
    triangles: NDArray[np.float64], spacing: float
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Yield, in portions, points spread evenly over the triangles, about `spacing` apart or closer, and their owners.

    Each triangle is walked along its longest side in equal steps; the height above that side follows the golden
    ratio. So a sliver gets points all along, and a large triangle no gaps, as points drawn by chance would leave.
    """
    area = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1)
    sides = np.linalg.norm(np.roll(triangles, -1, axis=1) - triangles, axis=2)
    first = np.argmax(sides, axis=1)
    longest = sides.max(axis=1)
    a, b, apex = (triangles[np.arange(len(triangles)), (first + i) % 3] for i in range(3))
    foot = np.einsum("ij,ij->i", apex - a, b - a) / np.maximum(longest, 1e-30) ** 2
    foot = np.clip(foot, 1e-9, 1 - 1e-9)
    top = apex - a - foot[:, None] * (b - a)
    wanted = np.maximum(area / spacing**2, longest / spacing)
    count = np.maximum(1, np.ceil(wanted * min(1.0, _MOST_SAMPLES / max(wanted.sum(), 1.0)))).astype(np.int64)
    last = np.cumsum(count)
    for start in range(0, int(last[-1]), _SAMPLES_AT_ONCE):
        number = np.arange(start, min(start + _SAMPLES_AT_ONCE, int(last[-1])))
        owner = np.searchsorted(last, number, side="right")
        step = number - (last - count)[owner] + 0.5
        along = step / count[owner]
        up = step * (np.sqrt(5) - 1) / 2 % 1
        rise = np.minimum(along / foot[owner], (1 - along) / (1 - foot[owner]))  # of the column, 1 at the apex
        yield a[owner] + along[:, None] * (b - a)[owner] + (up * rise)[:, None] * top[owner], owner


def touched_cells(triangles: NDArray[np.float64], resolution: int) -> NDArray[np.bool_]:
    """Mark the cells (R, R, R) that triangles touch, exactly; what lies between two cells counts for the one behind it.

    Examples
    --------
    >>> import trimesh
    >>> box = trimesh.creation.box((0.5, 0.5, 0.5))
    >>> int(touched_cells(box.triangles, 8).sum())
    56
    """
    grid = np.zeros((resolution,) * 3, bool)
    pieces = _cut((triangles + 0.5) * resolution - _BEHIND * unit_normals(triangles)[:, None])
    low = np.clip(np.floor(pieces.min(axis=1) + _MARGIN).astype(np.int64), 0, resolution - 1)
    high = np.clip(np.ceil(pieces.max(axis=1) - _MARGIN).astype(np.int64), low + 1, resolution)
    side = high - low
    count = side.prod(axis=1)
    met = np.zeros(len(pieces), bool)
    portion = np.cumsum(count) // _PAIRS_AT_ONCE
    for some in np.split(np.arange(len(pieces)), np.flatnonzero(np.diff(portion)) + 1):
        owner = np.repeat(some, count[some])
        number = np.arange(len(owner)) - np.repeat(np.cumsum(count[some]) - count[some], count[some])
        rest, z = np.divmod(number, side[owner, 2])
        x, y = np.divmod(rest, side[owner, 1])
        cells = low[owner] + np.stack([x, y, z], axis=1)
        together = _touch(pieces, owner, cells + 0.5)
        grid[tuple(cells[together].T)] = True
        met[owner[together]] = True
    lost = pieces[~met].mean(axis=1) / resolution - 0.5  # slivers that lie just between cells
    grid.reshape(-1)[cell_of(lost, resolution)] = True
    return grid


def _cut(triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Halve triangles across their longest side until none is larger than a piece."""
    done = []
    while len(triangles):
        small = np.ptp(triangles, axis=1).max(axis=1) <= _PIECE
        done.append(triangles[small])
        triangles = triangles[~small]
        sides = np.linalg.norm(np.roll(triangles, -1, axis=1) - triangles, axis=2)
        first = np.argmax(sides, axis=1)
        a, b, c = (triangles[np.arange(len(triangles)), (first + i) % 3] for i in range(3))
        middle = (a + b) / 2
        triangles = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
    return np.concatenate(done)


def _touch(pieces: NDArray[np.float64], owner: NDArray[np.int64], centres: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which pairs of a piece and a cell overlap, their bounding boxes doing so (separating axes)."""
    half = 0.5 - _MARGIN
    edges = np.roll(pieces, -1, axis=1) - pieces
    ways = [np.cross(edges[:, 0], edges[:, 1])]
    for j in range(3):
        x, y, z = edges[:, j].T
        zero = np.zeros_like(x)
        ways += [np.stack(way, axis=1) for way in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    together = np.ones(len(owner), bool)
    for way in ways:
        reach = half * np.abs(way).sum(axis=1)
        along = np.einsum("fij,fj->fi", pieces, way)
        low, high = along.min(axis=1) - reach, along.max(axis=1) + reach
        pairs = np.flatnonzero(together)
        mine = owner[pairs]
        at = np.einsum("ij,ij->i", centres[pairs], way[mine])
        together[pairs] = (at >= low[mine]) & (at <= high[mine])
    return together
