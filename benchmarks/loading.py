"""Batches for training: packed bits unpacked on the device, beside a plain float32 data set, in one run.

    python benchmarks/loading.py [--shapes 1500] [--batch 32] [--steps 60] [--loaders 1] [--json]

Both read the same 64³ shapes from one disk in the same random order and deliver float32 batches (B, 1, 64, 64, 64).
The plain form is what peers do: an HDF5 column of float32, read by a DataLoader whose workers hand on float32 grids,
once uncompressed and once gzip-compressed. Ours hands on packed bits, and unpacks, mirrors, turns and shifts them
where training runs. The runs take turns, so that noise hits all; medians of --repeat rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from voxgan.batches import Plan, finish_batch, order
from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer
from voxgan.loader import load_batches
from voxgan.voxels import cell_centres

RESOLUTION = 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Plain(TorchDataset[torch.Tensor]):
    """One float32 grid at a time, as a user would write it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: h5py.File | None = None

    def __len__(self) -> int:
        with h5py.File(self.path) as file:
            return len(file["grids"])

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.file is None:
            self.file = h5py.File(self.path)
        return torch.from_numpy(self.file["grids"][int(index)])[None]


def write_shapes(folder: Path, count: int) -> dict[str, Path]:
    """Write the same shapes three times."""
    rng = np.random.default_rng(0)
    centres = cell_centres(RESOLUTION)
    paths = {name: folder / f"{name}.h5" for name in ("packed", "float32", "float32_gzip")}
    shape = (count, RESOLUTION, RESOLUTION, RESOLUTION)
    with (
        Writer.create(paths["packed"], RESOLUTION, ["ball"]) as writer,
        h5py.File(paths["float32"], "w") as raw,
        h5py.File(paths["float32_gzip"], "w") as small,
    ):
        raw.create_dataset("grids", shape, np.float32, chunks=(1, *shape[1:]))
        small.create_dataset("grids", shape, np.float32, chunks=(1, *shape[1:]), compression="gzip")
        for i in range(count):
            grid = (centres**2 / rng.uniform(0.1, 0.47, 3) ** 2).sum(-1) < 1
            writer.add(grid, "ball", "train", f"ball_{i}")
            raw["grids"][i] = small["grids"][i] = grid
    return paths


def packed_batches(path: Path, batch: int, steps: int, loaders: int, plan: Plan) -> Iterator[torch.Tensor]:
    with Dataset(path) as data:
        for raw in load_batches(data, batch, 0, plan, 0, steps, loaders):
            yield finish_batch(raw, data.resolution, plan, DEVICE)["occupancy"]


def plain_batches(path: Path, batch: int, steps: int, loaders: int) -> Iterator[torch.Tensor]:
    data = Plain(path)
    count = len(data)
    sampler = [order(count, batch, 0, step).tolist() for step in range(steps)]
    for grids in DataLoader(data, batch_sampler=sampler, num_workers=loaders):
        yield grids.to(DEVICE)


def rate(batches: Iterator[torch.Tensor], batch: int) -> float:
    """Shapes a second after the first batch, which starts the processes."""
    next(batches)
    began, done = time.perf_counter(), 0
    for grids in batches:
        done += batch
        assert grids.shape[1:] == (1, RESOLUTION, RESOLUTION, RESOLUTION)
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return done / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--loaders", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plain, varied = Plan(), Plan("none", True, 4, 2)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_shapes(Path(folder), options.shapes)
        sizes = {name: path.stat().st_size / options.shapes for name, path in paths.items()}
        batch, steps = options.batch, options.steps
        rates: dict[str, list[float]] = {}
        for _ in range(options.repeat):
            for loaders in (0, options.loaders):
                runs = {
                    "packed": packed_batches(paths["packed"], batch, steps, loaders, plain),
                    "packed_augmented": packed_batches(paths["packed"], batch, steps, loaders, varied),
                    "float32": plain_batches(paths["float32"], batch, steps, loaders),
                    "float32_gzip": plain_batches(paths["float32_gzip"], batch, steps, loaders),
                }
                for name, batches in runs.items():
                    key = f"{name}_per_s" + (f"_loaders{loaders}" if loaders else "")
                    rates.setdefault(key, []).append(rate(batches, batch))
    result: dict[str, float] = {key: round(statistics.median(values)) for key, values in rates.items()}
    result["vs_float32"] = round(result["packed_per_s"] / result["float32_per_s"], 2)
    result["vs_float32_gzip"] = round(result["packed_per_s"] / result["float32_gzip_per_s"], 2)
    result |= {f"{name}_bytes_per_shape": round(size) for name, size in sizes.items()}
    if options.json:
        print(json.dumps(result))
        return
    print(f"device {DEVICE}, {torch.get_num_threads()} threads, batch {options.batch}")
    for key, value in result.items():
        print(f"{key:36}{value:>12}")


if __name__ == "__main__":
    main()
