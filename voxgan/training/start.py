"""Begin a training with weights of another model: the same at half the resolution, or on other data."""

from __future__ import annotations

import re
from pathlib import Path

from torch import Tensor

from voxgan import checkpoint
from voxgan.errors import UsageError
from voxgan.models.model import Model
from voxgan.training.growing import grow

__all__ = ["take_over"]

_LAYERS = 3  # of the paper's discriminator to a halving of the side: convolution, norm, activation


def take_over(network: Model, name: str | Path) -> tuple[str, ...]:
    """Copy what fits from another model: tensors of the same place in a sub-network of the same name, and same shape.

    A generator's places are counted from its first volume, a discriminator's from its last: where the other model has
    half the resolution, these are the same volumes, and only what doubles the side once more is new: `grow` sets it so
    that shapes are at first what they were. At the same `width` all of them fit.

    Parameters
    ----------
    network : Model
        The new one, which is changed.
    name : str or path
        A shipped model, or a run or model folder.

    Returns
    -------
    tuple of str
        The sub-networks that got something.

    Raises
    ------
    UsageError
        If nothing fits.
    StorageError, CheckpointError
        If there is no such model, or a damaged one.
    """
    other = checkpoint.load(name)
    halvings = (network.config.resolution // other.config.resolution).bit_length() - 1
    given = dict(other.named_children())
    taken = []
    for child, mine in network.named_children():
        if child not in given:
            continue
        theirs: dict[str, Tensor] = given[child].state_dict()
        if child == "discriminator":
            theirs = {_further(key, halvings): tensor for key, tensor in theirs.items()}
        own = mine.state_dict()
        fitting = {key: tensor for key, tensor in theirs.items() if key in own and own[key].shape == tensor.shape}
        if any(tensor.ndim for tensor in fitting.values()):
            mine.load_state_dict({**own, **fitting})
            taken.append(child)
    if "generator" not in taken:
        theirs_is, mine_is = (
            f"{kind.network}, {kind.resolution}³, width {kind.width}" for kind in (other.config, network.config)
        )
        raise UsageError(
            f"start={name}: nothing of its generator fits (it is {theirs_is}; this one {mine_is}); take the same "
            "width and network, and the same resolution or half of it"
        )
    if halvings == 1:
        grow(network, other)
    return tuple(taken)


def _further(key: str, halvings: int) -> str:
    """Return a discriminator's key as it is in one with so many more volumes before its own."""

    def moved(found: re.Match[str]) -> str:
        steps = _LAYERS if found[1] == "layers" else 1
        return f"{found[1]}.{int(found[2]) + steps * halvings}."

    return re.sub(r"^(layers|blocks)\.(\d+)\.", moved, key)
