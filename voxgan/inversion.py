"""From a shape back to its latent: z is moved until the generator gives the shape.

After Zhu et al. 2016, "Generative visual manipulation on the natural image manifold", arXiv:1609.03552, §3.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from voxgan.errors import InputError, UsageError
from voxgan.models.model import Model

if TYPE_CHECKING:
    from voxgan.models.vae_gan3d import VAEGAN3D

__all__ = ["Found", "find_latent"]

_NUM_SAMPLES = 48  # latents to begin with: drawn by the model,
_NUM_VIEWS = 8  # and what its image encoder makes of views
_AT_ONCE = 16
_REMEMBERED = 30  # steps from which L-BFGS guesses the curvature
_WEIGHT_OF_PRIOR = 0.01  # against a loss of about 0.2; at a tenth of it, z of `furniture` ends 2.5 times as long


@dataclass(frozen=True, eq=False)
class Found:
    """What `find_latent` has found.

    Attributes
    ----------
    z : Tensor, (L,)
        The latent, where the model is.
    iou : float
        Intersection over union of its shape with the grid, at level 0.5.
    """

    z: Tensor
    iou: float


def find_latent(
    model: Model,
    occupancy: Tensor | NDArray[Any],
    steps: int = 120,
    seed: int = 0,
    starts: Tensor | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Found:
    """Find the latent whose shape is nearest to a grid.

    Many latents are tried, and the best of them is moved by L-BFGS down binary cross-entropy + ½ (1 − dice) and a
    small weight that keeps z near the prior, so that one can calculate with it. (Adam needs twice as many steps, and
    trying several starts for longer finds no more than going on with the best.)

    Parameters
    ----------
    model : Model
    occupancy : Tensor or array, (R, R, R)
        At the model's resolution; `voxgan.volumes.resample` brings others to it.
    steps : int
        How often the shape is looked at, about; fewer where nothing changes any more. 120 take a few seconds on two
        cores at width 24 and 64³.
    seed : int
        Of the latents to begin with; the same seed finds the same, with the same number of threads.
    starts : Tensor, (N, L), optional
        Begin with these instead of the model's own samples and what its image encoder, if it has one, makes of views
        drawn of the grid.
    report : callable, optional
        Called with how many steps are done, and of how many. What it raises ends the search.

    Returns
    -------
    Found
        The best of all steps.

    Raises
    ------
    InputError
        If the grid has another resolution, is empty or not finite, or the starts do not fit the model.
    UsageError
        For less than one step.

    Examples
    --------
    >>> from voxgan.models.gan3d import GAN3D, Config
    >>> model = GAN3D(Config(resolution=16, width=4))
    >>> ball = np.zeros((16, 16, 16)); ball[4:12, 4:12, 4:12] = 1
    >>> find_latent(model, ball, steps=2).z.shape
    torch.Size([200])
    """
    if steps < 1:
        raise UsageError(f"steps={steps}: expected 1 or more")
    target = _checked(model, occupancy)
    with _evaluating(model):
        z = _starts(model, target, seed) if starts is None else _checked_starts(model, starts)
        search = _Search(model, target)
        with torch.no_grad():
            losses = torch.cat([search.losses(part) for part in torch.split(z, _AT_ONCE)])
        z = z[losses.argmin()][None].clone().requires_grad_(True)
        optimizer = torch.optim.LBFGS(
            [z], max_iter=steps, max_eval=steps, history_size=_REMEMBERED, line_search_fn="strong_wolfe"
        )
        done = 0

        def look() -> Tensor:
            nonlocal done
            optimizer.zero_grad()
            loss = search.losses(z).sum()
            torch.autograd.backward(loss, inputs=[z])
            done += 1
            if report is not None:
                report(min(done, steps), steps)
            return loss

        optimizer.step(look)  # type: ignore[no-untyped-call]
        if report is not None and done < steps:
            report(steps, steps)
    return Found(search.best, search.best_iou)


class _Search:
    """A loss on latents, and the best of all that were seen."""

    def __init__(self, model: Model, target: Tensor) -> None:
        self.model, self.target = model, target
        self.best, self.best_iou = torch.empty(0), -1.0
        # An encoder aims at N(0, I), whatever the prior.
        uniform = model.config.prior == "uniform" and not hasattr(model, "encoder")
        self._middle, self._deviation = (0.5, math.sqrt(1 / 12)) if uniform else (0.0, 1.0)

    def losses(self, z: Tensor) -> Tensor:
        """Return the loss of each latent (B, L), (B,); remember the best by IoU."""
        held = self.model.config.latent  # the class that a start was given stays
        z = torch.cat([z[:, :held], z[:, held:].detach()], dim=1)
        logits, target = self.model.generator.logits(z).float(), self.target.expand(len(z), 1, -1, -1, -1)
        probability = torch.sigmoid(logits)
        cross_entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1).mean(1)
        size = (probability + target).flatten(1).sum(1)
        dice = (2 * (probability * target).flatten(1).sum(1) + 1) / (size + 1)
        self._remember(z.detach(), probability.detach())
        own = z[:, : self.model.config.latent]  # without a class, which no prior draws
        far: Tensor = (((own - self._middle) / self._deviation) ** 2).mean(1)
        return cross_entropy + 0.5 * (1 - dice) + _WEIGHT_OF_PRIOR * far

    def _remember(self, z: Tensor, probability: Tensor) -> None:
        shapes = self.model.finished(probability[:, 0].cpu().numpy())  # as `decode` shows them
        inside = torch.from_numpy(shapes >= 0.5)[:, None].to(self.target.device)
        real = self.target >= 0.5
        ious = (inside & real).flatten(1).sum(1) / (inside | real).flatten(1).sum(1)
        first = int(ious.argmax())
        if float(ious[first]) > self.best_iou:
            self.best, self.best_iou = z[first].clone(), float(ious[first])


def _checked(model: Model, occupancy: Tensor | NDArray[Any]) -> Tensor:
    """Return the grid where the model is, or say what is wrong with it."""
    R = model.config.resolution
    if tuple(np.shape(occupancy)) != (R, R, R):
        raise InputError(f"a grid of shape {tuple(np.shape(occupancy))}; expected {(R, R, R)}, as the model makes them")
    grid = torch.as_tensor(occupancy, dtype=torch.float32).to(model.device)
    if not bool(torch.isfinite(grid).all()) or not bool(((grid >= 0) & (grid <= 1)).all()):
        raise InputError("a grid with numbers outside [0, 1], or not finite; expected occupancy")
    if not bool((grid >= 0.5).any()):
        raise InputError("an empty grid; expected one with cells inside")
    return grid


def _checked_starts(model: Model, starts: Tensor) -> Tensor:
    z = torch.as_tensor(starts, dtype=torch.float32).to(model.device)
    if z.ndim != 2 or not len(z) or z.shape[1] != model.latent_size or not bool(torch.isfinite(z).all()):
        raise InputError(f"starts of shape {tuple(z.shape)}; expected (N, {model.latent_size}), all finite")
    return z.detach().clone()


def _starts(model: Model, target: Tensor, seed: int) -> Tensor:
    """Return samples of the model, and what its image encoder makes of views, (N, L)."""
    guesses = [model.sample_latents(_NUM_SAMPLES, seed)]
    if hasattr(model, "encoder"):
        guesses.append(cast("VAEGAN3D", model).encode_shapes(target[None], _NUM_VIEWS, seed)[0])
    return torch.cat(guesses).clone()


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    """Evaluation mode for the block; the former mode afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
