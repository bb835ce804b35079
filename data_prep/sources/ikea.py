"""IKEA: photos of furniture, each with the volume of the model that it shows (20³), for validation only.

``manifest.csv`` (image, class, model_id, voxel_row), ``images/`` and ``voxels_20.h5`` lie in one folder. Every pair is
of the split ``test``: the set is small and was made for judging. A photo is the shape's own picture; where it was
taken from is not known.

Axis 0 of a stored volume points up, axis 1 to the right of who looks at the front, and axis 2 towards him. These are
left-handed: read in the order of the axes, a shape is its own mirror image. The desk that is joined to a shelf shows
it, which stands at the right end of the shelf on all five photos.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.sources.item import Item, Loaded, Options, chosen_axes, load_grid
from data_prep.sources.pictures import read_picture
from voxgan.errors import DatasetError, InputError, StorageError

__all__ = ["FRONTS", "find", "load"]

FRONTS = {"29": "-x", "30": "-x", "34": "-x", "67": "x", "72": "y", "122": "x", "163": "-x", "170": "-x"}
"""Where the front of a model points that does not face −y, found by looking at the volumes beside the photos.

A shelf faces where it is open, a sofa or a stool away from its higher side; the longer side of a table runs along x.
Model 73, a swivel chair, is turned by about 30° and left so.
"""

_MANIFEST = "manifest.csv"
_VOLUMES = "voxels_20.h5"
_IMAGES = "images"
_SIDE = 20
_MOST_ROWS = 100_000
"""Rows of a file of volumes beyond which it is refused."""


def find(source: Path, options: Options) -> list[Item] | None:
    """List the pairs of the manifest."""
    root = Path(source)
    manifest, volumes = root / _MANIFEST, root / _VOLUMES
    if not (manifest.is_file() and volumes.is_file()):
        return None
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            needed = ("image", "class", "model_id", "voxel_row")
            if missing := [name for name in needed if name not in (reader.fieldnames or ())]:
                raise DatasetError(f"{manifest}, line 1: no column {missing[0]!r}; expected {', '.join(needed)}")
            items = []
            for row in reader:
                image, class_name, model, number = ((row[name] or "").strip() for name in needed)
                if not image or not class_name or Path(image).name != image:
                    raise DatasetError(
                        f"{manifest}, line {reader.line_num}: expected the name of an image, and a class"
                    )
                up, front = chosen_axes(options, front=FRONTS.get(model, "-y"))
                place = f"{volumes}#{number}:{model}"
                photo = str(root / _IMAGES / image)
                items.append(Item("ikea", Path(image).stem, class_name, "test", place, up, front, photo))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{manifest}: no CSV in UTF-8 ({error}); copy it again") from error
    except OSError as error:
        raise StorageError(f"cannot read {manifest}: {error.strerror or error}") from error
    if not items:
        raise DatasetError(f"{manifest}: names no image; copy it again")
    return items


def load(item: Item, resolution: int, mode: str, views: int) -> Loaded:
    """Read the volume of a pair, and its photo."""
    loaded = load_grid(_volume(item.source), item, resolution, mode)
    right, back, up = loaded.transform
    loaded = replace(loaded, transform=np.stack([up, right, np.array([0.0, 0, 0, _SIDE]) - back]))  # of the stored axes
    if not views:
        return loaded
    pictures = read_picture(item.pictures)[None]
    return replace(loaded, pictures=pictures, cameras=np.full((1, 7), np.nan, np.float32))


def _volume(place: str) -> NDArray[np.bool_]:
    """Return one volume (20, 20, 20), x to the right, −y to the front, z up, not yet turned."""
    path, _, which = place.rpartition("#")
    number, _, model = which.partition(":")
    import h5py

    try:
        row = int(number)
    except ValueError as error:
        raise InputError(f"{path}: row {number!r} in {_MANIFEST}; expected the number of a volume") from error
    try:
        with h5py.File(path, "r") as file:
            volumes = _checked(file, path, "voxels", "uint8", (_SIDE**3 // 8,))
            models = _checked(file, path, "model_id", "int64", ())
            if not 0 <= row < min(len(volumes), len(models)):
                raise InputError(f"{path}: no row {row} among {len(volumes)}; the manifest is of another file")
            if str(int(models[row])) != model:
                raise InputError(f"{path}: row {row} is of model {int(models[row])}, the manifest says {model}")
            bits = np.asarray(volumes[row])
    except InputError:
        raise
    except FileNotFoundError as error:
        raise StorageError(f"cannot read {path}: no such file") from error
    except Exception as error:
        raise InputError(f"{path}: not a readable file of volumes ({error}); copy it again") from error
    grid = np.unpackbits(bits, count=_SIDE**3).reshape((_SIDE,) * 3) > 0
    return grid.transpose(1, 2, 0)[:, ::-1]


def _checked(file: Any, path: str, name: str, dtype: str, row: tuple[int, ...]) -> Any:
    """Return a data set of the file, its kind, size and storage checked before anything is read."""
    import h5py

    link = file.get(name, getlink=True)
    data = file[name] if isinstance(link, h5py.HardLink) else None
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise InputError(f"{path}: {name!r} is missing, or stored elsewhere; copy it again")
    if data.dtype != dtype or data.ndim != 1 + len(row) or data.shape[1:] != row or len(data) > _MOST_ROWS:
        raise InputError(f"{path}: {name!r} is {data.dtype} {data.shape}; expected {dtype} {('N', *row)}")
    if data.chunks is not None and np.prod(data.chunks, dtype=np.int64) > len(data) * max(1, int(np.prod(row))) + 4096:
        raise InputError(f"{path}: {name!r} is stored in pieces of {data.chunks}; copy it again")
    return data
