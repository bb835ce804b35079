"""AC-GAN in volumetric form: shapes of a class (Odena et al. 2017, arXiv:1610.09585, eq. 2 and 3).

D says whether a shape is real, without being told its class, and which class it is of. Both networks want the class of
what they see, or make, to be recognised: D maximises L_S + L_C, G maximises L_C − L_S.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, cast

from torch import Tensor

from voxgan.errors import UsageError
from voxgan.models.model import Batch, Config, Model, Phase

__all__ = ["ACGAN3D", "MODEL", "ACGAN3DConfig"]


@dataclass(frozen=True)
class ACGAN3DConfig(Config):
    """Options of AC-GAN beside those of every model.

    Attributes
    ----------
    condition : {"auxiliary"}
        D says the class. (For a D that is told it, take the model gan3d.)
    class_weight : float
        Of G's L_C beside its adversarial loss; the paper's is 1. (D's is 1.)
    """

    condition: str = "auxiliary"
    class_weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        super().__post_init__()
        if self.condition != "auxiliary":
            raise UsageError(f"condition={self.condition!r}: ac_gan3d has auxiliary; take the model gan3d for others")
        if not 0 <= self.class_weight < float("inf"):
            raise UsageError(f"class_weight={self.class_weight}: expected a number from 0 up")


class ACGAN3D(Model):
    """Generator with a class beside its noise, and a discriminator that says the class, too.

    Parameters
    ----------
    config : ACGAN3DConfig

    Examples
    --------
    >>> model = ACGAN3D(ACGAN3DConfig(resolution=16, width=4, classes=("chair", "table")))
    >>> model.generate(2, seed=0, class_name="table")
    Shapes(2 shapes, 16³)
    """

    Config: ClassVar[type[Config]] = ACGAN3DConfig
    name: ClassVar[str] = "ac_gan3d"

    def __init__(self, config: ACGAN3DConfig) -> None:
        super().__init__(config)
        self._make_players(config.condition)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """D behind the gate, then G."""
        return self._in_turn()

    def loss(self, phase: str, batch: Batch) -> dict[str, Tensor]:
        """Return L_S and L_C of one side."""
        generated = self.generated(batch)
        if phase == "discriminator":
            return self.discriminator_terms(batch["occupancy"], generated, batch.draws, batch["label"])
        terms = self.generator_terms(generated, batch["occupancy"], batch["label"])
        return {"total": terms["adversarial"] + cast(ACGAN3DConfig, self.config).class_weight * terms["class"], **terms}


MODEL = ACGAN3D
