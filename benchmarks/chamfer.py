"""Chamfer distances of every pair of two collections of shapes, beside a search tree for each pair.

    python benchmarks/chamfer.py [--sets 100] [--points 2048] [--data chairs32.h5] [--threads 2] [--json]
    python benchmarks/chamfer.py --sets 1000 --data chairs32.h5        # minutes

``ratio`` is how many times longer the plain form takes, SciPy's cKDTree of each set asked by each other set, on some of
the pairs, in the same run; ``apart`` is the largest relative difference between the two. ``minutes`` is the time of the
whole matrix, ``peak_gb`` the largest memory the process had. Points lie on boxes of random size, or on the surfaces of
--data.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from voxgan.dataset import Dataset
from voxgan.errors import VoxganError
from voxgan.metrics.chamfer import chamfer, chamfer_matrix
from voxgan.surface_points import surface_points


def boxes(count: int, points: int, rng: np.random.Generator) -> np.ndarray:
    """Points on boxes of random size, with a smaller one on top: as uneven as furniture."""
    sets = rng.random((count, points, 3)) - 0.5
    side = rng.integers(0, 3, (count, points, 1))
    np.put_along_axis(sets, side, np.sign(np.take_along_axis(sets, side, 2)) / 2, 2)
    sets *= rng.uniform(0.1, 0.9, (count, 1, 3))
    upper = rng.random((count, points)) < 0.4
    sets[upper] = sets[upper] * 0.4 + [0, 0.2, 0.25]
    return sets


def surfaces(path: Path, count: int, points: int) -> np.ndarray:
    with Dataset(path, "all") as data:
        return np.stack([surface_points(data.occupancy([i % len(data)])[0], points, seed=i)[0] for i in range(count)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--points", type=int, default=2048)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    n = options.sets
    try:
        sets = surfaces(options.data, 2 * n, options.points) if options.data else boxes(2 * n, options.points, rng)
    except VoxganError as error:
        sys.exit(str(error))
    one, other = sets[:n], sets[n:]
    began = time.perf_counter()
    found = chamfer_matrix(one, other, options.device)
    seconds = time.perf_counter() - began
    places = rng.integers(0, n, (max(20, min(500, n * n // 100)), 2)).tolist()
    began = time.perf_counter()
    plain = np.array([chamfer(one[i], other[j]) for i, j in places])
    per_pair = (time.perf_counter() - began) / len(places)
    apart = max(abs(found[i, j] - value) / value for (i, j), value in zip(places, plain, strict=True))
    figures = {
        "sets": n,
        "points": options.points,
        "ms_per_pair": round(seconds / n**2 * 1e3, 3),
        "plain_ms_per_pair": round(per_pair * 1e3, 3),
        "ratio": round(per_pair * n * n / seconds, 2),
        "minutes": round(seconds / 60, 2),
        "apart": float(f"{apart:.2g}"),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "threads": options.threads,
    }
    print(json.dumps(figures) if options.json else "  ".join(f"{key} {value}" for key, value in figures.items()))


if __name__ == "__main__":
    main()
