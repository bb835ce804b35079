"""Multi-scale structural similarity in three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["WEIGHTS", "mean_ms_ssim", "ms_ssim"]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # the paper's, from fine to coarse; in use divided by their sum

_WINDOW = 11  # cells
_SIGMA = 1.5  # cells
_C1, _C2 = 0.01**2, 0.03**2  # for values between 0 and 1
_CELLS = 1 << 21  # of a set at once: eight pairs at 64³, some 300 MB on the way


def ms_ssim(
    one: NDArray[Any] | torch.Tensor, other: NDArray[Any] | torch.Tensor, scales: int | None = None
) -> NDArray[np.float64]:
    """Return the multi-scale structural similarity of each pair of occupancies.

    That of Wang, Simoncelli and Bovik 2003 (equation 7), in three dimensions instead of two: contrast and structure are
    compared at every scale, luminance at the coarsest, under a Gaussian window of 11³ cells (σ = 1.5) that stays inside
    of the grid; K₁ = 0.01, K₂ = 0.03. From scale to scale 2³ cells become their mean. The weights of the scales in use
    are those of the paper, divided by their sum. A scale whose mean is negative counts as 0.

    Parameters
    ----------
    one, other : array or tensor, (B, R, R, R)
        Occupancy in [0, 1]. Computed in double precision, on the device of `one`.
    scales : int, optional
        From 1 to 5; s scales need R ≥ 11 · 2^(s − 1). As many as fit if left out: one at 16³, two at 32³, three at 64³,
        and five at most. Only figures of equally many scales can be compared.

    Returns
    -------
    array, (B,)
        1 for identical pairs.

    Raises
    ------
    ValueError
        If the shapes of the arrays differ, or the grids are too small for so many scales.

    Examples
    --------
    >>> a, b = np.zeros((2, 1, 16, 16, 16))
    >>> a[0, :8], b[0, 1:9] = 1, 1
    >>> ms_ssim(a, a), ms_ssim(a, b).round(3)
    (array([1.]), array([0.401]))
    """
    import torch

    shape = tuple(one.shape)
    if shape != tuple(other.shape) or len(shape) != 4:
        raise ValueError(f"shapes {shape} and {tuple(other.shape)}; expected two equal (B, R, R, R)")
    count = _scales(min(shape[1:]), scales)
    step = max(1, _CELLS // (shape[1] * shape[2] * shape[3]))
    found = np.empty(shape[0])
    with torch.no_grad():
        for start in range(0, shape[0], step):
            part = slice(start, start + step)
            a = _double(one[part])
            found[part] = _pairs(a, _double(other[part]).to(a.device), count).cpu().numpy()
    return found


def mean_ms_ssim(shapes: NDArray[Any] | torch.Tensor, num_pairs: int = 100, seed: int = 0) -> float:
    """Return the mean multi-scale structural similarity of random pairs of different shapes of a set.

    So Odena, Olah and Shlens 2017 ("Conditional image synthesis with auxiliary classifier GANs") measure how much the
    samples of a class differ: the lower, the more. Compare it with that of as many real shapes of the class.

    Parameters
    ----------
    shapes : array or tensor, (N, R, R, R)
        Occupancy in [0, 1].
    num_pairs : int
        No pair is drawn twice; all N (N − 1) / 2 are taken if there are no more than this.
    seed : int
        Decides the pairs.

    Returns
    -------
    float
        1 if all shapes are the same.

    Raises
    ------
    ValueError
        If there are fewer than two shapes, no pairs are asked for, or the grids are smaller than 11³.

    Examples
    --------
    >>> shapes = np.zeros((3, 16, 16, 16))
    >>> shapes[0, :8], shapes[1, 1:9], shapes[2, 1:9] = 1, 1, 1
    >>> round(mean_ms_ssim(shapes), 3)
    0.6
    """
    if len(shapes) < 2:
        raise ValueError(f"{len(shapes)} shapes make no pair; expected at least 2")
    if num_pairs < 1:
        raise ValueError(f"{num_pairs} pairs have no mean; expected at least 1")
    pairs = _draw(len(shapes), num_pairs, seed)
    step = max(1, _CELLS // int(np.prod(shapes.shape[1:])))
    parts = (pairs[:, start : start + step].tolist() for start in range(0, pairs.shape[1], step))
    return float(np.concatenate([ms_ssim(shapes[first], shapes[second]) for first, second in parts]).mean())


def _draw(count: int, num_pairs: int, seed: int) -> NDArray[np.int64]:
    """Return distinct pairs i < j of `count` things, (2, P)."""
    total = count * (count - 1) // 2
    if total <= num_pairs:
        numbers = np.arange(total)
    else:
        numbers = np.random.default_rng(seed).choice(total, num_pairs, replace=False)
    j = ((1 + np.sqrt(1 + 8 * numbers)) // 2).astype(np.int64)  # pairs are numbered (0, 1), (0, 2), (1, 2), (0, 3), …
    return np.stack([numbers - j * (j - 1) // 2, j])


def _scales(side: int, scales: int | None) -> int:
    """Return how many scales to use for grids of this side."""
    most = sum(side >> s >= _WINDOW for s in range(len(WEIGHTS)))
    if not most:
        raise ValueError(f"a side of {side} cells is smaller than the window; expected at least {_WINDOW}")
    if scales is None:
        return most
    if not 1 <= scales <= most:
        raise ValueError(f"{scales} scales do not fit a side of {side} cells; expected 1 to {most}")
    return scales


def _weights(scales: int) -> Sequence[float]:
    """Return the weights of the first scales, of sum 1."""
    return [weight / sum(WEIGHTS[:scales]) for weight in WEIGHTS[:scales]]


def _double(grids: NDArray[Any] | torch.Tensor) -> torch.Tensor:
    import torch

    return grids.double() if isinstance(grids, torch.Tensor) else torch.tensor(np.asarray(grids, np.float64))


def _pairs(one: torch.Tensor, other: torch.Tensor, scales: int) -> torch.Tensor:
    """Return the similarity of each pair, (B,)."""
    import torch
    from torch.nn.functional import avg_pool3d

    result = torch.ones(len(one), dtype=one.dtype, device=one.device)
    for scale, weight in enumerate(_weights(scales), 1):
        mean, other_mean = _blur(one), _blur(other)
        product, squares = mean * other_mean, mean**2 + other_mean**2
        structure = 2 * (_blur(one * other) - product) + _C2
        structure /= _blur(one**2 + other**2) - squares + _C2
        if scale == scales:
            structure *= (2 * product + _C1) / (squares + _C1)
        else:
            one, other = avg_pool3d(one, 2), avg_pool3d(other, 2)
        result *= structure.mean((1, 2, 3)).clamp(min=0) ** weight
    return result


def _blur(grids: torch.Tensor) -> torch.Tensor:
    """Return the means under the window wherever it fits: (B, X, Y, Z) becomes (B, X − 10, Y − 10, Z − 10)."""
    x, y, z = (_band(side, grids) for side in grids.shape[1:])
    grids = y @ grids @ z.T
    return (x @ grids.flatten(2)).reshape(len(grids), len(x), len(y), len(z))


def _band(side: int, like: torch.Tensor) -> torch.Tensor:
    """Return the window along one axis as a matrix (side − 10, side); its products are faster than convolutions."""
    import torch

    window = torch.exp(-0.5 * ((torch.arange(_WINDOW, dtype=like.dtype) - _WINDOW // 2) / _SIGMA) ** 2)
    band = torch.zeros(side - _WINDOW + 1, side, dtype=like.dtype)
    for row, line in enumerate(band):
        line[row : row + _WINDOW] = window / window.sum()
    return band.to(like.device)
