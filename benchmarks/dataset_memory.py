"""Memory that a training's reader takes: 50,000 shapes stay on disk unless asked for.

    python benchmarks/dataset_memory.py [--shapes 50000] [--batches 500] [--json]

Writes a data set of 32³ grids to a temporary folder, reads random batches of 32 from it, and prints how much the
process grew, beside what ``in_memory=True`` takes and what plain float32 grids would.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer

RESOLUTION = 32


def resident() -> float:
    """Return this process's resident memory in MB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=int, default=50_000)
    parser.add_argument("--batches", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.h5"
        with Writer.create(path, RESOLUTION, ["box"]) as writer:
            for i in range(options.shapes):
                low, high = rng.integers(0, 12, 3), rng.integers(18, 32, 3)
                grid = np.zeros((RESOLUTION,) * 3, bool)
                grid[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = True
                writer.add(grid, "box", "train", f"box_{i}")
        file_mb = path.stat().st_size / 1e6
        before = resident()
        data = Dataset(path)
        began = time.perf_counter()
        for _ in range(options.batches):
            data.packed(rng.integers(0, len(data), 32))
        rate = options.batches * 32 / (time.perf_counter() - began)
        grown = resident() - before
        data.close()
        before = resident()
        with Dataset(path, in_memory=True):
            kept = resident() - before
    result = {
        "shapes": options.shapes,
        "file_mb": round(file_mb, 1),
        "grown_mb": round(grown, 1),
        "in_memory_mb": round(kept, 1),
        "float32_mb": round(options.shapes * RESOLUTION**3 * 4 / 1e6),
        "packed_per_s": round(rate),
    }
    if options.json:
        print(json.dumps(result))
        return
    for key, value in result.items():
        print(f"{key:14}{value:>10}")


if __name__ == "__main__":
    main()
