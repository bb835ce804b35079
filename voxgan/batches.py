"""Which shapes make up a training batch, and how it is augmented: a pure function of (seed, step).

Because nothing depends on what was drawn before, a resumed run sees the very batches of an uninterrupted one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voxgan.dataset import Dataset, unpack
from voxgan.models.model import Batch

__all__ = ["Plan", "finish_batch", "make_batch", "order", "photos", "read_batch", "step_seed", "unpack_on_device"]


def step_seed(seed: int, step: int) -> int:
    """Return the seed of all random numbers of one training step.

    Examples
    --------
    >>> step_seed(0, 1) == step_seed(0, 1), step_seed(0, 1) == step_seed(0, 2)
    (True, False)
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}".encode()).digest()[:7], "big")


def order(count: int, batch: int, seed: int, step: int) -> NDArray[np.int64]:
    """Return the indices of batch `step` (from 0) of an endless walk that shuffles all shapes anew in each pass.

    Examples
    --------
    >>> sorted(np.concatenate([order(6, 2, 0, s) for s in range(3)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """
    places = np.arange(step * batch, (step + 1) * batch)
    passes = places // count
    shuffled = {p: np.random.default_rng([seed, int(p)]).permutation(count) for p in np.unique(passes)}
    return np.array([shuffled[p][i] for p, i in zip(passes, places % count, strict=True)], np.int64)


@dataclass(frozen=True)
class Plan:
    """What a batch is made of.

    Attributes
    ----------
    images : {"none", "stored", "drawn"}
        Photos: none, from the views of the data set, or drawn from the grids on the training's device.
    augment : bool
        Mirror shapes, and vary photos.
    turns : {1, 2, 4}
        In how many positions about z a shape may stand.
    shift : int
        By how many cells, at most, it may stand aside along each axis.
    """

    images: str = "none"
    augment: bool = False
    turns: int = 1
    shift: int = 0


def read_batch(data: Dataset, indices: NDArray[np.int64], plan: Plan, seed: int) -> Batch:
    """Read what a batch needs, still packed: the part that other processes can do ahead.

    Returns
    -------
    dict
        ``packed`` uint8 (B, R³/8), ``label`` (B,), and with stored images ``views`` uint8 (B, S, S, 4) and, where
        the data set has some, ``backgrounds`` uint8 (B, S, S, 3).
    """
    raw = {"packed": torch.from_numpy(data.packed(indices)), "label": torch.from_numpy(data.labels[indices])}
    random = np.random.default_rng(seed)
    count = len(indices)
    if plan.images == "stored":
        which = random.integers(data.num_views, size=count) if plan.augment else np.zeros(count, np.int64)
        raw["views"] = torch.from_numpy(data.views(indices.tolist(), which.tolist()))
    if plan.images != "none" and plan.augment and data.num_backgrounds:
        chosen = random.integers(data.num_backgrounds, size=count)
        raw["backgrounds"] = torch.from_numpy(data.backgrounds(chosen.tolist()))
    return raw


def finish_batch(raw: Batch, resolution: int, plan: Plan, device: torch.device) -> Batch:
    """Unpack and augment a batch on `device`; random numbers come from torch's default generator.

    Returns
    -------
    dict
        ``occupancy`` (B, 1, R, R, R) of 0 and 1, ``label`` (B,), and with images ``image`` (B, 3, S, S).
    """
    raw = {key: value.to(device, non_blocking=True) for key, value in raw.items()}
    grids = unpack_on_device(raw["packed"], resolution)
    count = len(grids)
    mirrored = torch.rand(count) < 0.5 if plan.augment else torch.zeros(count, dtype=torch.bool)
    mirrored = mirrored.to(device)
    if plan.augment:
        grids = torch.where(mirrored[:, None, None, None], grids.flip(1), grids)
    if plan.turns > 1 or plan.shift:
        grids = _placed(grids, plan.turns, plan.shift)
    occupancy = grids[:, None].float()
    batch = {"label": raw["label"], "occupancy": occupancy}
    if plan.images == "drawn":
        # Drawn from the mirrored grid: the picture needs no flip.
        views, mirrored = _drawn(occupancy, plan.augment), torch.zeros_like(mirrored)
        batch["image"] = photos(views, raw.get("backgrounds"), mirrored, plan.augment)
    elif plan.images == "stored":
        batch["image"] = photos(raw["views"], raw.get("backgrounds"), mirrored, plan.augment)
    return batch


def make_batch(data: Dataset, indices: NDArray[np.int64], images: bool, augment: bool, device: torch.device) -> Batch:
    """Read and finish one batch, here and now; random numbers come from torch's default generator.

    Photos are the views of the data set; of one that has none, they are drawn.
    """
    plan = Plan(("stored" if data.num_views else "drawn") if images else "none", augment)
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


def _placed(grids: Tensor, turns: int, shift: int) -> Tensor:
    """Turn each grid (B, R, R, R) about z, and move it by whole cells; what would leave is the free border."""
    count, resolution = grids.shape[:2]
    quarters = (torch.randint(turns, (count,)) * (4 // turns)).tolist()
    cells = torch.randint(-shift, shift + 1, (count, 3)).tolist()
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


def _uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    return (torch.rand(count, 1, 1, 1) * (high - low) + low).to(device)


def _chance(count: int, share: float, device: torch.device) -> Tensor:
    return (torch.rand(count, 1, 1, 1) < share).to(device)


def photos(views: Tensor, backgrounds: Tensor | None, mirrored: Tensor, augment: bool) -> Tensor:
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

    Returns
    -------
    Tensor, (B, 3, S, S)
        RGB in [0, 1].
    """
    device, count = views.device, len(views)
    rgba = views.permute(0, 3, 1, 2).float() / 255
    if not augment:
        return rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]
    rgba = torch.where(mirrored[:, None, None, None], rgba.flip(3), rgba)
    rgba = torch.cat([rgba[:, :3] * rgba[:, 3:], rgba[:, 3:]], dim=1)

    zoom = 1 + 0.12 * torch.randn(count).clamp(-1.5, 2.5)
    turn = 0.05 * torch.randn(count)
    place = torch.zeros(count, 2, 3)
    place[:, 0, 0], place[:, 0, 1] = turn.cos() / zoom, -turn.sin() / zoom
    place[:, 1, 0], place[:, 1, 1] = turn.sin() / zoom, turn.cos() / zoom
    place[:, :, 2] = 0.06 * torch.randn(count, 2)
    grid = functional.affine_grid(place.to(device), list(rgba.shape), align_corners=False)
    rgba = functional.grid_sample(rgba, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    colour, alpha = rgba[:, :3], rgba[:, 3:]

    plain = torch.where(
        _chance(count, 0.65, device),
        _uniform(count, 0.94, 1.0, device),
        torch.rand(count, 3, 1, 1).to(device),
    )
    behind = plain.expand_as(colour)
    if backgrounds is not None:
        pictures = backgrounds.permute(0, 3, 1, 2).float() / 255
        behind = torch.where(_chance(count, 0.5, device), pictures, behind)
    colour = colour * _uniform(count, 0.6, 1.3, device)
    picture = colour + (1 - alpha) * behind

    grey = picture.mean(dim=1, keepdim=True)
    saturation = torch.where(_chance(count, 0.15, device), 0.0, _uniform(count, 0.5, 1.4, device))
    picture = grey + saturation * (picture - grey)
    middle = picture.mean(dim=(1, 2, 3), keepdim=True)
    picture = middle + _uniform(count, 0.7, 1.25, device) * (picture - middle)
    picture = picture * (1 + 0.08 * torch.randn(count, 3, 1, 1).to(device))
    soft = functional.avg_pool2d(picture, 5, stride=1, padding=2, count_include_pad=False)
    picture = torch.lerp(picture, soft, _uniform(count, 0.0, 1.0, device) * _chance(count, 0.5, device))
    noise = torch.randn(count, 1, *picture.shape[2:]).to(device)
    picture = picture + 0.03 * _uniform(count, 0.0, 1.0, device) * noise
    return picture.clamp(0, 1)
