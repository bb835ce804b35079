"""Anchors, and everything that undo goes back over; never changed in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["DISPLAYS", "INTERPOLATIONS", "LARGEST", "MAX_ANCHORS", "Anchor", "State"]

DISPLAYS = ("mesh", "voxels", "points")
INTERPOLATIONS = ("linear", "spherical")
MAX_ANCHORS = 26
LARGEST = 1000.0
"""No number of a latent lies beyond: shapes were learned within a few units."""


def _no_sliders() -> Mapping[int, float]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Anchor:
    """A named point of the latent space.

    Attributes
    ----------
    name : str
        One capital letter.
    latent : tuple of float
        Its L numbers, in single precision.
    origin : mapping
        How it came about: ``kind`` is ``random`` (with ``seed``), ``class`` (``class_name``, ``seed``), ``photo``,
        ``mesh`` (``iou``) or ``kept``; ``label`` is what people read.
    """

    name: str
    latent: tuple[float, ...]
    origin: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What it is, for people."""
        return str(self.origin["label"])


@dataclass(frozen=True)
class State:
    """Everything that undo goes back over.

    Attributes
    ----------
    anchors : tuple of Anchor
    mode : {"path", "expression"}
        Whether the latent is a place on the path through all anchors, or the value of `expression`.
    position : float
        Place on the path: 0 is the first anchor, 1 the second, 0.5 half way between.
    interpolation : {"linear", "spherical"}
    expression : str
        Sum of anchors, as in ``A - B + 0.5*C``.
    dimensions : mapping of int to float
        What is added to single numbers of the latent.
    directions : mapping of int to float
        How far it is moved along principal directions.
    level : float
        Occupancy at which the surface lies.
    display : {"mesh", "voxels", "points"}
    clean : bool
        Whether free specks and inner cavities are taken away, on the screen as in files.
    """

    anchors: tuple[Anchor, ...] = ()
    mode: str = "path"
    position: float = 0.0
    interpolation: str = "linear"
    expression: str = "A - B + C"
    dimensions: Mapping[int, float] = field(default_factory=_no_sliders)
    directions: Mapping[int, float] = field(default_factory=_no_sliders)
    level: float = 0.5
    display: str = "mesh"
    clean: bool = True
