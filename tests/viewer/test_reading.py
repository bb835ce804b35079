"""Files of strangers: what they become, what is refused in one line, and that nothing else comes of them."""

from __future__ import annotations

import ctypes
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from data_prep.sources.folder import find
from data_prep.sources.item import Options
from viewer.opening import Solid
from viewer.reading import MAX_UPLOAD_BYTES, Photo, Reader, Saved, tidy_name
from voxgan.axes import AXES
from voxgan.child import Limits
from voxgan.errors import InputError, MeshError, StorageError, SurfaceError, UsageError, VoxganError
from voxgan.volumes import write_binvox, write_npz
from voxgan.voxels import Shapes

DATA = os.environ.get("VOXGAN_TEST_DATA")
CORPUS = Path(__file__).parents[1] / "corpus" / "meshes"
OFF = b"OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n"


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A red block before white."""
    pixels = np.full((size[1], size[0], 3), 255, np.uint8)
    pixels[size[1] // 4 : size[1] // 2, size[0] // 4 : size[0] // 2] = (200, 30, 30)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def lopsided() -> np.ndarray[Any, Any]:
    """A grid that is another one from each of the 24 sides it can be turned to."""
    grid = np.zeros((12, 12, 12), bool)
    grid[1:11, 3:9, 2:5] = grid[1:4, 3:6, 2:11] = grid[8:10, 4:9, 4:7] = True
    return grid


def packed(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def sleep(*_: Any) -> None:
    time.sleep(60)


def crash(*_: Any) -> None:
    ctypes.string_at(0)


def slow(*_: Any) -> Solid:
    time.sleep(0.5)
    return Solid(np.ones((2, 2, 2), bool))


def wrong(*_: Any) -> Any:
    return "neither photo nor solid"


def reading_with(function: str, **options: Any) -> Reader:
    """A reader whose processes run a function of this file."""
    reader = Reader(**options)
    for child in reader._children:
        child.function = f"{__name__}:{function}"
    return reader


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    one = Reader()
    yield one
    one.close()


@pytest.fixture
def uploads(tmp_path, monkeypatch) -> Path:
    """Where uploads are kept while they are read."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def refused(reader: Reader, content: bytes | Path, name: str = "", **options: Any) -> str:
    """Return the kind and the line of the refusal; anything but a decent one is a failure."""
    with pytest.raises(VoxganError) as caught:
        reader.read(content, name, **options)
    line = str(caught.value)
    assert line.isprintable() and len(line) < 700 and "Traceback" not in line
    assert not isinstance(content, bytes) or "upload" not in line, line
    return f"{type(caught.value).__name__}: {line}"


# ------------------------------------------------------------------------------------------------------- photos
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_a_photo_is_what_it_contains_whatever_its_name(reader, kind):
    photo = reader.read(picture(kind), "Photo.PNG")
    assert isinstance(photo, Photo)
    assert photo.image.shape == (3, 256, 256) and photo.image.dtype == np.float32
    assert photo.image.min() >= 0 and photo.image.max() <= 1 and photo.image.flags.writeable
    red, green, blue = photo.image[:, 128, 128]
    assert red > 0.6 and green < 0.4 and blue < 0.4 and photo.image[:, 2, 2].min() > 0.95  # cut out, in the middle
    assert photo.thumbnail.shape == (128, 128, 3) and photo.thumbnail.dtype == np.uint8
    assert photo.thumbnail[64, 64, 0] > 150 > photo.thumbnail[64, 64, 1] and photo.thumbnail[1, 1].min() > 240


def test_a_photo_from_a_path_is_the_same(reader, tmp_path, monkeypatch):
    (tmp_path / "a photo.png").write_bytes(picture())
    monkeypatch.chdir(tmp_path)
    for path in ("a photo.png", tmp_path / "a photo.png"):
        np.testing.assert_array_equal(reader.read(path).image, reader.photo(picture()).image)
    assert "StorageError: there is no file missing.png: check the name" in refused(reader, Path("missing.png"))


# ------------------------------------------------------------------------------------------------------- solids
def test_a_mesh_becomes_cells(reader):
    box = trimesh.creation.box((1, 2, 4))
    for kind in ("stl", "obj", "off", "ply", "glb"):
        content = box.export(file_type=kind)
        solid = reader.read(content.encode() if isinstance(content, str) else content, f"box.{kind}", resolution=32)
        assert isinstance(solid, Solid) and solid.occupancy.dtype == np.bool_
        spans = [np.ptp(where) + 1 for where in np.nonzero(solid.occupancy)]
        assert spans == ([8, 15, 30] if kind != "glb" else [8, 30, 15]), kind  # glTF's y is up: it comes to z


@pytest.mark.parametrize("up", AXES)
@pytest.mark.parametrize("kind", ["off", "npz", "binvox", "glb"])
def test_up_means_what_it_means_in_preparation(reader, tmp_path, up, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "npz":
        write_npz(path, Shapes(lopsided()))
    elif kind == "binvox":
        write_binvox(path, Shapes(lopsided()))
    else:
        boxes = [((0, 0, 0), (10, 6, 3)), ((0, 0, 0), (3, 3, 9)), ((7, 1, 2), (9, 6, 5))]
        trimesh.util.concatenate([trimesh.creation.box(bounds=bounds) for bounds in boxes]).export(path)
    (item,) = find(path, Options(up=up))
    expected = item.load(32).shapes.occupancy[0] > 0.5
    np.testing.assert_array_equal(reader.solid(path, resolution=32, up=up).occupancy, expected)
    np.testing.assert_array_equal(reader.solid(path.read_bytes(), path.name, 32, up).occupancy, expected)


def test_options_out_of_range(reader):
    for up in ("w", "", "z'; drop"):
        with pytest.raises(UsageError, match="expected one of x, -x"):
            reader.solid(OFF, "a.off", up=up)
    for resolution in (0, 1, 513, -64):
        with pytest.raises(UsageError, match="expected 2 to 512"):
            reader.solid(OFF, "a.off", resolution=resolution)
    assert reader.solid(OFF, "a.off", resolution=2).occupancy.shape == (2, 2, 2)


# ----------------------------------------------------------------------------------------------------- sessions
def test_a_session_comes_back_as_it_was_saved(reader, tmp_path):
    content = {"format": "voxgan-session", "anchors": [{"name": "A", "origin": {"label": "漢"}, "latent": [0.5, -1]}]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    for saved in (reader.read(tmp_path / "a.json"), reader.read((tmp_path / "a.json").read_bytes(), "b.JSON")):
        assert isinstance(saved, Saved) and saved.content == content


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
        (b"9" * 100_000, "not JSON"),
        (b"{" + b" " * (1 << 20) + b"}", "over 1 MiB"),
        (b"[1, 2]", "no session"),
        (b"null", "no session"),
        (b'{"a": ' + b"[" * 90 + b"]" * 90 + b"}", "no session"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_session(reader, uploads, content, line):
    assert re.match(rf"InputError: my session.json: .*{line}", refused(reader, content, "my session.json"))
    assert not list(uploads.iterdir())


def test_a_pipe_is_no_file(reader, tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names here")
    for name in ("a.json", "a.png", "a.stl", "a.npz"):
        os.mkfifo(tmp_path / name)
        assert "is no file: a file was expected" in refused(reader, tmp_path / name)


# ------------------------------------------------------------------------------------------------- wrong things
def bomb(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG", optimize=True)
    return file.getvalue()


def zip_of_zeros(name: str, size: int) -> bytes:
    """A small npz whose array unpacks to so many zeros, though its header declares few."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|b1", "fortran_order": False, "shape": (8, 8, 8)})
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as entry,
    ):
        entry.write(head.getvalue())
        for _ in range(size >> 20):
            entry.write(bytes(1 << 20))
    return file.getvalue()


def glb(header: dict[str, Any], binary: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    chunks = len(text).to_bytes(4, "little") + b"JSON" + text
    if binary:
        chunks += len(binary).to_bytes(4, "little") + b"BIN\0" + binary
    return b"glTF" + (2).to_bytes(4, "little") + (12 + len(chunks)).to_bytes(4, "little") + chunks


HUNGRY_GLB = glb(
    {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": 12}],
        "bufferViews": [{"buffer": 0, "byteLength": 12}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 390_000_000, "type": "VEC3"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
    },
    bytes(12),
)
LINKED_GLB = glb({"asset": {"version": "2.0"}, "buffers": [{"byteLength": 9, "uri": "http://127.0.0.1:9/a.bin"}]})

WRONG: dict[str, tuple[bytes | Callable[[], bytes], str]] = {
    "nothing.png": (b"", "ImageError: the picture nothing.png is empty"),
    "text.png": (b"hello", "ImageError: text.png is no picture|ImageError: .*no picture that can be read"),
    "mesh.png": (OFF, "ImageError: .*no picture that can be read"),
    "cut.png": (picture()[:90], "ImageError: .*cut off or damaged"),
    "tiny.png": (picture(size=(4, 4)), "ImageError: .*at least 8 × 8"),
    "bomb.png": (lambda: bomb(9000, 9000), "ImageError: .*at most 40 megapixels"),
    "wide.png": (lambda: bomb(20_000, 10_000), "ImageError: .*at most 40 megapixels"),
    "drawing.svg": (b"<svg onload='alert(1)'/>", "InputError: drawing.svg: cannot be read here; expected a photo"),
    "page.html": (b"<script>", "InputError: page.html: cannot be read here"),
    "picture.stl": (picture(), "MeshError: cannot read the mesh picture.stl"),
    "picture.npz": (picture(), "InputError: picture.npz: not an npz file"),
    "picture.binvox": (picture(), "InputError: picture.binvox: not a binvox file"),
    "nothing.obj": (b"", "MeshError: the mesh nothing.obj is empty"),
    "points.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "MeshError: .*3 points and no faces"),
    "nan.off": (OFF.replace(b"1 0 0", b"nan 0 0", 1), "MeshError: cannot read the mesh nan.off"),
    "one place.obj": (b"v 1 1 1\n" * 3 + b"f 1 2 3\n", "MeshError: cannot read the mesh one place.obj"),
    "hungry.glb": (HUNGRY_GLB, "MeshError: cannot read the mesh hungry.glb"),
    "linked.glb": (LINKED_GLB, "MeshError: cannot read the mesh linked.glb"),
    "bomb.npz": (lambda: zip_of_zeros("occupancy.npy", 1 << 28), r"\w+Error: bomb.npz: "),
    "empty.npz": (packed(occupancy=np.zeros((8, 8, 8))), "SurfaceError: empty.npz: the volume is empty"),
    "two.npz": (packed(occupancy=np.ones((2, 8, 8, 8))), "InputError: two.npz: holds 2 shapes, expected one"),
    "pickled.npz": (packed(occupancy=np.array([object()])), "InputError: pickled.npz: holds Python objects"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_things_are_refused_in_a_line(reader, uploads, name):
    content, line = WRONG[name]
    content = content if isinstance(content, bytes) else content()
    began = time.monotonic()
    assert re.match(line, refused(reader, content, name))
    assert time.monotonic() - began < 15
    assert not list(uploads.iterdir())


def test_what_is_too_large_is_refused_before_anything_is_begun(uploads):
    reader = Reader()
    for name in ("a.png", "a.stl", "a.json"):
        assert f"{name}: has 32.0 MB, at most 32 are read" in refused(reader, bytes(MAX_UPLOAD_BYTES + 1), name)
    assert all(child._process is None for child in reader._children)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_once_broke_something(reader, path):
    try:
        assert reader.read(path.read_bytes(), path.name, 16).occupancy.any()
    except (MeshError, InputError) as error:
        assert path.name.startswith("refused") and str(error).isprintable() and path.name in str(error)


# -------------------------------------------------------------------------------------------------------- names
@pytest.mark.parametrize(
    ("name", "tidy"),
    [
        ("<script>alert('x')</script>.png", "script>.png"),
        ("../../../etc/passwd.png", "passwd.png"),
        ("C:\\Users\\me\\a.PNG", "a.PNG"),
        ("a\0b\n\r\tc.png", "a b c.png"),
        ("\u202egnp.\x1b[31m.png", "gnp. [31m.png"),
        ("\ud800é漢😀.png", "é漢😀.png"),
        ("-rf *.png", "-rf *.png"),
        (" .png", ".png"),
        ("a" * 100_000 + ".png", "a" * 50 + "…aaaaa.png"),
        ("photo.png ", "photo.png"),
        ("a.stl\0.png", "a.stl .png"),
    ],
    ids=lambda name: ascii(name)[:20],
)
def test_of_a_name_only_the_suffix_counts(reader, uploads, name, tidy):
    assert tidy_name(name) == tidy
    assert isinstance(reader.read(picture(), name), Photo)
    assert refused(reader, b"no picture", name).startswith(f"ImageError: {tidy} is no picture")
    assert not list(uploads.iterdir())


@pytest.mark.parametrize("name", ["", ".", "..", "/", "png", "a.png/", "a.png.", "a.png.exe", "a.\ud800"])
def test_names_without_a_suffix_that_is_known(reader, name):
    assert "cannot be read here; expected a photo (.png .jpg" in refused(reader, picture(), name)


# ------------------------------------------------------------------------------------------------ hangs, crashes
@pytest.mark.parametrize(
    ("function", "line"),
    [
        ("sleep", "took longer than 2 s; give a smaller or simpler file"),
        ("crash", r"the process that read it died \(out of memory, or a fault in a library\); give a smaller"),
        ("wrong", "the process that read it answered with something else"),
    ],
)
def test_what_hangs_or_crashes_is_refused_and_the_next_is_read(uploads, function, line):
    reader = reading_with(function, limits=Limits(seconds=2, gigabytes=2), processes=1)
    assert re.match(f"InputError: a.stl: {line}", refused(reader, OFF, "a.stl"))
    assert not list(uploads.iterdir())
    reader._children[0].function = "viewer.opening:open_file"
    reader.close()
    assert reader.read(OFF, "a.off", 8).occupancy.any()
    reader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits")
def test_what_wants_too_much_memory_is_refused():
    reader = Reader(Limits(seconds=20, gigabytes=0.4))
    grid = np.zeros((400, 400, 400), bool)
    grid[100:300, 100:300, 100:300] = True
    assert "InputError: a.npz: " in refused(reader, packed(occupancy=grid), "a.npz")
    reader.close()


# ------------------------------------------------------------------------------------------------- many visitors
def test_32_visitors_are_read_by_two_processes(uploads):
    reader = Reader()
    started = set()
    meshes = [OFF.replace(b"0 0 1", b"0 0 %d" % (i + 1)) for i in range(32)]

    def visit(i: int) -> Any:
        solid = reader.read(meshes[i], f"{i}.off", 16)
        started.update(child._process.pid for child in reader._children if child._process is not None)
        return solid.occupancy

    with ThreadPoolExecutor(32) as visitors:
        found = list(visitors.map(visit, range(32)))
    assert 1 <= len(started) <= 2
    for mesh, occupancy in zip(meshes, found, strict=True):  # everybody got their own
        np.testing.assert_array_equal(occupancy, reader.read(mesh, "a.off", 16).occupancy)
    reader.close()
    assert not list(uploads.iterdir())


def test_the_line_has_an_end(monkeypatch):
    monkeypatch.setattr("viewer.reading._IN_LINE", 1)
    reader = reading_with("slow", processes=1)
    reader.read(OFF, "a.off")
    lines = []

    def visit() -> None:
        try:
            reader.read(OFF, "a.off")
            lines.append("read")
        except StorageError as error:
            lines.append(str(error))

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert sorted(lines) == ["read", "read", *["too many files are being read at once; try again in a minute"] * 2]
    monkeypatch.setattr("viewer.reading._PATIENCE", 0.1)
    first = threading.Thread(target=visit)
    first.start()
    time.sleep(0.2)
    assert "StorageError: too many files" in refused(reader, OFF, "a.off")
    first.join()
    assert reader.read(OFF, "a.off").occupancy.all()  # every place in the line was given back
    assert isinstance(reader.read(OFF, "a.off"), Solid)
    reader.close()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc")
def test_no_process_outlives_its_reader(tmp_path):
    script = (
        "import sys\nfrom viewer.reading import Reader\nreader = Reader()\n"
        f"reader.read({OFF!r}, 'a.off', 8)\nprint(*[c._process.pid for c in reader._children if c._process])\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
    assert len(done.stdout.split()) == 1 and not Path(f"/proc/{done.stdout.strip()}").exists()
    reader = Reader()
    reader.read(OFF, "a.off", 8)
    pids = [child._process.pid for child in reader._children if child._process is not None]
    del reader
    assert len(pids) == 1 and not Path(f"/proc/{pids[0]}").exists()


# ---------------------------------------------------------------------------------------------------- real files
@pytest.mark.skipif(DATA is None, reason="VOXGAN_TEST_DATA does not name the folder of real data")
def test_real_files(reader):
    photos = [path for path in sorted(Path(str(DATA), "photos").iterdir()) if path.suffix != ".csv"]
    for path in photos:
        photo = reader.read(path.read_bytes(), path.name)
        assert isinstance(photo, Photo) and photo.thumbnail.std() > 5
    meshes = [path for path in sorted(Path(str(DATA), "meshes").rglob("*.*")) if path.suffix != ".csv"]
    small = [path for path in meshes if path.stat().st_size < 30_000]
    came = []
    for path in small:
        try:
            came.append(bool(reader.read(path.read_bytes(), path.name, 32).occupancy.any()))
        except (MeshError, InputError, SurfaceError) as error:
            assert path.name in str(error) and str(error).isprintable()
    assert len(photos) >= 10 and len(came) > 20 and all(came)
