"""How varied the samples of a run are, and how new, as a part of its page: a table in words, and curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from voxgan.diversity import COPY, NUM_SHAPES, num_compared
from voxgan.training.report_curves import Curve, Figure, Values, draw, latest, number
from voxgan.training.report_settings import words

__all__ = ["OF_SETS", "diversity"]

OF_SETS = ("samples", "data")
"""What a figure's name begins with if it is of these sets of shapes, not of a phase."""

_ROWS = (
    ("pairwise_iou", "IoU of two shapes", False, "1: all are the same. Much above the data: few kinds of shapes."),
    ("ms_ssim", "MS-SSIM of two shapes", False, "The same by another measure, which looks at several scales."),
    ("nearest_iou", "IoU with the nearest training shape", False, "Of a training shape: with the nearest other one."),
    ("copies", "Copies of a training shape", True, f"Shapes for which that is {COPY:g} or more."),
    (
        "failed",
        "empty, full, a block or in pieces",
        True,
        "Over half of the grid, or 70% of the box around it; 10% loose.",
    ),
)
_MARGIN = 0.03  # 32 shapes do not tell closer figures apart
_FAR = 0.1
_TALL = 0.5  # of the way from the data's figure to 1


def diversity(steps: Values, figures: Mapping[str, Values], facts: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return the section as HTML, or an empty string for a run whose samples were not measured.

    Parameters
    ----------
    steps : array (T,)
        The steps of the log.
    figures : mapping of str to array (T,)
        By name; those of `voxgan.diversity` are used.
    facts, config : mapping
        As for `voxgan.training.report_settings.settings`.
    """
    found = {name: latest(steps, values) for name, values in figures.items() if name.split(".")[0] in OF_SETS}
    value = {name: last for name, (last, _) in found.items()}
    if not math.isfinite(value.get("samples.pairwise_iou", math.nan)):
        return ""
    rows = "".join(
        f'<tr><th scope="row">{words(label)}<small>{words(text)}</small></th>'
        + "".join(f"<td>{number(value.get(f'{of}.{name}', math.nan), percent)}</td>" for of in OF_SETS)
        + "</tr>"
        for name, label, percent, text in _ROWS
        if math.isfinite(value.get(f"samples.{name}", math.nan))
    )
    curves = "".join(draw(figure, steps) for figure in _figures(figures, value))
    window = found["samples.pairwise_iou"][1]
    return (
        f"<section><h2>Diversity</h2><p>{words(' '.join(_verdict(value)))}</p>"
        f'<div class="wide" tabindex="0"><table><thead><tr><td></td><th scope="col">samples'
        f'<small>{words(window)}</small></th><th scope="col">training shapes</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        f'<p class="soft">{words(_about(facts, config))}</p><div class="curves">{curves}</div></section>'
    )


def _verdict(value: Mapping[str, float]) -> list[str]:
    """Say what the latest figures mean, in sentences."""
    if value.get("samples.empty", 0) >= 0.5:
        return [f"{number(value['samples.empty'], True)} of the samples are empty; the other figures say little."]
    said = []
    made, real = value["samples.pairwise_iou"], value.get("data.pairwise_iou", math.nan)
    if math.isfinite(real):
        much = "far more" if made - real > _TALL * (1 - real) else "more"
        how = much if made > real + _MARGIN else "less" if made < real - _MARGIN else "as much"
        than = "as" if how == "as much" else "than"
        said.append(f"Two samples have {how} in common {than} two training shapes (IoU {made:.2f}, {real:.2f}).")
    near, own = value.get("samples.nearest_iou", math.nan), value.get("data.nearest_iou", math.nan)
    if math.isfinite(near) and math.isfinite(own):
        both = f"(IoU {near:.2f}, {own:.2f})"
        if near > own + _MARGIN:
            said.append(
                f"Samples are nearer to a training shape than training shapes are to each other {both}, which suggests "
                "that shapes are remembered, not invented."
            )
        elif near > own - _FAR:
            said.append(
                f"Samples are no nearer to a training shape than training shapes are to each other {both}: nothing "
                "suggests that shapes are remembered."
            )
        else:
            said.append(
                f"Samples are farther from every training shape than training shapes are from each other {both}: they "
                "are new, or not yet good, which the pictures below tell."
            )
    copies, twins = value.get("samples.copies", 0.0), value.get("data.copies", 0.0)
    if copies > 0:
        said.append(
            f"{number(copies, True)} of the samples are copies of training shapes; {number(twins, True)} of the "
            "training shapes are copies of others."
        )
    return said


def _about(facts: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Say what was compared with what."""
    told = (
        f"{NUM_SHAPES} shapes from fixed noise, beside as many training shapes (all, of fewer) as training sees them."
    )
    count, resolution = facts.get("shapes"), config.get("resolution")
    if isinstance(count, int) and isinstance(resolution, int) and resolution > 0:
        seen = num_compared(resolution, count)
        if seen < count:
            told += (
                f" The nearest shape is sought among {seen:,} of the {count:,} training shapes, spread evenly; one of "
                "the others may be nearer."
            )
    options = facts.get("options")
    if isinstance(options, dict) and options.get("shift"):
        told += f" Shapes are shifted in training (shift={options['shift']}): a copy that stands aside is not found."
    return told


def _figures(figures: Mapping[str, Values], value: Mapping[str, float]) -> list[Figure]:
    drawn = []
    for name, title, note in (
        ("pairwise_iou", "Alike: IoU of two samples", "Falls towards the data's as samples come to differ."),
        ("ms_ssim", "Alike: MS-SSIM of two samples", "Falls towards the data's as samples come to differ."),
        (
            "nearest_iou",
            "Nearest training shape",
            "Mean IoU of samples with it. Above the line samples are nearer to training shapes than these are to each "
            "other.",
        ),
    ):
        real = value.get(f"data.{name}", math.nan)
        line, line_name = (real, f"training shapes {number(real)}") if math.isfinite(real) else (None, "")
        curves = _curves(figures, (name, "samples", 1))
        drawn.append(Figure(title, note, curves, limits=(0, 1), line=line, line_name=line_name))
    curves = _curves(figures, ("copies", "copies of training shapes", 0), ("failed", "failed", 3))
    return [*drawn, Figure("Copies and failures", "Shares of the samples.", curves, limits=(0, 1), percent=True)]


def _curves(figures: Mapping[str, Values], *chosen: tuple[str, str, int]) -> list[Curve]:
    known = ((f"samples.{name}", label, colour) for name, label, colour in chosen)
    return [Curve(label, figures[name], colour) for name, label, colour in known if name in figures]
