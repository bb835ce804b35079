"""The HDF5 data set: its schema, its only reader and its only writer.

==============  ==========================  =============================================================
name            type and shape              content
==============  ==========================  =============================================================
attributes                                  ``format`` ("voxgan-dataset"), ``version`` (1), ``resolution``,
                                            ``classes`` (JSON list), ``num_views``, ``image_size``, ``writer``
occupancy       uint8 (N, R³/8)             packed bits of the grid in the order x, y, z
label           int16 (N,)                  class, as an index into ``classes``
split           uint8 (N,)                  0 train, 1 test
name, source    str (N,)                    the shape's name; the file or recipe that it comes from
transform       float64 (N, 4)              scale, and centre x y z, back to the source's own units
views           uint8 (N, V, S, S, 4)       optional: rendered views, RGBA, straight alpha
cameras         float32 (N, V, 7)           azimuth, elevation, distance, field of view, roll, shift x, shift y
backgrounds     uint8 (K, S, S, 3)          optional: pictures to lay behind the views
==============  ==========================  =============================================================

One shape (or one view) is a chunk, gzip-compressed and guarded by Fletcher's checksum, so that any of 50,000 shapes
is read alone and none needs to be in memory.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from voxgan.errors import DatasetError, StorageError, nearest
from voxgan.files import atomic_write

__all__ = ["FORMAT", "SPLITS", "Dataset", "Writer", "pack", "unpack"]

FORMAT = "voxgan-dataset"
VERSION = 1
SPLITS = ("train", "test")
_MAX_BYTES_PER_ITEM = 1 << 30
_FILTERS: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "fletcher32": True}


def pack(occupancy: NDArray[Any]) -> NDArray[np.uint8]:
    """Pack grids (B, R, R, R) of 0 and 1 into bits, (B, R³/8)."""
    grid = np.asarray(occupancy) > 0.5
    return np.packbits(grid.reshape(len(grid), -1), axis=-1)


def unpack(packed: NDArray[np.uint8], resolution: int) -> NDArray[np.uint8]:
    """Undo `pack`: bits (B, R³/8) to grids (B, R, R, R) of 0 and 1.

    Examples
    --------
    >>> grid = np.random.default_rng(0).random((2, 16, 16, 16)) < 0.5
    >>> bool((unpack(pack(grid), 16) == grid).all())
    True
    """
    return np.unpackbits(packed, axis=-1).reshape(-1, resolution, resolution, resolution)


class Writer:
    """Writes a data set, whole or not at all; use it through `Writer.create`."""

    def __init__(self, file: h5py.File, resolution: int, classes: Sequence[str], num_views: int, size: int) -> None:
        self._file = file
        self._classes = list(classes)
        self.num_views = num_views
        self.count = 0
        file.attrs["format"] = FORMAT
        file.attrs["version"] = VERSION
        file.attrs["resolution"] = resolution
        file.attrs["classes"] = json.dumps(self._classes)
        file.attrs["num_views"] = num_views
        file.attrs["image_size"] = size if num_views else 0
        file.attrs["writer"] = "voxgan"
        bits = resolution**3 // 8
        text = h5py.string_dtype()
        self._columns: dict[str, h5py.Dataset] = {
            "occupancy": self._column("occupancy", (bits,), np.uint8, 1),
            "label": self._column("label", (), np.int16, 1024),
            "split": self._column("split", (), np.uint8, 1024),
            "name": file.create_dataset("name", (0,), text, maxshape=(None,), chunks=(1024,)),
            "source": file.create_dataset("source", (0,), text, maxshape=(None,), chunks=(1024,)),
            "transform": self._column("transform", (4,), np.float64, 256),
        }
        if num_views:
            shape = (num_views, size, size, 4)
            self._columns["views"] = file.create_dataset(
                "views", (0, *shape), np.uint8, maxshape=(None, *shape), chunks=(1, 1, *shape[1:]), **_FILTERS
            )
            self._columns["cameras"] = self._column("cameras", (num_views, 7), np.float32, 64)

    def _column(self, name: str, item: tuple[int, ...], dtype: Any, chunk: int) -> h5py.Dataset:
        return self._file.create_dataset(
            name, (0, *item), dtype, maxshape=(None, *item), chunks=(chunk, *item), **_FILTERS
        )

    @classmethod
    @contextlib.contextmanager
    def create(
        cls, path: str | Path, resolution: int, classes: Sequence[str], num_views: int = 0, size: int = 256
    ) -> Iterator[Writer]:
        """Open a writer on a temporary file that takes the place of `path` when the block ends well."""
        with atomic_write(path) as partial, h5py.File(partial, "w", libver="latest") as file:
            yield cls(file, resolution, classes, num_views, size)

    def add(
        self,
        occupancy: NDArray[Any],
        class_name: str,
        split: str,
        name: str,
        source: str = "",
        scale: float = 1.0,
        centre: Sequence[float] = (0.0, 0.0, 0.0),
        views: NDArray[np.uint8] | None = None,
        cameras: NDArray[np.float32] | None = None,
    ) -> None:
        """Append one shape (R, R, R) with its views (V, S, S, 4) and cameras (V, 7)."""
        row: dict[str, Any] = {
            "occupancy": pack(occupancy[None])[0],
            "label": self._classes.index(class_name),
            "split": SPLITS.index(split),
            "name": name,
            "source": source,
            "transform": [scale, *centre],
        }
        if self.num_views:
            row |= {"views": views, "cameras": cameras}
        for key, column in self._columns.items():
            column.resize(self.count + 1, axis=0)
            column[self.count] = row[key]
        self.count += 1

    def add_backgrounds(self, pictures: NDArray[np.uint8]) -> None:
        """Store pictures (K, S, S, 3) to lay behind the views."""
        self._file.create_dataset("backgrounds", data=pictures, chunks=(1, *pictures.shape[1:]), **_FILTERS)


class Dataset:
    """One split of a data set file, read row by row.

    Parameters
    ----------
    path : path
        The HDF5 file.
    split : {"train", "test", "all"}
        Which part.
    classes : sequence of str, optional
        Only these classes.
    in_memory : bool
        Keep the packed shapes (not the views) in memory: 32 kB a shape at 64³.

    Attributes
    ----------
    resolution, num_views, image_size : int
        As in the schema.
    classes : list of str
        All classes of the file.
    labels : array, (N,)
        Class of each selected shape.

    Raises
    ------
    DatasetError
        If the file is no voxgan data set, of another version, damaged, or the selection is empty or unknown.
    StorageError
        If it cannot be opened.
    """

    def __init__(
        self,
        path: str | Path,
        split: str = "train",
        classes: Sequence[str] | None = None,
        in_memory: bool = False,
    ) -> None:
        self.path = Path(path)
        if split not in (*SPLITS, "all"):
            raise DatasetError(f"unknown split {split!r}; {nearest(split, (*SPLITS, 'all'))}")
        self._file = _open(self.path)
        try:
            self._read_header()
        except DatasetError:
            raise
        except Exception as error:
            raise DatasetError(f"{path}: damaged ({error}); prepare it again with  voxgan prepare") from error
        for name in classes or ():
            if name not in self.classes:
                raise DatasetError(f"{path}: has no class {name!r}; {nearest(name, self.classes)}")
        keep = np.ones(len(self._labels), bool) if split == "all" else self._splits == SPLITS.index(split)
        if classes is not None:
            keep &= np.isin(self._labels, [self.classes.index(name) for name in classes])
        self.rows = np.flatnonzero(keep)
        if not len(self.rows):
            which = f" of the classes {', '.join(classes)}" if classes else ""
            raise DatasetError(f"{path}: has no shapes{which} in the split {split!r}; it holds {self.summary()}")
        self.labels = self._labels[self.rows].astype(np.int64)
        self._packed: NDArray[np.uint8] | None = None
        if in_memory:
            self._packed = self.packed(np.arange(len(self.rows)))

    def _read_header(self) -> None:
        attrs = self._file.attrs
        kind = attrs.get("format")
        if kind != FORMAT:
            raise DatasetError(
                f"{self.path}: an HDF5 file, but no voxgan data set; "
                f"make one with  voxgan prepare FOLDER {self.path.name}"
            )
        if int(attrs["version"]) != VERSION:
            raise DatasetError(
                f"{self.path}: schema version {attrs['version']}, this voxgan reads {VERSION}; prepare it again"
            )
        self.resolution = int(attrs["resolution"])
        self.num_views = int(attrs["num_views"])
        self.image_size = int(attrs["image_size"])
        self.classes: list[str] = [str(name) for name in json.loads(str(attrs["classes"]))]
        if not 2 <= self.resolution <= 512 or not 0 <= self.num_views <= 4096 or not 0 <= self.image_size <= 4096:
            raise DatasetError(f"{self.path}: impossible sizes in its header; the file is damaged")
        count = int(self._file["label"].shape[0])
        size = (self.num_views, self.image_size, self.image_size, 4)
        expected: dict[str, tuple[tuple[int, ...], str]] = {
            "occupancy": ((count, self.resolution**3 // 8), "uint8"),
            "label": ((count,), "int16"),
            "split": ((count,), "uint8"),
            "transform": ((count, 4), "float64"),
        }
        if self.num_views:
            expected |= {
                "views": ((count, *size), "uint8"),
                "cameras": ((count, self.num_views, 7), "float32"),
            }
        for name, (shape, dtype) in expected.items():
            self._check(name, shape, dtype)
        self.num_backgrounds = 0
        if "backgrounds" in self._file:
            self.num_backgrounds = int(self._file["backgrounds"].shape[0])
            self._check("backgrounds", (self.num_backgrounds, self.image_size, self.image_size, 3), "uint8")
        self._labels = self._file["label"][:]
        self._splits = self._file["split"][:]
        if count and (self._labels.min() < 0 or self._labels.max() >= len(self.classes) or self._splits.max() > 1):
            raise DatasetError(f"{self.path}: labels outside its {len(self.classes)} classes; the file is damaged")

    def _check(self, name: str, shape: tuple[int, ...], dtype: str) -> None:
        """Refuse links, external or virtual storage, and wrong sizes, before anything is allocated."""
        link = self._file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise DatasetError(f"{self.path}: {name!r} is {'missing' if link is None else 'a link'}; prepare it again")
        data = self._file[name]
        if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
            raise DatasetError(f"{self.path}: {name!r} is stored outside the file, which is refused; prepare it again")
        if data.shape != shape or data.dtype != dtype:
            raise DatasetError(
                f"{self.path}: {name!r} is {data.dtype} {data.shape}, expected {dtype} {shape}; prepare it again"
            )
        if int(np.prod(shape[1:], dtype=np.int64)) > _MAX_BYTES_PER_ITEM:
            raise DatasetError(f"{self.path}: one row of {name!r} is over 1 GiB; the file is damaged")

    def summary(self) -> dict[str, dict[str, int]]:
        """Return the number of shapes of each class in each split, over the whole file."""
        return {
            name: {
                split: int(((self._labels == i) & (self._splits == s)).sum())
                for s, split in enumerate(SPLITS)
            }
            for i, name in enumerate(self.classes)
        }  # fmt: skip

    def __len__(self) -> int:
        return len(self.rows)

    def packed(self, indices: NDArray[np.int64] | Sequence[int]) -> NDArray[np.uint8]:
        """Return packed shapes (B, R³/8)."""
        if self._packed is not None:
            kept: NDArray[np.uint8] = self._packed[np.asarray(indices)]
            return kept
        return np.stack([self._row("occupancy", int(self.rows[i])) for i in indices])

    def occupancy(self, indices: NDArray[np.int64] | Sequence[int]) -> NDArray[np.uint8]:
        """Return grids (B, R, R, R) of 0 and 1."""
        return unpack(self.packed(indices), self.resolution)

    def views(self, indices: Sequence[int], which: Sequence[int]) -> NDArray[np.uint8]:
        """Return one view each, RGBA (B, S, S, 4); `which` numbers the view of each shape."""
        return np.stack([self._row("views", int(self.rows[i]), int(v)) for i, v in zip(indices, which, strict=True)])

    def backgrounds(self, which: Sequence[int]) -> NDArray[np.uint8]:
        """Return background pictures (B, S, S, 3)."""
        return np.stack([self._row("backgrounds", int(i)) for i in which])

    def names(self) -> list[str]:
        """Return the names of the selected shapes."""
        return [name.decode() for name in self._file["name"][:][self.rows]]

    def transforms(self) -> NDArray[np.float64]:
        """Return scale and centre (N, 4) of the selected shapes."""
        return np.asarray(self._file["transform"][:][self.rows])

    def _row(self, name: str, *index: int) -> NDArray[np.uint8]:
        try:
            return np.asarray(self._file[name][index])
        except (OSError, RuntimeError) as error:
            raise DatasetError(
                f"{self.path}: row {index[0]} of {name!r} fails its checksum; copy or prepare the file again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(path: Path) -> h5py.File:
    if not path.exists():
        raise StorageError(f"no data set at {path}; make one with  voxgan prepare FOLDER {path.name}")
    if path.is_dir():
        raise DatasetError(f"{path}: a folder; first make a data set of it with  voxgan prepare {path} shapes.h5")
    try:
        return h5py.File(path, "r", libver="latest")
    except PermissionError as error:
        raise StorageError(f"cannot read {path}: permission denied") from error
    except OSError as error:
        raise DatasetError(f"{path}: not a readable HDF5 file; make one with  voxgan prepare") from error
