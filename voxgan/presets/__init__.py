"""Short files, each with every option of a run and its reason; found by the file's name.

A preset has ``MODEL`` (the model's name) and ``OPTIONS`` (fields of `voxgan.training.Training` and of the model's
``Config``). The name of a model is also the name of its everyday preset.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from voxgan.errors import UsageError, nearest

__all__ = ["describe", "find", "names"]


def names() -> tuple[str, ...]:
    """Return the names of all presets.

    Examples
    --------
    >>> "gan3d_paper" in names()
    True
    """
    return tuple(m.name for m in pkgutil.iter_modules(__path__))


def find(name: str) -> tuple[str, dict[str, Any]]:
    """Return the model's name and the options of preset `name` (hyphens may stand for underscores).

    Raises
    ------
    UsageError
        If there is none.
    """
    key = name.replace("-", "_")
    if key not in names():
        raise UsageError(f"no preset or model {name!r}; {nearest(key, names())}")
    module = importlib.import_module(f"{__name__}.{key}")
    return module.MODEL, dict(module.OPTIONS)


def describe(name: str) -> str:
    """Return the first line of a preset's docstring."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    return (module.__doc__ or "").strip().splitlines()[0]
