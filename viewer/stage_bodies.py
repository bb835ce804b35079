"""What stands on a stage: a surface, cubes or balls of one grid, the floor's shadow, and the soft light on them.

Every body makes its VTK objects once; showing another grid only changes their numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray, vtk_to_numpy
from vtkmodules.vtkCommonCore import VTK_FLOAT, VTK_UNSIGNED_CHAR, vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkImageData, vtkPolyData
from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D
from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper, vtkTexture
from vtkmodules.vtkRenderingOpenGL2 import vtkOpenGLSphereMapper

from viewer.scene import COLOUR

__all__ = ["TILE", "Balls", "Body", "Cubes", "Floor", "SoftLight", "Surface", "image_of"]

_FLOOR_MARGIN = 0.35  # how far a shadow may reach beyond the cube
TILE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)  # corners of a picture on a face
_AIR = 6  # cells around the grid
_AXES = range(3)


class SoftLight:
    """How much of the sky each point of one grid's surface sees, and which way the surface faces.

    Parameters
    ----------
    grid : array (R, R, R)
        Occupancy.
    level : float
        Where the surface lies.
    """

    def __init__(self, grid: NDArray[np.float32], level: float) -> None:
        self.resolution = len(grid)
        occupancy = torch.from_numpy(grid)
        self._gradient = _gradient(functional.pad(occupancy, (1,) * 6))
        self.solid = ((occupancy - level) / (2 * min(level, 1 - level, 0.1)) + 0.5).clamp(0, 1)
        step = 1 if self.resolution % 2 else 2  # half as fine is fine enough
        coarse = functional.avg_pool3d(self.solid[None], step)[0]
        coarse = functional.pad(coarse, (_AIR // step,) * 6)  # so that points beside the grid see the air there
        self._blurs = [_blurred(coarse, reach // step) for reach in (2, 4)]

    def normals(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the ways (N, 3) that the surface faces at points (N, 3)."""
        slope = _sample(self._gradient, torch.from_numpy(points), 1 + 2 / self.resolution)
        normals: NDArray[np.float32] = functional.normalize(-slope, dim=1).numpy()
        return normals

    def colours(self, points: NDArray[np.float32], normals: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return colours (N, 3) of points of the surface: darker in corners and under what stands out."""
        at, way = torch.from_numpy(points), torch.from_numpy(normals)
        wider = 1 + 2 * _AIR / self.resolution
        close, around = (
            _sample(blur[None], at + way * (distance / self.resolution), wider)[:, 0]
            for blur, distance in zip(self._blurs, (2.5, 4.0), strict=True)
        )
        sky = (1.12 - 1.2 * close).clamp(0.45, 1) * (1.14 - 1.0 * around).clamp(0.5, 1) * (0.94 + 0.06 * way[:, 2])
        colours: NDArray[np.uint8] = (sky[:, None] * torch.tensor(COLOUR)).to(torch.uint8).numpy()
        return colours


class Body:
    """An actor over one polydata, whose arrays change."""

    def __init__(self) -> None:
        self.data = vtkPolyData()
        self.mapper = self._mapper()
        self.mapper.SetInputData(self.data)
        self.mapper.SetColorModeToDirectScalars()
        self.actor = vtkActor()
        self.actor.SetMapper(self.mapper)
        surface = self.actor.GetProperty()
        surface.SetAmbient(0.52)
        surface.SetDiffuse(0.78)
        surface.SetSpecular(0.06)
        surface.SetSpecularPower(30)
        surface.SetInterpolationToPhong()
        surface.BackfaceCullingOn()  # all bodies are closed: nobody sees their inside, and drawing it costs

    def show(self, grid: NDArray[np.float32], level: float, light: SoftLight) -> None:
        """Become the shape of a grid at a level, of which there is a surface."""
        raise NotImplementedError

    def _mapper(self) -> vtkPolyDataMapper:
        return vtkPolyDataMapper()

    def _paint(self, points: NDArray[np.float32], normals: NDArray[np.float32], light: SoftLight) -> None:
        self.data.GetPointData().SetNormals(numpy_to_vtk(normals, deep=True))
        self.data.GetPointData().SetScalars(numpy_to_vtk(light.colours(points, normals), deep=True))


class Surface(Body):
    """The surface, by flying edges."""

    def __init__(self) -> None:
        super().__init__()
        self._image = vtkImageData()
        self._values = np.zeros((0, 0, 0), np.float32)
        self._edges = vtkFlyingEdges3D()
        self._edges.SetInputData(self._image)
        self._edges.ComputeNormalsOff()
        self._edges.ComputeScalarsOff()

    def show(self, grid: NDArray[np.float32], level: float, light: SoftLight) -> None:
        """Become the surface of a grid at a level; one that touches the grid's border is closed there."""
        if len(self._values) != len(grid) + 2:
            self._resize(len(grid))
        self._values[1:-1, 1:-1, 1:-1] = grid.T  # VTK counts x fastest
        self._image.GetPointData().GetScalars().Modified()
        self._image.Modified()
        self._edges.SetValue(0, level)
        self._edges.Update()
        self.data.ShallowCopy(self._edges.GetOutput())
        points = vtk_to_numpy(self.data.GetPoints().GetData())
        self._paint(points, light.normals(points), light)

    def _resize(self, resolution: int) -> None:
        side = resolution + 2
        self._values = np.zeros((side, side, side), np.float32)
        self._image.SetDimensions(side, side, side)
        self._image.SetSpacing((1 / resolution,) * 3)
        self._image.SetOrigin((-0.5 - 0.5 / resolution,) * 3)
        self._image.GetPointData().SetScalars(numpy_to_vtk(self._values.ravel(), array_type=VTK_FLOAT))


class Cubes(Body):
    """The cells inside, as cubes; only faces that the air touches are there."""

    def __init__(self) -> None:
        super().__init__()
        side, rim = 64, 3
        tile = np.full((side, side), 255, np.uint8)
        tile[:rim] = tile[-rim:] = tile[:, :rim] = tile[:, -rim:] = 205
        image = image_of(np.repeat(tile[..., None], 3, axis=2))
        texture = vtkTexture()
        texture.SetInputData(image)
        texture.InterpolateOn()
        texture.MipmapOn()
        self.actor.SetTexture(texture)
        self.actor.GetProperty().SetInterpolationToFlat()

    def show(self, grid: NDArray[np.float32], level: float, light: SoftLight) -> None:
        """Become the cubes of the cells above the level."""
        corners, normals = exposed_faces(grid > level)
        count = len(corners) // 4
        points = vtkPoints()
        points.SetData(numpy_to_vtk(corners, deep=True))
        faces = vtkCellArray()
        faces.SetData(4, numpy_to_vtkIdTypeArray(np.arange(4 * count, dtype=np.int64), deep=True))
        self.data.Initialize()
        self.data.SetPoints(points)
        self.data.SetPolys(faces)
        self.data.GetPointData().SetTCoords(numpy_to_vtk(np.tile(TILE, (count, 1)), deep=True))
        self._paint(corners, normals, light)


class Balls(Body):
    """The centres of the cells at the surface, as balls."""

    def show(self, grid: NDArray[np.float32], level: float, light: SoftLight) -> None:
        """Become the balls of the cells above the level that touch the air."""
        resolution = len(grid)
        inside = np.pad(grid > level, 1)
        core = inside[1:-1, 1:-1, 1:-1]
        deep = core.copy()
        for axis in _AXES:
            for step in (-1, 1):
                deep &= np.roll(inside, step, axis)[1:-1, 1:-1, 1:-1]
        cells = np.argwhere(core & ~deep)
        centres = ((cells + 0.5) / resolution - 0.5).astype(np.float32)
        points = vtkPoints()
        points.SetData(numpy_to_vtk(centres, deep=True))
        each = vtkCellArray()
        each.SetData(1, numpy_to_vtkIdTypeArray(np.arange(len(centres), dtype=np.int64), deep=True))
        self.data.Initialize()
        self.data.SetPoints(points)
        self.data.SetVerts(each)
        self.mapper.SetRadius(0.5 / resolution)
        colours = light.colours(centres, light.normals(centres))
        self.data.GetPointData().SetScalars(numpy_to_vtk(colours, deep=True))

    def _mapper(self) -> vtkPolyDataMapper:
        return vtkOpenGLSphereMapper()


class Floor:
    """A soft shadow under the shape, seen from above only."""

    def __init__(self) -> None:
        self._data = vtkPolyData()
        face = vtkCellArray()
        face.InsertNextCell(4, (0, 1, 2, 3))
        self._data.SetPolys(face)
        self._data.GetPointData().SetTCoords(numpy_to_vtk(TILE, deep=True))
        mapper = vtkPolyDataMapper()
        mapper.SetInputData(self._data)
        self._texture = vtkTexture()
        self._texture.InterpolateOn()
        self._texture.RepeatOff()
        self.actor = vtkActor()
        self.actor.SetMapper(mapper)
        self.actor.SetTexture(self._texture)
        self.actor.ForceTranslucentOn()
        self.actor.PickableOff()
        self.actor.GetProperty().LightingOff()
        self.actor.GetProperty().BackfaceCullingOn()

    def show(self, grid: NDArray[np.float32], level: float, light: SoftLight) -> None:
        """Lie under the lowest inside cell, and take the shadow of what stands above."""
        resolution = len(grid)
        lowest = int((grid > level).any((0, 1)).argmax())
        height = (torch.arange(resolution - lowest) + 0.5) / resolution
        above = light.solid[:, :, lowest:]
        margin = round(_FLOOR_MARGIN * resolution)
        dark = torch.zeros(resolution + 2 * margin, resolution + 2 * margin)
        for strength, reach, blur in ((0.30, 0.07, 0.03), (0.34, 0.45, 0.16)):
            shade = (above @ torch.exp(-height / reach)) / (resolution * reach)
            shade = functional.pad(shade.clamp(0, 1), (margin,) * 4)
            for _ in range(3):
                shade = _blurred(shade, max(1, round(resolution * blur / 2)))
            dark += strength * shade
        alpha = (dark * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        # Filling pixels is what costs: the floor is no larger than its shadow.
        (left, right), (front, back) = (_extent(alpha.any(axis)) for axis in (1, 0))
        alpha = alpha[left:right, front:back]
        rgba = np.zeros((*alpha.T.shape, 4), np.uint8)
        rgba[..., 3] = alpha.T
        self._texture.SetInputData(image_of(rgba))
        corners = np.zeros((4, 3), np.float32)
        corners[:, :2] = ([left, front] + TILE * [right - left, back - front] - margin) / resolution - 0.5
        corners[:, 2] = lowest / resolution - 0.5
        points = vtkPoints()
        points.SetData(numpy_to_vtk(corners, deep=True))
        self._data.SetPoints(points)


def exposed_faces(inside: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the faces between inside and air: four corners each, (4N, 3), outwards, and their normals (4N, 3)."""
    resolution = len(inside)
    padded = np.pad(inside, 1)
    corners, normals = [], []
    for axis in _AXES:
        for side in (0, 1):
            beyond = np.roll(padded, 1 - 2 * side, axis)[1:-1, 1:-1, 1:-1]
            cells = np.argwhere(inside & ~beyond).astype(np.float32)
            face = np.zeros((4, 3), np.float32)
            face[:, axis] = side
            face[:, (axis + 1) % 3] = [0, 1, 1, 0]
            face[:, (axis + 2) % 3] = [0, 0, 1, 1]
            face = face if side else face[::-1]
            corners.append((cells[:, None] + face).reshape(-1, 3))
            normal = np.zeros((4 * len(cells), 3), np.float32)
            normal[:, axis] = 2 * side - 1
            normals.append(normal)
    return np.concatenate(corners) / np.float32(resolution) - np.float32(0.5), np.concatenate(normals)


def _gradient(volume: Tensor) -> Tensor:
    """Return Sobel's gradient (3, P, P, P) of a volume whose rim is 0."""

    def taps(field: Tensor, axis: int, difference: bool) -> Tensor:
        inner, size = torch.zeros_like(field), field.shape[axis]
        before, after = field.narrow(axis, 0, size - 2), field.narrow(axis, 2, size - 2)
        middle = inner.narrow(axis, 1, size - 2)
        torch.sub(after, before, out=middle) if difference else torch.add(before, after, out=middle).add_(
            field.narrow(axis, 1, size - 2), alpha=2
        )
        return inner

    along_z, smooth_z = taps(volume, 2, True), taps(volume, 2, False)
    return torch.stack(
        [
            taps(taps(smooth_z, 1, False), 0, True),
            taps(taps(smooth_z, 1, True), 0, False),
            taps(taps(along_z, 1, False), 0, False),
        ]
    )


def _blurred(volume: Tensor, reach: int) -> Tensor:
    """Return the mean over cubes that go `reach` cells to every side."""
    for axis in range(volume.ndim):
        size, total = volume.shape[axis], volume.clone()
        for step in range(1, reach + 1):
            total.narrow(axis, step, size - step).add_(volume.narrow(axis, 0, size - step))
            total.narrow(axis, 0, size - step).add_(volume.narrow(axis, step, size - step))
        volume = total / (2 * reach + 1)
    return volume


def _extent(filled: NDArray[np.bool_]) -> tuple[int, int]:
    """Return where the True ones begin and end; (0, 1) if there are none."""
    places = np.flatnonzero(filled)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 1)


def _sample(volume: Tensor, points: Tensor, side: float) -> Tensor:
    """Return a volume (C, P, P, P) that fills a cube of a `side`, at points (N, 3): (N, C)."""
    at = (points * (2 / side)).flip(-1).view(1, 1, 1, -1, 3)
    return functional.grid_sample(volume[None], at, padding_mode="border", align_corners=False)[0, :, 0, 0].T


def image_of(pixels: NDArray[np.uint8]) -> vtkImageData:
    """Return an image of pixels (H, W, 3 or 4), the first row lowest."""
    image = vtkImageData()
    image.SetDimensions(pixels.shape[1], pixels.shape[0], 1)
    flat = pixels.reshape(-1, pixels.shape[2])
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True, array_type=VTK_UNSIGNED_CHAR))
    return image
