"""Mesh files, read byte for byte: OBJ, OFF, STL. Each reader takes bytes and gives vertices and faces.

Only geometry is read: no materials, no textures, no other file. What a header declares is compared with the
bytes that are there *before* anything is allocated, so that a damaged file is refused, not read in part.
A reader raises `ValueError` with half a sentence; `voxgan.mesh.read_mesh` makes the one-line error of it.
PLY is in `voxgan.mesh_ply`, the formats that are scenes (GLB, 3MF) in `voxgan.mesh_scenes`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Soup", "fan", "parse_obj", "parse_off", "parse_stl", "split_lines", "strip"]


class Soup(NamedTuple):
    """What a file holds: vertices (V, 3) float64, faces (F, 3) int64. Indices are not checked yet."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]


def _numbers(rows: list[list[bytes]], what: str) -> NDArray[np.float64]:
    """Give (N, 3) float64 from rows of at least three tokens each."""
    if not rows:
        return np.zeros((0, 3))
    if any(len(row) < 3 for row in rows):
        number = next(i for i, row in enumerate(rows) if len(row) < 3)
        raise ValueError(f"{what} {number + 1} has fewer than 3 coordinates (is the file cut off?)")
    return np.array([row[:3] for row in rows]).astype(np.float64)


def fan(counts: NDArray[np.int64], corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut polygons into triangles, each as a fan around its first corner.

    Parameters
    ----------
    counts : (N,) int
        Corners of each polygon. Those with fewer than three (points, lines) give no triangle.
    corners : (sum(counts),) int
        The corners of all polygons, one after the other.

    Returns
    -------
    (F, 3) int64

    Examples
    --------
    >>> fan(np.array([3, 4]), np.array([0, 1, 2, 4, 5, 6, 7])).tolist()
    [[0, 1, 2], [4, 5, 6], [4, 6, 7]]
    """
    starts = np.cumsum(counts) - counts
    triangles = np.maximum(counts - 2, 0)
    polygon = np.repeat(np.arange(len(counts)), triangles)
    step = np.arange(len(polygon)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    first = starts[polygon]
    triangle = np.stack([first, first + step + 1, first + step + 2], axis=1)
    return np.asarray(corners[triangle.reshape(-1)].reshape(-1, 3))


def strip(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut a triangle strip into triangles; −1 starts a new strip, every second triangle is turned round.

    Examples
    --------
    >>> strip(np.array([0, 1, 2, 3, -1, 4, 5, 6])).tolist()
    [[0, 1, 2], [2, 1, 3], [4, 5, 6]]
    """
    if len(indices) < 3:
        return np.zeros((0, 3), np.int64)
    triangles = np.stack([indices[:-2], indices[1:-1], indices[2:]], axis=1)
    place = np.arange(len(triangles))
    restart = np.maximum.accumulate(np.where(indices[:-2] == -1, place + 1, 0))
    odd = (place - restart) % 2 == 1
    triangles[odd, :2] = triangles[odd, 1::-1]
    return np.asarray(triangles[(triangles != -1).all(axis=1)])


def split_lines(data: bytes) -> list[bytes]:
    """Cut text into lines, whatever the system that wrote it."""
    return data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


# ---------------------------------------------------------------------------------------------------- OBJ
def parse_obj(data: bytes) -> Soup:
    """Read Wavefront OBJ: `v` and `f`, with relative indices and polygons; all groups and objects together.

    The format declares no counts: a file cut off between two lines cannot be told from a whole one.
    """
    positions: list[list[bytes]] = []
    counts: list[int] = []
    corners: list[int] = []
    for number, raw in enumerate(split_lines(data.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ")), start=1):
        line = raw.lstrip()
        if line[:2] in (b"v ", b"v\t"):
            positions.append(line.split(None, 4)[1:4])
        elif line[:2] in (b"f ", b"f\t"):
            tokens = line.split(b"#", 1)[0].split()[1:]
            if len(tokens) < 3:
                raise ValueError(f"the face in line {number} has fewer than 3 corners (is the file cut off?)")
            for token in tokens:
                index = int(token.split(b"/", 1)[0])
                if index == 0 or index < -len(positions):
                    raise ValueError(f"the face in line {number} names vertex {index}")
                corners.append(index - 1 if index > 0 else len(positions) + index)
            counts.append(len(tokens))
    faces = fan(np.array(counts, np.int64), np.array(corners, np.int64))
    return Soup(_numbers(positions, "vertex"), faces)


# ---------------------------------------------------------------------------------------------------- OFF
def parse_off(data: bytes) -> Soup:
    """Read OFF (COFF, NOFF … too: colours and normals are passed over), as ModelNet writes it.

    ModelNet's own flaw is read: ``OFF2382 2234 0``, the counts on the line of the name.
    """
    lines = [line.split(b"#", 1)[0].split() for line in split_lines(data)]
    lines = [line for line in lines if line]
    match = re.match(rb"((?:ST|C|N)*)OFF(\d*)$", lines[0][0]) if lines else None
    if match is None:
        raise ValueError("it does not begin with OFF")
    plain = not match[1]
    lines[0] = ([match[2]] if match[2] else []) + lines[0][1:]
    lines = lines[0 if lines[0] else 1 :]
    if not lines or len(lines[0]) < 2:
        raise ValueError("the counts of vertices and faces are missing")
    num_vertices, num_faces = int(lines[0][0]), int(lines[0][1])
    if num_vertices < 0 or num_faces < 0 or 2 * (3 * num_vertices + num_faces) > len(data):
        raise ValueError(
            f"it declares {num_vertices} vertices and {num_faces} faces, which do not fit in {len(data)} bytes"
        )
    rest = lines[1:]
    faces = rest[num_vertices : num_vertices + num_faces]
    is_table = len({len(row) for row in rest[:num_vertices]}) <= 1  # else a face is taken for a vertex: wrong counts
    if is_table and len(faces) == num_faces and all(0 <= int(face[0]) < len(face) for face in faces):
        vertices = _numbers(rest[:num_vertices], "vertex")
        counts = np.array([int(face[0]) for face in faces], np.int64)
        corners = [token for face in faces for token in face[1 : int(face[0]) + 1]]
        return Soup(vertices, fan(counts, np.array(corners, dtype=np.int64)))
    return _off_stream([token for line in rest for token in line], num_vertices, num_faces, plain)


def _off_stream(tokens: list[bytes], num_vertices: int, num_faces: int, plain: bool) -> Soup:
    """Read an OFF body whose faces are broken over several lines: possible only without colours."""
    cut = ValueError(
        f"its numbers are not those of {num_vertices} vertices and {num_faces} faces: it is cut off or miscounted"
    )
    if not plain or len(tokens) < 3 * num_vertices + num_faces:
        raise cut
    place = 3 * num_vertices
    vertices = np.array(tokens[:place]).astype(np.float64).reshape(-1, 3)
    counts: list[int] = []
    corners: list[bytes] = []
    for _ in range(num_faces):
        count = int(tokens[place]) if place < len(tokens) else -1
        if count < 3 or place + 1 + count > len(tokens):
            raise cut
        counts.append(count)
        corners += tokens[place + 1 : place + 1 + count]
        place += 1 + count
    if place < len(tokens):
        raise cut
    return Soup(vertices, fan(np.array(counts, np.int64), np.array(corners, dtype=np.int64)))


# ---------------------------------------------------------------------------------------------------- STL
_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def parse_stl(data: bytes) -> Soup:
    """Read STL, binary or ASCII. The format has no indices: corners in one place become one vertex."""
    declared = int.from_bytes(data[80:84], "little") if len(data) >= 84 else -1
    if len(data) == 84 + 50 * declared:
        corners = np.frombuffer(data, _STL_TRIANGLE, offset=84)["corners"].reshape(-1, 3).astype(np.float64)
    elif data[:512].lstrip().lower().startswith(b"solid"):
        corners = _stl_ascii(data)
    elif declared < 0:
        raise ValueError(f"it has {len(data)} bytes, fewer than the header of an STL file")
    else:
        raise ValueError(
            f"it declares {declared} triangles, {84 + 50 * declared} bytes, and has {len(data)}: it is cut off"
        )
    step = 2.0**-22 * np.abs(corners).max(initial=0.0)  # corners differ by a few roundings of single precision
    keys = np.rint(corners / step) if 0 < step < np.inf else corners
    _, first, inverse = np.unique(keys + 0.0, axis=0, return_index=True, return_inverse=True)
    return Soup(corners[first], inverse.reshape(-1, 3).astype(np.int64))


def _stl_ascii(data: bytes) -> NDArray[np.float64]:
    lines = [line.split() for line in split_lines(data.lower())]
    words = [line[0] for line in lines if line]
    corners = _numbers([line[1:4] for line in lines if line and line[0] == b"vertex"], "vertex")
    facets = words.count(b"facet")
    if not words or words[-1] != b"endsolid" or len(corners) != 3 * facets:
        raise ValueError(f"it has {facets} facets and {len(corners)} corners, or no end: it is cut off")
    return corners
