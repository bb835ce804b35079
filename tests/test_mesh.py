from __future__ import annotations

import csv
import io
import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from voxgan.errors import MeshError, StorageError, SurfaceError, UsageError
from voxgan.mesh import EXPORT_SUFFIXES, MESH_SUFFIXES, export, read_mesh, surface

DATA = os.environ.get("VOXGAN_TEST_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="VOXGAN_TEST_DATA does not name the folder of real data")

SQUARE = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
TRIANGLE_OBJ = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sound(mesh: trimesh.Trimesh) -> bool:
    return bool(mesh.is_watertight and mesh.is_winding_consistent and mesh.volume > 0)


def stretched_ball() -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.vertices = ball.vertices * [1, 2, 3] + [5, 6, 7]
    return ball


def ball_grid(resolution: int = 32, radius: float = 0.4, sharpness: float = 32) -> np.ndarray:
    x = (np.arange(resolution) + 0.5) / resolution - 0.5
    distance = np.sqrt(x[:, None, None] ** 2 + x[None, :, None] ** 2 + x[None, None, :] ** 2)
    return 1 / (1 + np.exp(sharpness * (distance - radius)))


# ------------------------------------------------------------------------------------------------ reading
@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES)
def test_every_format_comes_back(tmp_path, suffix):
    mesh = stretched_ball()
    again = read_mesh(export(mesh, tmp_path / f"a{suffix}"))
    assert again.vertices.dtype == np.float64
    assert len(again.faces) == len(mesh.faces)
    np.testing.assert_allclose(again.bounds, mesh.bounds, atol=1e-5)
    assert again.volume == pytest.approx(mesh.volume, rel=1e-5)
    assert sound(again)


def test_suffix_case_and_odd_names(tmp_path):
    for name in ("A B.OBJ", "-é漢🙂.obj"):
        assert len(read_mesh(write(tmp_path, name, TRIANGLE_OBJ)).faces) == 1


@pytest.mark.parametrize(
    ("name", "content", "faces"),
    [
        ("a.off", f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3\n", [[0, 1, 2], [0, 2, 3]]),
        ("a.off", f"OFF4 1 0\n{SQUARE}4 0 1 2 3\n", [[0, 1, 2], [0, 2, 3]]),
        ("a.off", f"OFF 4 1 0\n{SQUARE}4 0 1 2 3\n", [[0, 1, 2], [0, 2, 3]]),
        ("a.off", f"\ufeff# by hand\nOFF\n# n\n4 2 0\n\n{SQUARE}3 0 1 2 255 0 0\n3 0 2 3\n", [[0, 1, 2], [0, 2, 3]]),
        ("a.off", f"OFF\n4 1 0\n{SQUARE}4 0 1\n2\n3\n\n", [[0, 1, 2], [0, 2, 3]]),
        ("a.off", f"OFF\r\n4 1 0\r\n{SQUARE}4 0 1 2 3".replace("\n", "\r\n"), [[0, 1, 2], [0, 2, 3]]),
        ("a.off", "COFF\n3 1 0\n0 0 0 255 0 0 255\n1 0 0 255 0 0 255\n0 1 0 255 0 0 255\n3 0 1 2\n", [[0, 1, 2]]),
        ("a.obj", "v 0 0 0 1 0 0\nv 1 0 0\nv 1 1 0\nvt 0 0\nvn 0 0 1\nf 1/1/1 2//1 3/1 # all\n", [[0, 1, 2]]),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 1 1 0\nf -3 -2 -1\nv 0 1 0\nf -4 -2 -1\n", [[0, 1, 2], [0, 2, 3]]),
        ("a.obj", "mtllib ../../etc/passwd\nv 0 0 0\nv 1 0 0\nv 1 1 0\ng f of it\nf 1 2 \\\n3\n", [[0, 1, 2]]),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 1 1 0\nf 1 1 2\nf 1 2 3\n", [[0, 1, 2]]),
    ],
)  # fmt: skip
def test_dialects(tmp_path, name, content, faces):
    assert read_mesh(write(tmp_path, name, content)).faces.tolist() == faces


def ply(body: bytes, form: str, faces: str = "element face 2\nproperty list uchar int vertex_indices") -> bytes:
    head = f"ply\nformat {form} 1.0\ncomment by hand\nelement vertex 4\nproperty float x\nproperty float y\n"
    return f"{head}property float z\nproperty uchar red\n{faces}\nend_header\n".encode() + body


def binary_ply(order: str, lists: list[list[int]], **options: str) -> bytes:
    points = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0))
    body = b"".join(struct.pack(f"{order}3fB", *p, 200) for p in points)
    body += b"".join(struct.pack(f"{order}B{len(row)}i", len(row), *row) for row in lists)
    return ply(body, "binary_little_endian" if order == "<" else "binary_big_endian", **options)


def test_ply_of_every_kind(tmp_path):
    both = [[0, 1, 2], [0, 2, 3]]
    for order in "<>":
        assert read_mesh(write(tmp_path, "a.ply", binary_ply(order, both))).faces.tolist() == both
        mixed = binary_ply(order, [[0, 1, 2, 3], [0, 1, 3]])
        assert read_mesh(write(tmp_path, "a.ply", mixed)).faces.tolist() == [*both, [0, 1, 3]]
        strips = "element tristrips 1\nproperty list uchar int vertex_indices"
        strip = binary_ply(order, [[0, 1, 3, 2, -1, 0, 2, 3]], faces=strips)
        assert read_mesh(write(tmp_path, "a.ply", strip)).faces.tolist() == [[0, 1, 3], [3, 1, 2], [0, 2, 3]]
    text = b"0 0 0 9\n1 0 0 9\n1 1 0 9\n0 1 0 9\n4 0 1 2 3\n3 0 1 3\n"
    assert read_mesh(write(tmp_path, "a.ply", ply(text, "ascii"))).faces.tolist() == [*both, [0, 1, 3]]


def test_stl_corners_become_vertices_and_ascii_is_read(tmp_path):
    box = trimesh.creation.box()
    again = read_mesh(export(box, tmp_path / "a.stl"))
    assert len(again.vertices) == 8
    path = write(tmp_path, "b.stl", box.export(file_type="stl_ascii"))
    assert len(read_mesh(path).vertices) == 8
    cut = path.read_bytes()
    with pytest.raises(MeshError, match="cut off"):
        read_mesh(write(tmp_path, "c.stl", cut[: len(cut) // 2]))


def glb(change=lambda header: None, binary: bytes | None = None) -> bytes:
    """One triangle, placed twice: as it is, and 10 to the right."""
    data = binary or struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 2, 0) + struct.pack("<3H", 0, 1, 2) + b"\0\0"
    header = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [{"mesh": 0}, {"translation": [10, 0, 0], "children": [2]}, {"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": 36},
            {"buffer": 0, "byteOffset": 36, "byteLength": 6},
        ],
        "buffers": [{"byteLength": len(data)}],
    }
    change(header)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def test_glb_is_flattened_and_turned_to_z_up(tmp_path):
    mesh = read_mesh(write(tmp_path, "a.glb", glb()))
    assert mesh.bounds.tolist() == [[0, 0, 0], [11, 0, 2]]  # y up in the file
    assert mesh.faces.tolist() in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]])


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["accessors"][0].update(count=400_000_000),
        lambda h: h["accessors"][0].update(count=-1),
        lambda h: h["accessors"][0].update(count=3.5),
        lambda h: h["accessors"][0].pop("bufferView"),
        lambda h: h["accessors"][0].update(type="VEC2"),
        lambda h: h["accessors"][0].update(byteOffset=-4),
        lambda h: h["bufferViews"][0].update(byteLength=1 << 40),
        lambda h: h["bufferViews"][0].update(byteStride=1),
        lambda h: h["buffers"][0].update(uri="http://localhost/secret.bin"),
        lambda h: h["nodes"][1].update(children=[1]),
        lambda h: h["nodes"][1].update(children=[99]),
        lambda h: h["nodes"][1].update(matrix=[1, 2, 3]),
        lambda h: h["meshes"][0]["primitives"][0].update(indices="0"),
        lambda h: h["meshes"][0]["primitives"].extend(h["meshes"][0]["primitives"] * 20_000),
        lambda h: h.update(extensionsRequired=["KHR_draco_mesh_compression"]),
        lambda h: h.update(scenes=[{"nodes": []}]),
    ],
)
def test_damaged_glb_is_refused(tmp_path, change, monkeypatch):
    monkeypatch.setattr("voxgan.mesh_scenes.MAX_FACES", 1 << 20)
    with pytest.raises(MeshError):
        read_mesh(write(tmp_path, "a.glb", glb(change)))


def threemf(model: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("3D/3dmodel.model", model)
    return packed.getvalue()


MODEL_3MF = """<model xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><resources>
<object id="1"><mesh><vertices><vertex x="0" y="0" z="0"/><vertex x="1" y="0" z="0"/><vertex x="0" y="1" z="0"/>
</vertices><triangles><triangle v1="0" v2="1" v3="2"/></triangles></mesh></object>
<object id="2"><components><component objectid="1"/>
<component objectid="1" transform="1 0 0 0 1 0 0 0 1 5 6 7"/></components></object>
</resources><build><item objectid="2"/></build></model>"""


def test_3mf_is_flattened_and_bombs_are_refused(tmp_path):
    mesh = read_mesh(write(tmp_path, "a.3mf", threemf(MODEL_3MF)))
    assert len(mesh.faces) == 2
    assert mesh.bounds.tolist() == [[0, 0, 0], [6, 7, 7]]
    for bad in (
        MODEL_3MF.replace('<component objectid="1"/>', '<component objectid="2"/>'),
        MODEL_3MF.replace('<component objectid="1"/>', '<component objectid="9"/>'),
        "<!DOCTYPE x [<!ENTITY a 'b'>]>" + MODEL_3MF,
        MODEL_3MF + " " * 30_000_000,
        MODEL_3MF[:-30],
    ):
        with pytest.raises(MeshError):
            read_mesh(write(tmp_path, "b.3mf", threemf(bad)))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.obj", "", "is empty"),
        ("a.off", b"\0" * 100, "is empty"),
        ("a.fbx", "x", r"known: \.3mf, \.glb, \.obj, \.off, \.ply, \.stl"),
        ("a.objj", "x", r"did you mean '\.obj'"),
        ("a.obj", "v 0 0 0\nv 1 0 0\n", "no faces"),
        ("a.obj", "v 0 0 0\nv 1 nan 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
        ("a.obj", "v 0 0 0\nv 1 inf 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
        ("a.obj", "v 0 0 0\nv 1 1e300 0\nv 0 1 0\nf 1 2 3\n", "reach"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "names vertex 3"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "names vertex 0"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -9 1 2\n", "names vertex -9"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2\n", "fewer than 3 corners"),
        ("a.obj", "v 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "fewer than 3 coordinates"),
        ("a.obj", "v 0 x 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "cannot read"),
        ("a.obj", "v 2 2 2\nv 2 2 2\nv 2 2 2\nf 1 2 3\n", "one place"),
        ("a.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 1 2\n", "degenerate"),
        ("a.off", "PNG", "does not begin with OFF"),
        ("a.off", "OFF\n", "counts"),
        ("a.off", "OFF\n4000000000 9 0\n0 0 0\n", "do not fit"),
        ("a.off", f"OFF\n4 2 0\n{SQUARE}3 0 1 2\n", "cut off"),
        ("a.off", f"OFF\n4 1 0\n{SQUARE}4 0 1 2\n", "cut off"),
        ("a.off", f"OFF\n4 1 0\n{SQUARE}3 0 1 7\n", "names vertex 7"),
        ("a.off", f"OFF\n4 1 0\n{SQUARE}3 0 1 -1\n", "names vertex -1"),
        ("a.stl", b"\1" * 50, "fewer than the header"),
        ("a.stl", b"\0" * 80 + struct.pack("<I", 90_000_000) + b"\1" * 50, "cut off"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 3\n", "does not end"),
        ("a.ply", binary_ply("<", [[0, 1, 2], [0, 2, 3]])[:-4], "cut off"),
        ("a.ply", binary_ply("<", [[0, 1, 2]]), "cut off"),
        ("a.ply", binary_ply("<", [[0, 1, 2], [0, 2, 9]]), "names vertex 9"),
        ("a.ply", ply(b"0 0 0 9\n1 0 0 9\n1 1 0 9\n", "ascii"), "cut off|fit"),
        ("a.ply", ply(b"x" * 90, "ascii", faces="element face 4000000000\nproperty list uchar int f"), "fit"),
        ("a.ply", ply(b"", "utf-9"), "no known format"),
        ("a.glb", glb()[:-5], "cut off"),
        ("a.glb", b"glTF" + b"\1" * 60, "version"),
        ("a.glb", glb(binary=struct.pack("<9f", *[float("nan")] * 9) + struct.pack("<3Hxx", 0, 1, 2)), "finite"),
        ("a.glb", glb(binary=struct.pack("<9f", *range(9)) + struct.pack("<3Hxx", 0, 1, 9)), "outside"),
        ("a.3mf", b"PK\3\4 no archive", "damaged"),
    ],
)  # fmt: skip
def test_bad_meshes_are_refused_in_one_line(tmp_path, name, content, says):
    with pytest.raises(MeshError, match=says) as caught:
        read_mesh(write(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_missing_folder_and_address(tmp_path):
    with pytest.raises(StorageError, match="no mesh file"):
        read_mesh(tmp_path / "nothing.obj")
    (tmp_path / "folder.obj").mkdir()
    with pytest.raises(StorageError, match="is no file"):
        read_mesh(tmp_path / "folder.obj")
    with pytest.raises(MeshError, match="download"):
        read_mesh("https://localhost/a.obj")
    with pytest.raises(StorageError):
        read_mesh("a\0b.obj")


def test_too_large_a_file_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("voxgan.mesh.MAX_BYTES", 10)
    with pytest.raises(MeshError, match="simplify"):
        read_mesh(write(tmp_path, "a.obj", TRIANGLE_OBJ))


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_flipped_bits_and_cuts_raise_nothing_else(tmp_path, suffix):
    box = trimesh.creation.box()
    whole = export(box, tmp_path / f"whole{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / f"bad{suffix}"
    for i in range(60):
        damaged = bytearray(whole)
        if i % 3:
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        else:
            damaged = damaged[: rng.integers(len(damaged))]
        path.write_bytes(damaged)
        try:
            mesh = read_mesh(path)
        except MeshError as error:
            assert "\n" not in str(error)
        else:
            assert np.isfinite(mesh.vertices).all()
            assert 0 <= mesh.faces.min() <= mesh.faces.max() < len(mesh.vertices)
            # OBJ and ASCII declare no counts; every other format knows that something is missing
            assert i % 3 or suffix == ".obj" or len(mesh.faces) == 12


@needs_data
def test_real_meshes_read_or_are_refused():
    folder = Path(str(DATA))
    with (folder / "meshes" / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["file"].endswith(".binvox")]
    assert len(rows) > 50
    flat = {"pymesh/polygon.obj", "pymesh/quad_s1.obj"}  # points of two coordinates
    more = {"libigl/inspired_mesh_quads_Smooth.off", "common3d/igea.ply"}  # what trimesh itself cannot read
    for row in rows:
        name = row["file"].removeprefix("meshes/")
        try:
            mesh = read_mesh(folder / row["file"])
        except MeshError:
            assert row["load"] != "ok" or name in flat, name
            continue
        assert row["load"] == "ok" or name in more, name
        assert np.isfinite(mesh.vertices).all() and mesh.faces.max() < len(mesh.vertices), name
        if row["load"] == "ok":
            expected = sorted(float(side) for side in row["extents"].split())
            np.testing.assert_allclose(sorted(mesh.extents), expected, rtol=1e-3, atol=1e-6, err_msg=name)
            assert abs(len(mesh.faces) - int(row["faces"])) <= int(row["degenerate_faces"]), name


# ------------------------------------------------------------------------------------------------ surface
def test_ball_has_its_volume_place_and_outward_normals():
    mesh = surface(ball_grid())
    assert sound(mesh)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.005)
    np.testing.assert_allclose(mesh.bounds, [[-0.4] * 3, [0.4] * 3], atol=0.002)
    outward = np.einsum("fi,fi->f", mesh.face_normals, mesh.triangles_center)
    assert (outward > 0).all()


def test_axes_are_kept_and_borders_closed():
    grid = np.zeros((8, 8, 8), bool)
    grid[0:2, 3:4, 5:8] = True
    mesh = surface(grid)
    assert sound(mesh)
    np.testing.assert_allclose(mesh.bounds, [[-0.5, -0.125, 0.125], [-0.25, 0, 0.5]], atol=1e-6)


@pytest.mark.parametrize("kind", ["noise", "binary", "sparse", "quarters", "halves", "saturated", "float16"])
def test_any_grid_gives_a_watertight_surface(kind, tmp_path):
    rng = np.random.default_rng(3)
    for resolution in (2, 5, 9, 14):
        noise = rng.random((resolution,) * 3)
        grid = {
            "noise": noise,
            "binary": noise > 0.5,
            "sparse": (noise > 0.8).astype(np.float32),
            "quarters": np.round(noise * 4) / 4,
            "halves": np.round(noise * 2) / 2,
            "saturated": 1 / (1 + np.exp(-60 * (noise - 0.5))),
            "float16": noise.astype(np.float16),
        }[kind]
        mesh = surface(grid)
        assert sound(mesh)
        assert sound(read_mesh(export(mesh, tmp_path / "a.stl", size_mm=80)))
        small = surface(grid, smooth=3, max_faces=len(mesh.faces) // 2)
        assert small.is_watertight
        assert len(small.faces) <= len(mesh.faces)


def test_smoothing_keeps_volume_and_takes_steps_away():
    rough = surface(ball_grid() > 0.5)
    smooth = surface(ball_grid() > 0.5, smooth=15)
    assert sound(smooth)
    assert smooth.volume == pytest.approx(rough.volume, rel=0.03)
    assert smooth.face_adjacency_angles.mean() < 0.5 * rough.face_adjacency_angles.mean()


def test_decimation_reaches_its_goal_and_stays_watertight():
    for grid in (ball_grid(), ball_grid() > 0.5):
        whole = surface(grid)
        for goal in (2000, 300):
            mesh = surface(grid, max_faces=goal)
            assert len(mesh.faces) <= goal < len(whole.faces)
            assert sound(mesh)
            assert mesh.volume == pytest.approx(whole.volume, rel=0.05)


def test_decimation_of_a_rough_shape_is_near_its_goal_and_monotonic():
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(1).standard_normal((40, 40, 40)), 1.5)
    table = np.zeros((40, 40, 40))
    table[4:36, 4:36, 22:26] = table[6:10, 6:10, 4:22] = table[30:34, 30:34, 4:22] = 1
    grid = 1 / (1 + np.exp(-8 * (gaussian_filter(table, 1) - 0.4 + 0.8 * noise)))  # bumps, handles, specks
    for smooth in (0, 10):
        whole = surface(grid, smooth=smooth)
        counts = []
        for goal in (20, 500, 2000, 5000):
            mesh = surface(grid, smooth=smooth, max_faces=goal)
            assert sound(mesh) and mesh.volume == pytest.approx(whole.volume, rel=0.1)
            counts.append(len(mesh.faces))
        assert counts == sorted(counts)
        assert 0.98 * 2000 <= counts[2] <= 2000 and 0.98 * 5000 <= counts[3] <= 5000 < len(whole.faces)


def test_decimation_leaves_what_it_would_tear():
    rng = np.random.default_rng(0)
    mesh = surface(rng.random((10, 10, 10)) > 0.5, max_faces=8)
    assert sound(mesh)
    assert len(mesh.faces) > 8


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        (np.full((4, 4, 4), 0.31), r"empty: its highest occupancy is 0\.31, not above the level 0\.5; lower"),
        (np.full((4, 4, 4), 0.5), "empty"),
        (np.zeros((4, 4, 4), bool), "empty"),
        (np.ones((4, 4, 4), bool), "full: its lowest occupancy is 1, above the level 0.5; raise"),
        (np.full((4, 4, 4), np.nan), "64 of the grid's 64 cells are not finite"),
        (np.full((4, 4, 4), 3.0), "runs from 3 to 3; probabilities"),
        (np.full((4, 4, 4), -7.0), "probabilities"),
        (np.zeros((4, 4, 5)), r"\(4, 4, 5\); a cube"),
        (np.zeros((4, 4)), "a cube"),
        (np.zeros((0, 0, 0)), "a cube"),
        (np.full((4, 4, 4), "a"), "a cube"),
    ],
)
def test_grids_without_a_surface_are_answered_in_words(grid, says):
    with pytest.raises(SurfaceError, match=says):
        surface(grid)


@pytest.mark.parametrize("options", [{"level": 0}, {"level": 1.0}, {"level": np.nan}, {"smooth": -1}, {"max_faces": 3}])
def test_surface_refuses_wrong_options(options):
    with pytest.raises(UsageError):
        surface(ball_grid(8), **options)


# ------------------------------------------------------------------------------------------------- export
@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES)
def test_size_floor_and_up_axis_as_trimesh_reads_them(tmp_path, suffix):
    mesh = stretched_ball()
    again = trimesh.load_mesh(export(mesh, tmp_path / f"a{suffix}", size_mm=90))
    if suffix == ".glb":  # y up, metres
        expected = [[-0.015, 0, -0.03], [0.015, 0.09, 0.03]]
    else:
        expected = [[-15, -30, 0], [15, 30, 90]]
    np.testing.assert_allclose(again.bounds, expected, rtol=1e-5, atol=1e-5)
    again.merge_vertices()
    assert sound(again)
    assert again.volume == pytest.approx(mesh.volume * (15 if suffix != ".glb" else 0.015) ** 3, rel=1e-4)
    if suffix == ".3mf":
        assert again.units == "millimeter"


@pytest.mark.parametrize("suffix", EXPORT_SUFFIXES)
def test_the_same_mesh_gives_the_same_bytes_and_is_not_changed(tmp_path, suffix):
    mesh = stretched_ball()
    before = mesh.vertices.copy()
    first = export(mesh, tmp_path / f"a{suffix}", size_mm=10).read_bytes()
    _ = mesh.vertex_normals  # trimesh would write normals that happen to be in its cache
    assert export(mesh, str(tmp_path / "new" / f"b{suffix}"), size_mm=10).read_bytes() == first
    np.testing.assert_array_equal(mesh.vertices, before)


def test_handedness_survives_glb(tmp_path):
    mesh = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3]], [[0, 2, 1], [0, 1, 3]], process=False)
    again = read_mesh(export(mesh, tmp_path / "a.glb"))
    np.testing.assert_allclose(again.triangles, mesh.triangles, atol=1e-6)


@pytest.mark.parametrize("size", [0, -3, np.nan, np.inf])
def test_export_refuses_sizes(tmp_path, size):
    with pytest.raises(UsageError, match="positive"):
        export(stretched_ball(), tmp_path / "a.stl", size_mm=size)
    assert not list(tmp_path.iterdir())


def test_export_refuses_names_and_meshes(tmp_path):
    with pytest.raises(UsageError, match=r"known: \.3mf, \.glb"):
        export(stretched_ball(), tmp_path / "a.blend")
    with pytest.raises(UsageError):
        export(stretched_ball(), tmp_path / "stl")
    with pytest.raises(MeshError, match="no faces"):
        export(trimesh.Trimesh(), tmp_path / "a.stl")
    broken = stretched_ball()
    broken.vertices[3] = np.nan
    with pytest.raises(MeshError, match="finite"):
        export(broken, tmp_path / "a.stl")
    point = trimesh.Trimesh(np.ones((3, 3)), [[0, 1, 2]], process=False)
    with pytest.raises(MeshError, match="coincide"):
        export(point, tmp_path / "a.stl", size_mm=3)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        export(stretched_ball(), tmp_path / "file" / "a.stl")
