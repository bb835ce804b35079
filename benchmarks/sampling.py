"""Shapes from latents: the sampling form in both precisions against the plain networks, at the paper's size.

    python benchmarks/sampling.py [--repeat 9] [--threads 2] [--batches 1 8 32] [--shapes 64] [--json]

64³, width 64. ``fp32_b8`` and its like are how many times faster the form is than `plain.plain_generator` in
evaluation mode at that batch size; the form is taken from a `Sampler`, as `Model.decode` does, which includes the look
whether weights have changed. ``bf16_iou`` is the mean IoU of bfloat16's occupancy with the plain layers' in single
precision on the shipped, trained models (the worse of them), and ``fp32_flips`` the largest share of voxels that lie
on another side of ½ in single precision. ``bfloat16`` says whether the processor computes in it; where it does not, the
form asked for in bf16 computes in single precision, and so do its figures.
"""

from __future__ import annotations

import argparse
import functools
import json

import torch
from plain import LATENT, plain_generator
from rounds import Rounds, Work

import voxgan
from voxgan.networks import Generator
from voxgan.networks.forms import has_bfloat16
from voxgan.networks.sampling import Sampler

SHIPPED = ("furniture", "chairs-gan3d")


def plain() -> Work:
    torch.manual_seed(0)
    generator = plain_generator().eval()

    def work(batch: int) -> None:
        with torch.inference_mode():
            generator(torch.rand(batch, LATENT))

    return work


def form(precision: str) -> Work:
    torch.manual_seed(0)
    generator, sampler = Generator().eval(), Sampler()

    def work(batch: int) -> None:
        with torch.inference_mode():
            sampler.form(generator, precision)(torch.rand(batch, LATENT))

    return work


def agreement(shapes: int) -> dict[str, float]:
    """The worst of the shipped models."""
    flips, overlap = [], []
    for name in SHIPPED:
        model = voxgan.load(name)
        z = model.sample_latents(shapes, seed=0)
        with torch.inference_mode():
            layers = (model.generator.layers(part[:, :, None, None, None])[:, 0] for part in z.split(8))
            expected = torch.cat([logits > 0 for logits in layers])
        full = torch.from_numpy(model.decode(z).occupancy) > 0.5
        model.precision = "bf16"
        low = torch.from_numpy(model.decode(z).occupancy) > 0.5
        flips.append(float((full != expected).double().mean()))
        ious = (low & expected).flatten(1).sum(1) / (low | expected).flatten(1).sum(1).clamp(min=1)
        overlap.append(float(ious.mean()))
    return {"bf16_iou": min(overlap), "fp32_flips": max(flips)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--shapes", type=int, default=64, help="of each shipped model, for the agreement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    makers = {"plain": plain} | {name: functools.partial(form, name) for name in ("fp32", "bf16")}
    ratios, milliseconds = {}, {}
    with Rounds(makers, options.threads) as rounds:
        for batch in options.batches:
            seconds = rounds.seconds(options.repeat, batch)
            for name, taken in seconds.items():
                milliseconds[f"{name}_b{batch}_ms"] = round(1000 * taken, 2)
                if name != "plain":
                    ratios[f"{name}_b{batch}"] = round(seconds["plain"] / taken, 2)
    torch.set_num_threads(options.threads)
    found = agreement(options.shapes)
    bfloat16 = has_bfloat16(torch.device("cpu"))
    if options.json:
        facts = {"milliseconds": milliseconds, "threads": options.threads, "bfloat16": bfloat16}
        print(json.dumps(ratios | found | facts))
        return
    print(f"64³, width 64, {options.threads} threads; times faster than the plain layers")
    for name, ratio in ratios.items():
        print(f"  {name:10}{ratio:6.2f} ×   {milliseconds[f'{name}_ms']:8.1f} ms")
    for batch in options.batches:
        print(f"  plain_b{batch:<4}{milliseconds[f'plain_b{batch}_ms']:19.1f} ms")
    if not bfloat16:
        print("this processor does not compute in bfloat16: what is called bf16 is single precision")
    print(f"bfloat16 against single precision: IoU {found['bf16_iou']:.4f}")
    print(f"single precision against the plain layers: {found['fp32_flips']:.1e} of the voxels differ")


if __name__ == "__main__":
    main()
