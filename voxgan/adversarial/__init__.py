"""Adversarial losses, one a file, found by the file's name; the gate, the critic's schedule, and penalties.

Each loss is two pure functions on logits (B,), and what goes with them::

    discriminator_loss(real, generated) -> scalar
    generator_loss(generated) -> scalar          # PAIRED losses: generator_loss(generated, real)
    accuracy(real, generated) -> scalar          # what the gate looks at, in [0, 1]
    UNDECIDED: float                             # the logit that says neither real nor generated
    CRITIC: bool                                 # whether only differences of logits mean anything
    PAIRED: bool                                 # whether G's loss looks at real shapes, too
    RECIPE: dict                                 # options of a run that its paper changes, over `STANDARD`
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import Any

__all__ = ["STANDARD", "find", "names", "recipe"]

_NOT_A_LOSS = ("gate", "penalties", "schedule")

STANDARD: dict[str, Any] = {
    "optimizer": "adam",
    "generator_rate": 0.0025,
    "discriminator_rate": 1e-5,
    "beta1": 0.5,
    "beta2": 0.999,
    "gate": 0.8,
    "critic_steps": 1,
    "critic_warmup": 0,
    "clip": 0.0,
    "gradient_penalty": 0.0,
    "r1": 0.0,
    "r2": 0.0,
}
"""How 3D-GAN is trained (Wu et al. 2016, §3.1), which holds for every loss that says nothing else."""


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


def recipe(name: str) -> dict[str, Any]:
    """Return the options that a run with this loss has where nobody gives others.

    Examples
    --------
    >>> recipe("wasserstein")["clip"], recipe("minimax")["clip"]
    (0.01, 0.0)
    """
    return {**STANDARD, **find(name).RECIPE}
