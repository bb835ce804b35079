"""A folder of meshes and volumes, or one file of them; classes by folder, or from a CSV file."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.sources.item import Item, Loaded, Options, chosen_axes, load_mesh, load_volume, with_splits
from data_prep.sources.listing import files_below
from voxgan.errors import DatasetError, StorageError, UsageError
from voxgan.mesh import MESH_SUFFIXES, read_mesh
from voxgan.volumes import VOLUME_SUFFIXES

if TYPE_CHECKING:
    import trimesh

__all__ = ["find", "load", "read_own_mesh"]

_SUFFIXES = (*MESH_SUFFIXES, *VOLUME_SUFFIXES)
_SPLITS = {"train": "train", "test": "test", "val": "train", "valid": "train", "validation": "train", "": ""}
_GLB_UNTURNED = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # what `read_mesh` stood up → the file's own axes
_MAX_LABELS = 1 << 29


def find(source: Path, options: Options) -> list[Item]:
    """List the files; a folder without any is refused, as nothing else is left that it could be."""
    root = Path(source)
    if options.labels is not None:
        return with_splits(_labelled(root, options.labels, options), options.test_share)
    if not root.is_dir():
        if not root.name.lower().endswith(_SUFFIXES):
            raise DatasetError(f"{root}: no mesh or volume; expected a folder or one of {', '.join(_SUFFIXES)}")
        return with_splits([_item(root.name, root.parent, options)], options.test_share)
    items = [_item(path, root, options) for path in files_below(root) if path.lower().endswith(_SUFFIXES)]
    if not items:
        raise DatasetError(
            f"{root}: no shapes in it; expected files {' '.join(_SUFFIXES)}, "
            "or the folder of ModelNet, ShapeNet, 3D-R2N2 or IKEA as it was unpacked"
        )
    return with_splits(items, options.test_share)


def _item(path: str, root: Path, options: Options) -> Item:
    """Return the item of a file, `path` being relative to `root`; without a split where no folder names one."""
    *folders, _ = path.split("/")
    split, named = "", []
    for folder in folders:
        if folder.lower() in ("train", "test"):
            split = split or folder.lower()
        else:
            named.append(folder)
    class_name = sys.intern(named[0] if named else (root.name or "shape"))  # one text for all items of a class
    up, front = chosen_axes(options, path=path)
    return Item("folder", os.path.splitext(path)[0], class_name, split, os.path.join(root, path), up, front)  # noqa: PTH118, PTH122


# ------------------------------------------------------------------------------------------------- labels
def _labelled(root: Path, table: Path, options: Options) -> list[Item]:
    """Return the items of the files that a CSV file names."""
    if not root.is_dir():
        raise UsageError(f"labels {table} with the file {root}; expected a folder of files with them")
    here = set(files_below(root))
    items, wrong = [], []
    lines: dict[str, int] = {}
    for line, file, class_name, split in _rows(table):
        if split.lower() not in _SPLITS:
            raise DatasetError(f"{table}, line {line}: split {split!r}; expected train or test")
        if not class_name:
            raise DatasetError(f"{table}, line {line}: no class for {file!r}; fill the column 'class'")
        path = _found(file, root, here, table)
        if path is None:
            wrong.append(f"line {line}: {file!r}")
            continue
        if path in lines:
            raise DatasetError(f"{table}, line {line}: {file!r} was named in line {lines[path]} already; name it once")
        lines[path] = line
        up, front = chosen_axes(options, path=path)
        name = os.path.splitext(os.path.relpath(path, root).replace(os.sep, "/"))[0]  # noqa: PTH122
        items.append(Item("folder", name, class_name, _SPLITS[split.lower()], path, up, front))
    if wrong:
        more = f" and {len(wrong) - 1} more lines like it" if len(wrong) > 1 else ""
        raise DatasetError(f"{table}, {wrong[0]}{more}: no such mesh or volume in {root}; correct or drop the line")
    if not items:
        raise DatasetError(f"{table}: names no file; expected the columns file, class and, where wanted, split")
    return items


def _found(file: str, root: Path, here: set[str], table: Path) -> str | None:
    """Return the path of a file that the table names: below the folder, or from where the table lies."""
    path = os.path.normpath(file).replace(os.sep, "/")
    if "\0" in file or not path.lower().endswith(_SUFFIXES):
        return None
    if path in here:
        return os.path.join(root, path)  # noqa: PTH118
    if "\\" in file and os.sep != "\\":  # a table written on Windows
        return _found(file.replace("\\", "/"), root, here, table)
    other = os.path.normpath(os.path.join(root, file)), os.path.normpath(os.path.join(table.parent, file))  # noqa: PTH118
    return next((path for path in other if os.path.isfile(path)), None)  # noqa: PTH113


def _rows(table: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yield line, file, class and split of each row of a CSV file."""
    try:
        if table.stat().st_size > _MAX_LABELS:
            raise DatasetError(f"{table}: over {_MAX_LABELS >> 20} MB; expected a table of files and classes")
        text = table.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{table}: not UTF-8 text ({error.reason}); save it as CSV in UTF-8") from error
    except (OSError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise StorageError(f"cannot read {table}: {getattr(error, 'strerror', None) or error}") from error
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        for name in ("file", "class"):
            if name not in header:
                came = ", ".join(header)[:80] or "nothing"
                raise DatasetError(f"{table}, line 1: no column {name!r} among {came}; expected file, class, split")
        columns = [header.index(name) if name in header else None for name in ("file", "class", "split")]
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            file, class_name, split = (
                row[column].strip() if column is not None and column < len(row) else "" for column in columns
            )
            yield reader.line_num, file, class_name, split
    except csv.Error as error:
        raise DatasetError(f"{table}, line {reader.line_num}: {error}; save it as CSV again") from error


# ------------------------------------------------------------------------------------------------ loading
def load(item: Item, resolution: int, mode: str, views: int) -> Loaded:
    """Read the file; it has no pictures of its own."""
    if item.source.lower().endswith(VOLUME_SUFFIXES):
        return load_volume(item.source, item, resolution, mode)
    return load_mesh(read_own_mesh(item.source), item, resolution, mode)


def read_own_mesh(path: str) -> trimesh.Trimesh:
    """Read a mesh in the file's own axes, also where `read_mesh` stands it up."""
    mesh = read_mesh(path)
    if path.lower().endswith(".glb"):
        mesh.vertices = np.asarray(mesh.vertices) @ _GLB_UNTURNED.T
    return mesh
