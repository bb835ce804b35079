"""Train the voxel classifier whose features samples are compared in, and say how good it is.

    python benchmarks/feature_space.py modelnet32.h5 --out voxgan/pretrained/modelnet40-classifier [--json]
    python benchmarks/feature_space.py modelnet32.h5 --score

The data set is ModelNet40 at 32³: ``voxgan prepare modelnet/ modelnet32.h5 --resolution 32``. Shapes are mirrored in x
for every other one, and moved by up to two cells. ``accuracy`` is that on the test split; ``ten`` that on ModelNet10's
test shapes, where the answer is the likeliest of its ten classes; ``unseen`` leaves out the test shapes that stand,
cell for cell, in the training split, too. With --score the shipped one is scored.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from voxgan.batches import order
from voxgan.dataset import Dataset
from voxgan.errors import VoxganError
from voxgan.evaluation.setting import copies
from voxgan.evaluation.suites.classification import TEN
from voxgan.feature_space import FeatureSpace
from voxgan.networks.classifier import Classifier

_BATCH, _SHIFT = 32, 2


def train(data: Dataset, passes: int, width: int = 24, seed: int = 0) -> FeatureSpace:
    torch.manual_seed(seed)
    model = Classifier(data.resolution, len(data.classes), width)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2, fused=True)
    steps = passes * len(data) // _BATCH
    falling = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=max(steps, 2))
    chance = torch.Generator().manual_seed(seed + 1)
    model.train()
    for step in range(steps):
        rows = order(len(data), _BATCH, seed, step)
        shapes = moved(torch.from_numpy(data.occupancy(rows)).float()[:, None], chance)
        loss = nn.functional.cross_entropy(model(shapes), torch.from_numpy(data.labels[rows]), label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return FeatureSpace(model.eval(), tuple(data.classes), {"scores": {}, "training": {}}, "")


def moved(shapes: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
    """Return shapes (B, 1, R, R, R), some mirrored, each moved by a few cells."""
    mirrored = torch.rand(len(shapes), generator=chance) < 0.5
    shapes[mirrored] = shapes[mirrored].flip(2)
    places = torch.randint(0, 2 * _SHIFT + 1, (len(shapes), 3), generator=chance)
    padded = nn.functional.pad(shapes, (_SHIFT,) * 6)
    side = shapes.shape[2]
    parts = [
        p[:, x : x + side, y : y + side, z : z + side] for p, (x, y, z) in zip(padded, places.tolist(), strict=True)
    ]
    return torch.stack(parts)


def accuracy(space: FeatureSpace, data: Dataset, train: Dataset) -> dict[str, float]:
    """Return the shares of test shapes whose class is named right."""
    rows = np.arange(len(data))
    answers = np.concatenate([space.probabilities(data.occupancy(part)) for part in np.split(rows, rows[256::256])])
    if list(space.classes) != data.classes:
        sys.exit(f"{data.path}: its classes are not those that the classifier knows; expected ModelNet40's")
    right = answers.argmax(1) == data.labels
    fresh = ~copies(data, rows, train)
    found = {"accuracy": float(right.mean()), "unseen": float(right[fresh].mean())}
    if set(TEN) < set(data.classes):
        ten = np.array([data.classes.index(name) for name in TEN])
        own = np.isin(data.labels, ten)
        named = ten[answers[own][:, ten].argmax(1)]
        found["ten"] = float((named == data.labels[own]).mean())
        found["ten_unseen"] = float((named == data.labels[own])[fresh[own]].mean())
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, help="folder to write it to")
    parser.add_argument("--score", action="store_true", help="score the shipped one, train none")
    parser.add_argument("--passes", type=int, default=12)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.data is None:
        print("{}" if options.json else "nothing to train on: give ModelNet40 at 32³, made by voxgan prepare")
        return
    if not options.score and options.out is None:
        parser.error("--out is missing; expected a folder, or --score")
    torch.set_num_threads(options.threads)
    began = time.perf_counter()
    try:
        with Dataset(options.data, "train") as data, Dataset(options.data, "test") as test:
            space = FeatureSpace.load() if options.score else train(data, options.passes, options.width)
            figures: dict[str, float] = accuracy(space, test, data)
            counts = {"train_shapes": len(data), "test_shapes": len(test), "classes": len(data.classes)}
        if not options.score:
            space.facts["scores"] = figures
            space.facts["training"] = {**counts, "passes": options.passes, "data": "ModelNet40, 30³ brought to 32³"}
            space.save(options.out)
    except VoxganError as error:
        sys.exit(str(error))
    figures = {**figures, **counts, "minutes": round((time.perf_counter() - began) / 60, 1)}
    print(json.dumps(figures) if options.json else "  ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
