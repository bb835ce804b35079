"""Preparing grows in a straight line: seconds for 100 to 5,000 shapes, as whole commands.

    python benchmarks/preparation.py [--counts 100,1000,5000] [--repeat 3] [--views 0] [--resolution 32] [--json]

Runs ``voxgan prepare furniture`` (the same mixture of classes) with more and more shapes, in rounds, and takes the
shortest time of each count. A straight line is laid through the first and the last; ``bend`` is how far, in parts of
it, any count between lies from that line, and ``slope_ratio`` what a shape costs in the second half over the whole.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from data_prep.furniture import CLASSES


def prepare(count: int, views: int, resolution: int, folder: Path) -> tuple[float, int, int]:
    """Return seconds, shapes and bytes."""
    path = folder / f"{count}.h5"
    each = -(-count // len(CLASSES))
    command = [sys.executable, "-m", "voxgan", "prepare", "furniture", str(path), "--count", str(each)]
    command += ["--views", str(views), "--resolution", str(resolution)]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    shapes = int(done.stdout.split(": ")[1].split()[0])
    return seconds, shapes, path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="100,300,1000,3000,5000")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--views", type=int, default=0)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    counts = [int(count) for count in options.counts.split(",")]
    best: dict[int, float] = {}
    sizes: dict[int, int] = {}
    for _ in range(options.repeat):
        for count in counts:
            with tempfile.TemporaryDirectory() as folder:
                seconds, shapes, size = prepare(count, options.views, options.resolution, Path(folder))
            best[shapes] = min(best.get(shapes, seconds), seconds)
            sizes[shapes] = size
            if not options.json:
                print(f"{shapes:6} shapes {seconds:8.2f} s {size / 1e6:8.2f} MB", flush=True)

    shapes = sorted(best)
    first, last = shapes[0], shapes[-1]
    whole = (best[last] - best[first]) / (last - first)
    line = {n: best[first] + whole * (n - first) for n in shapes}
    middle = min(shapes, key=lambda n: abs(n - (first + last) / 2)) if len(shapes) > 2 else first
    result = {
        "seconds": {n: round(best[n], 2) for n in shapes},
        "ms_per_shape": round(1000 * whole, 2),
        "bend": round(max(abs(best[n] / line[n] - 1) for n in shapes), 3),
        "slope_ratio": round((best[last] - best[middle]) / (last - middle) / whole, 3),
        "hours_per_million": round(whole * 1e6 / 3600, 2),
        "gb_per_million": round(sizes[last] / last * 1e6 / 1e9, 2),
    }
    if options.json:
        print(json.dumps(result))
        return
    for key in ("ms_per_shape", "bend", "slope_ratio", "hours_per_million", "gb_per_million"):
        print(f"{key:20}{result[key]:>10}")


if __name__ == "__main__":
    main()
