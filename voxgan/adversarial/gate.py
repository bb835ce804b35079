"""The gated discriminator update (Wu et al. 2016, §3.1): D learns only while it is not too good already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Gate", "accuracy"]


def accuracy(real: Tensor, generated: Tensor) -> Tensor:
    """Return the share of logits on the right side: real above 0, generated at most 0.

    Examples
    --------
    >>> float(accuracy(torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -2.0])))
    0.75
    """
    right = torch.cat([real.detach() > 0, generated.detach() <= 0])
    return right.float().mean()


@dataclass(frozen=True)
class Gate:
    """Open while the accuracy of the *last* batch was at most `threshold`; open before there is one.

    Parameters
    ----------
    threshold : float
        0.8 in the paper; 1 leaves the gate open for good.

    Examples
    --------
    >>> gate = Gate(0.8)
    >>> [gate({}), gate({"accuracy": 0.8}), gate({"accuracy": 0.81})]
    [True, True, False]
    """

    threshold: float = 0.8

    def __call__(self, last: Mapping[str, float]) -> bool:
        """Say whether D may learn, given the figures of the last batch."""
        value = last.get("accuracy")
        # The figure comes from single precision, where 160 right of 200 are 0.80000001.
        return value is None or value <= self.threshold + 1e-6
