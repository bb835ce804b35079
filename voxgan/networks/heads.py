"""From a discriminator's features to its answers: real or not, with or without classes."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, one_hot

from voxgan.networks.forms import without_autocast

__all__ = ["CONDITIONS", "SLOPE", "Judge"]

CONDITIONS = ("none", "projection", "concatenation", "auxiliary")

SLOPE = 0.2
"""Of LeakyReLU, for negative numbers."""

_CELLS = 4**3  # of the last volume


class Judge(nn.Module):
    """A discriminator: features of packs of shapes, and what is said of them.

    Conditions on classes, all of them at the last volume φ, (C, 4, 4, 4):

    - ``projection`` adds Σ_j V[j, y_j]·φ to the logit (Miyato and Koyama 2018, arXiv:1802.05637, eq. 3), φ not pooled,
      y_j the class of the pack's shape j;
    - ``concatenation`` lays the classes beside φ as channels of 0 and 1, and a 1³ convolution with LeakyReLU 0.2 mixes
      them (Mirza and Osindero 2014, arXiv:1411.1784, at the place of Reed et al. 2016, arXiv:1605.05396);
    - ``auxiliary`` leaves the logit alone and says the class of each shape, too (Odena et al. 2017, arXiv:1610.09585).

    Parameters
    ----------
    channels : int
        C of the last volume.
    pack : int
        Shapes M in a pack.
    classes : int
        K; 0 where there is no condition.
    condition : {"none", "projection", "concatenation", "auxiliary"}

    Attributes
    ----------
    recompute : bool
        Compute activations again in the backward pass instead of keeping them: less memory, more time. Off by default.

    Raises
    ------
    ValueError
        For another condition, or one without classes.
    """

    recompute: bool = False
    norm: str  # what stands between the layers, by its name in `voxgan.networks.norms`

    def __init__(self, channels: int, pack: int = 1, classes: int = 0, condition: str = "none") -> None:
        super().__init__()
        if condition not in CONDITIONS:
            raise ValueError(f"condition {condition!r}: expected one of {', '.join(CONDITIONS)}")
        if (condition == "none") != (classes == 0):
            raise ValueError(f"condition {condition!r} with {classes} classes: expected both, or neither")
        self.pack, self.classes, self.condition = pack, classes, condition
        self.num_features = channels * _CELLS
        if condition == "projection":
            self.projection = nn.Linear(pack * classes, self.num_features, bias=False)
            nn.init.normal_(self.projection.weight, std=1 / math.sqrt(3 * self.num_features))  # as the logit's own
        elif condition == "concatenation":
            self.mixing = nn.Linear(channels + pack * classes, channels)
        elif condition == "auxiliary":
            self.auxiliary = nn.Linear(self.num_features, pack * classes)

    @abstractmethod
    def features(self, occupancy: Tensor, groups: int = 1) -> Tensor:
        """Return the last volume after its activation, float32 (B, C·64), for packs of shapes (B, M, R, R, R)."""

    @abstractmethod
    def volumes(self, occupancy: Tensor) -> list[Tensor]:
        """Return the hidden volumes after their activations, (B, C, S, S, S) each, from the largest to 4³."""

    @abstractmethod
    def logits(self, features: Tensor) -> Tensor:
        """Return the logit of being real, (B,), without a word on classes."""

    def _check_groups(self, occupancy: Tensor, groups: int) -> None:
        """Refuse a batch that cannot be divided into equal groups."""
        if groups < 1 or len(occupancy) % groups:
            raise ValueError(f"{groups} groups in a batch of {len(occupancy)}: expected a number that divides it")

    def _activated(self, x: Tensor, norm: nn.Module, groups: int) -> Tensor:
        """Apply a norm, to each group alone where it takes statistics of a batch, and LeakyReLU."""
        apart = self.norm == "batch" and norm.training and groups > 1
        y = torch.cat([norm(part) for part in x.chunk(groups)]) if apart else norm(x)
        return leaky_relu(y, SLOPE, inplace=y is not x)  # a norm that does nothing hands on what others still need

    def judge(self, occupancy: Tensor, groups: int = 1, labels: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return what is said of packs of shapes.

        Parameters
        ----------
        occupancy : Tensor, (B, M, R, R, R)
        groups : int
            Equal parts of the batch, each with batch statistics of its own.
        labels : Tensor of int, (B, M)
            Needed for ``projection`` and ``concatenation``.

        Returns
        -------
        Tensor, (B,)
            The logit of being real.
        Tensor, (B, M, K), or None
            Logits of the classes, for ``auxiliary``.

        Raises
        ------
        ValueError
            If labels are missing, or the batch cannot be divided into equal groups.
        """
        features = self.features(occupancy, groups)
        with without_autocast(features):
            if self.condition == "auxiliary":
                return self.logits(features), self.auxiliary(features).reshape(-1, self.pack, self.classes)
            if self.condition == "none":
                return self.logits(features), None
            if labels is None or labels.shape != (len(features), self.pack):
                got = None if labels is None else tuple(labels.shape)
                raise ValueError(f"labels {got}: expected the class of every shape, {(len(features), self.pack)}")
            named = one_hot(labels.long(), self.classes).flatten(1).to(features.dtype)
            if self.condition == "projection":
                return self.logits(features) + (self.projection(named) * features).sum(1), None
            volume = features.reshape(len(features), -1, _CELLS).movedim(1, 2)  # (B, 64, C)
            beside = named[:, None].expand(-1, _CELLS, -1)
            mixed = leaky_relu(self.mixing(torch.cat([volume, beside], dim=2)), SLOPE)
            return self.logits(mixed.movedim(2, 1).flatten(1)), None

    def forward(self, occupancy: Tensor, groups: int = 1, labels: Tensor | None = None) -> Tensor:
        """Return the logit of being real, (B,), in single precision: the first of `judge`'s answers."""
        return self.judge(occupancy, groups, labels)[0]
