"""One batch of the game between generator and discriminator: packs, losses, penalties, classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from voxgan import adversarial
from voxgan.adversarial import penalties
from voxgan.draws import Draws
from voxgan.models.config import Config
from voxgan.networks.heads import Judge

__all__ = ["discriminator_terms", "generator_terms"]


def discriminator_terms(
    config: Config,
    discriminator: Judge,
    real: Tensor,
    generated: Tensor,
    draws: Draws,
    labels: Tensor | None = None,
    rows: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return D's loss and what it is made of.

    Everything sees packs, the penalties too: what is packed are the data.

    Parameters
    ----------
    config : Config
    discriminator : Judge
    real, generated : Tensor, (B, M, R, R, R)
        Packs.
    draws : Draws
        Of the batch that the shapes come from.
    labels : Tensor of int, (B, M), optional
        Classes of the real shapes, which the generated ones were asked to be.
    rows : Tensor of int, (B·M,), optional
        Which shapes of the batch these are; all of them, in order, by default.

    Returns
    -------
    dict
        ``total``; ``accuracy``, without a graph; ``adversarial``, ``penalty`` and ``class`` where there is more than
        the adversarial loss.
    """
    loss = adversarial.find(config.adversarial)
    both = torch.cat([real, generated])
    sloped = config.r1 > 0 or config.r2 > 0
    learns = torch.is_grad_enabled()
    with torch.set_grad_enabled(learns or sloped):
        if sloped:
            both.requires_grad_(True)
        twice = None if labels is None else torch.cat([labels, labels])
        logits, named = discriminator.judge(both, groups=2, labels=twice)
    on_real, on_generated = logits.chunk(2)
    terms = {"adversarial": loss.discriminator_loss(on_real, on_generated)}
    if sloped:
        of_real, of_generated = penalties.slopes_squared(logits, both).chunk(2)
        terms["penalty"] = config.r1 / 2 * of_real.mean() + config.r2 / 2 * of_generated.mean()
    if config.gradient_penalty > 0:
        share = draws.of("penalty").uniform()
        share = (share if rows is None else share[rows.cpu()])[:: config.pack]
        with torch.enable_grad():
            points = penalties.between(real, generated, share)
            between, _ = discriminator.judge(points, labels=labels)
        term = config.gradient_penalty * penalties.gradient_penalty(between, points)
        terms["penalty"] = terms["penalty"] + term if "penalty" in terms else term
    if named is not None and twice is not None:  # the means over real and over generated shapes, added up
        terms["class"] = 2 * nn.functional.cross_entropy(named.flatten(0, 1), twice.flatten())
    total = torch.stack(list(terms.values())).sum()
    parts = {key: value.detach() for key, value in terms.items()} if len(terms) > 1 else {}
    if named is not None and labels is not None:
        parts["class_accuracy"] = (named.detach()[: len(labels)].argmax(2) == labels).float().mean()
    return {"total": total, "accuracy": loss.accuracy(on_real, on_generated), **parts}


def generator_terms(
    config: Config,
    discriminator: Judge,
    generated: Tensor,
    real: Tensor | None = None,
    labels: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return what G is told of its packs.

    Parameters
    ----------
    config : Config
    discriminator : Judge
    generated : Tensor, (B, M, R, R, R)
    real : Tensor, (B, M, R, R, R), optional
        For losses on pairs.
    labels : Tensor of int, (B, M), optional
        What the generated shapes were asked to be.

    Returns
    -------
    dict
        ``adversarial``, and ``class`` where D says classes.
    """
    loss = adversarial.find(config.adversarial)
    logits, named = discriminator.judge(generated, labels=labels)
    if loss.PAIRED:
        assert real is not None
        with torch.no_grad():
            on_real, _ = discriminator.judge(real, labels=labels)
        terms = {"adversarial": loss.generator_loss(logits, on_real)}
    else:
        terms = {"adversarial": loss.generator_loss(logits)}
    if named is not None and labels is not None:
        terms["class"] = nn.functional.cross_entropy(named.flatten(0, 1), labels.flatten())
    return terms
