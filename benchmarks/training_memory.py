"""Peak memory of training steps at the paper's size, each setting in a process of its own.

    python benchmarks/training_memory.py [--batch 100] [--steps 2] [--threads 2] [--settings fp32 bf16 …] [--json]

64³, width 64. A setting is a precision, and after it what is switched on: ``fp32``, ``bf16``, ``bf16+checkpointing``,
``fp32+accumulate=4``, ``fp32+checkpointing+accumulate=2``. Gigabytes (10⁹ bytes) are the largest resident memory of
the whole process, the libraries' share of about 0.3 included, as the operating system counts it (VmHWM); ``fits_8gb``
says which settings stay below 8. Seconds are of the last step.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import re
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training_step import real_shapes

from voxgan.models.gan3d import GAN3D, Config
from voxgan.networks.forms import has_bfloat16
from voxgan.training import Training
from voxgan.training.ranks import ALONE
from voxgan.training.run import keep_freed_memory
from voxgan.training.step import Stepper

PRECISIONS = ("fp32", "bf16") if has_bfloat16(torch.device("cpu")) else ("fp32",)
SETTINGS = [name + rest for name in PRECISIONS for rest in ("", "+checkpointing", "+accumulate=4")]


def parsed(setting: str) -> dict[str, Any]:
    precision, *rest = setting.split("+")
    options: dict[str, Any] = {"precision": precision}
    for word in rest:
        name, _, number = word.partition("=")
        options[name] = int(number) if number else True
    return options


def measure(pipe: Connection, setting: str, batch: int, steps: int, threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.manual_seed(0)
    model = GAN3D(Config(adversarial="non_saturating", gate=1.0))
    stepper = Stepper(model, Training(batch=batch, **parsed(setting)), ALONE)
    packed = np.packbits(real_shapes(batch).reshape(batch, -1), axis=1)
    raw = {"packed": torch.from_numpy(packed), "label": torch.zeros(batch, dtype=torch.long)}
    taken = 0.0
    for number in range(steps):
        began = time.perf_counter()
        dict(stepper.run(number, raw, {}))
        taken = time.perf_counter() - began
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    pipe.send({"gb": round(int(peak[1]) * 1024 / 1e9, 2), "seconds": round(taken, 2)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--steps", type=int, default=2, help="the second has the optimisers' moments beside it")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--settings", nargs="+", default=SETTINGS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rows = {}
    for setting in options.settings:
        here, there = context.Pipe()
        arguments = (there, setting, options.batch, options.steps, options.threads)
        process = context.Process(target=measure, args=arguments)
        process.start()
        there.close()
        try:
            rows[setting] = here.recv()
        except EOFError:  # killed by the system, or refused: its own words stand above
            rows[setting] = {"gb": None, "seconds": None}
        process.join()
    fits = [setting for setting, row in rows.items() if row["gb"] is not None and row["gb"] < 8]
    if options.json:
        print(json.dumps({"fits_8gb": fits, "batch": options.batch, "settings": rows}))
        return
    print(f"64³, width 64, batch {options.batch}")
    for setting, row in rows.items():
        words = "did not end" if row["gb"] is None else f"{row['gb']:6.2f} GB{row['seconds']:8.1f} s a step"
        print(f"  {setting:26}{words}{'' if setting in fits else '   more than 8 GB'}")


if __name__ == "__main__":
    main()
