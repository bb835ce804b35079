"""3D-GAN: shapes from noise (Wu et al. 2016, arXiv:1610.07584, §3.1); with classes, the conditional GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from voxgan.errors import UsageError, nearest
from voxgan.models.model import Batch, Config, Model, Options, Phase
from voxgan.truncated_distance import FURTHEST, truncated_distance

__all__ = ["GAN3D", "MODEL", "GAN3DConfig"]

_CONDITIONS = ("none", "projection", "concatenation")


@dataclass(frozen=True)
class GAN3DConfig(Config):
    """Options of 3D-GAN beside those of every model.

    Attributes
    ----------
    condition : {"none", "projection", "concatenation"}
        Make shapes of a class that is asked for (Mirza and Osindero 2014, arXiv:1411.1784): G gets the class beside z,
        and D in one of the ways of `voxgan.networks.heads.Judge`.
    truncation : float
        D sees real shapes as distances to their surface, cut off at so many cells (`voxgan.truncated_distance`), and
        so G makes such fields, whose level ½ is the surface; 0: as cells of 0 and 1.
    """

    condition: str = "none"
    truncation: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        if self.condition not in _CONDITIONS:
            hint = " (an auxiliary classifier is the model ac_gan3d)" if self.condition == "auxiliary" else ""
            raise UsageError(f"condition={self.condition!r}; {nearest(self.condition, _CONDITIONS)}{hint}")
        if not 0 <= self.truncation <= FURTHEST:
            raise UsageError(f"truncation={self.truncation}: expected 0 to {FURTHEST} cells")


class GAN3D(Model):
    """Generator and discriminator, trained in turn, D behind the gate.

    Parameters
    ----------
    config : GAN3DConfig
        Or a plain `voxgan.models.model.Config`, which has no condition.

    Examples
    --------
    >>> model = GAN3D(GAN3DConfig(resolution=16, width=4))
    >>> model.generate(2, seed=0)
    Shapes(2 shapes, 16³)
    """

    Config: ClassVar[type[Config]] = GAN3DConfig
    name: ClassVar[str] = "gan3d"

    def __init__(self, config: Options) -> None:
        super().__init__(config)
        self._make_players(config.condition if isinstance(config, GAN3DConfig) else "none")

    @property
    def phases(self) -> tuple[Phase, ...]:
        """D behind the gate, then G."""
        return self._in_turn()

    def loss(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        """Return the adversarial loss of one side (3D-GAN eq. 1, in the form that the option `adversarial` names)."""
        generated = self.generated(batch)
        labels = batch["label"] if self.conditional else None
        if phase == "discriminator":
            return self.discriminator_terms(self._real(batch), generated, batch.draws, labels)
        return {"total": self.generator_terms(generated, self._real(batch), labels)["adversarial"]}

    def _real(self, batch: Batch) -> Tensor:
        """Return what D sees of a batch's real shapes, computed once a step, (B, 1, R, R, R)."""
        if "real" not in batch:
            batch["real"] = self.as_seen(batch["occupancy"])
        return batch["real"]

    def as_seen(self, occupancy: Tensor) -> Tensor:
        """Return real shapes, (B, 1, R, R, R), as D sees them: with `truncation`, as distances to their surface."""
        cells = self.config.truncation if isinstance(self.config, GAN3DConfig) else 0.0
        return truncated_distance(occupancy, cells) if cells else occupancy


MODEL = GAN3D
