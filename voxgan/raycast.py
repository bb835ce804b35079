"""Views of occupancy grids for training, drawn as they are needed: a ray caster in torch, on any device.

No mesh and no OpenGL. Rays walk through a view's grid slice by slice, half a cell apart, along the axis that the
camera looks along most; a slice is one bilinear look-up for every pixel, so that nothing depends on what is found,
and a GPU never waits for the host. The surface is where the slightly blurred grid passes a level. A shadow map is
the same walk from where the light comes.

The renderer of meshes (`data_prep.render`) is finer and slower; both agree on the camera to a pixel.
"""

from __future__ import annotations

import contextlib
import functools
import math
from typing import Literal, overload

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from voxgan.camera import MARGIN
from voxgan.errors import UsageError
from voxgan.shading import Dice, Look, Seen, shade, tone_mapped

__all__ = ["draw_views", "framed", "random_cameras"]

_LEVEL = 0.4  # where the surface lies: edges are rounded; at one half, parts would look thinner than those of a mesh
_CRISP = 0.5  # share of the grid itself in what rays look for, beside the blurred one: less rounding, more steps
_RIDGE = 0.8  # what the middle of a part holds at least, however thin
_NEAREST = 0.87  # a camera nearer than half the cube's diagonal may stand within the grid
_VIEWS_AT_ONCE = 16  # on a GPU; about 60 MB each at 256 × 256
_SHADOW_SIDE = 128
_SHADOW_TAPS = 8


def random_cameras(count: int, generator: torch.Generator) -> Tensor:
    """Draw cameras as people hold them, in the distribution of `voxgan.camera.random_camera`.

    Parameters
    ----------
    count : int
        B, how many.
    generator : torch.Generator
        Source of chance.

    Returns
    -------
    Tensor, float32 (B, 7)
        On the generator's device, not framed: azimuth, elevation, distance, field of view, roll, shift.

    Examples
    --------
    >>> random_cameras(3, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 7])
    """
    dice = Dice(count, generator, generator.device)
    azimuth = torch.where(dice.chance(0.75), dice.uniform(-75, 75), dice.uniform(75, 285)) % 360
    elevation = -5 + 45 * _beta(dice.uniform(0, 1), 1.6, 2.0)
    elevation = torch.where(dice.chance(0.08), dice.uniform(40, 60), elevation)
    view = 20 + 40 * _beta(dice.uniform(0, 1), 1.4, 2.0)
    distance = (0.6 * dice.uniform(1.0, 1.25) / torch.tan(torch.deg2rad(view) / 2)).clamp_min(1.5)
    roll = dice.normal(0, 1.5).clamp(-4, 4)
    none = torch.zeros_like(roll)
    return torch.stack([azimuth, elevation, distance, view, roll, none, none], 1)


def framed(occupancy: Tensor, cameras: Tensor, margin: float = MARGIN) -> Tensor:
    """Crop and enlarge so that each shape fills its picture but for a margin, in the same perspective.

    Parameters
    ----------
    occupancy : Tensor, (B, R, R, R) or (B, 1, R, R, R)
        Shapes; a cell of at least one half counts.
    cameras : Tensor, (B, 7)
        One for each.
    margin : float
        Free border on each side of the longer side of the shape's box, as a fraction of the picture.

    Returns
    -------
    Tensor, float32 (B, 7)
        On the grids' device. The camera of an empty shape is left as it is.

    Raises
    ------
    UsageError
        If the grids or the cameras have the wrong shape.
    """
    grids, cameras = _checked(occupancy, cameras)
    rays = _Rays(cameras)
    low, high = _extent(grids, rays)
    some = torch.isfinite(low).all(1)
    low, high = torch.where(some[:, None], low, -0.5), torch.where(some[:, None], high, 0.5)
    window = (high - low).amax(1).clamp_min(1e-6) / (1 - 2 * margin)
    shift = (cameras[:, 5:] - (low + high) / 2) / window[:, None]
    view = torch.rad2deg(2 * torch.atan(0.5 * window / rays.focal))
    closer = torch.cat([cameras[:, :3], view[:, None], cameras[:, 4:5], shift], 1)
    return torch.where(some[:, None], closer, cameras)


@overload
def draw_views(
    occupancy: Tensor, cameras: Tensor, generator: torch.Generator, size: int = ..., *, depth: Literal[False] = ...
) -> Tensor: ...
@overload
def draw_views(
    occupancy: Tensor, cameras: Tensor, generator: torch.Generator, size: int = ..., *, depth: Literal[True]
) -> tuple[Tensor, Tensor]: ...
@torch.no_grad()
def draw_views(
    occupancy: Tensor, cameras: Tensor, generator: torch.Generator, size: int = 256, *, depth: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Draw one view of each shape, in random materials and light.

    Parameters
    ----------
    occupancy : Tensor, (B, R, R, R) or (B, 1, R, R, R)
        Shapes, in [0, 1] or bool, axes x, y, z; z up, front to −y.
    cameras : Tensor, (B, 7)
        One for each, not re-framed; see `framed`. None may stand nearer than 0.87 to the cube's centre.
    generator : torch.Generator
        Source of materials and light: the same state gives the same pictures. May live on another device.
    size : int
        Width and height in pixels.
    depth : bool
        Also return how far away the surface is.

    Returns
    -------
    views : Tensor, uint8 (B, 4, size, size)
        Red, green, blue and straight alpha; (B, size, size, 4) is ``views.permute(0, 2, 3, 1)``.
    depth : Tensor, float32 (B, size, size)
        If asked for: along the camera's forward axis, in edges of the cube; infinite where nothing is.

    Raises
    ------
    UsageError
        If the grids or the cameras have the wrong shape, a camera stands too near, or `size` is out of range.

    Examples
    --------
    >>> ball = torch.zeros(1, 16, 16, 16)
    >>> ball[:, 4:12, 4:12, 4:12] = 1
    >>> dice = torch.Generator().manual_seed(0)
    >>> draw_views(ball, framed(ball, random_cameras(1, dice)), dice, size=32).shape
    torch.Size([1, 4, 32, 32])
    """
    if not 1 <= size <= 4096:
        raise UsageError(f"size={size}: expected 1 to 4096 pixels")
    if cameras.device.type == "cpu" and cameras.ndim == 2 and bool((cameras[:, 2:3] < _NEAREST).any()):
        raise UsageError(
            f"a camera at the distance {float(cameras[:, 2].min()):.3f}: expected {_NEAREST} or more, outside the cube"
        )
    grids, cameras = _checked(occupancy, cameras)
    with _single_precision(grids):
        return _draw_all(grids, cameras, generator, size, depth)


def _draw_all(
    grids: Tensor, cameras: Tensor, generator: torch.Generator, size: int, depth: bool
) -> Tensor | tuple[Tensor, Tensor]:
    """Draw the views, as many at once as fit."""
    look = Look.draw(Dice(len(grids), generator, grids.device), cameras[:, 0])
    at_once = 1 if _may_look(grids) else _VIEWS_AT_ONCE  # a CPU's cache holds one view
    views = torch.empty(len(grids), 4, size, size, dtype=torch.uint8, device=grids.device)
    depths = torch.empty(len(grids), size, size, device=grids.device)
    for start in range(0, len(grids), at_once):
        rows = slice(start, start + at_once)
        views[rows], depths[rows] = _draw(grids[rows].float(), cameras[rows], look[rows], size)
    return (views, depths) if depth else views


def _checked(occupancy: Tensor, cameras: Tensor) -> tuple[Tensor, Tensor]:
    """Return the grids (B, R, R, R) and the cameras (B, 7) on their device, or say what is wrong."""
    grids = occupancy[:, 0] if occupancy.ndim == 5 and occupancy.shape[1] == 1 else occupancy
    if grids.ndim != 4 or len(set(grids.shape[1:])) != 1 or 0 in grids.shape[1:]:
        raise UsageError(f"grids of the shape {tuple(occupancy.shape)}: expected (B, R, R, R) or (B, 1, R, R, R)")
    if cameras.shape != (len(grids), 7):
        raise UsageError(f"cameras of the shape {tuple(cameras.shape)}: expected ({len(grids)}, 7), one for each shape")
    return grids, cameras.to(grids.device, torch.float32)


def _may_look(tensor: Tensor) -> bool:
    """Whether values can be looked at, to leave out work, without waiting for a device."""
    return tensor.device.type == "cpu"


def _single_precision(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Keep a training's autocast out: a pixel is less than what it leaves of a number."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else contextlib.nullcontext()


class _Rays:
    """The pinhole cameras of B views, as `voxgan.camera.Camera` defines them."""

    def __init__(self, cameras: Tensor) -> None:
        a, e, r = torch.deg2rad(cameras[:, [0, 1, 4]]).unbind(1)
        right = torch.stack([a.cos(), a.sin(), torch.zeros_like(a)], 1)
        forward = torch.stack([-a.sin() * e.cos(), a.cos() * e.cos(), -e.sin()], 1)
        up = torch.linalg.cross(right, forward)
        cos, sin = r.cos()[:, None], r.sin()[:, None]
        self.axes = torch.stack([cos * right + sin * up, cos * up - sin * right, forward], 1)
        self.origin = -cameras[:, 2:3] * forward
        self.focal = 0.5 / torch.tan(torch.deg2rad(cameras[:, 3]) / 2)
        self.shift = cameras[:, 5:]

    def image(self, points: Tensor) -> Tensor:
        """Where points (B, P, 3) fall, (B, P, 2): right and down of the middle, as fractions of the picture."""
        offset = points - self.origin[:, None]
        x, y, depth = ((offset * axis[:, None]).sum(-1) for axis in self.axes.unbind(1))
        flat = torch.stack([x, -y], -1) / depth.clamp_min(1e-3)[..., None]
        return flat * self.focal[:, None, None] + self.shift[:, None]

    def ways(self, columns: Tensor, rows: Tensor) -> Tensor:
        """Directions (B, H, W, 3) through pixels at fractions of the picture, one unit forward."""
        x = (columns[None] - self.shift[:, :1]) / self.focal[:, None]
        y = (rows[None] - self.shift[:, 1:]) / self.focal[:, None]
        right, up, forward = (axis[:, None, None] for axis in self.axes.unbind(1))
        return x[:, None, :, None] * right - y[:, :, None, None] * up + forward


def _extent(grids: Tensor, rays: _Rays) -> tuple[Tensor, Tensor]:
    """Box of the occupied cells in the picture, lowest and highest (B, 2); infinite for an empty shape.

    A column of cells is seen between its ends, so that only the corners of those matter.
    """
    B, R = len(grids), grids.shape[-1]
    inside = (grids >= 0.5).to(torch.uint8)
    edge = torch.arange(R + 1, device=grids.device) / R - 0.5
    column = inside.amax(3) > 0
    bottom, top = edge[inside.argmax(3)], edge[R - inside.flip(3).argmax(3)]  # of the first and the last one
    points = []
    for x in (0, 1):
        for y in (0, 1):
            place = torch.stack(torch.meshgrid(edge[x : R + x], edge[y : R + y], indexing="ij"), -1)
            place = place.expand(B, R, R, 2)
            points += [torch.cat([place, end[..., None]], -1) for end in (bottom, top)]
    image = rays.image(torch.cat([point.reshape(B, -1, 3) for point in points], 1))
    seen = column.reshape(B, -1).repeat(1, 8)[..., None]
    return torch.where(seen, image, math.inf).amin(1), torch.where(seen, image, -math.inf).amax(1)


def _draw(grids: Tensor, cameras: Tensor, look: Look, size: int) -> tuple[Tensor, Tensor]:
    """Draw a handful of views: uint8 (B, 4, size, size), and the depth (B, size, size)."""
    B, R = len(grids), grids.shape[-1]
    device = grids.device
    rays = _Rays(cameras)
    field = _field(grids)
    left, upper, right, lower = _window(grids, rays, size)
    middles = (torch.arange(size, device=device) + 0.5) / size - 0.5
    ways = rays.ways(middles[left:right], middles[upper:lower])
    height, width = ways.shape[1:3]
    peak, before, gap = _walk(field, rays.origin[:, None, None], ways, rays.axes[:, 2])
    hit = peak >= _LEVEL

    chosen = hit.flatten(1)
    places = chosen[0].nonzero()[:, 0] if _may_look(grids) else slice(None)  # the pixels to shade
    way, chosen = ways.flatten(1, 2)[:, places], chosen[:, places]
    point = _met(field, rays.origin[:, None], way, before.flatten(1)[:, places], gap.flatten(1)[:, places])
    depth = torch.full_like(before, math.inf).flatten(1)
    met = ((point - rays.origin[:, None]) * rays.axes[:, 2:]).sum(-1)
    depth[:, places] = torch.where(chosen, met, math.inf)
    depth = depth.view_as(before)
    way = functional.normalize(way, dim=-1)
    soft = _smoothed(field, (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16))
    normal = -functional.normalize(_sampled(_gradient(soft), R, point), dim=-1)
    away = ((normal * way).sum(-1, keepdim=True) > 0) & chosen[..., None]
    normal = torch.where(away, normal - 2 * (normal * way).sum(-1, keepdim=True) * way, normal)
    low, high = _bounds(grids)
    seen = Seen(
        point=point,
        normal=normal,
        way=way,
        openness=_openness(grids, point, normal),
        lit=_lit(field, look, point + normal * (1.0 / R)),
        hit=chosen,
        low=low,
        high=high,
        axes=rays.axes,
    )
    light = torch.zeros(B, height * width, 4, device=device)
    shaded = torch.cat([shade(look, seen), torch.ones_like(point[..., :1])], -1)
    light[:, places] = torch.where(chosen[..., None], shaded, 0.0)
    light = light.transpose(1, 2).reshape(B, 4, height, width)
    light = _soft_edges(light, depth.clamp(max=1e3), 2.0 / R)
    alpha = _coverage(peak) * (light[:, 3] > 0)
    colour = tone_mapped(look, light[:, :3]) * (alpha[:, None] > 0)
    rgba = (torch.cat([colour, alpha[:, None]], 1) * 255).round().clamp(0, 255).to(torch.uint8)
    rgba = rgba * (rgba[:, 3:] > 0)
    whole = torch.zeros(B, 4, size, size, dtype=torch.uint8, device=device)
    whole[:, :, upper:lower, left:right] = rgba
    far = torch.full((B, size, size), math.inf, device=device)
    far[:, upper:lower, left:right] = depth
    return whole, far


def _window(grids: Tensor, rays: _Rays, size: int) -> tuple[int, int, int, int]:
    """Left, upper, right, lower pixel between which something may be seen."""
    if not _may_look(grids):
        return 0, 0, size, size
    low, high = _extent(grids, rays)
    if not bool(torch.isfinite(low).all()):
        return 0, 0, 1, 1
    first = ((low.amin(0) + 0.5) * size - 3).clamp(0, size - 1).floor().int().tolist()
    last = ((high.amax(0) + 0.5) * size + 3).clamp(0, size).ceil().int().tolist()
    return first[0], first[1], max(last[0], first[0] + 1), max(last[1], first[1] + 1)


# ------------------------------------------------------------------------------------------------- the walk
def _walk(field: Tensor, origin: Tensor, ways: Tensor, forward: Tensor, step: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Walk along rays through padded fields.

    Parameters
    ----------
    field : Tensor, (B, P, P, P)
        Of R³ cells and one around them.
    origin, ways : Tensor, (B, 1 or H, 1 or W, 3)
        The rays; all of a view must pass the slices the same way.
    forward : Tensor, (B, 3)
        Where they go on the whole.
    step : int
        Half cells between slices.

    Returns
    -------
    peak : Tensor, (B, H, W)
        The highest value that the ray meets.
    before : Tensor, (B, H, W)
        Its last slice before it meets the level, in lengths of its direction; without meaning if it does not.
    gap : Tensor, (B, H, W)
        From there to the next slice.
    """
    P = field.shape[1]
    R = P - 2
    axis = forward.abs().argmax(1)
    turned = [field, field.permute(0, 2, 3, 1), field.permute(0, 3, 1, 2)]
    which = axis[:, None, None, None]
    slices = torch.where(which == 0, turned[0], torch.where(which == 1, turned[1], turned[2]))
    sign = forward.gather(1, axis[:, None]).sign()
    slices = torch.where(sign[:, :, None, None] < 0, slices.flip(1), slices)
    order = (axis[:, None] + torch.arange(3, device=field.device)) % 3
    order = order[:, None, None]
    way = ways.gather(3, order.expand(*ways.shape))
    start = origin.gather(3, order.expand(*origin.shape))
    sign = sign[:, None]
    pace = (way[..., 0] * sign).clamp_min(1e-3)
    begin = start[..., 0] * sign
    slope = way[..., [2, 1]] / pace[..., None] * (2 * R / P)  # per unit along the axis, in grid_sample's units
    base = start[..., [2, 1]] * (2 * R / P) - begin[..., None] * slope
    pace = pace.expand(base.shape[:3])

    peak = torch.zeros(base.shape[:3], device=field.device)
    passed = torch.zeros_like(peak)
    stops = range(0, 2 * P - 1, step)
    if _may_look(field):  # only the slices that hold something
        some = slices.flatten(2).amax(2).amax(0).nonzero()[:, 0]
        stops = stops[max(2 * int(some[0]) // step - 2, 0) : 2 * int(some[-1]) // step + 2] if len(some) else stops[:0]
        passed += len(range(0, stops.start, step))
    for k in stops:
        layer = slices[:, k // 2] if k % 2 == 0 else 0.5 * (slices[:, k // 2] + slices[:, k // 2 + 1])
        at = torch.add(base, slope, alpha=(k / 2 + 0.5 - P / 2) / R)
        torch.maximum(peak, functional.grid_sample(layer[:, None], at, align_corners=False)[:, 0], out=peak)
        passed += peak < _LEVEL
    place = ((passed - 1) * (step / 2) + 0.5 - P / 2) / R
    return peak, (place - begin) / pace, (step / 2 / R) / pace


def _met(field: Tensor, origin: Tensor, way: Tensor, before: Tensor, gap: Tensor) -> Tensor:
    """Points (B, N, 3) where rays meet the level, between two slices: along a line between the values there."""
    R = field.shape[1] - 2
    first = origin + before[..., None] * way
    last = first + gap[..., None] * way
    below, above = (_sampled(field[:, None], R, end)[..., 0] for end in (first, last))
    part = ((_LEVEL - below) / (above - below).clamp_min(1e-4)).clamp(0, 1)
    return torch.lerp(first, last, part[..., None])


def _coverage(peak: Tensor) -> Tensor:
    """How much of each pixel (B, H, W) is covered, from how fast the peak passes the level there."""
    wide = functional.pad(peak[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    x = (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2
    y = (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2
    slope = torch.sqrt(x * x + y * y).clamp_min(0.02)
    return ((peak - _LEVEL) / slope + 0.5).clamp(0, 1)


def _soft_edges(light: Tensor, depth: Tensor, jump: float) -> Tensor:
    """Average the light over 3 × 3 pixels where one thing stands before another, and lend some to the rim."""
    edge = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (1, 2):
        n = depth.shape[axis] - 1
        step = (depth.narrow(axis, 1, n) - depth.narrow(axis, 0, n)).abs() > jump
        edge.narrow(axis, 1, n).logical_or_(step)
        edge.narrow(axis, 0, n).logical_or_(step)
    mean = functional.avg_pool2d(light, 3, 1, 1)
    mean = mean / mean[:, 3:].clamp_min(1e-6)
    return torch.where(edge[:, None], mean, light)


# ------------------------------------------------------------------------------------------------- the grid
def _smoothed(grids: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Convolve grids (B, P, P, P) along each axis; outside is nothing."""
    kernel = torch.tensor(weights, device=grids.device)
    result = grids[:, None]
    for axis in range(3):
        shape = [-1 if k == axis + 2 else 1 for k in range(5)]
        margin = tuple(len(weights) // 2 if k == axis else 0 for k in range(3))
        result = functional.conv3d(result, kernel.view(shape), padding=margin)
    return result[:, 0]


def _blurred(grids: Tensor) -> Tensor:
    return _smoothed(grids, (0.25, 0.5, 0.25))


def _highest_near(field: Tensor) -> Tensor:
    """The highest value of each cell (B, P, P, P) and its 26 neighbours."""
    for axis in (1, 2, 3):
        n = field.shape[axis] - 1
        first, rest = field.narrow(axis, 0, n), field.narrow(axis, 1, n)
        result = field.clone()
        result.narrow(axis, 1, n).copy_(torch.maximum(rest, first))
        result.narrow(axis, 0, n).copy_(torch.maximum(result.narrow(axis, 0, n), rest))
        field = result
    return field


def _field(grids: Tensor) -> Tensor:
    """Return what rays look for, (B, R + 2, R + 2, R + 2): the grid blurred, raised where a part is thin.

    Blurred, the middle of a leg of 2 × 2 cells falls to 0.78 and that of a single row of cells to 0.63: raised to
    `_RIDGE`, they keep their width.
    """
    padded = functional.pad(grids, (1,) * 6)
    soft = torch.lerp(_blurred(padded), padded, _CRISP)
    return soft * (_RIDGE / _highest_near(soft).clamp_min(1e-2)).clamp_min(1)


def _gradient(field: Tensor) -> Tensor:
    """Central differences (B, 3, P, P, P)."""
    parts = []
    for axis in (1, 2, 3):
        n = field.shape[axis] - 2
        part = torch.zeros_like(field)
        part.narrow(axis, 1, n).copy_(field.narrow(axis, 2, n) - field.narrow(axis, 0, n))
        parts.append(part)
    return torch.stack(parts, 1)


def _sampled(volume: Tensor, R: int, points: Tensor) -> Tensor:
    """Look up volumes (B, C, P, P, P), R³ cells padded evenly, at points (B, N, 3): (B, N, C)."""
    at = (points * (2 * R / volume.shape[-1])).flip(-1)[:, None, None]
    return functional.grid_sample(volume, at, padding_mode="border", align_corners=False)[:, :, 0, 0].transpose(1, 2)


def _bounds(grids: Tensor) -> tuple[Tensor, Tensor]:
    """Box around each shape, lowest and highest corner (B, 3); the cube for an empty one."""
    R = grids.shape[-1]
    edge = torch.arange(R + 1, device=grids.device) / R - 0.5
    inside = grids >= 0.5
    low, high = [], []
    for axes in ((2, 3), (1, 3), (1, 2)):
        some = inside.any(axes[1]).any(axes[0])
        low.append(torch.where(some, edge[:-1], 0.5).amin(1))
        high.append(torch.where(some, edge[1:], -0.5).amax(1))
    lowest, highest = torch.stack(low, 1), torch.stack(high, 1)
    empty = lowest > highest
    return torch.where(empty, -0.5, lowest), torch.where(empty, 0.5, highest)


# ------------------------------------------------------------------------------------------------- light
def _openness(grids: Tensor, point: Tensor, normal: Tensor) -> Tensor:
    """How free the surroundings are (B, N): the less is filled just above the surface, the more."""
    if grids.shape[-1] % 2 == 0:  # pairs of cells are fine enough, and an eighth of the work
        for axis in (1, 2, 3):
            R = grids.shape[axis] // 2
            pairs = grids.reshape(*grids.shape[:axis], R, 2, *grids.shape[axis + 1 :])
            grids = pairs.mean(axis + 1)
    R = grids.shape[-1]
    volumes = []
    for reach in (0.035, 0.09):
        half = max(1, round(reach * R))
        margin = 2 * half
        padded = functional.pad(grids, (margin,) * 6)
        volumes.append((_smoothed(padded, (1 / (2 * half + 1),) * (2 * half + 1))[:, None], 1.1 * half / R))
    (tight, near), (wide, far) = volumes
    closeness = _sampled(tight, R, point + near * normal)[..., 0]
    around = _sampled(wide, R, point + far * normal)[..., 0]
    return (1 - 1.3 * closeness).clamp(0.35, 1) * (1 - 1.1 * around).clamp(0.35, 1)


def _lit(field: Tensor, look: Look, point: Tensor) -> Tensor:
    """Share (B, N) of the key light that reaches the points: a shadow map, its edge blurred by the lamp's size."""
    R = field.shape[1] - 2
    key = look.key
    side = functional.normalize(torch.stack([-key[:, 1], key[:, 0], 1e-3 + 0 * key[:, 0]], 1), dim=1)
    other = torch.linalg.cross(key, side)
    reach = 0.87
    steps = ((torch.arange(_SHADOW_SIDE, device=field.device) + 0.5) / _SHADOW_SIDE * 2 - 1) * reach
    origin = key[:, None, None] + steps[None, None, :, None] * side[:, None, None]
    origin = origin + steps[None, :, None, None] * other[:, None, None]
    peak, before, gap = _walk(field, origin, -key[:, None, None], -key, step=2)
    distance = torch.where(peak >= _LEVEL, before + gap / 2, 4.0)[:, None]

    x, y = ((point * axis[:, None]).sum(-1) / reach for axis in (side, other))
    mine = 1 - (point * key[:, None]).sum(-1) - 1.5 / R
    lit = torch.zeros_like(mine)
    blur = (look.penumbra[:, None] * 0.25 + 1.0 / R) / reach
    for tap in range(_SHADOW_TAPS):  # even over the lamp's disc
        angle, share = 2.39996 * tap, math.sqrt((tap + 0.5) / _SHADOW_TAPS)
        at = torch.stack([x + blur * share * math.cos(angle), y + blur * share * math.sin(angle)], -1)[:, None]
        first = functional.grid_sample(distance, at, mode="nearest", padding_mode="border", align_corners=False)
        lit = lit + (mine < first[:, 0, 0])
    return lit / _SHADOW_TAPS


# ------------------------------------------------------------------------------------------------- chance
def _beta(number: Tensor, a: float, b: float) -> Tensor:
    """Turn even numbers (B,) in [0, 1] into such of a beta distribution: its quantiles, from a table."""
    table = torch.tensor(_beta_quantiles(a, b), device=number.device)
    place = number * (len(table) - 1)
    below = place.long().clamp(max=len(table) - 2)
    return torch.lerp(table[below], table[below + 1], place - below)


@functools.cache
def _beta_quantiles(a: float, b: float, count: int = 512) -> tuple[float, ...]:
    x = (np.arange(20_000) + 0.5) / 20_000
    mass = np.concatenate([[0.0], np.cumsum(x ** (a - 1) * (1 - x) ** (b - 1))])
    return tuple(np.interp(np.linspace(0, 1, count), mass / mass[-1], np.linspace(0, 1, len(mass))).tolist())
