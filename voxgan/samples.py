"""What a training shows of itself: shapes from fixed latents, reconstructions of fixed views, and their figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voxgan.batches import make_batch
from voxgan.dataset import Dataset
from voxgan.diversity import NUM_SHAPES, Diversity
from voxgan.errors import DatasetError, InputError
from voxgan.metrics.iou import iou
from voxgan.models.model import Model
from voxgan.preview import sheet

__all__ = ["samples"]

_NUM_SHOWN = 8
_NUM_SCORED = 64
_TILE = 128  # pixels

Picture = NDArray[np.uint8]


def samples(
    model: Model, data: Dataset, seed: int, device: torch.device, diversity: Diversity
) -> tuple[dict[str, float], Picture | None]:
    """Draw what `model` makes now.

    Parameters
    ----------
    model : Model
        In evaluation mode.
    data : Dataset
        What it trains on; its file's test split is reconstructed, or itself where there is none.
    seed : int
        Of the latents.
    device : torch.device
        Where the model is.
    diversity : Diversity
        What measures shapes from noise beside the same data.

    Returns
    -------
    dict
        What `voxgan.diversity` says of 32 shapes from noise; for photo models, ``test_iou`` (or ``train_iou``) over at
        most 64 views on white.
    array (rows · 128, 8 · 128, 3), uint8, or None
        Views, reconstructions and real shapes for photo models; below, eight shapes from noise, and the training shape
        nearest to each of them. None if the model's output is not finite.
    """
    try:
        latents = torch.split(model.sample_latents(NUM_SHAPES, seed), _NUM_SHOWN)  # few at once: memory
        parts = [model.decode(part).occupancy for part in latents]
        solid = np.concatenate([part >= 0.5 for part in parts])
        figures, places = diversity.measure(solid)
        rows = [_shapes(parts[0]), _shapes(diversity.neighbours(solid[:_NUM_SHOWN], places[:_NUM_SHOWN]))]
        if "image" not in model.conditions:
            return figures, np.concatenate(rows)
        scores, reconstructed = _reconstructions(model, data, device)
        return scores | figures, np.concatenate([*reconstructed, *rows])
    except InputError:
        return {}, None


def _shapes(grids: NDArray[Any]) -> Picture:
    """Draw at most eight shapes in a row of full width."""
    padded = np.zeros((_NUM_SHOWN, *grids.shape[1:]), np.float32)
    padded[: len(grids)] = grids
    return sheet(padded, columns=_NUM_SHOWN, size=_TILE)


def _reconstructions(model: Model, data: Dataset, device: torch.device) -> tuple[dict[str, float], list[Picture]]:
    """Score reconstructions of views, and draw views, reconstructions and real shapes."""
    try:
        classes = model.config.classes or None
        unseen, name = Dataset(data.path, "test", classes, resolution=data.resolution), "test_iou"
    except DatasetError:
        unseen, name = data, "train_iou"
    chosen = np.linspace(0, len(unseen) - 1, min(len(unseen), _NUM_SCORED)).astype(np.int64)
    batch = make_batch(unseen, chosen, True, False, device, model.image_size(model.config))
    if unseen is not data:
        unseen.close()
    images = batch["image"].cpu().numpy()
    found = model.reconstruct(images).occupancy
    real = batch["occupancy"][:, 0].cpu().numpy()
    shown = np.linspace(0, len(chosen) - 1, min(len(chosen), _NUM_SHOWN)).astype(np.int64)
    step = images.shape[-1] // _TILE
    views = np.full((_TILE, _NUM_SHOWN * _TILE, 3), 255, np.uint8)
    small = (images[shown, :, ::step, ::step][:, :, :_TILE, :_TILE] * 255).astype(np.uint8)
    views[:, : len(shown) * _TILE] = np.concatenate(list(small.transpose(0, 2, 3, 1)), axis=1)
    return {name: float(iou(found, real).mean())}, [views, _shapes(found[shown]), _shapes(real[shown])]
