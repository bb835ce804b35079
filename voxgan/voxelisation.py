"""Mesh → occupancy: solid, robust on damaged meshes, thin parts kept; or the surface's cells; or signed distance.

Where lines along the axes leave a shape as often as they enter it, they say what is inside (`crossings`). A mesh for
which they do not (open, turned at random) is decided by rays: what escapes in several directions is outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxgan.crossings import Crossings, crossings, oriented
from voxgan.errors import MeshError, UsageError, nearest
from voxgan.triangles import cell_of, surface_samples, touched_cells, unit_normals
from voxgan.voxels import FILL, MAX_SIDE, Shapes, frame

if TYPE_CHECKING:
    import trimesh

__all__ = ["MODES", "signed_distance", "voxelise"]

MODES = ("solid", "surface")
"""What `voxelise` can mark."""

_SLACK = 0.04
"""Share of crossings, along each axis, that may lack their counterpart (holes) for the lines to be believed."""

_RAYS_AT_ONCE = 1 << 18


def voxelise(mesh: trimesh.Trimesh, resolution: int = 64, mode: str = "solid") -> Shapes:
    """Turn a mesh into occupancy.

    ``"solid"``: overlapping parts become one, a cavity without an opening is filled, and faces that are missing here
    and there, doubled or turned do no harm. Parts too thin to hold cell centres, and open sheets, mark the cells that
    they run through. Where a mesh is closed, or nearly so, a cell is inside if the surface winds around its centre.
    In any other it is outside if 4 of 26 rays from its centre escape (2 of 26 if the faces close but cannot be
    turned alike).

    ``"surface"``: every cell that a triangle touches, and no other; a face that lies between two cells marks the one
    behind it. No path through face-neighbours, so no line along an axis, passes a closed surface between these cells.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        In any units; z up. It is centred and scaled to `FILL` of the cube.
    resolution : int
        Cells along a side, 2 to 512.
    mode : str
        One of `MODES`.

    Returns
    -------
    Shapes
        One shape of 0 and 1, with the scale and centre that lead back to the mesh.

    Raises
    ------
    MeshError
        If the mesh has no faces, no extent, or numbers that are not finite.
    UsageError
        If the resolution is out of its range, or the mode unknown.

    Examples
    --------
    >>> import trimesh
    >>> from voxgan.voxels import FILL
    >>> box = voxelise(trimesh.creation.box((2, 1, 1)), 64)
    >>> float(box.occupancy.sum()), float(box.scale[0] * FILL)
    (54000.0, 2.0)
    """
    if mode not in MODES:
        raise UsageError(f"no voxelisation mode {mode!r}; {nearest(mode, MODES)}")
    triangles, scale, centre = _framed(mesh, resolution)
    if mode == "surface":
        grid = touched_cells(oriented(triangles), resolution)
    else:
        grid = _solid(triangles, resolution).grid
    return Shapes(grid, np.array([scale]), centre[None])


def signed_distance(mesh: trimesh.Trimesh, resolution: int = 64) -> tuple[Shapes, NDArray[np.float32]]:
    """Turn a mesh into occupancy and the distance of every cell's centre to the surface of that solid.

    Faces inside the solid (of overlapping parts, of filled cavities) do not count. Within 3 cells of the surface the
    distance is that to the nearest triangles, beyond to points on them.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        In any units; z up. It is centred and scaled to `FILL` of the cube.
    resolution : int
        Cells along a side, 2 to 512.

    Returns
    -------
    shapes : Shapes
        What `voxelise` returns.
    distance : array (R, R, R), float32
        In edges of the unit cube; at most 0 in the cells that are inside, at least 0 in all others. A part too thin
        for cell centres marks cells whose centres lie beside it: there too the sign follows the occupancy.

    Raises
    ------
    MeshError
        If the mesh has no faces, no extent, or numbers that are not finite.
    UsageError
        If the resolution is out of its range.

    Examples
    --------
    >>> import trimesh
    >>> shapes, distance = signed_distance(trimesh.creation.box(), 32)
    >>> float(distance[16, 16, 0]), bool(((distance <= 0) == (shapes.occupancy[0] > 0)).all())
    (0.015625, True)
    """
    from voxgan.distance import distance_to

    triangles, scale, centre = _framed(mesh, resolution)
    solid = _solid(triangles, resolution)
    points, owners = _visible_samples(solid, resolution)
    distance = distance_to(solid.triangles, points, owners, resolution)
    np.negative(distance, out=distance, where=solid.grid)
    return Shapes(solid.grid, np.array([scale]), centre[None]), distance


def _framed(mesh: trimesh.Trimesh, resolution: int) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Return the mesh's triangles in the unit cube, and the scale and centre that lead back."""
    if not 2 <= resolution <= MAX_SIDE:
        raise UsageError(f"resolution {resolution}: expected 2 to {MAX_SIDE}")
    if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all():
        raise MeshError("the mesh has no faces, or vertices that are not finite; repair it first")
    corners = np.asarray(mesh.triangles, np.float64)
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    if float(np.max(high - low)) <= 0:
        raise MeshError("the mesh has no extent: all its corners are one point")
    scale, centre = frame(low, high)
    triangles = np.clip((corners - centre) / scale, -FILL / 2, FILL / 2)  # beyond is only what rounding added
    return triangles, scale, centre


# ----------------------------------------------------------------------------------------------------- solid
@dataclass
class _Solid:
    grid: NDArray[np.bool_]
    body: NDArray[np.bool_]  # without what thin parts and sheets marked
    triangles: NDArray[np.float64]
    scene: Any


def _solid(triangles: NDArray[np.float64], resolution: int) -> _Solid:
    triangles = oriented(triangles)
    scene = _scene(triangles)
    lines = crossings(triangles, resolution)
    if max(lines.imbalance) > _SLACK:  # perhaps only for faces inside the solid, which bound nothing
        rest = triangles[~_buried(scene, triangles)]
        if 0 < len(rest) < len(triangles):
            rest = oriented(rest)
            fewer = crossings(rest, resolution)
            if max(fewer.imbalance) <= _SLACK:
                triangles, lines, scene = rest, fewer, _scene(rest)
    trusted = max(lines.imbalance) <= _SLACK
    closed = max(lines.imbalance) == 0 if trusted else lines.odd == 0
    escapes_needed = 2 if closed else 4
    if trusted:
        body = _wound(scene, lines, escapes_needed)
    else:
        everywhere = np.ones(lines.votes.shape, bool)
        body = _enclosed_cells(scene, lines.walls, everywhere, escapes_needed)
        if closed:  # then whatever is joined to the outside is outside: deep compartments stay open
            body = ~_flowed(~body, everywhere, lines.walls)
    grid = body.copy()
    _mark_thin(grid, scene, triangles, trusted, escapes_needed)
    _mark_sheets(grid, triangles, expected=not (trusted or closed))
    return _Solid(grid, body, triangles, scene)


def _scene(triangles: NDArray[np.float64]) -> Any:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    scene = EmbreeScene()
    TriangleMesh(scene, triangles.astype(np.float32))
    return scene


def _buried(scene: Any, triangles: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say from which triangles (F,) no ray escapes on either side, at any of the points tried."""
    unit = unit_normals(triangles)
    buried = np.ones(len(triangles), bool)
    for points, owner in surface_samples(triangles, 0.1):
        for side in (-1.0, 1.0):
            hidden = np.flatnonzero(buried[owner])
            starts = points[hidden] + side * 1e-4 * unit[owner[hidden]]
            buried[owner[hidden[~_enclosed(scene, starts, 1)]]] = False
    return buried


def _wound(scene: Any, lines: Crossings, escapes_needed: int) -> NDArray[np.bool_]:
    """Return the cells that the surface winds around, and those in cavities.

    Where the six lines through a cell are of two minds, rays decide. What the outside cannot reach without crossing a
    triangle is a cavity, unless rays escape from it.
    """
    inside = lines.votes >= 4
    split = lines.votes == 3
    inside |= _enclosed_cells(scene, lines.walls, split, escapes_needed)
    outside = np.zeros_like(inside)
    for axis in range(3):
        for side in (0, -1):
            border = tuple(side if a == axis else slice(None) for a in range(3))
            outside[border] = ~inside[border]
    outside = _flowed(outside, ~inside, lines.walls)
    pockets = ~(outside | inside)
    if pockets.any():
        outside |= pockets & ~_enclosed_cells(scene, lines.walls, pockets, escapes_needed)
        outside = _flowed(outside, ~inside, lines.walls)
    return ~outside


def _flowed(seeds: NDArray[np.bool_], free: NDArray[np.bool_], walls: list[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Return the cells that can be reached from the seeds through free cells without crossing a wall."""
    reached = seeds.copy()
    before = -1
    while (count := int(reached.sum())) != before:
        before = count
        for axis in range(3):
            along = np.moveaxis(reached, axis, 0)
            may = np.moveaxis(free, axis, 0)
            wall = np.moveaxis(walls[axis], axis, 0)
            for k in range(1, len(along)):
                along[k] |= along[k - 1] & may[k] & ~wall[k]
            for k in range(len(along) - 1, 0, -1):
                along[k - 1] |= along[k] & may[k - 1] & ~wall[k]
    return reached


# ------------------------------------------------------------------------------------------------------ rays
def _directions() -> NDArray[np.float32]:
    """Return the 26 directions to a cell's neighbours, turned so that none runs along an axis or a diagonal.

    The first six are those across a face.
    """
    steps = np.array([(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) != (0, 0, 0)])
    steps = steps[np.random.default_rng(0).permutation(26)]
    steps = steps[np.argsort(np.abs(steps).sum(axis=1) > 1, kind="stable")]
    a, b = 0.0137, 0.0211
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    unit = steps / np.linalg.norm(steps, axis=1, keepdims=True)
    return np.ascontiguousarray(unit @ (turn_z @ turn_x).T, np.float32)


def _enclosed(
    scene: Any, points: NDArray[np.floating], escapes_needed: int, straight: NDArray[np.int8] | None = None
) -> NDArray[np.bool_]:
    """Say from which points (P, 3) fewer than `escapes_needed` of 26 rays escape.

    `straight`, if given, says how many of the six along the axes do, and only the other 20 are sent out.
    """
    escaped = np.zeros(len(points), np.int8) if straight is None else straight.copy()
    undecided = np.flatnonzero(escaped < escapes_needed)
    for direction in _directions()[0 if straight is None else 6 :]:
        if not len(undecided):
            break
        rays = np.ascontiguousarray(np.broadcast_to(direction, (len(undecided), 3)))
        hit = scene.run(np.ascontiguousarray(points[undecided], np.float32), rays, query="OCCLUDED")
        escaped[undecided] += np.asarray(hit) < 0
        undecided = undecided[escaped[undecided] < escapes_needed]
    return escaped < escapes_needed


def _straight_escapes(walls: list[NDArray[np.bool_]]) -> NDArray[np.int8]:
    """Return how many of the six lines from each cell's centre (R, R, R) leave the grid without crossing a wall."""
    resolution = walls[0].shape[1]
    escapes = np.zeros((resolution,) * 3, np.int8)
    for axis in range(3):
        wall = np.moveaxis(walls[axis], axis, 0)
        count = np.moveaxis(escapes, axis, 0)
        for order, behind in ((range(resolution), 0), (range(resolution - 1, -1, -1), 1)):
            clear = np.ones(wall.shape[1:], bool)
            for k in order:
                clear &= ~wall[k + behind]
                count[k] += clear
    return escapes


def _enclosed_cells(
    scene: Any, walls: list[NDArray[np.bool_]], asked: NDArray[np.bool_], escapes_needed: int
) -> NDArray[np.bool_]:
    """Say from which of the cells asked about fewer than `escapes_needed` of 26 rays escape.

    Six of the rays are the lines along the axes. In a block of cells with no wall between them, the eight at its
    corners speak for the others where they agree.
    """
    resolution = len(asked)
    if not asked.any():
        return asked.copy()
    escapes = _straight_escapes(walls)
    enclosed: NDArray[np.bool_] = asked & (escapes < escapes_needed)
    undecided = enclosed.copy()

    def decide(cells: NDArray[np.int64]) -> None:
        for start in range(0, len(cells), _RAYS_AT_ONCE):
            flat = cells[start : start + _RAYS_AT_ONCE]
            points = (np.stack(np.unravel_index(flat, asked.shape), axis=1) + 0.5) / resolution - 0.5
            enclosed.reshape(-1)[flat] = _enclosed(scene, points, escapes_needed, escapes.reshape(-1)[flat])
            undecided.reshape(-1)[flat] = False

    for side in (8, 4):
        num = resolution // side
        blocks, inner = (num, side) * 3, (slice(0, num * side),) * 3
        corner = (slice(None), slice(None, None, side - 1)) * 3
        free = np.asarray(asked[inner].reshape(blocks).all(axis=(1, 3, 5)))
        free &= undecided[inner].reshape(blocks).any(axis=(1, 3, 5))
        for axis in range(3):
            between = tuple(slice(1, None) if a == 2 * axis + 1 else slice(None) for a in range(6))
            free &= ~walls[axis][inner].reshape(blocks)[between].any(axis=(1, 3, 5))
        corners = np.zeros(blocks, bool)
        corners[corner] = free[:, None, :, None, :, None]
        wanted = undecided.copy()
        wanted[inner] &= corners.reshape((num * side,) * 3)
        for axis in range(3):
            np.moveaxis(wanted, axis, 0)[num * side :] = False
        decide(np.flatnonzero(wanted))
        says = enclosed[inner].reshape(blocks)[corner]
        every = _each_cell(free & np.asarray(says.all(axis=(1, 3, 5))), side)
        none = _each_cell(free & ~np.asarray(says.any(axis=(1, 3, 5))), side)
        enclosed[inner] &= ~(none & undecided[inner])
        undecided[inner] &= ~(none | every)
    decide(np.flatnonzero(undecided))
    return enclosed


def _each_cell(blocks: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    return blocks.repeat(side, 0).repeat(side, 1).repeat(side, 2)


# ------------------------------------------------------------------------------------------------ thin parts
def _mark_thin(
    grid: NDArray[np.bool_], scene: Any, triangles: NDArray[np.float64], trusted: bool, escapes_needed: int
) -> None:
    """Mark, in place, the cells along the middle of parts too thin to hold cell centres.

    A part is that thin where a ray into it leaves it within a cell (along the steepest axis, and a quarter more).
    Where the winding cannot be trusted both sides are tried, and the middle must be enclosed.
    """
    resolution = len(grid)
    unit = unit_normals(triangles)
    for points, owner in surface_samples(triangles, 0.5 / resolution):
        normals = unit[owner]
        reach = (1.25 * np.abs(normals).max(axis=1) / resolution).astype(np.float32)
        for side in (-1.0,) if trusted else (-1.0, 1.0):
            ways = np.ascontiguousarray(side * normals, np.float32)
            starts = np.ascontiguousarray(points + ways * 1e-5, np.float32)
            hit = scene.run(starts, ways, reach, output=1)
            narrow = np.flatnonzero(np.asarray(hit["primID"]) >= 0)
            middles = points[narrow] + ways[narrow] * (np.asarray(hit["tfar"])[narrow, None] / 2)
            cells, first = np.unique(cell_of(middles, resolution), return_index=True)
            if not trusted:
                fresh = ~grid.reshape(-1)[cells]
                cells, first = cells[fresh], first[fresh]
                cells = cells[_enclosed(scene, middles[first], escapes_needed)]
            grid.reshape(-1)[cells] = True


def _mark_sheets(grid: NDArray[np.bool_], triangles: NDArray[np.float64], expected: bool) -> None:
    """Mark, in place, the cells that open sheets run through: they have no inside that would hold a centre.

    That is where the solid so far is nowhere near, and next to it; or, where sheets are `expected` because the faces
    do not close, wherever nothing is marked on either side up to half a cell's diagonal: behind the surface of a
    solid, a cell that deep has its centre inside.
    """
    from scipy.ndimage import binary_dilation

    resolution = len(grid)
    unit = unit_normals(triangles)
    sheet = np.zeros_like(grid)
    for points, owner in surface_samples(triangles, 0.5 / resolution):
        bare = np.ones(len(points), bool)
        for step in np.sqrt(0.75) * np.linspace(-1, 1, 11) if expected else ():
            bare &= ~grid.reshape(-1)[cell_of(points + step / resolution * unit[owner], resolution)]
        behind = points - 1e-4 / resolution * unit[owner]
        sheet.reshape(-1)[cell_of(behind[bare], resolution)] = True
    if not expected:
        around = np.ones((3, 3, 3), bool)
        apart = sheet & ~binary_dilation(grid, around)
        sheet &= binary_dilation(apart, around)  # up to what it ends at
    grid |= sheet


# -------------------------------------------------------------------------------------------------- distance
def _visible_samples(solid: _Solid, resolution: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return points (P, 3) on those triangles that bound the solid, and their owners (P,).

    From either side of a point, the nearest cell centre in sight says whether that side is inside. A point with the
    inside on both sides bounds nothing.
    """
    unit = unit_normals(solid.triangles)
    corners = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)])
    kept_points, kept_owners = [], []
    for points, owner in surface_samples(solid.triangles, 0.5 / resolution):
        bounds = np.zeros(len(points), bool)
        for side in (-1.0, 1.0):
            starts = points + side * 1e-5 * unit[owner]
            cells = np.floor((starts + 0.5) * resolution - 0.5).astype(np.int64)[:, None] + corners
            cells = np.clip(cells, 0, resolution - 1)
            ways = (cells + 0.5) / resolution - 0.5 - starts[:, None]
            length = np.linalg.norm(ways, axis=2)
            length[side * np.einsum("nij,nj->ni", ways, unit[owner]) < 1e-3 / resolution] = np.inf  # not on this side
            order = np.argsort(length, axis=1)
            undecided = np.flatnonzero(~bounds)
            for rank in range(8):
                left = np.isfinite(length[undecided, order[undecided, rank]])
                bounds[undecided[~left]] = True  # nothing in sight: better one face too many
                undecided = undecided[left]
                if not len(undecided):
                    break
                chosen = order[undecided, rank]
                reach = length[undecided, chosen]
                way = (ways[undecided, chosen] / reach[:, None]).astype(np.float32)
                hit = solid.scene.run(
                    starts[undecided].astype(np.float32), way, reach.astype(np.float32), query="OCCLUDED"
                )
                seen = np.asarray(hit) < 0
                inside = solid.body[tuple(cells[undecided, chosen].T)]
                bounds[undecided[seen & ~inside]] = True
                undecided = undecided[~seen]
            bounds[undecided] = True
        kept_points.append(points[bounds].astype(np.float32))
        kept_owners.append(owner[bounds])
    return np.concatenate(kept_points), np.concatenate(kept_owners)
