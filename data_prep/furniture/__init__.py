"""Parametric furniture as meshes, seeded: data without a download.

Every class is one function that rolls its own dimensions and style and returns closed parts; they overlap
slightly, and the shape is their union. Metres, z up, standing on z = 0, facing −y.

The sixteen classes, named as in ModelNet40:

========================= ==========================================================================================
bathtub, toilet           free-standing, clawed, built in, in a corner, round; close, high, low or hidden cisterns
bed                       single, double, bunk, with posts
bench                     for a park, a hall, a church, the end of a bed, with compartments, curved
bookshelf                 a case, cubes, posts, a ladder, uneven cells
chair, sofa               for dining and the office, shells, tubs; two to four seats, some with a corner
desk, table               pedestals, panels, trestles, columns; dining, coffee, console, side
dresser, wardrobe         drawers and doors of many fronts, mirrors, open compartments, doors ajar, corners
lamp                      table, floor, tripod, arc, jointed, gooseneck, lantern, with many shades
monitor                   flat, curved, upright, two or three together, a deep tube
night_stand, tv_stand     cases and tables with drawers, round ones; low and wide ones, stepped, bridged, of boards
stool                     on legs, a column, runners; saddles, steps, folding, solid
========================= ==========================================================================================

A further class is one more function under its name in ``_MAKERS``; the functions live in the files beside this one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import trimesh

from data_prep.furniture.bath import bathtub, toilet
from data_prep.furniture.beds import bed
from data_prep.furniture.benches import bench
from data_prep.furniture.lamps import lamp
from data_prep.furniture.parts import Dice, Parts
from data_prep.furniture.screens import monitor
from data_prep.furniture.seats import chair, sofa
from data_prep.furniture.shelves import bookshelf
from data_prep.furniture.stands import night_stand, tv_stand
from data_prep.furniture.stools import stool
from data_prep.furniture.storage import dresser, wardrobe
from data_prep.furniture.tables import desk, table
from voxgan.errors import UsageError, nearest

__all__ = ["CLASSES", "furniture"]

_MAKERS: dict[str, Callable[[Dice], Parts]] = {
    "bathtub": bathtub,
    "bed": bed,
    "bench": bench,
    "bookshelf": bookshelf,
    "chair": chair,
    "desk": desk,
    "dresser": dresser,
    "lamp": lamp,
    "monitor": monitor,
    "night_stand": night_stand,
    "sofa": sofa,
    "stool": stool,
    "table": table,
    "toilet": toilet,
    "tv_stand": tv_stand,
    "wardrobe": wardrobe,
}

CLASSES: tuple[str, ...] = tuple(_MAKERS)


def furniture(class_name: str, seed: int) -> trimesh.Trimesh:
    """Make one piece of furniture; the same class and seed always give the same mesh.

    Parameters
    ----------
    class_name : str
        One of ``CLASSES``.
    seed : int
        Which piece, not negative.

    Returns
    -------
    trimesh.Trimesh
        Closed parts in metres, z up, standing on z = 0 with x and y centred, facing −y. Parts overlap:
        the solid is their union.

    Raises
    ------
    UsageError
        The class is unknown, or the seed negative.

    Examples
    --------
    >>> mesh = furniture("chair", seed=3)
    >>> mesh.is_watertight, bool(mesh.bounds[0, 2] == 0)
    (True, True)
    """
    if class_name not in _MAKERS:
        raise UsageError(f"no furniture class {class_name!r}; {nearest(class_name, CLASSES)}")
    if seed < 0:
        raise UsageError(f"furniture seed {seed}: expected 0 or more")
    dice = Dice(np.random.default_rng([zlib.crc32(class_name.encode()), seed]))
    parts = _MAKERS[class_name](dice)
    vertices = np.concatenate([part[0] for part in parts])
    starts = np.cumsum([0] + [len(part[0]) for part in parts[:-1]])
    faces = np.concatenate([part[1] + start for part, start in zip(parts, starts, strict=True)])
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    vertices -= ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2])
    return trimesh.Trimesh(vertices, faces, process=False)
