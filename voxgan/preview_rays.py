"""Rays that look for the surface of one grid, and the light where they meet it: what `voxgan.preview` draws with.

The light stands behind the left shoulder of whoever looks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["crossed_cells", "filled", "floor_light", "march", "ray_segments", "shade"]

_STEP = 0.25  # of a cell: half a cell misses slivers of sharp edges, which then look like saws
_STEPS_AT_ONCE = 4
_GAMMA = 2.2


def crossed_cells(padded: Tensor, level: float) -> Tensor:
    """Return the index (N, 3) of each corner of the grid's cells where the eight around it disagree."""
    inside = padded >= level
    some = every = inside
    for axis in range(3):
        n = some.shape[axis] - 1
        some = some.narrow(axis, 0, n) | some.narrow(axis, 1, n)
        every = every.narrow(axis, 0, n) & every.narrow(axis, 1, n)
    return (some & ~every).nonzero()


def ray_segments(
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


def march(
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


def filled(grid: Tensor, level: float) -> Tensor:
    """Return a grid that is 1 well inside of the surface and 0 well outside, for what casts shadows."""
    return ((grid - level) / (2 * min(level, 1 - level, 0.1)) + 0.5).clamp(0, 1)


def _odd(cells: float) -> int:
    return 2 * max(1, round(cells / 2)) + 1


def shade(
    padded: Tensor, level: float, points: Tensor, base: Tensor, right: Tensor, up: Tensor, towards: Tensor
) -> Tensor:
    """Return the colour (N, 3), in [0, 1], of points of the surface."""
    R = padded.shape[0] - 2
    normal = -functional.normalize(_sample(_gradient(padded), R, points), dim=0).T
    light = functional.normalize(0.75 * up - 0.5 * right + 0.55 * towards, dim=0)
    tight, wide = _odd(R * 0.05), _odd(R * 0.16)
    solid = functional.pad(filled(padded, level), (wide // 2,) * 6)
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


def floor_light(solid: Tensor, floor: float, across: Tensor, right: Tensor, up: Tensor, towards: Tensor) -> Tensor:
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
