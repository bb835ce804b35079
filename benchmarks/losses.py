"""Which adversarial loss to take: every loss on every network at equal compute, on the same shapes.

    python benchmarks/losses.py chairs32.h5 --out runs/losses [--tera 8] [--seeds 0]
                                [--losses all] [--networks paper,residual] [--width 8] [--threads 1] [--part 1/2]
    python benchmarks/losses.py chairs32.h5 --out runs/losses --table [--json] [--sheet all.png]

Each run is the preset ``gan3d_gated`` with ``adversarial=`` and ``network=`` changed, as a user would, and takes as
many steps as --tera TFLOP allow, counted as ``--dry-run`` counts them. `wasserstein` goes without its warm-up,
which would be all of such a run. The ``quick`` ones are critics with G moving in every step, at ten times the rates.
Where a run stops, it goes on; --part divides the runs between processes.

Scores are of 400 samples, beside 400 real shapes: ``failed`` (empty, full, one blob or shattered), ``parts`` (share of
the mass in the largest connected part), ``pairs`` (mean pairwise IoU) and ``ms_ssim`` as multiples of the data's,
``frechet`` (distance to all training shapes in the feature space, d = 64), ``one_nna`` (IoU; ½ is ideal, 1 is told
apart always), ``nearest`` (mean IoU with the nearest training shape).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import voxgan
from voxgan import adversarial
from voxgan.adversarial.schedule import CriticSchedule
from voxgan.dataset import Dataset
from voxgan.errors import VoxganError
from voxgan.feature_space import FeatureSpace
from voxgan.metrics.failures import failed, failures, largest_part
from voxgan.metrics.frechet import frechet_distance
from voxgan.metrics.ms_ssim import mean_ms_ssim
from voxgan.metrics.nearest import nearest
from voxgan.metrics.pairwise_iou import mean_pairwise_iou
from voxgan.metrics.two_sample import iou_1nna
from voxgan.preview import sheet
from voxgan.training import estimate

_COUNT = 400
_OPTIONS: dict[str, Any] = {"batch": 16, "sample_every": 0, "save_every": 1000, "average": 0.99}
_QUICK = {"critic_steps": 1, "generator_rate": 1e-3, "discriminator_rate": 1e-3}
ARMS: dict[str, dict[str, Any]] = {
    **{name: {"adversarial": name} for name in adversarial.names()},
    "wasserstein": {"adversarial": "wasserstein", "critic_warmup": 0},
    "wasserstein_gp-quick": {"adversarial": "wasserstein_gp", **_QUICK},
    "relativistic-quick": {"adversarial": "relativistic", **_QUICK},
}


def options_of(arm: str, network: str, width: int) -> dict[str, Any]:
    return {**_OPTIONS, "width": width, "network": network, **ARMS[arm]}


def steps_within(tera: float, data: Path, options: dict[str, Any]) -> int:
    """Return how many steps so many TFLOP allow, G moving when it is its turn."""
    found = estimate("gan3d_gated", data, **options)
    turn = CriticSchedule(found["critic_steps"], found["critic_warmup"])
    share = np.mean([turn(step) for step in range(1000)])
    # In a critic's own step, the generator is run forward, a third of its arithmetic with one backward pass.
    flops = found.flops["discriminator"] + share * found.flops["generator"]
    return max(2, int(tera * 1e12 / flops / found["batch"]))


def scores(shapes: np.ndarray, data: np.ndarray, features: FeatureSpace) -> dict[str, float]:
    real = data[np.linspace(0, len(data) - 1, _COUNT).astype(int)]
    found = {
        **failures(shapes),
        "failed": float(failed(shapes).mean()),
        "parts": float(np.mean([largest_part(shape) for shape in shapes])),
        "pairs": mean_pairwise_iou(shapes) / mean_pairwise_iou(real),
        "ms_ssim": mean_ms_ssim((shapes >= 0.5).astype(np.float32)) / mean_ms_ssim(real.astype(np.float32)),
        "frechet": frechet_distance(features.features(shapes), features.features(data)),
        "one_nna": iou_1nna(shapes, real),
        "nearest": float(nearest(shapes, data)[1].mean()),
    }
    return {key: round(value, 4) for key, value in found.items()}


def run(name: str, options: dict[str, Any], where: Path, arguments: argparse.Namespace) -> None:
    """Train one arm, or go on with it, score it, and write its scores and samples."""
    folder = where / name
    if (folder / "scores.json").exists():
        return
    began = time.process_time()
    if (folder / "resume.json").exists():
        model = voxgan.training.resume(folder)
    else:
        steps = steps_within(arguments.tera, arguments.data, options)
        model = voxgan.train("gan3d_gated", arguments.data, folder, steps=steps, **options)
    with Dataset(arguments.data, "train") as data:
        real = data.occupancy(np.arange(len(data))) > 0
    shapes = model.generate(_COUNT, seed=0).occupancy
    figures = scores(shapes, real, FeatureSpace.load())
    figures |= {"steps": json.loads((folder / "config.json").read_text())["training"]["step"]}
    figures |= {"minutes": round((time.process_time() - began) / 60, 1)}
    np.save(folder / "samples.npy", np.packbits(shapes[:16] >= 0.5))
    (folder / "scores.json").write_text(json.dumps(figures))
    print(name, figures, flush=True)


def floor_and_ceiling(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Score real test shapes as samples, and noise as full as a shape."""
    features = FeatureSpace.load()
    with Dataset(arguments.data, "train") as data, Dataset(arguments.data, "test") as test:
        real = data.occupancy(np.arange(len(data))) > 0
        unseen = test.occupancy(np.arange(len(test))).astype(np.float32)
    noise = (np.random.default_rng(0).random((_COUNT, *real.shape[1:])) < real.mean()).astype(np.float32)
    return {f"{len(unseen)} real test shapes": scores(unseen, real, features), "noise": scores(noise, real, features)}


def table(arguments: argparse.Namespace) -> None:
    rows = floor_and_ceiling(arguments)
    rows |= {p.parent.name: json.loads(p.read_text()) for p in sorted(arguments.out.glob("*/scores.json"))}
    if arguments.json:
        print(json.dumps(rows))
        return
    keys = ("steps", "minutes", "failed", "parts", "pairs", "ms_ssim", "frechet", "one_nna", "nearest")
    print("| run | " + " | ".join(keys) + " |\n|" + "---|" * (len(keys) + 1))
    for name, row in rows.items():
        shown = ["" if k not in row else f"{row[k]:.0%}" if k == "failed" else f"{row[k]:.4g}" for k in keys]
        print(f"| {name} | " + " | ".join(shown) + " |")


def draw(arguments: argparse.Namespace) -> None:
    """Draw eight samples of each run, a row each, in the order of the table."""
    from PIL import Image

    rows = []
    for path in sorted(arguments.out.glob("*/samples.npy")):
        side = json.loads((path.parent / "config.json").read_text())["config"]["resolution"]
        grids = np.unpackbits(np.load(path))[: 16 * side**3].reshape(16, side, side, side)
        rows.append(sheet(grids[:8].astype(np.float32), columns=8, size=80))
    Image.fromarray(np.concatenate(rows)).save(arguments.sheet)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tera", type=float, default=8.0, help="TFLOP of each run")
    parser.add_argument("--losses", default="all")
    parser.add_argument("--networks", default="paper,residual")
    parser.add_argument("--seeds", default="0", help="comma-separated")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part", default="1/1", help="of the runs, as in 2/3")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.data is None or arguments.out is None:
        print("{}" if arguments.json else "nothing to train on: give a data set, and a folder with --out")
        return
    torch.set_num_threads(arguments.threads)
    try:
        if arguments.table or arguments.sheet:
            if arguments.sheet:
                draw(arguments)
            if arguments.table:
                table(arguments)
            return
        losses = ARMS if arguments.losses == "all" else arguments.losses.split(",")
        number, parts = map(int, arguments.part.split("/"))
        arms = [
            (f"{network}-{loss}-{seed}", {**options_of(loss, network, arguments.width), "seed": int(seed)})
            for seed in arguments.seeds.split(",")
            for network in arguments.networks.split(",")
            for loss in losses
        ]
        for name, options in arms[number - 1 :: parts]:
            run(name, options, arguments.out, arguments)
    except VoxganError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
