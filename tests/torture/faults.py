"""Mesh and volume files made by hand with one fault each: name → content and what has to come of it.

``shape`` must become a shape, ``refused`` must be set aside; ``either`` is a question of taste, but no crash.
"""

from __future__ import annotations

import io
import itertools
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

Fault = tuple[str, bytes, str]  # file name, content, verdict
Geometry = tuple[NDArray[Any], NDArray[Any]]  # vertices (V, 3), faces (F, 3)

_BOX = trimesh.creation.box((1.0, 0.8, 0.6))
BOX_V, BOX_F = np.array(_BOX.vertices), np.array(_BOX.faces)


# ------------------------------------------------------------------------------------------- healthy writers
def obj(v: NDArray[Any], f: NDArray[Any]) -> bytes:
    lines = [f"v {x!r} {y!r} {z!r}" for x, y, z in v.tolist()] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in f]
    return ("\n".join(lines) + "\n").encode()


def off(v: NDArray[Any], f: NDArray[Any]) -> bytes:
    lines = [f"{x!r} {y!r} {z!r}" for x, y, z in v.tolist()] + [f"3 {a} {b} {c}" for a, b, c in f]
    return (f"OFF\n{len(v)} {len(f)} 0\n" + "\n".join(lines) + "\n").encode()


def stl(v: NDArray[Any], f: NDArray[Any]) -> bytes:
    table = np.zeros(len(f), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    with np.errstate(all="ignore"):
        table["corners"] = v[f]
    return b"by hand".ljust(80) + struct.pack("<I", len(f)) + table.tobytes()


def stl_ascii(v: NDArray[Any], f: NDArray[Any]) -> bytes:
    corner = "vertex {!r} {!r} {!r}\n"
    facets = ("".join(corner.format(*v[i].tolist()) for i in face) for face in f)
    body = "".join(f"facet normal 0 0 0\nouter loop\n{facet}endloop\nendfacet\n" for facet in facets)
    return f"solid x\n{body}endsolid x\n".encode()


def _ply_head(form: str, v: NDArray[Any], f: NDArray[Any], kind: str = "double") -> bytes:
    axes = "".join(f"property {kind} {axis}\n" for axis in "xyz")
    faces = f"element face {len(f)}\nproperty list uchar int vertex_indices\n"
    return f"ply\nformat {form} 1.0\nelement vertex {len(v)}\n{axes}{faces}end_header\n".encode()


def ply(v: NDArray[Any], f: NDArray[Any]) -> bytes:
    table = np.zeros(len(f), [("n", "u1"), ("corners", "<i4", 3)])
    table["n"], table["corners"] = 3, f
    return _ply_head("binary_little_endian", v, f) + v.astype("<f8").tobytes() + table.tobytes()


def ply_ascii(v: NDArray[Any], f: NDArray[Any]) -> bytes:
    lines = [f"{x!r} {y!r} {z!r}" for x, y, z in v.tolist()] + [f"3 {a} {b} {c}" for a, b, c in f]
    return _ply_head("ascii", v, f) + ("\n".join(lines) + "\n").encode()


def glb(v: NDArray[Any], f: NDArray[Any], change: Callable[[dict[str, Any]], object] = lambda header: None) -> bytes:
    with np.errstate(all="ignore"):
        points, corners = np.asarray(v, "<f4").tobytes(), np.asarray(f).astype("<u4").tobytes()
    header: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(v), "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": 3 * len(f), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(points)},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(corners)},
        ],
        "buffers": [{"byteLength": len(points) + len(corners)}],
    }
    change(header)
    return glb_file(json.dumps(header).encode(), points + corners)


def glb_file(text: bytes, binary: bytes) -> bytes:
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"


def model_3mf(v: NDArray[Any], f: NDArray[Any], more: str = "", item: str = "1") -> str:
    vertices = "".join(f'<vertex x="{x!r}" y="{y!r}" z="{z!r}"/>' for x, y, z in v.tolist())
    faces = "".join(f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in f)
    mesh = f"<mesh><vertices>{vertices}</vertices><triangles>{faces}</triangles></mesh>"
    resources = f'<resources><object id="1">{mesh}</object>{more}</resources>'
    return f'<model xmlns="{CORE}">{resources}<build><item objectid="{item}"/></build></model>'


def packed_3mf(model: str | bytes, name: str = "3D/3dmodel.model") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), model, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def threemf(v: NDArray[Any], f: NDArray[Any]) -> bytes:
    return packed_3mf(model_3mf(v, f))


MESH_FORMATS: dict[str, Callable[[NDArray[Any], NDArray[Any]], bytes]] = {
    "obj": obj, "off": off, "ascii.stl": stl_ascii, "stl": stl, "ascii.ply": ply_ascii, "ply": ply,
    "glb": glb, "3mf": threemf,
}  # fmt: skip


def binvox(grid: NDArray[Any], head: str = "dim {0} {0} {0}\ntranslate 0 0 0\nscale 1\n") -> bytes:
    flat = np.asarray(grid, np.uint8).transpose(0, 2, 1).ravel()
    runs = bytearray()
    starts = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), len(flat)]
    for start, stop in itertools.pairwise(starts):
        while start < stop:
            runs += bytes((int(flat[start]), min(255, stop - start)))
            start += 255
    return f"#binvox 1\n{head.format(len(grid))}data\n".encode() + bytes(runs)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy_header(shape: str, descr: str = "'|b1'") -> bytes:
    """The head of an array that declares what it likes."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(**entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


GRID = np.zeros((12, 12, 12), bool)
GRID[2:10, 3:9, 1:11] = True


# ------------------------------------------------------------------------------------------ faults of geometry
def _at(vertices: NDArray[Any], place: tuple[int, int], value: float) -> NDArray[Any]:
    changed = np.array(vertices)
    changed[place] = value
    return changed


def _joined(*parts: Geometry) -> Geometry:
    counts = np.cumsum([0, *(len(v) for v, _ in parts)])
    faces = [f + start for (_, f), start in zip(parts, counts[:-1], strict=True)]
    return np.concatenate([v for v, _ in parts]), np.concatenate(faces)


def _slivers() -> Geometry:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 500, 3))
    v = np.stack([a, b, b + 1e-12 * rng.random((500, 3))], axis=1).reshape(-1, 3)
    return v, np.arange(1500).reshape(-1, 3)


def _dust() -> Geometry:
    rng = np.random.default_rng(1)
    v = rng.random((2000, 1, 3)) + 1e-7 * rng.random((2000, 3, 3))
    huge = np.array([[-1e6, -1e6, 0], [1e6, -1e6, 0], [0, 1e6, 0.0]])
    return _joined((huge, np.array([[0, 1, 2]])), (v.reshape(-1, 3), np.arange(6000).reshape(-1, 3)))


def _soup() -> Geometry:
    return np.random.default_rng(2).normal(size=(900, 3)), np.arange(900).reshape(-1, 3)


_ZERO_AREA = np.array([[0.5, 0, 0], [0.5, 0, 0], [0.5, 0, 0], [0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]])

GEOMETRY: dict[str, tuple[NDArray[Any], NDArray[Any], str]] = {
    "nan": (_at(BOX_V, (3, 1), np.nan), BOX_F, "refused"),
    "inf": (_at(BOX_V, (0, 0), -np.inf), BOX_F, "refused"),
    "1e300": (_at(BOX_V, (5, 2), 1e300), BOX_F, "refused"),
    "denormal": (BOX_V * 1e-310, BOX_F, "either"),
    "beside-denormal": (BOX_V * 1e-307, BOX_F, "either"),
    "1e-150": (BOX_V * 1e-150, BOX_F, "either"),
    "1e-30": (BOX_V * 1e-30, BOX_F, "shape"),
    "1e14": (BOX_V * 1e14, BOX_F, "shape"),
    "1e37": (BOX_V * 1e37, BOX_F, "refused"),
    "far-off": (BOX_V * 1000 + 1e8, BOX_F, "shape"),
    "negative-zero": (BOX_V * [1, 1, -0.0], BOX_F, "either"),
    "coplanar": (BOX_V * [1, 1, 0], BOX_F, "shape"),
    "coplanar-upright": (BOX_V * [1, 0, 1], BOX_F, "shape"),
    "collinear": (BOX_V * [0, 1, 0], BOX_F, "either"),
    "collinear-slanting": (BOX_V[:, :1] * [1, 2, 3], BOX_F, "either"),
    "identical": (np.full((8, 3), 7.5), BOX_F, "refused"),
    "zero": (np.zeros((8, 3)), BOX_F, "refused"),
    "hair-thick": (BOX_V * [1, 1, 1e-9], BOX_F, "shape"),
    "a-needle": (BOX_V * [1e-7, 1e-7, 1], BOX_F, "either"),
    "one-triangle": (np.array([[0, 0, 0], [1, 0, 0], [0, 1, 1.0]]), np.array([[0, 1, 2]]), "shape"),
    "corners-twice": (BOX_V, np.concatenate([BOX_F, BOX_F[:, [0, 0, 1]]]), "shape"),
    "only-corners-twice": (BOX_V, BOX_F[:, [0, 0, 1]], "refused"),
    "zero-area": (*_joined((BOX_V, BOX_F), (_ZERO_AREA, np.arange(6).reshape(2, 3))), "shape"),
    "only-zero-area": (_ZERO_AREA, np.arange(6).reshape(2, 3), "either"),
    "index-too-high": (BOX_V, np.concatenate([BOX_F, [[0, 1, 8]]]), "refused"),
    "index-huge": (BOX_V, np.concatenate([BOX_F, [[0, 1, 2**31 - 2]]]), "refused"),
    "index-negative": (BOX_V, np.concatenate([BOX_F, [[0, 1, -1]]]), "refused"),
    "no-faces": (BOX_V, np.zeros((0, 3), int), "refused"),
    "no-vertices": (np.zeros((0, 3)), np.zeros((0, 3), int), "refused"),
    "faces-without-vertices": (np.zeros((0, 3)), BOX_F, "refused"),
    "inside-out": (BOX_V, BOX_F[:, ::-1], "shape"),
    "soup": (*_soup(), "shape"),
    "slivers": (*_slivers(), "either"),
    "huge-triangle-and-dust": (*_dust(), "either"),
    "far-apart": (*_joined((BOX_V, BOX_F), (BOX_V * 1e-9 + 5, BOX_F)), "shape"),
    "two-dots-far-apart": (*_joined((BOX_V * 1e-6, BOX_F), (BOX_V * 1e-6 + 1000, BOX_F)), "either"),
    "book-of-faces": (np.array([[0, 0, 0], [0, 0, 1], *([np.cos(a), np.sin(a), 0] for a in range(40))]),
                      np.array([[0, 1, 2 + i] for i in range(40)]), "shape"),
    "coincident": (BOX_V, np.repeat(BOX_F, 1000, axis=0), "shape"),
    "lonely-vertex": (np.concatenate([BOX_V, [[1e14, 0, 0]]]), BOX_F, "either"),
    "lonely-vertex-1e300": (np.concatenate([BOX_V, [[1e300, 0, 0]]]), BOX_F, "either"),
}  # fmt: skip

_WITHOUT_INDICES = ("index-too-high", "index-huge", "index-negative", "faces-without-vertices")


def geometric(name: str, kind: str) -> Fault | None:
    """Return a fault of geometry in one format; None where the format cannot have it."""
    vertices, faces, verdict = GEOMETRY[name]
    if kind.endswith("stl"):
        if name in _WITHOUT_INDICES:
            return None
        if name.startswith("lonely"):
            verdict = "shape"
    if kind in ("stl", "glb") and name in ("beside-denormal", "1e-150", "denormal"):
        verdict = "refused"  # single precision: they are zero
    if kind == "glb" and name == "index-negative":
        faces = faces.astype(np.int64) % (1 << 32)
    return f"{name}.{kind}", MESH_FORMATS[kind](vertices, faces), verdict


# --------------------------------------------------------------------------------------------- faults of formats
def _text() -> Iterator[Fault]:
    square = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
    box = obj(BOX_V, BOX_F)
    yield "crlf.obj", box.replace(b"\n", b"\r\n"), "shape"
    yield "cr.obj", box.replace(b"\n", b"\r"), "shape"
    yield "bom.obj", b"\xef\xbb\xbf" + box, "shape"
    yield "tabs.obj", box.replace(b" ", b"\t  "), "shape"
    yield "utf16.obj", box.decode().encode("utf-16"), "refused"
    yield "zeros-between.obj", box.replace(b"\n", b"\0\n"), "either"
    yield "random.obj", np.random.default_rng(0).bytes(20_000), "refused"
    yield "random-after.obj", box + np.random.default_rng(0).bytes(20_000), "either"
    yield "repeated.obj", b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 2 3 3 4 1 1\n", "shape"
    yield "star.obj", b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 3 2 4\n", "shape"
    yield "polygon.obj", b"".join(
        b"v %f %f 0\n" % (np.cos(a), np.sin(a)) for a in np.linspace(0, 6, 3000)
    ) + b"f " + b" ".join(b"%d" % (i + 1) for i in range(3000)), "shape"  # fmt: skip
    yield "long-line.obj", box + b"# " + b"x" * (4 << 20) + b"\n", "shape"
    yield "long-number.obj", b"v 0." + b"0" * 200_000 + b" 0 0\n" + box * 200, "either"
    yield "long-index.obj", box + b"f 1 2 " + b"9" * 10_000 + b"\n", "refused"
    yield "index-1e30.obj", box + b"f 1 2 1" + b"0" * 30 + b"\n", "refused"
    yield "index-decimal.obj", box + b"f 1 2 3.0\n", "refused"
    yield "index-words.obj", box + b"f one two three\n", "refused"
    yield "index-slashes.obj", box + b"f / / /\n", "refused"
    yield "hex.obj", box.replace(b"f 1 ", b"f 0x1 "), "refused"
    yield "many-lines.obj", b"\n" * 2_000_000 + box, "shape"
    yield "ahead.obj", b"f 1 2 3\nf 2 3 4\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n", "either"
    yield "continued-for-ever.obj", box + b"f 1 2 3 \\\n" * 20_000, "either"
    yield "webpage.obj", b"<!doctype html><html><body>404 not found</body></html>", "refused"
    yield "pickle.obj", b"cos\nsystem\n(S'echo broken'\ntR.", "refused"

    body = off(BOX_V, BOX_F)
    yield "crlf.off", body.replace(b"\n", b"\r\n"), "shape"
    yield "utf16.off", body.decode().encode("utf-16"), "refused"
    yield "random.off", b"OFF" + np.random.default_rng(1).bytes(5000), "refused"
    yield "too-few.off", body.replace(b"8 12 0", b"8 13 0"), "refused"
    yield "too-many.off", body.replace(b"8 12 0", b"8 11 0"), "either"
    yield "vertices-wrong.off", body.replace(b"8 12 0", b"9 12 0"), "refused"
    yield "counts-huge.off", body.replace(b"8 12 0", b"99999999999999999999 12 0"), "refused"
    yield "counts-negative.off", body.replace(b"8 12 0", b"-8 12 0"), "refused"
    yield "counts-swapped.off", body.replace(b"8 12 0", b"12 8 0"), "refused"
    yield "counts-words.off", body.replace(b"8 12 0", b"eight 12 0"), "refused"
    yield "corners-negative.off", f"OFF\n4 2 0\n{square}-3 0 1 2 3 0\n3 0 1 2\n".encode(), "refused"
    yield "corners-few.off", f"OFF\n4 2 0\n{square}2 0 1\n3 0 1 2\n".encode(), "either"
    yield "corners-none.off", f"OFF\n4 2 0\n{square}0\n3 0 1 2\n".encode(), "shape"
    yield "corners-huge.off", f"OFF\n4 1 0\n{square}2147483647 0 1 2\n".encode(), "refused"
    yield "repeated.off", f"OFF\n4 1 0\n{square}8 0 0 1 1 2 2 3 3\n".encode(), "shape"
    yield "one-line.off", b" ".join(body.split()), "either"
    yield "infinite.off", body.replace(b"0.5", b"infinity"), "refused"

    solid = stl_ascii(BOX_V, BOX_F)
    yield "crlf.ascii.stl", solid.replace(b"\n", b"\r\n"), "shape"
    yield "capitals.ascii.stl", solid.upper(), "shape"
    yield "utf16.ascii.stl", solid.decode().encode("utf-16"), "refused"
    yield "corner-missing.ascii.stl", solid.replace(b"vertex", b"vortex", 1), "refused"
    yield "end-missing.ascii.stl", solid.replace(b"endsolid x", b""), "refused"
    yield "empty.ascii.stl", b"solid x\nendsolid x\n", "refused"
    yield "two-numbers.ascii.stl", b"solid x\nfacet\nvertex 0 0\nvertex 1 0\nvertex 0 1\nendsolid\n", "refused"
    yield "words.ascii.stl", solid.replace(b"vertex ", b"vertex e"), "refused"


def _binary() -> Iterator[Fault]:
    body = stl(BOX_V, BOX_F)
    yield "declares-one-more.stl", body[:80] + struct.pack("<I", 13) + body[84:], "refused"
    yield "declares-one-less.stl", body[:80] + struct.pack("<I", 11) + body[84:], "refused"
    yield "declares-all.stl", body[:80] + b"\xff" * 4 + body[84:], "refused"
    yield "declares-none.stl", body[:80] + bytes(4), "refused"
    yield "called-solid.stl", b"solid" + body[5:], "shape"
    yield "ones.stl", body[:84] + b"\xff" * 600, "refused"
    yield "random.stl", b"x" * 80 + struct.pack("<I", 200) + np.random.default_rng(3).bytes(10_000), "refused"

    head = "ply\nformat {} 1.0\n"
    v = "element vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
    f = "element face {}\nproperty list uchar int vertex_indices\n"
    points, face = b"0 0 0\n1 0 0\n1 1 0\n0 1 0\n", b"4 0 1 2 3\n"

    def text(*parts: str | bytes) -> bytes:
        head_ = head.format("ascii").encode()
        return head_ + b"".join(part.encode() if isinstance(part, str) else part for part in parts)

    end = "end_header\n"
    whole = ply(BOX_V, BOX_F)
    yield "crlf.ascii.ply", text(v.format(4), f.format(1), end, points, face).replace(b"\n", b"\r\n"), "shape"
    yield "utf16.ascii.ply", text(v.format(4), f.format(1), end, points, face).decode().encode("utf-16"), "refused"
    yield "faces-first.ascii.ply", text(f.format(1), v.format(4), end, face, points), "shape"
    yield (
        "no-properties.ascii.ply",
        text("element x 400000000\n", v.format(4), f.format(1), end, points, face),
        "refused",
    )
    yield (
        "no-properties.ply",
        (head.format("binary_little_endian") + "element x 99999999999\n" + end).encode(),
        "refused",
    )
    yield "rows-negative.ascii.ply", text(v.format(-4), f.format(1), end, points, face), "refused"
    yield "rows-huge.ascii.ply", text(v.format(10**30), f.format(1), end, points, face), "refused"
    yield "rows-words.ascii.ply", text(v.format("four"), f.format(1), end, points, face), "refused"
    yield "list-negative.ascii.ply", text(v.format(4), f.format(1), end, points, b"-4 0 1 2 3\n"), "refused"
    yield "list-huge.ascii.ply", text(v.format(4), f.format(1), end, points, b"1000000000000 0 1 2 3\n"), "refused"
    yield "list-decimal.ascii.ply", text(v.format(4), f.format(1), end, points, b"3.5 0 1 2 3\n"), "refused"
    yield "index-decimal.ascii.ply", text(v.format(4), f.format(1), end, points, b"3 0.5 1 2\n"), "either"
    yield "index-nan.ascii.ply", text(v.format(4), f.format(1), end, points, b"3 nan 1 2\n"), "refused"
    yield "x-is-a-list.ascii.ply", text(
        v.format(4).replace("float x", "list uchar float x"), f.format(1), end, b"2 0 0 0 0\n" * 4, face
    ), "refused"  # fmt: skip
    yield (
        "no-z.ascii.ply",
        text(v.format(4).replace("property float z\n", ""), f.format(1), end, points, face),
        "refused",
    )
    yield (
        "x-twice.ascii.ply",
        text(v.format(4).replace("float y", "float x"), f.format(1), end, points, face),
        "refused",
    )
    yield "unknown-type.ascii.ply", text(v.format(4).replace("float x", "quad x"), f.format(1), end, points), "refused"
    yield "vertices-twice.ascii.ply", text(v.format(4), v.format(4), f.format(1), end, points, points, face), "either"
    yield "count-is-float.ply", whole.replace(b"uchar int", b"float int"), "refused"
    yield "count-is-int.ply", whole.replace(b"uchar int", b"int int"), "refused"
    yield "big-endian-said.ply", whole.replace(b"little", b"big"), "refused"
    yield "property-of-nothing.ply", whole.replace(b"element vertex 8\n", b""), "refused"
    yield "header-only.ply", whole[: whole.index(b"end_header") + 11], "refused"
    yield "random.ply", whole[: whole.index(b"end_header") + 11] + np.random.default_rng(4).bytes(350), "refused"
    strips = "element tristrips 1\nproperty list int int vertex_indices\n"
    yield "strip-of-ends.ascii.ply", text(v.format(4), strips, end, points, b"6 -1 -1 -1 -1 -1 -1\n"), "refused"


def _scenes() -> Iterator[Fault]:
    def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
        return glb(BOX_V, BOX_F, change)

    def accessor(i: int, **values: Any) -> bytes:
        return changed(lambda h: h["accessors"][i].update(values))

    def node(**values: Any) -> bytes:
        return changed(lambda h: h["nodes"][0].update(values))

    def view(i: int, **values: Any) -> bytes:
        return changed(lambda h: h["bufferViews"][i].update(values))

    whole = glb(BOX_V, BOX_F)
    yield "node-in-itself.glb", node(children=[0]), "refused"
    yield "nodes-in-a-ring.glb", changed(
        lambda h: h.update(nodes=[{"children": [1]}, {"children": [2]}, {"children": [0], "mesh": 0}])
    ), "refused"  # fmt: skip
    yield "ring-without-scene.glb", changed(
        lambda h: (h.pop("scenes"), h.update(nodes=[{"children": [1], "mesh": 0}, {"children": [0], "mesh": 0}]))
    ), "refused"  # fmt: skip
    deep = [{"children": [i + 1]} for i in range(5000)]
    yield "nodes-5000-deep.glb", changed(lambda h: h.update(nodes=[*deep, {"mesh": 0}])), "shape"
    yield "placed-30000-times.glb", changed(
        lambda h: h.update(nodes=[{"mesh": 0}] * 30_000, scenes=[{"nodes": list(range(30_000))}])
    ), "either"  # fmt: skip
    yield "negative-node.glb", changed(lambda h: h.update(scenes=[{"nodes": [-1]}])), "refused"
    yield "node-as-text.glb", changed(lambda h: h.update(scenes=[{"nodes": ["0"]}])), "refused"
    yield "nodes-as-number.glb", changed(lambda h: h.update(scenes=[{"nodes": 7}])), "refused"
    yield "children-as-lists.glb", node(children=[[0]]), "refused"
    yield "mesh-as-list.glb", node(mesh=[0]), "refused"
    yield "mesh-99.glb", node(mesh=99), "refused"
    yield "meshes-as-object.glb", changed(lambda h: h.update(meshes={"0": h["meshes"][0]})), "refused"
    yield "primitives-as-number.glb", changed(lambda h: h.update(meshes=[{"primitives": 3}])), "refused"
    yield "scale-0.glb", node(scale=[0, 0, 0]), "refused"
    yield "scale-1e200.glb", node(scale=[1e200] * 3), "refused"
    yield "scale-as-number.glb", node(scale=3), "refused"
    yield "scale-as-text.glb", node(scale="large"), "refused"
    yield "matrix-of-nan.glb", node(matrix=[float("nan")] * 16), "refused"
    yield "matrix-singular.glb", node(matrix=[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "shape"
    yield "matrix-of-text.glb", node(matrix=["one"] * 16), "refused"
    yield "rotation-0.glb", node(rotation=[0, 0, 0, 0]), "shape"
    yield "translation-infinite.glb", node(translation=[float("inf"), 0, 0]), "refused"
    yield "positions-as-bytes.glb", accessor(0, componentType=5120), "either"
    yield "positions-as-matrix.glb", accessor(0, type="MAT4"), "refused"
    yield "positions-of-two.glb", accessor(0, type="VEC2"), "refused"
    yield "positions-missing.glb", changed(lambda h: h["meshes"][0]["primitives"][0].pop("attributes")), "refused"
    yield "type-as-list.glb", accessor(0, type=["VEC3"]), "refused"
    yield "indices-as-floats.glb", accessor(1, componentType=5126), "either"
    yield "indices-shifted.glb", accessor(1, byteOffset=1, count=33), "refused"
    yield "indices-as-bytes.glb", accessor(1, componentType=5121, count=36), "either"
    yield "count-1e12.glb", accessor(0, count=10**12), "refused"
    yield "count-2-to-the-64.glb", accessor(1, count=2**64), "refused"
    yield "count-35.glb", accessor(1, count=35), "refused"
    yield "view-outside.glb", view(1, byteOffset=10**9), "refused"
    yield "view-past-the-end.glb", view(1, byteLength=10**6), "refused"
    yield "view-too-short.glb", view(0, byteLength=8), "refused"
    yield "view-negative.glb", view(0, byteOffset=-4), "refused"
    yield "view-stride-1e12.glb", view(0, byteStride=10**12), "refused"
    yield "view-of-buffer-1.glb", view(0, buffer=1), "refused"
    yield "strip.glb", changed(lambda h: h["meshes"][0]["primitives"][0].update(mode=5)), "shape"
    yield "fan.glb", changed(lambda h: h["meshes"][0]["primitives"][0].update(mode=6)), "shape"
    yield "points.glb", changed(lambda h: h["meshes"][0]["primitives"][0].update(mode=0)), "refused"
    yield "mode-as-list.glb", changed(lambda h: h["meshes"][0]["primitives"][0].update(mode=[4])), "refused"
    yield "header-a-list.glb", glb_file(b"[]", b""), "refused"
    yield "header-deep.glb", glb_file(b"[" * 200_000, b""), "refused"
    yield "header-utf16.glb", glb_file('{"nodes": []}'.encode("utf-16"), b""), "refused"
    yield "header-number-huge.glb", glb_file(b'{"scene": 1' + b"0" * 10_000 + b"}", b""), "refused"
    yield "length-short.glb", whole[:8] + struct.pack("<I", 100) + whole[12:], "refused"
    yield "chunk-too-long.glb", whole[:12] + b"\xff\xff\xff\x7f" + whole[16:], "refused"
    yield "chunk-of-nothing.glb", whole[:12] + bytes(8) * 3 + whole[12:], "refused"

    model = model_3mf(BOX_V, BOX_F)
    yield "utf16.3mf", packed_3mf(('<?xml version="1.0" encoding="UTF-16"?>' + model).encode("utf-16")), "shape"
    laughs = "".join(f"<!ENTITY l{i} '{f'&l{i - 1};' * 10 if i else '0' * 10}'>" for i in range(10))
    bomb = f"<!DOCTYPE m [{laughs}]>" + model.replace("<vertex x=", '<vertex x="&l9;" w=', 1)
    yield "entities.3mf", packed_3mf(bomb), "refused"
    yield (
        "entities-utf16.3mf",
        packed_3mf(('<?xml version="1.0" encoding="UTF-16"?>' + bomb).encode("utf-16")),
        "refused",
    )
    utf7 = '<?xml version="1.0" encoding="UTF-7"?>' + bomb.replace("<!", "+ADwAIQ-")
    yield "entities-utf7.3mf", packed_3mf(utf7), "refused"
    ebcdic = ('<?xml version="1.0" encoding="IBM037"?>' + bomb).encode("cp037")
    yield "entities-ebcdic.3mf", packed_3mf(ebcdic), "refused"
    small = '<?xml version="1.0" encoding="UTF-7"?>' + "+ADwAIQ-DOCTYPE m []>" + model
    yield "doctype-utf7.3mf", packed_3mf(small), "refused"
    secret = "<!DOCTYPE m [<!ENTITY f SYSTEM 'file:///etc/hostname'>]>" + model.replace("<build>", "<build>&f;")
    yield "other-file-utf16.3mf", packed_3mf(secret.encode("utf-16")), "refused"
    yield "unpacks-to-much.3mf", packed_3mf(model + " " * 40_000_000), "refused"
    yield "no-model.3mf", packed_3mf(model, "3D/other.xml"), "refused"
    yield "model-empty.3mf", packed_3mf(""), "refused"
    yield "model-no-xml.3mf", packed_3mf("not XML"), "refused"
    yield "nothing-built.3mf", packed_3mf(model.replace('<item objectid="1"/>', "")), "refused"
    yield "deep.3mf", packed_3mf(f'<model xmlns="{CORE}">' + "<a>" * 50_000 + "</a>" * 50_000 + "</model>"), "refused"
    many = "".join('<component objectid="{}"/>' for _ in range(20_000))
    levels = "".join(
        f'<object id="{i}"><components>{many.replace("{}", str(i - 1))}</components></object>' for i in (2, 3, 4)
    )
    yield "components-8e12.3mf", packed_3mf(model_3mf(BOX_V, BOX_F, levels, "4")), "refused"
    ring = '<object id="2"><components><component objectid="3"/></components></object>'
    ring += '<object id="3"><components><component objectid="2"/></components></object>'
    yield "components-in-a-ring.3mf", packed_3mf(model_3mf(BOX_V, BOX_F, ring, "2")), "refused"
    yield "transform-short.3mf", packed_3mf(model.replace("<item ", '<item transform="1 0 0" ')), "refused"
    yield "transform-words.3mf", packed_3mf(model.replace("<item ", f'<item transform="{"a " * 12}" ')), "refused"
    yield "corner-missing.3mf", packed_3mf(model.replace(' v3="', ' v4="', 1)), "refused"
    yield "number-long.3mf", packed_3mf(model.replace('x="', 'x="0' + "0" * 100_000, 1)), "either"
    packed = packed_3mf(model)
    yield "crc-wrong.3mf", packed.replace(packed[14:18], b"\1\2\3\4"), "refused"
    yield "encrypted.3mf", packed.replace(b"PK\1\2\x14\x03\x14\x00\x00", b"PK\1\2\x14\x03\x14\x00\x01"), "refused"


def _volumes() -> Iterator[Fault]:
    whole = binvox(GRID)
    yield "whole.binvox", whole, "shape"
    yield "full.binvox", binvox(np.ones((8, 8, 8))), "shape"
    yield "one-cell.binvox", binvox(np.eye(8)[:, :, None] * np.eye(8)[None] * (np.arange(8) == 3)), "shape"
    yield "empty.binvox", binvox(np.zeros((8, 8, 8))), "refused"
    yield "one-by-one.binvox", binvox(np.ones((1, 1, 1))), "shape"
    for name, old, new in (
        ("dim-lies", b"dim 12 12 12", b"dim 13 13 13"),
        ("dim-huge", b"dim 12 12 12", b"dim 100000 100000 100000"),
        ("dim-overflows", b"dim 12 12 12", b"dim 4294967296 4294967296 4294967296"),
        ("dim-zero", b"dim 12 12 12", b"dim 0 0 0"),
        ("dim-negative", b"dim 12 12 12", b"dim -12 -12 12"),
        ("dim-two", b"dim 12 12 12", b"dim 12 144"),
        ("dim-no-cube", b"dim 12 12 12", b"dim 6 24 12"),
        ("dim-words", b"dim 12 12 12", b"dim a b c"),
        ("dim-missing", b"dim 12 12 12\n", b""),
        ("scale-0", b"scale 1", b"scale 0"),
        ("scale-negative", b"scale 1", b"scale -1"),
        ("scale-nan", b"scale 1", b"scale nan"),
        ("scale-infinite", b"scale 1", b"scale 1e999"),
        ("scale-missing-number", b"scale 1", b"scale"),
        ("translate-nan", b"translate 0", b"translate nan"),
        ("translate-two", b"translate 0 0 0", b"translate 0 0"),
        ("no-data", b"data\n", b""),
        ("not-ascii", b"scale 1", b"scale 1\n\xff\xfe"),
    ):
        yield f"{name}.binvox", whole.replace(old, new), "refused"
    yield "scale-1e308.binvox", whole.replace(b"scale 1", b"scale 1e308"), "either"
    yield "scale-denormal.binvox", whole.replace(b"scale 1", b"scale 5e-324"), "either"
    yield "translate-1e308.binvox", whole.replace(b"translate 0", b"translate 1e308"), "either"
    yield "odd-bytes.binvox", whole + b"\1", "refused"
    yield "run-of-nothing.binvox", whole + b"\1\0" * 100_000, "either"
    yield "one-run-more.binvox", whole + b"\1\7", "refused"
    head = b"#binvox 1\ndim 512 512 512\ntranslate 0 0 0\nscale 1\ndata\n"
    yield "512.binvox", head + (b"\1\xff" * (512**3 // 255)) + bytes((1, 512**3 % 255)), "either"
    yield "text.binvox", b"#binvox 1\n" * 10_000, "refused"

    yield "whole.npz", npz(occupancy=GRID), "shape"
    yield "objects.npz", npz(occupancy=np.array([{"a": 1}, None], object)), "refused"
    yield "words.npz", npz(occupancy=np.array([[["inside", "outside"]]])), "refused"
    yield "dates.npz", npz(occupancy=np.zeros((4, 4, 4), "datetime64[s]")), "refused"
    yield "records.npz", npz(occupancy=np.zeros((4, 4, 4), [("a", "f4"), ("b", "i4")])), "refused"
    yield "complex.npz", npz(occupancy=GRID.astype(complex)), "refused"
    yield "none.npz", npz(other=GRID), "refused"
    yield "no-shapes.npz", npz(occupancy=np.zeros((0, 8, 8, 8))), "refused"
    yield "two-shapes.npz", npz(occupancy=np.stack([GRID, GRID])), "refused"
    yield "flat.npz", npz(occupancy=GRID.ravel()), "refused"
    yield "no-cube.npz", npz(occupancy=GRID[:, :5]), "refused"
    yield "no-cells.npz", npz(occupancy=np.zeros((0, 0, 0))), "refused"
    yield "empty.npz", npz(occupancy=np.zeros((8, 8, 8))), "refused"
    yield "nan.npz", npz(occupancy=np.full((8, 8, 8), np.nan)), "refused"
    yield "1e300.npz", npz(occupancy=np.full((8, 8, 8), 1e300)), "either"
    yield "scale-alone.npz", npz(occupancy=GRID, scale=np.ones(1)), "refused"
    yield "scale-nan.npz", npz(occupancy=GRID, scale=np.full(1, np.nan), centre=np.zeros((1, 3))), "refused"
    yield "scale-of-two.npz", npz(occupancy=GRID, scale=np.ones(2), centre=np.zeros((2, 3))), "refused"
    yield "scale-as-words.npz", npz(occupancy=GRID, scale=np.array(["a"]), centre=np.zeros((1, 3))), "refused"
    yield "declares-petabytes.npz", zipped(occupancy=npy_header("(100000, 100000, 100000)")), "refused"
    yield "declares-2-to-the-64.npz", zipped(occupancy=npy_header(f"({2**64}, 4, 4)")), "refused"
    yield "declares-negative.npz", zipped(occupancy=npy_header("(-4, -4, 4)")), "refused"
    yield "declares-objects.npz", zipped(occupancy=npy_header("(4, 4, 4)", "'|O'") + b"cos\nsystem\n."), "refused"
    yield "declares-gigabytes.npz", zipped(occupancy=npy_header("(1000, 1000, 1000)")), "refused"
    yield "header-is-code.npz", zipped(occupancy=npy_header("__import__('os').getcwd()")), "refused"
    yield "header-huge.npz", zipped(occupancy=npy_header("(4, 4, 4)" + " " * 60_000)), "refused"
    yield "side-700.npz", zipped(occupancy=npy_header("(700, 700, 700)") + bytes(700**3)), "refused"
    yield "many-shapes.npz", zipped(occupancy=npy_header("(200, 128, 128, 128)") + bytes(200 * 128**3)), "refused"
    yield "scale-of-gigabytes.npz", zipped(
        occupancy=npz_entry(GRID), scale=npy_header("(300000000,)", "'<f8'"), centre=npz_entry(np.zeros((1, 3)))
    ), "refused"  # fmt: skip
    yield "no-array.npz", zipped(occupancy=b"not numpy's"), "refused"
    yield "text.npz", b"PK\3\4 no archive", "refused"
    yield "pickle.npz", b"\x80\x04\x95.", "refused"


def npz_entry(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def of_formats() -> list[Fault]:
    """Return all faults that belong to a format."""
    return [*_text(), *_binary(), *_scenes(), *_volumes()]


_BALL_AND_BAR = trimesh.util.concatenate([trimesh.creation.icosphere(2, 0.5), trimesh.creation.box((2.0, 0.3, 0.4))])
HEALTHY_V, HEALTHY_F = np.array(_BALL_AND_BAR.vertices), np.array(_BALL_AND_BAR.faces)


def healthy() -> dict[str, bytes]:
    """Return one sound file of each kind, to flip bits of and to cut."""
    found = {f"healthy.{kind}": write(HEALTHY_V, HEALTHY_F) for kind, write in MESH_FORMATS.items()}
    return found | {"healthy.binvox": binvox(GRID), "healthy.npz": npz(occupancy=GRID, scale=[2.0], centre=[[0, 0, 1]])}
