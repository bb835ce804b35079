"""Options of adversarial models: what there is, what a loss and a network fill in, what cannot go together."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from voxgan import adversarial, networks
from voxgan.errors import UsageError, nearest
from voxgan.networks.norms import NORMS
from voxgan.voxels import RESOLUTIONS

__all__ = ["Config", "Options", "make_config"]

_OF_THE_LOSS: Any = None  # filled in by `Config` with what `adversarial.recipe` and the network say
_OPTIMIZERS = ("adam", "rmsprop")


@dataclass(frozen=True)
class Config:
    """Options that every adversarial model has.

    Those without a default of their own take the adversarial loss's (`voxgan.adversarial.recipe`), or the network's.

    Attributes
    ----------
    resolution : int
        Side R of the grid: 16, 32, 64 or 128.
    width : int
        Channels of the last hidden volume at 64³; the paper's networks have 64.
    discriminator_width : int
        The same for D; 0 takes `width`.
    network : {"paper", "residual"}
        3D-GAN's bare convolutions, or residual blocks with resampling (`voxgan.networks.residual`).
    generator_norm, discriminator_norm : {"batch", "group", "pixel", "none"}
        Batch norm in the paper's networks; the residual discriminator has none.
    spectral_norm : bool
        Hold the largest singular value of each of D's layers at 1.
    latent : int
        Numbers in z.
    prior : {"uniform", "normal"}
        Distribution of z: uniform on [0, 1], or N(0, I).
    adversarial : str
        Name of the loss.
    pack : int
        Shapes that D sees side by side (PacGAN).
    gate : float
        D learns only while its accuracy in the last batch was at most this; 1 switches the gate off.
    optimizer : {"adam", "rmsprop"}
    generator_rate, discriminator_rate : float
        Learning rates.
    beta1, beta2 : float
        Adam's.
    critic_steps : int
        D moves in every step, G (and an encoder with it) in each of so many.
    critic_warmup : int
        So many of G's first steps wait for 100 steps of D each, and so does every 500th; 0 for none
        (`voxgan.adversarial.schedule`).
    clip : float
        Bound on the size of D's weights; 0 for none.
    gradient_penalty : float
        λ of WGAN-GP's penalty; 0 for none.
    r1, r2 : float
        γ of the penalties γ/2 ‖∇D‖² on real and on generated shapes; 0 for none.
    instance_noise : float
        Standard deviation of Gaussian noise on all that D sees; 0 for none.
    classes : tuple of str
        What it was trained on: for information, or to choose from in a model that is conditioned on them.
    """

    resolution: int = 64
    width: int = 64
    discriminator_width: int = 0
    network: str = "paper"
    generator_norm: str = _OF_THE_LOSS
    discriminator_norm: str = _OF_THE_LOSS
    spectral_norm: bool = False
    latent: int = 200
    prior: str = "uniform"
    adversarial: str = "non_saturating"
    pack: int = 1
    gate: float = _OF_THE_LOSS
    optimizer: str = _OF_THE_LOSS
    generator_rate: float = _OF_THE_LOSS
    discriminator_rate: float = _OF_THE_LOSS
    beta1: float = _OF_THE_LOSS
    beta2: float = _OF_THE_LOSS
    critic_steps: int = _OF_THE_LOSS
    critic_warmup: int = _OF_THE_LOSS
    clip: float = _OF_THE_LOSS
    gradient_penalty: float = _OF_THE_LOSS
    r1: float = _OF_THE_LOSS
    r2: float = _OF_THE_LOSS
    instance_noise: float = 0.0
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Take the loss's recipe for what is not given, and refuse what no network can be made of."""
        for name, known in (
            ("adversarial", adversarial.names()),
            ("network", networks.NETWORKS),
            ("prior", ("uniform", "normal")),
        ):
            value = getattr(self, name)
            if value not in known:
                raise UsageError(f"{name}={value!r}; {nearest(value, known)}")
        for key, default in {**networks.NETWORKS[self.network], **adversarial.recipe(self.adversarial)}.items():
            if getattr(self, key) is None:
                object.__setattr__(self, key, default)
        self._check_sizes()
        self._check_numbers()
        self._check_penalties()

    def _check_sizes(self) -> None:
        if self.resolution not in RESOLUTIONS:
            raise UsageError(f"resolution={self.resolution}: expected one of {', '.join(map(str, RESOLUTIONS))}")
        for name in ("width", "discriminator_width"):
            value = getattr(self, name)
            if value % 2 or not (0 if name != "width" else 2) <= value <= 512:
                raise UsageError(f"{name}={value}: expected an even number from 2 to 512")
        for name, least, most in (
            ("pack", 1, 64),
            ("latent", 1, 65536),
            ("critic_steps", 1, 1000),
            ("critic_warmup", 0, 500),
        ):
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"{name}={getattr(self, name)}: expected {least} to {most}")

    def _check_numbers(self) -> None:
        for name, words in (("generator_norm", NORMS), ("discriminator_norm", NORMS), ("optimizer", _OPTIMIZERS)):
            value = getattr(self, name)
            if value not in words:
                raise UsageError(f"{name}={value!r}; {nearest(value, words)}")
        bounded = ("gate", "beta1", "beta2")
        rates = ("generator_rate", "discriminator_rate")
        for name in (*bounded, *rates, "clip", "gradient_penalty", "r1", "r2", "instance_noise"):
            value = getattr(self, name)
            top = 1.0 if name in bounded else np.inf
            if not 0 <= value <= top or not np.isfinite(value):
                raise UsageError(f"{name}={value}: expected a number from 0" + (" to 1" if top == 1 else " up"))
        for name in ("beta1", "beta2"):
            if getattr(self, name) == 1:
                raise UsageError(f"{name}=1.0: expected a number from 0 to below 1")

    def _check_penalties(self) -> None:
        """Refuse what batch norm in D would make meaningless, and weights held in two ways at once."""
        held = [name for name in ("gradient_penalty", "r1", "r2") if getattr(self, name) > 0]
        if self.discriminator_norm == "batch":
            why = "is on each shape's own slope, which batch norm mixes with its neighbours'"
            if not held and self.spectral_norm:
                held, why = ["spectral_norm"], "bounds D's slope, which batch norm scales up again"
            if held:
                raise UsageError(
                    f"{held[0]}={getattr(self, held[0])} with discriminator_norm=batch: the first {why}; "
                    "take discriminator_norm=none, group or pixel"
                )
        if self.clip > 0 and self.spectral_norm:
            raise UsageError(f"clip={self.clip} with spectral_norm: both bound D's weights; take one of them")


def make_config(kind: type[Any], options: Mapping[str, Any], allowed: Sequence[str] = ()) -> Any:
    """Build a frozen options class from `options`, whose values may be strings as typed on a command line.

    Raises
    ------
    UsageError
        For an unknown key (it names the nearest; `allowed` are known to others) or a value of the wrong type.

    Examples
    --------
    >>> make_config(Config, {"width": "8"}).width
    8
    """
    hints = typing.get_type_hints(kind)
    known = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    values = {}
    for key, value in options.items():
        if key not in known:
            raise UsageError(f"unknown option {key!r}; {nearest(key, (*known, *allowed))}")
        values[key] = _cast(key, value, known[key])
    return kind(**values)


def _cast(key: str, value: Any, kind: Any) -> Any:
    try:
        if kind is bool:
            if isinstance(value, bool):
                return value
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            return words[str(value).lower()]
        if kind is int:
            if isinstance(value, str):
                return int(value.replace("_", ""))
            if int(value) != value:
                raise ValueError
            return int(value)
        if kind is float:
            return float(value)
        if kind is str:
            return str(value)
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(str(part).strip() for part in parts if str(part).strip())
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
        raise UsageError(f"{key}={value!r}: expected {names.get(kind, 'a list, as in a,b')}") from error


Options = Config
"""`Config` by a name that a class with a ``Config`` of its own can use."""
