"""How many generated shapes fail at a glance, and how different they are from each other, beside real shapes.

    python benchmarks/generation.py [--model chairs-gan3d] [--data chairs64.h5] [--count 200] [--seed 0] [--json]

``empty``, ``full``, ``blob`` and ``shattered`` are the shares of samples that `voxgan.metrics.failures` counts;
``largest_part`` is the mean share of the mass in the largest connected part; ``pairwise_iou`` the mean IoU of pairs of
samples (1 means that all are the same). With ``--data`` the training shapes are scored the same way.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np

import voxgan
from voxgan.dataset import Dataset
from voxgan.errors import VoxganError
from voxgan.metrics.failures import failures, largest_part
from voxgan.metrics.iou import iou


def scores(grids: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    one, other = rng.permutation(len(grids)), rng.permutation(len(grids))
    kept = one != other
    return {
        **failures(grids),
        "largest_part": float(np.mean([largest_part(grid) for grid in grids])),
        "pairwise_iou": float(iou(grids[one[kept]], grids[other[kept]]).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="chairs-gan3d")
    parser.add_argument("--data", help="data set to score beside it")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        model = voxgan.load(options.model)
        rng = np.random.default_rng(options.seed)
        rows = {options.model: scores(model.generate(options.count, seed=options.seed).occupancy, rng)}
        if options.data:
            data = Dataset(options.data, "train", model.config.classes or None)
            chosen = rng.choice(len(data), min(options.count, len(data)), replace=False)
            rows["training shapes"] = scores(data.occupancy(chosen), rng)
    except VoxganError as error:
        sys.exit(str(error))
    rounded = {name: {key: round(value, 3) for key, value in row.items()} for name, row in rows.items()}
    if options.json:
        print(json.dumps(rounded[options.model]))
        return
    for name, row in rounded.items():
        print(f"{name:18}" + "  ".join(f"{key} {value:.3f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
