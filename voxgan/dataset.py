"""The HDF5 data set: its schema and its only reader; `voxgan.dataset_writer` is its only writer.

===============  ==========================  ============================================================
name             type and shape              content
===============  ==========================  ============================================================
attributes                                   ``format`` ("voxgan-dataset"), ``version`` (2), ``resolution``,
                                             ``mode`` ("solid", "surface" or "sdf"), ``classes`` (JSON list),
                                             ``num_views``, ``image_size``, ``writer``
occupancy        uint8 (N, R³/8)             packed bits of the grid in the order x, y, z
distance         int8 (N, R, R, R)           mode "sdf" only: signed distance to the surface in sixteenths of a
                                             cell, negative inside, cut at ±127 (8 cells)
label            int16 (N,)                  class, as an index into ``classes``
split            uint8 (N,)                  0 train, 1 test
name, source     str (N,)                    the shape's name; the file or recipe that it comes from
source_sha256    uint8 (N, 32)               of the file's bytes, or of the recipe's text
transform        float64 (N, 3, 4)           A: a point (x, y, z, 1) of the unit cube stands at A·(x, y, z, 1) in the
                                             source's own units and axes
views            uint8 (N, V, S, S, 4)       optional: rendered views, RGBA, straight alpha
cameras          float32 (N, V, 7)           azimuth, elevation, distance, field of view, roll, shift x, shift y; NaN
                                             where a photo's camera is unknown
backgrounds      uint8 (K, S, S, 3)          optional: pictures to lay behind the views
aside_source,    str (M,)                    optional: what was set aside while the data set was prepared, and why
aside_reason
===============  ==========================  ============================================================

One shape (or one view) is a chunk, gzip-compressed and guarded by Fletcher's checksum, so that any of 50,000 shapes
is read alone and none needs to be in memory. Text has a fixed length: HDF5 keeps text of variable length in a heap
without a checksum, where one wrong bit changes a name, or sends HDF5 into an endless loop.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from voxgan.errors import DatasetError, StorageError, nearest

__all__ = [
    "FORMAT",
    "MODES",
    "PARTS_SUFFIX",
    "SPLITS",
    "VERSION",
    "Dataset",
    "chunk_shape",
    "line_about",
    "pack",
    "unpack",
]

FORMAT = "voxgan-dataset"
VERSION = 2
SPLITS = ("train", "test")
MODES = ("solid", "surface", "sdf")
DISTANCE_STEPS = 16
"""Steps of a stored distance in one cell."""

PARTS_SUFFIX = ".parts"
"""What is added to a data set's name for the folder of what is prepared of it so far."""

_MAX_BYTES_PER_ITEM = 1 << 30
_MAX_TEXT = 1 << 16
_CHUNKS = {"occupancy": 1, "distance": 1, "transform": 256, "source_sha256": 256, "views": 1, "cameras": 64,
           "backgrounds": 1}  # fmt: skip
_CHUNK_OF_SCALARS = 1024
_LEAST = 16  # side that grids may be halved to


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


def halved(grids: NDArray[Any]) -> NDArray[np.uint8]:
    """Return grids (B, R, R, R) of 0 and 1 at half the resolution: 1 where at least two of eight cells are 1.

    So a leg one cell thick, or a board, is still there; what is thicker grows by half a cell at most.

    Examples
    --------
    >>> grid = np.zeros((1, 4, 4, 4), np.uint8)
    >>> grid[0, 1, 1, :] = 1  # a leg
    >>> halved(grid)[0, 0, 0].tolist(), int(halved(grid).sum())
    ([1, 1], 2)
    """
    pairs = grids[:, ::2] + grids[:, 1::2]
    pairs = pairs[:, :, ::2] + pairs[:, :, 1::2]
    eights = pairs[..., ::2] + pairs[..., 1::2]
    kept: NDArray[np.uint8] = (eights >= 2).astype(np.uint8)
    return kept


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
    resolution : int, optional
        Read grids at this resolution: the file's, or that `halved` once or more, from 16 up.

    Attributes
    ----------
    resolution, num_views, image_size : int
        As in the schema; `resolution` is that of the grids that are read.
    stored_resolution : int
        That of the grids in the file.
    classes : list of str
        All classes of the file.
    labels, splits : array, (N,)
        Class of each selected shape, as an index into `classes`; its split, as an index into `SPLITS`.
    mode : {"solid", "surface", "sdf"}
        What a cell holds.

    Raises
    ------
    DatasetError
        If the file is no voxgan data set, of another version, damaged, or the selection is empty or unknown.
    StorageError
        If it cannot be opened.
    """

    resolution: int
    _labels: NDArray[Any]
    _splits: NDArray[Any]

    def __init__(
        self,
        path: str | Path,
        split: str = "train",
        classes: Sequence[str] | None = None,
        in_memory: bool = False,
        resolution: int | None = None,
    ) -> None:
        self.path = Path(path)
        if split not in (*SPLITS, "all"):
            raise DatasetError(f"unknown split {split!r}; {nearest(split, (*SPLITS, 'all'))}")
        self._file = _open(self.path)
        self._found: dict[str, h5py.Dataset] = {}
        try:
            self._read_header()
            self._select(split, classes)
            self._halvings = self._halve_to(self.resolution if resolution is None else resolution)
            self._packed: NDArray[np.uint8] | None = None
            if in_memory:
                self._packed = self.packed(np.arange(len(self.rows)))
        except DatasetError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise DatasetError(f"{path}: damaged ({error}); prepare it again with  voxgan prepare") from error

    def _select(self, split: str, classes: Sequence[str] | None) -> None:
        """Find the rows of a split and of some classes."""
        path = self.path
        for name in classes or ():
            if name not in self.classes:
                raise DatasetError(f"{path}: has no class {name!r}; {nearest(name, self.classes)}")
        keep = np.ones(len(self._labels), bool) if split == "all" else self._splits == SPLITS.index(split)
        if classes is not None:
            keep &= np.isin(self._labels, [self.classes.index(name) for name in classes])
        self.rows = np.flatnonzero(keep)
        if not len(self.rows) and (split != "all" or classes):
            which = f" of the classes {', '.join(classes)}" if classes else ""
            raise DatasetError(f"{path}: has no shapes{which} in the split {split!r}; it holds {self.summary()}")
        self.labels = self._labels[self.rows].astype(np.int64)
        self.splits = self._splits[self.rows]

    def _halve_to(self, resolution: int) -> int:
        """Return how often grids are to be halved, or refuse a resolution that they cannot have."""
        stored = side = self.resolution
        halvings = 0
        while side > max(resolution, _LEAST) and side % 4 == 0:
            side, halvings = side // 2, halvings + 1
        if side != resolution:
            raise DatasetError(
                f"{self.path}: its grids are {stored}³, {resolution}³ was asked for; they can be read as they are or "
                f"halved down to {_LEAST}³, others need  voxgan prepare --resolution {resolution}"
            )
        self.resolution, self.stored_resolution = side, stored
        return halvings

    def _read_header(self) -> None:
        if self._text("format") != FORMAT:
            raise DatasetError(
                f"{self.path}: an HDF5 file, but no voxgan data set; "
                f"make one with  voxgan prepare FOLDER {self.path.name}"
            )
        version = self._number("version")
        if version != VERSION:
            raise DatasetError(f"{self.path}: schema version {version}, this voxgan reads {VERSION}; prepare it again")
        self.resolution = self._number("resolution")
        self.num_views = self._number("num_views")
        self.image_size = self._number("image_size")
        sizes = 2 <= self.resolution <= 512 and self.resolution % 2 == 0
        if not sizes or not 0 <= self.num_views <= 4096 or not 0 <= self.image_size <= 4096:
            raise DatasetError(f"{self.path}: impossible sizes in its header; the file is damaged")
        classes = json.loads(self._text("classes"))
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise DatasetError(f"{self.path}: its classes are no list of names; the file is damaged")
        self.classes: list[str] = classes
        count = int(self._stored("occupancy").shape[0])
        expected: dict[str, tuple[tuple[int, ...], str]] = {
            "occupancy": ((count, self.resolution**3 // 8), "uint8"),
            "label": ((count,), "int16"),
            "split": ((count,), "uint8"),
            "name": ((count,), "text"),
            "source": ((count,), "text"),
            "source_sha256": ((count, 32), "uint8"),
            "transform": ((count, 3, 4), "float64"),
        }
        self.mode = self._text("mode")
        if self.mode not in MODES:
            raise DatasetError(f"{self.path}: mode {self.mode!r} in its header; {nearest(self.mode, MODES)}")
        if self.mode == "sdf":
            expected["distance"] = ((count, *(self.resolution,) * 3), "int8")
        if self.num_views:
            expected |= {
                "views": ((count, self.num_views, self.image_size, self.image_size, 4), "uint8"),
                "cameras": ((count, self.num_views, 7), "float32"),
            }
        for name, (shape, dtype) in expected.items():
            self._check(name, shape, dtype)
        self.num_backgrounds = 0
        if "backgrounds" in self._file:
            self.num_backgrounds = int(self._stored("backgrounds").shape[0])
            self._check("backgrounds", (self.num_backgrounds, self.image_size, self.image_size, 3), "uint8")
        self.num_aside = 0
        if "aside_source" in self._file:
            self.num_aside = int(self._stored("aside_source").shape[0])
            for name in ("aside_source", "aside_reason"):
                self._check(name, (self.num_aside,), "text")
        self._labels = self._file["label"][:]
        self._splits = self._file["split"][:]
        if count and (self._labels.min() < 0 or self._labels.max() >= len(self.classes) or self._splits.max() > 1):
            raise DatasetError(f"{self.path}: labels outside its {len(self.classes)} classes; the file is damaged")

    def _number(self, name: str) -> int:
        attribute = self._file.attrs.get_id(name)
        if attribute.shape != () or attribute.dtype.kind not in "iu":
            raise DatasetError(f"{self.path}: {name!r} in its header is no whole number; the file is damaged")
        return int(self._file.attrs[name])

    def _text(self, name: str) -> str:
        """Read a text of the header, where it has a fixed length; see the top of this file for why."""
        if name not in self._file.attrs:
            return ""
        attribute = self._file.attrs.get_id(name)
        if attribute.shape != () or attribute.dtype.kind != "S":
            raise DatasetError(f"{self.path}: {name!r} in its header is no text of fixed length; prepare it again")
        return bytes(self._file.attrs[name]).decode()

    def _stored(self, name: str) -> h5py.Dataset:
        """Return a column; refuse links, and external or virtual storage, before they are followed."""
        link = self._file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise DatasetError(f"{self.path}: {name!r} is {'missing' if link is None else 'a link'}; prepare it again")
        data = self._file[name]
        if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
            raise DatasetError(f"{self.path}: {name!r} is stored outside the file, which is refused; prepare it again")
        return data

    def _check(self, name: str, shape: tuple[int, ...], dtype: str) -> None:
        """Refuse wrong types and sizes, and rows that are declared but not there, before anything is allocated."""
        data = self._stored(name)
        short_text = data.dtype.kind == "S" and data.dtype.itemsize <= _MAX_TEXT
        if data.shape != shape or not (short_text if dtype == "text" else data.dtype == dtype):
            raise DatasetError(
                f"{self.path}: {name!r} is {data.dtype} {data.shape}, expected {dtype} {shape}; prepare it again"
            )
        if int(np.prod(shape[1:], dtype=np.int64)) > _MAX_BYTES_PER_ITEM:
            raise DatasetError(f"{self.path}: one row of {name!r} is over 1 GiB; the file is damaged")
        chunks = chunk_shape(name, shape)
        if data.chunks != chunks or not data.fletcher32:
            raise DatasetError(f"{self.path}: {name!r} is not stored in rows with checksums; prepare it again")
        declared = int(np.prod([-(-side // chunk) for side, chunk in zip(shape, chunks, strict=True)], dtype=np.int64))
        stored = data.id.get_num_chunks()
        if stored != declared:
            raise DatasetError(
                f"{self.path}: {name!r} declares {declared} pieces and holds {stored}; copy or prepare the file again"
            )

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
        """Return packed shapes (B, R³/8); ``benchmarks/dataset_read.py`` says how many a second."""
        if self._packed is not None:
            kept: NDArray[np.uint8] = self._packed[np.asarray(indices)]
            return kept
        stored = np.stack([self._row("occupancy", int(self.rows[i])) for i in indices])
        if not self._halvings:
            return stored
        grids = unpack(stored, self.resolution << self._halvings)
        for _ in range(self._halvings):
            grids = halved(grids)
        return pack(grids)

    def occupancy(self, indices: NDArray[np.int64] | Sequence[int]) -> NDArray[np.uint8]:
        """Return grids (B, R, R, R) of 0 and 1."""
        return unpack(self.packed(indices), self.resolution)

    def distance(self, indices: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float32]:
        """Return signed distances (B, R, R, R) in edges of the unit cube, negative inside (mode "sdf" only)."""
        if self._halvings:
            raise DatasetError(f"{self.path}: distances are read as they are stored; open it without a resolution")
        if self.mode != "sdf":
            raise DatasetError(f"{self.path}: holds no distances, its mode is {self.mode!r}; prepare it with mode=sdf")
        stored = np.stack([self._row("distance", int(self.rows[i])) for i in indices])
        cells = stored.astype(np.float32) / np.float32(DISTANCE_STEPS * self.resolution)
        return np.asarray(cells, np.float32)

    def views(self, indices: Sequence[int], which: Sequence[int]) -> NDArray[np.uint8]:
        """Return one view each, RGBA (B, S, S, 4); `which` numbers the view of each shape."""
        return np.stack([self._row("views", int(self.rows[i]), int(v)) for i, v in zip(indices, which, strict=True)])

    def backgrounds(self, which: Sequence[int]) -> NDArray[np.uint8]:
        """Return background pictures (B, S, S, 3)."""
        return np.stack([self._row("backgrounds", int(i)) for i in which])

    def names(self) -> list[str]:
        """Return the names of the selected shapes."""
        return self._texts("name", self.rows)

    def sources(self) -> list[str]:
        """Return the files or recipes that the selected shapes come from."""
        return self._texts("source", self.rows)

    def source_sha256(self) -> list[str]:
        """Return the SHA-256 of each selected shape's source, in hexadecimal."""
        return [bytes(row).hex() for row in self._column("source_sha256")[self.rows]]

    def transforms(self) -> NDArray[np.float64]:
        """Return the way back (N, 3, 4) from the unit cube to each source's own units and axes."""
        return np.asarray(self._column("transform")[self.rows])

    def cameras(self) -> NDArray[np.float32]:
        """Return the cameras (N, V, 7) of the views; see the schema for their order."""
        if not self.num_views:
            return np.zeros((len(self.rows), 0, 7), np.float32)
        return np.asarray(self._column("cameras")[self.rows])

    @property
    def of_photos(self) -> bool:
        """Whether the views are photos: pictures whose cameras nobody knows."""
        return bool(np.isnan(self.cameras()).any())

    def set_aside(self) -> list[tuple[str, str]]:
        """Return source and reason of what could not become a shape when the file was prepared."""
        if not self.num_aside:
            return []
        every = np.arange(self.num_aside)
        return list(zip(self._texts("aside_source", every), self._texts("aside_reason", every), strict=True))

    def _texts(self, name: str, rows: NDArray[np.int64]) -> list[str]:
        return [bytes(text).decode(errors="replace") for text in self._column(name)[rows]]

    def _column(self, name: str) -> NDArray[Any]:
        try:
            return np.asarray(self._file[name][:])
        except (OSError, RuntimeError) as error:
            raise DatasetError(f"{self.path}: {name!r} fails its checksum; copy or prepare the file again") from error

    def _opened(self, name: str) -> h5py.Dataset:
        """Return a column, looked up once: finding it takes longer than reading a row."""
        if name not in self._found:
            self._found[name] = self._file[name]
        return self._found[name]

    def _row(self, name: str, *index: int) -> NDArray[np.uint8]:
        try:
            return np.asarray(self._opened(name)[index])
        except (OSError, RuntimeError) as error:
            raise DatasetError(
                f"{self.path}: row {index[0]} of {name!r} fails its checksum; copy or prepare the file again"
            ) from error

    def fingerprint(self) -> str:
        """Return a hash of what is selected: resolution, classes, names and labels."""
        digest = hashlib.sha256(repr((self.resolution, self.num_views, self.classes, self.names())).encode())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()[:16]

    def reopened(self) -> Dataset:
        """Return the same selection of the same file, opened anew: HDF5 handles do not live on in a forked process."""
        data = Dataset(self.path, "all", resolution=self.resolution)
        data.rows, data.labels, data.splits = self.rows, self.labels, self.splits
        data._packed = self._packed
        return data

    def close(self) -> None:
        """Close the file."""
        self._found.clear()
        self._file.close()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def line_about(source: str, reason: str) -> str:
    """Return one line that names a file and what is wrong with it, the file once.

    Examples
    --------
    >>> line_about("a.obj", "it is empty"), line_about("a.obj", "the mesh a.obj is empty")
    ('a.obj: it is empty', 'the mesh a.obj is empty')
    """
    return reason if source in reason else f"{source}: {reason}"


def chunk_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the chunks in which a column of this shape is stored: whole rows; single pictures of the views."""
    item = (1, *shape[2:]) if name == "views" else shape[1:]
    return _CHUNKS.get(name, _CHUNK_OF_SCALARS), *item


def _open(path: Path) -> h5py.File:
    if not path.exists() and path.with_name(path.name + PARTS_SUFFIX).is_dir():
        raise DatasetError(f"{path}: its preparation is not finished; give its command again, and it goes on")
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
