"""What the training loop and the user see of every model: phases, losses, sampling."""

from __future__ import annotations

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

from voxgan import adversarial, networks
from voxgan.adversarial.gate import Gate
from voxgan.adversarial.schedule import CriticSchedule
from voxgan.draws import Draws, moved
from voxgan.errors import InputError, UsageError, nearest
from voxgan.models import game
from voxgan.models.config import Config, Options, make_config
from voxgan.networks import ResidualGenerator
from voxgan.networks.generator import Generator
from voxgan.networks.heads import Judge
from voxgan.networks.sampling import PRECISIONS, Sampler
from voxgan.networks.spectral_norm import spectrally_normalised
from voxgan.voxels import Shapes

if TYPE_CHECKING:
    from voxgan.class_latents import ClassLatents

__all__ = [
    "Background",
    "Batch",
    "Config",
    "Model",
    "Options",
    "Phase",
    "always",
    "in_each",
    "make_config",
]

Background = Literal["auto", "keep", "remove"]
Figures = Mapping[str, float]

_MAX_BATCH = 32
_DRAWS = 20  # of a latent, where shapes have to be whole


class Batch(dict[str, Tensor]):
    """A training batch: its tensors by name, and what its shapes get by chance.

    Attributes
    ----------
    draws : Draws
        Random numbers that do not depend on how the step's batch is divided.
    phases : tuple of str or None
        Names of the phases whose turn it is in this step; None for all.

    Examples
    --------
    >>> Batch(Draws(0, 2), label=torch.zeros(2)).draws.normal(3).shape
    torch.Size([2, 3])
    """

    def __init__(self, draws: Draws, **tensors: Tensor) -> None:
        super().__init__(**tensors)
        self.draws = draws
        self.phases: tuple[str, ...] | None = None

    def serves(self, phase: str) -> bool:
        """Say whether a phase's turn comes in this step: without it, what only that phase needs is not computed."""
        return self.phases is None or phase in self.phases


def always(last: Figures) -> bool:
    """Let a phase move in every step that is its turn."""
    return True


def in_each(step: int) -> bool:
    """Let a phase have its turn in every step."""
    return True


@dataclass(frozen=True)
class Phase:
    """One optimiser's share of a step.

    Attributes
    ----------
    name : str
        Handed to `Model.loss`.
    rates : mapping of str to float
        The learning rate for each sub-network that it moves; all others are frozen meanwhile.
    beta1, beta2 : float
        Adam's momenta.
    when : callable
        Sees the figures of the last batch and says whether this phase moves anything.
    turn : callable
        Sees the number of the step, from 0, and says whether this phase is computed at all.
    optimizer : {"adam", "rmsprop"}
    clip : float
        Bound on the size of each weight that it moves, after each of its steps; 0 for none.
    """

    name: str
    rates: Mapping[str, float]
    beta1: float = 0.5
    when: Callable[[Figures], bool] = always
    beta2: float = 0.999
    turn: Callable[[int], bool] = in_each
    optimizer: str = "adam"
    clip: float = 0.0

    @property
    def trains(self) -> tuple[str, ...]:
        """The sub-networks that it moves."""
        return tuple(self.rates)


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
    generator: Generator | ResidualGenerator
    discriminator: Judge

    def __init__(self, config: Options) -> None:
        super().__init__()
        self.config = config
        self.class_latents: ClassLatents | None = None
        self._precision = "fp32"
        self._sampler = Sampler()

    def _make_players(self, condition: str = "none") -> None:
        """Make the two networks of the game, as the config says; `condition` is D's way to look at classes."""
        c = self.config
        classes = len(c.classes) if condition != "none" else 0
        if condition != "none" and classes < 2:
            raise UsageError(
                f"{self.name} on {classes} classes: there is nothing to choose; expected two or more, as in "
                "classes=chair,table"
            )
        if classes and len(set(c.classes)) < classes:
            raise UsageError(f"classes={','.join(c.classes)}: one of them stands there twice")
        self.generator = networks.GENERATORS[c.network](c.resolution, c.width, c.latent + classes, c.generator_norm)
        if classes:
            with torch.no_grad():  # at first, the class says as much as all of z
                self.generator.first.weight[-classes:] *= c.latent**0.5
        self.discriminator = networks.DISCRIMINATORS[c.network](
            c.resolution, c.discriminator_width or c.width, c.pack, c.discriminator_norm, classes, condition
        )
        if c.spectral_norm:
            spectrally_normalised(self.discriminator)

    def _discriminator_phase(self) -> Phase:
        """D behind the gate, in every step."""
        c = self.config
        return Phase(
            "discriminator",
            {"discriminator": c.discriminator_rate},
            c.beta1,
            Gate(c.gate),
            c.beta2,
            optimizer=c.optimizer,
            clip=c.clip,
        )

    def _in_turn(self) -> tuple[Phase, ...]:
        """D behind the gate, then G."""
        return self._discriminator_phase(), self._other_phase("generator", {"generator": self.config.generator_rate})

    def _other_phase(self, name: str, rates: Mapping[str, float]) -> Phase:
        """What moves when the critic has taken its steps."""
        c = self.config
        turn = CriticSchedule(c.critic_steps, c.critic_warmup)
        return Phase(name, rates, c.beta1, beta2=c.beta2, turn=turn, optimizer=c.optimizer)

    def __repr__(self) -> str:
        c = self.config
        return f"{type(self).__name__}({c.resolution}³, width {c.width}, {', '.join(c.classes) or 'no classes'})"

    @classmethod
    def needs_classes(cls, config: Any) -> bool:
        """Say whether a model with this config is told the class of each shape that it trains on."""
        return getattr(config, "condition", "none") != "none"

    @classmethod
    def image_size(cls, config: Any) -> int:
        """Return the side of the photos that a model with this config looks at, in pixels; 0 where it takes none."""
        return 0

    def begin(self) -> None:
        """Take over what a new training begins with, where the config says so: called once, on fresh weights."""

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
    def conditional(self) -> bool:
        """Whether the generator is told a class: the last K numbers of a latent, 1 for it and 0 for all others."""
        return self.generator.latent > self.config.latent

    @property
    def latent_size(self) -> int:
        """Numbers in a latent: L of z, and K more where the model is `conditional`."""
        return self.generator.latent

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that `class_name` may name in `sample_latents` and `generate`."""
        if self.class_latents is not None:
            return self.class_latents.names
        return self.config.classes if self.conditional or len(self.config.classes) == 1 else ()

    def draw_latents(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw z from the prior, (count, L)."""
        draw = torch.rand if self.config.prior == "uniform" else torch.randn
        z = draw(count, self.config.latent, generator=generator, device=None if generator else self.device)
        return z.to(self.device)

    def batch_latents(self, batch: Batch) -> Tensor:
        """Draw latents for every shape of a training batch, (B, L), or (B, L + K) with its class if `conditional`."""
        draws = batch.draws.of("prior")
        draw = draws.uniform if self.config.prior == "uniform" else draws.normal
        z = moved(draw(self.config.latent), self.device)
        return torch.cat([z, self._named(batch["label"]).to(z.dtype)], dim=1) if self.conditional else z

    def _named(self, labels: Tensor) -> Tensor:
        return nn.functional.one_hot(labels, len(self.config.classes))

    def _class_index(self, class_name: str | None, class_index: int | None) -> int | None:
        """Return the index of the class that is asked for by name or by index."""
        if class_name is None and class_index is None:
            return None
        if class_name is not None and class_index is not None:
            raise UsageError(f"class_name={class_name!r} and class_index={class_index}: expected one of them")
        asked = repr(class_name) if class_index is None else f"number {class_index}"
        if not self.classes:
            raise UsageError(f"no class {asked} in this {self.name} model; it draws shapes of any class only")
        if class_index is None:
            if class_name not in self.classes:
                raise UsageError(
                    f"no class {asked} in this {self.name} model; {nearest(str(class_name), self.classes)}"
                )
            return self.classes.index(str(class_name))
        whole = isinstance(class_index, int | np.integer) and not isinstance(class_index, bool)
        if not whole or not 0 <= class_index < len(self.classes):
            names = ", ".join(f"{place} {name}" for place, name in enumerate(self.classes))
            raise UsageError(f"no class {asked} in this {self.name} model; expected a whole number: {names}")
        return int(class_index)

    def sample_latents(
        self,
        count: int,
        seed: int | None = None,
        class_name: str | None = None,
        class_index: int | None = None,
        whole: float = 0.0,
        level: float = 0.5,
    ) -> Tensor:
        """Draw latents: from the prior, or from `class_latents` where the model has them.

        Parameters
        ----------
        count : int
            How many.
        seed : int, optional
            The same seed gives the same latents, on any device; in a `conditional` model the same z for every class.
        class_name : str, optional
            Only of this class, one of `classes`; without it, of any, each as often as the others.
        class_index : int, optional
            The same by its place in `classes`.
        whole : float
            Draw again, up to 20 times, where the largest connected part of the shape holds less than this share of its
            cells: rejection sampling, for shapes to be used. 0 takes what comes. It costs a `decode` of each draw.
        level : float
            From which occupancy on a cell is inside, where shapes have to be `whole`: that of the surface to be taken.

        Returns
        -------
        Tensor, (count, L) or, if `conditional`, (count, L + K)

        Raises
        ------
        UsageError
            For a count below 1, a seed of too many bits, a class that the model cannot choose, or a share outside
            [0, 1].
        """
        if not isinstance(count, int | np.integer) or count < 1:
            raise UsageError(f"{count!r} shapes asked for; expected a whole number from 1 up")
        if seed is not None and not -(2**63) <= int(seed) < 2**63:
            raise UsageError(f"seed={seed}: expected a number of at most 63 bits")
        if not 0 <= whole <= 1:
            raise UsageError(f"whole={whole}: expected a share from 0 to 1")
        chosen = self._class_index(class_name, class_index)
        source = torch.Generator()
        if seed is None:
            source.seed()
        else:
            source.manual_seed(seed)
        of_classes = self._labels(count, chosen, source) if self.class_latents is not None else torch.zeros(count)
        z = self._drawn(of_classes, source)
        named = self._named(self._labels(count, chosen, source)).to(z) if self.conditional else z[:, :0]
        broken = torch.arange(count)
        for _ in range(_DRAWS if whole else 0):  # each of the class that it was first, or easy classes would be more
            latents = torch.cat([z[broken], named[broken]], dim=1)
            broken = broken[self._in_pieces(latents, whole, level)]  # what was whole stays so, and is not decoded again
            if not len(broken):
                break
            z[broken] = self._drawn(of_classes[broken], source)
        return torch.cat([z, named], dim=1)

    def _drawn(self, of_classes: Tensor, source: torch.Generator) -> Tensor:
        """Return a latent for each of these labels, which only `class_latents` ask for."""
        if self.class_latents is not None:
            return self.class_latents.sample(of_classes, source).to(self.device)
        return self.draw_latents(len(of_classes), source)

    def _in_pieces(self, z: Tensor, least: float, level: float) -> Tensor:
        """Return which latents give shapes whose largest part holds less than this share."""
        from voxgan.metrics.failures import largest_part

        shares = [largest_part(shape, level) for shape in self.decode(z).occupancy]
        return torch.tensor([place for place, share in enumerate(shares) if share < least], dtype=torch.long)

    def _labels(self, count: int, chosen: int | None, source: torch.Generator) -> Tensor:
        """Return one class for all, or any for each, (count,)."""
        if chosen is None:
            return torch.randint(len(self.classes), (count,), generator=source)
        return torch.full((count,), chosen)

    def with_class(
        self, z: Tensor | NDArray[Any], class_name: str | None = None, class_index: int | None = None
    ) -> Tensor:
        """Return latents with the same z, and this class in place of theirs.

        Parameters
        ----------
        z : Tensor or array, (B, L + K), (B, L), or one row of either
        class_name, class_index
            As for `sample_latents`; one of them.

        Returns
        -------
        Tensor, (B, L + K) or (L + K,)

        Raises
        ------
        UsageError
            If the model is not `conditional`, or does not know the class.
        InputError
            If z has another length.

        Examples
        --------
        >>> from voxgan.models import find
        >>> kind = find("gan3d")
        >>> model = kind(kind.Config(resolution=16, width=4, condition="projection", classes=("chair", "table")))
        >>> z = model.sample_latents(1, seed=0, class_name="chair")[0]
        >>> model.with_class(z, "table")[-2:]
        tensor([0., 1.])
        """
        if not self.conditional:
            raise UsageError(
                f"this {self.name} model is not conditioned on classes; train one with condition=projection"
            )
        chosen = self._class_index(class_name, class_index)
        if chosen is None:
            raise UsageError(f"no class given; expected class_name, one of {', '.join(self.classes)}, or class_index")
        latents = torch.as_tensor(z, dtype=torch.float32, device=self.device)
        if latents.ndim not in (1, 2) or latents.shape[-1] not in (self.config.latent, self.latent_size):
            raise InputError(f"latents of shape {tuple(np.shape(z))}; expected {self._expected_latents()}")
        own = latents[..., : self.config.latent]
        named = self._named(torch.tensor(chosen)).to(own)
        return torch.cat([own, named.expand(*own.shape[:-1], -1)], dim=-1)

    def _expected_latents(self) -> str:
        if not self.conditional:
            return f"(B, {self.latent_size})"
        return f"(B, {self.latent_size}): {self.config.latent} of z, and one for each of {len(self.classes)} classes"

    def decode(self, z: Tensor | NDArray[Any]) -> Shapes:
        """Turn latents into shapes.

        Parameters
        ----------
        z : Tensor or array, (B, L) or (L,)
            With K more numbers where the model is `conditional`: a weight for each class, which need not be 0 or 1.

        Returns
        -------
        Shapes
            Occupancy (B, R, R, R).

        Raises
        ------
        InputError
            If z has another length or is not finite.
        """
        return Shapes(self.finished(self._raw(z)))

    def finished(self, occupancy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what `decode` makes of what the generator gives, (B, R, R, R): in most models nothing else."""
        return occupancy

    def _raw(self, z: Tensor | NDArray[Any]) -> NDArray[np.float32]:
        """Return what the generator gives for latents, (B, R, R, R)."""
        latents = torch.as_tensor(z, dtype=torch.float32, device=self.device)
        latents = latents[None] if latents.ndim == 1 else latents
        if latents.ndim != 2 or latents.shape[1] != self.latent_size or not len(latents):
            raise InputError(f"latents of shape {tuple(np.shape(z))}; expected {self._expected_latents()}")
        if not bool(torch.isfinite(latents).all()):
            raise InputError("latents hold NaN or infinity")
        with self.sampling():
            form = self._sampler.form(self.generator, self.precision)
            parts = [form(part)[:, 0].cpu() for part in torch.split(latents, _MAX_BATCH)]
        raw: NDArray[np.float32] = torch.cat(parts).numpy()
        return raw

    def generate(
        self,
        count: int = 1,
        seed: int | None = None,
        class_name: str | None = None,
        class_index: int | None = None,
        whole: float = 0.0,
        level: float = 0.5,
    ) -> Shapes:
        """Make shapes from noise: `decode` of `sample_latents`."""
        return self.decode(self.sample_latents(count, seed, class_name, class_index, whole, level))

    def reconstruct(
        self,
        photo: Any,
        background: Background = "auto",
        votes: int = 1,
        class_name: str | Sequence[str] | None = None,
    ) -> Shapes:
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

    def generated(self, batch: Batch) -> Tensor:
        """Return the shapes generated from noise for this batch, computed once a step, (B, 1, R, R, R).

        Where G does not move in this step, without a graph.
        """
        if "generated" not in batch:
            moves = batch.serves("generator")
            with torch.set_grad_enabled(moves):
                self.generator.requires_grad_(moves)
                batch["generated"] = self.generator(self.batch_latents(batch))
        return batch["generated"]

    def discriminator_terms(
        self,
        real: Tensor,
        generated: Tensor,
        draws: Draws,
        labels: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return D's loss (``total``), ``accuracy``, and the loss's parts where it has several.

        Parameters
        ----------
        real, generated : Tensor, (B, 1, R, R, R)
            Equally many, a whole number of packs.
        draws : Draws
            Of the batch that they belong to.
        labels : Tensor of int, (B,), optional
            The class of each real shape, which is also what the generated one was asked to be.
        rows : Tensor of int, (B,), optional
            Which shapes of the batch these are; all of them, in order, by default.
        """
        sides = self.packs(real), self.packs(generated.detach())
        return game.discriminator_terms(self.config, self.discriminator, *sides, draws, self._packed(labels), rows)

    def generator_terms(self, generated: Tensor, real: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return G's ``adversarial`` loss, and its ``class`` loss where D says classes.

        Parameters
        ----------
        generated, real : Tensor, (B, 1, R, R, R)
            Real shapes are looked at by losses on pairs only.
        labels : Tensor of int, (B,), optional
            What the generated shapes were asked to be.
        """
        sides = self.packs(generated), self.packs(real) if self.adversary.PAIRED else None
        return game.generator_terms(self.config, self.discriminator, *sides, self._packed(labels))

    def as_seen(self, occupancy: Tensor) -> Tensor:
        """Return real shapes, (B, 1, R, R, R), as D sees them: in most models as they are."""
        return occupancy

    def _packed(self, labels: Tensor | None) -> Tensor | None:
        return None if labels is None else labels.reshape(-1, self.config.pack)

    def packs(self, occupancy: Tensor) -> Tensor:
        """Lay shapes (B, 1, R, R, R) side by side as packs (B/M, M, R, R, R), with instance noise if asked for."""
        m = self.config.pack
        packed = occupancy.reshape(len(occupancy) // m, m, *occupancy.shape[2:])
        if self.config.instance_noise > 0:
            packed = packed + self.config.instance_noise * torch.randn_like(packed)
        return packed
