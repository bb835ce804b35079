"""Reconstruction from photos of which nobody knows how their shapes are turned: the rule of 3D-GAN's IKEA table."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from voxgan.dataset import Dataset
from voxgan.evaluation.floors import not_ahead
from voxgan.evaluation.result import Column, Row, Sheet, Suite, class_table
from voxgan.evaluation.setting import Setting, pieces, same
from voxgan.evaluation.sheets import beside, ranked
from voxgan.metrics.alignment import aligned_average_precision, central, filling, orientations
from voxgan.metrics.pairwise_iou import pairwise_iou
from voxgan.voxels import FILL

__all__ = ["from_photos"]

_QUICK = 5
_SIDE = 20  # of the grids that reconstructions from photos are compared in
_RANDOM = 5  # training shapes drawn for each real one
_IKEA = ("bed", "bookshelf", "chair", "desk", "sofa", "table")
_PUBLISHED = {
    "AlexNet-fc8, published": (29.5, 17.3, 20.4, 19.7, 38.8, 16.0),
    "AlexNet-conv4, published": (38.2, 26.6, 31.4, 26.6, 69.3, 19.1),
    "T-L network, published": (56.3, 30.2, 32.9, 25.8, 71.7, 23.3),
    "3D-VAE-GAN, published": (49.1, 31.9, 42.6, 34.8, 79.8, 33.1),
}
_LEVEL = 0.5


def from_photos(setting: Setting, title: str) -> Suite:
    """Score by the rule of 3D-GAN's IKEA table: average precision at 20³, aligned; shapes fill the grid."""
    test = setting.test
    rows = setting.chosen_of_classes(test, _QUICK if setting.quick else len(test))
    labels = setting.labels_of(test)[rows]
    grids, which = _different(setting, rows)
    readings, floor = setting.readings(labels), "class's mean shape"
    names = (*readings, floor, "random shape of the class", "nearest training shape")
    scores = {name: np.zeros(len(rows)) for name in names}
    floors = _photo_floors(setting, grids, [int(labels[np.flatnonzero(which == i)[0]]) for i in range(len(grids))])
    for name in names[len(readings) :]:
        scores[name][:] = floors[name][which]
    for part in pieces(np.arange(len(rows))):
        photos = _photos(test, rows[part])
        for name, shapes in setting.reconstructed(photos, readings, part):
            for place, grid in zip(part.tolist(), shapes, strict=True):
                scores[name][place] = aligned_average_precision(central(grid, _SIDE, FILL), grids[which[place]])
        setting.report("reconstructing and aligning", int(part[-1]) + 1, len(rows))
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    kinds = dict(zip(names, (*("model" for _ in readings), "floor", "floor", "oracle"), strict=True))
    notes = [
        f"{len(rows)} photos of {len(grids)} shapes at {_SIDE}³, real shapes scaled to fill the grid, reconstructions "
        f"cut to the middle {FILL:.2%} that shapes of a data set fill; average precision in per cent, the best over 48 "
        "turns and mirrors and moves by up to a tenth of the side, for every row alike. Means over photos, then "
        f"classes. Looks at each photo: {setting.votes}.",
        "The mean shape and the random one are told the class; so is the model, in a row that says so, where it has "
        "class latents. The nearest training shape is that of the highest IoU with the real one, in any turn.",
        "Published: one model for all classes (3D-VAE-GAN, Wu et al. 2016, and those before it), quoted second-hand; "
        "their photos and scaling need not be these.",
    ]
    classes, precision = setting.names_of(labels), Column("ap", "AP", "high", 1, 100)
    title_of = "From photos: average precision, aligned"
    table = class_table("photos", title_of, precision, classes, groups, scores, kinds, notes)
    means = {row.name: row.values["mean"] for row in table.rows}
    notes += [note for name in readings for note in not_ahead(name, floor, means[name], means[floor])]
    published = [Row(name, "published", _published(values, classes)) for name, values in _PUBLISHED.items()]
    table = replace(table, rows=[*table.rows, *published], notes=notes)
    sheets = []
    for name, places in ranked(scores[setting.name]).items():
        shapes = setting.model.reconstruct(_photos(test, rows[places]), votes=setting.votes).occupancy
        caption = f"The {name} by average precision, from left to right: photo, reconstruction, real shape as stored"
        pixels = np.stack([_square(picture) for picture in _photos(test, rows[places])])
        real = test.occupancy(rows[places]) > 0
        sheets.append(Sheet(f"photos_{name}", caption, functools.partial(beside, pixels, shapes, real)))
    facts = {
        "photos": len(rows),
        "shapes": len(grids),
        "protocol": "photos, aligned",
        "side": _SIDE,
        "votes": setting.votes,
    }
    return Suite("reconstruction", title, [table], (), sheets, facts)


def _photos(test: Dataset, rows: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
    """Return the pictures, (S, S, 3), to be cropped and cut out as any user's photo is."""
    return [
        view[..., :3] if (view[..., 3] == 255).all() else view for view in test.views(rows.tolist(), [0] * len(rows))
    ]


def _square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay a picture on white."""
    if picture.shape[2] == 3:
        return picture
    alpha = picture[..., 3:].astype(np.float32) / 255
    return (picture[..., :3] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)


def _different(setting: Setting, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the different real shapes, filling 20³, and which of them each row is."""
    packed = setting.test.packed(rows)
    _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    grids = setting.test.occupancy(rows[first])
    filled = [filling(grid, _SIDE) for grid in grids]
    # Where a part is thinner than a cell, no cell is half full
    return np.stack([grid >= min(_LEVEL, float(grid.max()) / 2) for grid in filled]), which.reshape(-1)


def _photo_floors(setting: Setting, grids: NDArray[np.bool_], labels: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """Return the aligned average precision of floors and oracle for each different shape."""
    known = setting.known
    known_labels = setting.labels_of(known)
    filled = np.empty((len(known), *(_SIDE,) * 3), np.float32)
    for part in pieces(np.arange(len(known))):
        filled[part] = [filling(grid, _SIDE) for grid in known.occupancy(part)]
        setting.report("scaling training shapes", int(part[-1]) + 1, len(known))
    rng = np.random.default_rng(setting.seed)
    floors = {name: np.zeros(len(grids)) for name in ("class's mean shape", "random shape of the class")}
    floors["nearest training shape"] = np.zeros(len(grids))
    means = {label: filling(filled[known_labels == label].mean(0), _SIDE, 1e-3) for label in set(labels)}
    for place, (grid, label) in enumerate(zip(grids, labels, strict=True)):
        drawn = rng.choice(np.flatnonzero(known_labels == label), _RANDOM)
        ious = pairwise_iou(orientations(grid), filled)
        best = int(ious.max(0).argmax())
        floors["class's mean shape"][place] = aligned_average_precision(means[label], grid)
        floors["random shape of the class"][place] = np.mean(
            [aligned_average_precision(filled[row], grid) for row in drawn]
        )
        floors["nearest training shape"][place] = aligned_average_precision(filled[best], grid)
        setting.report("floors", place + 1, len(grids))
    return floors


def _published(values: Sequence[float], classes: Sequence[str]) -> dict[str, float | None]:
    """Return published figures, per cent, for the classes that are asked for; the mean only where all six are."""
    by_class = dict(zip(_IKEA, values, strict=True))
    found: dict[str, float | None] = {
        name: by_class[same(name)] / 100 if same(name) in by_class else None for name in classes
    }
    whole = {same(name) for name in classes} == set(_IKEA)
    return found | {"mean": sum(values) / len(values) / 100 if whole else None}
