"""Shapes from single images, beside what knowing the class alone gives, and the nearest shape that is known."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from voxgan.batches import on_white
from voxgan.dataset import unpack
from voxgan.errors import SurfaceError
from voxgan.evaluation.floors import mean_shape, not_ahead
from voxgan.evaluation.photos import from_photos
from voxgan.evaluation.result import Column, Plot, Row, Sheet, Suite, Table, class_table
from voxgan.evaluation.setting import CHUNK, Setting, copies, pieces
from voxgan.evaluation.sheets import beside, ranked
from voxgan.metrics.average_precision import average_precision
from voxgan.metrics.chamfer import chamfer
from voxgan.metrics.earth_movers import earth_movers_distance
from voxgan.metrics.f_score import f_score
from voxgan.metrics.iou import LEVELS, iou
from voxgan.metrics.normal_consistency import normal_consistency
from voxgan.metrics.pairwise_iou import pairwise_iou
from voxgan.surface_points import NUM_POINTS, surface_points

if TYPE_CHECKING:
    from voxgan.models.model import Model

__all__ = ["TITLE", "lacking", "reason", "run"]

TITLE = "Reconstruction: shapes from single images"

_QUICK = 8  # of each class
_VIEWS = 2  # of each shape
_MATCHED = 512  # points for the earth mover's distance
_NEAR = 1 / 32  # of the cube's side: the F-score's distance
_LEVEL = 0.5


_BESIDE = ("class's mean shape", "random shape of the class", "nearest training shape", "the real shape itself")
_MEASURES = ("iou", "ap", "f_score", "chamfer", "emd", "normals")
_COLUMNS = (
    Column("iou", "IoU", "high", 3, note="at level ½; of the mean shape: at its best level among training shapes"),
    Column("best_iou", "best IoU", "high", 3, note="at the one level that suits all test shapes best"),
    Column("level", "level", "", 2, note="that level"),
    Column("ap", "AP", "high", 1, 100, "average precision over voxels"),
    Column("f_score", "F-score", "high", 1, 100, f"F-score of {NUM_POINTS:,} points at {_NEAR} of the cube's side"),
    Column("chamfer", "Chamfer", "low", 2, 1e3, f"of {NUM_POINTS:,} points, squared, both ways"),
    Column("emd", "EMD", "low", 2, 100, f"mean distance of {_MATCHED} matched points as a share of the cube's side"),
    Column("normals", "normals", "high", 3, note="normal consistency"),
)

Scores = dict[str, NDArray[np.float64]]


def reason(model: Model, name: str) -> str | None:
    """Say why a model cannot take part: it must read photos."""
    if "image" not in model.conditions:
        return f"{name} is a {model.name}, which cannot reconstruct from a photo; use a vae_gan3d model, as furniture"
    return None if hasattr(model, "encoder") else f"{name}: its weights hold no image encoder; use one saved with it"


def lacking(setting: Setting) -> str | None:
    """Say what the data lacks for this suite."""
    if setting.train is None:
        return f"{setting.test.path.name} has no training shapes"
    return None if setting.test.of_photos else setting.lacking()


def run(setting: Setting) -> Suite:
    """Score reconstructions from renderings, or from photos of which nobody knows how their shapes are turned."""
    setting.require_classes(setting.labels_of(setting.test))
    return from_photos(setting, TITLE) if setting.test.of_photos else _from_renderings(setting)


def _from_renderings(setting: Setting) -> Suite:
    setting.require_resolution()
    test, known = setting.test, setting.known
    rows = setting.chosen_of_classes(test, _QUICK if setting.quick else len(test))
    views = min(_VIEWS, test.num_views) or _VIEWS
    labels, known_labels = setting.labels_of(test)[rows], setting.labels_of(known)
    means = {label: mean_shape(known, np.flatnonzero(known_labels == label)) for label in np.unique(labels)}
    rng = np.random.default_rng(setting.seed)
    some = np.array([rng.choice(np.flatnonzero(known_labels == label)) for label in labels])
    closest = _nearest(setting, rows)
    readings = setting.readings(labels)
    names = (*readings, *_BESIDE)
    scores: dict[str, Scores] = {name: _empty(len(rows)) for name in names}
    for part in pieces(np.arange(len(rows))):
        real = test.occupancy(rows[part]) > 0
        for view in range(views):
            pictures = _pictures(setting, rows[part], real, view)
            for name, found in setting.reconstructed(pictures, readings, part):
                _score(scores[name], part, found, real, setting.seed, view, views)
        mean = np.stack([means[label].occupancy for label in labels[part]])
        levels = np.array([means[label].level for label in labels[part]])
        floor, drawn, near, itself = (scores[name] for name in _BESIDE)
        _score(floor, part, mean, real, setting.seed, levels=levels)
        _score(drawn, part, known.occupancy(some[part]).astype(np.float32), real, setting.seed)
        _score(near, part, known.occupancy(closest[part]).astype(np.float32), real, setting.seed)
        _score(itself, part, real.astype(np.float32), real, setting.seed)
        setting.report("reconstructing", int(part[-1]) + 1, len(rows))
    kinds = dict(zip(names, (*("model" for _ in readings), "floor", "floor", "oracle", "oracle"), strict=True))
    lost = {name: int(scores[name]["lost"].sum()) for name in names if scores[name]["lost"].any()}
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    fresh = ~copies(test, rows, known)
    notes = [
        f"{len(rows)} shapes, {views} view{'s' * (views > 1)} each on white "
        f"({'rendered with the data set' if test.num_views else 'drawn of the grids'}); means over views, shapes, "
        "then classes. F, Chamfer, EMD and normals are of the first view, and of points drawn on each side anew: the "
        "real shape itself is not perfect. The best level is chosen on the shapes that are scored.",
    ]
    notes += [f"{name}: {lost[name]} without a surface, whose points lie in the cube's middle." for name in lost]
    ious = {name: _over_classes(scores[name], groups)["iou"] for name in names}
    notes += [note for name in readings for note in not_ahead(name, _BESIDE[0], ious[name], ious[_BESIDE[0]])]
    tables = [_whole_table("whole", "From renderings of unseen shapes", scores, kinds, groups, notes)]
    unseen = [group[fresh[group]] for group in groups if fresh[group].any()]
    if unseen and not fresh.all():
        left = f"Without the {int((~fresh).sum())} that stand, cell for cell, among the training shapes, too."
        title = "The same without copies of training shapes"
        tables.append(_whole_table("unseen", title, scores, kinds, unseen, [left]))
    tables += [
        class_table(
            f"{own.name}_per_class",
            f"{own.title} of each class",
            own,
            setting.names_of(labels),
            groups,
            {name: scores[name][own.name] for name in names},
            kinds,
            [own.note],
        )
        for own in _COLUMNS
        if own.name in ("iou", "ap", "chamfer")
    ]
    plot = Plot(
        "IoU over the level of the surface",
        "level",
        "mean IoU",
        {name: (list(LEVELS), scores[name]["levels"].mean(0).round(4).tolist()) for name in (*readings, _BESIDE[0])},
    )
    facts = {"shapes": len(rows), "views": views, "protocol": "renderings", "near": _NEAR}
    return Suite("reconstruction", TITLE, tables, [plot], _sheets(setting, rows, scores[setting.name]["iou"]), facts)


def _pictures(setting: Setting, rows: NDArray[np.int64], real: NDArray[np.bool_], view: int) -> NDArray[np.float32]:
    """Return one view on white of each shape, (B, 3, S, S) in [0, 1], as large as the model takes it."""
    if setting.test.num_views:
        views = torch.from_numpy(setting.test.views(rows.tolist(), [view] * len(rows)))
    else:
        from voxgan.raycast import draw_views, framed, random_cameras

        grids = torch.from_numpy(real).float()
        drawn = []
        for row, grid in zip(rows.tolist(), grids, strict=True):  # each by its own seed, whatever its neighbours
            generator = torch.Generator().manual_seed(setting.seed + 1009 * row + view)
            camera = framed(grid[None], random_cameras(1, generator))
            drawn.append(draw_views(grid[None], camera, generator).permute(0, 2, 3, 1))
        views = torch.cat(drawn)
    model = setting.model
    images: NDArray[np.float32] = on_white(views, model.image_size(model.config)).numpy()
    return images


def _empty(count: int) -> Scores:
    return {name: np.zeros(count) for name in (*_MEASURES, "lost")} | {"levels": np.zeros((count, len(LEVELS)))}


def _score(
    into: Scores,
    part: NDArray[np.int64],
    found: NDArray[np.float32],
    real: NDArray[np.bool_],
    seed: int,
    view: int = 0,
    views: int = 1,
    levels: NDArray[np.float64] | None = None,
) -> None:
    """Add the figures of some shapes; those of points are taken of the first view only."""
    chosen = np.full(len(found), _LEVEL, np.float32) if levels is None else levels.astype(np.float32)
    into["iou"][part] += iou(found >= chosen[:, None, None, None], real) / views
    into["ap"][part] += average_precision(found, real) / views
    for place, level in enumerate(LEVELS):
        into["levels"][part, place] += iou(found >= level, real) / views
    if view:
        return
    for row, grid, truth, level in zip(part.tolist(), found, real, chosen.tolist(), strict=True):
        points, normals, lost = _points(grid, level, 2 * (seed + row))
        real_points, real_normals, _ = _points(truth, _LEVEL, 2 * (seed + row) + 1)
        into["lost"][row] = lost
        into["chamfer"][row] = chamfer(points, real_points)
        into["f_score"][row] = f_score(points, real_points, _NEAR)
        into["emd"][row] = earth_movers_distance(points[:_MATCHED], real_points[:_MATCHED])
        into["normals"][row] = normal_consistency(points, normals, real_points, real_normals)


def _points(
    grid: NDArray[np.float32] | NDArray[np.bool_], level: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Return points and normals, and whether there is no surface: then they lie in the middle of the cube."""
    try:
        return *surface_points(grid, level=level, seed=seed), False
    except SurfaceError:
        return np.zeros((NUM_POINTS, 3)), np.tile([0.0, 0.0, 1.0], (NUM_POINTS, 1)), True


def _whole_table(
    name: str,
    title: str,
    scores: dict[str, Scores],
    kinds: dict[str, str],
    groups: Sequence[NDArray[np.int64]],
    notes: list[str],
) -> Table:
    rows = [Row(row, kind, _over_classes(scores[row], groups)) for row, kind in kinds.items()]
    return Table(name, title, _COLUMNS, rows, notes)


def _over_classes(scores: Scores, groups: Sequence[NDArray[np.int64]]) -> dict[str, float | None]:
    """Return means over classes of the means over their shapes."""
    values: dict[str, float | None] = {
        name: float(np.mean([scores[name][group].mean() for group in groups])) for name in _MEASURES
    }
    by_level = np.mean([scores["levels"][group].mean(0) for group in groups], axis=0)
    best = int(by_level.argmax())
    level = LEVELS[best] if by_level.min() < by_level.max() else None  # of shapes of 0 and 1, all levels are the same
    return values | {"best_iou": float(by_level[best]), "level": level}


def _nearest(setting: Setting, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the training shape of highest IoU with each test shape, whatever its class."""
    known = setting.known
    best, places = np.full(len(rows), -1.0), np.zeros(len(rows), np.int64)
    size = 4 * CHUNK
    packed = setting.test.packed(rows)
    for part in pieces(np.arange(len(known)), size):
        others = known.occupancy(part)
        for own in pieces(np.arange(len(rows)), size):
            ious = pairwise_iou(unpack(packed[own], known.resolution), others)
            found = ious.max(1)
            better = found > best[own]
            best[own[better]], places[own[better]] = found[better], part[ious.argmax(1)[better]]
        setting.report("looking for the nearest training shapes", int(part[-1]) + 1, len(known))
    return places


def _sheets(setting: Setting, rows: NDArray[np.int64], scores: NDArray[np.float64]) -> list[Sheet]:
    """Draw the best, the middle and the worst; they are made again, so that none need be kept until they are known."""
    sheets = []
    for name, places in ranked(scores).items():
        real = setting.test.occupancy(rows[places]) > 0
        pictures = _pictures(setting, rows[places], real, 0)
        found = setting.model.reconstruct(pictures, votes=setting.votes).occupancy
        pixels = (pictures.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8)
        title = f"The {name} by IoU, from left to right: picture, reconstruction, real shape"
        sheets.append(Sheet(f"reconstruction_{name}", title, functools.partial(beside, pixels, found, real)))
    return sheets
