"""What helps from photo to shape: losses, encoders, teachers, photos, each changed alone, for as many photos.

    python benchmarks/photo_to_shape.py furniture64.h5 ikea64.h5 --test modelnet64.h5 --out runs/photos
                                        [--steps 600] [--arms all] [--part 1/2]
    python benchmarks/photo_to_shape.py furniture64.h5 ikea64.h5 --out runs/photos --table [--json]

Each run is the preset ``vae_gan3d`` at 32³ with the options of ``BASE``, of which an arm changes some. Where a run
stops, it goes on; --part divides the runs between processes. Scores are those of ``voxgan evaluate --quick
--suite reconstruction``: IoU at ½ and at the best level on views of --test's test shapes, average precision on the
photos; means over classes, in per cent. Ten minutes a run on one thread, but for the paper's encoder.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import voxgan
from voxgan.errors import VoxganError

BASE: dict[str, Any] = {
    "resolution": 32,
    "image_encoder": "efficientnet",
    "encoder_start": "imagenet",
    "encoder_frozen": 6,
    "encoder_rate": 1.5e-4,
    "generator_rate": 1e-3,
    "reconstruction": "bce",
    "kl_weight": 1e-5,
    "adversarial_weight": 0.0,
    "photos": "randomised",
    "batch": 12,
    "average": 0.99,
    "cosine": True,
    "sample_every": 0,
    "save_every": 200,
}
ARMS: dict[str, dict[str, Any]] = {
    "base": {},
    **{name: {"reconstruction": name} for name in ("l2", "weighted_bce", "dice", "tversky", "bce_dice")},
    "adversary": {"adversarial_weight": 0.01},
    "features": {"adversarial_weight": 0.01, "feature_weight": 0.1},
    "teacher": {"teacher_weight": 1e-3},
    "staged": {"joint": False, "adversarial_weight": 0.01},
    "kl_0": {"kl_weight": 0.0},
    "kl_1e-4": {"kl_weight": 1e-4},
    "batch_24": {"batch": 24},
    "rate_5e-5": {"encoder_rate": 5e-5},
    "rate_3e-4": {"encoder_rate": 3e-4},
    "frozen_0": {"encoder_frozen": 0},
    "frozen_12": {"encoder_frozen": 12},
    "plain_photos": {"photos": "plain"},
    "random_start": {"encoder_start": "random", "encoder_frozen": 0},
    "paper_encoder": {
        "image_encoder": "paper",
        "encoder_start": "random",
        "encoder_frozen": 0,
        "encoder_width": 32,
    },
}


def run(name: str, arguments: argparse.Namespace) -> None:
    """Train one arm, or go on with it, score it, and write its scores."""
    folder: Path = arguments.out / name
    if (folder / "scores.json").exists():
        return
    options = {**BASE, **ARMS[name]}
    steps = arguments.steps * BASE["batch"] // options["batch"]
    began = time.process_time()
    if (folder / "resume.json").exists():
        voxgan.resume(folder)
    else:
        voxgan.train("vae_gan3d", arguments.data, folder, steps=steps, **options)
    minutes = round((time.process_time() - began) / 60, 1)
    views = voxgan.evaluate(folder, arguments.test or arguments.data, "reconstruction", quick=True)
    photos = voxgan.evaluate(folder, arguments.photos, "reconstruction", train=arguments.data, quick=True)
    figures = {
        "iou": views.score("reconstruction", "whole", "iou"),
        "best_iou": views.score("reconstruction", "whole", "best_iou"),
        "ap": photos.score("reconstruction", "photos", "mean"),
        "mean_shape": photos.score("reconstruction", "photos", "mean", "class's mean shape"),
    }
    found = {key: round(100 * value, 2) for key, value in figures.items()} | {"minutes": minutes}
    (folder / "scores.json").write_text(json.dumps(found | {"steps": steps}))
    print(name, found, flush=True)


def table(arguments: argparse.Namespace) -> None:
    rows = {p.parent.name: json.loads(p.read_text()) for p in sorted(arguments.out.glob("*/scores.json"))}
    if arguments.json:
        print(json.dumps(rows))
        return
    keys = ("steps", "minutes", "iou", "best_iou", "ap", "mean_shape")
    print("| run | " + " | ".join(keys) + " |\n|" + "---|" * (len(keys) + 1))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{row[key]:.4g}" for key in keys) + " |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--test", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--arms", default="all")
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.data is None or arguments.photos is None or arguments.out is None:
        print("{}" if arguments.json else "nothing to train on: give two data sets, and a folder with --out")
        return 0
    if arguments.table:
        table(arguments)
        return 0
    arms = list(ARMS) if arguments.arms == "all" else arguments.arms.split(",")
    part, parts = map(int, arguments.part.split("/"))
    try:
        for name in arms[part - 1 :: parts]:
            run(name, arguments)
    except VoxganError as error:
        print(f"photo_to_shape: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
