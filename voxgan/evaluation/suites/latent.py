"""The latent space: walks, sums, single numbers and nearest neighbours, as sheets; and whether the steps are shapes."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voxgan.evaluation.floors import noise_like
from voxgan.evaluation.result import Column, Plot, Row, Sheet, Suite, Table
from voxgan.evaluation.setting import CHUNK, Setting, pieces
from voxgan.latent import interpolate
from voxgan.metrics.failures import failed, largest_part
from voxgan.metrics.iou import iou
from voxgan.metrics.nearest import nearest
from voxgan.preview import sheet

if TYPE_CHECKING:
    from voxgan.models.model import Model

__all__ = ["TITLE", "lacking", "reason", "run"]

TITLE = "Latent space: walks, sums, single numbers, neighbours"

_STEPS = 8  # of a walk, both ends counted
_WALKS, _QUICK_WALKS = 64, 12
_WHOLE = 0.95  # of the mass in the largest part, for a shape to be one connected one
_ROWS = 6  # of a sheet
_PLACES = 5  # at which a number of z is drawn

_COLUMNS = (
    Column("n", "shapes", digits=0, note="how many shapes were looked at"),
    Column("connected", "connected", "high", 1, 100, "95 % of the mass or more in one part"),
    Column("sound", "sound", "high", 1, 100, "neither empty, full, one blob nor shattered"),
    Column("own_class", "of its classes", "high", 1, 100, "taken by the classifier for a class of the data"),
    Column("plausible", "plausible", "high", 1, 100, "all three: connected, sound and of its classes"),
    Column("step_iou", "IoU of steps", "", 3, note="mean IoU of neighbours on the walk"),
    Column("jump", "least IoU", "high", 3, note="mean over walks of the lowest IoU of neighbours: where it jumps"),
)


def reason(model: Model, name: str) -> str | None:
    """Say why a model cannot take part; every one can."""
    return None


def lacking(setting: Setting) -> str | None:
    """Say what the data lacks for this suite."""
    return setting.lacking()


def run(setting: Setting) -> Suite:
    """Walk, add, move single numbers, look for neighbours."""
    setting.require_resolution()
    walks = _QUICK_WALKS if setting.quick else _WALKS
    walks = min(setting.count or walks, _WALKS)
    model = setting.model
    judge = _Judge(setting)
    rows, sheets, plots = [], [], []
    for name, title, kind, starts, ends in _ends(setting, walks):
        shown, changes, told = [], np.zeros(_STEPS), _Walks(judge)
        for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
            grids = model.decode(interpolate(start, end, _STEPS, kind)).occupancy >= 0.5
            told.add(grids)
            changes += iou(np.broadcast_to(grids[:1], grids.shape), grids) / walks
            if place < _ROWS:
                shown.append(grids)
            setting.report(title, place + 1, walks)
        rows += told.rows(title)
        sheets.append(_sheet(f"latent_{name}", f"{title[0].upper()}{title[1:]}", np.stack(shown), _STEPS))
        plots.append((title, changes))
    real = setting.test.occupancy(setting.chosen(setting.test, walks * 2)) > 0
    rows.append(judge.of("test shapes", "oracle", real))
    rows.append(judge.of("random noise", "noise", noise_like(real, len(real), setting.seed)))
    table = Table("walks", f"Shapes on {walks} walks of {_STEPS} steps each", _COLUMNS, rows, judge.notes)
    numbers, effects, change = _numbers(setting)
    sheets += [_sums(setting), effects, _neighbours(setting)]
    along = [round(step / (_STEPS - 1), 4) for step in range(_STEPS)]
    drawn = Plot(
        "IoU with the walk's first shape",
        "share of the way",
        "IoU",
        {title: (along, values.round(4).tolist()) for title, values in plots},
    )
    order = np.sort(change)[::-1]
    effect = Plot(
        "Effect of single numbers of z: 1 − IoU from end to end",
        "numbers of z, the strongest first",
        "1 − IoU",
        {setting.name: (list(range(1, len(order) + 1)), order.round(4).tolist())},
    )
    facts = {"walks": walks, "steps": _STEPS, "classifier_sha256": setting.features.sha256}
    return Suite("latent", TITLE, [table, numbers], [drawn, effect], sheets, facts)


class _Judge:
    """Says which shapes are connected, sound, and of a class that the data has."""

    def __init__(self, setting: Setting) -> None:
        self.space = setting.features
        self.known = setting.own_classes
        self.notes = [
            "Connected: 95 % of the mass or more hangs together. Sound: neither empty, full, one blob nor shattered. "
            "Of its classes: taken by the classifier for a class of the data. Plausible: all three.",
        ]
        if not self.known.any():
            self.notes.append("The classifier knows none of the data's classes: it is not asked.")

    def answers(self, grids: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return for each shape whether it is connected, sound, and of a class of the data, (B, 3)."""
        connected = [largest_part(grid) >= _WHOLE for grid in grids]
        own = self.known[self.space.named(grids)] if self.known.any() else np.ones(len(grids), bool)
        return np.stack([connected, ~failed(grids), own], axis=1)

    def row(self, name: str, kind: str, answers: NDArray[np.bool_], **more: float) -> Row:
        """Return a row of the shares of these answers, (N, 3)."""
        values: dict[str, float | None] = {"n": float(len(answers)), **more}
        values |= dict(zip(("connected", "sound", "own_class"), map(float, answers.mean(0)), strict=True))
        if not self.known.any():
            values["own_class"] = None
        return Row(name, kind, values | {"plausible": float(answers.all(1).mean())})

    def of(self, name: str, kind: str, grids: NDArray[np.bool_]) -> Row:
        """Return a row of these shapes."""
        return self.row(name, kind, np.concatenate([self.answers(grids[p]) for p in pieces(np.arange(len(grids)))]))


class _Walks:
    """The figures of walks of one kind, of which none is kept."""

    def __init__(self, judge: _Judge) -> None:
        self._judge = judge
        self._between: list[NDArray[np.bool_]] = []
        self._ends: list[NDArray[np.bool_]] = []
        self._ious: list[NDArray[np.float64]] = []

    def add(self, grids: NDArray[np.bool_]) -> None:
        """Look at one walk, (steps, R, R, R)."""
        answers = self._judge.answers(grids)
        self._between.append(answers[1:-1])
        self._ends.append(answers[[0, -1]])
        self._ious.append(iou(grids[1:], grids[:-1]))

    def rows(self, title: str) -> list[Row]:
        """Return the rows of the steps between the ends, and of the ends."""
        ious = np.stack(self._ious)
        steps = {"step_iou": float(ious.mean()), "jump": float(ious.min(1).mean())}
        return [
            self._judge.row(title, "model", np.concatenate(self._between), **steps),
            self._judge.row(f"{title}: its ends", "model", np.concatenate(self._ends)),
        ]


def _ends(setting: Setting, walks: int) -> list[tuple[str, str, str, Tensor, Tensor]]:
    """Return name, title, kind, starts and ends of walks: within a class, and between two if the model can choose."""
    model, seed = setting.model, setting.seed
    classes = model.classes
    if len(classes) < 2:
        z = model.sample_latents(2 * walks, seed)
        found = [("walk", "walks between samples", "linear", z[:walks], z[walks:])]
        if model.config.prior == "normal":  # whose samples lie far from the straight line's middle
            found.append(("spherical", "spherical walks between them", "spherical", z[:walks], z[walks:]))
        return found
    rng = np.random.default_rng(seed)
    within, across = [], []
    for place in range(walks):
        one, other = rng.choice(len(classes), 2, replace=False)
        ends = model.sample_latents(2, seed + place, classes[one])
        within.append(ends)
        end = model.sample_latents(2, seed + place, classes[other])[1]
        across.append(torch.stack([ends[0], end]))
    a, b = torch.stack(within), torch.stack(across)
    return [
        ("within", "walks within a class", "linear", a[:, 0], a[:, 1]),
        ("across", "walks between two classes", "linear", b[:, 0], b[:, 1]),
    ]


def _numbers(setting: Setting) -> tuple[Table, Sheet, NDArray[np.float64]]:
    """Move each number of z alone: how much that changes, and the strongest ones as a sheet."""
    model = setting.model
    base = model.sample_latents(2 if setting.quick else 4, setting.seed)
    reach = _reach(model, base)
    change = np.zeros(model.config.latent)
    for number in range(model.config.latent):
        both = torch.cat([base, base])
        both[: len(base), number], both[len(base) :, number] = reach[:, number, 0], reach[:, number, -1]
        grids = model.decode(both).occupancy
        change[number] = float(1 - iou(grids[: len(base)], grids[len(base) :]).mean())
        setting.report("moving single numbers", number + 1, model.config.latent)
    strongest = np.argsort(-change)[:_ROWS]
    shown = []
    for number in strongest:
        z = base[:1].repeat(_PLACES, 1)
        z[:, number] = reach[0, number]
        shown.append(model.decode(z).occupancy >= 0.5)
    columns = (
        Column("numbers", "numbers", digits=0, note="numbers in z"),
        Column(
            "strongest",
            "strongest",
            digits=3,
            note="1 − IoU from end to end of the prior (normal: −3 to 3), of the strongest one",
        ),
        Column("mean", "mean", digits=3, note="the same, mean of all"),
        Column("weakest", "weakest", digits=3, note="the same, of the weakest one"),
    )
    values = {"numbers": len(change), "strongest": change.max(), "mean": change.mean(), "weakest": change.min()}
    noted = "The strongest, counted from 0: " + ", ".join(map(str, strongest.tolist()))
    table = Table("numbers", "Moving one number of z alone", columns, [Row(setting.name, "model", values)], [noted])
    title = f"Number {', '.join(map(str, strongest.tolist()))} of z, a row each, from end to end of the prior"
    return table, _sheet("latent_numbers", title, np.stack(shown), _PLACES), change


def _reach(model: Model, base: Tensor) -> Tensor:
    """Return where each number of these latents may stand, (B, L, 5): all of the prior, or 3 deviations either way."""
    steps = torch.linspace(-3, 3, _PLACES, device=base.device)
    if model.class_latents is not None:
        spread = model.sample_latents(512, 0).std(0)
        return base[:, :, None] + spread[:, None] * steps
    steps = torch.linspace(0, 1, _PLACES, device=base.device) if model.config.prior == "uniform" else steps
    return steps.expand(*base.shape, -1)


def _sums(setting: Setting) -> Sheet:
    """Draw A, B, C and A − B + C, a row each."""
    model = setting.model
    grids = []
    for row in range(_ROWS):
        z = model.sample_latents(3, setting.seed + row)
        if len(model.classes) > 1:  # A and B of one class, C of another
            names = np.random.default_rng([setting.seed, row]).choice(model.classes, 2, replace=False)
            one, other = (model.sample_latents(3, setting.seed + row, name) for name in names)
            z = torch.stack([one[0], one[1], other[2]])
        grids.append(model.decode(torch.cat([z, (z[0] - z[1] + z[2])[None]])).occupancy >= 0.5)
    return _sheet("latent_arithmetic", "Arithmetic: A, B, C and A − B + C", np.stack(grids), 4)


def _neighbours(setting: Setting) -> Sheet:
    """Draw samples, each above the training shapes nearest to it."""
    z = setting.model.sample_latents(8, setting.seed)
    grids = setting.model.decode(z).occupancy >= 0.5
    known = setting.known
    places, _ = nearest(grids, (known.occupancy(part) for part in pieces(np.arange(len(known)), 4 * CHUNK)))
    both = np.concatenate([grids, known.occupancy(places) > 0])
    title = "Samples, and below each the training shape nearest to it"
    return Sheet("latent_neighbours", title, functools.partial(sheet, both, 8, size=112))


def _sheet(name: str, title: str, grids: NDArray[np.bool_], columns: int) -> Sheet:
    flat = grids.reshape(-1, *grids.shape[-3:])
    return Sheet(name, title, functools.partial(sheet, flat, columns, size=112))
