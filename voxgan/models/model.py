"""What the training loop and the user see of every model: phases, losses, sampling."""

from __future__ import annotations

import dataclasses
import typing
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxgan import adversarial
from voxgan.adversarial.gate import accuracy
from voxgan.draws import Draws, moved
from voxgan.errors import InputError, UsageError, nearest
from voxgan.networks import Discriminator, Generator
from voxgan.networks.sampling import PRECISIONS, Sampler
from voxgan.voxels import RESOLUTIONS, Shapes

if TYPE_CHECKING:
    from voxgan.class_latents import ClassLatents

__all__ = ["Background", "Batch", "Config", "Model", "Phase", "always", "bernoulli", "make_config"]

Background = Literal["auto", "keep", "remove"]
Figures = Mapping[str, float]

_MAX_BATCH = 32


class Batch(dict[str, Tensor]):
    """A training batch: its tensors by name, and what its shapes get by chance.

    Attributes
    ----------
    draws : Draws
        Random numbers that do not depend on how the step's batch is divided.

    Examples
    --------
    >>> Batch(Draws(0, 2), label=torch.zeros(2)).draws.normal(3).shape
    torch.Size([2, 3])
    """

    def __init__(self, draws: Draws, **tensors: Tensor) -> None:
        super().__init__(**tensors)
        self.draws = draws


def always(last: Figures) -> bool:
    """Let a phase run in every step."""
    return True


@dataclass(frozen=True)
class Phase:
    """One optimiser's share of a step.

    Attributes
    ----------
    name : str
        Handed to `Model.loss`.
    rates : mapping of str to float
        Adam's learning rate for each sub-network that it moves; all others are frozen meanwhile.
    beta1 : float
        Adam's first momentum.
    when : callable
        Sees the figures of the last batch and says whether this phase moves anything.
    """

    name: str
    rates: Mapping[str, float]
    beta1: float = 0.5
    when: Callable[[Figures], bool] = always

    @property
    def trains(self) -> tuple[str, ...]:
        """The sub-networks that it moves."""
        return tuple(self.rates)


@dataclass(frozen=True)
class Config:
    """Options that every adversarial model has.

    Attributes
    ----------
    resolution : int
        Side R of the grid: 16, 32, 64 or 128.
    width : int
        Channels of the last hidden volume at 64³; the paper's networks have 64.
    discriminator_width : int
        The same for D; 0 takes `width`.
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
    generator_rate, discriminator_rate, beta1 : float
        Adam.
    instance_noise : float
        Standard deviation of Gaussian noise on all that D sees; 0 for none.
    classes : tuple of str
        What it was trained on, for information.
    """

    resolution: int = 64
    width: int = 64
    discriminator_width: int = 0
    latent: int = 200
    prior: str = "uniform"
    adversarial: str = "non_saturating"
    pack: int = 1
    gate: float = 0.8
    generator_rate: float = 0.0025
    discriminator_rate: float = 1e-5
    beta1: float = 0.5
    instance_noise: float = 0.0
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no network can be made of."""
        if self.resolution not in RESOLUTIONS:
            raise UsageError(f"resolution={self.resolution}: expected one of {', '.join(map(str, RESOLUTIONS))}")
        for name in ("width", "discriminator_width"):
            value = getattr(self, name)
            if value % 2 or not (0 if name != "width" else 2) <= value <= 512:
                raise UsageError(f"{name}={value}: expected an even number from 2 to 512")
        if self.prior not in ("uniform", "normal"):
            raise UsageError(f"prior={self.prior!r}; {nearest(self.prior, ('uniform', 'normal'))}")
        if self.adversarial not in adversarial.names():
            raise UsageError(f"adversarial={self.adversarial!r}; {nearest(self.adversarial, adversarial.names())}")
        for name, most in (("pack", 64), ("latent", 65536)):
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"{name}={getattr(self, name)}: expected 1 to {most}")
        for name in ("gate", "generator_rate", "discriminator_rate", "beta1", "instance_noise"):
            value = getattr(self, name)
            top = 1.0 if name in ("gate", "beta1") else np.inf
            if not 0 <= value <= top or not np.isfinite(value):
                raise UsageError(f"{name}={value}: expected a number from 0" + (" to 1" if top == 1 else " up"))
        if self.beta1 == 1:
            raise UsageError("beta1=1.0: expected a number from 0 to below 1")


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


class Model(nn.Module):
    """A paper: its networks, how they are trained, and what they can make.

    Attributes
    ----------
    Config : type
        Frozen dataclass of its options.
    averaged : tuple of str
        Sub-networks of which training keeps a moving average, used for sampling.
    conditions : tuple of str
        What a training batch must hold beside ``occupancy``: ``image`` for photo models.
    class_latents : ClassLatents or None
        A Gaussian for each class, where one was fitted: `voxgan.class_latents`. Samples come from these then.
    """

    Config: ClassVar[type[Options]] = Config
    name: ClassVar[str] = ""
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    conditions: ClassVar[tuple[str, ...]] = ()
    generator: Generator
    discriminator: Discriminator

    def __init__(self, config: Options) -> None:
        super().__init__()
        self.config = config
        self.class_latents: ClassLatents | None = None
        self._precision = "fp32"
        self._sampler = Sampler()

    def __repr__(self) -> str:
        c = self.config
        return f"{type(self).__name__}({c.resolution}³, width {c.width}, {', '.join(c.classes) or 'no classes'})"

    @property
    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """The phases of one training step, in order."""

    @abstractmethod
    def loss(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        """Return ``total`` and whatever is worth logging; `batch` may carry tensors from phase to phase."""

    @property
    def adversary(self) -> ModuleType:
        """The adversarial loss that the config names."""
        return adversarial.find(self.config.adversarial)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def precision(self) -> str:
        """In which precision `decode` computes: "fp32", or "bf16", which is faster and moves a few voxels.

        A processor without bfloat16 computes in single precision all the same.
        """
        return self._precision

    @precision.setter
    def precision(self, name: str) -> None:
        if name not in PRECISIONS:
            raise UsageError(f"precision={name!r}; {nearest(str(name), tuple(PRECISIONS))}")
        self._precision = name

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that `class_name` may name in `sample_latents` and `generate`."""
        if self.class_latents is not None:
            return self.class_latents.names
        return self.config.classes if len(self.config.classes) == 1 else ()

    def draw_latents(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw z from the prior, (count, L)."""
        draw = torch.rand if self.config.prior == "uniform" else torch.randn
        z = draw(count, self.config.latent, generator=generator, device=None if generator else self.device)
        return z.to(self.device)

    def batch_latents(self, batch: Batch) -> Tensor:
        """Draw z from the prior for every shape of a training batch, (B, L)."""
        draws = batch.draws.of("prior")
        draw = draws.uniform if self.config.prior == "uniform" else draws.normal
        return moved(draw(self.config.latent), self.device)

    def sample_latents(self, count: int, seed: int | None = None, class_name: str | None = None) -> Tensor:
        """Draw latents: from the prior, or from `class_latents` where the model has them.

        Parameters
        ----------
        count : int
            How many.
        seed : int, optional
            The same seed gives the same latents, on any device.
        class_name : str, optional
            Only of this class, one of `classes`; without it, of any.

        Returns
        -------
        Tensor, (count, L)

        Raises
        ------
        UsageError
            For a count below 1, a seed of too many bits, or a class that the model cannot choose.
        """
        if not isinstance(count, int | np.integer) or count < 1:
            raise UsageError(f"{count!r} shapes asked for; expected a whole number from 1 up")
        if seed is not None and not -(2**63) <= int(seed) < 2**63:
            raise UsageError(f"seed={seed}: expected a number of at most 63 bits")
        if class_name is not None and class_name not in self.classes:
            known = nearest(class_name, self.classes) if self.classes else "it draws shapes of any class only"
            raise UsageError(f"no class {class_name!r} in this {self.name} model; {known}")
        source = torch.Generator()
        if seed is None:
            source.seed()
        else:
            source.manual_seed(seed)
        if self.class_latents is None:
            return self.draw_latents(count, source)
        if class_name is None:
            labels = torch.randint(len(self.classes), (count,), generator=source)
        else:
            labels = torch.full((count,), self.classes.index(class_name))
        return self.class_latents.sample(labels, source).to(self.device)

    def decode(self, z: Tensor | NDArray[Any]) -> Shapes:
        """Turn latents into shapes.

        Parameters
        ----------
        z : Tensor or array, (B, L) or (L,)

        Returns
        -------
        Shapes
            Occupancy (B, R, R, R).

        Raises
        ------
        InputError
            If z has another length or is not finite.
        """
        latents = torch.as_tensor(z, dtype=torch.float32, device=self.device)
        latents = latents[None] if latents.ndim == 1 else latents
        if latents.ndim != 2 or latents.shape[1] != self.config.latent or not len(latents):
            raise InputError(f"latents of shape {tuple(np.shape(z))}; expected (B, {self.config.latent})")
        if not bool(torch.isfinite(latents).all()):
            raise InputError("latents hold NaN or infinity")
        with self.sampling():
            form = self._sampler.form(self.generator, self.precision)
            parts = [form(part)[:, 0].cpu() for part in torch.split(latents, _MAX_BATCH)]
        return Shapes(torch.cat(parts).numpy())

    def generate(self, count: int = 1, seed: int | None = None, class_name: str | None = None) -> Shapes:
        """Make shapes from noise: `decode` of `sample_latents`."""
        return self.decode(self.sample_latents(count, seed, class_name))

    def reconstruct(self, photo: Any, background: Background = "auto") -> Shapes:
        """Make shapes from photos, where the model can (`vae_gan3d`)."""
        raise UsageError(f"{self.name} cannot reconstruct from a photo; use a vae_gan3d model, as in load('furniture')")

    def train(self, mode: bool = True) -> Self:
        """Go into training mode or leave it; going in gives the memory of the form that `decode` uses back."""
        if mode:
            self._sampler.clear()
        return super().train(mode)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Evaluation mode without gradients for the block; the former mode afterwards."""
        training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.train(training)

    def discriminator_terms(self, real: Tensor, generated: Tensor) -> dict[str, Tensor]:
        """Return D's loss (``total``) and ``accuracy`` on equally many real and generated shapes (B, 1, R, R, R)."""
        both = torch.cat([self.packs(real), self.packs(generated.detach())])
        real_logits, generated_logits = self.discriminator(both, groups=2).float().chunk(2)
        total: Tensor = self.adversary.discriminator_loss(real_logits, generated_logits)
        return {"total": total, "accuracy": accuracy(real_logits, generated_logits)}

    def generator_term(self, generated: Tensor) -> Tensor:
        """Return G's adversarial loss on generated shapes (B, 1, R, R, R)."""
        term: Tensor = self.adversary.generator_loss(self.discriminator(self.packs(generated)).float())
        return term

    def packs(self, occupancy: Tensor) -> Tensor:
        """Lay shapes (B, 1, R, R, R) side by side as packs (B/M, M, R, R, R), with instance noise if asked for."""
        m = self.config.pack
        packed = occupancy.reshape(len(occupancy) // m, m, *occupancy.shape[2:])
        if self.config.instance_noise > 0:
            packed = packed + self.config.instance_noise * torch.randn_like(packed)
        return packed


def bernoulli(logits: Tensor, occupancy: Tensor) -> Tensor:
    """Return the binary cross-entropy of each voxel, averaged, on logits (B, 1, R, R, R)."""
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), occupancy.float())
