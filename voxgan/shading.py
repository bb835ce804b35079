"""Materials and light for views of grids: what `raycast` found, coloured as a photo would show it.

The same palettes, patterns and lamps as for rendered meshes, for many shapes at once. A grid has no parts, so that
materials change at a height, on what faces up, behind a plane or away from the middle.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from voxgan.palettes import FINISHES, PALETTES, PATTERNS

__all__ = ["Dice", "Look", "Seen", "shade", "tone_mapped"]

_NUM_DRAWS = 96  # random numbers of one view
_NUM_MATERIALS = 2
_NOISE_SIDE = 64


class Dice:
    """Random numbers of B views, all drawn at once: view i's are row i.

    Parameters
    ----------
    count : int
        B.
    generator : torch.Generator
        Source of chance; its device need not be `device`.
    device : torch.device
        Where the numbers are needed.
    """

    def __init__(self, count: int, generator: torch.Generator, device: torch.device) -> None:
        self.device = device
        numbers = torch.rand(count, _NUM_DRAWS, generator=generator, device=generator.device)
        self._numbers: Iterator[Tensor] = iter(numbers.to(device).unbind(1))

    def uniform(self, low: float, high: float) -> Tensor:
        """Even between low and high, (B,)."""
        return low + (high - low) * next(self._numbers)

    def normal(self, mean: float, deviation: float) -> Tensor:
        """Around the mean, (B,)."""
        standard: Tensor = torch.special.ndtri(next(self._numbers).clamp(1e-4, 1 - 1e-4))
        return mean + deviation * standard

    def chance(self, share: float) -> Tensor:
        """True so often, (B,)."""
        return torch.lt(next(self._numbers), share)

    def choose(self, odds: Tensor) -> Tensor:
        """Indices (B,) of the odds, (n,) or (B, n)."""
        steps = odds.cumsum(-1)
        number = next(self._numbers)[:, None] * steps[..., -1:]
        return (number >= steps).sum(-1).clamp(max=odds.shape[-1] - 1)


@dataclass(frozen=True)
class Look:
    """Materials, light and development of B views, each field a tensor with B rows; M materials a view.

    Attributes
    ----------
    light, dark : (B, M, 3)
        Linear colours, between which the pattern moves.
    pattern : (B, M)
        Index of `voxgan.palettes.PATTERNS`.
    gloss, sharpness, scale : (B, M)
        Of the highlight; repeats of the pattern relative to its usual number.
    phase : (B, M, 4)
        Offsets of the pattern.
    rule, level : (B,)
        Where the second material is: nowhere (0), above the level (1), on what faces up there (2), behind a plane
        (3), away from the middle (4).
    key : (B, 3)
        Unit vector to the lamp or window.
    penumbra : (B,)
        Tangent of the angle that it covers.
    strength : (B, 3)
        Its light.
    sky, ground : (B, 3)
        Light from above and from below.
    fills : (B, 2, 4)
        Lights without a shadow: to the right, up and forward in the picture; strength.
    exposure, film, gamma : (B,)
        How bright the mean is; 1 for a film's curve, 0 for a plain clip; the exponent.
    """

    light: Tensor
    dark: Tensor
    pattern: Tensor
    gloss: Tensor
    sharpness: Tensor
    scale: Tensor
    phase: Tensor
    rule: Tensor
    level: Tensor
    key: Tensor
    penumbra: Tensor
    strength: Tensor
    sky: Tensor
    ground: Tensor
    fills: Tensor
    exposure: Tensor
    film: Tensor
    gamma: Tensor

    @classmethod
    def draw(cls, dice: Dice, azimuth: Tensor) -> Look:
        """Roll the dice; `azimuth` (B,) of the cameras, in degrees: light tends to come from where they stand."""
        materials = [_material(dice) for _ in range(_NUM_MATERIALS)]
        around = torch.deg2rad(azimuth + dice.normal(0, 75))
        height = torch.deg2rad(dice.uniform(20, 80))
        key = [around.sin() * height.cos(), -around.cos() * height.cos(), height.sin()]
        ambient, warmth = dice.uniform(0.3, 0.75), dice.normal(0, 0.06)
        one = torch.ones_like(warmth)
        ground = torch.tensor([1.0, 0.93, 0.85], device=warmth.device) * (ambient * dice.uniform(0.25, 0.7))[:, None]
        strength = torch.stack([1 + 1.5 * warmth, one, 1 - 1.5 * warmth], 1) * dice.uniform(0.5, 1.3)[:, None]
        fills = [
            torch.stack(
                [
                    dice.normal(0, 0.8),
                    dice.normal(0.3, 0.5),
                    -one,
                    dice.uniform(0.1, 0.5) * dice.chance(2 / 3 if first else 1 / 3),
                ],
                1,
            )
            for first in (True, False)
        ]
        return cls(
            **{name: torch.stack([material[name] for material in materials], 1) for name in materials[0]},
            rule=dice.choose(torch.tensor([0.25, 0.3, 0.15, 0.2, 0.1], device=one.device)),
            level=dice.uniform(0.1, 0.75),
            key=torch.stack(key, 1),
            penumbra=dice.uniform(0.01, 0.16),
            strength=strength,
            sky=torch.stack([1 + warmth, one, 1 - warmth], 1) * ambient[:, None],
            ground=ground,
            fills=torch.stack(fills, 1),
            exposure=dice.uniform(0.55, 1.0),
            film=dice.chance(0.5).float(),
            gamma=dice.uniform(2.0, 2.4),
        )

    def __getitem__(self, rows: slice) -> Look:
        """Return some of the views."""
        return Look(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True)
class Seen:
    """What the rays of B views hit: N points each.

    Attributes
    ----------
    point, normal, way : (B, N, 3)
        Where, which way the surface faces, and unit directions of the rays.
    openness : (B, N)
        1 where the surroundings are free, less in corners.
    lit : (B, N)
        Share of the key light that arrives.
    hit : (B, N)
        False where the other values mean nothing.
    low, high : (B, 3)
        Box around the shape.
    axes : (B, 3, 3)
        Right, up and forward of the picture, one a row.
    """

    point: Tensor
    normal: Tensor
    way: Tensor
    openness: Tensor
    lit: Tensor
    hit: Tensor
    low: Tensor
    high: Tensor
    axes: Tensor


def shade(look: Look, seen: Seen) -> Tensor:
    """Light (B, N, 3), linear, that comes from the points."""
    material = _which(look, seen)
    albedo = _albedo(look, seen, material)
    up = seen.normal[..., 2]
    share = 0.5 + 0.5 * up
    span = (seen.high - seen.low)[:, 2:].clamp_min(1e-3)
    lift = ((seen.point[..., 2] - seen.low[:, 2:]) / span.clamp_min(0.5)).clamp(0, 1)
    below = (1 - share) * (0.35 + 0.65 * lift)
    total = (seen.openness * share)[..., None] * look.sky[:, None]
    total = total + (seen.openness * below)[..., None] * look.ground[:, None]
    facing = _dot(seen.normal, look.key[:, None]).clamp_min(0)
    total = total + (facing * seen.lit)[..., None] * look.strength[:, None]
    for fill in look.fills.unbind(1):
        way = functional.normalize((fill[:, :3, None] * seen.axes).sum(1), dim=-1)
        gain = fill[:, 3:] * seen.openness * _dot(seen.normal, way[:, None]).clamp_min(0)
        total = total + gain[..., None]
    weight = seen.hit.to(total.dtype)[..., None]
    mean = (total * weight).sum((1, 2)) / (3 * weight.sum((1, 2))).clamp_min(1)
    exposure = look.exposure / mean.clamp_min(1e-3)

    cosine = -_dot(seen.normal, seen.way)
    mirrored = seen.way + 2 * cosine[..., None] * seen.normal
    sharp = look.sharpness.gather(1, material)
    shine = 1.5 * _dot(mirrored, look.key[:, None]).clamp_min(1e-6) ** sharp * seen.lit
    shine = shine + 0.4 * mirrored[..., 2].clamp(0, 1) * seen.openness
    shine = shine * look.gloss.gather(1, material) * (0.3 + 0.7 * (1 - cosine.clamp(0, 1)) ** 3)
    return (albedo * total + shine[..., None]) * exposure[:, None, None]


def tone_mapped(look: Look, light: Tensor) -> Tensor:
    """Develop light (B, 3, H, W) as a camera would: to colours in [0, 1]."""
    light = light.clamp_min(0)
    film = look.film[:, None, None, None]
    curved = film * (1 - torch.exp(-1.35 * light)) + (1 - film) * light.clamp(max=1)
    return curved.clamp_min(1e-6) ** (1 / look.gamma[:, None, None, None])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def _material(dice: Dice) -> dict[str, Tensor]:
    """Draw one material a view, by the names of `Look`'s fields, without their M."""
    tones, owner, odds, patterns, ranges = _tables(dice.device)
    tone = dice.choose(odds)
    finish = owner[tone]
    light = tones[tone] * dice.normal(0, 0.12).exp()[:, None]
    light = light * torch.stack([dice.normal(0, 0.05).exp() for _ in range(3)], 1)
    light = light.clamp(0.008, 0.95)
    pattern = dice.choose(patterns[finish])
    wood, striped = pattern == PATTERNS.index("wood"), pattern >= PATTERNS.index("stripes")
    other = tones[dice.choose(odds)]
    dark = light * torch.where(wood, dice.uniform(0.5, 0.9), dice.uniform(0.35, 0.85))[:, None]
    dark = torch.where((striped & dice.chance(0.6))[:, None], other, dark)
    low_gloss, high_gloss, low_sharp, high_sharp = ranges[finish].unbind(1)
    return {
        "light": light,
        "dark": dark,
        "pattern": pattern,
        "gloss": low_gloss + (high_gloss - low_gloss) * dice.uniform(0, 1) ** 2,
        "sharpness": low_sharp + (high_sharp - low_sharp) * dice.uniform(0, 1),
        "scale": dice.uniform(-0.7, 0.7).exp(),
        "phase": torch.stack([dice.uniform(0, 2 * math.pi) for _ in range(4)], 1),
    }


@functools.cache
def _tables(device: torch.device) -> tuple[Tensor, ...]:
    """Tones (n, 3), linear; their finish (n,), odds (n,); the finishes' pattern odds (f, p), ranges (f, 4)."""
    tones, owner, odds = [], [], []
    for place, (name, finish) in enumerate(FINISHES.items()):
        for code in PALETTES[name]:
            tones.append([(int(code[k : k + 2], 16) / 255) ** 2.2 for k in (0, 2, 4)])
            owner.append(place)
            odds.append(finish.odds / len(PALETTES[name]))
    patterns = [[float(finish.patterns.count(name)) for name in PATTERNS] for finish in FINISHES.values()]
    ranges = [[*finish.gloss, *finish.sharpness] for finish in FINISHES.values()]
    return tuple(torch.tensor(table, device=device) for table in (tones, owner, odds, patterns, ranges))


def _which(look: Look, seen: Seen) -> Tensor:
    """Index of the material (B, N) at each point."""
    span = (seen.high - seen.low).clamp_min(1e-3)
    place = (seen.point - seen.low[:, None]) / span[:, None]
    rule, level = look.rule[:, None], look.level[:, None]
    above = place[..., 2] > level
    second = (rule == 1) & above
    second = second | ((rule == 2) & above & (seen.normal[..., 2] > 0.7))
    second = second | ((rule == 3) & (place[..., 1] > 0.3 + 0.6 * level))
    second = second | ((rule == 4) & ((place[..., 0] - 0.5).abs() > 0.3 + 0.2 * level))
    return second.long()


def _albedo(look: Look, seen: Seen, material: Tensor) -> Tensor:
    """Base colour (B, N, 3) of each point."""
    point, normal = seen.point, seen.normal
    scale = look.scale.gather(1, material)
    a, b, c, d = (phase.gather(1, material) for phase in look.phase.unbind(2))
    x, y, z = point.unbind(-1)
    speckle = _noise_at(point * (260 * scale)[..., None])
    coarse = _noise_at(point * (90 * scale)[..., None])
    bend = 0.05 * torch.sin(3 * x + a) + 0.02 * torch.sin(11 * x + 9 * y + b)
    rings = torch.sqrt((y + 0.4 * torch.cos(c) + bend) ** 2 + (z + 0.4 * torch.sin(d) + 0.5 * bend) ** 2)
    ring = 0.5 + 0.5 * torch.sin(rings * (150 * scale) + 2 * torch.sin(2 * x + a))
    level, front = normal[..., 2].abs() > 0.7, normal[..., 0].abs() > normal[..., 1].abs()
    s = torch.where(front & ~level, y, x)  # two coordinates on the surface
    t = torch.where(level, y, z)
    across, down = torch.sin(s * (60 * scale) + a), torch.sin(t * (60 * scale) + b)
    shares = {
        "plain": 0.15 + 0.05 * speckle,
        "grain": 0.4 + 0.2 * speckle + 0.2 * coarse,
        "wood": 0.65 * ring**2 + 0.15 * coarse + 0.2,
        "weave": 0.4 + 0.2 * torch.sin(s * (380 * scale)) * torch.sin(t * (380 * scale)) + 0.2 * speckle,
        "stripes": (0.5 + 3 * (across - 0.05 * d)).clamp(0, 1) + 0.1 * speckle,
        "checks": 0.5 * ((across > 0).to(x.dtype) + (down > 0)) + 0.1 * speckle,
        "dots": (4 * (across * down - 0.4)).clamp(0, 1) + 0.1 * speckle,
    }
    pattern = look.pattern.gather(1, material)
    share = torch.zeros_like(x)
    for place, name in enumerate(PATTERNS):
        share = torch.where(pattern == place, shares[name], share)
    index = material[..., None].expand(-1, -1, 3)
    light, dark = look.light.gather(1, index), look.dark.gather(1, index)
    return (light + share[..., None] * (dark - light)).clamp_min(0.004)


def _noise_at(places: Tensor) -> Tensor:
    """Noise (B, N), about −1…1, at places (B, N, 3) measured in its cells."""
    i, j, k = (places.int() & (_NOISE_SIDE - 1)).unbind(-1)
    return _noise(places.device)[((i * _NOISE_SIDE + j) * _NOISE_SIDE + k).long()]


@functools.cache
def _noise(device: torch.device) -> Tensor:
    """A block of noise of two octaves that is repeated through space, flat."""
    white = torch.randn((1, 1) + (_NOISE_SIDE,) * 3, generator=torch.Generator().manual_seed(7))
    octaves = []
    for reach in (1, 3):
        steps = torch.arange(-2 * reach, 2 * reach + 1.0)
        weights = torch.exp(-0.5 * (steps / (0.7 * reach)) ** 2)
        field = white
        for axis in range(3):
            margin = [0] * 6
            margin[4 - 2 * axis] = margin[5 - 2 * axis] = 2 * reach
            kernel = weights.view([-1 if k == axis + 2 else 1 for k in range(5)])
            field = functional.conv3d(functional.pad(field, margin, mode="circular"), kernel)
        octaves.append(field / (3 * field.std()))
    return (octaves[0] + octaves[1]).flatten().to(device)
