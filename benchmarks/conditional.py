"""Whether a conditional model makes what it is asked for: four kinds of primitives, named by an independent classifier.

    python benchmarks/conditional.py [--models projection,concatenation,auxiliary] [--steps 600] [--width 8]
                                     [--resolution 16] [--shuffled] [--threads 1] [--out conditional.json] [--json]
                                     [--sheet kinds.png]

Balls, boxes, cones and rings of random size, place and axis, 400 of each to train on. A classifier is trained on other
such primitives; its accuracy on a third set is printed. Then a model is trained for each condition, 100 shapes of each
class are asked for, and ``NAME`` is the share of them that the classifier names as asked, ``NAME_least`` that of the
worst class, ``NAME_ms_ssim`` the largest excess of a class's mean MS-SSIM over that of the real one (AC-GAN's measure
of variety: it should not be above .05). With --shuffled the labels of the training shapes are shuffled: what is named
as asked must fall to chance, ¼.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import feature_space
import numpy as np
import torch

import voxgan
from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer
from voxgan.errors import VoxganError
from voxgan.metrics.ms_ssim import mean_ms_ssim
from voxgan.preview import sheet
from voxgan.voxels import cell_centres

KINDS = ("ball", "box", "cone", "ring")
_ASKED = 100  # of each class


def primitive(kind: str, resolution: int, rng: np.random.Generator) -> np.ndarray:
    """Return one primitive as a grid (R, R, R)."""
    x, y, z = np.moveaxis(cell_centres(resolution) - rng.uniform(-0.08, 0.08, 3), -1, 0)
    x, y, z = [(x, y, z), (y, z, x), (z, x, y)][rng.integers(3)]
    size, low = rng.uniform(0.26, 0.38), rng.uniform(0.75, 1.0)
    flat = np.hypot(x, y)
    if kind == "ball":
        return (x / size) ** 2 + (y / size / low) ** 2 + (z / size) ** 2 < 1
    if kind == "box":
        return np.maximum(np.maximum(abs(x), abs(y) / low), abs(z) / rng.uniform(0.75, 1.0)) < 0.85 * size
    if kind == "cone":
        return (z > -size) & (flat < (size - z) / 2 * low * 1.1)
    return np.hypot(flat - 0.72 * size, z) < 0.32 * size


def write(path: Path, count: int, resolution: int, seed: int, shuffled: bool = False) -> None:
    """Write a data set of `count` primitives of each kind, all to train on."""
    rng = np.random.default_rng(seed)
    names = [kind for kind in KINDS for _ in range(count)]
    labels = [str(name) for name in (rng.permutation(names) if shuffled else names)]
    with Writer.create(path, resolution, KINDS, 0) as writer:
        for number, (name, label) in enumerate(zip(names, labels, strict=True)):
            writer.add(primitive(name, resolution, rng), label, "train", f"{name}{number}")


def options_of(condition: str, arguments: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return the preset and its options for one condition: the everyday ones, with WGAN-GP's loss at our own rates."""
    options = {
        "width": arguments.width,
        "batch": 32,
        "steps": arguments.steps,
        "adversarial": "wasserstein_gp",
        "critic_steps": 1,
        "generator_rate": 1e-3,
        "discriminator_rate": 1e-3,
        "average": 0.99,
        "save_every": arguments.steps,
        "sample_every": 0,
    }
    if condition == "auxiliary":
        return "ac_gan3d", options
    return "gan3d", {**options, "condition": condition}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="projection,concatenation,auxiliary")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--resolution", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shuffled", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file to write what is done so far to")
    parser.add_argument("--sheet", type=Path, help="picture: a row for each class of each model")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    figures: dict[str, Any] = {"steps": arguments.steps, "shuffled": arguments.shuffled}
    rows = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: Path(folder) / f"{name}.h5" for name in ("judge", "test", "train")}
            write(paths["judge"], 500, arguments.resolution, 1)
            write(paths["test"], 100, arguments.resolution, 2)
            write(paths["train"], 400, arguments.resolution, 3, arguments.shuffled)
            with Dataset(paths["judge"], "train") as data, Dataset(paths["test"], "train") as test:
                judge = feature_space.train(data, passes=6)
                figures["classifier"] = feature_space.accuracy(judge, test, data)["accuracy"]
                real = [test.occupancy(np.flatnonzero(test.labels == label)) > 0 for label in range(len(KINDS))]
            for condition in arguments.models.split(","):
                began = time.perf_counter()
                name, options = options_of(condition, arguments)
                run = Path(folder) / condition
                model = voxgan.train(name, paths["train"], run, seed=arguments.seed, **options)
                made = [model.generate(_ASKED, seed=label, class_name=kind) for label, kind in enumerate(model.classes)]
                right = [float((judge.named(m.occupancy) == label).mean()) for label, m in enumerate(made)]
                excess = [
                    mean_ms_ssim((m.occupancy >= 0.5).astype(np.float32)) - mean_ms_ssim(r.astype(np.float32))
                    for m, r in zip(made, real, strict=True)
                ]
                figures[condition], figures[f"{condition}_least"] = round(float(np.mean(right)), 4), min(right)
                figures[f"{condition}_ms_ssim"] = round(max(excess), 4)
                figures[f"{condition}_minutes"] = round((time.perf_counter() - began) / 60, 1)
                rows += [sheet(m.occupancy[:8], columns=8, size=96) for m in made]
                if arguments.out:
                    arguments.out.write_text(json.dumps(figures))
    except VoxganError as error:
        sys.exit(str(error))
    if arguments.sheet:
        from PIL import Image

        Image.fromarray(np.concatenate(rows)).save(arguments.sheet)
    print(json.dumps(figures) if arguments.json else "\n".join(f"{key:24}{value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
