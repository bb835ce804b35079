"""Random access to packed shapes: how many a second one process reads, and several at once.

    python benchmarks/dataset_read.py [--data mine.h5] [--shapes 5000] [--seconds 5] [--processes 2] [--json]

Without --data it writes boxes and balls at 64³ to a temporary folder. Shapes are read one by one, in random order.
``packed_per_s`` is one process; ``unpacked_per_s`` also unpacks them to bytes of 0 and 1; ``shared_per_s`` is what
several processes read together, from one file; ``rows_plain_per_s`` reads the same rows with plain h5py indexing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from voxgan.dataset import Dataset, unpack
from voxgan.dataset_writer import Writer
from voxgan.voxels import cell_centres

RESOLUTION = 64
BATCH = 32


def write_shapes(path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    centres = cell_centres(RESOLUTION)
    with Writer.create(path, RESOLUTION, ["ball", "box"]) as writer:
        for i in range(count):
            sizes = rng.uniform(0.1, 0.47, 3)
            ball = (centres**2 / sizes**2).sum(-1) < 1
            box = (np.abs(centres) < sizes).all(-1)
            writer.add(ball if i % 2 else box, ("box", "ball")[i % 2], "train", f"shape_{i}")


def read(path: Path, seconds: float, seed: int, kind: str) -> float:
    """Read at random for so many seconds; return shapes a second."""
    rng = np.random.default_rng(seed)
    with Dataset(path, "all") as data, h5py.File(path) as plain:
        rows = plain["occupancy"]
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            chosen = rng.integers(0, len(data), BATCH)
            if kind == "plain":
                for row in chosen:
                    rows[int(row)]
            else:
                packed = data.packed(chosen)
                if kind == "unpacked":
                    unpack(packed, data.resolution)
            done += BATCH
        return done / (time.perf_counter() - began)


def read_together(path: Path, seconds: float, processes: int) -> float:
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(read, [(path, 0.1, i, "packed") for i in range(processes)])  # they have started
        return sum(pool.starmap(read, [(path, seconds, i, "packed") for i in range(processes)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--shapes", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.data or Path(folder) / "shapes.h5"
        if options.data is None:
            write_shapes(path, options.shapes)
        with Dataset(path, "all") as data:
            count, resolution = len(data), data.resolution
        rates = {kind: read(path, options.seconds, 0, kind) for kind in ("packed", "unpacked", "plain")}
        shared = read_together(path, options.seconds, options.processes)
        result = {
            "shapes": count,
            "resolution": resolution,
            "bytes_per_shape": round(path.stat().st_size / count),
            "packed_per_s": round(rates["packed"]),
            "unpacked_per_s": round(rates["unpacked"]),
            "rows_plain_per_s": round(rates["plain"]),
            "processes": options.processes,
            "shared_per_s": round(shared),
        }
    if options.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:18}{value:>10}")


if __name__ == "__main__":
    main()
