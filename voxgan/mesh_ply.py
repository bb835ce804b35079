"""PLY files, ASCII or binary of either byte order: polygons of any size, or triangle strips.

A reader as those of `voxgan.mesh_files`: bytes in, vertices and faces out, `ValueError` with half a sentence.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from voxgan.mesh_files import Soup, fan, split_lines, strip

__all__ = ["parse_ply"]

_TYPES = {
    "char": "i1",
    "uchar": "u1",
    "short": "i2",
    "ushort": "u2",
    "int": "i4",
    "uint": "u4",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float": "f4",
    "double": "f8",
    "float32": "f4",
    "float64": "f8",
}
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


class _Property(NamedTuple):
    name: str
    kind: str  # of the values
    count_kind: str  # of a list's length; empty for a single value


class _Element(NamedTuple):
    name: str
    rows: int
    properties: list[_Property]


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    """Give the byte order ('' is ASCII), the elements, and where the body begins."""
    match = re.search(rb"^end_header[ \t]*(\r\n|\n|\r)", data[: 1 << 20], re.MULTILINE)
    if match is None or not data.startswith(b"ply"):
        raise ValueError("it has no PLY header, or one that does not end")
    order: str | None = None
    elements: list[_Element] = []
    for line in split_lines(data[: match.start()]):
        words = line.decode("latin-1").split()
        if words[:1] == ["format"]:
            order = _FORMATS.get(words[1] if len(words) > 1 else "")
        elif words[:1] == ["element"] and len(words) == 3:
            elements.append(_Element(words[1], int(words[2]), []))
        elif words[:1] == ["property"] and elements:
            is_list = words[1:2] == ["list"]
            if len(words) != (5 if is_list else 3) or any(word not in _TYPES for word in words[1 + is_list : -1]):
                raise ValueError(f"its header has the line {' '.join(words)[:60]!r}")
            count_kind = _TYPES[words[2]] if is_list else ""
            elements[-1].properties.append(_Property(words[-1], _TYPES[words[-2]], count_kind))
        elif words[:1] not in ([], ["ply"], ["comment"], ["obj_info"]):
            raise ValueError(f"its header has the line {' '.join(words)[:60]!r}")
    if order is None:
        raise ValueError("its header names no known format")
    return order, elements, match.end()


def parse_ply(data: bytes) -> Soup:
    """Read PLY, ASCII or binary of either byte order, with polygons of any size or triangle strips."""
    order, elements, start = _header(data)
    for element in elements:
        least = [2 if not order else np.dtype(p.count_kind or p.kind).itemsize for p in element.properties]
        if element.rows and not element.properties:
            raise ValueError(f"its element {element.name!r} has {element.rows} rows of nothing")
        if element.rows < 0 or element.rows * sum(least) > len(data) - start + 1:
            raise ValueError(
                f"it declares {element.rows} rows of {element.name!r}, more than fit in its {len(data)} bytes"
            )
    vertices = np.zeros((0, 3))
    faces = [np.zeros((0, 3), np.int64)]
    body: _Ascii | _Binary = _Binary(data, start, order) if order else _Ascii(data[start:].split())
    for element in elements:
        columns = body.read(element)
        if element.name == "vertex" and element.rows:
            if any(axis not in columns for axis in "xyz"):
                raise ValueError("its vertices have no x, y, z")
            vertices = np.stack([columns[axis][1] for axis in "xyz"], axis=1).astype(np.float64)
        for name in ("vertex_indices", "vertex_index"):
            if name in columns:
                counts, corners = columns[name][0], columns[name][1].astype(np.int64)
                if element.name == "tristrips":
                    faces.append(_strips(counts, corners))
                elif element.name == "face":
                    faces.append(fan(counts, corners))
                break
    return Soup(vertices, np.concatenate(faces))


def _strips(counts: NDArray[np.int64], corners: NDArray[np.int64]) -> NDArray[np.int64]:
    ends = np.cumsum(counts)
    return strip(np.insert(corners, ends[:-1], -1))


_Columns = dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]]  # name: (length of each list, values)


def _cut_off(element: _Element) -> ValueError:
    return ValueError(f"it ends before its {element.rows} rows of {element.name!r}: it is cut off")


class _Ascii:
    """The body of an ASCII PLY: a stream of tokens."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.tokens = tokens
        self.place = 0

    def read(self, element: _Element) -> _Columns:
        ones = np.ones(element.rows, np.int64)
        width = len(element.properties)
        if not any(p.count_kind for p in element.properties):
            taken = self._take(element.rows * width, element)
            table = np.array(taken, dtype=np.bytes_).astype(np.float64).reshape(element.rows, width)
            return {p.name: (ones, table[:, i]) for i, p in enumerate(element.properties)}
        counts: list[list[int]] = [[] for _ in range(width)]
        values: list[list[bytes]] = [[] for _ in range(width)]
        for _ in range(element.rows):
            for i, p in enumerate(element.properties):
                count = int(self._take(1, element)[0]) if p.count_kind else 1
                counts[i].append(count)
                values[i] += self._take(count, element)
        return {
            p.name: (np.array(counts[i], np.int64), np.array(values[i], dtype=np.bytes_).astype(np.float64))
            for i, p in enumerate(element.properties)
        }

    def _take(self, count: int, element: _Element) -> list[bytes]:
        end = self.place + count
        if count < 0 or end > len(self.tokens):
            raise _cut_off(element)
        taken = self.tokens[self.place : end]
        self.place = end
        return taken


class _Binary:
    """The body of a binary PLY."""

    def __init__(self, data: bytes, place: int, order: str) -> None:
        self.data = data
        self.place = place
        self.order = order

    def read(self, element: _Element) -> _Columns:
        if not element.rows:
            return {}
        return self._uniform(element) or self._ragged(element)

    def _uniform(self, element: _Element) -> _Columns | None:
        """Read rows of one size at once: every list as long as the first row's. None where they are not."""
        fields: list[tuple[str, str, tuple[int, ...]]] = []
        place = self.place
        for i, p in enumerate(element.properties):
            count = 1
            if p.count_kind:
                count = self._count(place, p.count_kind, element)
                fields.append((f"count{i}", self.order + p.count_kind, ()))
                place += np.dtype(p.count_kind).itemsize
            fields.append((f"value{i}", self.order + p.kind, (count,)))
            place += count * np.dtype(p.kind).itemsize
        row = np.dtype(fields)
        if self.place + row.itemsize * element.rows > len(self.data):
            if any(p.count_kind for p in element.properties):
                return None  # perhaps only the first row is long
            raise _cut_off(element)
        table = np.frombuffer(self.data, row, count=element.rows, offset=self.place)
        columns: _Columns = {}
        for i, p in enumerate(element.properties):
            counts = np.full(element.rows, table[f"value{i}"].shape[1], np.int64)
            if p.count_kind and (table[f"count{i}"] != counts).any():
                return None
            columns[p.name] = counts, table[f"value{i}"].reshape(-1).astype(np.float64)
        self.place += row.itemsize * element.rows
        return columns

    def _ragged(self, element: _Element) -> _Columns:
        counts: list[list[int]] = [[] for _ in element.properties]
        values: list[list[NDArray[np.float64]]] = [[] for _ in element.properties]
        for _ in range(element.rows):
            for i, p in enumerate(element.properties):
                count = 1
                if p.count_kind:
                    count = self._count(self.place, p.count_kind, element)
                    self.place += np.dtype(p.count_kind).itemsize
                size = count * np.dtype(p.kind).itemsize
                if self.place + size > len(self.data):
                    raise ValueError(f"it ends before its {element.rows} rows of {element.name!r}: it is cut off")
                values[i].append(np.frombuffer(self.data, self.order + p.kind, count=count, offset=self.place))
                counts[i].append(count)
                self.place += size
        return {
            p.name: (np.array(counts[i], np.int64), np.concatenate(values[i]).astype(np.float64))
            for i, p in enumerate(element.properties)
        }

    def _count(self, place: int, kind: str, element: _Element) -> int:
        dtype = np.dtype(self.order + kind)
        if place + dtype.itemsize > len(self.data):
            raise _cut_off(element)
        count = int(np.frombuffer(self.data, dtype, count=1, offset=place)[0])
        if count < 0 or count > len(self.data):
            raise ValueError(f"a list of {element.name!r} declares {count} entries: it is damaged")
        return count
