"""The experiments, one a file, found by the file's name.

Each has ``TITLE``; ``reason(model, name)``, which says why a model cannot take part, or returns None;
``lacking(setting)``, which says the same of the data, for a run of all suites that can be; and ``run(setting)``, which
returns a `voxgan.evaluation.result.Suite`.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from voxgan.errors import UsageError, nearest

__all__ = ["find", "names"]


def names() -> tuple[str, ...]:
    """Return the names of all suites.

    Examples
    --------
    >>> names()
    ('classification', 'generation', 'latent', 'reconstruction')
    """
    return tuple(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> ModuleType:
    """Return the suite of this name.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name not in names():
        raise UsageError(f"no suite {name!r}; {nearest(name, names())}")
    return importlib.import_module(f"{__name__}.{name}")
