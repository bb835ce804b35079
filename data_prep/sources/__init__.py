"""Where shapes come from: one source a file, found by the file's name.

A source is a module with two functions, and a word where it is not a folder::

    WORD                                       what stands for it instead of a path; optional
    find(source, options) -> list or None      the shapes in there as `Item`; None where it is not of this kind
    load(item, resolution, mode, views)        one of them as `Loaded`

What a folder is, is recognised from how it is laid out; what no other source recognises is a plain folder of files.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from data_prep.sources.item import AXES, Item, Loaded, Options, check_axes
from data_prep.sources.modelnet import MODELNET_TURNS
from voxgan.errors import DatasetError, StorageError, UsageError, nearest

__all__ = ["AXES", "MODELNET_TURNS", "Item", "Loaded", "Options", "find", "find_items", "names"]

_NOT_A_SOURCE = ("item", "listing", "pictures")
_LAST = "folder"  # takes whatever has shapes in it


def names() -> tuple[str, ...]:
    """Return the names of all sources, in the order in which they are asked whether a folder is theirs.

    Examples
    --------
    >>> names()[-1], "shapenet" in names()
    ('folder', True)
    """
    found = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in _NOT_A_SOURCE]
    return tuple(sorted(found, key=lambda name: (name == _LAST, name)))


def find(name: str) -> ModuleType:
    """Return the source called `name`.

    Raises
    ------
    KeyError
        If there is none.
    """
    if name not in names():
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name}")


def find_items(
    source: str | Path | Sequence[str | Path],
    classes: Sequence[str] | None = None,
    count: int = 100,
    limit: int | None = None,
    rotations: int = 1,
    test_share: float = 0.1,
    up: str | None = None,
    front: str | None = None,
    labels: str | Path | None = None,
) -> list[Item]:
    """List the shapes of one or several sources without loading them.

    A file is named after its path below the source, without its suffix (``chair/train/a``); ModelNet's volumes after
    their file, ShapeNet's shapes after class and id, IKEA's pairs after the photo. Where two would have one name, the
    later gets a number: ``a (2)``. Hidden files, and what macOS adds to archives (``__MACOSX``), are passed over.

    Parameters
    ----------
    source : path, "furniture", or a sequence of them
        A folder of meshes and volumes (class = first folder below it; a folder ``train`` or ``test`` in between is the
        split); one mesh or volume file; ModelNet as OFF files (``<class>/<split>/<class>_0001.off``) or as the volumes
        of 3DShapeNets (``volumetric_data/<class>/30/<split>/*.mat``); ShapeNetCore v1 or v2
        (``<synset>/<id>/model.obj``, ``<synset>/<id>/models/model_normalized.obj``); the volumes and views of 3D-R2N2
        (``ShapeNetVox32`` and ``ShapeNetRendering``); IKEA's photos with volumes (``manifest.csv``,
        ``voxels_20.h5``); or the word ``furniture``, which always means the parametric furniture: a folder of that
        name is ``./furniture``, or a `pathlib.Path`.
    classes : sequence of str, optional
        Only these, each of which is in at least one of the sources. Blanks around a name do not count.
    count : int
        Furniture: how many of each class.
    limit : int, optional
        At most so many models of each class and split, over all sources; all turned copies of a model count as one.
    rotations : int
        ModelNet's volumes: how many of the 12 azimuths to take.
    test_share : float
        The part of each class, from 0 to below 1, that becomes the test split where the source names none: rounded
        down, but at least one shape where a class has two or more and the share is above 0.
    up, front : {"x", "-x", "y", "-y", "z", "-z"}, optional
        Where up and front of the shapes point, in the coordinates of their files: for all files of these sources.
        By default as is known of the source; of a plain folder z and −y, and with ``up="y"`` y and z. A GLB file
        is y-up by its standard whatever is said here; its front may be named in its own axes or in those of z up,
        as programs show it that turn it on reading: −y there is z here.
    labels : path, optional
        A CSV file that says which files of a plain folder to take, and of which class they are: columns ``file``
        (path below the folder, or from where the CSV lies), ``class`` and, where wanted, ``split``. The first line
        names the columns; others than these are not looked at. Files that it does not name are left out.

    Raises
    ------
    StorageError
        If the source does not exist, or cannot be read.
    DatasetError
        If it holds no shape, or not the classes asked for; or the labels do not fit it.
    UsageError
        If there is no such furniture, or `up` and `front` are no two axes.
    """
    check_axes(up, front)
    sources = [source] if isinstance(source, str | Path) else list(source)
    if labels is not None and (len(sources) != 1 or (isinstance(sources[0], str) and sources[0] in _words())):
        raise UsageError(f"labels {labels} with {', '.join(map(str, sources))}; expected one folder of files with them")
    options = Options(count, rotations, test_share, up, front, None if labels is None else Path(labels))
    items = [item for one in sources for item in _items_of(one, options)]
    if classes is not None:
        wanted = [name.strip() for name in classes]
        _check_classes(wanted, {item.class_name for item in items}, sources)
        items = [item for item in items if item.class_name in wanted]
    if limit is not None:
        items = _limited(items, limit)
    return _named_apart(items)


def _words() -> dict[str, ModuleType]:
    """Return the sources that a word stands for."""
    modules = [find(name) for name in names()]
    return {module.WORD: module for module in modules if hasattr(module, "WORD")}


def _items_of(source: str | Path, options: Options) -> list[Item]:
    words = _words()
    if isinstance(source, str) and source in words:
        return list(words[source].find(source, options))
    root = Path(source)
    try:
        exists = root.exists()
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {root}: {getattr(error, 'strerror', None) or error}") from error
    if not exists:
        known = ", ".join(f"the word {word}" for word in words)
        raise StorageError(f"no such folder or file: {root}; expected meshes, volumes, a data set's folder, or {known}")
    asked = names() if options.labels is None and root.is_dir() else (_LAST,)
    found = (find(name).find(root, options) for name in asked)
    return list(next(items for items in found if items is not None))  # the last one takes or refuses everything


def _check_classes(wanted: Sequence[str], known: set[str], sources: Sequence[str | Path]) -> None:
    for name in wanted:
        if name not in known and list(sources) == ["furniture"]:
            raise UsageError(f"no furniture class {name!r}; {nearest(name, known)}")
        if name not in known:
            raise DatasetError(f"{', '.join(map(str, sources))}: no class {name!r}; {nearest(name, known)}")


def _limited(items: list[Item], limit: int) -> list[Item]:
    seen: dict[tuple[str, str], dict[str, None]] = {}
    kept = []
    for number, item in enumerate(items):
        models = seen.setdefault((item.class_name, item.split), {})
        model = item.model or f"/{number}"
        if len(models) < limit:
            models[model] = None
        if model in models:
            kept.append(item)
    return kept


def _named_apart(items: list[Item]) -> list[Item]:
    """Number the names that came before."""
    used: set[str] = set()
    numbers: dict[str, int] = {}  # the last one tried, so that many equal names do not take quadratic time
    apart = []
    for item in items:
        name = item.name
        if name in used:
            number = numbers.get(name, 1)
            while name in used:
                number += 1
                name = f"{item.name} ({number})"
            numbers[item.name] = number
        used.add(name)
        apart.append(item if name == item.name else replace(item, name=name))
    return apart
