"""IoU of reconstructions from rendered views of unseen shapes, beside what knowing only the class gives.

    python benchmarks/reconstruction.py --data furniture64.h5 [--model furniture] [--views 2] [--json]

Without a data set there is nothing to score, and it says so.

Rows: the model; the class's mean training shape at the level that suits it best (it is told the class); a random
training shape of the class. The IoU is that of 64³ grids at level 0.5, averaged over views, then over shapes, then over
classes.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
import torch

import voxgan
from voxgan.batches import photos
from voxgan.dataset import Dataset
from voxgan.errors import VoxganError
from voxgan.metrics.iou import iou

CHUNK = 50
LEVELS = (0.2, 0.3, 0.4, 0.5)


def model_scores(model: voxgan.Model, data: Dataset, num_views: int) -> np.ndarray:
    """Return the IoU of each shape, averaged over its first views on white."""
    scores = np.zeros(len(data))
    for start in range(0, len(data), CHUNK):
        rows = np.arange(start, min(start + CHUNK, len(data)))
        real = data.occupancy(rows)
        for view in range(num_views):
            pictures = torch.from_numpy(data.views(rows.tolist(), [view] * len(rows)))
            images = photos(pictures, None, torch.zeros(len(rows), dtype=torch.bool), augment=False)
            scores[rows] += iou(model.reconstruct(images.numpy()).occupancy, real) / num_views
    return scores


def floor_scores(train: Dataset, test: Dataset, label: int) -> tuple[float, float]:
    """Return the IoU of the class's mean training shape and of a random one with the class's test shapes."""
    rng = np.random.default_rng(0)
    own, other = np.flatnonzero(train.labels == label), np.flatnonzero(test.labels == label)
    real = test.occupancy(other)
    mean = np.zeros(real.shape[1:], np.float64)
    for start in range(0, len(own), CHUNK):
        mean += train.occupancy(own[start : start + CHUNK]).sum(axis=0)
    mean /= len(own)
    best = max(iou(np.broadcast_to(mean >= level, real.shape), real).mean() for level in LEVELS)
    random = iou(train.occupancy(rng.choice(own, len(other))), real).mean()
    return float(best), float(random)


def seen_in_training(train: Dataset, test: Dataset) -> np.ndarray:
    """Say which test shapes stand, voxel for voxel, in the training split, too."""
    known = {train.packed([i]).tobytes() for i in range(len(train))}
    return np.array([test.packed([i]).tobytes() in known for i in range(len(test))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="data set with views, made by voxgan prepare")
    parser.add_argument("--model", default="furniture")
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.data is None:
        print("{}" if options.json else "nothing to score: give --data, a data set with views and a test split")
        return
    try:
        model = voxgan.load(options.model)
        classes = model.config.classes or None
        train, test = Dataset(options.data, "train", classes), Dataset(options.data, "test", classes)
    except VoxganError as error:
        sys.exit(str(error))
    ours = model_scores(model, test, options.views)
    rows = {}
    for label, name in enumerate(test.classes):
        if (test.labels == label).any():
            rows[name] = (float(ours[test.labels == label].mean()), *floor_scores(train, test, label))
    fresh = ~seen_in_training(train, test)
    unseen = float(np.mean([ours[(test.labels == label) & fresh].mean() for label in np.unique(test.labels)]))
    mean = tuple(float(np.mean(column)) for column in zip(*rows.values(), strict=True))
    if options.json:
        table = {name: [round(value, 3) for value in row] for name, row in rows.items()}
        keys = ("iou", "iou_mean_shape", "iou_random_shape")
        print(
            json.dumps(
                {
                    **dict(zip(keys, (round(m, 3) for m in mean), strict=True)),
                    "iou_unseen": round(unseen, 3),
                    "classes": table,
                }
            )
        )
        return
    print(
        f"{'':12}{'model':>8}{'mean shape':>12}{'random shape':>14}   IoU, {len(test)} shapes x {options.views} views"
    )
    for name, row in {**rows, "mean": mean}.items():
        print(f"{name:12}{row[0]:8.3f}{row[1]:12.3f}{row[2]:14.3f}")
    print(f"{'unseen':12}{unseen:8.3f}   without {(~fresh).sum()} shapes that stand in the training split, too")


if __name__ == "__main__":
    main()
