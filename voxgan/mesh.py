"""Meshes in and out: `read_mesh` is the one gate for files, `surface` turns a grid into a watertight mesh.

`export`, at home in `voxgan.export`, is here too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxgan.decimation import decimate, is_sound
from voxgan.errors import MeshError, StorageError, SurfaceError, UsageError, nearest
from voxgan.export import EXPORT_SUFFIXES, export
from voxgan.mesh_files import Soup, parse_obj, parse_off, parse_stl
from voxgan.mesh_ply import parse_ply
from voxgan.mesh_scenes import parse_3mf, parse_glb

if TYPE_CHECKING:
    import trimesh

__all__ = ["EXPORT_SUFFIXES", "MESH_SUFFIXES", "export", "read_mesh", "surface"]

_READERS: dict[str, Callable[[bytes], Soup]] = {
    ".obj": parse_obj,
    ".off": parse_off,
    ".stl": parse_stl,
    ".ply": parse_ply,
    ".glb": parse_glb,
    ".3mf": parse_3mf,
}

MESH_SUFFIXES = tuple(_READERS)
"""Suffixes that `read_mesh` reads."""

MAX_BYTES = 1 << 29
"""A mesh file larger than this (512 MB) is refused."""

_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # glTF's (x, y, z) → (x, −z, y)
_MAX_COORDINATE = 1e15  # beyond, differences of single-precision coordinates overflow when squared
_NUDGE = 1e-3  # no probability lies nearer to the level than this: no slivers, two vertices never coincide


def read_mesh(path: str | Path) -> trimesh.Trimesh:
    r"""Read the triangles of a mesh file that nobody vouches for.

    Geometry only: no materials, no textures, no second file, no address on the network. A scene is flattened
    with its transforms, polygons are cut into triangles, faces that use a vertex twice are dropped; nothing
    else is merged or repaired. (STL has no indices: there, corners in one place become one vertex.) GLB is
    y-up by its standard and is turned to z-up; every other format is taken as it lies. Units are not applied.

    Parameters
    ----------
    path : path
        A file that ends in one of `MESH_SUFFIXES`, of at most 512 MB.

    Returns
    -------
    trimesh.Trimesh
        Vertices (V, 3) float64, finite; faces (F, 3) with F > 0 and indices in range; an extent above 0.

    Raises
    ------
    StorageError
        If there is no such file, or it cannot be read.
    MeshError
        If the suffix is unknown or the content cannot be used: empty, cut off, damaged, without faces, with
        coordinates that are not finite, indices out of range, or all points in one place.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "square.off"
    >>> _ = path.write_text("OFF4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n")
    >>> read_mesh(path).faces.tolist()
    [[0, 1, 2], [0, 2, 3]]
    """
    import trimesh

    if "://" in str(path):
        raise MeshError(f"{path} is an address, a file was expected: download it first")
    path = Path(path)
    data = _read_bytes(path)
    suffix = path.suffix.lower()
    try:
        with np.errstate(all="ignore"):
            vertices, faces = _READERS[suffix](data)
            if suffix == ".glb":
                vertices = vertices @ _Z_UP.T
            faces = _checked(vertices, faces)
    except Exception as error:
        raise MeshError(f"cannot read the mesh {path}: {_reason(error)}; give another file") from error
    return trimesh.Trimesh(vertices, faces, process=False, validate=False)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:200].rstrip(".;")
    if type(error) is ValueError and text:
        return text
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    return f"it is damaged ({type(error).__name__}{': ' if text else ''}{text})"


def _read_bytes(path: Path) -> bytes:
    if path.suffix.lower() not in _READERS:
        known = nearest(path.suffix.lower(), MESH_SUFFIXES)
        raise MeshError(f"cannot read the mesh {path}: its suffix is {path.suffix!r}; {known}")
    try:
        if not path.exists():
            raise StorageError(f"there is no mesh file {path}: check the name")
        if not path.is_file():
            raise StorageError(f"{path} is no file: a mesh file was expected")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise MeshError(f"the mesh {path} has {size >> 20} MB, at most {MAX_BYTES >> 20} are read: simplify it")
        data = path.read_bytes()
    except StorageError:
        raise
    except (OSError, ValueError) as error:
        if isinstance(error, MeshError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"cannot read {path}: {reason}") from error
    if not data.strip(b"\0 \t\r\n"):
        raise MeshError(f"the mesh {path} is empty: give another file")
    return data


def _checked(vertices: NDArray[np.float64], faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the faces worth keeping, or say what makes the mesh useless."""
    if len(faces) == 0:
        raise ValueError(f"it has {len(vertices)} points and no faces")
    if faces.min() < 0 or faces.max() >= len(vertices):
        wrong = faces.min() if faces.min() < 0 else faces.max()
        raise ValueError(f"a face names vertex {wrong}, there are {len(vertices)} (counted from 0)")
    if not np.isfinite(vertices).all():
        bad = int((~np.isfinite(vertices)).any(axis=1).sum())
        raise ValueError(f"{bad} of its {len(vertices)} vertices are not finite")
    faces = faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)]
    if len(faces) == 0:
        raise ValueError("all its faces are degenerate: it has no extent")
    corners = vertices[faces.reshape(-1)]
    if np.abs(corners).max() > _MAX_COORDINATE:
        raise ValueError(f"its coordinates reach {np.abs(corners).max():.3g}, at most {_MAX_COORDINATE:g} are read")
    if np.ptp(corners, axis=0).max() <= 1e-12 * np.abs(corners).max():
        raise ValueError("all its points lie in one place: it has no extent")
    return faces


# ------------------------------------------------------------------------------------------ grid → surface
def surface(
    occupancy: NDArray[Any], level: float = 0.5, smooth: int = 0, max_faces: int | None = None
) -> trimesh.Trimesh:
    """Turn an occupancy grid into a watertight mesh, by marching cubes.

    Probabilities place the surface between cell centres; they are not cut to 0 and 1 first. The grid is
    closed at its borders: what touches them gets a wall.

    Parameters
    ----------
    occupancy : (R, R, R) float in [0, 1], or bool
        Axes x, y, z; inside is 1.
    level : float, optional
        Between 0 and 1, where the surface lies.
    smooth : int, optional
        Rounds of smoothing (Taubin 1995, λ = 0.5, μ = −0.53), which takes the steps of the grid away and
        keeps the volume within a few per cent. 0 leaves the surface as it is, 10 to 20 look smooth.
    max_faces : int, optional
        Simplify to about so many faces at most, by quadrics; where that would tear the mesh, to as few as can
        be had without.

    Returns
    -------
    trimesh.Trimesh
        In the unit cube [−½, ½]³: the centre of cell i lies at (i + ½)/R − ½. Normals point outwards.

    Raises
    ------
    SurfaceError
        If the grid is not (R, R, R), holds something that is not a probability, is empty (nothing above the
        level) or full.
    UsageError
        If `level`, `smooth` or `max_faces` is out of its range.

    Examples
    --------
    >>> grid = np.zeros((4, 4, 4))
    >>> grid[1:3, 1:3, 1:3] = 1
    >>> mesh = surface(grid)
    >>> mesh.is_watertight, mesh.bounds.tolist()
    (True, [[-0.25, -0.25, -0.25], [0.25, 0.25, 0.25]])
    """
    grid = _checked_grid(occupancy, level)
    if smooth < 0:
        raise UsageError(f"smooth is {smooth}; 0 or more rounds were expected")
    if max_faces is not None and max_faces < 4:
        raise UsageError(f"max_faces is {max_faces}; at least 4 were expected")
    mesh = _marching_cubes(grid, level)
    if smooth:
        mesh = _smoothed(mesh, smooth)
    if max_faces is not None and len(mesh.faces) > max_faces:
        mesh = decimate(mesh, max_faces)
    return mesh


def _checked_grid(occupancy: NDArray[Any], level: float) -> NDArray[np.float64]:
    if not 0 < level < 1:
        raise UsageError(f"the level is {level}; a number between 0 and 1 was expected")
    grid = np.asarray(occupancy)
    if grid.ndim != 3 or len(set(grid.shape)) != 1 or grid.size == 0 or grid.dtype.kind not in "biuf":
        raise SurfaceError(f"the grid is {grid.dtype} {grid.shape}; a cube (R, R, R) of probabilities was expected")
    grid = grid.astype(np.float64)
    if not np.isfinite(grid).all():
        count = int((~np.isfinite(grid)).sum())
        raise SurfaceError(f"{count} of the grid's {grid.size} cells are not finite: did training diverge?")
    low, high = float(grid.min()), float(grid.max())
    if low < -1e-4 or high > 1 + 1e-4:
        raise SurfaceError(f"the grid runs from {low:.4g} to {high:.4g}; probabilities, 0 to 1, were expected")
    if high <= level:
        raise SurfaceError(
            f"the grid is empty: its highest occupancy is {high:.4g}, not above the level {level:g}; "
            "lower the level, or give another shape"
        )
    if low > level:
        raise SurfaceError(
            f"the grid is full: its lowest occupancy is {low:.4g}, above the level {level:g}; "
            "raise the level, or give another shape"
        )
    return grid


def _marching_cubes(grid: NDArray[np.float64], level: float) -> trimesh.Trimesh:
    import trimesh
    from skimage.measure import marching_cubes

    nudge = min(_NUDGE, level / 2, (1 - level) / 2)
    distance = grid - level
    nudged = level + np.where(distance > 0, np.maximum(distance, nudge), np.minimum(distance, -nudge))
    padded = np.pad(nudged, 1)
    # Lewiner's cases follow probabilities best; on saturated grids their tie-breaks leave holes
    binary = bool(((grid == 0) | (grid == 1)).all())
    mesh = None
    for method in ("lorensen",) if binary else ("lewiner", "lorensen"):
        vertices, faces, _, _ = marching_cubes(padded, level, gradient_direction="ascent", method=method)
        points = (vertices.astype(np.float64) - 0.5) / len(grid) - 0.5  # padded cell 1 is cell 0
        mesh = trimesh.Trimesh(points, faces, process=False)
        if is_sound(mesh):
            return mesh
    raise SurfaceError("no closed surface was found in the grid: smooth it, or choose another level")


def _smoothed(mesh: trimesh.Trimesh, rounds: int) -> trimesh.Trimesh:
    """Move each vertex towards the mean of its neighbours and a little further back again (Taubin 1995)."""
    import trimesh
    from scipy.sparse import csr_matrix

    edges = mesh.edges_unique
    both = np.concatenate([edges, edges[:, ::-1]])
    weights = csr_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(len(mesh.vertices),) * 2)
    degree = np.asarray(weights.sum(axis=1))
    points = np.array(mesh.vertices)
    for _ in range(rounds):
        for step in (0.5, -0.53):
            points += step * (weights @ points / degree - points)
    return trimesh.Trimesh(points, mesh.faces, process=False)
