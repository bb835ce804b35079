"""Latents as points: interpolation and arithmetic (3D-GAN, §4.3)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxgan.errors import InputError, UsageError, nearest

__all__ = ["along", "arithmetic", "interpolate"]

_KINDS = ("linear", "spherical")


def interpolate(
    start: Tensor | NDArray[Any], end: Tensor | NDArray[Any], steps: int = 8, kind: str = "linear"
) -> Tensor:
    """Walk from one latent to another.

    Parameters
    ----------
    start, end : Tensor or array, (L,)
    steps : int
        Points on the way, both ends counted; 2 or more.
    kind : {"linear", "spherical"}
        Straight, or along the great circle with a linearly changing length, which a Gaussian prior likes better.

    Returns
    -------
    Tensor, (steps, L)

    Raises
    ------
    UsageError
        For fewer than two steps or an unknown kind.
    InputError
        For latents of different lengths.

    Examples
    --------
    >>> interpolate(torch.zeros(2), torch.ones(2), steps=3)[1]
    tensor([0.5000, 0.5000])
    """
    a, b = (torch.as_tensor(z, dtype=torch.float32) for z in (start, end))
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(f"latents of shapes {tuple(a.shape)} and {tuple(b.shape)}; expected two of shape (L,)")
    if steps < 2:
        raise UsageError(f"steps={steps}: expected 2 or more")
    _check_kind(kind)
    return _between(a, b, torch.linspace(0, 1, steps, device=a.device)[:, None], kind)


def along(latents: Tensor | NDArray[Any], position: float, kind: str = "linear") -> Tensor:
    """Return the point at a place on the path through several latents.

    Parameters
    ----------
    latents : Tensor or array, (N, L)
        N at least 1.
    position : float
        0 to N − 1: 0 is the first latent, 1 the second, 0.5 half way between.
    kind : {"linear", "spherical"}
        As for `interpolate`.

    Returns
    -------
    Tensor, (L,)
        At a whole position that latent, exactly.

    Raises
    ------
    UsageError
        For a position off the path or an unknown kind.
    InputError
        If the latents are no (N, L).

    Examples
    --------
    >>> along(torch.tensor([[0.0], [1.0], [5.0]]), 1.25)
    tensor([2.])
    """
    points = torch.as_tensor(latents, dtype=torch.float32)
    if points.ndim != 2 or not len(points):
        raise InputError(f"latents of shape {tuple(points.shape)}; expected (N, L), N at least 1")
    _check_kind(kind)
    last = len(points) - 1
    if not 0 <= position <= last:
        raise UsageError(f"position {position:g} on a path through {len(points)} latents; expected 0 to {last}")
    here = int(position)
    if here == position:
        return points[here].clone()
    return _between(points[here], points[here + 1], torch.tensor(position - here, device=points.device), kind)


def _check_kind(kind: str) -> None:
    if kind not in _KINDS:
        raise UsageError(f"interpolation {kind!r}; {nearest(kind, _KINDS)}")


def _between(a: Tensor, b: Tensor, t: Tensor, kind: str) -> Tensor:
    """Return the points at the shares t of the way from a to b, (L,) each; t is a number or a column (N, 1)."""
    if kind == "linear":
        return torch.lerp(a, b, t)
    lengths = a.norm(), b.norm()
    cosine = float((a @ b) / (lengths[0] * lengths[1]).clamp_min(1e-12))
    angle = float(np.arccos(np.clip(cosine, -1, 1)))
    if np.sin(angle) < 1e-4 or not min(lengths) > 0:
        return torch.lerp(a, b, t)
    ways = (torch.sin((1 - t) * angle) * a / lengths[0] + torch.sin(t * angle) * b / lengths[1]) / np.sin(angle)
    point: Tensor = ways * torch.lerp(lengths[0], lengths[1], t)
    return point


_TERM = re.compile(r"\s*(?P<sign>[+-])?\s*(?:(?P<factor>\d+(?:\.\d+)?)\s*\*?\s*)?(?P<name>[A-Za-z_]\w*)")


def arithmetic(expression: str, latents: Mapping[str, Tensor]) -> Tensor:
    """Evaluate a sum of named latents, such as ``A - B + 0.5 * C``.

    Parameters
    ----------
    expression : str
        Names with ``+``, ``-`` and factors in front (``2*A`` or ``2A``); nothing else.
    latents : mapping of str to Tensor (L,)

    Returns
    -------
    Tensor, (L,)

    Raises
    ------
    UsageError
        If the expression does not parse or names an unknown latent.
    InputError
        For latents of different lengths.

    Examples
    --------
    >>> z = {"A": torch.tensor([3.0]), "B": torch.tensor([1.0])}
    >>> arithmetic("A - 2*B", z)
    tensor([1.])
    """
    place, total = 0, None
    text = expression.strip()
    while place < len(text):
        term = _TERM.match(text, place)
        if term is None or (total is not None and term["sign"] is None):
            raise UsageError(f"cannot read {expression!r} at {text[place:]!r}; expected something like  A - B + 0.5*C")
        if term["name"] not in latents:
            raise UsageError(f"no latent {term['name']!r} in {expression!r}; {nearest(term['name'], latents)}")
        latent = latents[term["name"]]
        if total is not None and latent.shape != total.shape:
            lengths = f"{tuple(total.shape)} and {tuple(latent.shape)}"
            raise InputError(f"latents of shapes {lengths} in {expression!r}; expected all alike")
        value = latent * (float(term["factor"] or 1) * (-1 if term["sign"] == "-" else 1))
        total = value if total is None else total + value
        place = term.end()
        while place < len(text) and text[place].isspace():
            place += 1
    if total is None:
        raise UsageError("an empty expression; expected something like  A - B + C")
    return total
