"""Occupancy → picture without OpenGL: a ray caster in torch, so that every machine can show a shape.

The view is orthographic and its scale is the same for every shape and azimuth: pictures side by side, the
frames of a turntable and the steps of an interpolation compare as they are. The light stands behind the
left shoulder of whoever looks.
"""

from __future__ import annotations

import io
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
from voxgan.preview_rays import crossed_cells, filled, floor_light, march, ray_segments, shade

__all__ = [
    "BACKGROUND",
    "COLOUR",
    "ZOOM",
    "arrange",
    "coarser",
    "glance",
    "group",
    "picture",
    "png_bytes",
    "sheet",
    "span",
    "turntable",
    "write_gif",
    "write_png",
]

COLOUR = (108, 152, 205)
"""Red, green, blue of a shape, 0 to 255."""

BACKGROUND = (250, 250, 251)
"""Red, green, blue where nothing is, 0 to 255."""

ZOOM = 1.05
"""How large shapes are drawn: at 1 the whole cube fits from every azimuth, at this every normalised shape does."""

_SUPERSAMPLING = 2  # rays per pixel and direction: smooth edges
_GLANCE, _GLANCE_SIDE = 24, 64  # shapes, and cells along a side, at most


@torch.inference_mode()
def picture(
    occupancy: ArrayLike,
    azimuth: float = 35.0,
    elevation: float = 25.0,
    size: int = 256,
    level: float = 0.5,
    colour: tuple[int, int, int] = COLOUR,
    *,
    zoom: float = ZOOM,
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
    crossed = crossed_cells(padded, level)
    if not len(crossed):
        flat = np.broadcast_to(np.array(BACKGROUND, np.uint8), (size, size, 3))
        return np.ascontiguousarray(flat)

    right, up, towards = _camera(azimuth, elevation)
    fine = size * _SUPERSAMPLING
    pixel = span(elevation, zoom) / fine
    across = (torch.arange(fine, dtype=torch.float32) + 0.5) * pixel - 0.5 * fine * pixel
    image = background.expand(fine, fine, 3).clone()
    if shadow:
        floor = float(crossed[:, 2].min()) / R - 0.5
        image *= floor_light(filled(grid, level), floor, across, right, up, towards).unsqueeze(-1)

    row, column, near, far = ray_segments(crossed, R, pixel, fine, right, up, towards)
    origin = across[column].unsqueeze(-1) * right - across[row].unsqueeze(-1) * up
    ray, points = march(padded, level, origin, -towards, near, far)
    if len(ray):
        base = torch.tensor(colour, dtype=torch.float32) / 255
        image[row[ray], column[ray]] = shade(padded, level, points, base, right, up, towards)
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
    zoom: float = ZOOM,
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


def arrange(count: int, size: tuple[int, int], columns: int | None = None) -> tuple[int, int, int]:
    """Say how many shapes stand side by side in a picture of a given size.

    Parameters
    ----------
    count : int
        How many shapes there are.
    size : (int, int), pixels
        Width and height.
    columns : int, optional
        How many stand in a row; without it, as many as make them largest.

    Returns
    -------
    columns, rows : int
    tile : int, pixels
        Side of the square that each shape has; they stand in the middle of the picture without gaps.

    Raises
    ------
    UsageError
        If there is no shape, or an option is out of its range.

    Examples
    --------
    >>> arrange(3, (900, 400))
    (3, 1, 300)
    """
    if not isinstance(size, Sequence) or len(size) != 2 or not all(isinstance(n, int | np.integer) for n in size):
        raise UsageError(f"size={size!r}: expected width and height in pixels, as in (1024, 768)")
    width, height = size
    if not (1 <= width <= 8192 and 1 <= height <= 8192):
        raise UsageError(f"size={tuple(size)}: expected width and height of 1 to 8192 pixels")
    if not count:
        raise UsageError("no shapes to draw: expected at least 1")
    if columns is not None and (not isinstance(columns, int | np.integer) or columns < 1):
        raise UsageError(f"columns={columns!r}: expected a whole number from 1 up")

    def choice(columns: int) -> tuple[int, int, int]:
        rows = math.ceil(count / columns)
        return min(width // columns, height // rows), -columns * rows, -columns

    tile, places, chosen = max(map(choice, [min(columns, count)] if columns else range(1, count + 1)))
    if not tile:
        raise UsageError(f"size={tuple(size)}: too small for {count} shapes; give more pixels or fewer shapes")
    return -chosen, places // chosen, tile


def span(elevation: float, zoom: float = ZOOM) -> float:
    """Return what the side of one shape's picture measures, in lengths of the unit cube.

    Examples
    --------
    >>> round(span(0, zoom=1), 3)  # the turning cube's diagonal
    1.414
    """
    e = math.radians(abs(elevation))
    corner = math.sqrt(0.5)
    return 2 * max(corner, 0.5 * math.cos(e) + corner * math.sin(e)) / zoom


def group(
    occupancies: ArrayLike,
    size: tuple[int, int] = (1024, 768),
    columns: int | None = None,
    azimuth: float = 35.0,
    elevation: float = 25.0,
    level: float = 0.5,
) -> NDArray[np.uint8]:
    """Draw many shapes as one picture of a given size; where one has no surface stands the word "empty".

    Parameters
    ----------
    occupancies : array (B, R, R, R), in [0, 1]
        The shapes.
    size : (int, int), pixels
        Width and height.
    columns : int, optional
        How many stand in a row; without it, as many as make them largest.
    azimuth, elevation, level
        As for `picture`.

    Returns
    -------
    array (height, width, 3), uint8

    Raises
    ------
    UsageError, SurfaceError
        As for `sheet`.

    Examples
    --------
    >>> import numpy as np
    >>> group(np.zeros((2, 4, 4, 4)), size=(48, 32)).shape
    (32, 48, 3)
    """
    grids = np.asarray(occupancies)
    columns, rows, tile = arrange(len(grids), size, columns)
    width, height = size
    whole = np.empty((height, width, 3), np.uint8)
    whole[:] = BACKGROUND
    left, top = (width - columns * tile) // 2, (height - rows * tile) // 2
    drawn = sheet(grids, columns, azimuth, elevation, tile, level)
    whole[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    inside = (grids > level).any(axis=(1, 2, 3))
    for place in np.flatnonzero(~inside):
        _write(whole, left + (place % columns + 0.5) * tile, top + (place // columns + 0.5) * tile, "empty", tile // 6)
    return whole


def glance(occupancies: ArrayLike) -> NDArray[np.uint8]:
    """Draw the first shapes small, in a second or two however many there are; below stands how many are not drawn.

    Parameters
    ----------
    occupancies : array (B, R, R, R), in [0, 1]
        At least one shape.

    Returns
    -------
    array (height, width, 3), uint8

    Examples
    --------
    >>> import numpy as np
    >>> glance(np.zeros((3, 4, 4, 4))).shape
    (128, 384, 3)
    """
    grids = np.asarray(occupancies)
    count = len(grids)
    grids = coarser(grids[:_GLANCE], _GLANCE_SIDE)
    columns, tile = (1, 256) if count == 1 else (min(count, 6), 128)
    whole = sheet(grids, columns, size=tile)
    if count > _GLANCE:
        strip = np.empty((24, whole.shape[1], 3), np.uint8)
        strip[:] = BACKGROUND
        _write(strip, whole.shape[1] / 2, 12, f"{_GLANCE} of {count} shapes")
        whole = np.concatenate([whole, strip])
    return whole


def coarser(occupancies: ArrayLike, most: int) -> NDArray[np.float32]:
    """Return grids (B, R, R, R) with at most so many cells along a side, each the mean of those that it covers.

    Examples
    --------
    >>> import numpy as np
    >>> coarser(np.ones((2, 16, 16, 16)), 8).shape, coarser(np.ones((2, 4, 4, 4)), 8).shape
    ((2, 8, 8, 8), (2, 4, 4, 4))
    """
    grids = np.asarray(occupancies, np.float32)
    if grids.shape[-1] <= most:
        return grids
    means: NDArray[np.float32] = functional.adaptive_avg_pool3d(torch.from_numpy(grids), most).numpy()
    return means


def turntable(
    occupancy: ArrayLike,
    frames: int = 24,
    azimuth: float = 35.0,
    elevation: float = 25.0,
    size: int = 256,
    level: float = 0.5,
    colour: tuple[int, int, int] = COLOUR,
    *,
    zoom: float = ZOOM,
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
    content = png_bytes(picture)
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def png_bytes(picture: ArrayLike) -> bytes:
    """Return one picture (H, W, 3), uint8, as the content of a PNG file.

    Raises
    ------
    UsageError
        If that is no picture.
    MissingExtraError
        If Pillow is not installed.
    """
    content = io.BytesIO()
    pixels = _checked_picture(picture)
    _pillow().fromarray(pixels).save(content, format="PNG", optimize=True)
    return content.getvalue()


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


def _write(picture: NDArray[np.uint8], x: float, y: float, text: str, height: int = 17) -> None:
    """Write a word in grey into a picture, its middle at (x, y), its letters at most 17 pixels high."""
    image = _pillow().fromarray(picture)
    from PIL import ImageDraw, ImageFont

    try:
        font = ImageFont.load_default(min(max(height, 6), 17))
        ImageDraw.Draw(image).text((x, y), text, fill=(112, 112, 122), anchor="mm", font=font)
    except (ImportError, OSError, TypeError, ValueError):  # a Pillow without FreeType: the picture has no words then
        return
    picture[:] = np.asarray(image)


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
