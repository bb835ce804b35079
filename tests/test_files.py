"""Files are whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path

import pytest

from voxgan.errors import StorageError
from voxgan.files import atomic_write, check_output, sha256, sweep_temporaries, write_bytes, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b" / "é 漢.txt"
    for content in ("first", "second"):
        with atomic_write(path) as partial:
            assert partial.parent == path.parent and partial != path
            assert partial.suffix == ".txt"
            partial.write_text(content)
            if content == "second":
                assert path.read_text() == "first"
        assert path.read_text() == content
    assert names(path.parent) == [path.name]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, StorageError])
@pytest.mark.parametrize("old", [b"old", None])
def test_an_exception_inside_keeps_what_was_there(tmp_path, kind, old):
    path = tmp_path / "a.bin"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(kind, match="stop"), atomic_write(path) as partial:
        partial.write_bytes(b"half of")
        raise kind("stop")
    assert (path.read_bytes() if path.exists() else None) == old
    assert names(tmp_path) == (["a.bin"] if old else [])


def test_a_full_disk_is_a_storage_error_with_the_reason(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with (
        pytest.raises(StorageError, match=r"cannot write .*a\.bin: No space left on device; choose"),
        atomic_write(path) as partial,
    ):
        partial.write_bytes(b"half of")
        raise OSError(28, "No space left on device")
    assert path.read_bytes() == b"old" and names(tmp_path) == ["a.bin"]


def test_the_file_gets_the_usual_permissions(tmp_path):
    write_bytes(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


@pytest.fixture(params=["below a file", "far below a file", "a folder", "a device", "a pipe", "too long"])
def bad_place(request, tmp_path) -> Path:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    return {
        "below a file": tmp_path / "file" / "a.bin",
        "far below a file": tmp_path / "file" / "b" / "a.bin",
        "a folder": tmp_path / "folder",
        "a device": Path("/dev/null"),
        "a pipe": tmp_path / "pipe",
        "too long": tmp_path / ("x" * 300) / "a.bin",
    }[request.param]


def test_where_nothing_can_be_written(bad_place, tmp_path):
    before = names(tmp_path)
    for action in (lambda: check_output(bad_place), lambda: write_bytes(bad_place, b"x")):
        with pytest.raises(StorageError, match="cannot write"):
            action()
    assert names(tmp_path) == before
    assert not Path("/dev/null").is_file()


def test_check_output_makes_the_folder_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "a.h5"
    assert check_output(str(path)) == path
    assert path.parent.is_dir() and not names(path.parent)
    path.write_bytes(b"old")
    check_output(path)
    assert path.read_bytes() == b"old"


def test_sweep_removes_temporaries_only(tmp_path):
    block = atomic_write(tmp_path / "a.h5")
    partial = block.__enter__()  # as if the process had been killed here
    kept = [".voxgan-settings", "a.partial", ".hidden", "voxgan-1.partial", "b.h5"]
    for name in kept:
        (tmp_path / name).write_bytes(b"x")
    assert partial.exists()
    assert sweep_temporaries(tmp_path) == 1
    assert names(tmp_path) == sorted(kept)
    assert sweep_temporaries(tmp_path) == 0
    assert sweep_temporaries(tmp_path / "missing") == 0


def test_json_is_standard_and_whole(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": [1, 2.5, None], "a": "é"})
    assert json.loads(path.read_bytes()) == {"b": [1, 2.5, None], "a": "é"}
    assert path.read_bytes().endswith(b"}\n")
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(path, {"a": bad})
    assert json.loads(path.read_bytes())["a"] == "é" and names(tmp_path) == ["a.json"]


def test_sha256_of_a_file_longer_than_a_block(tmp_path):
    content = bytes(range(256)) * 5000
    write_bytes(tmp_path / "a", content)
    assert len(content) > 1 << 20
    assert sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_a_lock_that_was_removed_meanwhile_is_no_lock(tmp_path, monkeypatch):
    """The former owner removes its lock file after the next one has opened it: that one must lock the new file."""
    from voxgan import files

    folder, plain, opened = tmp_path / "a", files._lock_file, []

    def lock_file(where):
        file = plain(where)
        if not opened:
            (where / ".lock").unlink()
        opened.append(file)
        return file

    monkeypatch.setattr(files, "_lock_file", lock_file)
    with files.exclusive(folder):
        assert len(opened) == 2
        monkeypatch.setattr(files, "_lock_file", plain)
        with pytest.raises(StorageError, match="another process"), files.exclusive(folder):
            pass
    with files.exclusive(folder):
        pass
