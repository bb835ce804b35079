"""Distance of every cell to triangles: exact near them, to points on them further off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from voxgan.triangles import cell_of, unit_normals

__all__ = ["distance_to", "point_triangle_distance"]

_EXACT = 4.5  # cells
_CANDIDATES = 4
_CELLS_AT_ONCE = 1 << 16


def distance_to(
    triangles: NDArray[np.float64], points: NDArray[np.float32], owners: NDArray[np.int64], resolution: int
) -> NDArray[np.float32]:
    """Return the distance of each cell's centre to the surface (R, R, R), in edges of the unit cube.

    Parameters
    ----------
    triangles : array (F, 3, 3)
        In the unit cube.
    points : array (P, 3)
        On the surface, half a cell apart or closer.
    owners : array (P,)
        The triangle that each point lies on.
    resolution : int
        Cells along a side.
    """
    from scipy.ndimage import distance_transform_edt
    from scipy.spatial import cKDTree

    line = ((np.arange(resolution) + 0.5) / resolution - 0.5).astype(np.float32)
    sample = np.full(resolution**3, -1, np.int32)
    behind = points - 1e-3 / resolution * unit_normals(triangles)[owners]  # of faces that lie just between two cells
    cells = cell_of(behind, resolution)
    off = np.abs((points + 0.5) * resolution % 1 - 0.5).max(axis=1)
    order = np.argsort(-off, kind="stable")  # the last one written, nearest to the middle of its cell, stays
    sample[cells[order]] = order
    sample = sample.reshape((resolution,) * 3)
    nearest = distance_transform_edt(sample < 0, return_distances=False, return_indices=True)
    found = np.empty_like(sample)
    for x in range(resolution):
        found[x] = sample[tuple(nearest[:, x])]
    del nearest, sample
    distance = np.full((resolution,) * 3, np.inf, np.float32)
    for axis, step in (
        (0, 0),
        (0, -1),
        (0, 1),
        (1, -1),
        (1, 1),
        (2, -1),
        (2, 1),
    ):  # what a neighbour found may be nearer
        for x in range(resolution):
            there = found[min(max(x + step, 0), resolution - 1)] if axis == 0 else np.roll(found[x], step, axis - 1)
            point = points[there]
            away = (line[x] - point[..., 0]) ** 2 + (line[:, None] - point[..., 1]) ** 2 + (line - point[..., 2]) ** 2
            np.minimum(distance[x], away, out=distance[x])
    del found
    np.sqrt(distance, out=distance)

    tree = cKDTree(points)
    near = np.flatnonzero(distance.reshape(-1) <= _EXACT / resolution)
    count = min(_CANDIDATES, len(points))
    for start in range(0, len(near), _CELLS_AT_ONCE):
        flat = near[start : start + _CELLS_AT_ONCE]
        centres = np.stack([line[i] for i in np.unravel_index(flat, distance.shape)], axis=1).astype(np.float64)
        _, closest = tree.query(centres, count)
        closest = closest.reshape(len(flat), count)
        best = np.full(len(flat), np.inf)
        for j in range(count):
            owner = owners[closest[:, j]]
            fresh = np.flatnonzero((owner[:, None] != owners[closest[:, :j]]).all(axis=1))
            best[fresh] = np.minimum(best[fresh], point_triangle_distance(centres[fresh], triangles[owner[fresh]]))
        distance.reshape(-1)[flat] = best
    return distance


def point_triangle_distance(points: NDArray[np.float64], triangles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each point (N, 3) to its triangle (N, 3, 3).

    Examples
    --------
    >>> flat = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]])
    >>> point_triangle_distance(np.array([[0.2, 0.2, 3.0]]), flat).tolist()
    [3.0]
    """
    edges = np.roll(triangles, -1, axis=1) - triangles
    away = points[:, None] - triangles
    normal = np.cross(edges[:, 0], edges[:, 1])
    length = np.maximum(np.einsum("ni,ni->n", edges.reshape(-1, 3), edges.reshape(-1, 3)), 1e-30).reshape(-1, 3)
    part = np.clip(np.einsum("nij,nij->ni", away, edges) / length, 0, 1)
    beside = away - part[:, :, None] * edges
    squared = np.einsum("nij,nij->ni", beside, beside).min(axis=1)
    inwards = np.cross(normal[:, None], edges)
    area = np.einsum("ni,ni->n", normal, normal)
    over = (np.einsum("nij,nij->ni", away, inwards) >= 0).all(axis=1) & (area > 1e-30)
    height = np.einsum("ni,ni->n", away[:, 0], normal) ** 2 / np.maximum(area, 1e-30)
    result: NDArray[np.float64] = np.sqrt(np.where(over, height, squared))
    return result
