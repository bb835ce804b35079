"""One array out of a MATLAB 5 file, read byte for byte.

`scipy.io.loadmat` follows damaged lengths and types into a segmentation fault, which no ``except`` sees.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_array"]

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_NUMERIC_CLASSES = range(6, 16)
_MATRIX, _COMPRESSED = 14, 15
_COMPLEX = 1 << 11
_MAX_BYTES = 1 << 28


def read_array(content: bytes, name: str) -> NDArray[Any]:
    """Return the numeric array called `name`.

    Parameters
    ----------
    content : bytes
        A file of MATLAB's versions 5 to 7, compressed or not, of either byte order.
    name : str
        The variable.

    Raises
    ------
    ValueError
        If the file is of another kind, damaged, or holds no such array of numbers.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None:
        raise ValueError("it is no MATLAB 5 file")
    for kind, body in _elements(content[128:], order):
        if kind == _COMPRESSED:
            kind, body = next(_elements(_inflated(body), order), (0, b""))
        if kind != _MATRIX:
            continue
        flags, sides, label, *data = _elements(body, order)
        if label[1] == name.encode():
            return _array(flags[1], sides, data, order)
    raise ValueError(f"it holds no variable {name!r}")


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Walk through data elements: a kind and a length, then so many bytes, filled up to eights."""
    place = 0
    while place < len(content):
        if place + 8 > len(content):
            raise ValueError("it is cut off")
        kind, size = struct.unpack_from(f"{order}II", content, place)
        start, end = place + 8, place + 8 + size
        if kind >> 16:  # up to four bytes stand in the place of the length
            kind, size = kind & 0xFFFF, kind >> 16
            start, end = place + 4, place + 4 + size
            if size > 4:
                raise ValueError("a small element is longer than four bytes")
        if end > len(content):
            raise ValueError("it is cut off")
        yield kind, content[start:end]
        place = end if kind == _COMPRESSED else end + -end % 8


def _inflated(content: bytes) -> bytes:
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(content, _MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"its compressed data are damaged ({error})") from error
    if not stream.eof:
        raise ValueError("its compressed data end early, or unpack to over 256 MiB")
    return plain


def _array(flags: bytes, sides: tuple[int, bytes], data: list[tuple[int, bytes]], order: str) -> NDArray[Any]:
    word = struct.unpack_from(f"{order}I", flags)[0] if len(flags) == 8 else 0
    if word & 0xFF not in _NUMERIC_CLASSES or word & _COMPLEX or sides[0] != 5 or len(data) != 1:
        raise ValueError("the variable is no array of real numbers")
    shape = np.frombuffer(sides[1], f"{order}i4").tolist()
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    kind, body = data[0]
    if kind not in _NUMBERS:
        raise ValueError(f"its numbers are of the unknown type {kind}")
    return np.frombuffer(body, order + _NUMBERS[kind]).reshape(shape, order="F")
