"""What stands behind a rendered view: walls, floors, windows, clutter out of focus; plain colours; your own photos."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from voxgan.errors import ImageError, StorageError, UsageError, nearest
from voxgan.images import read_image
from voxgan.palettes import PALETTES

__all__ = ["BACKGROUNDS", "backgrounds", "is_folder", "photo_backgrounds"]

Floats = NDArray[np.float32]


def backgrounds(count: int, seed: int, size: int = 256, kind: str | Path = "mixed") -> NDArray[np.uint8]:
    """Draw backgrounds of photos of furniture, or take them from a folder.

    Parameters
    ----------
    count : int
        How many.
    seed : int
        Not negative; background i depends on it and on i alone.
    size : int
        Width and height in pixels.
    kind : str or path
        One of `BACKGROUNDS`: ``"rooms"``; ``"plain"``, one colour, which is often near white; ``"gradient"``, from
        one colour to another; ``"mixed"``, three rooms to one plain. Or a folder, see `photo_backgrounds`, which
        also says what was left out.

    Returns
    -------
    (count, size, size, 3) uint8
        From a folder that has fewer pictures, as many as there are.

    Raises
    ------
    UsageError
        The seed is negative, or there is no such kind and no such folder.
    ImageError
        The folder has no picture that can be read.

    Examples
    --------
    >>> backgrounds(2, seed=0, size=32).shape
    (2, 32, 32, 3)
    """
    _check(count, seed, size)
    if is_folder(kind):
        return photo_backgrounds(kind, count, seed, size)[0]
    draw = BACKGROUNDS[str(kind)]
    pictures = np.empty((count, size, size, 3), np.uint8)
    for i in range(count):
        pictures[i] = draw(np.random.default_rng([seed, i]), size)
    return pictures


def is_folder(kind: str | Path) -> bool:
    """Say whether backgrounds of this kind come from a folder; a name in `BACKGROUNDS` goes before a folder's.

    Raises
    ------
    UsageError
        There is no such kind and no such folder.
    """
    if not isinstance(kind, Path) and kind in BACKGROUNDS:
        return False
    if not Path(kind).is_dir():
        raise UsageError(f"no backgrounds {str(kind)!r}; {nearest(str(kind), BACKGROUNDS)}; or a folder of photos")
    return True


def photo_backgrounds(
    folder: str | Path, count: int, seed: int, size: int = 256
) -> tuple[NDArray[np.uint8], list[tuple[str, str]]]:
    """Take backgrounds from a folder of photos and from the folders in it, each cut to its middle square.

    Parameters
    ----------
    folder : path
        Every file in it that `voxgan.images.read_image` can read counts; transparent places become white.
    count : int
        How many at most; of more, the seed picks.
    seed : int
        Not negative.
    size : int
        Width and height in pixels.

    Returns
    -------
    pictures : (count or fewer, size, size, 3) uint8
    left_out : list of (str, str)
        File and reason of each that was tried and is no picture, or a damaged one.

    Raises
    ------
    StorageError
        There is no such folder.
    ImageError
        No file in it can be read as a picture.
    UsageError
        The seed is negative, or `size` out of range.
    """
    from PIL import Image, ImageOps

    _check(count, seed, size)
    folder = Path(folder)
    if not folder.is_dir():
        raise StorageError(f"there is no folder {folder}: check the name")
    files = sorted(
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".") and Path(place, name).is_file()
    )
    pictures: list[NDArray[np.uint8]] = []
    left_out: list[tuple[str, str]] = []
    for i in np.random.default_rng(seed).permutation(len(files)):
        if len(pictures) == count:
            break
        try:
            picture = read_image(files[i])
        except (ImageError, StorageError) as error:
            left_out.append((str(files[i]), str(error)))
            continue
        cut = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
        white = Image.new("RGBA", cut.size, (255, 255, 255, 255))
        white.alpha_composite(cut)
        pictures.append(np.asarray(white.convert("RGB")))
    if not pictures and count:
        first = f"; the first: {left_out[0][1]}" if left_out else ""
        raise ImageError(f"none of {len(files)} files in {folder} is a picture that can be read{first}")
    return np.array(pictures, np.uint8).reshape(-1, size, size, 3), left_out


def _check(count: int, seed: int, size: int) -> None:
    if seed < 0:
        raise UsageError(f"seed {seed}: expected 0 or more")
    if count < 0 or not 1 <= size <= 4096:
        raise UsageError(f"{count} backgrounds of {size} pixels: expected 0 or more, of 1 to 4096")


def _mixed(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    style = rng.random()
    if style < 0.12:  # a shop's cut-out
        picture = np.full((size, size, 3), rng.uniform(0.85, 1.0), np.float32)
    elif style < 0.25:
        picture = np.broadcast_to(_colour(rng), (size, size, 3)).astype(np.float32)
        picture += _smooth_noise(rng, size, 3)[..., None] * rng.uniform(0, 0.15)
    else:
        picture = _room(rng, size)
    return _photographed(picture, rng, coloured=style >= 0.12)


def _rooms(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    return _photographed(_room(rng, size), rng)


def _plain(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    tone = np.full(3, rng.uniform(0.85, 1.0)) if rng.random() < 0.4 else _colour(rng)
    return np.broadcast_to(np.clip(tone * 255 + 0.5, 0, 255).astype(np.uint8), (size, size, 3))


def _gradient(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    if rng.random() < 0.6:
        angle = rng.normal(np.pi / 2, 0.6)  # down, mostly
        share = 0.5 + np.cos(angle) * x + np.sin(angle) * y
    else:  # a lamp on a wall
        share = np.hypot(x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.5, 0.5)) / rng.uniform(0.6, 1.2)
    share = np.clip(share, 0, 1)[..., None] ** np.float32(rng.uniform(0.6, 1.6))
    picture = _colour(rng) * (1 - share) + _colour(rng) * share
    picture += rng.standard_normal(picture.shape, dtype=np.float32) * (0.015 * rng.random() ** 2)
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)


BACKGROUNDS: dict[str, Callable[[np.random.Generator, int], NDArray[np.uint8]]] = {
    "mixed": _mixed,
    "plain": _plain,
    "gradient": _gradient,
    "rooms": _rooms,
}
"""Kinds of backgrounds that `backgrounds` draws."""


def _photographed(picture: Floats, rng: np.random.Generator, coloured: bool = True) -> NDArray[np.uint8]:
    """Light that falls off, a lens's dark corners and blur, the tint of lamps, noise: (size, size, 3)."""
    size = len(picture)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    picture = picture * (1 + rng.normal(0, 0.3) * (np.cos(angle) * x + np.sin(angle) * y))[..., None]
    if coloured:
        picture *= (1 - rng.uniform(0, 0.5) * (x * x + y * y))[..., None]
        picture *= 1 + rng.normal(0, 0.03, 3)
    blur = rng.choice([0.0, rng.uniform(0.3, 1), rng.uniform(1, 4)]) * size / 256
    if blur > 0.2:
        picture = ndimage.gaussian_filter(picture, (blur, blur, 0), truncate=2.5)
    picture += rng.standard_normal(picture.shape, dtype=np.float32) * (0.025 * rng.random() ** 2)
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator, kinds: tuple[str, ...] = ()) -> Floats:
    """An sRGB colour (3,) of a wall, or of the palettes named."""
    if kinds:
        codes = PALETTES[kinds[rng.integers(len(kinds))]]
        code = codes[rng.integers(len(codes))]
        base = np.array([int(code[k : k + 2], 16) for k in (0, 2, 4)]) / 255
        base += rng.uniform(0, 0.6) * (base.mean() - base)  # rooms are less gaudy than paint charts
    else:  # paint: pale mostly
        warmth = rng.normal(0.015, 0.025)
        base = rng.beta(3, 1.5) * 0.8 + 0.2 + np.array([warmth, 0, -warmth])
        if rng.random() < 0.25:
            base = base + rng.normal(0, 0.08, 3)
    return np.clip(base * rng.uniform(0.8, 1.1), 0.03, 1).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Floats:
    """Noise (size, size) in about −1…1 with so many cells across."""
    coarse = rng.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32)
    y = np.linspace(1, cells + 1, size, dtype=np.float32)
    return ndimage.map_coordinates(coarse, np.meshgrid(y, y, indexing="ij"), order=1, output=np.float32)


def _room(rng: np.random.Generator, size: int) -> Floats:
    """A wall, perhaps a second one, a floor in perspective, and things that stand or hang there."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    picture = np.empty((size, size, 3), np.float32)
    picture[:] = _colour(rng)
    if rng.random() < 0.2:  # wallpaper, panelling
        wave = np.sin(x * rng.uniform(20, 120)) * (np.sin(y * rng.uniform(20, 120)) if rng.random() < 0.4 else 1)
        picture += (rng.uniform(0.02, 0.1) * wave)[..., None]
    foot = rng.uniform(0.35, 0.95) + np.float32(rng.normal(0, 0.06)) * (x - 0.5)  # where wall meets floor
    if rng.random() < 0.45:  # a second wall
        at, lean = rng.uniform(0, 1), rng.normal(0, 0.03)
        side = (x - at - lean * (y - 0.5)) * rng.choice([-1, 1]) > 0
        picture[side] *= rng.uniform(0.65, 0.95)
        foot = foot + np.where(side, np.abs(x - at) * rng.uniform(0.1, 0.7), 0)
    for _ in range(int(rng.integers(0, 5))):
        _hang(picture, rng, float(np.mean(foot)))
    floor = y > foot
    if rng.random() < 0.5:  # skirting
        band = (y > foot - rng.uniform(0.01, 0.04)) & ~floor
        picture[band] = _colour(rng, ("white", "wood"))
    picture[floor] = _floor(rng, x, y, size)[floor]
    picture -= (rng.uniform(0, 0.12) * np.exp(-np.abs(y - foot) * 18))[..., None]
    clutter = picture.copy()
    for _ in range(int(rng.integers(0, 5))):
        _stand(clutter, rng, float(np.mean(foot)))
    blur = rng.uniform(0, 3) * size / 256
    return ndimage.gaussian_filter(clutter, (blur, blur, 0), truncate=2) if blur > 0.3 else clutter


def _floor(rng: np.random.Generator, x: Floats, y: Floats, size: int) -> Floats:
    """A floor seen from above its horizon: planks, tiles, carpet or plain, (size, size, 3)."""
    horizon = rng.uniform(-0.6, 0.15)
    depth = 1 / np.maximum(y - horizon, 0.05)
    across = (x - rng.uniform(0, 1)) * depth
    turn = rng.uniform(-0.8, 0.8)
    u, v = across * np.cos(turn) + depth * np.sin(turn), depth * np.cos(turn) - across * np.sin(turn)
    kind = rng.random()
    floor = np.empty((size, size, 3), np.float32)
    if kind < 0.45:  # planks
        floor[:] = _colour(rng, ("wood", "wood", "wood", "grey"))
        rows = u * rng.uniform(4, 14)
        row = np.floor(rows).astype(np.int64)
        tones = rng.normal(0, rng.uniform(0.02, 0.12), 997)
        plank = row * 31 + np.floor(v * rng.uniform(0.6, 2) + (row * 0.37) % 1).astype(np.int64)
        grain = 0.04 * np.sin(rows * 23 + 2 * np.sin(v * 5))
        floor *= (1 + tones[plank % 997] + grain)[..., None]
        floor *= (1 - 0.35 * ((rows - row) < 0.05))[..., None]
    elif kind < 0.65:  # tiles
        floor[:] = _colour(rng, ("white", "grey", "fabric"))
        scale = rng.uniform(2, 7)
        p, q = u * scale, v * scale
        i, j = np.floor(p), np.floor(q)
        if rng.random() < 0.35:
            floor *= np.where((i + j) % 2 > 0, rng.uniform(0.3, 0.85), 1)[..., None]
        floor *= (1 - rng.uniform(0.1, 0.4) * (((p - i) < 0.04) | ((q - j) < 0.04)))[..., None]
    elif kind < 0.85:  # carpet
        floor[:] = _colour(rng, ("fabric", "grey", "fabric", "colour"))
        floor *= (1 + rng.uniform(0.03, 0.12) * rng.standard_normal((size, size), dtype=np.float32))[..., None]
    else:
        floor[:] = _colour(rng)
    if rng.random() < 0.25:  # a rug
        inside = (np.abs(u - rng.uniform(-0.5, 0.5)) < rng.uniform(0.2, 0.8)) & (
            np.abs(v - rng.uniform(0.8, 2)) < rng.uniform(0.2, 0.8)
        )
        floor[inside] = _colour(rng, ("fabric", "colour"))
    return floor * (1 + 0.12 * _smooth_noise(rng, size, 4))[..., None]


def _box(rng: np.random.Generator, size: int, width: float, height: float, x: float, y: float) -> tuple[slice, slice]:
    """Rows and columns of a rectangle whose upper left corner and measures are fractions of the picture."""
    rows = slice(max(int(y * size), 0), max(int((y + height) * size), 0))
    return rows, slice(max(int(x * size), 0), max(int((x + width) * size), 0))


def _hang(picture: Floats, rng: np.random.Generator, foot: float) -> None:
    """Put a picture, a window, a curtain or a lamp's glow on the wall."""
    size = len(picture)
    kind = rng.random()
    width, height = rng.uniform(0.08, 0.4), rng.uniform(0.1, 0.5)
    x, y = rng.uniform(-0.1, 0.95), rng.uniform(-0.2, max(foot - 0.3, 0.05))
    if kind < 0.45:  # a picture in its frame
        picture[_box(rng, size, width, height, x, y)] = _colour(rng, ("black", "wood", "white"))
        inner = _box(rng, size, width - 0.03, height - 0.03, x + 0.015, y + 0.015)
        picture[inner] = _colour(rng, ("colour", "fabric", "white", "grey"))
        patch = picture[inner]
        if patch.size:
            patch += 0.2 * _smooth_noise(rng, size, 9)[: patch.shape[0], : patch.shape[1], None]
    elif kind < 0.75:  # a window
        picture[_box(rng, size, width, height, x, y)] = _colour(rng, ("white",))
        pane = width / int(rng.integers(1, 4))
        sky = np.array([0.9, 0.97, 1.0], np.float32) * rng.uniform(0.7, 1.3)
        for left in np.arange(x, x + width - 1e-6, pane):
            picture[_box(rng, size, pane - 0.02, height - 0.02, left + 0.01, y + 0.01)] = sky
    elif kind < 0.9:  # a curtain
        place = _box(rng, size, width / 2, foot - y, x, y)
        folds = 1 + 0.2 * np.sin(np.arange(size) * rng.uniform(0.15, 0.6) * 256 / size).astype(np.float32)
        patch = picture[place]
        patch[:] = _colour(rng, ("fabric", "white", "colour")) * folds[: patch.shape[1], None]
    else:  # a lamp
        i, j = np.mgrid[0:size, 0:size].astype(np.float32) / size
        glow = np.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * rng.uniform(0.05, 0.25) ** 2))
        picture += glow[..., None] * np.array([0.5, 0.42, 0.3], np.float32)


def _stand(picture: Floats, rng: np.random.Generator, foot: float) -> None:
    """Put a cupboard, a shelf, a table or a plant at the wall's foot."""
    size = len(picture)
    kind = rng.random()
    width, height = rng.uniform(0.1, 0.45), rng.uniform(0.1, 0.6)
    x = rng.uniform(-0.25, 1.0)
    y = foot + rng.uniform(0, 0.15) - height
    tone = _colour(rng, ("wood", "wood", "white", "black", "grey", "fabric", "colour"))
    if kind < 0.4:  # a block, with a lit top and lines
        picture[_box(rng, size, width, height, x, y)] = tone
        picture[_box(rng, size, width, 0.03, x, y)] = np.minimum(tone * 1.25, 1)
        for line in np.linspace(y, y + height, int(rng.integers(1, 5)), endpoint=False):
            picture[_box(rng, size, width, 0.008, x, line)] = tone * 0.6
    elif kind < 0.65:  # an open shelf with books
        picture[_box(rng, size, width, height, x, y)] = tone * 0.5
        step = height / int(rng.integers(2, 5))
        for top in np.arange(y, y + height - 1e-6, step):
            picture[_box(rng, size, width, 0.012, x, top)] = tone
            left = x + 0.01
            while left < x + width - 0.02:
                thick = rng.uniform(0.01, 0.04)
                tall = step * rng.uniform(0.45, 0.85)
                if rng.random() < 0.75:
                    place = _box(rng, size, thick, tall, left, top + step - tall)
                    picture[place] = _colour(rng, ("colour", "fabric", "white", "black"))
                left += thick
    elif kind < 0.85:  # a table or a chair: a slab and legs
        picture[_box(rng, size, width, 0.03, x, y)] = tone
        for left in (x, x + width - 0.02):
            picture[_box(rng, size, 0.02, height, left, y)] = tone * 0.8
        if rng.random() < 0.5:
            picture[_box(rng, size, 0.02, height, x, y - height)] = tone * 0.9
    else:  # a plant
        i, j = np.mgrid[0:size, 0:size].astype(np.float32) / size
        radius = rng.uniform(0.05, 0.2)
        leaf = (i - y) ** 2 + (j - x) ** 2 < (radius * (1 + 0.7 * _smooth_noise(rng, size, 40))) ** 2
        green = np.array([0.2, 0.38, 0.15], np.float32) * rng.uniform(0.5, 1.3)
        picture[leaf] = green
