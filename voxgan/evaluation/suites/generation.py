"""Samples beside real shapes: how far apart the two sets are, and whether samples are varied, new and whole."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import DatasetError, SurfaceError
from voxgan.evaluation.floors import noise_like
from voxgan.evaluation.result import Column, Row, Sheet, Suite, Table
from voxgan.evaluation.setting import CHUNK, Setting, in_proportion, pieces, same
from voxgan.metrics.chamfer import chamfer_matrix
from voxgan.metrics.failures import failures, largest_part
from voxgan.metrics.frechet import frechet_distance
from voxgan.metrics.inception_score import inception_score
from voxgan.metrics.jensen_shannon import point_jsd
from voxgan.metrics.kl import feature_kl
from voxgan.metrics.matching import coverage, minimum_matching_distance
from voxgan.metrics.ms_ssim import mean_ms_ssim
from voxgan.metrics.nearest import nearest
from voxgan.metrics.pairwise_iou import mean_of_pairs, pairwise_iou
from voxgan.metrics.two_sample import one_nearest_neighbour_accuracy
from voxgan.preview import sheet
from voxgan.surface_points import NUM_POINTS, surface_points

if TYPE_CHECKING:
    from voxgan.dataset import Dataset
    from voxgan.models.model import Model

__all__ = ["TITLE", "lacking", "reason", "run"]

TITLE = "Generation: samples beside real shapes"

_MOST, _QUICK = 1000, 100
_COMPARED = 4096  # training shapes looked through for those nearest to samples
_PAIRS = 100  # for MS-SSIM
_COPY = 0.99  # IoU from which a sample is a training shape again
_SHOWN = 24

_SETS = (
    Column("n", "n", digits=0, note="shapes in the set"),
    Column("mmd_cd", "MMD-CD", "low", 2, 1e3, "minimum matching distance by Chamfer distance"),
    Column("cov_cd", "COV-CD", "high", 1, 100, "coverage by Chamfer distance"),
    Column("one_nna_cd", "1-NNA-CD", "half", 1, 100, "1-NNA by Chamfer distance; 50 is ideal"),
    Column("mmd_iou", "MMD-IoU", "low", 3, note="minimum matching distance by 1 − IoU"),
    Column("cov_iou", "COV-IoU", "high", 1, 100, "coverage by 1 − IoU"),
    Column("one_nna_iou", "1-NNA-IoU", "half", 1, 100, "1-NNA by 1 − IoU; 50 is ideal"),
    Column("jsd", "JSD", "low", 4, note="Jensen-Shannon divergence of the points' places, in bits"),
)
_FEATURES = (
    Column("n", "n", digits=0, note="shapes in the set"),
    Column("d", "d", digits=0, note="numbers in a feature vector"),
    Column("frechet", "Fréchet", "low", 2, note="Fréchet distance to the test shapes' features"),
    Column("kl", "KL", "low", 2, note="KL(test ‖ set) of Gaussians fitted to the features, in nats"),
    Column("inception", "IS", "high", 2, note="inception score by the classifier's answers"),
    Column("own_class", "of its classes", "high", 1, 100, "share that the classifier takes for a class of the data"),
)
_ALONE = (
    Column("n", "n", digits=0, note="shapes in the set"),
    Column("empty", "empty", "low", 1, 100, "no cell inside"),
    Column("full", "full", "low", 1, 100, "more than half of the grid inside"),
    Column("blob", "blob", "low", 1, 100, "more than 70 % of its box inside"),
    Column("shattered", "shattered", "low", 1, 100, "less than 90 % of the mass in one part"),
    Column("largest_part", "largest part", "high", 1, 100, "mean share of the mass in the largest part"),
    Column("pairwise_iou", "IoU of pairs", "", 3, note="mean IoU of pairs: compare with the test shapes'"),
    Column("ms_ssim", "MS-SSIM", "", 3, note="mean of at most 100 pairs, in 3-D: compare with the test shapes'"),
    Column("nearest_iou", "nearest", "", 3, note="mean IoU with the nearest training shape"),
    Column("copies", "copies", "low", 1, 100, "share with a training shape at an IoU of 0.99 or more"),
)


@dataclass(frozen=True)
class _Set:
    """Shapes that are judged together."""

    name: str
    kind: str
    grids: NDArray[np.bool_]
    points: NDArray[np.float64]
    features: NDArray[np.float32]
    without_surface: int

    @functools.cached_property
    def ious(self) -> NDArray[np.float64]:
        """IoU of every shape with every other."""
        return pairwise_iou(self.grids)

    @functools.cached_property
    def largest_parts(self) -> NDArray[np.float64]:
        """Share of every shape's mass in its largest part."""
        return np.array([largest_part(grid) for grid in self.grids])


def reason(model: Model, name: str) -> str | None:
    """Say why a model cannot take part; every one can."""
    return None


def lacking(setting: Setting) -> str | None:
    """Say what the data lacks for this suite."""
    return setting.lacking() or (None if min(len(setting.test), len(setting.known)) > 1 else "it has one shape only")


def run(setting: Setting) -> Suite:
    """Score samples, as many training shapes (the oracle), and noise against test shapes."""
    setting.require_resolution()
    test_rows = setting.chosen(setting.test, setting.count or (_QUICK if setting.quick else _MOST))
    count = setting.count or len(test_rows)
    if min(len(test_rows), len(setting.known)) < 2:
        raise DatasetError(
            f"{setting.test.path}: {len(test_rows)} test and {len(setting.known)} training shapes; "
            "expected at least 2 of each to compare sets"
        )
    real = _measured(setting, "test shapes", "oracle", _read(setting.test, test_rows))
    labels = setting.labels_of(setting.test)[test_rows]
    notes: list[str] = []
    if setting.whole:
        notes.append(f"Samples with less than {setting.whole:.0%} of their cells in one part were drawn again.")
    wanted = in_proportion(labels, count, setting.seed)
    asked = _asked(setting, wanted)
    sampled = _samples(setting, labels, asked, count, notes)
    train_rows = _training_rows(setting, wanted, notes)
    noise = noise_like(real.grids, count, setting.seed)
    sets = [
        _measured(setting, setting.name, "model", sampled),
        _measured(setting, "training shapes", "oracle", _read(setting.known, train_rows)),
        _measured(setting, "random noise", "noise", noise),
    ]
    del noise
    tables = [_sets_table(setting, sets, real, notes), _features_table(setting, sets, real)]
    alone, places = _alone_table(setting, sets, real)
    tables.append(alone)
    if asked:
        tables.append(_classes_table(setting, [(sets[0], wanted), (real, labels)]))
    shown = np.linspace(0, count - 1, min(count, _SHOWN)).round().astype(int)
    pairs = np.empty((2 * min(8, count), *real.grids.shape[1:]), bool)
    pairs[0::2] = sampled[shown[: len(pairs) // 2]]
    pairs[1::2] = _read(setting.known, places[shown[: len(pairs) // 2]])
    shown_real = real.grids[:: max(1, len(real.grids) // _SHOWN)][:_SHOWN].copy()
    sheets = [
        _sheet("samples", f"Samples of {setting.name}", sampled[shown]),
        _sheet("real", "Test shapes", shown_real),
        _sheet("nearest", "Samples, each left of the training shape nearest to it", pairs),
        _sheet(
            "pieces",
            "Samples of which the least hangs together",
            sampled[np.argsort(sets[0].largest_parts)[:8]],
        ),
    ]
    facts = {
        "samples": count,
        "whole": setting.whole,
        "test_shapes": len(test_rows),
        "points_of_a_shape": NUM_POINTS,
        "features": len(real.features[0]),
        "classifier_sha256": setting.features.sha256,
        "classifier_accuracy": setting.features.accuracy,
    }
    return Suite("generation", TITLE, tables, (), sheets, facts)


def _sheet(name: str, title: str, grids: NDArray[np.bool_]) -> Sheet:
    return Sheet(f"generation_{name}", title, functools.partial(sheet, grids, 8, size=128))


def _asked(setting: Setting, wanted: NDArray[np.int64]) -> list[str]:
    """Return what the model calls each of these classes; nothing where it cannot choose between all of them."""
    own = {same(name): name for name in setting.model.classes}
    asked = [own.get(same(setting.test.classes[label])) for label in wanted]
    return [name for name in asked if name] if len(own) > 1 and all(asked) else []


def _samples(
    setting: Setting, labels: NDArray[np.int64], asked: list[str], count: int, notes: list[str]
) -> NDArray[np.bool_]:
    """Return samples, (count, R, R, R), of the classes that are asked for."""
    model, side = setting.model, setting.model.config.resolution
    z = model.sample_latents(count, setting.seed, whole=0.0 if asked else setting.whole)
    there = set(map(same, setting.names_of(labels)))
    if asked:
        for place, name in enumerate(sorted(set(asked))):
            rows = np.flatnonzero([name == one for one in asked])
            if model.conditional and not setting.whole:
                z[rows] = model.with_class(z[rows], name)
            else:
                z[rows] = model.sample_latents(len(rows), setting.seed + place, name, whole=setting.whole)
    elif others := sorted({same(name) for name in model.config.classes} - there):
        notes.append(f"{setting.name} was trained on {', '.join(others)} as well, and cannot be asked for the data's.")
    grids = np.empty((count, side, side, side), bool)
    for rows in pieces(np.arange(count)):
        grids[rows] = model.decode(z[rows]).occupancy >= 0.5
        setting.report("making samples", int(rows[-1]) + 1, count)
    return grids


def _training_rows(setting: Setting, wanted: NDArray[np.int64], notes: list[str]) -> NDArray[np.int64]:
    """Return a training shape of each of these classes, as many as there are, none twice."""
    known = setting.labels_of(setting.known)
    rng = np.random.default_rng(setting.seed)
    rows = []
    for label, asked in zip(*np.unique(wanted, return_counts=True), strict=True):
        own = np.flatnonzero(known == label)
        rows.append(rng.choice(own, min(int(asked), len(own)), replace=False))
    found: NDArray[np.int64] = np.sort(np.concatenate(rows))
    if len(found) < 2:
        raise DatasetError(f"{setting.known.path}: too few training shapes of the classes that are judged; expected 2")
    if len(found) < len(wanted):
        notes.append(f"Training shapes: {len(found)} only, for some classes have no more; these proportions differ.")
    return found


def _read(data: Dataset, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.concatenate([data.occupancy(part) > 0 for part in pieces(rows)])


def _measured(setting: Setting, name: str, kind: str, grids: NDArray[np.bool_]) -> _Set:
    """Draw points on the surfaces of shapes, and take their features."""
    points = np.zeros((len(grids), NUM_POINTS, 3))
    lost = 0
    for place, grid in enumerate(grids):
        try:
            points[place] = surface_points(grid, seed=setting.seed + place)[0]
        except SurfaceError:
            lost += 1  # its points stay in the middle of the cube
        setting.report(f"points of {name}", place + 1, len(grids))
    features = np.concatenate([setting.features.features(grids[part]) for part in pieces(np.arange(len(grids)))])
    return _Set(name, kind, grids, points, features, lost)


def _sets_table(setting: Setting, sets: list[_Set], real: _Set, told: list[str]) -> Table:
    def chamfers(name: str, one: _Set, other: _Set | None = None) -> NDArray[np.float64]:
        return chamfer_matrix(
            one.points,
            None if other is None else other.points,
            setting.model.device,
            lambda done, total: setting.report(f"Chamfer distances, {name}", done, total),
        )

    real_cd, real_iou = chamfers(real.name, real), 1 - real.ious
    rows = []
    for one in sets:
        across, within = chamfers(one.name, one, real), chamfers(one.name, one)
        across_iou, within_iou = 1 - pairwise_iou(one.grids, real.grids), 1 - one.ious
        values = {
            "n": float(len(one.grids)),
            "mmd_cd": minimum_matching_distance(across),
            "cov_cd": coverage(across),
            "one_nna_cd": one_nearest_neighbour_accuracy(within, across, real_cd),
            "mmd_iou": minimum_matching_distance(across_iou),
            "cov_iou": coverage(across_iou),
            "one_nna_iou": one_nearest_neighbour_accuracy(within_iou, across_iou, real_iou),
            "jsd": point_jsd(one.points, real.points),
        }
        rows.append(Row(one.name, one.kind, values))
    notes = [
        f"Against {len(real.grids)} test shapes; {NUM_POINTS:,} points on each binary surface, in the unit cube. "
        "Figures of point clouds or meshes from elsewhere cannot be set beside these.",
        *told,
    ]
    if any(len(one.grids) != len(real.grids) for one in sets):
        notes.append("Sets of unequal size: 1-NNA is not 50 for equal distributions, and COV is bounded by the size.")
    notes += [
        f"{one.name}: {one.without_surface} without a surface, whose points are taken to lie in the cube's middle."
        for one in sets
        if one.without_surface
    ]
    return Table("sets", "Sets of samples against sets of test shapes", _SETS, rows, notes)


def _features_table(setting: Setting, sets: list[_Set], real: _Set) -> Table:
    space, width = setting.features, real.features.shape[1]
    known = setting.own_classes
    rows, notes, few = [], [], []
    for one in [*sets, real]:
        fewest = min(len(one.grids), len(real.grids))
        enough = fewest > width
        answers = space.probabilities_of(one.features)
        values: dict[str, float | None] = {
            "n": float(len(one.grids)),
            "d": float(width),
            "frechet": frechet_distance(one.features, real.features) if enough and one is not real else None,
            "kl": feature_kl(one.features, real.features) if enough and one is not real else None,
            "inception": inception_score(answers),
            "own_class": float(known[answers.argmax(1)].mean()) if known.any() else None,
        }
        rows.append(Row(one.name, one.kind, values))
        if not enough and one is not real:
            few.append(f"{fewest} {one.name}")
    if few:
        notes.append(
            f"Too few for {width} features ({', '.join(few)}): no Fréchet distance, no KL; expected more than {width}."
        )
    notes.append(
        f"Features of the shipped classifier ({100 * space.accuracy:.1f} % on ModelNet40's test split, weights "
        f"{space.sha256[:12]}…). Both distances are to the test shapes, and too large for few shapes: compare with the "
        "oracle's row only."
    )
    if len(set(map(same, setting.names_of(setting.test.labels)))) == 1:
        notes.append("Of one class, the inception score says nothing: it asks for many.")
    if not known.any():
        notes.append("The classifier knows none of the data's classes.")
    if setting.test.mode == "surface":
        notes.append("The classifier was trained on solid shapes, and these are surfaces: its features say little.")
    return Table("features", "In the feature space of a voxel classifier", _FEATURES, rows, notes)


def _alone_table(setting: Setting, sets: list[_Set], real: _Set) -> tuple[Table, NDArray[np.int64]]:
    """Return the table, and where the training shape nearest to each sample is."""
    known = setting.known
    compared = np.linspace(0, len(known) - 1, min(len(known), _COMPARED)).round().astype(np.int64)
    rows, places = [], np.zeros(0, np.int64)
    for one in [*sets, real]:
        values: dict[str, float | None] = {"n": float(len(one.grids)), **failures(one.grids)}
        values["largest_part"] = float(one.largest_parts.mean())
        values["pairwise_iou"] = mean_of_pairs(one.ious)
        few = np.random.default_rng(setting.seed).permutation(len(one.grids))[: 2 * _PAIRS]  # not of the first classes
        values["ms_ssim"] = mean_ms_ssim(one.grids[few].astype(np.float32), _PAIRS, setting.seed)
        if one.name != "training shapes":  # which are among those that they would be compared with
            found, ious = nearest(one.grids, (known.occupancy(part) for part in pieces(compared, 4 * CHUNK)))
            values |= {"nearest_iou": float(ious.mean()), "copies": float((ious >= _COPY).mean())}
            if one.kind == "model":
                places = compared[found]
        rows.append(Row(one.name, one.kind, values))
        setting.report("looking at each set alone", len(rows), len(sets) + 1)
    notes = [f"Nearest of {len(compared):,} training shapes; training shapes are not compared with themselves."]
    return Table("alone", "Each set alone", _ALONE, rows, notes), places


def _classes_table(setting: Setting, sets: list[tuple[_Set, NDArray[np.int64]]]) -> Table:
    """Return which share of each class is shattered, in sets of which the classes are known."""
    there = np.unique(sets[-1][1])
    columns = [Column(name, name, "low", 1, 100) for name in (*setting.names_of(there), "mean")]
    rows = []
    for one, labels in sets:
        groups = [one.grids[labels == label] for label in there]
        shares = [failures(group)["shattered"] if len(group) else None for group in groups]
        mean = float(np.mean([share for share in shares if share is not None]))
        rows.append(Row(one.name, one.kind, dict(zip((c.name for c in columns), (*shares, mean), strict=True))))
    return Table("shattered_per_class", "Shattered of each class", columns, rows, [])
