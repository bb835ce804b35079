"""What is in a data set: how full its shapes are, which of them stand in both splits, and how they look."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxgan.dataset import SPLITS, Dataset

__all__ = ["Inspection", "digest_of", "histogram", "inspect"]

_BLOCK = 256  # rows in memory at a time
_BITS = np.array([bin(byte).count("1") for byte in range(256)], np.int64)
_EDGES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 1.0)


@dataclass(frozen=True)
class Inspection:
    """What `inspect` found.

    Attributes
    ----------
    occupied : array, (N,)
        Share of cells that are inside, of each shape of the file.
    duplicates : tuple of (int, int)
        Row of a training shape, and row of a test shape with exactly the same grid; each test shape once, and with
        a training shape of its own class where there is one.
    relabelled : int
        How many of these pairs bear two different class names.
    repeated : int
        Training shapes whose grid stands before them among the training shapes.
    """

    occupied: NDArray[np.float64]
    duplicates: tuple[tuple[int, int], ...]
    relabelled: int
    repeated: int


def inspect(data: Dataset) -> Inspection:
    """Read all grids of a data set once.

    Parameters
    ----------
    data : Dataset
        Opened with the split "all".

    Raises
    ------
    DatasetError
        If a row is damaged.
    """
    occupied = np.zeros(len(data))
    first: dict[bytes, dict[int, int]] = {}  # of each grid, the first training row of each class
    tests: list[tuple[int, bytes]] = []
    repeated = 0
    for start in range(0, len(data), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(data)))
        for row, packed in zip(rows.tolist(), data.packed(rows), strict=True):
            occupied[row] = _BITS[packed].sum() / data.resolution**3
            digest = digest_of(packed)
            if SPLITS[data.splits[row]] == "test":
                tests.append((row, digest))
            else:
                repeated += digest in first
                first.setdefault(digest, {}).setdefault(int(data.labels[row]), row)
    pairs = []
    for row, digest in tests:
        if digest in first:
            copies = first[digest]
            pairs.append((copies.get(int(data.labels[row]), next(iter(copies.values()))), row))
    relabelled = sum(int(data.labels[a] != data.labels[b]) for a, b in pairs)
    return Inspection(occupied, tuple(pairs), relabelled, repeated)


def digest_of(packed: NDArray[np.uint8]) -> bytes:
    """Return what stands for one packed grid where equal ones are looked for."""
    return hashlib.blake2b(packed.tobytes(), digest_size=16).digest()


def histogram(shares: Sequence[float] | NDArray[np.float64], width: int = 40) -> list[str]:
    """Return lines that show how many shapes are how full.

    Parameters
    ----------
    shares : sequence of float
        Of inside cells, in [0, 1].
    width : int
        Characters of the longest bar.

    Examples
    --------
    >>> for line in histogram([0.03, 0.04, 0.5], width=4): print(line)
      2 –  5 %       2  ████
     40 – 60 %       1  ██
    """
    counts, _ = np.histogram(np.asarray(shares), bins=_EDGES)
    longest = max(int(counts.max()), 1)
    return [
        f" {100 * low:2.0f} – {100 * high:2.0f} % {count:7d}  {'█' * round(width * count / longest) or '▏'}"
        for low, high, count in zip(_EDGES, _EDGES[1:], counts, strict=False)
        if count
    ]
