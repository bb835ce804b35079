"""The gated discriminator update (Wu et al. 2016, §3.1): D learns only while it is not too good already.

How good, is the accuracy of the last batch. What that is depends on what the loss makes of D's output:

- for losses with a boundary (0 for logits and hinge, ½ for least squares), the share of shapes on the right side;
- for a critic, whose output means nothing by itself, the share on the right side of the *midpoint* between its two
  means, which is that boundary wherever the two clouds of scores have one shape;
- for pairs, the share of pairs whose real shape has the higher score.

All are about ½ for a D that guesses and 1 for one whose two clouds of outputs lie well apart, so that one threshold
fits them. (The midpoint is that of the shapes which are computed together, and a single score far out pulls it aside.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Gate", "accuracy", "midpoint_accuracy", "paired_accuracy"]


def accuracy(real: Tensor, generated: Tensor, threshold: float | Tensor = 0.0) -> Tensor:
    """Return the share of outputs on the right side: real above the threshold, generated at most there.

    Examples
    --------
    >>> float(accuracy(torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -2.0])))
    0.75
    """
    right = torch.cat([real.detach() > threshold, generated.detach() <= threshold])
    return right.float().mean()


def midpoint_accuracy(real: Tensor, generated: Tensor) -> Tensor:
    """Return the share of a critic's scores on the right side of the midpoint between its two means.

    Examples
    --------
    >>> float(midpoint_accuracy(torch.tensor([107.0, 103.0]), torch.tensor([101.0, 99.0])))
    1.0
    >>> float(midpoint_accuracy(torch.zeros(4), torch.zeros(4)))
    0.5
    """
    return accuracy(real, generated, (real.detach().mean() + generated.detach().mean()) / 2)


def paired_accuracy(real: Tensor, generated: Tensor) -> Tensor:
    """Return the share of pairs whose real shape has the higher score; equal scores count half.

    Examples
    --------
    >>> float(paired_accuracy(torch.tensor([2.0, 5.0, 1.0, 3.0]), torch.tensor([1.0, 9.0, 1.0, 2.0])))
    0.625
    """
    difference = real.detach() - generated.detach()
    return ((difference > 0).float() + (difference == 0).float() / 2).mean()


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
