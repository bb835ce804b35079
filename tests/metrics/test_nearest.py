"""The closest training shape, whole or in pieces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from voxgan.metrics.iou import iou
from voxgan.metrics.nearest import nearest


def occupancy(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((count, 6, 6, 6), np.float32)


def pieces(grids: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    yield from (grids[start : start + size] for start in range(0, len(grids), size))


def test_it_is_the_best_of_all_pairs() -> None:
    samples, training = occupancy(5), occupancy(11, seed=1)
    indices, ious = nearest(samples, training, 0.4)
    for sample, index, found in zip(samples, indices, ious, strict=True):
        every = iou(np.broadcast_to(sample, training.shape), training, 0.4)
        assert (index, found) == (every.argmax(), every.max())


@pytest.mark.parametrize("size", [1, 2, 5, 11, 100])
def test_pieces_change_nothing(size: int) -> None:
    samples, training = occupancy(5), occupancy(11, seed=1)
    whole, split = nearest(samples, training), nearest(samples, pieces(training, size))
    np.testing.assert_array_equal(whole[0], split[0])
    np.testing.assert_array_equal(whole[1], split[1])


def test_an_exact_copy_is_found() -> None:
    training = occupancy(9)
    for source in (training, list(pieces(training, 4))):
        indices, ious = nearest(training[[7, 2]], source)
        assert indices.tolist() == [7, 2] and indices.dtype == np.int64
        assert ious.tolist() == [1, 1] and ious.dtype == np.float64


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_of_equals_the_first_counts(size: int) -> None:
    training = occupancy(3)[[0, 1, 2, 2, 1, 0]]
    indices, _ = nearest(occupancy(3), pieces(training, size))
    assert indices.tolist() == [0, 1, 2]


def test_nothing_in_common_is_still_an_answer() -> None:
    one, other = np.zeros((2, 1, 4, 4, 4))
    one[:, :2], other[:, 2:] = 1, 1
    indices, ious = nearest(one, other)
    assert (indices.tolist(), ious.tolist()) == ([0], [0])


def test_pieces_may_be_empty_but_not_all() -> None:
    training = occupancy(3)
    assert nearest(training, [training[:0], training])[0].tolist() == [0, 1, 2]
    for nothing in (training[:0], [], [training[:0]]):
        with pytest.raises(ValueError, match=r"^no training shapes; expected at least one"):
            nearest(training, nothing)


def test_another_resolution_is_refused() -> None:
    with pytest.raises(ValueError, match="of one R"):
        nearest(occupancy(2), [occupancy(2), np.zeros((2, 5, 5, 5))])
