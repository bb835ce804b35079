"""Voxels: the conventions, `Shapes`, meshes and volumes turned into occupancy, binvox and npz files.

Array axes are (x, y, z) with z up. The grid fills the unit cube [−½, ½]³, and the centre of cell i lies at
(i + ½)/R − ½. A shape is normalised so that its bounding box is centred and its longest side is `FILL` of the
cube. Shape letters everywhere: B batch, C channels, R resolution, L latent, K classes, P points, M pack.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import InputError, MeshError, StorageError, SurfaceError, UsageError, nearest
from voxgan.files import atomic_write, write_bytes

if TYPE_CHECKING:
    import trimesh

__all__ = ["FILL", "RESOLUTIONS", "Shapes", "cell_centres", "read_volume", "resample", "voxelise"]

FILL = 15 / 16
"""Longest side of a normalised shape, as a part of the unit cube (60 of 64 cells)."""

RESOLUTIONS = (16, 32, 64, 128)
"""Grid sizes that the networks are defined for."""

_VOLUME_SUFFIXES = (".npz", ".binvox")
_PRINTING = (".stl", ".3mf")
_PRINTING_SIZE_MM = 100.0
_MAX_SIDE = 512


class Shapes:
    """A batch of shapes: occupancy, and what is needed to get back to the user's own scale and place.

    Parameters
    ----------
    occupancy : array, (B, R, R, R) or (R, R, R)
        Probability of being inside, in [0, 1], axes (x, y, z), z up.
    scale : array, (B,), optional
        Edge of the unit cube in the source's own units.
    centre : array, (B, 3), optional
        Where the middle of the unit cube lies in the source's own coordinates.

    Raises
    ------
    InputError
        If the array is no batch of cubes, or not finite, or scale and centre do not fit it.

    Examples
    --------
    >>> ball = Shapes(np.linalg.norm(cell_centres(16), axis=-1) < 0.4)
    >>> ball
    Shapes(1 shape, 16³)
    >>> ball[0].to_mesh().is_watertight
    True
    """

    def __init__(
        self,
        occupancy: NDArray[Any],
        scale: NDArray[np.float64] | None = None,
        centre: NDArray[np.float64] | None = None,
    ) -> None:
        grid = np.asarray(occupancy, dtype=np.float32)
        grid = grid[None] if grid.ndim == 3 else grid
        if grid.ndim != 4 or len(set(grid.shape[1:])) != 1 or 0 in grid.shape[1:]:
            raise InputError(f"occupancy has the shape {np.shape(occupancy)}; expected (B, R, R, R)")
        if not np.isfinite(grid).all():
            raise InputError("occupancy holds NaN or infinity; expected probabilities in [0, 1]")
        if (scale is None) != (centre is None):
            raise InputError("scale and centre belong together; give both or neither")
        self.occupancy: NDArray[np.float32] = grid
        self.scale = _checked(scale, "scale", (len(grid),))
        self.centre = _checked(centre, "centre", (len(grid), 3))
        if self.scale is not None and not (self.scale > 0).all():
            raise InputError(f"a scale of {self.scale.min():g}; expected lengths above 0")

    @property
    def resolution(self) -> int:
        """Cells along one side."""
        return int(self.occupancy.shape[-1])

    def __len__(self) -> int:
        return len(self.occupancy)

    def __repr__(self) -> str:
        return f"Shapes({len(self)} shape{'s' * (len(self) != 1)}, {self.resolution}³)"

    def __iter__(self) -> Iterator[Shapes]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice | Sequence[int]) -> Shapes:
        """Return the shapes at `index`; always a `Shapes`."""
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"shape {index} of {len(self)}")
            index = slice(int(index), int(index) + 1) if index != -1 else slice(len(self) - 1, None)
        scale = None if self.scale is None else self.scale[index]
        centre = None if self.centre is None else self.centre[index]
        return Shapes(self.occupancy[index], scale, centre)

    def _single(self, purpose: str) -> NDArray[np.float32]:
        if len(self) != 1:
            raise UsageError(f"{purpose} takes one shape, these are {len(self)}; pick one, as in shapes[0]")
        grid: NDArray[np.float32] = self.occupancy[0]
        return grid

    def to_mesh(self, level: float = 0.5, smooth: int = 0, max_faces: int | None = None) -> trimesh.Trimesh:
        """Return the surface of one shape as a watertight mesh with outward normals.

        Parameters
        ----------
        level : float
            Occupancy at which the surface lies.
        smooth : int
            Rounds of Taubin smoothing; 0 for none.
        max_faces : int, optional
            Decimate to about so many triangles.

        Returns
        -------
        trimesh.Trimesh
            In the source's own units and place where they are known, else in the unit cube. z is up.

        Raises
        ------
        SurfaceError
            If the grid is empty or full at that level.
        UsageError
            If there is more than one shape.
        """
        from voxgan.mesh import surface

        mesh = surface(self._single("to_mesh"), level=level, smooth=smooth, max_faces=max_faces)
        if self.scale is not None and self.centre is not None:
            mesh.apply_scale(self.scale[0])
            mesh.apply_translation(self.centre[0])
        return mesh

    def export(
        self,
        path: str | Path,
        size_mm: float | None = None,
        level: float = 0.5,
        smooth: int = 0,
        max_faces: int | None = None,
    ) -> Path:
        """Write one shape to a file, its format taken from the suffix.

        Parameters
        ----------
        path : path
            ``.obj .stl .ply .glb .off .3mf`` for a mesh, ``.npz .binvox`` for voxels.
        size_mm : float, optional
            Longest side in millimetres; the shape then stands on the floor, centred. Without it a shape of known
            scale keeps its own coordinates, and any other is written in unit-cube lengths, except that STL and
            3MF, which are printed, get 100 mm.
        level, smooth, max_faces
            As for `to_mesh`.

        Returns
        -------
        pathlib.Path
            The file written.

        Raises
        ------
        SurfaceError, UsageError, StorageError
            No surface; more than one shape or an unknown suffix; the file cannot be written.
        """
        from voxgan import mesh as meshes

        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in _VOLUME_SUFFIXES:
            self._single("export")
            (write_npz if suffix == ".npz" else write_binvox)(path, self)
            return path
        if suffix not in meshes.MESH_SUFFIXES:
            known = (*meshes.MESH_SUFFIXES, *_VOLUME_SUFFIXES)
            raise UsageError(f"cannot write the format {suffix or path.name!r}; {nearest(suffix, known)}")
        if size_mm is None and self.scale is None and suffix in _PRINTING:
            size_mm = _PRINTING_SIZE_MM
        surface = self.to_mesh(level=level, smooth=smooth, max_faces=max_faces)
        return meshes.export(surface, path, size_mm=size_mm)

    def picture(self, azimuth: float = 35.0, elevation: float = 25.0, size: int = 256) -> NDArray[np.uint8]:
        """Return the shapes drawn side by side, (height, width, 3), without OpenGL."""
        from voxgan.preview import sheet

        return sheet(self.occupancy, azimuth=azimuth, elevation=elevation, size=size)

    def show(self) -> None:
        """Open the shapes in an interactive window (extra ``viewer``)."""
        import importlib

        importlib.import_module("viewer.scene").show(self)


def _checked(values: NDArray[Any] | None, name: str, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    if values is None:
        return None
    numbers = np.asarray(values, np.float64)
    if numbers.size != np.prod(shape):
        raise InputError(f"{name} has the shape {numbers.shape}; expected {shape}")
    if not np.isfinite(numbers).all():
        raise InputError(f"{name} holds NaN or infinity; expected finite numbers")
    return numbers.reshape(shape)


def cell_centres(resolution: int) -> NDArray[np.float64]:
    """Return the centres of all cells in the unit cube, (R, R, R, 3).

    Examples
    --------
    >>> cell_centres(2)[1, 0, 0]
    array([ 0.25, -0.25, -0.25])
    """
    line = (np.arange(resolution) + 0.5) / resolution - 0.5
    return np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1)


def _frame(low: NDArray[Any], high: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
    """Return the edge and the middle of the unit cube for a bounding box, in the box's units."""
    return float(np.max(high - low)) / FILL, (np.asarray(low, np.float64) + high) / 2


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
    >>> box = voxelise(trimesh.creation.box((2, 1, 1)), 16)
    >>> float(box.occupancy.sum()), float(box.scale[0] * FILL)
    (900.0, 2.0)
    """
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore_scene import EmbreeScene

    if not 2 <= resolution <= _MAX_SIDE:
        raise UsageError(f"resolution {resolution}: expected 2 to {_MAX_SIDE}")
    if len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all():
        raise MeshError("the mesh has no faces, or vertices that are not finite; repair it first")
    corners = np.asarray(mesh.triangles, np.float64)
    low, high = corners.min(axis=(0, 1)), corners.max(axis=(0, 1))
    if float(np.max(high - low)) <= 0:
        raise MeshError("the mesh has no extent: all its corners are one point")
    scale, centre = _frame(low, high)
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


def resample(volume: NDArray[Any], resolution: int = 64) -> Shapes:
    """Bring a binary volume to another resolution by interpolating its signed distance.

    Parameters
    ----------
    volume : array, (X, Y, Z)
        Non-zero is inside; axes (x, y, z), z up. Empty margins are cut away.
    resolution : int
        Cells along a side of the result.

    Returns
    -------
    Shapes
        One shape of 0 and 1, centred, its longest side `FILL` of the cube; its scale and centre are in cells of the
        volume, counted from the volume's corner.

    Raises
    ------
    SurfaceError
        If the volume is empty.

    Examples
    --------
    >>> small = np.zeros((30, 30, 30)); small[3:27, 3:27, 3:27] = 1
    >>> round(float(resample(small, 64).occupancy.sum()) / 60**3, 2)
    1.0
    """
    from scipy.ndimage import distance_transform_edt, map_coordinates

    inside = np.asarray(volume) > 0
    if inside.ndim != 3:
        raise InputError(f"a volume of shape {inside.shape}; expected three axes")
    if not inside.any():
        raise SurfaceError("the volume is empty: no cell is inside")
    spans = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    low = np.array([span[0] for span in spans], np.float64)
    high = np.array([span[-1] + 1 for span in spans], np.float64)
    scale, centre = _frame(low, high)
    padded = np.pad(inside, 2)
    distance = np.where(padded, distance_transform_edt(padded) - 0.5, 0.5 - distance_transform_edt(~padded))
    where = cell_centres(resolution) * scale + centre - 0.5 + 2
    field = map_coordinates(distance, where.reshape(-1, 3).T, order=1, mode="nearest")
    grid = field.reshape((resolution,) * 3) > 0
    return Shapes(grid, np.array([scale]), centre[None])


def write_npz(path: str | Path, shapes: Shapes) -> None:
    """Write shapes as a compressed npz with ``occupancy`` and, where known, ``scale`` and ``centre``."""
    extra = {} if shapes.scale is None else {"scale": shapes.scale, "centre": shapes.centre}
    with atomic_write(path) as partial, partial.open("wb") as file:  # given a name, numpy would add .npz to a .NPZ
        np.savez_compressed(file, occupancy=shapes.occupancy, **extra)  # type: ignore[arg-type]


def write_binvox(path: str | Path, shapes: Shapes) -> None:
    """Write one shape, cut at level 0.5, as a binvox file (cells in the order x, z, y, y fastest)."""
    grid = shapes._single("binvox") >= 0.5
    flat = grid.transpose(0, 2, 1).ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    lengths = np.diff(np.append(starts, len(flat)))
    runs: list[int] = []
    for value, length in zip(flat[starts], lengths, strict=True):
        for part in (255,) * (int(length) // 255) + ((int(length) % 255,) if length % 255 else ()):
            runs += (int(value), part)
    edge = 1.0 if shapes.scale is None else float(shapes.scale[0])
    centre = np.zeros(3) if shapes.centre is None else shapes.centre[0]
    corner = " ".join(repr(float(c)) for c in centre - edge / 2)
    side = " ".join([str(shapes.resolution)] * 3)
    header = f"#binvox 1\ndim {side}\ntranslate {corner}\nscale {edge!r}\ndata\n"
    write_bytes(path, header.encode() + bytes(runs))


def read_volume(path: str | Path) -> Shapes:
    """Read an npz or binvox file.

    Returns
    -------
    Shapes
        At the file's own resolution.

    Raises
    ------
    InputError
        If the file is damaged or holds no such grid.
    StorageError
        If it cannot be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return (_parse_npz if path.suffix.lower() == ".npz" else _parse_binvox)(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:
        raise InputError(f"{path}: not a readable {path.suffix} volume ({error}); export it again") from error


def _parse_npz(content: bytes) -> Shapes:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        if "occupancy" not in archive:
            raise InputError(f"holds no array 'occupancy'; it has {sorted(archive)}")
        return Shapes(archive["occupancy"], archive.get("scale"), archive.get("centre"))


def _parse_binvox(content: bytes) -> Shapes:
    head, mark, body = content.partition(b"data\n")
    if not content.startswith(b"#binvox") or not mark:
        raise InputError("not a binvox file; expected the header '#binvox 1'")
    fields = {line.split()[0]: line.split()[1:] for line in head.decode("ascii").splitlines() if line.split()}
    sides = [int(value) for value in fields["dim"]]
    if len(set(sides)) != 1 or len(sides) != 3 or not 1 <= sides[0] <= _MAX_SIDE:
        raise InputError(f"a grid of {sides}; expected a cube of at most {_MAX_SIDE}³")
    pairs = np.frombuffer(body, np.uint8)
    if len(pairs) % 2 or int(pairs[1::2].sum(dtype=np.int64)) != sides[0] ** 3:
        raise InputError(f"its runs do not fill {sides[0]}³ cells; the file is cut short or damaged")
    flat = np.repeat(pairs[::2] > 0, pairs[1::2])
    grid = flat.reshape(sides).transpose(0, 2, 1)
    edge = float(fields.get("scale", ["1"])[0])
    corner = np.array([float(value) for value in fields.get("translate", ["0", "0", "0"])])
    return Shapes(grid, np.array([edge]), (corner + edge / 2)[None])
