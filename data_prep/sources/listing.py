"""Listing folders of up to a million files: sorted, no file is opened or asked for its size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from voxgan.errors import StorageError

__all__ = ["files_below", "folders_in", "names_in"]

_PASSED_OVER = "__MACOSX"


def _entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return what a folder holds, sorted by name, without hidden entries."""
    try:
        with os.scandir(folder) as found:
            kept = [entry for entry in found if not entry.name.startswith(".") and entry.name != _PASSED_OVER]
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read the folder {folder}: {getattr(error, 'strerror', None) or error}") from error
    return sorted(kept, key=lambda entry: entry.name)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def names_in(folder: str | Path) -> list[str]:
    """Return the names of the files in a folder, sorted; none if it does not exist."""
    return [entry.name for entry in _entries(folder) if _is_file(entry)] if Path(folder).is_dir() else []


def folders_in(folder: str | Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; none if it does not exist."""
    return [entry.name for entry in _entries(folder) if _is_dir(entry)] if Path(folder).is_dir() else []


def files_below(root: str | Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it and with ``/``, sorted folder by folder.

    A link to a folder is followed once, and only to where the walk would not come anyhow: so a ring of links ends.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("b.obj", "a/c.obj", ".d.obj"):
    ...     (folder / name).parent.mkdir(exist_ok=True)
    ...     (folder / name).touch()
    >>> list(files_below(folder))
    ['a/c.obj', 'b.obj']
    """
    walked = [os.path.realpath(root)]
    waiting = [("", entry) for entry in reversed(_entries(root))]
    while waiting:
        above, entry = waiting.pop()
        path = above + entry.name
        if _is_dir(entry):
            if entry.is_symlink():
                target = os.path.realpath(entry.path)
                if any(_holds(one, target) or _holds(target, one) for one in walked):
                    continue
                walked.append(target)
            waiting += [(path + "/", inner) for inner in reversed(_entries(entry.path))]
        elif _is_file(entry):
            yield path


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
