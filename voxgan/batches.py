"""Which shapes make up a training batch, and how it is augmented: a pure function of (seed, step).

Because nothing depends on what was drawn before, a resumed run sees the very batches of an uninterrupted one.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voxgan.dataset import Dataset, unpack
from voxgan.domain_randomisation import premultiplied, randomised
from voxgan.draws import Draws, moved
from voxgan.errors import DatasetError
from voxgan.models.model import Batch

__all__ = [
    "OTHERS",
    "Plan",
    "finish_batch",
    "make_batch",
    "on_white",
    "order",
    "photos",
    "read_batch",
    "step_seed",
    "unpack_on_device",
]

OTHERS = 2
"""Views of other shapes that come with each randomised photo."""


def step_seed(seed: int, step: int, attempt: int = 0, rank: int = 0) -> int:
    """Return the seed of random numbers of one training step.

    Parameters
    ----------
    seed, step : int
        Of the run, and which step.
    attempt : int
        How often the run has gone back to a saved state: another try gets other numbers.
    rank : int
        Which process, for what need not be the same however a batch is divided.

    Examples
    --------
    >>> step_seed(0, 1) == step_seed(0, 1), step_seed(0, 1) == step_seed(0, 2)
    (True, False)
    """
    text = f"{seed}/{step}" + (f"/{attempt}/{rank}" if attempt or rank else "")
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def order(count: int, batch: int, seed: int, step: int) -> NDArray[np.int64]:
    """Return the indices of batch `step` (from 0) of an endless walk that shuffles all shapes anew in each pass.

    Examples
    --------
    >>> sorted(np.concatenate([order(6, 2, 0, s) for s in range(3)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    places = np.arange(step * batch, (step + 1) * batch)
    passes = places // count
    shuffled = {p: _shuffled(count, seed, int(p)) for p in np.unique(passes)}
    return np.array([shuffled[p][i] for p, i in zip(passes, places % count, strict=True)], np.int64)


@functools.lru_cache(maxsize=2)
def _shuffled(count: int, seed: int, number: int) -> NDArray[np.int64]:
    """Return the order of pass `number`; steps of the same pass, and of the next, ask for it again."""
    return np.random.default_rng([seed, number]).permutation(count)


@dataclass(frozen=True)
class Plan:
    """What a batch is made of.

    Attributes
    ----------
    images : {"none", "stored", "drawn"}
        Photos: none, from the views of the data set, or drawn from the grids on the training's device.
    augment : bool
        Mirror shapes, and vary photos.
    photos : {"plain", "randomised"}
        How photos are varied: `photos`, or `voxgan.domain_randomisation`.
    image_size : int
        Side of the photos, in pixels.
    turns : {1, 2, 4}
        In how many positions about z a shape may stand.
    shift : int
        By how many cells, at most, it may stand aside along each axis.
    classes : tuple of str
        The classes that a batch's labels count, in this order; the data set's own where there are none.
    """

    images: str = "none"
    augment: bool = False
    photos: str = "plain"
    image_size: int = 256
    turns: int = 1
    shift: int = 0
    classes: tuple[str, ...] = ()


def read_batch(
    data: Dataset, indices: NDArray[np.int64], plan: Plan, seed: int, part: slice | None = None
) -> dict[str, Tensor]:
    """Read what a batch needs, still packed: the part that other processes can do ahead.

    Parameters
    ----------
    data : Dataset
    indices : array, (B,)
        Of the whole batch.
    plan : Plan
    seed : int
        Of the choice of views and backgrounds.
    part : slice, optional
        Only these of the batch are read; what is chosen for a shape does not depend on it.

    Returns
    -------
    dict
        ``packed`` uint8 (B, R³/8), ``label`` (B,), and with stored images ``views`` uint8 (B, S, S, 4); where the
        data set has some, ``backgrounds`` uint8 (B, S, S, 3); for randomised photos ``others`` uint8 (B, 2, S, S, 4),
        views of other shapes.
    """
    part = slice(None) if part is None else part
    mine = indices[part]
    raw = {"packed": torch.from_numpy(data.packed(mine)), "label": torch.from_numpy(_labels(data, plan)[mine])}
    random = np.random.default_rng(seed)
    count = len(indices)
    if plan.images == "stored":
        which = random.integers(data.num_views, size=count) if plan.augment else np.zeros(count, np.int64)
        raw["views"] = torch.from_numpy(data.views(mine.tolist(), which[part].tolist()))
    if plan.images != "none" and plan.augment and data.num_backgrounds:
        chosen = random.integers(data.num_backgrounds, size=count)[part]
        raw["backgrounds"] = torch.from_numpy(data.backgrounds(chosen.tolist()))
    if plan.images == "stored" and plan.augment and plan.photos == "randomised":
        shapes, which = (random.integers(most, size=(count, OTHERS))[part] for most in (len(data), data.num_views))
        others = data.views(shapes.ravel().tolist(), which.ravel().tolist())
        raw["others"] = torch.from_numpy(others.reshape(-1, OTHERS, *others.shape[1:]))
    return raw


def _labels(data: Dataset, plan: Plan) -> NDArray[np.int64]:
    """Return the class of each shape as an index into the plan's classes."""
    labels: NDArray[np.int64] = data.labels
    if not plan.classes or list(plan.classes) == data.classes:
        return labels
    places = np.array([plan.classes.index(name) if name in plan.classes else -1 for name in data.classes])
    found: NDArray[np.int64] = np.asarray(places[labels], np.int64)
    if len(found) and found.min() < 0:
        lost = data.classes[int(labels[found.argmin()])]
        raise DatasetError(f"{data.path}: has shapes of the class {lost!r}, expected {', '.join(plan.classes)} only")
    return found


def finish_batch(
    raw: Mapping[str, Tensor], resolution: int, plan: Plan, device: torch.device, draws: Draws | None = None
) -> Batch:
    """Unpack and augment a batch on `device`.

    What a shape gets by chance comes from `draws`; the grain of photos, and views that are drawn, from torch's default
    generator.

    Returns
    -------
    Batch
        ``occupancy`` (B, 1, R, R, R) of 0 and 1, ``label`` (B,), and with images ``image`` (B, 3, S, S).
    """
    raw = {key: moved(value, device) for key, value in raw.items()}
    grids = unpack_on_device(raw["packed"], resolution)
    count = len(grids)
    draws = Draws(int(torch.randint(1 << 62, ())), count) if draws is None else draws
    mirrored = draws.uniform() < 0.5 if plan.augment else torch.zeros(count, dtype=torch.bool)
    mirrored = moved(mirrored, device)
    if plan.augment:
        grids = torch.where(mirrored[:, None, None, None], grids.flip(1), grids)
    if plan.turns > 1 or plan.shift:
        grids = _placed(grids, plan.turns, plan.shift, draws)
    occupancy = grids[:, None].float()
    batch = Batch(draws, label=raw["label"], occupancy=occupancy)
    if plan.images == "none":
        return batch
    if plan.images == "drawn":
        # Drawn from the mirrored grid: the picture needs no flip.
        views, mirrored = _drawn(occupancy, plan.augment), torch.zeros_like(mirrored)
    else:
        views = raw["views"]
    behind, size = raw.get("backgrounds"), plan.image_size
    if plan.augment and plan.photos == "randomised":
        batch["image"] = randomised(views, raw.get("others"), behind, mirrored, size, draws)
    else:
        batch["image"] = photos(views, behind, mirrored, plan.augment, draws, size)
    return batch


def make_batch(
    data: Dataset,
    indices: NDArray[np.int64],
    images: bool,
    augment: bool,
    device: torch.device,
    image_size: int = 256,
) -> Batch:
    """Read and finish one batch, here and now; random numbers come from torch's default generator.

    Photos are the views of the data set; of one that has none, they are drawn.
    """
    plan = Plan(("stored" if data.num_views else "drawn") if images else "none", augment, image_size=image_size)
    raw = read_batch(data, indices, plan, int(torch.randint(1 << 62, ())))
    return finish_batch(raw, data.resolution, plan, device)


def unpack_on_device(packed: Tensor, resolution: int) -> Tensor:
    """Undo `voxgan.dataset.pack` where the bits are: uint8 (B, R³/8) to grids (B, R, R, R) of 0 and 1.

    Examples
    --------
    >>> unpack_on_device(torch.tensor([[129]], dtype=torch.uint8), 2).flatten().tolist()
    [1, 0, 0, 0, 0, 0, 0, 1]
    """
    if packed.device.type == "cpu":
        return torch.from_numpy(unpack(packed.numpy(), resolution))
    places = torch.arange(7, -1, -1, dtype=torch.uint8, device=packed.device)
    bits = packed[..., None].bitwise_right_shift(places).bitwise_and(1)
    return bits.reshape(-1, resolution, resolution, resolution)


def _placed(grids: Tensor, turns: int, shift: int, draws: Draws) -> Tensor:
    """Turn each grid (B, R, R, R) about z, and move it by whole cells; what would leave is the free border."""
    resolution = grids.shape[1]
    quarters = (draws.integers(0, turns) * (4 // turns)).tolist()
    cells = draws.integers(-shift, shift + 1, 3).tolist()
    placed = torch.zeros_like(grids)
    for i, (quarter, moves) in enumerate(zip(quarters, cells, strict=True)):
        to = [slice(max(move, 0), resolution + min(move, 0)) for move in moves]
        come = [slice(max(-move, 0), resolution + min(-move, 0)) for move in moves]
        placed[i][tuple(to)] = grids[i].rot90(quarter, (0, 1))[tuple(come)]
    return placed


def _drawn(occupancy: Tensor, augment: bool) -> Tensor:
    """Draw one view of each shape (B, 1, R, R, R) where it is: (B, S, S, 4) uint8."""
    from voxgan.raycast import draw_views, framed, random_cameras

    generator = torch.Generator().manual_seed(int(torch.randint(1 << 62, ())) if augment else 0)
    seen = framed(occupancy, random_cameras(len(occupancy), generator).to(occupancy.device))
    return draw_views(occupancy, seen, generator).permute(0, 2, 3, 1)


def on_white(views: Tensor, size: int) -> Tensor:
    """Lay views, uint8 (B, S, S, 4) with straight alpha, on white: RGB in [0, 1], (B, 3, size, size)."""
    rgba = premultiplied(views)
    pictures = rgba[:, :3] + 1 - rgba[:, 3:]
    return pictures if size == views.shape[1] else functional.interpolate(pictures, (size, size), mode="area")


def photos(
    views: Tensor,
    backgrounds: Tensor | None,
    mirrored: Tensor,
    augment: bool,
    draws: Draws | None = None,
    size: int | None = None,
) -> Tensor:
    """Turn rendered views into something like photos.

    Parameters
    ----------
    views : Tensor, uint8 (B, S, S, 4)
        RGBA with straight alpha.
    backgrounds : Tensor, uint8 (B, S, S, 3), optional
        What may stand behind them; about half of the views get it, the others a plain colour, mostly near white, as
        a photo has after its background was removed.
    mirrored : Tensor, bool (B,)
        Which views are flipped left to right (their shapes must be, too).
    augment : bool
        False lays the views on white and leaves it at that.
    draws : Draws, optional
        Where each photo's random numbers come from; its grain comes from torch's default generator.
    size : int, optional
        Side of the result; that of the views by default.

    Returns
    -------
    Tensor, (B, 3, S, S)
        RGB in [0, 1].
    """
    if size is not None and size != views.shape[1]:
        large = photos(views, backgrounds, mirrored, augment, draws)
        return functional.interpolate(large, (size, size), mode="area")
    device, count = views.device, len(views)
    if not augment:
        return on_white(views, views.shape[1])
    rgba = premultiplied(views)
    rgba = torch.where(mirrored[:, None, None, None], rgba.flip(3), rgba)
    draws = Draws(int(torch.randint(1 << 62, ())), count) if draws is None else draws

    def uniform(low: float, high: float) -> Tensor:
        return moved(draws.uniform(1, 1, 1) * (high - low) + low, device)

    def chance(share: float) -> Tensor:
        return moved(draws.uniform(1, 1, 1) < share, device)

    zoom = 1 + 0.12 * draws.normal().clamp(-1.5, 2.5)
    turn = 0.05 * draws.normal()
    place = torch.zeros(count, 2, 3)
    place[:, 0, 0], place[:, 0, 1] = turn.cos() / zoom, -turn.sin() / zoom
    place[:, 1, 0], place[:, 1, 1] = turn.sin() / zoom, turn.cos() / zoom
    place[:, :, 2] = 0.06 * draws.normal(2)
    grid = functional.affine_grid(moved(place, device), list(rgba.shape), align_corners=False)
    rgba = functional.grid_sample(rgba, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    colour, alpha = rgba[:, :3], rgba[:, 3:]

    plain = torch.where(
        chance(0.65),
        uniform(0.94, 1.0),
        moved(draws.uniform(3, 1, 1), device),
    )
    behind = plain.expand_as(colour)
    if backgrounds is not None:
        pictures = backgrounds.permute(0, 3, 1, 2).float() / 255
        behind = torch.where(chance(0.5), pictures, behind)
    colour = colour * uniform(0.6, 1.3)
    picture = colour + (1 - alpha) * behind

    grey = picture.mean(dim=1, keepdim=True)
    saturation = torch.where(chance(0.15), 0.0, uniform(0.5, 1.4))
    picture = grey + saturation * (picture - grey)
    middle = picture.mean(dim=(1, 2, 3), keepdim=True)
    picture = middle + uniform(0.7, 1.25) * (picture - middle)
    picture = picture * (1 + 0.08 * moved(draws.normal(3, 1, 1), device))
    soft = functional.avg_pool2d(picture, 5, stride=1, padding=2, count_include_pad=False)
    picture = torch.lerp(picture, soft, uniform(0.0, 1.0) * chance(0.5))
    noise = torch.randn(count, 1, *picture.shape[2:], device=device)
    picture = picture + 0.03 * uniform(0.0, 1.0) * noise
    return picture.clamp(0, 1)
