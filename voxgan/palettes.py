"""Colours and finishes of furniture, for every renderer: what wood, cloth, paint and metal look like."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FINISHES", "PALETTES", "PATTERNS", "Finish"]

_CODES = {  # sRGB
    "wood": "d9b88a c79a63 a8743f 8b5a2b 6b4226 4a2c1a 3b2417 e3cfa8 b5804b 9c6b44 7a4a2e c9a77c",
    "white": "f4f3ef ffffff e9e6df f0ece2 dcdad5",
    "black": "16161a 222326 2b2624 0f0f10 33302e",
    "grey": "8e8f92 6c6e72 a9aaab c4c4c2 55585d 7d7872",
    "fabric": "b9a88f 8c7b6b 5d6673 3f4b5c 7b3b34 6f7a5e c9beb0 4f3d36 a1907e 94756a 2f3a36 d8cdbd",
    "colour": "b3202a d9822b e0b62c 3c7a3a 1f5c99 243a73 7a2f66 2a8c8c d45c7c 8fb339 c94f2a 5fa3c7",
    "metal": "b8babd 8d9094 d0d1d2 6a6c70 a89a7c",
}
PALETTES: dict[str, list[str]] = {name: codes.split() for name, codes in _CODES.items()}
"""Hexadecimal sRGB colours by name."""

PATTERNS = ("plain", "grain", "wood", "weave", "stripes", "checks", "dots")
"""What can lie on a surface."""


class Finish(NamedTuple):
    """How a material of one palette looks.

    Attributes
    ----------
    odds : float
        How often it is chosen.
    patterns : tuple of str
        Those of `PATTERNS` that it has; one named twice is twice as likely.
    gloss, sharpness : (float, float)
        Range of the highlight's strength and exponent.
    """

    odds: float
    patterns: tuple[str, ...]
    gloss: tuple[float, float]
    sharpness: tuple[float, float]


FINISHES: dict[str, Finish] = {
    "wood": Finish(0.32, ("wood", "wood", "wood", "plain"), (0.02, 0.5), (8, 60)),
    "white": Finish(0.14, ("plain", "plain", "grain"), (0.02, 0.5), (8, 60)),
    "black": Finish(0.10, ("plain", "grain"), (0.05, 0.6), (8, 80)),
    "grey": Finish(0.12, ("plain", "weave", "grain"), (0.0, 0.25), (6, 30)),
    "fabric": Finish(
        0.17,
        ("weave", "weave", "weave", "grain", "grain", "plain", "stripes", "checks", "dots"),
        (0.0, 0.06),
        (4, 8),
    ),
    "colour": Finish(0.10, ("plain", "plain", "weave", "grain", "stripes", "checks"), (0.0, 0.4), (6, 50)),
    "metal": Finish(0.05, ("plain",), (0.6, 1.2), (20, 120)),
}
"""How materials look, by the name of their palette."""
