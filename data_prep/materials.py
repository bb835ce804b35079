"""What furniture is made of: patterns in object space, and which part gets which material."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from voxgan.palettes import FINISHES, PALETTES

__all__ = ["Chooser", "Material", "random_materials"]

Floats = NDArray[np.float32]
Chooser = Callable[[NDArray[np.int64], Floats, Floats], NDArray[np.int64]]
"""(parts (N,), points (N, 3), normals (N, 3)) → index of the material (N,)."""

_NOISE_SIDE = 64


def _linear(code: str) -> Floats:
    """Linear red, green, blue of a hexadecimal sRGB colour."""
    return (np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)], np.float32) / 255) ** np.float32(2.2)


@dataclass(frozen=True)
class Material:
    """A pattern between two colours, and how it shines.

    Parameters
    ----------
    pattern : str
        One of `voxgan.palettes.PATTERNS`.
    light, dark : (3,) float32
        Linear colours, between which the pattern moves.
    gloss, sharpness : float
        Strength and exponent of the highlight.
    scale : float
        Repeats of the pattern over the unit cube, relative to its usual number.
    phase : (6,) float32
        Random offsets of the pattern.
    """

    pattern: str
    light: Floats
    dark: Floats
    gloss: float
    sharpness: float
    scale: float
    phase: Floats

    def colour_at(self, points: Floats, normals: Floats, along: NDArray[np.int64]) -> Floats:
        """Linear colours (N, 3) at points (N, 3); `along` (N,) is the axis that the grain follows."""
        share = self.share(points, normals, along)
        return np.maximum(self.light + share[:, None] * (self.dark - self.light), np.float32(0.004))

    def share(self, points: Floats, normals: Floats, along: NDArray[np.int64]) -> Floats:
        """How much of the dark colour (N,), about 0…1."""
        a, b, c, d, e, f = self.phase
        speckle = self._noise(points * np.float32(260 * self.scale))
        if self.pattern == "plain":
            return 0.15 + 0.05 * speckle
        if self.pattern == "grain":
            return 0.4 + 0.2 * speckle + 0.2 * self._noise(points * np.float32(90 * self.scale))
        rows = np.arange(len(points))
        x, y, z = (points[rows, (along + k) % 3] for k in range(3))
        if self.pattern == "wood":
            bend = 0.05 * np.sin(3 * x + a) + 0.02 * np.sin(11 * x + 9 * y + b)
            rings = np.sqrt((y + 0.4 * np.cos(c) + bend) ** 2 + (z + 0.4 * np.sin(d) + 0.5 * bend) ** 2)
            ring = 0.5 + 0.5 * np.sin(rings * np.float32(150 * self.scale) + 2 * np.sin(2 * x + e))
            streak = self._noise(np.stack([4 * x, 220 * y, 220 * z], axis=1) + f)
            return 0.65 * ring**2 + 0.3 * streak + 0.15
        # cloth: two coordinates on the surface, chosen by the way it faces
        facing = np.abs(normals).argmax(axis=1)
        s = np.where(facing == 0, points[:, 1], points[:, 0])
        t = np.where(facing == 2, points[:, 1], points[:, 2])
        if self.pattern == "weave":
            wave = np.sin(s * np.float32(380) * self.scale) * np.sin(t * np.float32(380) * self.scale)
            return 0.4 + 0.2 * wave + 0.2 * speckle
        across = np.sin(s * np.float32(60 * self.scale) + a)
        if self.pattern == "stripes":
            return np.clip(0.5 + 3 * (across - 0.3 * d / 6), 0, 1) + 0.1 * speckle
        down = np.sin(t * np.float32(60 * self.scale) + b)
        if self.pattern == "checks":
            return 0.5 * ((across > 0).astype(np.float32) + (down > 0)) + 0.1 * speckle
        return np.clip(4 * (across * down - 0.4), 0, 1) + 0.1 * speckle

    def _noise(self, places: Floats) -> Floats:
        """Noise at places measured in its cells."""
        i, j, k = (places.astype(np.int32) & (_NOISE_SIDE - 1)).T
        return _noise().ravel()[(i * _NOISE_SIDE + j) * _NOISE_SIDE + k]


@functools.cache
def _noise() -> Floats:
    """A block of noise of two octaves, about −1…1, that is repeated through space."""
    white = np.random.default_rng(7).standard_normal((_NOISE_SIDE,) * 3, dtype=np.float32)
    fine, coarse = (ndimage.gaussian_filter(white, width, mode="wrap") for width in (0.7, 2.0))
    return fine / (3 * fine.std()) + coarse / (3 * coarse.std())


def _random_material(rng: np.random.Generator, *, soft: bool = False) -> Material:
    """Draw a material; a soft one is cloth more often than wood."""
    names = list(FINISHES)
    odds = np.array([FINISHES[name].odds for name in names])
    if soft:
        odds = odds * [0.25, 1, 1, 2, 3, 1.5, 0]
    name = names[rng.choice(len(names), p=odds / odds.sum())]
    _, patterns, gloss, sharpness = FINISHES[name]
    light = _linear(PALETTES[name][rng.integers(len(PALETTES[name]))])
    light = np.clip(light * np.exp(rng.normal(0, 0.12)) * np.exp(rng.normal(0, 0.05, 3)), 0.008, 0.95)
    pattern = patterns[rng.integers(len(patterns))]
    if pattern in ("stripes", "checks", "dots") and rng.random() < 0.6:
        other = ("white", "black", "fabric", "grey")[rng.integers(4)]
        dark = _linear(PALETTES[other][rng.integers(len(PALETTES[other]))])
    else:
        dark = light * (rng.uniform(0.5, 0.9) if pattern == "wood" else rng.uniform(0.35, 0.85))
    return Material(
        pattern=pattern,
        light=light.astype(np.float32),
        dark=dark.astype(np.float32),
        gloss=float(gloss[0] + (gloss[1] - gloss[0]) * rng.random() ** 2),
        sharpness=float(rng.uniform(*sharpness)),
        scale=float(np.exp(rng.uniform(-0.7, 0.7))),
        phase=rng.uniform(0, 6.283, 6).astype(np.float32),
    )


def random_materials(rng: np.random.Generator, low: Floats, high: Floats) -> tuple[list[Material], Chooser]:
    """Draw one to three materials and a rule that says where each is.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    low, high : (parts, 3) float32
        Boxes of the connected parts; parts of the same measures, such as four legs, get the same material.

    Returns
    -------
    list of Material
    Chooser
    """
    style = rng.random()
    if style < 0.25:
        return [_random_material(rng)], lambda part, point, normal: np.zeros(len(part), np.int64)
    materials = [_random_material(rng), _random_material(rng, soft=rng.random() < 0.5)]
    if len(low) > 1 and style < 0.85:
        if rng.random() < 0.3:
            materials.append(_random_material(rng))
        kinds = np.unique(np.round(np.sort(high - low, axis=1) / 0.03), axis=0, return_inverse=True)[1].ravel()
        table = rng.integers(len(materials), size=int(kinds.max()) + 1)[kinds]
        return materials, lambda part, point, normal: table[part]
    floor, top = float(low[:, 2].min()), float(high[:, 2].max())
    level = floor + (top - floor) * rng.uniform(0.1, 0.75)
    if style < 0.93:
        return materials, lambda part, point, normal: (point[:, 2] > level).astype(np.int64)
    return materials, lambda part, point, normal: ((normal[:, 2] > 0.7) & (point[:, 2] > level)).astype(np.int64)
