"""Preparing grows in a straight line: seconds for 100 to 5,000 shapes, as whole commands.

    python benchmarks/preparation.py [--counts 100,300,1000,3000,5000] [--views 0] [--resolution 32] [--json]

Runs ``voxgan prepare furniture`` (the same shapes, in the same order of classes) with more and more shapes, and prints
seconds, bytes and the marginal seconds a shape. ``slope_ratio`` is the marginal cost of the last step over that of the
whole range: 1 is a straight line.
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
    parser.add_argument("--views", type=int, default=0)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for count in map(int, options.counts.split(",")):
            seconds, shapes, size = prepare(count, options.views, options.resolution, Path(folder))
            rows.append({"shapes": shapes, "seconds": round(seconds, 2), "bytes": size})
            if not options.json:
                print(f"{shapes:6} shapes {seconds:8.2f} s {size / 1e6:8.2f} MB", flush=True)

    def marginal(a: dict[str, float], b: dict[str, float]) -> float:
        return (b["seconds"] - a["seconds"]) / max(b["shapes"] - a["shapes"], 1)

    whole = marginal(rows[0], rows[-1])
    result = {
        "rows": rows,
        "ms_per_shape": round(1000 * whole, 2),
        "slope_ratio": round(marginal(rows[-2], rows[-1]) / whole, 3),
        "hours_per_million": round(whole * 1e6 / 3600, 2),
        "gb_per_million": round(rows[-1]["bytes"] / rows[-1]["shapes"] * 1e6 / 1e9, 2),
    }
    if options.json:
        print(json.dumps(result))
        return
    for key in ("ms_per_shape", "slope_ratio", "hours_per_million", "gb_per_million"):
        print(f"{key:20}{result[key]:>10}")


if __name__ == "__main__":
    main()
