"""What a run was made with, as tables of a page."""

from __future__ import annotations

import dataclasses
import html
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from voxgan import presets
from voxgan.errors import UsageError

__all__ = ["command", "settings", "words"]


def command(facts: Mapping[str, Any], config: Mapping[str, Any], out: str) -> str:
    """Return the command that would make a run again, or an empty string where ``config.json`` does not say enough.

    Parameters
    ----------
    facts, config : mapping
        As for `settings`. Options that are the preset's, or no preset's but the program's own, are left out, and so
        is the resolution, which is the data set's.
    out : str
        The new run's folder.
    """
    from voxgan.training.options import resolve, split_options

    options, name, data = facts.get("options"), facts.get("preset"), facts.get("data")
    if not isinstance(options, dict) or not isinstance(name, str) or not isinstance(data, str):
        return ""
    try:
        plain, like = (
            _resolved(*split_options(kind, merged))
            for kind, merged, _ in (
                resolve(name, {}),
                # A loss and a network bring options along, which need not be given with them.
                resolve(name, {key: config[key] for key in ("adversarial", "network") if key in config}),
            )
        )
    except UsageError:  # of another version
        return ""
    usual = like | {key: plain[key] for key in ("adversarial", "network")}
    chosen = {k: v for k, v in {**config, **options}.items() if k != "resolution" and k in usual and usual[k] != v}
    typed = {k: ",".join(map(str, v)) if isinstance(v, list | tuple) else v for k, v in chosen.items()}
    pairs = [f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in typed.items() if v != ""]
    ranks = facts.get("ranks")
    many = isinstance(ranks, int) and ranks > 1
    begin = ["torchrun", "--nproc-per-node", str(ranks), "-m", "voxgan"] if many else ["voxgan"]
    return shlex.join([*begin, "train", name, data, "--out", out, *pairs])


def _resolved(*parts: Any) -> dict[str, Any]:
    return {key: value for part in parts for key, value in dataclasses.asdict(part).items()}


def settings(facts: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Return the options of training and model and what else ``config.json`` says of a run, as HTML.

    Parameters
    ----------
    facts : mapping
        ``"training"`` of ``config.json``. What differs from the preset that it names is marked.
    config : mapping
        The options of the model.
    """
    try:
        preset = presets.find(str(facts.get("preset", "")))[1]
    except UsageError:  # of another version
        preset = {}
    options = facts.get("options")
    rest = {key: value for key, value in facts.items() if key != "options"}
    return (
        _table("Options of the training", options if isinstance(options, dict) else {}, preset)
        + _table("Options of the model", config, preset)
        + _table("Run and machine", dict(_flat(rest)), {})
    )


def words(text: Any) -> str:
    """Return text that is safe in HTML, without control characters.

    Examples
    --------
    >>> words("<b>")
    '&lt;b&gt;'
    """
    kept = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return html.escape(kept, quote=True)


def _table(title: str, values: Mapping[str, Any], preset: Mapping[str, Any]) -> str:
    if not values:
        return ""
    rows = []
    for key, value in values.items():
        changed = key in preset and preset[key] != value
        was = f"<small>preset: {words(_value(preset[key]))}</small>" if changed else ""
        mark = ' class="changed"' if changed else ""
        rows.append(f"<div{mark}><dt>{words(key)}</dt><dd>{words(_value(value))}{was}</dd></div>")
    return f'<section><h2>{title}</h2><dl class="options">{"".join(rows)}</dl></section>'


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, float):
        return f"{value:g}"
    return "–" if value is None or value == "" else str(value)


def _flat(facts: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield before + str(key), value
