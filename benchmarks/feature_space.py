"""A small voxel classifier: a fixed feature space to measure generators in, and an independent judge of classes.

    python benchmarks/feature_space.py DATA.h5 --out features.pt [--passes 5] [--threads 1] [--json]

Three convolutions of kernel 4 and stride 2 with batch norm, a layer of 64 numbers, which are the features, and one of
classes. It is trained on the train split; its accuracy on the test split is printed with it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from voxgan.batches import order
from voxgan.dataset import Dataset
from voxgan.errors import VoxganError

_BATCH = 32


class Classifier(nn.Module):
    """Occupancy (B, 1, R, R, R) → logits of K classes."""

    def __init__(self, resolution: int, classes: list[str], width: int = 16) -> None:
        super().__init__()
        self.resolution, self.classes = resolution, classes
        layers: list[nn.Module] = []
        fan_in, side = 1, resolution
        for fan_out in (width, 2 * width, 4 * width):
            layers += [nn.Conv3d(fan_in, fan_out, 4, 2, 1, bias=False), nn.BatchNorm3d(fan_out), nn.ReLU()]
            fan_in, side = fan_out, side // 2
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(fan_in * side**3, 64), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(64, len(classes)))

    def forward(self, occupancy: Tensor) -> Tensor:
        return self.head(self.body(occupancy))

    @torch.inference_mode()
    def features(self, occupancy: np.ndarray) -> np.ndarray:
        """Return 64 numbers for each shape (B, R, R, R), of which cells of ½ and more count as inside."""
        return np.concatenate([self.eval().body(part).numpy() for part in _parts(occupancy)])

    @torch.inference_mode()
    def named(self, occupancy: np.ndarray) -> np.ndarray:
        """Return the class of each shape, as an index."""
        return np.concatenate([self.eval()(part).argmax(1).numpy() for part in _parts(occupancy)])


def _parts(occupancy: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(p >= 0.5).float()[:, None] for p in np.split(occupancy, range(64, len(occupancy), 64))]


def train(data: Dataset, passes: int, seed: int = 0) -> Classifier:
    """Train on a data set; mirrored in x for every other shape."""
    torch.manual_seed(seed)
    model = Classifier(data.resolution, data.classes)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    steps = passes * len(data) // _BATCH
    falling = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=max(steps, 2))
    model.train()
    for step in range(steps):
        rows = order(len(data), _BATCH, seed, step)
        shapes = torch.from_numpy(data.occupancy(rows)).float()[:, None]
        mirrored = torch.rand(len(shapes)) < 0.5
        shapes[mirrored] = shapes[mirrored].flip(2)
        loss = nn.functional.cross_entropy(model(shapes), torch.from_numpy(data.labels[rows]), label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return model.eval()


def accuracy(model: Classifier, data: Dataset) -> float:
    """Return the share of shapes whose class is named right."""
    rows = np.arange(len(data))
    named = [model.named(data.occupancy(part)) for part in np.split(rows, range(256, len(rows), 256))]
    return float((np.concatenate(named) == data.labels).mean())


def save(model: Classifier, path: Path) -> None:
    torch.save({"resolution": model.resolution, "classes": model.classes, "weights": model.state_dict()}, path)


def load(path: Path) -> Classifier:
    content = torch.load(path, weights_only=True)
    model = Classifier(content["resolution"], content["classes"])
    model.load_state_dict(content["weights"])
    return model.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.perf_counter()
    try:
        with Dataset(options.data, "train") as data, Dataset(options.data, "test") as test:
            model = train(data, options.passes)
            figures = {
                "accuracy": round(accuracy(model, test), 4),
                "train_shapes": len(data),
                "test_shapes": len(test),
                "classes": len(data.classes),
                "minutes": round((time.perf_counter() - began) / 60, 1),
            }
    except VoxganError as error:
        sys.exit(str(error))
    save(model, options.out)
    print(json.dumps(figures) if options.json else "  ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
