"""Adversarial losses, one a file, found by the file's name; and the gate.

Each loss is two pure functions on logits::

    discriminator_loss(real, generated) -> scalar
    generator_loss(generated) -> scalar
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

__all__ = ["find", "names"]

_NOT_A_LOSS = ("gate",)


def names() -> tuple[str, ...]:
    """Return the names of all losses.

    Examples
    --------
    >>> "minimax" in names()
    True
    """
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_A_LOSS)


def find(name: str) -> ModuleType:
    """Return the loss called `name`.

    Raises
    ------
    KeyError
        If there is none.
    """
    if name not in names():
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name}")
