"""Writing the HDF5 data set (`voxgan.dataset` has the schema): rows made anywhere, one writer, whole or not at all.

A `Row` holds its grids and pictures as finished chunks, compressed where the row was made; writing it is copying.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from voxgan.dataset import DISTANCE_STEPS, FORMAT, MODES, SPLITS, VERSION, chunk_shape, pack, unpack
from voxgan.errors import UsageError, nearest
from voxgan.files import atomic_write

__all__ = ["Row", "Writer", "decode", "encode"]

_FILTERS: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "fletcher32": True}
_CHECKSUM = 4  # bytes behind a chunk
_BLOCK = 1024  # rows whose small columns are written together
_MAX_TEXT = 1 << 16
_MAX_REASON = 1000  # characters
_CHUNKED = ("occupancy", "distance", "views")
_HOME = np.eye(3, 4)


@dataclass(frozen=True)
class Row:
    """One shape, ready to be written.

    Attributes
    ----------
    class_name, split, name, source : str
        As in the schema.
    source_sha256 : bytes
        32 of them.
    transform : array, (3, 4)
        From the unit cube to the source's own units and axes.
    chunks : mapping of str to tuple of bytes
        Compressed chunks of ``occupancy`` (one), ``distance`` (one) and ``views`` (V), as HDF5 stores them.
    cameras : array, (V, 7), optional
        Of the views.
    """

    class_name: str
    split: str
    name: str
    source: str
    source_sha256: bytes
    transform: NDArray[np.float64]
    chunks: Mapping[str, tuple[bytes, ...]]
    cameras: NDArray[np.float32] | None = None


def encode(
    occupancy: NDArray[Any],
    class_name: str,
    split: str,
    name: str,
    source: str = "",
    source_sha256: bytes = bytes(32),
    transform: NDArray[np.float64] = _HOME,
    distance: NDArray[Any] | None = None,
    views: NDArray[np.uint8] | None = None,
    cameras: NDArray[np.float32] | None = None,
) -> Row:
    """Compress one shape.

    Parameters
    ----------
    occupancy : array, (R, R, R)
        Of 0 and 1.
    distance : array, (R, R, R), optional
        Signed distance in edges of the unit cube, negative inside.
    views : array, (V, S, S, 4), optional
        Pictures, and `cameras` (V, 7).

    The others stand in the schema; see `Row`.
    """
    grids: dict[str, NDArray[Any]] = {"occupancy": pack(np.asarray(occupancy)[None])}
    if distance is not None:
        steps = np.asarray(distance, np.float32) * (DISTANCE_STEPS * len(occupancy))
        grids["distance"] = np.clip(np.rint(steps), -127, 127).astype(np.int8)[None]
    if views is not None:
        grids["views"] = np.asarray(views, np.uint8)[None]
    chunks = {}
    # HDF5 itself makes the chunks, in memory: its filters and its checksum, not an imitation of them.
    with h5py.File("row", "w", driver="core", backing_store=False, libver="latest") as file:
        for key, grid in grids.items():
            column = file.create_dataset(key, data=grid, chunks=chunk_shape(key, grid.shape), **_FILTERS)
            file.flush()
            starts = [(0, i, 0, 0, 0) for i in range(grid.shape[1])] if key == "views" else [(0,) * grid.ndim]
            chunks[key] = tuple(bytes(column.id.read_direct_chunk(start)[1]) for start in starts)
    return Row(class_name, split, name, source, source_sha256, np.asarray(transform, np.float64), chunks, cameras)


def decode(row: Row, resolution: int) -> NDArray[np.uint8]:
    """Return the grid (R, R, R) of a row that was just encoded."""
    stored = row.chunks["occupancy"][0]
    packed = np.frombuffer(zlib.decompress(stored[:-_CHECKSUM]), np.uint8)
    grid: NDArray[np.uint8] = unpack(packed[None], resolution)[0]
    return grid


class _Stored:
    """A file for HDF5 on which writing never fails: on a full disk HDF5 could not close it, and would crash.

    The first error is kept, nothing is written from then on, and `check` raises it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise what went wrong."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of it, if nothing has gone wrong yet."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while self._error is None and len(rest):
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        return size

    def truncate(self, size: int) -> int:
        """Cut or lengthen the file, if nothing has gone wrong yet."""
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        return size

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """Read so many bytes; what was not written is zero."""
        return self._file.read(size).ljust(size, b"\0")

    def flush(self) -> None:
        """Do nothing: `atomic_write` syncs."""


class Writer:
    """Writes a data set, whole or not at all; use it through `Writer.create`."""

    def __init__(
        self,
        file: h5py.File,
        resolution: int,
        classes: Sequence[str],
        num_views: int,
        size: int,
        mode: str,
        check: Callable[[], None],
    ) -> None:
        if mode not in MODES:
            raise UsageError(f"mode {mode!r}; {nearest(mode, MODES)}")
        self._file = file
        self._check = check
        self._label = {name: i for i, name in enumerate(classes)}
        self.num_views = num_views
        self.count = 0
        file.attrs["format"] = np.bytes_(FORMAT.encode())
        file.attrs["version"] = VERSION
        file.attrs["resolution"] = resolution
        file.attrs["mode"] = np.bytes_(mode.encode())
        file.attrs["classes"] = np.bytes_(json.dumps(list(classes)).encode())
        file.attrs["num_views"] = num_views
        file.attrs["image_size"] = size if num_views else 0
        file.attrs["writer"] = np.bytes_(b"voxgan")
        self._texts: dict[str, list[bytes]] = {"name": [], "source": []}
        self.aside: list[tuple[str, str]] = []
        """Source and reason of what could not become a shape."""
        self._columns: dict[str, h5py.Dataset] = {
            "occupancy": self._column("occupancy", (resolution**3 // 8,), np.uint8),
            "label": self._column("label", (), np.int16),
            "split": self._column("split", (), np.uint8),
            "source_sha256": self._column("source_sha256", (32,), np.uint8),
            "transform": self._column("transform", (3, 4), np.float64),
        }
        if mode == "sdf":
            self._columns["distance"] = self._column("distance", (resolution,) * 3, np.int8)
        if num_views:
            self._columns["views"] = self._column("views", (num_views, size, size, 4), np.uint8)
            self._columns["cameras"] = self._column("cameras", (num_views, 7), np.float32)
        self._chunked = [key for key in _CHUNKED if key in self._columns]
        self._block: dict[str, list[Any]] = {key: [] for key in self._columns if key not in _CHUNKED}
        self._room = 0

    def _column(self, name: str, item: tuple[int, ...], dtype: Any, count: int = 0) -> h5py.Dataset:
        shape = (count, *item)
        return self._file.create_dataset(
            name, shape, dtype, maxshape=(None, *item), chunks=chunk_shape(name, shape), **_FILTERS
        )

    @classmethod
    @contextlib.contextmanager
    def create(
        cls,
        path: str | Path,
        resolution: int,
        classes: Sequence[str],
        num_views: int = 0,
        size: int = 256,
        mode: str = "solid",
        within: Path | None = None,
    ) -> Iterator[Writer]:
        """Open a writer on a temporary file that takes the place of `path` when the block ends well.

        The temporary file stands beside `path`, or in the folder `within`.
        """
        with atomic_write(path, within) as partial, partial.open("r+b", buffering=0) as file:
            stored = _Stored(file)
            try:
                with h5py.File(stored, "w", libver="latest") as inner:
                    writer = cls(inner, resolution, classes, num_views, size, mode, stored.check)
                    yield writer
                    writer._finish()
            except RuntimeError:  # HDF5 may stumble over what was not stored
                stored.check()
                raise
            stored.check()

    def _finish(self) -> None:
        """Write the last block, and the texts, whose longest is known only at the end."""
        self._write_block()
        for key in self._chunked:
            self._columns[key].resize(self.count, axis=0)
        texts = dict(self._texts)
        if self.aside:
            texts["aside_source"] = [_text(source) for source, _ in self.aside]
            texts["aside_reason"] = [_text(reason) for _, reason in self.aside]
        for name, lines in texts.items():
            array = np.array(lines, np.bytes_) if lines else np.zeros(0, "S1")
            self._column(name, (), array.dtype, len(array))[:] = array

    def add(self, *content: Any, **more: Any) -> None:
        """Append one shape; takes what `encode` takes."""
        self.append(encode(*content, **more))

    def append(self, row: Row) -> None:
        """Append one row.

        Raises
        ------
        UsageError
            If its class is none of the data set's, or it lacks what this data set has of every shape.
        """
        if row.class_name not in self._label:
            raise UsageError(f"no class {row.class_name!r}; {nearest(row.class_name, self._label)}")
        for key in self._chunked:
            expected = self.num_views if key == "views" else 1
            if len(row.chunks.get(key, ())) != expected:
                raise UsageError(f"{row.name!r} has {len(row.chunks.get(key, ()))} {key}, expected {expected}")
        if self.count == self._room:
            self._room += _BLOCK
            for key in self._chunked:
                self._columns[key].resize(self._room, axis=0)
        for key in self._chunked:
            column, chunks = self._columns[key], row.chunks[key]
            for i, chunk in enumerate(chunks):
                rest = (i,) + (0,) * (column.ndim - 2) if key == "views" else (0,) * (column.ndim - 1)
                column.id.write_direct_chunk((self.count, *rest), chunk)
        small = {
            "label": self._label[row.class_name],
            "split": SPLITS.index(row.split),
            "source_sha256": np.frombuffer(row.source_sha256, np.uint8),
            "transform": row.transform,
            "cameras": row.cameras,
        }
        for key, values in self._block.items():
            values.append(small[key])
        self._texts["name"].append(_text(row.name))
        self._texts["source"].append(_text(row.source))
        self.count += 1
        if self.count % _BLOCK == 0:
            self._write_block()
        self._check()

    def _write_block(self) -> None:
        """Write the small columns of the rows since the last block."""
        for key, values in self._block.items():
            if values:
                column = self._columns[key]
                column.resize(self.count, axis=0)
                column[self.count - len(values) :] = np.stack(values)
                values.clear()

    def copy(self, path: str | Path) -> None:
        """Append all rows, and what was set aside, of another data set of the same kind, without unpacking them."""
        with h5py.File(path, "r", libver="latest") as file:
            classes = json.loads(bytes(file.attrs["classes"]))
            small = {key: file[key][:] for key in ("label", "split", "source_sha256", "transform", "name", "source")}
            cameras = file["cameras"][:] if self.num_views else None
            ids = {key: (file[key].id, file[key].ndim) for key in self._chunked}
            for i in range(len(small["label"])):
                chunks = {}
                for key, (data, axes) in ids.items():
                    starts = range(self.num_views) if key == "views" else (0,)
                    chunks[key] = tuple(
                        bytes(data.read_direct_chunk((i, start, *(0,) * (axes - 2)))[1]) for start in starts
                    )
                self.append(
                    Row(
                        classes[small["label"][i]],
                        SPLITS[small["split"][i]],
                        os.fsdecode(bytes(small["name"][i])),
                        os.fsdecode(bytes(small["source"][i])),
                        small["source_sha256"][i].tobytes(),
                        small["transform"][i],
                        chunks,
                        None if cameras is None else cameras[i],
                    )
                )
            if "aside_source" in file:
                for source, reason in zip(file["aside_source"][:], file["aside_reason"][:], strict=True):
                    self.set_aside(os.fsdecode(bytes(source)), os.fsdecode(bytes(reason)))

    def set_aside(self, source: str, reason: str) -> None:
        """Note what could not become a shape, and why."""
        self.aside.append((source, reason[:_MAX_REASON]))

    def add_backgrounds(self, pictures: NDArray[np.uint8]) -> None:
        """Store pictures (K, S, S, 3) to lay behind the views."""
        self._column("backgrounds", pictures.shape[1:], np.uint8, len(pictures))[:] = pictures


def _text(line: str) -> bytes:
    return os.fsencode(line)[:_MAX_TEXT]
