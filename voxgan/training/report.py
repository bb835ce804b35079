"""A run as one page: ``report.html``, which opens anywhere, offline, without a script.

What it is made of: ``config.json``, ``log.jsonl``, ``events.jsonl`` and ``samples/``; each but the first may be
missing. Curves are drawn by `voxgan.training.report_curves`.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from voxgan.checkpoint import read_config
from voxgan.errors import CheckpointError, StorageError
from voxgan.files import write_bytes
from voxgan.progress import duration
from voxgan.training.record import columns, read_events, read_log
from voxgan.training.report_curves import Curve, Figure, Values, draw, latest, number
from voxgan.training.report_diversity import OF_SETS, diversity
from voxgan.training.report_samples import choose, embed
from voxgan.training.report_settings import command, settings, words
from voxgan.training.signs import FIRST, Watch

__all__ = ["write_report"]

_EVENTS = 150  # so many are listed; of more, the first and the last
_MARKS = 60  # so many are marked in a curve
_WATCHED = 20_000  # a log up to this many steps that has no events is looked through for signs
_ENDS = ("started", "resumed", "stopped", "finished", "failed")  # the last of these says how a run stands
_COLOURS = {"discriminator": 0, "generator": 1, "autoencoder": 1, "encoder": 2}
_NAMES = {"discriminator": "D", "generator": "G", "autoencoder": "E and G", "encoder": "E"}
_TERMS = {
    "kl": ("KL term", "Nats by which the encoder's codes differ from the prior, before its weight."),
    "reconstruction": ("Reconstruction", "How far shapes made from photos are from the real ones, before its weight."),
    "adversarial": (
        "Adversarial term",
        "What D and G hold against each other, without penalties and before its weight.",
    ),
    "penalty": ("Penalty", "On the slope of D, with its weight."),
    "class": ("Class term", "Cross-entropy of the classes that D says: of D's side over real and generated shapes."),
    "class_accuracy": ("Classes", "Share of real shapes whose class D says right."),
}


def write_report(folder: str | Path) -> Path:
    """Write a run's report into its folder.

    Parameters
    ----------
    folder : path
        Run folder, of a run that is going on, was stopped, or is finished.

    Returns
    -------
    pathlib.Path
        ``folder/report.html``: one file of at most 5 MB, with curves, samples over time, warnings and options.

    Raises
    ------
    CheckpointError
        If the folder holds no run.
    StorageError
        If it is not there, or cannot be read or written.
    """
    if not Path(folder).is_dir():  # the name of a shipped model would be found elsewhere
        raise StorageError(f"{folder}: no such folder; expected the folder of a run (--out of voxgan train)")
    place, content = read_config(folder)
    if not isinstance(content.get("training"), dict):
        raise CheckpointError(f"{place}: holds a model, but no run that could be reported on; expected a run folder")
    path = place / "report.html"
    write_bytes(path, _Report(place, content).page().encode())
    return path


class _Report:
    """All that the page says of one run."""

    def __init__(self, folder: Path, content: Mapping[str, Any]) -> None:
        self.folder = folder
        self.model = str(content["model"])
        self.config: dict[str, Any] = content["config"]
        self.facts: dict[str, Any] = content["training"]
        options = self.facts.get("options")
        self.options: dict[str, Any] = options if isinstance(options, dict) else {}
        lines = read_log(folder)
        self.steps: Values = np.array([line["step"] for line in lines], np.float64)
        names = columns(lines)
        self.figures = {name: _column(lines, name) for name in names}
        if "sound" in self.figures:  # a step that was skipped says nothing of the gate
            skipped = self.figures["sound"] == 0
            for name in [name for name in self.figures if name.endswith(".moved")]:
                self.figures[name] = np.where(skipped, np.nan, self.figures[name])
        self.phases = [name[:-6] for name in self.figures if name.endswith(".total")]
        self.events = read_events(folder)
        self.found_later = not (folder / "events.jsonl").exists() and 0 < len(lines) <= _WATCHED
        if self.found_later:
            watch = Watch(self.phases)
            self.events = [
                {"step": int(line["step"] or 0), "kind": "warning", "text": text, "time": ""}
                for line in lines
                for text in watch(int(line["step"] or 0), {k: v for k, v in line.items() if v is not None})
            ]

    @property
    def total(self) -> int:
        """How many steps were asked for; 0 where that is not known."""
        steps = self.options.get("steps")
        return steps if isinstance(steps, int) else 0

    @property
    def done(self) -> int:
        """The last step in the log, or, without a log, of the weights."""
        if len(self.steps):
            return int(self.steps[-1])
        step = self.facts.get("step")
        return step if isinstance(step, int) else 0

    # ---------------------------------------------------------------------------------------------- page
    def page(self) -> str:
        style, script = _beside("report.css"), _beside("report.js")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        name = words(self.folder.resolve().name)
        sections = [
            self._head(),
            self._happened(),
            self._curves(),
            diversity(self.steps, self.figures, self.facts, self.config),
            self._samples(),
            settings(self.facts, self.config),
        ]
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{name}: training report</title><style>{style}</style></head><body><main>"
            f"{''.join(sections)}"
            f"<footer>Written by voxgan on {_now()}. <code>voxgan report</code> writes it anew.</footer>"
            f"</main><script>{script}</script></body></html>\n"
        )

    def _head(self) -> str:
        state, mood = self._state()
        classes = ", ".join(map(str, self.config.get("classes") or ()))
        data = Path(str(self.facts.get("data", ""))).name
        preset = self.facts.get("preset")
        size = self.config.get("resolution", "?")
        told = f"{self.model} at {size}³, width {self.config.get('width', '?')}"
        told += f", preset {preset}" if preset and preset != self.model else ""
        shapes = self.facts.get("shapes")
        count = f" ({shapes:,} {'shape' if shapes == 1 else 'shapes'})" if isinstance(shapes, int) and shapes else ""
        told += f", trained on {data}{count}" if data else ""
        told += f": {classes}" if classes else ""
        bar = ""
        if self.total:
            bar = (
                f'<progress max="{self.total}" value="{min(self.done, self.total)}" aria-label="steps done"></progress>'
            )
        tiles = "".join(
            f'<div><dt>{words(name)}</dt><dd>{words(value)}</dd><dd class="of">{words(window)}</dd></div>'
            for name, value, window in self._tiles()
        )
        return (
            f"<header><h1>{words(self.folder.resolve().name)}</h1>"
            f'<p class="soft">{words(told)}</p><p class="state {mood}">{words(state)}</p>{bar}'
            f'<dl class="tiles">{tiles}</dl></header>{self._command()}'
        )

    def _state(self) -> tuple[str, str]:
        """Say how the run stands, in words, and how well that is."""
        of = f"step {self.done:,} of {self.total:,}" if self.total else f"step {self.done:,}"
        last: Mapping[str, Any] = next((e for e in reversed(self.events) if e["kind"] in _ENDS), {})
        kind, text = last.get("kind"), str(last.get("text") or "")
        text = text.removeprefix(f"step {self.done}: ")  # as errors begin; it stands there already
        if kind == "failed":
            return f"Failed at {of}: {text}" if text else f"Failed at {of}", "bad"
        if kind == "finished":
            return f"Finished, {of}" if self.done >= self.total else f"Finished at {of}", "good"
        if kind == "stopped":
            return f"Stopped at {of}: {text}" if text else f"Stopped at {of}", "warn"
        if kind is None:  # of a version that noted no events
            if self._diverged():
                return f"Diverged at {of}: the last losses are not finite", "bad"
            if self.total and self.done >= self.total:
                return f"Finished, {of}", "good"
        if not len(self.steps):
            return f"No figures yet, {of}", "warn"
        written = datetime.fromtimestamp((self.folder / "log.jsonl").stat().st_mtime, UTC)
        skipped = "; a loss or a gradient in the last step was not finite" if self._diverged() else ""
        return f"At {of}; the last figures are of {written:%Y-%m-%d %H:%M} UTC{skipped}", "warn"

    def _command(self) -> str:
        again = command(self.facts, self.config, f"{self.folder.resolve().name}-again")
        if not again:
            return ""
        changes = [str(e["step"]) for e in self.events if e["kind"] == "resumed" and "→" in str(e.get("text"))]
        note = f" (options were changed at step {', '.join(changes)}: see what happened)" if changes else ""
        return (
            f'<p class="command"><span class="soft">Again:</span> <code>{words(again)}</code>'
            f'<span class="soft">{words(note)}</span></p>'
        )

    def _diverged(self) -> bool:
        if not len(self.steps):
            return False
        totals = [self.figures[f"{phase}.total"][-1] for phase in self.phases]
        sound = self.figures.get("sound")
        return not np.isfinite(totals).all() or (sound is not None and sound[-1] == 0)

    def _tiles(self) -> Iterable[tuple[str, str, str]]:
        """Return what, its value, and what part of the run that is of."""
        rate = self.figures.get("shapes_per_s")
        batch = self.options.get("batch")
        if rate is not None and isinstance(batch, int | float):
            good = rate[np.isfinite(rate) & (rate > 0)]
            if len(good):
                yield "time in steps", duration(float((batch / good).sum()) * len(rate) / len(good)), "whole run"
        for name, label, percent in (
            ("shapes_per_s", "shapes a second", False),
            ("accuracy", "accuracy of D", True),
            ("discriminator.moved", "gate open", True),
        ):
            if name in self.figures and np.isfinite(self.figures[name]).any():
                value, window = latest(self.steps, self.figures[name])
                yield label, number(value, percent), window
        memory = self.figures.get("memory_gb")
        if memory is not None and np.isfinite(memory).any():
            yield "most memory", f"{np.nanmax(memory):.3g} GB", "whole run"
        for name, label in (("test_iou", "test IoU"), ("train_iou", "train IoU")):
            scores = self.figures.get(name)
            if scores is not None and np.isfinite(scores).any():
                value, window = latest(self.steps, scores)
                yield label, f"{value:.3f}", window
                best = int(np.nanargmax(scores))
                yield f"best {label}", f"{scores[best]:.3f}", f"step {int(self.steps[best]):,}"
        count = sum(e["kind"] == "warning" for e in self.events)
        yield "warnings", str(count), "whole run" if self.done >= FIRST else f"from step {FIRST} on"

    def _happened(self) -> str:
        if not self.events:
            return ""
        shown: Sequence[Mapping[str, Any]] = _grouped(self.events)
        left = ""
        if len(shown) > _EVENTS:
            left = f'<p class="soft">{len(shown) - _EVENTS} events between the first and the last are left out.</p>'
            shown = [*shown[: _EVENTS // 2], *shown[-_EVENTS // 2 :]]
        items = []
        for event in shown:
            kind = str(event["kind"])
            known = kind if kind.isalpha() else ""
            time = words(str(event["time"]).replace("T", " ").replace("+00:00", " UTC"))
            when = f"<time>{time}</time>" if time else ""
            items.append(
                f'<li class="{known}"><div><b>{_which(event)}</b> {words(kind)}{when}</div>'
                f"<span>{words(event['text'])}</span></li>"
            )
        later = '<p class="soft">Found in the log by this report; the run itself noted no events.</p>'
        return (
            f"<section><h2>What happened</h2>{later if self.found_later else ''}{left}"
            f'<ol class="events">{"".join(items)}</ol></section>'
        )

    # -------------------------------------------------------------------------------------------- curves
    def _curves(self) -> str:
        if not len(self.steps):
            return "<section><h2>Curves</h2><p>The log has no step yet.</p></section>"
        drawn = "".join(draw(figure, self.steps) for figure in self._figures())
        note = "A line is the mean over a stretch of steps, the pale band reaches from the lowest to the highest value."
        note = note if len(self.steps) > 120 else "Each step is drawn."
        note += " Numbers in bold are means of the steps that stand beside them."
        if self._marks():
            note += " Triangles above stand where something happened."
        return f'<section><h2>Curves</h2><p class="soft">{note}</p><div class="curves">{drawn}</div></section>'

    def _marks(self) -> list[tuple[int, str, str]]:
        """Return step, kind and words of what curves may show the traces of."""
        kinds = ("warning", "skipped", "retry", "resumed", "failed")
        chosen = [event for event in _grouped(self.events) if event["kind"] in kinds][:_MARKS]
        return [(int(e["step"]), e["kind"], f"{_which(e)}, {e['kind']}: {e['text']}") for e in chosen]

    def _figures(self) -> Iterable[Figure]:
        marks = self._marks()
        gate = self.config.get("gate")
        closing = isinstance(gate, int | float) and 0 < gate < 1
        yield Figure(
            "Loss",
            "What each optimiser brings down. None should run away, nor D's lie at 0, unless it is a critic's.",
            self._lines("total"),
            marks=marks,
        )
        accuracy = self._one("accuracy", "accuracy", 0)
        yield Figure(
            "Accuracy of D",
            "Share of real and generated shapes that D tells right. Above the line its gate is shut in the next step."
            if closing
            else "Share of real and generated shapes that D tells right; the gate is switched off.",
            accuracy,
            limits=(0, 1),
            percent=True,
            line=float(gate) if closing else None,  # type: ignore[arg-type]
            line_name=f"gate at {number(float(gate), True)}" if closing else "",  # type: ignore[arg-type]
            marks=marks,
        )
        yield Figure(
            "Gate",
            self._gate_note(),
            self._one("discriminator.moved", "steps in which D learned", 0),
            limits=(0, 1),
            percent=True,
            bars=True,
        )
        terms = [name.split(".", 1) for name in self.figures if "." in name]
        for term in dict.fromkeys(term for phase, term in terms if phase not in OF_SETS):
            if term not in ("total", "moved", "gradient"):
                title, text = _TERMS.get(term, (term, "A term of the loss."))
                yield Figure(title, text, self._lines(term))
        yield Figure("Gradient norm", "Length of each phase's gradient, in steps that moved.", self._lines("gradient"))
        yield Figure(
            "Filled voxels",
            "Share of voxels above ½. Generated shapes should come to be as full as real ones.",
            [*self._one("occupied", "generated", 1), *self._one("real_occupied", "real", 0)],
            percent=True,
            marks=marks,
        )
        yield Figure(
            "Spread of samples",
            "How much two generated shapes differ, against two real ones. Near 0 all samples are equal.",
            self._one("spread", "generated", 1),
            line=1.0,
            line_name="real",
            marks=marks,
        )
        yield Figure(
            "Score",
            "Mean IoU of shapes made from photos on white with the real ones.",
            [*self._one("test_iou", "test IoU", 2), *self._one("train_iou", "train IoU", 3)],
        )
        yield Figure("Speed", "Shapes a second, over all devices.", self._one("shapes_per_s", "shapes/s", 3))
        yield Figure(
            "Memory", "The most that was taken up to each step.", self._one("memory_gb", "GB", 3), from_zero=True
        )

    def _lines(self, term: str) -> list[Curve]:
        """Return one figure of each phase."""
        kept = [phase for phase in self._phase_names() if f"{phase}.{term}" in self.figures]
        return [
            Curve(_NAMES.get(phase, phase), self.figures[f"{phase}.{term}"], _COLOURS.get(phase, 3)) for phase in kept
        ]

    def _phase_names(self) -> list[str]:
        found = dict.fromkeys(name.split(".", 1)[0] for name in self.figures if "." in name)
        return [phase for phase in found if phase not in OF_SETS]

    def _one(self, name: str, label: str, colour: int) -> list[Curve]:
        return [Curve(label, self.figures[name], colour)] if name in self.figures else []

    def _gate_note(self) -> str:
        moved = self.figures.get("discriminator.moved")
        if moved is None or not np.isfinite(moved).any():
            return ""
        shut = np.concatenate([[False], moved == 0, [False]])
        edges = np.flatnonzero(np.diff(shut.astype(np.int8)))
        longest = int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
        if not longest:
            return "D learned in every step."
        unit = "step" if longest == 1 else "steps in a row"
        return (
            f"D learned in {number(float(np.nanmean(moved)), True)} of all steps; its gate was shut for at most "
            f"{longest:,} {unit}."
        )

    # ------------------------------------------------------------------------------------------- samples
    def _samples(self) -> str:
        chosen = choose(self.folder / "samples")
        pictures = embed(chosen)
        if not pictures:
            return ""
        rows = "shapes from fixed noise"
        if self.figures.keys() & {"autoencoder.total", "encoder.total"}:
            rows = f"fixed views, their reconstructions, the real shapes, and {rows}"
        near = "the training shape nearest to each of these"
        measured = self._measured()
        kinds = {p.step: f"{rows}; {near}" if p.step in measured else rows for p in pictures}
        shown = "".join(
            f'<figure class="sample"><figcaption>step {p.step:,}{", empty" if p.empty else ""}</figcaption>'
            f'<div tabindex="0"><img src="{p.address}" '
            f'width="{p.width}" height="{p.height}" alt="Step {p.step:,}: {kinds[p.step]}"></div></figure>'
            for p in pictures
        )
        missing = len(chosen) - len(pictures)
        note = f" {missing} could not be read, and are left out." if missing else ""
        under = [p.step for p in pictures if p.step in measured]
        if under:
            since = f" (from step {min(under):,} on)" if len(under) < len(pictures) else ""
            note = f" The last row{since} is {near}, by IoU.{note}"
        return (
            f'<section><h2>Samples over time</h2><p class="soft">Made with averaged weights; from the top, rows show '
            f"{rows}, the same at every step.{note}</p>{shown}</section>"
        )

    def _measured(self) -> set[int]:
        """Return the steps whose samples were compared with the training shapes, which are drawn below them."""
        values = self.figures.get("samples.nearest_iou")
        return set() if values is None else {int(step) for step in self.steps[np.isfinite(values)]}


def _grouped(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Make one event of skipped steps that were noted one after the other, in the same words; "steps" has them all."""
    groups: list[dict[str, Any]] = []
    for event in events:
        former = groups[-1] if groups else {}
        if event["kind"] == "skipped" == former.get("kind") and event["text"] == former["text"]:
            former["steps"].append(int(event["step"]))
        else:
            groups.append({**event, "steps": [int(event["step"])]})
    return list(groups)


def _which(event: Mapping[str, Any]) -> str:
    """Return the steps of a group in words."""
    steps = sorted(set(event["steps"]))
    if len(steps) == 1:
        return f"step {steps[0]:,}"
    breaks = [i for i in range(1, len(steps)) if steps[i] > steps[i - 1] + 1]
    runs = [steps[a:b] for a, b in zip([0, *breaks], [*breaks, len(steps)], strict=True)]
    if len(runs) > 6:
        return f"{len(steps):,} steps from {steps[0]:,} to {steps[-1]:,}"
    return "steps " + ", ".join(f"{run[0]:,}–{run[-1]:,}" if len(run) > 1 else f"{run[0]:,}" for run in runs)


def _column(lines: Sequence[Mapping[str, Any]], name: str) -> Values:
    values = [line.get(name) for line in lines]
    try:
        column = np.array(values, np.float64)  # None becomes NaN
    except (TypeError, ValueError, OverflowError):  # something that is no number
        numbers = (v if isinstance(v, int | float) and abs(v) < 1e300 else math.nan for v in values)
        column = np.array([float(v) for v in numbers])
    column[np.isinf(column)] = np.nan
    return column


def _beside(name: str) -> str:
    try:
        return (Path(__file__).parent / name).read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot read {name} of voxgan: {error.strerror or error}; install it anew") from error


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
