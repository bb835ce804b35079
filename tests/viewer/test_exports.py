"""What is seen as files: shapes that print, turntables that play."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from numpy.typing import NDArray
from PIL import Image

from viewer.exports import FORMATS, TURNTABLE_SUFFIXES, free_name, shape_bytes, write_shape, write_turntable
from voxgan.errors import MissingExtraError, StorageError, SurfaceError, UsageError
from voxgan.export import EXPORT_SUFFIXES
from voxgan.outputs import MESHES, Writing, export_all
from voxgan.volumes import VOLUME_SUFFIXES, read_volume
from voxgan.voxels import Shapes, cell_centres


def table() -> Shapes:
    """A table, wider than tall, whose legs are less certain than its top."""
    x, y, z = np.moveaxis(cell_centres(32), -1, 0)
    top = (abs(x) < 0.45) & (abs(y) < 0.3) & (abs(z - 0.15) < 0.06)
    legs = (abs(abs(x) - 0.38) < 0.06) & (abs(abs(y) - 0.22) < 0.06) & (z < 0.15) & (z > -0.2)
    return Shapes(np.where(top, 0.9, np.where(legs, 0.6, 0.02)))


def reread(content: bytes, format: str) -> trimesh.Trimesh:
    loaded: Any = trimesh.load(trimesh.util.wrap_as_stream(content), file_type=format, force="mesh")
    return loaded


# ------------------------------------------------------------------------------------------------------- shapes
def test_every_format_that_the_house_writes_is_offered():
    assert {f".{name}" for name in FORMATS} == {*EXPORT_SUFFIXES, *VOLUME_SUFFIXES} == set(MESHES)


@pytest.mark.parametrize("format", ["stl", "obj", "glb", "ply", "3mf", "off"])
def test_a_mesh_is_watertight_and_100_mm_long(format):
    mesh = reread(shape_bytes(table(), format, level=0.5), format)
    mesh.merge_vertices()
    assert mesh.is_watertight and mesh.volume > 0
    unit = 1000 if format == "glb" else 1
    up = 1 if format == "glb" else 2
    assert mesh.extents.max() * unit == pytest.approx(100, rel=1e-4)
    assert mesh.bounds[0][up] * unit == pytest.approx(0, abs=1e-3)
    assert mesh.extents[up] == pytest.approx(mesh.extents.min(), rel=0.5)


def test_the_level_and_the_size_are_those_of_the_session(tmp_path):
    whole, top = (reread(shape_bytes(table(), "stl", level, 80), "stl") for level in (0.5, 0.75))
    assert whole.extents.max() == pytest.approx(80, rel=1e-4) and top.extents.max() == pytest.approx(80, rel=1e-4)
    assert whole.extents[2] > 2 * top.extents[2]  # the legs are gone
    for level, cells in ((0.5, 0.5), (0.75, 0.75)):
        path = write_shape(table(), tmp_path / "a.binvox", level)
        np.testing.assert_array_equal(read_volume(path).occupancy > 0.5, table().occupancy > cells)
        path = write_shape(table(), tmp_path / "a.npz", level)
        np.testing.assert_array_equal(read_volume(path).occupancy, table().occupancy)


@pytest.mark.parametrize("format", FORMATS)
def test_the_bytes_are_those_of_the_file_and_of_the_command(tmp_path, format):
    content = shape_bytes(table(), format, level=0.5)
    assert write_shape(table(), tmp_path / f"a.{format.upper()}", 0.5).read_bytes() == content
    export_all(table(), [[tmp_path / f"b.{format}"]], Writing(output=("b",), clean=False))
    assert (tmp_path / f"b.{format}").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{format.upper()}", f"b.{format}"]


def test_what_cannot_be_written(tmp_path):
    for format in ("exe", "", "../x", "stl\0", ".stl", "x" * 10_000):
        with pytest.raises(UsageError, match="known: 3mf") as caught:
            shape_bytes(table(), format, 0.5)
        assert len(str(caught.value)) < 200
    with pytest.raises(UsageError, match="cannot write the format"):
        write_shape(table(), tmp_path / "a.exe", 0.5)
    for size in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="a positive number was expected"):
            shape_bytes(table(), "stl", 0.5, size)
    with pytest.raises(SurfaceError):
        shape_bytes(table(), "stl", 0.95)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        write_shape(table(), tmp_path / "file" / "a.stl", 0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# --------------------------------------------------------------------------------------------------- turntables
def turn(count: int = 12, size: tuple[int, int] = (96, 64)) -> list[NDArray[np.uint8]]:
    """A dark bar that goes once around before a light ground; width and height."""
    pictures = []
    for i in range(count):
        picture = np.full((size[1], size[0], 3), (250, 250, 251), np.uint8)
        left = i * size[0] // count
        picture[:, left : left + size[0] // count] = (60, 110, 190)
        pictures.append(picture)
    return pictures


def played(path: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Decode a film with ffmpeg."""
    import imageio_ffmpeg

    film = imageio_ffmpeg.read_frames(str(path))
    about = next(film)
    width, height = about["size"]
    frames = np.stack([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in film])
    return about, frames


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # its pipes
@pytest.mark.parametrize("size", [(96, 64), (95, 63)])
def test_an_mp4_plays_with_every_picture_in_its_place(tmp_path, size):
    pytest.importorskip("imageio_ffmpeg")
    pictures = turn(size=size)
    path = write_turntable(iter(pictures), tmp_path / "turn.mp4", seconds_per_turn=3)
    about, frames = played(path)
    assert about["codec"] == "h264" and about["pix_fmt"].startswith("yuv420p(")
    assert about["fps"] == pytest.approx(4) and about["duration"] == pytest.approx(3)
    assert frames.shape == (12, 64, 96, 3)
    for i, (shown, drawn) in enumerate(zip(frames, pictures, strict=True)):
        off = np.abs(shown[: size[1], : size[0]].astype(int) - drawn)
        assert off.mean() < 8, f"picture {i}"
    assert np.abs(frames[0].astype(int) - frames[6]).mean() > 10
    head = path.read_bytes()
    assert 0 < head.index(b"moov") < head.index(b"mdat")  # a browser begins before it has all of it


def test_a_gif_plays_for_ever(tmp_path):
    path = write_turntable(turn(), tmp_path / "turn.gif", seconds_per_turn=3)
    with Image.open(path) as film:
        assert film.n_frames == 12 and film.size == (96, 64) and film.info["loop"] == 0
        assert film.info["duration"] == 250
        first = np.asarray(film.convert("RGB"), int)
        film.seek(6)
        assert np.abs(first - np.asarray(film.convert("RGB"))).mean() > 10
    with Image.open(write_turntable(turn(), tmp_path / "fast.gif", seconds_per_turn=0.1)) as film:
        assert film.info["duration"] == 20


@pytest.mark.parametrize("suffix", TURNTABLE_SUFFIXES)
def test_pictures_that_make_no_turntable(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    for pictures in ([], [*turn(2), *turn(2, (32, 32))], [np.zeros((8, 8), np.uint8)], [np.zeros((8, 8, 3))]):
        with pytest.raises(UsageError, match=r"expected some, all uint8 \(H, W, 3\)"):
            write_turntable(pictures, path)
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=r"expected 0.1 to 600"):
            write_turntable(turn(2), path, seconds)
    assert not list(tmp_path.iterdir())


def test_a_name_of_another_kind_is_refused_before_anything_is_drawn(tmp_path):
    with pytest.raises(UsageError, match=r"did you mean '.mp4'\?"):
        write_turntable((pytest.fail("drawn") for _ in range(1)), tmp_path / "a.mp3")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingExtraError, match=r"imageio_ffmpeg: run  pip install 'voxgan-3d\[viewer\]'"):
        write_turntable(turn(), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_ffmpeg_missing_or_failing_is_said_in_a_line_and_leaves_the_old_file(tmp_path, monkeypatch):
    pytest.importorskip("imageio_ffmpeg")
    old = tmp_path / "a.mp4"
    old.write_text("old")
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match=r"ffmpeg fails \(No such file or directory\); write a .gif"):
        write_turntable(turn(), old)

    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.\nInstall ffmpeg")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", none)
    with pytest.raises(StorageError, match="no ffmpeg to write MP4 with"):
        write_turntable(turn(), old)
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\ncat > /dev/null\necho first >&2\necho 'No space left on device' >&2\nexit 3\n")
    failing.chmod(0o755)
    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", lambda: str(failing))
    with pytest.raises(StorageError, match=r"ffmpeg fails \(No space left on device\); free space, or write a .gif"):
        write_turntable(turn(), old)
    failing.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr("viewer.exports._MP4_SECONDS", 0.2)
    with pytest.raises(StorageError, match=r"took longer than 0.2 s"):
        write_turntable(turn(), old)
    assert old.read_text() == "old" and {path.name for path in tmp_path.iterdir()} == {"a.mp4", "failing"}


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    for suffix in TURNTABLE_SUFFIXES:
        with pytest.raises(StorageError, match="cannot write"):
            write_turntable(turn(), tmp_path / "file" / f"a{suffix}")


# -------------------------------------------------------------------------------------------------------- names
def test_the_first_name_that_is_free(tmp_path):
    assert free_name(tmp_path / "later", "voxgan", ".stl") == tmp_path / "later" / "voxgan_001.stl"
    for expected in ("a_001.png", "a_002.png", "a_003.png"):
        path = free_name(tmp_path, "a", ".png")
        assert path.name == expected
        path.touch()
    (tmp_path / "a_002.png").unlink()
    (tmp_path / "a_001.gif").symlink_to("nowhere")
    assert free_name(tmp_path, "a", ".png").name == "a_002.png"
    assert free_name(tmp_path, "a", ".gif").name == "a_002.gif"
    for number in range(1, 1001):
        (tmp_path / f"b_{number:03d}.png").touch()
    assert free_name(tmp_path, "b", ".png").name == "b_1001.png"
