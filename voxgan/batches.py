"""Which shapes make up a training batch, and how it is augmented: a pure function of (seed, step).

Because nothing depends on what was drawn before, a resumed run sees the very batches of an uninterrupted one.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voxgan.dataset import Dataset, unpack
from voxgan.models.model import Batch

__all__ = ["make_batch", "order", "photos", "step_seed"]


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


def make_batch(data: Dataset, indices: NDArray[np.int64], images: bool, augment: bool, device: torch.device) -> Batch:
    """Read, unpack and augment one batch; random numbers come from torch's default generator.

    Returns
    -------
    dict
        ``occupancy`` (B, 1, R, R, R) of 0 and 1, ``label`` (B,), and with `images` ``image`` (B, 3, S, S).
    """
    grids = torch.from_numpy(unpack(data.packed(indices), data.resolution)).to(device)
    occupancy = grids[:, None].float()
    batch = {"label": torch.from_numpy(data.labels[indices]).to(device)}
    mirrored = torch.rand(len(indices)) < 0.5 if augment else torch.zeros(len(indices), dtype=torch.bool)
    if augment:
        occupancy = torch.where(mirrored.to(device)[:, None, None, None, None], occupancy.flip(2), occupancy)
    batch["occupancy"] = occupancy
    if images:
        which = (
            torch.randint(data.num_views, (len(indices),)) if augment else torch.zeros(len(indices), dtype=torch.int)
        )
        views = torch.from_numpy(data.views(indices.tolist(), which.tolist())).to(device)
        behind = None
        if augment and data.num_backgrounds:
            chosen = torch.randint(data.num_backgrounds, (len(indices),))
            behind = torch.from_numpy(data.backgrounds(chosen.tolist())).to(device)
        batch["image"] = photos(views, behind, mirrored.to(device), augment)
    return batch


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
