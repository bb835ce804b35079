"""Models from a hub: the folder of ``hub:OWNER/NAME``, fetched once and kept (extra ``hub``)."""

from __future__ import annotations

import re
from pathlib import Path

from voxgan.errors import MissingExtraError, StorageError, UsageError

__all__ = ["PREFIX", "fetched", "is_hub_name"]

PREFIX = "hub:"

_NAME = re.compile(r"hub:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_FILES = ["config.json", "*.safetensors", "README.md"]  # never a pickle, never code


def is_hub_name(name: str | Path) -> bool:
    """Say whether a model's name is one on the hub.

    Examples
    --------
    >>> is_hub_name("hub:someone/chairs"), is_hub_name("runs/chairs")
    (True, False)
    """
    return str(name).startswith(PREFIX)


def fetched(name: str) -> Path:
    """Return the folder of a model on the Hugging Face hub, fetched if it is not here yet.

    Parameters
    ----------
    name : str
        ``hub:OWNER/NAME``, or ``hub:OWNER/NAME@REVISION`` for a branch, a tag or a commit.

    Raises
    ------
    UsageError
        If the name is not written so.
    MissingExtraError
        If ``huggingface_hub`` is not installed.
    StorageError
        If it is not there, or cannot be reached, and was not fetched before.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UsageError(f"{name}: expected hub:OWNER/NAME, or hub:OWNER/NAME@REVISION")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub", f"the model {name}") from error
    repository, revision = found.groups()
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_FILES))
    except Exception as error:  # of many kinds: no such repository, no network, no room
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StorageError(f"cannot fetch {name}: {reason[:200]}") from error
