"""Points on the surface of an occupancy, with normals: what point metrics compare."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import SurfaceError, UsageError

__all__ = ["NUM_POINTS", "surface_points"]

NUM_POINTS = 2048
"""As the field's protocols have it (Yang et al. 2019, arXiv:1906.12320)."""


def surface_points(
    occupancy: NDArray[Any], num_points: int = NUM_POINTS, level: float = 0.5, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw points on the surface of a grid, evenly by area.

    The surface is that of marching cubes at `level`, as it is: neither cleaned nor smoothed. A grid that touches its
    borders is closed there.

    Parameters
    ----------
    occupancy : array, (R, R, R)
        In [0, 1], axes x, y, z.
    num_points : int
        P.
    level : float
    seed : int
        The same seed draws the same points.

    Returns
    -------
    points : array, (P, 3)
        In the unit cube [−½, ½]³.
    normals : array, (P, 3)
        Unit vectors that point outwards.

    Raises
    ------
    SurfaceError
        If the grid is no cube, not finite, or has nothing inside.
    UsageError
        If there are no points to draw, or the level is not between 0 and 1.

    Examples
    --------
    >>> grid = np.zeros((16, 16, 16)); grid[4:12, 4:12, 4:12] = 1
    >>> points, normals = surface_points(grid, 100)
    >>> points.shape, bool((np.abs(points).max(1) > 0.2).all())
    ((100, 3), True)
    """
    from skimage.measure import marching_cubes

    if num_points < 1:
        raise UsageError(f"{num_points} points asked for; expected 1 or more")
    if not 0 < level < 1:
        raise UsageError(f"level {level}: expected a number between 0 and 1")
    grid = np.asarray(occupancy, np.float32)
    if grid.ndim != 3 or len(set(grid.shape)) != 1 or not np.isfinite(grid).all():
        raise SurfaceError(f"a grid of shape {grid.shape}; expected (R, R, R) of finite numbers")
    if not grid.max(initial=0) > level:
        raise SurfaceError(f"the grid is empty: nothing in it is above the level {level:g}")
    vertices, faces, _, _ = marching_cubes(np.pad(grid, 1), level, gradient_direction="ascent")
    corners = (vertices[faces].astype(np.float64) - 0.5) / len(grid) - 0.5  # padded cell 1 is cell 0
    one, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    crosses = np.cross(one, other)
    areas = np.linalg.norm(crosses, axis=1)
    if not areas.sum() > 0:
        raise SurfaceError("the grid's surface has no area")
    rng = np.random.default_rng(seed)
    chosen = np.searchsorted(np.cumsum(areas), rng.random(num_points) * areas.sum()).clip(max=len(areas) - 1)
    along = rng.random((2, num_points, 1))
    along = np.where(along.sum(0) > 1, 1 - along, along)  # from the parallelogram into the triangle
    points = corners[chosen, 0] + along[0] * one[chosen] + along[1] * other[chosen]
    return points, crosses[chosen] / np.maximum(areas[chosen, None], np.finfo(np.float64).tiny)
