"""One training step of 3D-GAN at the paper's size: the training engine against two plain ways.

    python benchmarks/training_step.py [--batch 4] [--repeat 7] [--threads 2] [--json]

64³, width 64: 17.57 M and 11.05 M weights. ``fp32_vs_careful`` is how many times faster a step of
`voxgan.training.step.Stepper` in single precision is than `plain.Plain.careful_step` in single precision, which
computes the generated batch once and no gradient in vain; ``usual`` is what public re-implementations compute
(`plain.Plain.usual_step`). The engine's step has everything in it that a training's has: unpacking and mirroring of
the batch, the figures of the step, checks of the gradients, the moving average of the weights. D always learns.
On a processor that does not compute in bfloat16, ``precision=bf16`` is refused, and its figures are null.
"""

from __future__ import annotations

import argparse
import functools
import json

import numpy as np
import torch
from plain import Plain
from rounds import Rounds, Work

from voxgan.models.gan3d import GAN3D, Config
from voxgan.networks.forms import has_bfloat16
from voxgan.training import Training
from voxgan.training.ranks import ALONE
from voxgan.training.run import keep_freed_memory
from voxgan.training.step import Stepper


def real_shapes(batch: int) -> np.ndarray:
    """Boxes of several sizes, bool (B, 64, 64, 64)."""
    grids = np.zeros((batch, 64, 64, 64), bool)
    for i, size in enumerate(np.random.default_rng(0).integers(8, 30, (batch, 3))):
        grids[i, : size[0], : size[1], : size[2]] = True
    return grids


def plain(batch: int, step: str) -> Work:
    networks = Plain()
    run = getattr(networks, f"{step}_step")
    return functools.partial(run, torch.from_numpy(real_shapes(batch))[:, None].float())


def ours(batch: int, precision: str) -> Work:
    keep_freed_memory()
    torch.manual_seed(0)
    model = GAN3D(Config(adversarial="non_saturating", gate=1.0))
    stepper = Stepper(model, Training(batch=batch, precision=precision), ALONE)
    packed = np.packbits(real_shapes(batch).reshape(batch, -1), axis=1)
    raw = {"packed": torch.from_numpy(packed), "label": torch.zeros(batch, dtype=torch.long)}
    numbers = iter(range(10**9))

    def work() -> None:
        dict(stepper.run(next(numbers), raw, {}))

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    makers = {name: functools.partial(plain, options.batch, name) for name in ("careful", "usual")}
    precisions = ("fp32", "bf16") if has_bfloat16(torch.device("cpu")) else ("fp32",)
    makers |= {name: functools.partial(ours, options.batch, name) for name in precisions}
    with Rounds(makers, options.threads) as rounds:
        seconds = rounds.seconds(options.repeat)
    ratios = {
        f"{name}_vs_{other}": round(seconds[other] / seconds[name], 2) if name in precisions else None
        for name in ("fp32", "bf16")
        for other in ("careful", "usual")
    }
    milliseconds = {f"{name}_ms": round(1000 * taken, 1) for name, taken in seconds.items()}
    if options.json:
        print(json.dumps(ratios | milliseconds | {"batch": options.batch, "threads": options.threads}))
        return
    print(f"64³, width 64, batch {options.batch}, {options.threads} threads")
    for name, ratio in ratios.items():
        print(f"  {name:18}" + ("   not on this processor" if ratio is None else f"{ratio:6.2f} ×"))
    for name, taken in milliseconds.items():
        print(f"  {name:18}{taken:8.1f}")


if __name__ == "__main__":
    main()
