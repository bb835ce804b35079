"""Mesh files that are scenes, GLB and 3MF: parts placed by transforms, flattened into one mesh.

As in `voxgan.mesh_files`: geometry only, nothing outside the file, declared sizes checked first, `ValueError`
with half a sentence when something is wrong.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voxgan.mesh_files import Soup, fan, strip

__all__ = ["parse_3mf", "parse_glb"]

MAX_FACES = 1 << 25  # after instancing: a small file can place one part many times
MAX_DEPTH = 64
MAX_BYTES = 1 << 28  # of unpacked XML

_Transform = NDArray[np.float64]  # (4, 4), for column vectors


def _flatten(parts: list[tuple[Soup, _Transform]]) -> Soup:
    vertices, faces, offset = [np.zeros((0, 3))], [np.zeros((0, 3), np.int64)], 0
    for part, transform in parts:
        if len(part.faces) and (part.faces.min() < 0 or part.faces.max() >= len(part.vertices)):
            raise ValueError(f"a face names a vertex outside the {len(part.vertices)} of its part")
        vertices.append(part.vertices @ transform[:3, :3].T + transform[:3, 3])
        flipped = np.linalg.det(transform[:3, :3]) < 0
        faces.append((part.faces[:, ::-1] if flipped else part.faces) + offset)
        offset += len(part.vertices)
    return Soup(np.concatenate(vertices), np.concatenate(faces))


def _count(total: int, part: Soup) -> int:
    total += max(len(part.faces), len(part.vertices), 100)  # placing nothing costs time too
    if total > MAX_FACES:
        raise ValueError(f"its parts, placed, have more than {MAX_FACES} faces")
    return total


# ---------------------------------------------------------------------------------------------------- GLB
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_COMPRESSED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")


def parse_glb(data: bytes) -> Soup:
    """Read GLB (binary glTF 2.0): the triangles of its scene, as they lie in the file, y up."""
    header, binary = _glb_chunks(data)
    for name in _COMPRESSED:
        if name in header.get("extensionsRequired", []):
            raise ValueError(f"it is compressed with {name}: save it without compression")
    meshes = header.get("meshes", [])
    nodes = header.get("nodes", [])
    known: dict[int, Soup] = {}
    parts: list[tuple[Soup, _Transform]] = []
    visited: set[int] = set()
    total = 0
    queue = [(root, np.eye(4)) for root in _glb_roots(header)]
    while queue:
        index, above = queue.pop()
        node = _item(nodes, index, "node")
        if index in visited:
            raise ValueError(f"node {index} stands twice in its scene")
        visited.add(index)
        transform = above @ _glb_transform(node)
        if "mesh" in node:
            mesh = node["mesh"]
            if mesh not in known:
                known[mesh] = _glb_mesh(_item(meshes, mesh, "mesh"), header, binary)
            total = _count(total, known[mesh])
            parts.append((known[mesh], transform))
        queue += [(child, transform) for child in node.get("children", [])]
    return _flatten(parts)


def _item(items: Any, index: Any, what: str) -> dict[str, Any]:
    if not isinstance(items, list) or not isinstance(index, int) or not 0 <= index < len(items):
        raise ValueError(f"it names a {what} that is not there: {index!r}")
    item = items[index]
    if not isinstance(item, dict):
        raise ValueError(f"its {what} {index} is no object")
    return item


def _glb_chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    if len(data) < 20 or data[:4] != b"glTF":
        raise ValueError("it does not begin as a GLB file")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise ValueError(f"it is glTF version {version}; version 2 is read")
    if length != len(data):
        raise ValueError(f"it declares {length} bytes and has {len(data)}: it is cut off or damaged")
    chunks: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= len(data):
        size, kind = struct.unpack_from("<I4s", data, place)
        if place + 8 + size > len(data):
            raise ValueError("a chunk of it reaches past its end: it is damaged")
        chunks.setdefault(kind, data[place + 8 : place + 8 + size])
        place += 8 + size
    header = json.loads(chunks.get(b"JSON", b"").decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its JSON chunk is no object")
    return header, chunks.get(b"BIN\0", b"")


def _glb_roots(header: dict[str, Any]) -> list[int]:
    scenes = header.get("scenes", [])
    if scenes:
        return list(_item(scenes, header.get("scene", 0), "scene").get("nodes", []))
    nodes = header.get("nodes", [])
    children = {child for node in nodes for child in node.get("children", [])}
    return [index for index in range(len(nodes)) if index not in children]


def _glb_transform(node: dict[str, Any]) -> _Transform:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", [0, 0, 0, 1]), np.float64)
    scale = np.array(node.get("scale", [1, 1, 1]), np.float64).reshape(3)
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    transform = np.eye(4)
    transform[:3, :3] = turn * scale
    transform[:3, 3] = node.get("translation", [0, 0, 0])
    return transform


def _glb_mesh(mesh: dict[str, Any], header: dict[str, Any], binary: bytes) -> Soup:
    cut: dict[int, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
        _TRIANGLES: lambda corners: corners.reshape(-1, 3),
        _STRIP: strip,
        _FAN: lambda corners: fan(np.array([len(corners)]), corners),
    }
    parts: list[tuple[Soup, _Transform]] = []
    total = 0
    for primitive in mesh.get("primitives", []):
        mode = primitive.get("mode", _TRIANGLES)
        if mode not in cut:
            continue  # points and lines
        position = primitive.get("attributes", {}).get("POSITION")
        vertices = _glb_accessor(position, header, binary)
        if vertices.shape[1] != 3:
            raise ValueError("its positions are not of 3 numbers each")
        corners = np.arange(len(vertices))
        if "indices" in primitive:
            corners = _glb_accessor(primitive["indices"], header, binary).reshape(-1).astype(np.int64)
        if mode == _TRIANGLES and len(corners) % 3:
            raise ValueError(f"its triangles have {len(corners)} corners, not a multiple of 3")
        parts.append((Soup(vertices, cut[mode](corners)), np.eye(4)))
        total = _count(total, parts[-1][0])
    return _flatten(parts)


def _glb_accessor(index: Any, header: dict[str, Any], binary: bytes) -> NDArray[np.float64]:
    """Give an accessor's numbers, (count, width), after checking that they lie in their view and buffer."""
    accessor = _item(header.get("accessors"), index, "accessor")
    if "sparse" in accessor or "bufferView" not in accessor:
        raise ValueError(f"its accessor {index} is sparse or empty, which is not read")
    view = _item(header.get("bufferViews"), accessor["bufferView"], "buffer view")
    buffer = _item(header.get("buffers"), view.get("buffer"), "buffer")
    if view["buffer"] != 0 or "uri" in buffer:
        raise ValueError("its data lie outside the file: save it as one GLB file")
    if accessor.get("componentType") not in _COMPONENTS or accessor.get("type") not in _WIDTHS:
        raise ValueError(f"its accessor {index} has an unknown type")
    dtype, width = np.dtype(_COMPONENTS[accessor["componentType"]]), _WIDTHS[accessor["type"]]
    row = dtype.itemsize * width
    count, start = accessor.get("count", -1), accessor.get("byteOffset", 0)
    offset, length, stride = view.get("byteOffset", 0), view.get("byteLength", -1), view.get("byteStride", row)
    if not all(isinstance(n, int) and n >= 0 for n in (count, start, offset, length, stride)) or stride < row:
        raise ValueError(f"its accessor {index} has a size that is no size")
    if count == 0:
        return np.zeros((0, width))
    if offset + length > len(binary) or start + (count - 1) * stride + row > length:
        raise ValueError(f"its accessor {index} declares {count} entries, more than its buffer holds")
    numbers = np.ndarray((count, width), dtype, binary, offset + start, (stride, dtype.itemsize))
    values = numbers.astype(np.float64)
    if accessor.get("normalized") and dtype.kind in "iu":
        values = np.maximum(values / np.iinfo(dtype).max, -1.0)
    return values


# ---------------------------------------------------------------------------------------------------- 3MF
class _Object3mf:
    def __init__(self, soup: Soup, components: list[tuple[str, str, _Transform]]) -> None:
        self.soup = soup
        self.components = components  # (part, object id, transform)


def parse_3mf(data: bytes) -> Soup:
    """Read 3MF: the objects of its build, as they lie in the file (its unit is not applied), z up."""
    models = _3mf_models(data)
    root = next((name for name in models if name.lower() == "3d/3dmodel.model"), next(iter(models)))
    objects: dict[tuple[str, str], _Object3mf] = {}
    build: list[tuple[str, str, _Transform]] = []
    for name, content in models.items():
        build += _3mf_read(name, content, objects, is_root=name == root)
    parts: list[tuple[Soup, _Transform]] = []
    total = 0
    queue = [(part, index, transform, 0) for part, index, transform in build]
    while queue:
        part, index, transform, depth = queue.pop()
        if (part, index) not in objects or depth > MAX_DEPTH:
            raise ValueError(f"it places the object {index!r}, which is not there or holds itself")
        placed = objects[part, index]
        total = _count(total, placed.soup)
        parts.append((placed.soup, transform))
        queue += [(p, i, transform @ inner, depth + 1) for p, i, inner in placed.components]
    return _flatten(parts)


def _3mf_models(data: bytes) -> dict[str, bytes]:
    models: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".model")]
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > min(MAX_BYTES, 200 * len(data) + (1 << 20)):
            raise ValueError(f"it unpacks to {unpacked >> 20} MB, too much for a file of {len(data)} bytes")
        for entry in entries:
            models[entry.filename.lstrip("/")] = archive.read(entry)
    if not models:
        raise ValueError("the archive holds no 3-D model")
    for content in models.values():
        plain = content.replace(b"\0", b"")  # UTF-16 too
        if b"<!DOCTYPE" in plain or b"<!ENTITY" in plain:
            raise ValueError("its XML has a document type of its own, which is not read")
    return models


def _3mf_read(
    name: str, content: bytes, objects: dict[tuple[str, str], _Object3mf], is_root: bool
) -> list[tuple[str, str, _Transform]]:
    """Add the objects of one model part to `objects`; give what its build places, if it is the root."""
    from lxml import etree  # type: ignore[import-untyped, unused-ignore]

    build: list[tuple[str, str, _Transform]] = []
    events = etree.iterparse(
        io.BytesIO(content),
        tag=("{*}object", "{*}build"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        recover=False,
    )
    for _, found in events:
        if found.getroottree().docinfo.doctype:  # in whatever encoding
            raise ValueError("its XML has a document type of its own, which is not read")
        if found.tag.endswith("build"):
            if is_root:
                items = found.iter("{*}item")
                build += [(name, item.attrib["objectid"], _3mf_transform(item)) for item in items]
            continue
        vertices = [[v.attrib[a] for a in "xyz"] for v in found.iter("{*}vertex")]
        faces = [[t.attrib[a] for a in ("v1", "v2", "v3")] for t in found.iter("{*}triangle")]
        soup = Soup(
            np.array(vertices, dtype=np.str_).astype(np.float64).reshape(-1, 3),
            np.array(faces, dtype=np.str_).astype(np.int64).reshape(-1, 3),
        )
        components = []
        for component in found.iter("{*}component"):
            paths = [value for key, value in component.attrib.items() if key.endswith("}path")]
            part = paths[0].lstrip("/") if paths else name
            components.append((part, component.attrib["objectid"], _3mf_transform(component)))
        objects[name, found.attrib["id"]] = _Object3mf(soup, components)
        found.clear()
    return build


def _3mf_transform(item: Any) -> _Transform:
    """Read 12 numbers, the rows of a (4, 3) matrix for row vectors."""
    transform = np.eye(4)
    if "transform" in item.attrib:
        transform[:3] = np.array(item.attrib["transform"].split(), np.float64).reshape(4, 3).T
    return transform
