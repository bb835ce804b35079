"""Sessions as small JSON: how anchors are written, and how what comes from a file is checked.

Random anchors are written by their seed, all others by their numbers.
"""

from __future__ import annotations

import json
import math
import string
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from viewer.state import LARGEST, MAX_ANCHORS, Anchor
from voxgan.errors import InputError, StorageError, UsageError

if TYPE_CHECKING:
    from voxgan.models.model import Model

__all__ = [
    "FORMAT",
    "VERSION",
    "anchor_content",
    "checked",
    "parsed_anchors",
    "parsed_camera",
    "parsed_expression",
    "read_json",
    "read_saved",
    "tidy",
]

FORMAT, VERSION = "voxgan-session", 1
_MAX_BYTES = 1 << 20
_LONGEST_EXPRESSION = 500


def read_json(path: str | Path) -> Any:
    """Return the content of a session's file.

    Raises
    ------
    InputError, StorageError
        If it is no JSON or too large, or cannot be read.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: over 1 MiB, which no session is")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not JSON ({error}); expected a session that voxgan has saved") from error


def read_saved(path: str | Path) -> dict[str, Any]:
    """Return the content of a session's file, if it is one.

    Raises
    ------
    InputError, StorageError
        If it is none, or cannot be read.
    """
    content = read_json(path)
    try:
        return checked(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def checked(content: Any) -> dict[str, Any]:
    """Return a session's JSON if it is one."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError("this is no session; expected a JSON file that the viewer has saved")
    if content.get("version") != VERSION:
        raise InputError(f"a session of version {tidy(content.get('version'))!r}; this voxgan reads version {VERSION}")
    model = content.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        raise InputError("a damaged session: it names no model; save it again")
    return content


def _parsed_origin(origin: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"random": ("seed",), "class": ("class_name", "seed"), "photo": (), "mesh": ("iou",), "kept": ()}
    kind = origin["kind"]
    types = {"seed": int, "class_name": str, "iou": float}
    return {
        "kind": kind,
        **{key: types[key](origin[key]) for key in kinds[kind]},
        "label": tidy(origin["label"]),
    }


def parsed_camera(camera: Any) -> dict[str, Any] | None:
    """Return a camera as `Session.camera` has it: lists of finite numbers by name."""
    if camera is None:
        return None
    parsed = {str(key): [float(number) for number in numbers] for key, numbers in camera.items()}
    if len(parsed) > 8 or not all(map(math.isfinite, _flat(parsed.values()))):
        raise ValueError("a camera with other than a few finite numbers")
    return parsed


def parsed_expression(expression: str) -> str:
    """Return an expression in capitals, if it is text and not too long; whether it can be read shows its value."""
    if len(expression) > _LONGEST_EXPRESSION:
        raise UsageError(f"an expression of {len(expression)} characters; expected at most {_LONGEST_EXPRESSION}")
    return expression.strip().upper()


def _flat(lists: Iterable[Sequence[float]]) -> list[float]:
    return [number for numbers in lists for number in numbers]


def anchor_content(anchor: Anchor) -> dict[str, Any]:
    """Return one anchor as JSON can hold it."""
    content = {"name": anchor.name, "origin": dict(anchor.origin)}
    return content if "seed" in anchor.origin else {**content, "latent": _numbers(anchor.latent)}


def _numbers(latent: Sequence[float]) -> list[float]:
    """Return the numbers as short as single precision allows."""
    return [float(f"{number:.9g}") for number in latent]


def tidy(label: Any) -> str:
    """Return a label of at most 60 printable characters on one line."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(label)).split())
    return text if len(text) <= 60 else text[:59] + "…"


def parsed_anchors(saved: Mapping[str, Any], model: Model) -> tuple[Anchor, ...]:
    """Return the anchors of a session's JSON; drawn ones are drawn again."""
    anchors: list[Anchor] = []
    try:
        if not 1 <= len(saved["anchors"]) <= MAX_ANCHORS:
            raise ValueError(f"{len(saved['anchors'])} anchors, expected 1 to {MAX_ANCHORS}")
        for entry in saved["anchors"]:
            name, origin = str(entry["name"]), _parsed_origin(entry["origin"])
            if len(name) != 1 or name not in string.ascii_uppercase or name in [a.name for a in anchors]:
                raise ValueError(f"an anchor called {name[:20]!r}")
            if "latent" in entry:
                numbers = np.array(entry["latent"], np.float32)
                if numbers.shape != (model.latent_size,) or not (np.abs(numbers) <= LARGEST).all():
                    raise ValueError(f"anchor {name} has no {model.latent_size} numbers of at most {LARGEST:g}")
                z = torch.from_numpy(numbers)
            else:
                z = model.sample_latents(1, origin["seed"], class_name=origin.get("class_name"))[0]
            anchors.append(Anchor(name, tuple(z.cpu().double().tolist()), MappingProxyType(origin)))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"a damaged session: {' '.join(str(error).split())[:200]}; save it again") from error
    return tuple(anchors)
