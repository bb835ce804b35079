"""Mesh → occupancy by escaping rays: solid, robust, thin parts kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import MeshError, UsageError
from voxgan.voxels import MAX_SIDE, Shapes, cell_centres, frame

if TYPE_CHECKING:
    import trimesh

__all__ = ["voxelise"]


def _directions() -> NDArray[np.float32]:
    """Return the 26 directions to a cell's neighbours, turned so that none runs along an axis or a diagonal."""
    steps = np.array([(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)])
    a, b = 0.0137, 0.0211
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    turned = unit @ (turn_z @ turn_x).T
    return np.ascontiguousarray(turned[np.random.default_rng(0).permutation(26)], np.float32)


def _surface_points(triangles: NDArray[np.float64], spacing: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return points spread evenly over the triangles, about `spacing` apart or closer, and their unit normals.

    Each triangle is walked along its longest side in equal steps; the height above that side follows the golden
    ratio. So a sliver gets points all along, and a large triangle no gaps, as points drawn by chance would leave.
    """
    cross = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    area = np.linalg.norm(cross, axis=1)
    sides = np.linalg.norm(np.roll(triangles, -1, axis=1) - triangles, axis=2)
    first = np.argmax(sides, axis=1)
    longest = sides.max(axis=1)
    a, b, apex = (triangles[np.arange(len(triangles)), (first + i) % 3] for i in range(3))
    foot = np.einsum("ij,ij->i", apex - a, b - a) / np.maximum(longest, 1e-30) ** 2
    foot = np.clip(foot, 1e-9, 1 - 1e-9)
    wanted = np.maximum(area / spacing**2, longest / spacing)
    count = np.maximum(1, np.ceil(wanted * min(1.0, 2e6 / max(wanted.sum(), 1.0)))).astype(np.int64)
    owner = np.repeat(np.arange(len(triangles)), count)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    along = ((step + 0.5) / count[owner])[:, None]
    up = ((step + 0.5) * (np.sqrt(5) - 1) / 2 % 1)[:, None]
    rise = np.minimum(along / foot[owner, None], (1 - along) / (1 - foot[owner, None]))  # of the column, 1 at the apex
    below = a[owner] + along * (b - a)[owner]
    top = (apex - a - foot[:, None] * (b - a))[owner]
    normals = cross / np.maximum(area, 1e-30)[:, None]
    return below + up * rise * top, normals[owner]


def voxelise(mesh: trimesh.Trimesh, resolution: int = 64) -> Shapes:
    """Turn a mesh into occupancy: solid, robust on holes, flipped and doubled faces, with thin parts kept.

    A cell is outside when rays from its centre escape: 2 of 26 for a closed mesh, 4 of 26 for any other; in a closed
    mesh the outside then flows on into deep, open compartments. A cavity without an opening is filled. Parts too thin
    to hold cell centres, and open sheets, mark the cells that they run through.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        In any units; z up. It is centred and scaled to `FILL` of the cube.
    resolution : int
        Cells along a side, 2 to 512.

    Returns
    -------
    Shapes
        One shape of 0 and 1, with the scale and centre that lead back to the mesh.

    Raises
    ------
    MeshError
        If the mesh has no faces, no extent, or numbers that are not finite.

    Examples
    --------
    >>> import trimesh
    >>> from voxgan.voxels import FILL
    >>> box = voxelise(trimesh.creation.box((2, 1, 1)), 64)
    >>> float(box.occupancy.sum()), float(box.scale[0] * FILL)
    (54000.0, 2.0)
    """
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    if not 2 <= resolution <= MAX_SIDE:
        raise UsageError(f"resolution {resolution}: expected 2 to {MAX_SIDE}")
    if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all():
        raise MeshError("the mesh has no faces, or vertices that are not finite; repair it first")
    corners = np.asarray(mesh.triangles, np.float64)
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    if float(np.max(high - low)) <= 0:
        raise MeshError("the mesh has no extent: all its corners are one point")
    scale, centre = frame(low, high)
    triangles = (corners - centre) / scale

    scene = EmbreeScene()
    TriangleMesh(scene, triangles.astype(np.float32))
    centres = cell_centres(resolution)
    half = (high - low) / scale / 2
    candidate = (np.abs(centres) <= half + 1e-9).all(axis=-1)
    escapes_needed = 2 if mesh.is_watertight else 4
    grid = np.zeros((resolution,) * 3, bool)
    grid[candidate] = _enclosed(scene, centres[candidate], escapes_needed)
    if mesh.is_watertight:
        _flood(grid, scene, centres)

    sound = bool(mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0)
    _mark_thin(grid, scene, triangles, sound, escapes_needed)
    return Shapes(grid, np.array([scale]), centre[None])


def _enclosed(scene: Any, points: NDArray[Any], escapes_needed: int) -> NDArray[np.bool_]:
    """Say from which points (P, 3) fewer than `escapes_needed` of 26 rays escape."""
    origins = np.ascontiguousarray(points, np.float32)
    escaped = np.zeros(len(origins), np.int8)
    undecided = np.arange(len(origins))
    for direction in _directions():
        if not len(undecided):
            break
        rays = np.ascontiguousarray(np.broadcast_to(direction, (len(undecided), 3)))
        hit = scene.run(origins[undecided], rays, query="OCCLUDED")
        escaped[undecided] += np.asarray(hit) < 0
        undecided = undecided[escaped[undecided] < escapes_needed]
    return escaped < escapes_needed


def _mark_thin(
    grid: NDArray[np.bool_], scene: Any, triangles: NDArray[np.float64], sound: bool, escapes_needed: int
) -> None:
    """Mark, in place, the cells along the middle of parts too thin to hold cell centres.

    A part is that thin where a ray into it leaves it within a cell (along the steepest axis, and a quarter more).
    Where the winding cannot be trusted both sides are tried, and the middle must be enclosed. An open sheet, which has
    no inside at all, marks the cells that it runs through.
    """
    from scipy.ndimage import binary_dilation

    resolution = len(grid)
    points, normals = _surface_points(triangles, 0.5 / resolution)
    reach = 1.25 * np.abs(normals).max(axis=1) / resolution
    for side in (-1.0,) if sound else (-1.0, 1.0):
        ways = np.ascontiguousarray(side * normals, np.float32)
        starts = np.ascontiguousarray(points + ways * 1e-5, np.float32)
        hit = scene.run(starts, ways, reach.astype(np.float32), output=1)
        thin = np.asarray(hit["primID"]) >= 0
        middles = points[thin] + ways[thin] * (np.asarray(hit["tfar"])[thin, None] / 2)
        cells, first = np.unique(_cell_of(middles, resolution), axis=0, return_index=True)
        if not sound:
            cells = cells[_enclosed(scene, middles[first], escapes_needed)]
        grid[tuple(cells.T)] = True
    if not sound:
        sheet = np.zeros_like(grid)
        sheet[tuple(_cell_of(points, resolution).T)] = True
        around = np.ones((3, 3, 3), bool)
        apart = sheet & ~binary_dilation(grid, around)
        grid |= apart | (sheet & binary_dilation(apart, around))  # up to what it ends at


def _flood(grid: NDArray[np.bool_], scene: Any, centres: NDArray[np.float64]) -> None:
    """Let the outside flow, in place, into cells of a closed mesh from which too few rays escape.

    A cell whose centre is joined to an outside cell's centre by a segment that crosses no surface is outside, too.
    """
    resolution = len(grid)
    padded = np.pad(grid, 1)
    inner = padded[1:-1, 1:-1, 1:-1]
    ways = [(axis, side) for axis in range(3) for side in (-1, 1)]
    fresh = ~inner
    while fresh.any():
        found = np.zeros_like(inner)
        for axis, side in ways:
            cells = np.argwhere(fresh & np.roll(padded, -side, axis)[1:-1, 1:-1, 1:-1])
            if not len(cells):
                continue
            direction = np.zeros((len(cells), 3), np.float32)
            direction[:, axis] = side
            origins = np.ascontiguousarray(centres[tuple(cells.T)], np.float32)
            hit = scene.run(origins, direction, np.full(len(cells), 1 / resolution, np.float32), query="OCCLUDED")
            cells[:, axis] += side
            found[tuple(cells[np.asarray(hit) < 0].T)] = True
        inner &= ~found
        fresh = found
    grid[:] = inner


def _cell_of(points: NDArray[Any], resolution: int) -> NDArray[np.int64]:
    return np.clip(np.floor((points + 0.5) * resolution).astype(np.int64), 0, resolution - 1)
