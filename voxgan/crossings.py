"""Where the lines through the centres of a grid's cells cross triangles, and which way: no rays, exact on shared edges.

A line along each axis runs through every row of cell centres. What it crosses between two neighbouring centres says
whether one can pass from cell to cell, and, counted with its sign, how often a cell's centre is wound around.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Crossings", "crossings", "oriented"]

_HITS_AT_ONCE = 1 << 19
_PARITY = np.array([[0, 1, -1], [-1, 0, 1], [1, -1, 0]])  # of the order (i, j, the third one)


@dataclass
class Crossings:
    """What the lines through cell centres cross.

    Attributes
    ----------
    walls : list of array, bool
        For each axis a grid, one cell longer along that axis: True at index k if a triangle lies between the centres
        of cells k − 1 and k.
    votes : array (R, R, R), int8
        How many of the six lines from a cell's centre to the grid's sides say that the surface winds around it.
    imbalance : tuple of 3 floats
        For each axis, the lines' surplus of crossings in or out, as a share of all crossings: 0 where the surface is
        closed, about the share of missing faces where some are missing, up to 1 on an open sheet.
    odd : int
        How many lines cross an odd number of triangles: 0 if the surface is closed, whichever way its faces turn.
    """

    walls: list[NDArray[np.bool_]]
    votes: NDArray[np.int8]
    imbalance: tuple[float, float, float]
    odd: int


def oriented(triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn triangles (F, 3, 3) of the unit cube so that neighbours agree and closed parts face outwards.

    Corners that coincide to 1e-5 are taken as joined, triangles on the same three corners as one. Across an edge of
    two triangles both are turned alike; a part that is (nearly) closed then gets a volume above 0, any other keeps
    the way that most of its area faces.

    Returns
    -------
    array (G, 3, 3)
        The triangles without repetitions, in the given order, some with their corners in reverse.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    steps = np.round((triangles.reshape(-1, 3) + 0.5) * 1e5).astype(np.int64)
    _, corner = np.unique((steps[:, 0] << 40) | (steps[:, 1] << 20) | steps[:, 2], return_inverse=True)
    faces = corner.reshape(-1, 3)
    _, kept = np.unique(_key(np.sort(faces, axis=1)), return_index=True)
    kept.sort()
    triangles, faces = triangles[kept], faces[kept]
    num = len(faces)

    edges = np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)
    upwards = edges[:, 0] < edges[:, 1]
    key = (edges.min(axis=1) << 31) | edges.max(axis=1)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    sizes = np.diff(starts, append=len(key))
    first, second = order[starts[sizes == 2]], order[starts[sizes == 2] + 1]
    f, g, differ = first // 3, second // 3, upwards[first] == upwards[second]
    # Every triangle twice, as it is and turned: a part that can be turned consistently falls into two mirrored halves.
    rows = np.concatenate([f, f + num])
    columns = np.concatenate([g + num * differ, g + num * ~differ])
    links = csr_matrix((np.ones(len(rows), bool), (rows, columns)), shape=(2 * num, 2 * num))
    _, half = connected_components(links, directed=False)
    part = np.minimum(half[:num], half[num:])
    turned = half[:num] > part

    matched = np.zeros(len(key), bool)
    matched[first] = matched[second] = True
    size = np.bincount(part)
    closed = np.bincount(part, matched.reshape(-1, 3).sum(axis=1)) > 0.9 * 3 * size
    middle = np.stack([np.bincount(part, triangles[:, :, a].mean(axis=1)) for a in range(3)], axis=1)
    around = triangles - (middle / np.maximum(size, 1)[:, None])[part][:, None]
    sign = np.where(turned, -1.0, 1.0)
    volumes = np.einsum("ij,ij->i", around[:, 0], np.cross(around[:, 1], around[:, 2])) / 6
    area = np.linalg.norm(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1) / 2
    volume, facing, areas = (np.bincount(part, w) for w in (volumes * sign, area * sign, area))
    by_volume = closed & (np.abs(volume) > 1e-3 * areas**1.5)
    turned ^= (np.where(by_volume, volume, facing) < 0)[part]
    rest = ~by_volume[part]
    whole = np.einsum("ij,ij->i", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2]))
    if (whole * np.where(turned, -1, 1))[rest].sum() < 0:
        turned ^= rest
    result = triangles.copy()
    result[turned] = result[turned][:, ::-1]
    return result


def crossings(triangles: NDArray[np.float64], resolution: int) -> Crossings:
    """Find what the lines through the cell centres cross.

    Parameters
    ----------
    triangles : array (F, 3, 3)
        In the unit cube, facing outwards as far as that is known.
    resolution : int
        Cells along a side.

    Examples
    --------
    >>> import trimesh
    >>> found = crossings(trimesh.creation.box((0.5, 0.5, 0.5)).triangles, 8)
    >>> int((found.votes == 6).sum()), found.imbalance, found.odd
    (64, (0.0, 0.0, 0.0), 0)
    """
    votes = np.zeros((resolution,) * 3, np.int8)
    walls, imbalance, odd = [], [], 0
    for axis in range(3):
        turns = np.zeros((resolution, resolution, resolution + 1), np.int16)
        wall = np.zeros(turns.shape, bool)
        number = np.zeros((resolution, resolution), np.int32)
        for place, sign in _hits(triangles, resolution, axis):
            np.add.at(turns.reshape(-1), place, sign)
            wall.reshape(-1)[place] = True
            number += np.bincount(place // (resolution + 1), minlength=resolution**2).reshape(number.shape)
        np.cumsum(turns, axis=2, out=turns)
        total = turns[:, :, -1:]
        ahead = np.moveaxis(votes, (axis - 2, axis - 1, axis), (0, 1, 2))  # a view: votes turn with the axis
        ahead += turns[:, :, :-1] > 0
        ahead += turns[:, :, :-1] > total
        walls.append(np.ascontiguousarray(np.moveaxis(wall, (0, 1, 2), (axis - 2, axis - 1, axis))))
        imbalance.append(float(np.abs(total).sum() / max(int(number.sum()), 1)))
        odd += int((number & 1).sum())
    return Crossings(walls, votes, (imbalance[0], imbalance[1], imbalance[2]), odd)


def _hits(
    triangles: NDArray[np.float64], resolution: int, axis: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int16]]]:
    """Yield, in portions, where lines along an axis cross triangles: flat indices (u, v, k), and +1 in or −1 out.

    Along each row of lines, a triangle covers what lies between its long side and one of its two short ones. Both are
    computed from the same two corners in the same order in the triangle's neighbour, so that no line slips through
    a shared edge, and none crosses it twice.
    """
    corners = (triangles + 0.5) * resolution - 0.5  # cell centres are whole numbers
    u, v, w = (corners[:, :, (axis + 1 + i) % 3] for i in range(3))
    order = np.argsort(u, axis=1, kind="stable")
    order = np.take_along_axis(order, np.argsort(np.take_along_axis(v, order, 1), axis=1, kind="stable"), 1)
    u, v, w = (np.take_along_axis(x, order, 1) for x in (u, v, w))
    parity = _PARITY[order[:, 0], order[:, 1]].astype(np.int16)
    bottom = np.clip(np.ceil(v[:, 0]), 0, resolution).astype(np.int64)
    top = np.clip(np.ceil(v[:, 2]), 0, resolution).astype(np.int64)
    rows = top - bottom
    wide = np.ptp(u, axis=1) / 2 * rows + rows
    chosen = np.flatnonzero(rows > 0)
    portion = (np.cumsum(wide[chosen]) // _HITS_AT_ONCE).astype(np.int64)
    for triangle in np.split(chosen, np.flatnonzero(np.diff(portion)) + 1):
        count = rows[triangle]
        t = np.repeat(triangle, count)
        row = np.arange(len(t)) - np.repeat(np.cumsum(count) - count, count) + bottom[t]
        long_u, long_w = _at_row(row, *(x[t, i] for i in (0, 2) for x in (u, v, w)))
        upper = (row >= v[t, 1]).astype(np.int64)
        short_u, short_w = _at_row(row, *(x[t, upper + i] for i in (0, 1) for x in (u, v, w)))
        begin = np.clip(np.ceil(np.minimum(long_u, short_u)), 0, resolution).astype(np.int64)
        end = np.clip(np.ceil(np.maximum(long_u, short_u)), 0, resolution).astype(np.int64)
        count = end - begin
        span = np.repeat(np.arange(len(count)), count)
        if not len(span):
            continue
        column = np.arange(len(span)) - np.repeat(np.cumsum(count) - count, count) + begin[span]
        part = (column - long_u[span]) / (short_u - long_u)[span]
        depth = long_w[span] + part * (short_w - long_w)[span]
        k = np.clip(np.ceil(depth), 0, resolution).astype(np.int64)
        outwards = np.where(short_u > long_u, parity[t], -parity[t])[span]
        yield (column * resolution + row[span]) * (resolution + 1) + k, -outwards


def _at_row(row: NDArray[Any], *ends: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return where edges from (u, v, w) to (u, v, w) reach v = row: u and w."""
    u0, v0, w0, u1, v1, w1 = ends
    part = (row - v0) / (v1 - v0)
    return u0 + part * (u1 - u0), w0 + part * (w1 - w0)


def _key(triples: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one number per sorted triple, equal where the triples are."""
    _, pair = np.unique((triples[:, 0] << 31) | triples[:, 1], return_inverse=True)
    key: NDArray[np.int64] = (pair.astype(np.int64) << 31) | triples[:, 2]
    return key
