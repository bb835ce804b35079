"""Photo → OBJ with a loaded model, against the networks' own time in the same run.

    python benchmarks/photo_to_mesh.py [--model furniture] [--photo examples/chair.png] [--repeat 15] [--json]

The generator is timed at the paper's full width: the model's weights are laid into one of 64 channels whose other
channels are zero, so that the shapes are real and the arithmetic is the paper's; the encoder is the model's own, not
the paper's. ``ratio_to_networks`` is the whole way (read, cut out, encode, decode, surface, write) over encoder +
generator alone. The model at its own width is printed beside it, where the fixed cost of reading, surface and writing
weighs more.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import voxgan
from voxgan.images import photo
from voxgan.models.vae_gan3d import VAEGAN3D


def widened(model: VAEGAN3D, width: int = 64) -> VAEGAN3D:
    """Return a model that computes the same with a generator of the paper's width, its further channels zero."""
    wide = VAEGAN3D(dataclasses.replace(model.config, width=width))
    wide.encoder = model.encoder
    target, source = wide.generator.state_dict(), model.generator.state_dict()
    for key, value in target.items():
        if value.ndim:
            value.zero_()
            value[tuple(slice(0, n) for n in source[key].shape)] = source[key]
    return wide.eval()


def times(model: VAEGAN3D, path: Path, out: Path, repeat: int) -> tuple[float, float]:
    """Return the medians of the whole way and of the networks alone, in seconds, measured in turn."""
    image = torch.from_numpy(photo(path, model.image_size(model.config))[None])
    whole, networks = [], []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        model.reconstruct(path)[0].export(out, size_mm=100)
        whole.append(time.perf_counter() - began)
        began = time.perf_counter()
        with torch.inference_mode():
            model.generator(model.encoder(image)[0])
        networks.append(time.perf_counter() - began)
    return statistics.median(whole[1:]), statistics.median(networks[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="furniture")
    parser.add_argument("--photo", type=Path, default=Path(__file__).parents[1] / "examples" / "chair.png")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = voxgan.load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        path = options.photo
        wide = widened(model)
        same = np.abs(wide.reconstruct(path).occupancy - model.reconstruct(path).occupancy).max()
        assert same < 1e-3, f"the widened model differs by {same}"
        rows = {"paper width": times(wide, path, Path(folder) / "a.obj", options.repeat)}
        rows["own width"] = times(model, path, Path(folder) / "b.obj", options.repeat)
    if options.json:
        ratios = {"ratio_to_networks": rows["paper width"], "ratio_to_networks_own_width": rows["own width"]}
        print(json.dumps({key: round(whole / net, 3) for key, (whole, net) in ratios.items()}))
        return
    print(f"{'':14}{'photo → OBJ':>12}{'networks':>10}{'ratio':>7}   ({torch.get_num_threads()} threads, fp32)")
    for name, (whole, net) in rows.items():
        print(f"{name:14}{whole * 1e3:9.1f} ms{net * 1e3:7.1f} ms{whole / net:7.2f}")


if __name__ == "__main__":
    main()
