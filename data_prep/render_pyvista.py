"""Views of a mesh drawn by PyVista: OpenGL instead of rays, the same cameras, materials and seeds.

The light is plainer than that of the rays: lamps without shadows, patterns at the corners of small triangles. The
camera is the same one to a pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import trimesh
from numpy.typing import NDArray

from data_prep.materials import Material, random_materials
from data_prep.render_parts import Surface
from voxgan.camera import Camera
from voxgan.graphics import check_graphics

if TYPE_CHECKING:
    import pyvista

__all__ = ["PyVistaScene"]

Floats = NDArray[np.float32]

SUPERSAMPLING = 3  # pixels drawn for each of the picture, along each side
MAX_EDGE = 0.025  # of the triangles that carry a pattern
MANY_FACES = 200_000  # that many small triangles at most, unless the mesh has more itself


class PyVistaScene:
    """A mesh in an off-screen plotter, one for all its views; `close` it.

    Parameters
    ----------
    surface : Surface
        What to draw.

    Attributes
    ----------
    vertices : (N, 3) float32
        What a picture must show.

    Raises
    ------
    MissingExtraError
        PyVista is not installed.
    UsageError
        OpenGL does not work here.
    """

    def __init__(self, surface: Surface) -> None:
        check_graphics("rendering with PyVista")
        import pyvista

        self.vertices = surface.seen
        self._low, self._high = surface.low, surface.high
        self._corners, self._normals, self._part = _fine(surface)
        with pyvista.vtk_verbosity("error"):  # VTK warns of every screen that it tries before it finds one
            self._plotter = pyvista.Plotter(off_screen=True, notebook=False, lighting="none", window_size=[64, 64])
        self._plotter.disable_anti_aliasing()  # every pixel is the object or not; the mean comes after

    def close(self) -> None:
        """Let go of OpenGL."""
        self._plotter.close()

    def render(self, camera: Camera, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
        """Draw one view in random materials and light: (size, size, 4), straight alpha."""
        plotter = self._plotter
        fine = size * SUPERSAMPLING
        plotter.clear_actors()
        plotter.remove_all_lights()
        plotter.window_size = [fine, fine]
        materials, chosen = random_materials(rng, self._low, self._high)
        middle, facing = self._corners.mean(axis=1), self._normals.mean(axis=1)
        which = chosen(self._part, middle, facing)
        ambient = float(rng.uniform(0.25, 0.5))
        for i, material in enumerate(materials):
            mine = np.flatnonzero(which == i)
            if len(mine):
                self._add(mine, material, ambient)
        _add_lights(plotter, camera, rng)
        _aim(plotter.camera, camera, self.vertices)
        plotter.render()  # a screenshot draws by itself only the first time
        drawn = np.asarray(plotter.screenshot(transparent_background=True, return_img=True))
        solid = drawn[..., 3] > 127
        light, alpha = np.zeros((size, size, 3), np.float32), np.zeros((size, size), np.float32)
        for i in range(SUPERSAMPLING**2):
            of_each = (slice(i // SUPERSAMPLING, None, SUPERSAMPLING), slice(i % SUPERSAMPLING, None, SUPERSAMPLING))
            alpha += solid[of_each]
            light += drawn[of_each][..., :3] * solid[of_each][..., None]
        seen = alpha > 0
        picture = np.zeros((size, size, 4), np.uint8)
        if seen.any():
            colour = light[seen] / (255 * alpha[seen, None])
            colour *= (rng.uniform(0.4, 0.75) / max(float(colour.mean()), 0.05)) ** 0.5  # half way to an even mean
            colour += rng.standard_normal(colour.shape, dtype=np.float32) * (0.02 * rng.random() ** 2)
            picture[seen, :3] = np.clip(colour * 255 + 0.5, 0, 255)
            picture[seen, 3] = np.round(alpha[seen] * (255 / SUPERSAMPLING**2))
        return picture

    def _add(self, faces: NDArray[np.int64], material: Material, ambient: float) -> None:
        """Put faces of one material into the plotter."""
        import pyvista

        points = self._corners[faces].reshape(-1, 3)
        normals = self._normals[faces].reshape(-1, 3)
        along = (self._high - self._low).argmax(axis=1)[np.repeat(self._part[faces], 3)]
        colour = np.clip(material.colour_at(points, normals, along), 0, 1) ** (1 / 2.2)
        cells = np.column_stack([np.full(len(faces), 3), np.arange(len(points)).reshape(-1, 3)]).ravel()
        mesh = pyvista.PolyData(points, cells)
        mesh.point_data["colour"] = (colour * 255).astype(np.uint8)
        mesh.point_data.active_normals = normals
        actor = self._plotter.add_mesh(
            mesh,
            scalars="colour",
            rgb=True,
            ambient=ambient,
            diffuse=0.8,
            specular=min(material.gloss, 1.0),
            specular_power=material.sharpness,
            reset_camera=False,
            render=False,
            show_scalar_bar=False,
        )
        actor.prop.interpolation = "Phong"


def _fine(surface: Surface) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Corners (F, 3, 3), their normals (F, 3, 3), and parts (F,), of triangles small enough to carry a pattern."""
    edges = surface.corners[:, [1, 2, 0]] - surface.corners
    longest = np.sqrt(np.einsum("ijk,ijk->ij", edges, edges).max(axis=1)).astype(float)
    limit = MAX_EDGE
    while (4 ** np.ceil(np.log2(np.maximum(longest / limit, 1)))).sum() > max(MANY_FACES, len(longest)):
        limit *= 2
    if limit >= longest.max():
        return surface.corners, surface.normals, surface.part
    vertices, faces, owner = trimesh.remesh.subdivide_to_size(
        surface.vertices, surface.faces, limit, max_iter=30, return_index=True
    )
    corners = vertices[faces]
    places = np.repeat(owner, 3)
    shares = trimesh.triangles.points_to_barycentric(surface.corners[places].astype(float), corners.reshape(-1, 3))
    normals = np.einsum("ij,ijk->ik", np.nan_to_num(shares), surface.normals[places])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)
    return corners.astype(np.float32), normals.reshape(-1, 3, 3).astype(np.float32), surface.part[owner]


def _add_lights(plotter: pyvista.Plotter, camera: Camera, rng: np.random.Generator) -> None:
    """Put in a key light, one from above, one from below, and up to two beside the camera."""
    import pyvista

    right, up, forward = camera.axes
    around, height = np.radians(camera.azimuth + rng.normal(0, 75)), np.radians(rng.uniform(20, 80))
    key = np.array([np.sin(around) * np.cos(height), -np.cos(around) * np.cos(height), np.sin(height)])
    warmth = rng.normal(0, 0.06)
    tint = np.clip([1 + warmth, 1, 1 - warmth], 0, 1)
    lamps = [(key, rng.uniform(0.4, 0.9)), ([0, 0, 1], rng.uniform(0.1, 0.4)), ([0, 0, -1], rng.uniform(0, 0.15))]
    for _ in range(int(rng.integers(1, 3))):
        lamps.append((-forward + rng.normal(0, 0.8) * right + rng.normal(0.3, 0.5) * up, rng.uniform(0.1, 0.4)))
    for way, strength in lamps:
        light = pyvista.Light(position=tuple(np.asarray(way, float)), color=tint, intensity=float(strength))
        light.positional = False
        plotter.add_light(light)


def _aim(view: pyvista.Camera, camera: Camera, vertices: Floats) -> None:
    """Give PyVista's camera the place, the turn, the angle and the shift of ours."""
    _, up, forward = camera.axes
    depth = (vertices - camera.position) @ forward
    view.position = tuple(camera.position)
    view.focal_point = tuple(camera.position + forward)
    view.up = tuple(up)
    view.view_angle = camera.field_of_view
    view.SetWindowCenter(-2 * camera.shift[0], 2 * camera.shift[1])
    view.clipping_range = (max(float(depth.min()) * 0.99, 1e-3), float(depth.max()) * 1.01)
