"""Views of a mesh as a photo would show it: known cameras, furniture materials, room light.

Unless PyVista is asked for (`render_pyvista`), no OpenGL takes part. A view is cast with embree: one ray a pixel
within the object's box, four more where an edge passes. What is hit is shaded in numpy: materials by part, patterns
in object space, one shadowed light, fill lights, ambient light dimmed in corners, highlights, a camera's curve and
noise. Everything is drawn from a seed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import trimesh
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray
from scipy import ndimage

from data_prep.backgrounds import backgrounds
from data_prep.materials import Chooser, Material, random_materials
from data_prep.render_parts import Surface
from voxgan.camera import Camera, random_camera
from voxgan.camera import cameras as rig_cameras
from voxgan.errors import UsageError, nearest

if TYPE_CHECKING:
    from data_prep.render_pyvista import PyVistaScene

__all__ = ["RENDERERS", "Camera", "backgrounds", "random_camera", "render_view", "render_views"]

Floats = NDArray[np.float32]

RENDERERS = ("rays", "pyvista")
"""What can draw views of a mesh: rays cast with embree, which need no OpenGL, or PyVista (the extra `viewer`)."""

GRID, SPREAD, REACH = 40, 0.05, 0.08  # cells, blur and distance of the field that darkens corners


def render_view(
    mesh: trimesh.Trimesh,
    camera: Camera,
    rng: np.random.Generator,
    size: int = 256,
    *,
    smooth: bool | None = None,
    renderer: str = "rays",
) -> NDArray[np.uint8]:
    """Render a mesh once, in random materials and light, exactly as the camera sees it.

    Parameters
    ----------
    mesh : trimesh.Trimesh
        In the unit cube's coordinates, z up, front to −y.
    camera : Camera
        Not re-framed; see `Camera.framed`.
    rng : numpy.random.Generator
        Source of the materials, the light and the noise.
    size : int
        Width and height in pixels.
    smooth : bool, optional
        Whether the whole surface is round. By default it is for meshes of small triangles, as marching cubes
        makes them; others keep the edges that are sharper than 40°.
    renderer : str
        One of `RENDERERS`.

    Returns
    -------
    (size, size, 4) uint8
        Red, green, blue and straight alpha, which is between 0 and 255 only in pixels that an edge crosses.

    Raises
    ------
    MeshError
        The mesh has no faces or is not finite.
    UsageError
        There is no such renderer, or it cannot draw here.
    """
    with _scene(mesh, smooth, renderer) as scene:
        return scene.render(camera, rng, size)


def render_views(
    mesh: trimesh.Trimesh,
    num_views: int,
    seed: int,
    size: int = 256,
    cameras: Sequence[Camera] | None = None,
    *,
    rig: str = "photo",
    smooth: bool | None = None,
    renderer: str = "rays",
) -> tuple[NDArray[np.uint8], list[Camera]]:
    """Render views of a mesh, each framed so that the object fills the picture but for a margin of 8 %.

    View i depends on the seed and on i alone, not on how many there are.

    Parameters
    ----------
    mesh, size, smooth, renderer
        As for `render_view`.
    num_views : int
        V, how many.
    seed : int
        Not negative.
    cameras : sequence of Camera, optional
        V cameras to frame, instead of those of the rig.
    rig : str
        One of `voxgan.camera.RIGS`.

    Returns
    -------
    views : (V, size, size, 4) uint8
        Straight alpha.
    cameras : list of Camera
        The framed ones: their `project` agrees with the pictures.

    Raises
    ------
    MeshError
        The mesh has no faces or is not finite.
    UsageError
        The seed is negative, the cameras are not as many as the views, or one stands within the object; there is
        no such rig or renderer, or it cannot draw here.

    Examples
    --------
    >>> views, cameras = render_views(trimesh.creation.box((0.5, 0.4, 0.9)), num_views=2, seed=0, size=32)
    >>> views.shape, len(cameras)
    ((2, 32, 32, 4), 2)
    """
    if seed < 0:
        raise UsageError(f"seed {seed}: expected 0 or more")
    if cameras is not None and len(cameras) != num_views:
        raise UsageError(f"{len(cameras)} cameras came for {num_views} views: expected one for each view")
    if cameras is None and rig != "photo":
        cameras = rig_cameras(rig, num_views, seed)
    views = np.zeros((num_views, size, size, 4), dtype=np.uint8)
    framed = []
    with _scene(mesh, smooth, renderer) as scene:
        for i in range(num_views):
            rng = np.random.default_rng([seed, i])
            camera = random_camera(rng) if cameras is None else cameras[i]
            framed.append(camera.framed(scene.vertices))
            views[i] = scene.render(framed[i], rng, size)
    return views, framed


@contextlib.contextmanager
def _scene(mesh: trimesh.Trimesh, smooth: bool | None, renderer: str) -> Iterator[_Scene | PyVistaScene]:
    """Make a mesh ready for a renderer, and let go of what that holds."""
    if renderer == "rays":
        yield _Scene(mesh, smooth)
    elif renderer == "pyvista":
        from data_prep.render_pyvista import PyVistaScene

        with contextlib.closing(PyVistaScene(Surface(mesh, smooth))) as scene:
            yield scene
    else:
        raise UsageError(f"no renderer {renderer!r}; {nearest(str(renderer), RENDERERS)}")


class _Scene:
    """What the views of one mesh share: embree's tree, normals, parts and the field that darkens corners."""

    def __init__(self, mesh: trimesh.Trimesh, smooth: bool | None) -> None:
        surface = Surface(mesh, smooth)
        self.part, self.low, self.high, self.normals = surface.part, surface.low, surface.high, surface.normals
        self.vertices = surface.seen
        self.embree = EmbreeScene()
        self.triangles = TriangleMesh(self.embree, surface.vertices, surface.faces)
        across = surface.across
        self.crowding = _crowding(surface.corners, np.sqrt(np.einsum("ij,ij->i", across, across)) / 2)
        self.floor = float(self.vertices[:, 2].min())

    def render(self, camera: Camera, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
        """Trace, shade, and develop as a camera would: (size, size, 4)."""
        return _render(self, camera, rng, size)


def _crowding(corners: Floats, area: Floats) -> Floats:
    """Blurred surface per volume on a grid over the cube: high in corners and niches, (GRID,) * 3."""
    rng = np.random.default_rng(0)
    count = 12_000
    shares = np.cumsum(area, dtype=np.float64)
    picked = np.searchsorted(shares, (np.arange(count) + rng.random(count)) * (shares[-1] / count))
    chosen = corners[np.minimum(picked, len(corners) - 1)]
    u, v = rng.random((2, count, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    points = chosen[:, 0] + u * (chosen[:, 1] - chosen[:, 0]) + v * (chosen[:, 2] - chosen[:, 0])
    cells = np.clip(((points / 1.2 + 0.5) * GRID).astype(int), 0, GRID - 1)
    field = np.bincount(np.ravel_multi_index(tuple(cells.T), (GRID,) * 3), minlength=GRID**3)
    density = field.reshape((GRID,) * 3).astype(np.float32) * np.float32(shares[-1] / count * (GRID / 1.2) ** 3)
    return ndimage.gaussian_filter(density, SPREAD * GRID / 1.2, truncate=3)


@dataclass
class _Hits:
    """Rays that hit: N of them; `pixel` is the flat index of the pixel, `weight` the ray's share of it."""

    size: int
    pixel: NDArray[np.int64]
    weight: Floats
    face: NDArray[np.int32]
    point: Floats
    normal: Floats
    way: Floats


def _cast(scene: _Scene, camera: Camera, pixels: Floats, size: int) -> tuple[dict[str, NDArray], Floats]:
    """Cast rays through pixel coordinates (N, 2): embree's answer and the directions (N, 3)."""
    ways = camera.rays(pixels, size)
    origins = np.empty_like(ways)
    origins[:] = camera.position
    return scene.embree.run(origins, ways, output=1), ways


def _trace(scene: _Scene, camera: Camera, size: int) -> _Hits:
    """Cast one ray a pixel within the object's box, then four more where an edge passes."""
    box = camera.project(scene.vertices, size)
    x0, y0 = np.clip(np.floor(box.min(axis=0)).astype(int) - 1, 0, size)
    x1, y1 = np.clip(np.ceil(box.max(axis=0)).astype(int) + 1, 0, size)
    shape = (max(y1 - y0, 0), max(x1 - x0, 0))
    ys, xs = np.mgrid[y0 : y0 + shape[0], x0 : x0 + shape[1]].reshape(2, -1)
    pixels = np.stack([xs, ys], axis=1).astype(np.float32)
    found, ways = _cast(scene, camera, pixels + np.float32(0.5), size)
    hit = found["primID"] >= 0

    flat = found["Ng"] / np.maximum(np.sqrt(np.einsum("ij,ij->i", found["Ng"], found["Ng"])), 1e-20)[:, None]
    level = np.einsum("ij,ij->i", flat, ways)  # cosine to the ray
    depth = np.where(hit, found["tfar"], 10).astype(np.float32).reshape(shape)
    turn = np.where(hit, np.abs(level), 0).astype(np.float32).reshape(shape)
    edge = np.zeros(shape, bool)
    for here, there in (
        ((slice(1, None), slice(None)), (slice(None, -1), slice(None))),
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
    ):
        step = (np.abs(depth[here] - depth[there]) > 0.03) | (np.abs(turn[here] - turn[there]) > 0.2)
        edge[here] |= step
        edge[there] |= step
    edge = edge.ravel()

    inner = np.flatnonzero(hit & ~edge)
    border = np.flatnonzero(edge)
    offsets = np.array([[0.125, 0.375], [0.375, 0.875], [0.625, 0.125], [0.875, 0.625]], np.float32)
    finer, finer_ways = _cast(scene, camera, (pixels[border, None] + offsets).reshape(-1, 2), size)
    kept = np.flatnonzero(finer["primID"] >= 0)

    def both(name: str) -> NDArray:
        return np.concatenate([found[name][inner], finer[name][kept]])

    way = np.concatenate([ways[inner], finer_ways[kept]])
    face = both("primID")
    u, v = both("u")[:, None], both("v")[:, None]
    corner = scene.normals[face]
    normal = corner[:, 0] * (1 - u - v) + corner[:, 1] * u + corner[:, 2] * v
    normal /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-20)[:, None]
    normal *= np.where(np.einsum("ij,ij->i", normal, way) > 0, np.float32(-1), np.float32(1))[:, None]
    place = np.concatenate([inner, border[kept // 4]])
    return _Hits(
        size=size,
        pixel=(ys[place] * size + xs[place]).astype(np.int64),
        weight=np.concatenate([np.ones(len(inner), np.float32), np.full(len(kept), 0.25, np.float32)]),
        face=face,
        point=camera.position.astype(np.float32) + way * both("tfar")[:, None],
        normal=normal,
        way=way,
    )


def _render(scene: _Scene, camera: Camera, rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Trace, shade, and develop as a camera would."""
    hits = _trace(scene, camera, size)
    picture = np.zeros((size * size, 4), np.uint8)
    if len(hits.pixel) == 0:
        return picture.reshape(size, size, 4)
    materials, chosen = random_materials(rng, scene.low, scene.high)
    light = _shade(scene, camera, hits, materials, chosen, rng)
    alpha = np.bincount(hits.pixel, hits.weight, size * size)
    colour = np.stack([np.bincount(hits.pixel, hits.weight * light[:, k], size * size) for k in range(3)], axis=1)
    seen = np.flatnonzero(alpha)
    colour = np.maximum(colour[seen] / alpha[seen, None], 0)
    colour = 1 - np.exp(-colour * 1.35) if rng.random() < 0.5 else np.minimum(colour, 1)  # film or a plain clip
    colour **= 1 / rng.uniform(2.0, 2.4)
    noise = rng.standard_normal(colour.shape, dtype=np.float32) * (0.02 * rng.random() ** 2)
    picture[seen, :3] = np.clip((colour + noise) * 255 + 0.5, 0, 255)
    picture[seen, 3] = np.round(alpha[seen] * 255)
    return picture.reshape(size, size, 4)


def _shade(
    scene: _Scene,
    camera: Camera,
    hits: _Hits,
    materials: list[Material],
    chosen: Chooser,
    rng: np.random.Generator,
) -> Floats:
    """Light (N, 3), linear, that comes from the points hit."""
    albedo, gloss, sharp = _albedo(scene, hits, materials, chosen)
    point, normal, way = hits.point, hits.normal, hits.way

    # light: a key (window or lamp) with a shadow, fills without, ambient from ceiling and floor
    right, up, forward = camera.axes
    around = np.radians(camera.azimuth + rng.normal(0, 75))
    height = np.radians(rng.uniform(20, 80))
    key = np.array([np.sin(around) * np.cos(height), -np.cos(around) * np.cos(height), np.sin(height)], np.float32)
    ambient_share = rng.uniform(0.3, 0.75)
    warmth = rng.normal(0, 0.06)
    tint = np.array([1 + warmth, 1, 1 - warmth], np.float32)
    floor_tint = np.array([1.0, 0.93, 0.85], np.float32) * rng.uniform(0.25, 0.7)

    corner = ndimage.map_coordinates(
        scene.crowding,
        ((point + REACH * normal) / 1.2 + 0.5).T * GRID - 0.5,
        order=1,
        mode="nearest",
        output=np.float32,
    )
    open_ = 1 / (1 + rng.uniform(0.12, 0.3) * np.maximum(corner - 2.5, 0))
    sky = 0.5 + 0.5 * normal[:, 2]
    lift = np.clip((point[:, 2] - scene.floor) / 0.5, 0, 1)
    below = (1 - sky) * (0.35 + 0.65 * lift)
    total = (open_ * sky)[:, None] * tint * ambient_share + (open_ * below)[:, None] * (floor_tint * ambient_share)

    facing = np.maximum(normal @ key, 0)
    lit = _lit(scene, hits, facing, key, float(rng.uniform(0.01, 0.16)))
    key_tint = np.array([1 + 1.5 * warmth, 1, 1 - 1.5 * warmth], np.float32) * rng.uniform(0.5, 1.3)
    total += (facing * lit)[:, None] * key_tint
    for _ in range(int(rng.integers(0, 3))):
        way_in = -forward + rng.normal(0, 0.8) * right + rng.normal(0.3, 0.5) * up
        way_in = (way_in / np.linalg.norm(way_in)).astype(np.float32)
        total += (np.maximum(normal @ way_in, 0) * open_ * np.float32(rng.uniform(0.1, 0.5)))[:, None]
    exposure = rng.uniform(0.55, 1.0) / max(float(total.mean()), 1e-3)

    # highlights: the key, and a bright ceiling mirrored more at grazing angles
    cosine = -np.einsum("ij,ij->i", normal, way)
    mirrored = way + 2 * cosine[:, None] * normal
    shine = np.maximum(mirrored @ key, 0) ** sharp * lit * 1.5
    shine += np.clip(mirrored[:, 2], 0, 1) * 0.4 * open_
    shine *= gloss * (0.3 + 0.7 * (1 - np.clip(cosine, 0, 1)) ** 3)
    return (albedo * total + shine[:, None] * tint) * np.float32(exposure)


def _albedo(scene: _Scene, hits: _Hits, materials: list[Material], chosen: Chooser) -> tuple[Floats, Floats, Floats]:
    """Base colour (N, 3), gloss (N,) and sharpness of the highlight (N,) of the points hit."""
    part = scene.part[hits.face]
    which = chosen(part, hits.point, hits.normal)
    albedo = np.empty((len(part), 3), np.float32)
    gloss = np.empty(len(part), np.float32)
    sharp = np.empty(len(part), np.float32)
    extent = scene.high - scene.low
    for i, material in enumerate(materials):
        mine = np.flatnonzero(which == i) if len(materials) > 1 else np.arange(len(part))
        if len(mine) == 0:
            continue
        albedo[mine] = material.colour_at(hits.point[mine], hits.normal[mine], extent.argmax(axis=1)[part[mine]])
        gloss[mine] = material.gloss
        sharp[mine] = material.sharpness
    return albedo, gloss, sharp


def _lit(scene: _Scene, hits: _Hits, facing: Floats, key: Floats, radius: float) -> Floats:
    """Share (N,) of a round lamp that the hits see; `radius` is the tangent of the angle that it covers.

    Each pixel of a block of 4 × 4 looks at another spot of the lamp, and the mean over a block is taken.
    """
    towards = np.flatnonzero(facing > 0)
    pixel, side = hits.pixel[towards], hits.size
    spot = (pixel // side % 4) * 4 + pixel % 4
    reach, angle = radius * np.sqrt((np.arange(16) + 0.5) / 16), 2.39996 * np.arange(16)
    sideways = np.cross(key, [0.0, 0.6, 0.8])
    sideways /= np.linalg.norm(sideways)
    spots = key + (reach * np.cos(angle))[:, None] * sideways
    spots += (reach * np.sin(angle))[:, None] * np.cross(key, sideways)
    starts = hits.point[towards] + np.float32(2e-3) * hits.normal[towards]
    free = scene.embree.run(starts, spots.astype(np.float32)[spot], query="OCCLUDED") == -1
    seen = np.bincount(pixel, free, side * side).reshape(side, side).astype(np.float32)
    asked = np.bincount(pixel, minlength=side * side).reshape(side, side).astype(np.float32)
    seen, asked = (ndimage.uniform_filter(a, 4, mode="constant").ravel()[pixel] for a in (seen, asked))
    lit = np.zeros(len(facing), np.float32)
    lit[towards] = seen / np.maximum(asked, np.float32(1e-6))
    return lit
