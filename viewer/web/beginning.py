"""What visitors see first: models by name or as they are, files that stand in the session from the beginning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import voxgan
from viewer.reading import Photo, Reader, Solid, tidy_name
from viewer.saved import read_saved
from viewer.session import Session

if TYPE_CHECKING:
    from voxgan.models.model import Model

__all__ = ["opened"]


def opened(
    models: str | Mapping[str, Model], files: Sequence[str | Path], seed: int
) -> tuple[dict[str, Model], tuple[str, ...], dict[str, Any] | None]:
    """Load what is to be shown.

    Parameters
    ----------
    models, files, seed
        As for `viewer.web.serve`.

    Returns
    -------
    dict of str to Model
        What is loaded; the first is shown first.
    tuple of str
        What may be chosen too, and is loaded when it is.
    dict, optional
        A session of the first model, for every visitor to begin with.

    Raises
    ------
    UsageError, InputError, StorageError
        If there is no such model, or a file cannot be used.
    """
    others: tuple[str, ...] = ()
    saved = None
    if isinstance(models, str):
        if models.lower().endswith(".json"):
            saved = read_saved(models)
            models = str(saved["model"]["name"])
        models, others = {models: voxgan.load(models)}, voxgan.shipped()
    if saved is None and not files:
        return dict(models), others, None
    name = next(iter(models))
    session = Session(models[name], name, seed)
    if saved is not None:
        session.restore(saved)
    reader = Reader(processes=1)
    try:
        for path in files:
            _add(session, reader, path)
    finally:
        reader.close()
    return dict(models), others, session.to_json()


def _add(session: Session, reader: Reader, path: str | Path) -> None:
    found = reader.read(path, resolution=session.model.config.resolution)
    label = tidy_name(Path(path).name)
    if isinstance(found, Photo):
        session.add_photo(found.image, label)
    elif isinstance(found, Solid):
        session.add_fitted(*session.fit(found.occupancy), label)
    else:
        session.restore(found.content)
