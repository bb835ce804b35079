"""How near each layer of the paper's networks comes to the processor's practical peak, and where a step's time goes.

    python benchmarks/layers.py [--batch 4] [--repeat 7] [--threads 2] [--precision fp32 bf16] [--json]

GFLOP/s of the layer forwards, of the gradient of its input, and of the gradient of its weights, in our form
(`voxgan.networks.forms`) and the plain one (torch's function on tensors in its default layout), with the layer's
arithmetic counted as the plain form needs it (so one that needs fewer products may be above the peak). ``peak`` is the
same of a large matrix product and of a convolution of 128 × 128 channels over 32³, in the same run. Weights are in
single precision in both forms, as in training: what it takes to bring them to bfloat16, and their gradients back, is
counted. The last table is one step of the training engine by kind of work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from plain import LATENT
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d
from torch.profiler import ProfilerActivity, profile
from training_step import ours

from voxgan.networks import forms
from voxgan.training.run import keep_freed_memory

Layer = Callable[[Tensor, Tensor], Tensor]
Rates = dict[str, float]

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
PARTS = ("forward", "of input", "of weights")
KINDS = {  # the first that is in the name of an operator
    "convolutions": ("convolution",),
    "matrix products": ("::mm", "::addmm", "::bmm", "::baddbmm", "::mv", "::dot", "::addmv"),
    "batch norm": ("batch_norm",),
    "activations": ("relu", "sigmoid", "threshold", "softplus"),
    "optimiser": ("adam",),
    "sums": ("aten::add", "aten::sub"),  # most of them of layers with fewer products
    "moving average": ("lerp",),
    "copies": ("copy_", "aten::cat", "fill_", "zero_", "constant_pad", "clone"),
}


def seconds(work: Callable[[], object], repeat: int) -> float:
    times = []
    for place in range(repeat + 2):
        began = time.perf_counter()
        work()
        if place > 1:
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def layers(batch: int) -> dict[str, tuple[Layer, Layer, tuple[int, ...], tuple[int, ...], float]]:
    """Ours, plain, shapes of input and weights, and floating point operations, by name."""

    def grown(x: Tensor, weight: Tensor) -> Tensor:
        return conv_transpose3d(x, weight.to(x.dtype), stride=2, padding=1)

    def shrunk(x: Tensor, weight: Tensor) -> Tensor:
        return conv3d(x, weight.to(x.dtype), stride=2, padding=1)

    def first(x: Tensor, weight: Tensor) -> Tensor:
        return conv_transpose3d(x, weight.to(x.dtype))

    def product(x: Tensor, weight: Tensor) -> Tensor:
        return x.flatten(1).float() @ weight.flatten(1)

    found: dict[str, Any] = {
        "G   200 → 512,  4³": (product, first, (batch, LATENT, 1, 1, 1), (LATENT, 512, 4, 4, 4), 64),
    }
    for before, after, side in ((512, 256, 4), (256, 128, 8), (128, 64, 16), (64, 1, 32)):
        ours_ = forms.conv_transpose_by_blocks if after == 1 else forms.conv_transpose
        shapes = (batch, before, side, side, side), (before, after, 4, 4, 4)
        found[f"G {before:5} → {after:3}, {2 * side:2}³"] = (ours_, grown, *shapes, 64 * side**3)
    for before, after, side in ((1, 64, 64), (64, 128, 32), (128, 256, 16), (256, 512, 8)):
        ours_ = forms.conv_by_blocks if before == 1 else forms.conv
        shapes = (batch, before, side, side, side), (after, before, 4, 4, 4)
        found[f"D {before:5} → {after:3}, {side // 2:2}³"] = (ours_, shrunk, *shapes, 64 * (side // 2) ** 3)
    return {
        name: (ours_, plain, x, weight, 2.0 * batch * weight[0] * weight[1] * places)
        for name, (ours_, plain, x, weight, places) in found.items()
    }


def rates(layer: Layer, x: Tensor, weight: Tensor, operations: float, repeat: int) -> Rates:
    """GFLOP/s of the three parts."""
    with torch.no_grad():
        forward = seconds(lambda: layer(x, weight), repeat)
    found = {"forward": forward}
    for name, with_input in (("of input", True), ("of weights", False)):
        x, weight = x.detach().requires_grad_(with_input), weight.detach().requires_grad_(not with_input)
        y = layer(x, weight)
        seed = torch.randn_like(y)
        wanted = x if with_input else weight

        def gradient(y: Tensor = y, wanted: Tensor = wanted, seed: Tensor = seed) -> None:
            wanted.grad = None
            torch.autograd.backward(y, seed, retain_graph=True, inputs=[wanted])

        found[name] = seconds(gradient, repeat)
    return {name: operations / taken / 1e9 for name, taken in found.items()}


def peaks(dtype: torch.dtype, repeat: int) -> Rates:
    with torch.no_grad():
        a = torch.randn(2048, 2048).to(dtype)
        product = 2 * 2048**3 / seconds(lambda: a @ a, repeat)
        x = torch.randn(4, 128, 32, 32, 32).to(dtype).contiguous(memory_format=torch.channels_last_3d)
        weight = torch.randn(128, 128, 3, 3, 3).to(dtype)
        convolution = 2 * 4 * 128 * 128 * 27 * 32**3 / seconds(lambda: conv3d(x, weight, padding=1), repeat)
    return {"matrix product": product / 1e9, "convolution": convolution / 1e9}


def kinds(batch: int, precision: str) -> Rates:
    """Milliseconds of one step of the engine by kind of work."""
    work = ours(batch, precision)
    for _ in range(3):
        work()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        work()
    table = dict.fromkeys([*KINDS, "other"], 0.0)
    for event in found.key_averages():
        kind = next((kind for kind, names in KINDS.items() if any(name in event.key for name in names)), "other")
        table[kind] += event.self_cpu_time_total / 1000
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    known = list(PRECISIONS) if forms.has_bfloat16(torch.device("cpu")) else ["fp32"]
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=known, help="%(default)s")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    report: dict[str, Any] = {"batch": options.batch, "threads": options.threads}
    for precision in options.precision:
        dtype = PRECISIONS[precision]
        peak = peaks(dtype, options.repeat)
        table: dict[str, dict[str, Rates]] = {}
        for name, (ours_, plain, shape, weights, operations) in layers(options.batch).items():
            x, weight = torch.randn(shape).to(dtype), torch.randn(weights)
            last = x.contiguous(memory_format=torch.channels_last_3d)  # what the layer before it gives
            table[name] = {
                "ours": rates(ours_, last, weight, operations, options.repeat),
                "plain": rates(plain, x, weight, operations, options.repeat),
            }
        report[precision] = {"peak": peak, "layers": table, "step_ms": kinds(options.batch, precision)}
    if options.json:
        print(json.dumps(report))
        return
    for precision in options.precision:
        found, top = report[precision], max(report[precision]["peak"].values())
        words = ", ".join(f"{name} {rate:.0f}" for name, rate in found["peak"].items())
        print(f"{precision}, batch {options.batch}, {options.threads} threads; peak in GFLOP/s: {words}")
        print(f"{'GFLOP/s, ours (plain)':21}" + "".join(f"{part:>16}" for part in PARTS) + f"{'of peak':>18}")
        for name, row in found["layers"].items():
            cells = [f"{row['ours'][part]:.0f} ({row['plain'][part]:.0f})" for part in PARTS]
            shares = " ".join(f"{100 * row['ours'][part] / top:4.0f}" for part in PARTS)
            print(f"{name:21}" + "".join(f"{cell:>16}" for cell in cells) + f"{shares:>16} %")
        total = sum(found["step_ms"].values())
        print(f"one step of the engine, {total:.0f} ms of operators")
        for kind, taken in found["step_ms"].items():
            print(f"  {kind:18}{taken:8.1f} ms{100 * taken / total:6.0f} %")
        print()


if __name__ == "__main__":
    main()
