"""Voxels: the conventions, and `Shapes`.

Array axes are (x, y, z) with z up. The grid fills the unit cube [−½, ½]³, and the centre of cell i lies at
(i + ½)/R − ½. A shape is normalised so that its bounding box is centred and its longest side is `FILL` of the
cube. Shape letters everywhere: B batch, C channels, R resolution, L latent, K classes, P points, M pack.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import InputError, UsageError, nearest

if TYPE_CHECKING:
    import trimesh

__all__ = ["FILL", "MAX_SIDE", "RENDERERS", "RESOLUTIONS", "Shapes", "cell_centres", "frame"]

FILL = 15 / 16
"""Longest side of a normalised shape, as a part of the unit cube (60 of 64 cells)."""

RESOLUTIONS = (16, 32, 64, 128)
"""Grid sizes that the networks are defined for."""

MAX_SIDE = 512
"""Cells along a side of the largest grid that is read or made."""

RENDERERS = ("auto", "pyvista", "rays")

_PRINTING = (".stl", ".3mf")
_PRINTING_SIZE_MM = 100.0


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
            # Not by apply_translation, which passes over what is shorter than 1e-8.
            mesh.vertices = np.asarray(mesh.vertices) * self.scale[0] + self.centre[0]
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
        from voxgan import volumes

        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in volumes.VOLUME_SUFFIXES:
            self._single("export")
            (volumes.write_npz if suffix == ".npz" else volumes.write_binvox)(path, self)
            return path
        if suffix not in meshes.EXPORT_SUFFIXES:
            known = (*meshes.EXPORT_SUFFIXES, *volumes.VOLUME_SUFFIXES)
            raise UsageError(f"cannot write the format {suffix or path.name!r}; {nearest(suffix, known)}")
        if size_mm is None and self.scale is None and suffix in _PRINTING:
            size_mm = _PRINTING_SIZE_MM
        surface = self.to_mesh(level=level, smooth=smooth, max_faces=max_faces)
        return meshes.export(surface, path, size_mm=size_mm)

    def cleaned(self, level: float = 0.5, share: float = 0.01) -> Shapes:
        """Return the shapes without specks that float free, and without cavities inside.

        Parameters
        ----------
        level : float
            Occupancy at which the surface lies.
        share : float
            A free part with less than this share of a shape's cells is a speck.

        Returns
        -------
        Shapes
            Copies, with the same scale and centre.
        """
        from voxgan.volumes import without_specks

        grids = np.stack([without_specks(grid, level, share) for grid in self.occupancy])
        return Shapes(grids, self.scale, self.centre)

    def render(
        self,
        size: tuple[int, int] = (1024, 768),
        azimuth: float = 35.0,
        elevation: float = 25.0,
        columns: int | None = None,
        level: float = 0.5,
        renderer: str = "auto",
    ) -> NDArray[np.uint8]:
        """Return a picture of the shapes side by side; needs no display.

        Parameters
        ----------
        size : (int, int), pixels
            Width and height.
        azimuth, elevation : float, degrees
            0, 0 looks level at the front; azimuth 90 stands on +x, elevation 90 looks straight down.
        columns : int, optional
            How many stand in a row; without it, as many as make them largest.
        level : float
            Occupancy at which the surface lies.
        renderer : {"auto", "pyvista", "rays"}
            ``pyvista`` draws with OpenGL (extra ``viewer``). ``rays`` draws the same view on the processor, the same on
            every machine. ``auto`` takes PyVista, and where that or OpenGL is missing it warns and takes rays.

        Returns
        -------
        array (height, width, 3), uint8

        Raises
        ------
        UsageError
            If there is no shape, or an option is out of its range; with ``pyvista`` also if it cannot draw here.

        Examples
        --------
        >>> ball = Shapes(np.linalg.norm(cell_centres(16), axis=-1) < 0.4)
        >>> ball.render(size=(64, 48), renderer="rays").shape
        (48, 64, 3)
        """
        if renderer not in RENDERERS:
            raise UsageError(f"renderer {renderer!r}; {nearest(renderer, RENDERERS)}")
        picture: NDArray[np.uint8]
        if renderer == "pyvista" or (renderer == "auto" and _opengl_works()):
            scene = importlib.import_module("viewer.scene")
            picture = scene.screenshot(self, size, columns, level, azimuth, elevation)
        else:
            from voxgan.preview import group

            picture = group(self.occupancy, size, columns, azimuth, elevation, level)
        return picture

    def show(self, columns: int | None = None, level: float = 0.5) -> None:
        """Open the shapes in a window (extra ``viewer``); in a notebook, show them there, to be turned with the mouse.

        Parameters
        ----------
        columns, level
            As for `render`.

        Raises
        ------
        MissingExtraError, UsageError
            If a window cannot be opened: PyVista, OpenGL or a display is missing; `render` needs none of them.
        """
        importlib.import_module("viewer.scene").show(self, columns, level)

    def _repr_png_(self) -> bytes | None:
        """Return what a notebook shows of a cell's value: a small picture of the first shapes."""
        from voxgan.preview import glance, png_bytes

        return png_bytes(glance(self.occupancy)) if len(self) else None


def _opengl_works() -> bool:
    """Say whether PyVista can draw here; warn where it cannot."""
    from voxgan.graphics import check_graphics

    try:
        check_graphics("drawing with PyVista")
    except UsageError as error:
        warnings.warn(f"drawn by casting rays instead: {error}", stacklevel=3)
        return False
    return True


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


def frame(low: NDArray[Any], high: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
    """Return the edge and the middle of the unit cube for a bounding box, in the box's units."""
    return float(np.max(high - low)) / FILL, (np.asarray(low, np.float64) + high) / 2
