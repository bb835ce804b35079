import numpy as np
import pytest

from voxgan.metrics.alignment import aligned_average_precision, central, filling, orientations
from voxgan.metrics.average_precision import average_precision


def chair(side: int = 20) -> np.ndarray:
    """A shape without any symmetry."""
    grid = np.zeros((side,) * 3)
    grid[3:14, 4:15, 6:9] = 1
    grid[3:14, 12:15, 9:16] = 1
    grid[3:5, 4:6, 0:6] = 1
    return grid


def test_orientations_are_all_turns_and_mirrors() -> None:
    found = orientations(chair())
    assert len(np.unique(found.reshape(48, -1), axis=0)) == 48
    np.testing.assert_array_equal(found[0], chair())
    assert {float(grid.sum()) for grid in found} == {float(chair().sum())}


@pytest.mark.parametrize("place", range(0, 48, 5))
def test_any_turn_is_found(place: int) -> None:
    assert aligned_average_precision(orientations(chair())[place], chair()) == 1


@pytest.mark.parametrize("move", [(2, 0, 0), (0, -2, 1), (-1, 2, -2)])
def test_moves_of_a_tenth_are_found(move: tuple[int, int, int]) -> None:
    real = np.roll(chair(), (2, 2, 2), (0, 1, 2))
    moved = np.roll(real, move, (0, 1, 2))
    assert aligned_average_precision(moved, real) == 1
    assert aligned_average_precision(moved, real, shift=0) < 1


def test_a_move_of_more_than_a_tenth_is_not() -> None:
    real = np.roll(chair(), (2, 2, 2), (0, 1, 2))
    assert aligned_average_precision(np.roll(real, 3, 0), real) < 1


def test_is_the_best_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    real = rng.random((10, 10, 10)) < 0.2
    found = np.round(rng.random((10, 10, 10)) * 8) / 8  # with ties
    best = 0.0
    for turned in orientations(found):
        for move in np.ndindex(3, 3, 3):
            moved = np.full_like(turned, -1.0)  # what comes in is ranked last
            offset = np.array(move) - 1
            source = tuple(slice(max(0, -o), 10 - max(0, o)) for o in offset)
            target = tuple(slice(max(0, o), 10 - max(0, -o)) for o in offset)
            moved[target] = turned[source]
            kept = moved >= 0
            order = np.unique(moved[kept])[::-1]
            total, seen, score, before = real.sum(), 0, 0.0, 0.0
            lost = 1000 - kept.sum()
            for value in order:
                at = moved == value
                seen += at.sum() + (turned[~_inside(turned.shape, source)] == value).sum()
                hits = (real & (moved >= value)).sum()
                score += (hits / total - before) * hits / seen
                before = hits / total
            assert lost >= 0
            best = max(best, score)
    assert aligned_average_precision(found, real) == pytest.approx(best, rel=1e-6)


def _inside(shape: tuple[int, ...], where: tuple[slice, ...]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[where] = True
    return mask


def test_without_moves_is_no_less_than_as_it_stands() -> None:
    rng = np.random.default_rng(1)
    real, found = rng.random((12, 12, 12)) < 0.3, rng.random((12, 12, 12))
    assert aligned_average_precision(found, real) >= average_precision(found[None], real[None])[0]


def test_refuses() -> None:
    with pytest.raises(ValueError, match="two equal"):
        aligned_average_precision(np.zeros((4, 4, 4)), np.zeros((5, 5, 5)))
    with pytest.raises(ValueError, match="empty"):
        aligned_average_precision(np.zeros((4, 4, 4)), np.zeros((4, 4, 4)))
    with pytest.raises(ValueError, match="NaN"):
        aligned_average_precision(np.full((4, 4, 4), np.nan), np.ones((4, 4, 4)))


# ----------------------------------------------------------------------------------------------- filling
def test_filling_makes_the_longest_side_the_grids() -> None:
    grid = np.zeros((64, 64, 64))
    grid[10:40, 20:35, 50:60] = 1  # 30 × 15 × 10
    found = filling(grid, 20) >= 0.5
    spans = [np.flatnonzero(found.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    assert [int(span[-1] - span[0] + 1) for span in spans] == [20, 10, 6]
    assert filling(grid, 20).sum() == pytest.approx(20 * 10 * 20 / 3, rel=1e-5)  # the mass is kept


def test_filling_the_same_grid_changes_nothing() -> None:
    grid = np.random.default_rng(2).random((20, 20, 20))
    grid[0, 0, 0], grid[-1, -1, -1] = 1, 1
    np.testing.assert_allclose(filling(grid, 20, 0.0), grid, atol=1e-6)
    assert not filling(np.zeros((8, 8, 8)), 4).any()


# ----------------------------------------------------------------------------------------------- central
def test_the_middle_is_scaled_and_nothing_in_it_decides() -> None:
    rng = np.random.default_rng(0)
    grid = np.zeros((32, 32, 32))
    grid[1:31, 1:31, 1:31] = rng.random((30, 30, 30)) * 0.1  # nowhere near a level
    found = central(grid, 15, 30 / 32)
    np.testing.assert_allclose(found, grid[1:31, 1:31, 1:31].reshape(15, 2, 15, 2, 15, 2).mean((1, 3, 5)), atol=1e-6)
    np.testing.assert_allclose(central(grid, 32, 1.0), grid, atol=1e-6)


def test_a_doubtful_leg_is_not_cut_off() -> None:
    """`filling` at ½ stretches the seat over the grid; the middle keeps where it was."""
    chair = np.zeros((32, 32, 32))
    chair[8:24, 8:24, 15:31] = 0.9
    chair[8:11, 8:11, 1:15] = 0.3
    real = central(chair > 0, 20, 30 / 32) >= 0.5
    kept = aligned_average_precision(central(chair, 20, 30 / 32), real)
    assert kept > aligned_average_precision(filling(chair, 20), real) and kept > 0.95
