"""What ``voxgan info`` prints of a model and of a data set."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxgan.errors import DatasetError
from voxgan.outputs import refuse_empty

if TYPE_CHECKING:
    from voxgan.dataset import Dataset

__all__ = ["describe_data", "describe_model"]

_SHOWN = 5
_COLUMNS = 8


def describe_data(path: str, sheet: Path | None = None, set_aside: bool = False) -> None:
    """Print what a data set holds; draw a contact sheet, or list what was set aside, where that is asked for."""
    from voxgan.dataset import Dataset, line_about
    from voxgan.inspection import histogram, inspect

    with Dataset(path, "all") as data:
        if set_aside:
            for source, reason in data.set_aside():
                print(line_about(source, reason))
            return
        size = Path(path).stat().st_size
        views = f"{data.num_views} view{'s' * (data.num_views > 1)} each" if data.num_views else "no views"
        backgrounds = f", {data.num_backgrounds} backgrounds" if data.num_backgrounds else ""
        shapes = f"{len(data)} shape{'s' * (len(data) != 1)}"
        print(f"{path}: voxgan data set, {shapes}, {data.resolution}³, {views}{backgrounds}")
        print(f"  {'stored':18} {_bytes(size)}, {data.mode}")
        found = inspect(data)
        print(f"  {'classes':18} {'train':>6} {'test':>6}  {'inside':>7}")
        for label, (name, counts) in enumerate(data.summary().items()):
            full = found.occupied[data.labels == label]
            share = f"{100 * full.mean():6.1f}%" if len(full) else "      -"
            print(f"  {_printable(name):18} {counts['train']:6} {counts['test']:6}  {share}")
        print("  share of cells inside, and how many shapes have it")
        for line in histogram(found.occupied):
            print(f"  {line}")
        print(f"  {'in both splits':18} {len(found.duplicates)} test shapes also stand in train, exactly", end="")
        print(f"; {found.relabelled} of them under another class" if found.relabelled else "")
        if found.duplicates:
            names = data.names()
            for a, b in found.duplicates[:_SHOWN]:
                print(f"    {_printable(names[b])} = {_printable(names[a])}")
            if len(found.duplicates) > _SHOWN:
                print(f"    … and {len(found.duplicates) - _SHOWN} more")
        print(f"  {'repeated in train':18} {found.repeated}")
        hint = f"   (voxgan info {shlex.quote(path)} --set-aside)" if data.num_aside else ""
        print(f"  {'set aside':18} {data.num_aside}{hint}")
        if sheet is not None:
            _draw(data, sheet)
            print(f"  {'contact sheet':18} {sheet}")


def _printable(name: str) -> str:
    """Return a name that keeps to its line and column."""
    return name if name.isprintable() else ascii(name)


def _bytes(size: int) -> str:
    """Return a size with a unit.

    Examples
    --------
    >>> _bytes(35_214), _bytes(1_234_000_000)
    ('35.2 kB', '1.2 GB')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.1f} kB"


def _draw(data: Dataset, path: Path) -> None:
    """Draw up to eight shapes of each class."""
    from voxgan.contact_sheet import Line, contact_sheet, evenly
    from voxgan.preview import write_png

    lines = []
    for label, (name, counts) in enumerate(data.summary().items()):
        rows = np.flatnonzero(data.labels == label).tolist()
        if rows:
            grids = [data.occupancy([row])[0].astype(np.float32) for row in evenly(rows, _COLUMNS)]
            lines.append(Line(name, f"{counts['train']} train, {counts['test']} test", grids))
    if not lines:
        raise DatasetError(f"{data.path}: no shapes to draw")
    write_png(path, contact_sheet(lines))


def describe_model(name: str) -> None:
    """Print what a model is."""
    from voxgan.checkpoint import read_config

    refuse_empty("the model", name)
    folder, content = read_config(name)
    config, training = content["config"], content.get("training") or {}
    print(f"{name}: {content['model']}, {config.get('resolution')}³, width {config.get('width')}")
    for key in ("title", "preset", "step", "data"):
        if training.get(key):
            print(f"  {key:10} {training[key]}")
    print(f"  {'classes':10} {', '.join(config.get('classes', ())) or '-'}")
    names = (content.get("class_latents") or {}).get("names") or config.get("classes", ())
    chosen = "class_latents" in content or len(names) == 1 or config.get("condition", "none") != "none"
    print(f"  {'can sample':10} {', '.join(map(str, names)) if chosen else '-'}")
    parts = [f"{key} {config[key]}" for key in ("network", "condition") if config.get(key, "none") != "none"]
    parts += [f"pack {config['pack']}"] if config.get("pack", 1) != 1 else []
    print(f"  {'game':10} {', '.join([str(config.get('adversarial', 'non_saturating')), *parts])}")
    weights = content.get("weights")
    print(f"  {'weights':10} {folder / weights['file'] if weights else 'none yet'}")
    for key, value in (training.get("scores") or {}).items():
        print(f"  {key:28} {value}")
    if (folder / "README.md").is_file():
        print(f"  {'card':10} {folder / 'README.md'}")
