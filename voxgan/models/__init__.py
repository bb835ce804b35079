"""One paper a file, found by the file's name: networks + phases + losses + sampling.

A new model is a new file here with a class `Model`-derived under the name ``MODEL``.
"""

from __future__ import annotations

import importlib
import pkgutil

from voxgan.errors import UsageError, nearest
from voxgan.models.model import Model, Phase, always

__all__ = ["Model", "Phase", "always", "find", "names"]

_NOT_A_PAPER = ("config", "game", "model", "reconstruction")


def names() -> tuple[str, ...]:
    """Return the names of all models.

    Examples
    --------
    >>> names()
    ('ac_gan3d', 'gan3d', 'vae_gan3d')
    """
    return tuple(m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_A_PAPER)


def find(name: str) -> type[Model]:
    """Return the model class called `name`.

    Raises
    ------
    UsageError
        If there is none.
    """
    if name not in names():
        raise UsageError(f"no model {name!r}; {nearest(name, names())}")
    model: type[Model] = importlib.import_module(f"{__name__}.{name}").MODEL
    return model
