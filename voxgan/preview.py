"""Occupancy → picture without OpenGL: a ray caster in torch, so that every machine can show a shape.

The view is orthographic and its scale is the same for every shape and azimuth: pictures side by side, the
frames of a turntable and the steps of an interpolation compare as they are. The light stands behind the
left shoulder of whoever looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from voxgan.errors import MissingExtraError, SurfaceError, UsageError
from voxgan.files import atomic_write

__all__ = ["BACKGROUND", "COLOUR", "picture", "sheet", "turntable", "write_gif", "write_png"]

COLOUR = (108, 152, 205)
"""Red, green, blue of a shape, 0 to 255."""

BACKGROUND = (250, 250, 251)
"""Red, green, blue where nothing is, 0 to 255."""

_SUPERSAMPLING = 2  # rays per pixel and direction: smooth edges
_STEP = 0.25  # of a cell: half a cell misses slivers of sharp edges, which then look like saws
_STEPS_AT_ONCE = 4
_GAMMA = 2.2


@torch.inference_mode()
def picture(
    occupancy: ArrayLike,
    azimuth: float = 35.0,
    elevation: float = 25.0,
    size: int = 256,
    level: float = 0.5,
    colour: tuple[int, int, int] = COLOUR,
    *,
    zoom: float = 1.05,
    shadow: bool = True,
) -> NDArray[np.uint8]:
    """Draw one shape.

    Parameters
    ----------
    occupancy : array (R, R, R), in [0, 1]
        Axes x, y, z; z up; inside is 1.
    azimuth : float, degrees
        0 looks at the front (camera on −y), 90 stands on +x.
    elevation : float, degrees
        0 is level, 90 looks straight down with the front at the lower edge.
    size : int, pixels
        Both sides of the picture.
    level : float
        Where the surface lies, between 0 and 1.
    colour : (int, int, int)
        Red, green, blue, 0 to 255.
    zoom : float
        At 1 the whole cube fits into the picture from every azimuth, at 1.05 every normalised shape does.
    shadow : bool
        Draw a soft shadow on the floor under the shape. The floor is seen from above only.

    Returns
    -------
    array (size, size, 3), uint8
        Row 0 is the upper edge. A grid without a surface gives the background alone.

    Raises
    ------
    UsageError
        If the grid is no cube or an option is out of its range.
    SurfaceError
        If the grid holds numbers that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> ball = np.zeros((8, 8, 8), np.float32)
    >>> ball[2:6, 2:6, 2:6] = 1
    >>> picture(ball, size=32).shape
    (32, 32, 3)
    """
    grid = _checked_grid(occupancy)
    _check_view(azimuth, elevation, size, level, colour, zoom)
    R = grid.shape[0]
    padded = functional.pad(grid, (1, 1, 1, 1, 1, 1))  # a shape that touches the grid's edge is closed there
    background = torch.tensor(BACKGROUND, dtype=torch.float32) / 255
    crossed = _crossed_cells(padded, level)
    if not len(crossed):
        flat = np.broadcast_to(np.array(BACKGROUND, np.uint8), (size, size, 3))
        return np.ascontiguousarray(flat)

    right, up, towards = _camera(azimuth, elevation)
    fine = size * _SUPERSAMPLING
    pixel = _span(elevation, zoom) / fine
    across = (torch.arange(fine, dtype=torch.float32) + 0.5) * pixel - 0.5 * fine * pixel
    image = background.expand(fine, fine, 3).clone()
    if shadow:
        floor = float(crossed[:, 2].min()) / R - 0.5
        image *= _floor_light(_solid(grid, level), floor, across, right, up, towards).unsqueeze(-1)

    row, column, near, far = _ray_segments(crossed, R, pixel, fine, right, up, towards)
    origin = across[column].unsqueeze(-1) * right - across[row].unsqueeze(-1) * up
    ray, points = _march(padded, level, origin, -towards, near, far)
    if len(ray):
        base = torch.tensor(colour, dtype=torch.float32) / 255
        image[row[ray], column[ray]] = _shade(padded, level, points, base, right, up, towards)
    image = functional.avg_pool2d(image.permute(2, 0, 1).unsqueeze(0), _SUPERSAMPLING)[0].permute(1, 2, 0)
    result: NDArray[np.uint8] = (image * 255).round().clamp(0, 255).to(torch.uint8).contiguous().numpy()
    return result


def sheet(
    occupancies: ArrayLike,
    columns: int | None = None,
    azimuth: float = 35.0,
    elevation: float = 25.0,
    size: int = 192,
    level: float = 0.5,
    colour: tuple[int, int, int] = COLOUR,
    *,
    zoom: float = 1.05,
    shadow: bool = True,
) -> NDArray[np.uint8]:
    """Draw many shapes in rows, from left to right and from the top down.

    Parameters
    ----------
    occupancies : array (B, R, R, R), in [0, 1]
        The shapes.
    columns : int, optional
        How many stand in a row; without it, as many as make the sheet nearly square.
    azimuth, elevation, size, level, colour, zoom, shadow
        As for `picture`; `size` is that of one shape.

    Returns
    -------
    array (rows · size, columns · size, 3), uint8

    Raises
    ------
    UsageError
        If there is no shape, a shape is no cube, or an option is out of its range.
    SurfaceError
        If a grid holds numbers that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> sheet(np.zeros((5, 4, 4, 4)), columns=3, size=16).shape
    (32, 48, 3)
    """
    grids = np.asarray(occupancies)
    if grids.ndim != 4 or not len(grids):
        raise UsageError(f"a sheet of shape {grids.shape}: expected (B, R, R, R) with B at least 1")
    if columns is None:
        columns = math.ceil(math.sqrt(len(grids)))
    if columns < 1:
        raise UsageError(f"columns={columns}: expected at least 1")
    columns = min(columns, len(grids))
    rows = math.ceil(len(grids) / columns)
    _check_view(azimuth, elevation, size, level, colour, zoom)
    whole = np.empty((rows * size, columns * size, 3), np.uint8)
    whole[:] = BACKGROUND
    for place, grid in enumerate(grids):
        y, x = (place // columns) * size, (place % columns) * size
        whole[y : y + size, x : x + size] = picture(
            grid, azimuth, elevation, size, level, colour, zoom=zoom, shadow=shadow
        )
    return whole


def turntable(
    occupancy: ArrayLike,
    frames: int = 24,
    azimuth: float = 35.0,
    elevation: float = 25.0,
    size: int = 256,
    level: float = 0.5,
    colour: tuple[int, int, int] = COLOUR,
    *,
    zoom: float = 1.05,
    shadow: bool = True,
) -> list[NDArray[np.uint8]]:
    """Draw one shape from all around, for `write_gif`.

    Parameters
    ----------
    occupancy : array (R, R, R), in [0, 1]
        The shape.
    frames : int
        How many pictures make the full turn; the camera goes counter-clockwise seen from above.
    azimuth : float, degrees
        Where the turn starts.
    elevation, size, level, colour, zoom, shadow
        As for `picture`.

    Returns
    -------
    list of array (size, size, 3), uint8

    Raises
    ------
    UsageError
        If the grid is no cube or an option is out of its range.
    SurfaceError
        If the grid holds numbers that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> len(turntable(np.zeros((4, 4, 4)), frames=6, size=16))
    6
    """
    if frames < 1:
        raise UsageError(f"frames={frames}: expected at least 1")
    turns = [azimuth + 360 * frame / frames for frame in range(frames)]
    return [picture(occupancy, turn, elevation, size, level, colour, zoom=zoom, shadow=shadow) for turn in turns]


def write_png(path: str | Path, picture: ArrayLike) -> None:
    """Write one picture as PNG, whole or not at all.

    Parameters
    ----------
    path : path
        Where it shall stand.
    picture : array (H, W, 3), uint8
        What `picture` or `sheet` returned.

    Raises
    ------
    StorageError
        If the file cannot be written.
    UsageError
        If that is no picture.
    MissingExtraError
        If Pillow is not installed.
    """
    pixels = _checked_picture(picture)
    image = _pillow().fromarray(pixels)
    with atomic_write(path) as partial:
        image.save(partial, format="PNG", optimize=True)


def write_gif(
    path: str | Path,
    pictures: Sequence[ArrayLike],
    seconds_per_frame: float = 0.1,
    back_and_forth: bool = False,
) -> None:
    """Write pictures as a GIF that plays for ever, whole or not at all.

    Parameters
    ----------
    path : path
        Where it shall stand.
    pictures : sequence of array (H, W, 3), uint8
        All of one size. Equal neighbours become one frame that stands longer.
    seconds_per_frame : float, seconds
        From 0.02 on; GIF counts in hundredths.
    back_and_forth : bool
        Play the way back too: an interpolation then has no jump.

    Raises
    ------
    StorageError
        If the file cannot be written.
    UsageError
        If there is no picture, the sizes differ, or the time is too short.
    MissingExtraError
        If Pillow is not installed.
    """
    frames = [_checked_picture(one) for one in pictures]
    if not frames:
        raise UsageError("no pictures for the GIF: expected at least 1")
    sizes = sorted({frame.shape[:2] for frame in frames})
    if len(sizes) > 1:
        raise UsageError(f"the GIF's pictures have different sizes {sizes}: expected one size")
    if not 0.02 <= seconds_per_frame <= 600:
        raise UsageError(f"seconds_per_frame={seconds_per_frame}: expected 0.02 to 600")
    pillow = _pillow()
    # One palette for all frames, drawn from a few of them: colours that stand still do not flicker.
    some = frames[:: max(1, len(frames) // 6)]
    palette = pillow.fromarray(np.concatenate(some)).quantize(255, dither=pillow.Dither.NONE)
    images = [
        pillow.fromarray(frame).quantize(palette=palette, dither=pillow.Dither.FLOYDSTEINBERG) for frame in frames
    ]
    if back_and_forth:
        images += images[-2:0:-1]
    with atomic_write(path) as partial:
        images[0].save(
            partial,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=round(seconds_per_frame * 100) * 10,
            loop=0,
        )


def _checked_grid(occupancy: ArrayLike) -> Tensor:
    """Return the grid as float32 (R, R, R), or say what is wrong with it."""
    grid = np.asarray(occupancy)
    if grid.ndim != 3 or len(set(grid.shape)) != 1 or not grid.size:
        raise UsageError(f"a grid of shape {grid.shape}: expected (R, R, R), one shape of a batch at a time")
    grid = np.ascontiguousarray(grid, dtype=np.float32)
    if not np.isfinite(grid).all():
        raise SurfaceError("the grid holds numbers that are not finite: expected probabilities in [0, 1]")
    return torch.tensor(grid)


def _check_view(azimuth: float, elevation: float, size: int, level: float, colour: Sequence[int], zoom: float) -> None:
    """Raise UsageError for an option out of its range."""
    if not math.isfinite(azimuth):
        raise UsageError(f"azimuth={azimuth}: expected degrees")
    if not -90 <= elevation <= 90:
        raise UsageError(f"elevation={elevation}: expected -90 to 90 degrees")
    if not 1 <= size <= 8192:
        raise UsageError(f"size={size}: expected 1 to 8192 pixels")
    if not 0 < level < 1:
        raise UsageError(f"level={level}: expected a number between 0 and 1, without them")
    if len(colour) != 3 or not all(0 <= part <= 255 for part in colour):
        raise UsageError(f"colour={tuple(colour)}: expected red, green, blue, each 0 to 255")
    if not 0 < zoom < math.inf:
        raise UsageError(f"zoom={zoom}: expected a number above 0")


def _checked_picture(picture: ArrayLike) -> NDArray[np.uint8]:
    pixels = np.asarray(picture)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise UsageError(f"a picture of shape {pixels.shape}, {pixels.dtype}: expected (H, W, 3), uint8")
    return np.ascontiguousarray(pixels)


def _pillow() -> ModuleType:
    """Import Pillow's Image, late: drawing does not need it, encoding does."""
    try:
        from PIL import Image
    except ImportError as error:
        raise _MissingPillowError from error
    return Image


class _MissingPillowError(MissingExtraError):
    """Pillow is a plain dependency, no extra: the way to get it is another one."""

    def __init__(self) -> None:
        UsageError.__init__(self, "writing pictures needs the package PIL: run  pip install pillow")


def _camera(azimuth: float, elevation: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the picture's right, its up, and the way to the camera, unit vectors (3,)."""
    a, e = math.radians(azimuth), math.radians(elevation)
    right = (math.cos(a), math.sin(a), 0.0)
    up = (-math.sin(a) * math.sin(e), math.cos(a) * math.sin(e), math.cos(e))
    towards = (math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e))
    return torch.tensor(right), torch.tensor(up), torch.tensor(towards)


def _span(elevation: float, zoom: float) -> float:
    """Return what the picture's side measures in the unit cube's lengths: at zoom 1, the turning cube."""
    e = math.radians(abs(elevation))
    corner = math.sqrt(0.5)
    return 2 * max(corner, 0.5 * math.cos(e) + corner * math.sin(e)) / zoom


def _crossed_cells(padded: Tensor, level: float) -> Tensor:
    """Return the index (N, 3) of each corner of the grid's cells where the eight around it disagree."""
    inside = padded >= level
    some = every = inside
    for axis in range(3):
        n = some.shape[axis] - 1
        some = some.narrow(axis, 0, n) | some.narrow(axis, 1, n)
        every = every.narrow(axis, 0, n) & every.narrow(axis, 1, n)
    return (some & ~every).nonzero()


def _ray_segments(
    crossed: Tensor, R: int, pixel: float, fine: int, right: Tensor, up: Tensor, towards: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return row, column, and the first and last distance that matter, of each pixel that may see a surface.

    The places where the surface passes are splatted on tiles as large as they appear; a pixel then looks
    at its tile and the eight around it.
    """
    centres = crossed / R - 0.5
    radius = math.sqrt(0.75) / R
    tile = max(1, math.ceil(radius / pixel))
    num_tiles = math.ceil(fine / tile) + 2
    half = 0.5 * fine * pixel
    x = torch.floor((centres @ right + half) / (pixel * tile)).long() + 1
    y = torch.floor((half - centres @ up) / (pixel * tile)).long() + 1
    seen = (x >= 0) & (x < num_tiles) & (y >= 0) & (y < num_tiles)
    place, depth = (y * num_tiles + x)[seen], -(centres @ towards)[seen]
    nearest = torch.full((num_tiles * num_tiles,), math.inf).scatter_reduce_(0, place, depth, "amin")
    furthest = torch.full((num_tiles * num_tiles,), -math.inf).scatter_reduce_(0, place, depth, "amax")
    nearest = -functional.max_pool2d(-nearest.view(1, num_tiles, num_tiles), 3, 1, 1)[0]
    furthest = functional.max_pool2d(furthest.view(1, num_tiles, num_tiles), 3, 1, 1)[0]
    of_pixel = torch.arange(fine) // tile + 1
    row, column = torch.isfinite(nearest)[of_pixel][:, of_pixel].nonzero(as_tuple=True)
    near = nearest[of_pixel[row], of_pixel[column]] - radius
    far = furthest[of_pixel[row], of_pixel[column]] + radius
    return row, column, near, far


def _sample(volume: Tensor, R: int, points: Tensor) -> Tensor:
    """Return a volume (C, P, P, P), a grid of R³ padded evenly, at points (N, 3) of the unit cube: (C, N)."""
    at = (points * (2 * R / volume.shape[-1])).flip(-1).view(1, 1, 1, -1, 3)
    return functional.grid_sample(volume.unsqueeze(0), at, padding_mode="border", align_corners=False)[0, :, 0, 0]


def _march(
    padded: Tensor, level: float, origin: Tensor, along: Tensor, near: Tensor, far: Tensor
) -> tuple[Tensor, Tensor]:
    """Walk along the rays to the first crossing of the level; return which rays (N) hit, and where (N, 3)."""
    volume, R = padded.unsqueeze(0), padded.shape[0] - 2
    step = _STEP / R
    ahead = torch.arange(1, _STEPS_AT_ONCE + 1) * step
    rays, distance, value = torch.arange(len(origin)), near, torch.zeros_like(near)
    hits, low, high, below, above = [], [], [], [], []
    while len(rays):
        stops = distance.unsqueeze(1) + ahead
        points = origin[rays].unsqueeze(1) + stops.unsqueeze(-1) * along
        values = _sample(volume, R, points.view(-1, 3))[0].view(-1, _STEPS_AT_ONCE)
        inside = values >= level
        hit = inside.any(1)
        first = inside[hit].int().argmax(1, keepdim=True)
        before = torch.cat([value.unsqueeze(1), values], 1)[hit]
        hits.append(rays[hit])
        high.append(stops[hit].gather(1, first)[:, 0])
        low.append(high[-1] - step)
        below.append(before.gather(1, first)[:, 0])
        above.append(before.gather(1, first + 1)[:, 0])
        going = ~hit & (stops[:, -1] < far[rays])
        rays, distance, value = rays[going], stops[going, -1], values[going, -1]
    if not hits:
        return torch.empty(0, dtype=torch.long), torch.empty(0, 3)
    ray = torch.cat(hits)
    a, b, at_a, at_b = torch.cat(low), torch.cat(high), torch.cat(below), torch.cat(above)
    for _ in range(2):  # along a ray the trilinear field is a cubic: the second line corrects the first
        t = a + (b - a) * ((level - at_a) / (at_b - at_a).clamp_min(1e-6)).clamp(0, 1)
        points = origin[ray] + t.unsqueeze(1) * along
        at_t = _sample(volume, R, points)[0]
        over = at_t >= level
        a, at_a = torch.where(over, a, t), torch.where(over, at_a, at_t)
        b, at_b = torch.where(over, t, b), torch.where(over, at_t, at_b)
    return ray, points


def _blurred(volume: Tensor, width: int) -> Tensor:
    """Return the mean (P, P, P) over cubes of an odd `width`; outside of the grid is nothing."""
    result = volume.unsqueeze(0).unsqueeze(0)
    for axis in range(3):
        kernel = tuple(width if i == axis else 1 for i in range(3))
        margin = tuple(width // 2 if i == axis else 0 for i in range(3))
        result = functional.avg_pool3d(result, kernel, 1, margin)
    return result[0, 0]


def _gradient(volume: Tensor) -> Tensor:
    """Return Sobel's gradient (3, P, P, P): a difference along one axis, smoothed along the others."""

    def tap(field: Tensor, axis: int, difference: bool) -> Tensor:
        n = field.shape[axis]
        first, last = field.narrow(axis, 0, 1), field.narrow(axis, n - 1, 1)
        before = torch.cat([first, field.narrow(axis, 0, n - 1)], axis)
        after = torch.cat([field.narrow(axis, 1, n - 1), last], axis)
        return after - before if difference else before + 2 * field + after

    smooth_z = tap(volume, 2, False)
    return torch.stack(
        [
            tap(tap(smooth_z, 1, False), 0, True),
            tap(tap(smooth_z, 0, False), 1, True),
            tap(tap(tap(volume, 2, True), 1, False), 0, False),
        ]
    )


def _solid(grid: Tensor, level: float) -> Tensor:
    """Return a grid that is 1 well inside of the surface and 0 well outside, for what casts shadows."""
    return ((grid - level) / (2 * min(level, 1 - level, 0.1)) + 0.5).clamp(0, 1)


def _odd(cells: float) -> int:
    return 2 * max(1, round(cells / 2)) + 1


def _shade(
    padded: Tensor, level: float, points: Tensor, base: Tensor, right: Tensor, up: Tensor, towards: Tensor
) -> Tensor:
    """Return the colour (N, 3), in [0, 1], of points of the surface."""
    R = padded.shape[0] - 2
    normal = -functional.normalize(_sample(_gradient(padded), R, points), dim=0).T
    light = functional.normalize(0.75 * up - 0.5 * right + 0.55 * towards, dim=0)
    tight, wide = _odd(R * 0.05), _odd(R * 0.16)
    solid = functional.pad(_solid(padded, level), (wide // 2,) * 6)
    blurs = torch.stack([_blurred(solid, tight), _blurred(solid, wide)])

    # How much of the surroundings is filled, seen from just above the surface: dark corners.
    closeness = _sample(blurs[:1], R, points + normal * (0.55 * tight / R))[0]
    around = _sample(blurs[1:], R, points + normal * (0.55 * wide / R))[0]
    open_sky = (1 - 1.5 * closeness).clamp(0.3, 1) * (1 - 1.1 * around).clamp(0.35, 1)

    # What stands on the way to the light: a cone that widens.
    blocked = torch.zeros(len(points))
    start = points + normal * (1.2 / R)
    for distance, volume, weight in (
        (0.06, blurs[:1], 1.3),
        (0.12, blurs[:1], 1.3),
        (0.2, blurs, 1.6),
        (0.3, blurs, 1.6),
        (0.42, blurs, 1.6),
    ):
        density = _sample(volume, R, start + light * distance).mean(0)
        blocked = torch.maximum(blocked, weight * density)
    lit = 1 - 0.75 * blocked.clamp(0, 1)

    facing = normal @ light
    diffuse = ((facing + 0.1) / 1.1).clamp_min(0) * lit
    sky = 0.62 + 0.38 * normal[:, 2]
    fill = (normal @ towards).clamp_min(0)
    gloss = (normal @ functional.normalize(light + towards, dim=0)).clamp_min(0) ** 40 * lit
    brightness = open_sky * (0.36 * sky + 0.16 * fill) + 0.78 * diffuse
    colour = base**_GAMMA * brightness.unsqueeze(1) + 0.06 * gloss.unsqueeze(1)
    return colour.clamp(0, 1) ** (1 / _GAMMA)


def _floor_light(solid: Tensor, floor: float, across: Tensor, right: Tensor, up: Tensor, towards: Tensor) -> Tensor:
    """Return how bright the floor is (H, W), 1 where no shadow falls, 1 everywhere if seen from the side."""
    fine = len(across)
    fade = min(1.0, max(0.0, float(towards[2]) / 0.2))
    if fade < 1e-3:
        return torch.ones(fine, fine)
    R = solid.shape[0]
    height = (torch.arange(R) + 0.5) / R - 0.5 - floor
    solid = solid * (height >= 0)
    margin = R // 2
    maps = []
    for reach, blur in ((0.07, 0.03), (0.45, 0.16)):
        shade = (solid * torch.exp(-height / reach)).sum(2) / (R * reach)
        shade = functional.pad(shade.clamp(0, 1), (margin,) * 4).unsqueeze(0)
        width = _odd(R * blur)
        for _ in range(3):
            shade = functional.avg_pool2d(shade, width, 1, width // 2)
        maps.append(shade)
    shade = (0.30 * maps[0] + 0.34 * maps[1])[0]
    # The ray of pixel (i, j) meets the floor in (x, y).
    start_z = -across * up[2]
    t = (start_z - floor) / towards[2]
    x = across.unsqueeze(0) * right[0] + (-across * up[0] - t * towards[0]).unsqueeze(1)
    y = across.unsqueeze(0) * right[1] + (-across * up[1] - t * towards[1]).unsqueeze(1)
    at = torch.stack([y, x], -1) * (2 * R / (R + 2 * margin))
    dark = functional.grid_sample(shade.view(1, 1, *shade.shape), at.unsqueeze(0), align_corners=False)[0, 0]
    return 1 - fade * dark
