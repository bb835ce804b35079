"""On paper: how many shapes each GPU needs, so that many of them train 3D-GAN efficiently. Arithmetic, no measurement.

python benchmarks/scaling.py [--sync-batch-norm] [--no-overlap] [--bytes 4] [--gflop 93] [--tflops 790] [--total 4096]
    [--json]

One phase's gradients are summed over all GPUs while its backward pass runs, layer by layer, in the order in which they
are ready; the next phase waits for the last of them. Within a node they go over NVLink, between nodes over its network
cards, as rings: 2 (N − 1) / N · bytes / bandwidth. Each collective call costs a latency on top.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from dataclasses import dataclass

GPUS = (8, 64, 512)
EFFICIENCIES = (0.2, 0.4)  # of the matrix peak; assumed
AIM = 0.9
HIDDEN = (512, 256, 128, 64)
LATENT = 200
CALL, HOP = 15e-6, 10e-6  # seconds of a collective call, and for each doubling of the GPUs; assumed
FIGURES = 3  # small vectors of losses, accuracy and pictures' figures in a step
NORMS = 2 * (4 + 2 * 3 + 3)  # synchronised batch norm: G's layers, D's on real and generated, D's again; there and back


@dataclass(frozen=True)
class Network:
    """GPUs in a node; bytes a second that a GPU moves within its node, and that a node moves to others. Assumed."""

    name: str
    per_node: int
    within: float
    between: float


NVLINK = 360e9  # of 450 GB/s each way on an H200
REACHED = 0.85  # of what a network card promises


def card(gigabits: float) -> float:
    return REACHED * gigabits / 8 * 1e9


NETWORKS = (
    Network("NVLink, 8 × 400 Gb/s InfiniBand a node", 8, NVLINK, 8 * card(400)),
    Network("NVLink, 8 × 200 Gb/s InfiniBand a node", 8, NVLINK, 8 * card(200)),
    Network("NVLink, 1 × 200 Gb/s InfiniBand a node", 8, NVLINK, card(200)),
    Network("NVLink, 25 Gb/s Ethernet a node", 8, NVLINK, card(25)),
    Network("1 GPU a node, 25 Gb/s Ethernet", 1, NVLINK, card(25)),
)


def layers() -> list[tuple[int, float]]:
    """Return weights and multiply-adds of one forward pass of the generator's layers; D's are the mirror.

    >>> found = layers()
    >>> round(sum(weights for weights, _ in found) / 1e6, 2), round(sum(work for _, work in found) / 1e9, 2)
    (17.57, 3.9)
    """
    found = [(LATENT * HIDDEN[0] * 64, LATENT * HIDDEN[0] * 64.0)]
    for place, (fan_in, fan_out) in enumerate(itertools.pairwise((*HIDDEN, 1))):
        weights = fan_in * fan_out * 64
        found.append((weights, weights * (4.0 * 2**place) ** 3))
    return found


def reduce_seconds(network: Network, gpus: int, size: float) -> float:
    """Return how long it takes until all GPUs have the sum of `size` bytes."""
    inside = min(gpus, network.per_node)
    nodes = gpus / network.per_node
    seconds = CALL + HOP * math.log2(gpus)
    seconds += 2 * (inside - 1) / inside * size / network.within
    if nodes > 1:
        seconds += 2 * (nodes - 1) / nodes * size / network.between
    return seconds


def exposed(
    network: Network, gpus: int, order: list[tuple[int, float]], rate: float, each: int, overlap: bool
) -> float:
    """Return the seconds for which a phase waits after its backward pass.

    `order` has weights and seconds of arithmetic (times `rate`) of each layer, as the backward pass comes by.
    """
    if not overlap:
        return sum(reduce_seconds(network, gpus, weights * each) for weights, _ in order)
    computed = sent = 0.0
    for weights, work in order:
        computed += work / rate
        sent = max(sent, computed) + reduce_seconds(network, gpus, weights * each)
    return max(0.0, sent - computed)


def efficiency(network: Network, gpus: int, shapes: int, reached: float, options: argparse.Namespace) -> float:
    """Return computing time over the time of a step, for `shapes` on each GPU."""
    rate = reached * options.tflops * 1e12
    compute = shapes * options.gflop * 1e9 / rate
    generator = layers()
    discriminator = [(weights, work) for weights, work in generator[1:]] + [(HIDDEN[0] * 64, HIDDEN[0] * 64.0)]
    # Backward is two products for each forward one, of two FLOPs each; D sees a real and a generated shape.
    d_order = [(weights, 2 * 4 * work * shapes) for weights, work in [discriminator[-1], *discriminator[:-1]]]
    g_order = [(weights, 4 * work * shapes) for weights, work in reversed(generator)]
    waiting = sum(
        exposed(network, gpus, order, rate, options.bytes, not options.no_overlap) for order in (d_order, g_order)
    )
    small = FIGURES + (NORMS if options.sync_batch_norm else 0)
    waiting += small * reduce_seconds(network, gpus, 4096)
    return compute / (compute + waiting)


def least_batch(network: Network, gpus: int, reached: float, options: argparse.Namespace) -> int:
    """Return the fewest shapes on each GPU with which `AIM` is reached."""
    low, high = 0, 1
    while efficiency(network, gpus, high, reached, options) < AIM:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if efficiency(network, gpus, middle, reached, options) >= AIM else (middle, high)
    return high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gflop", type=float, default=93.0, help="of a step, for one shape")
    parser.add_argument("--tflops", type=float, default=790.0, help="matrix peak; four fifths of an H200's in bf16")
    parser.add_argument("--total", type=int, default=4096, help="shapes a step over all GPUs, for the second table")
    parser.add_argument("--bytes", type=int, default=4, help="of one number of a gradient")
    parser.add_argument("--sync-batch-norm", action="store_true")
    parser.add_argument("--no-overlap", action="store_true", help="gradients only after the backward pass")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cases = list(itertools.product(EFFICIENCIES, GPUS))
    least = {n.name: [least_batch(n, gpus, reached, options) for reached, gpus in cases] for n in NETWORKS}
    fixed = {
        n.name: [round(efficiency(n, gpus, options.total // gpus, reached, options), 3) for reached, gpus in cases]
        for n in NETWORKS
    }
    if options.json:
        print(json.dumps({"cases": cases, "least_batch": least, "efficiency": fixed}))
        return
    heads = [f"{gpus} GPUs, {reached:.0%}" for reached, gpus in cases]
    for title, table in (
        (f"shapes on each GPU for {AIM:.0%} efficiency", {k: [f"{v:,}" for v in row] for k, row in least.items()}),
        (
            f"efficiency at {options.total:,} shapes a step in all",
            {k: [f"{v:.0%}" for v in r] for k, r in fixed.items()},
        ),
    ):
        print(f"| {title} | " + " | ".join(heads) + " |")
        print("|---" * (len(heads) + 1) + "|")
        for name, row in table.items():
            print(f"| {name} | " + " | ".join(row) + " |")
        print()
    for reached in EFFICIENCIES:
        shape = options.gflop * 1e9 / (reached * options.tflops * 1e12)
        print(f"at {reached:.0%}: {shape * 1e3:.2f} ms a shape, {1 / shape:,.0f} shapes/s on each GPU")
    size = (17.57e6 + 11.05e6) * options.bytes
    for network, gpus in itertools.product(NETWORKS, GPUS):
        seconds = reduce_seconds(network, gpus, size)
        print(f"{network.name}, {gpus} GPUs: {size / 1e6:.0f} MB of gradients in {seconds * 1e3:.2f} ms")


if __name__ == "__main__":
    main()
