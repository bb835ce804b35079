"""The HDF5 data set: what is written is read; faults, damage and strangers' files are refused before they cost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from voxgan.dataset import FORMAT, Dataset, halved, pack, unpack
from voxgan.dataset_writer import Writer, encode
from voxgan.errors import DatasetError, StorageError, UsageError

R = 16
CLASSES = ("bed", "chair", "desk")
COUNT = 6
RNG = np.random.default_rng(0)
GRIDS = RNG.random((COUNT, R, R, R)) < 0.5
VIEWS = RNG.integers(0, 256, (COUNT, 2, 8, 8, 4), np.uint8)
CAMERAS = RNG.random((COUNT, 2, 7)).astype(np.float32)
BACKGROUNDS = RNG.integers(0, 256, (3, 8, 8, 3), np.uint8)
NAMES = ["plain", "with blanks", "é", "漢字", "🙂", "-dash"]


def transform(i: int) -> np.ndarray:
    return np.array([[i + 0.5, 0, 0, i], [0, i + 0.5, 0, -i], [0, 0, i + 0.5, 0.25]])


def write(path: Path, num_views: int = 2) -> Path:
    with Writer.create(path, R, CLASSES, num_views, 8) as writer:
        for i in range(COUNT):
            writer.add(
                GRIDS[i],
                CLASSES[i % 2],  # no desk
                "train" if i < 4 else "test",
                NAMES[i],
                f"folder/{NAMES[i]}.obj",
                bytes([i] * 32),
                transform(i),
                None,
                VIEWS[i] if num_views else None,
                CAMERAS[i] if num_views else None,
            )
        if num_views:
            writer.add_backgrounds(BACKGROUNDS)
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return write(tmp_path / "a.h5")


# ------------------------------------------------------------------------------------------- resolutions
def finer(path: Path, side: int = 64) -> Path:
    """Write a leg one cell thick, a board, a block, and a lone cell."""
    grids = np.zeros((4, side, side, side), bool)
    grids[0, 5, 5, :], grids[1, :, :, 7], grids[2, 8:24, 8:24, 8:24], grids[3, 9, 9, 9] = True, True, True, True
    with Writer.create(path, side, ("thing",)) as writer:
        for number, grid in enumerate(grids):
            writer.add(grid, "thing", "train", str(number))
    return path


@pytest.mark.parametrize("in_memory", [False, True])
def test_grids_are_read_at_half_the_resolution_and_thin_parts_stay(tmp_path, in_memory):
    with Dataset(finer(tmp_path / "a.h5"), in_memory=in_memory, resolution=32) as data:
        grids = data.occupancy(range(4))
        assert data.resolution == 32 and grids.shape == (4, 32, 32, 32)
        assert grids[0, 2, 2].all() and grids[0].sum() == 32  # a leg
        assert grids[1, :, :, 3].all() and grids[1].sum() == 32**2  # a board
        assert grids[2, 4:12, 4:12, 4:12].all() and grids[2].sum() == 8**3
        assert not grids[3].any()
        np.testing.assert_array_equal(data.packed([2, 0]), pack(grids[[2, 0]]))
        with data.reopened() as again:
            np.testing.assert_array_equal(again.occupancy(range(4)), grids)


def test_a_quarter_of_the_resolution_is_half_of_the_half(tmp_path):
    path = finer(tmp_path / "a.h5")
    with Dataset(path, resolution=16) as quarter, Dataset(path, resolution=32) as half:
        np.testing.assert_array_equal(quarter.occupancy(range(4)), halved(half.occupancy(range(4))))
        assert quarter.fingerprint() != half.fingerprint()


@pytest.mark.parametrize(("stored", "asked"), [(64, 128), (64, 24), (64, 8), (16, 32), (24, 16)])
def test_resolutions_that_grids_cannot_have_are_refused(tmp_path, stored, asked):
    path = finer(tmp_path / "a.h5", stored) if stored >= 32 else tmp_path / "a.h5"
    if stored < 32:
        with Writer.create(path, stored, ("thing",)) as writer:
            writer.add(np.ones((stored,) * 3, bool), "thing", "train", "one")
    with pytest.raises(DatasetError, match=rf"its grids are {stored}³, {asked}³ was asked for"):
        Dataset(path, resolution=asked)


# --------------------------------------------------------------------------------------------- round trip
@pytest.mark.parametrize("in_memory", [False, True])
def test_what_is_written_is_read(path, in_memory):
    with Dataset(path, "all", in_memory=in_memory) as data:
        assert (len(data), data.resolution, data.num_views, data.image_size) == (COUNT, R, 2, 8)
        assert data.classes == list(CLASSES) and data.num_backgrounds == 3
        assert data.labels.tolist() == [0, 1, 0, 1, 0, 1]
        assert data.names() == NAMES
        np.testing.assert_array_equal(data.occupancy(range(COUNT)), GRIDS)
        np.testing.assert_array_equal(data.occupancy([5, 0, 0]), GRIDS[[5, 0, 0]])
        np.testing.assert_array_equal(data.packed([2]), pack(GRIDS[[2]]))
        np.testing.assert_array_equal(data.views([4, 1], [0, 1]), np.stack([VIEWS[4, 0], VIEWS[1, 1]]))
        np.testing.assert_array_equal(data.backgrounds([2, 0]), BACKGROUNDS[[2, 0]])
        np.testing.assert_array_equal(data.transforms(), [transform(i) for i in range(COUNT)])
        np.testing.assert_array_equal(data.cameras(), CAMERAS)
        assert data.sources() == [f"folder/{name}.obj" for name in NAMES]
        assert data.source_sha256() == [bytes([i] * 32).hex() for i in range(COUNT)]
        assert data.mode == "solid" and data.set_aside() == []
        assert data.summary() == {
            "bed": {"train": 2, "test": 1},
            "chair": {"train": 2, "test": 1},
            "desk": {"train": 0, "test": 0},
        }
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["cameras"][:], CAMERAS)
        assert [text.decode() for text in file["source"][:]] == [f"folder/{name}.obj" for name in NAMES]


@pytest.mark.parametrize("in_memory", [False, True])
def test_splits_and_classes(path, in_memory):
    for split, classes, rows in [
        ("train", None, [0, 1, 2, 3]),
        ("test", None, [4, 5]),
        ("train", ["chair"], [1, 3]),
        ("all", ["chair", "bed"], [0, 1, 2, 3, 4, 5]),
        ("test", ["bed"], [4]),
    ]:
        with Dataset(path, split, classes, in_memory) as data:
            assert data.rows.tolist() == rows
            np.testing.assert_array_equal(data.occupancy(range(len(data))), GRIDS[rows])
            np.testing.assert_array_equal(data.views(range(len(data)), [1] * len(data)), VIEWS[rows, 1])
            assert data.names() == [NAMES[i] for i in rows]
            assert data.labels.tolist() == [i % 2 for i in rows]
            assert data.transforms()[:, 0, 0].tolist() == [i + 0.5 for i in rows]


def test_without_views(tmp_path):
    with Dataset(write(tmp_path / "a.h5", num_views=0)) as data:
        assert (data.num_views, data.image_size, data.num_backgrounds) == (0, 0, 0)


def test_packing_is_exact_and_an_eighth():
    packed = pack(GRIDS)
    assert packed.shape == (COUNT, R**3 // 8)
    np.testing.assert_array_equal(unpack(packed, R), GRIDS)


def test_a_name_that_is_no_utf8_is_kept_readable(tmp_path):
    with Writer.create(tmp_path / "a.h5", R, ["a"]) as writer:
        writer.add(GRIDS[0], "a", "train", "b\udcff", "folder/b\udcff.obj")
    with Dataset(tmp_path / "a.h5") as data:
        assert data.names() == ["b�"]


def test_nothing_of_variable_length_is_stored(path):
    """Such text lies in HDF5's heap without a checksum: one flipped bit there renamed classes, or hung HDF5."""
    with h5py.File(path) as file:
        kinds = [file.attrs.get_id(name).dtype for name in file.attrs] + [file[name].dtype for name in file]
    assert len(kinds) == 8 + 10
    assert not any(h5py.check_vlen_dtype(kind) or h5py.check_string_dtype(kind).length is None for kind in kinds
                   if kind.kind in "OS")  # fmt: skip


# ---------------------------------------------------------------------------------------- wrong questions
def test_unknown_class_names_the_nearest(path):
    with pytest.raises(DatasetError, match="did you mean 'chair'"):
        Dataset(path, classes=["chiar"])


def test_unknown_split_names_the_nearest(path):
    with pytest.raises(DatasetError, match="did you mean 'train'"):
        Dataset(path, "trian")


def test_empty_selection_says_what_there_is(path, tmp_path):
    with pytest.raises(DatasetError, match=r"no shapes of the classes desk .*'bed': {'train': 2, 'test': 1}"):
        Dataset(path, classes=["desk"])
    with Writer.create(tmp_path / "empty.h5", R, ["a"]):
        pass
    with Dataset(tmp_path / "empty.h5", "all") as data:
        assert len(data) == 0
    for split in ("train", "test"):
        with pytest.raises(DatasetError, match="has no shapes"):
            Dataset(tmp_path / "empty.h5", split)


def test_missing_folder_and_other_files(path, tmp_path):
    with pytest.raises(StorageError, match="no data set"):
        Dataset(tmp_path / "b.h5")
    with pytest.raises(DatasetError, match="a folder; first make"):
        Dataset(tmp_path)
    for content in (b"", b"hello", b"\x89HDF\r\n\x1a\n", b"\0" * 5000):
        (tmp_path / "b.h5").write_bytes(content)
        with pytest.raises(DatasetError, match="not a readable HDF5 file"):
            Dataset(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(DatasetError, match="no voxgan data set"):
        Dataset(tmp_path / "c.h5")


def test_a_refused_file_is_closed(path):
    with pytest.raises(DatasetError) as refusal:  # whose traceback holds on to the half-made Dataset
        Dataset(path, classes=["sofa"])
    assert refusal.tb is not None
    with h5py.File(path, "a"):  # HDF5 refuses this while it is open elsewhere in the process
        pass


# ------------------------------------------------------------------------------------------ schema faults
def replaced(file: h5py.File, name: str, data, **options) -> None:
    """Put other data in a column's place; stored as the writer does where it can be."""
    chunks = file[name].chunks
    del file[name]
    if len(chunks) == np.ndim(data):
        chunks = (chunks[0], *(max(1, side) for side in np.shape(data)[1:]))
        options = {"chunks": chunks, "maxshape": (None, *np.shape(data)[1:]), "fletcher32": True} | options
    file.create_dataset(name, data=data, **options)


def declared(file: h5py.File, name: str, rows: int) -> None:
    file[name].resize(rows, axis=0)


def declare_all(file: h5py.File, rows: int) -> None:
    for name in set(file) - {"backgrounds"}:
        declared(file, name, rows)


def huge_picture(file: h5py.File) -> None:
    file.attrs["image_size"] = 4096
    file.attrs["num_views"] = 4096
    del file["views"], file["cameras"], file["backgrounds"]
    shape = (COUNT, 4096, 4096, 4096, 4)
    file.create_dataset("views", shape, np.uint8, maxshape=(None, *shape[1:]), chunks=(1, 1, 4096, 4096, 4))
    file.create_dataset("cameras", (COUNT, 4096, 7), np.float32, maxshape=(None, 4096, 7), chunks=(64, 4096, 7))


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((COUNT,), np.int16)
    layout[:] = h5py.VirtualSource(str(Path(file.filename).with_name("other.h5")), "label", (COUNT,))
    del file["label"]
    file.create_virtual_dataset("label", layout)


def external(file: h5py.File) -> None:
    del file["label"]
    file.create_dataset("label", (COUNT,), np.int16, external=[("/etc/hostname", 0, 2 * COUNT)])


def linked(name: str, link) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.copy(file[name], "elsewhere")
        del file[name]
        file[name] = link

    return change


def attribute(name: str, value) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        if value is None:
            del file.attrs[name]
        else:
            file.attrs[name] = value

    return change


COLUMNS = ("occupancy", "label", "split", "name", "source", "source_sha256", "transform", "views", "cameras")
FAULTS: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "other format": (attribute("format", np.bytes_(b"voxgan")), "no voxgan data set"),
    "no format": (attribute("format", None), "no voxgan data set"),
    "later version": (attribute("version", 3), "version 3"),
    "former version": (attribute("version", 1), "version 1"),
    "version as text": (attribute("version", np.bytes_(b"1")), "no whole number"),
    "version as array": (attribute("version", np.ones(3, int)), "no whole number"),
    "format of variable length": (attribute("format", FORMAT), "fixed length"),
    "classes of variable length": (attribute("classes", json.dumps(CLASSES)), "fixed length"),
    "classes no JSON": (attribute("classes", np.bytes_(b"bed")), "damaged"),
    "classes no list": (attribute("classes", np.bytes_(b'"bed"')), "no list"),
    "classes no names": (attribute("classes", np.bytes_(b"[1, 2, 3]")), "no list"),
    "classes no UTF-8": (attribute("classes", np.bytes_(b'["\xff"]')), "damaged"),
    "too few classes": (attribute("classes", np.bytes_(b'["bed"]')), "labels outside its 1 classes"),
    **{f"no {name}": (attribute(name, None), "damaged") for name in ("version", "resolution", "classes", "num_views")},
    "mode unknown": (attribute("mode", np.bytes_(b"solidd")), "did you mean 'solid'"),
    "mode missing": (attribute("mode", None), "mode ''"),
    "distances missing": (attribute("mode", np.bytes_(b"sdf")), "'distance' is missing"),
    "resolution 0": (attribute("resolution", 0), "impossible sizes"),
    "resolution odd": (attribute("resolution", 15), "impossible sizes"),
    "resolution negative": (attribute("resolution", -16), "impossible sizes"),
    "resolution huge": (attribute("resolution", 1 << 40), "impossible sizes"),
    "resolution not the grids'": (attribute("resolution", 32), "'occupancy' is uint8"),
    "views negative": (attribute("num_views", -1), "impossible sizes"),
    "more views than there are": (attribute("num_views", 3), "'views' is uint8"),
    "picture size": (attribute("image_size", 16), "'views' is uint8"),
    **{f"{name} missing": ((lambda file, name=name: file.pop(name)), f"'{name}' is missing") for name in COLUMNS},
    **{f"{name} soft link": (linked(name, h5py.SoftLink("/elsewhere")), f"'{name}' is a link") for name in COLUMNS},
    **{
        f"{name} external link": (linked(name, h5py.ExternalLink("other.h5", name)), f"'{name}' is a link")
        for name in (*COLUMNS, "backgrounds")
    },
    "label virtual": (virtual, "outside the file"),
    "label in another file": (external, "outside the file"),
    "label a group": ((lambda file: (file.pop("label"), file.create_group("label"))), "outside the file"),
    "label int32": ((lambda file: replaced(file, "label", np.zeros(COUNT, np.int32))), "'label' is int32"),
    "label big-endian": ((lambda file: replaced(file, "label", np.zeros(COUNT, ">i2"))), "'label' is >i2"),
    "label float": ((lambda file: replaced(file, "label", np.zeros(COUNT, np.float16))), "'label' is float16"),
    "label too short": ((lambda file: replaced(file, "label", np.zeros(5, np.int16))), r"'label' is int16 \(5,\)"),
    "label a matrix": ((lambda file: replaced(file, "label", np.zeros((COUNT, 1), np.int16))), "'label' is int16"),
    "label a number": ((lambda file: replaced(file, "label", np.int16(0))), "'label' is int16"),
    "label without checksum": (
        (lambda file: replaced(file, "label", np.zeros(COUNT, np.int16), fletcher32=False)),
        "checksums",
    ),
    "label in one block": (
        (lambda file: replaced(file, "label", np.zeros(COUNT, np.int16), chunks=None, maxshape=None, fletcher32=None)),
        "checksums",
    ),
    "label negative": ((lambda file: file["label"].__setitem__(3, -1)), "labels outside"),
    "label too high": ((lambda file: file["label"].__setitem__(3, 3)), "labels outside"),
    "split 2": ((lambda file: file["split"].__setitem__(3, 2)), "damaged"),
    "names of variable length": (
        (lambda file: replaced(file, "name", NAMES, dtype=h5py.string_dtype(), fletcher32=False)),
        "'name' is object",
    ),
    "names as numbers": ((lambda file: replaced(file, "name", np.zeros(COUNT))), "'name' is float64"),
    "occupancy a number": ((lambda file: replaced(file, "occupancy", np.uint8(0))), "damaged"),
    "occupancy as bool": ((lambda file: replaced(file, "occupancy", np.zeros((COUNT, 512), bool))), "is bool"),
    "occupancy longer": ((lambda file: declared(file, "occupancy", COUNT + 1)), "declares 7 pieces and holds 6"),
    "one row declared, not stored": ((lambda file: declare_all(file, COUNT + 1)), "declares 7 pieces and holds 6"),
    "a terabyte declared": ((lambda file: declare_all(file, 1 << 31)), "declares 2147483648 pieces and holds 6"),
    "exabytes declared": ((lambda file: declare_all(file, 1 << 50)), "pieces and holds 6"),
    "transform float32": ((lambda file: replaced(file, "transform", np.zeros((COUNT, 3, 4), "f4"))), "is float32"),
    "cameras of another shape": ((lambda file: replaced(file, "cameras", np.zeros((COUNT, 2, 6), "f4"))), "'cameras'"),
    "backgrounds of another size": (
        (lambda file: replaced(file, "backgrounds", np.zeros((3, 9, 8, 3), np.uint8))),
        "'backgrounds' is uint8",
    ),
    "backgrounds a number": ((lambda file: replaced(file, "backgrounds", np.uint8(0))), "damaged"),
    "a view over 1 GiB": (huge_picture, "over 1 GiB"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_schema_faults_are_refused_before_anything_is_allocated(path, fault):
    change, message = FAULTS[fault]
    write(path.with_name("other.h5"))
    with h5py.File(path, "a", libver="latest") as file:
        change(file)
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=message):
            Dataset(path, "all")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 10


def test_an_external_link_is_not_followed(path, tmp_path):
    """A link to a pipe would block for ever if it were opened."""
    import os

    os.mkfifo(tmp_path / "other.h5")
    with h5py.File(path, "a") as file:
        del file["label"]
        file["label"] = h5py.ExternalLink("other.h5", "label")
    with pytest.raises(DatasetError, match="'label' is a link"):
        Dataset(path)


# ------------------------------------------------------------------------------------------------- damage
READER = """
import sys, resource, numpy as np
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from pathlib import Path
from voxgan.dataset import Dataset
from voxgan.errors import DatasetError

def content(path):
    with Dataset(path, "all") as data:
        every = range(len(data))
        views = [data.views(every, [v] * len(data)) for v in range(data.num_views)]
        arrays = [data.labels, data.rows, data.occupancy(every), data.transforms(), *views]
        arrays.append(data.backgrounds(range(data.num_backgrounds)))
        return [data.classes, data.names(), data.summary(), [a.tobytes() for a in arrays]]

whole = Path(sys.argv[1])
right, good = content(whole), whole.read_bytes()
flips, cuts = int(sys.argv[2]), int(sys.argv[3])
rng, damaged = np.random.default_rng(int(sys.argv[4])), whole.with_name("damaged.h5")
refused = same = 0
for place in rng.choice(8 * len(good), flips, replace=False).tolist() + [None] * cuts:
    if place is None:
        copy = good[: int(rng.integers(len(good)))]
    else:
        copy = bytearray(good)
        copy[place // 8] ^= 1 << place % 8
    damaged.write_bytes(copy)
    try:
        found = content(damaged)
    except DatasetError:
        refused += 1
        continue
    assert found == right, f"bit {place}: wrong rows without a word"
    assert place is not None, "a file cut short was read"
    same += 1
print(refused, same)
"""


def test_damaged_files_are_refused_or_read_right(path):
    """300 flipped bits and 60 truncations, in a process of its own with limits on memory and time."""
    command = [sys.executable, "-c", READER, path, "300", "60", "0"]
    child = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    assert child.returncode == 0, child.stderr
    refused, same = map(int, child.stdout.split())
    assert refused + same == 360
    assert refused > 200 and same > 0  # both kinds were tried


def test_a_damaged_row_costs_only_itself(path):
    with h5py.File(path) as file:
        place = file["occupancy"].id.get_chunk_info(2)
    content = bytearray(path.read_bytes())
    content[place.byte_offset + place.size // 2] ^= 4
    path.write_bytes(content)
    with Dataset(path, "all") as data:
        np.testing.assert_array_equal(data.occupancy([0, 1, 3, 4, 5]), GRIDS[[0, 1, 3, 4, 5]])
        with pytest.raises(DatasetError, match="row 2 of 'occupancy' fails its checksum"):
            data.occupancy([2])
    with pytest.raises(DatasetError, match="row 2"):
        Dataset(path, in_memory=True)


@pytest.mark.parametrize(("name", "read"), [("name", Dataset.names), ("transform", Dataset.transforms)])
def test_damaged_columns(path, name, read):
    with h5py.File(path) as file:
        place = file[name].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[place.byte_offset + place.size // 2] ^= 4
    path.write_bytes(content)
    with Dataset(path) as data, pytest.raises(DatasetError, match=f"'{name}' fails its checksum"):
        read(data)


# ------------------------------------------------------------------------------------------------- memory
def test_shapes_are_read_row_by_row(tmp_path):
    count = 3000
    grids = np.random.default_rng(1).random((16, R, R, R)) < 0.5
    with Writer.create(tmp_path / "a.h5", R, ["a"]) as writer:
        for i in range(count):
            writer.add(grids[i % 16], "a", "train", f"shape {i}")
    packed = count * R**3 // 8

    def peak(in_memory: bool) -> int:
        tracemalloc.start()
        try:
            with Dataset(tmp_path / "a.h5", in_memory=in_memory) as data:
                assert len(data) == count
                for start in range(0, count, 300):
                    np.testing.assert_array_equal(data.occupancy([start + 5]), grids[[(start + 5) % 16]])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(False) < packed / 4
    assert packed <= peak(True) < 4 * packed


# --------------------------------------------------------------------------------------------------- parts
def test_parts_are_copied_without_being_unpacked(path, tmp_path):
    """A data set put together from two parts is, byte for byte of every column, the one written at once."""
    rows = [
        encode(GRIDS[i], CLASSES[i % 2], "train" if i < 4 else "test", NAMES[i], f"folder/{NAMES[i]}.obj",
               bytes([i] * 32), transform(i), None, VIEWS[i], CAMERAS[i])
        for i in range(COUNT)
    ]  # fmt: skip
    for name, part in (("b.h5", rows[:1]), ("c.h5", rows[1:])):
        with Writer.create(tmp_path / name, R, CLASSES, 2, 8) as writer:
            for row in part:
                writer.append(row)
            writer.set_aside(f"{name}/é.obj", "broken: " + "x" * 5000)
    with Writer.create(tmp_path / "d.h5", R, CLASSES, 2, 8) as writer:
        writer.copy(tmp_path / "b.h5")
        writer.copy(tmp_path / "c.h5")
        writer.add_backgrounds(BACKGROUNDS)
    with h5py.File(path) as one, h5py.File(tmp_path / "d.h5") as two:
        assert set(two) - set(one) == {"aside_source", "aside_reason"}
        for name in one:
            np.testing.assert_array_equal(one[name][:], two[name][:])
    with Dataset(tmp_path / "d.h5", "all") as data:
        aside = data.set_aside()
        assert [source for source, _ in aside] == ["b.h5/é.obj", "c.h5/é.obj"]
        assert all(reason.startswith("broken: xxx") and len(reason) == 1000 for _, reason in aside)


def test_more_rows_than_a_block(tmp_path):
    with Writer.create(tmp_path / "a.h5", R, ["a"]) as writer:
        for i in range(2500):
            writer.add(GRIDS[i % COUNT], "a", "train", f"{i}", transform=transform(i))
    with Dataset(tmp_path / "a.h5") as data:
        assert data.names() == [str(i) for i in range(2500)]
        np.testing.assert_array_equal(
            data.transforms()[[0, 1023, 1024, 2499]], [transform(i) for i in (0, 1023, 1024, 2499)]
        )
        np.testing.assert_array_equal(data.occupancy([1024, 2499]), GRIDS[[1024 % COUNT, 2499 % COUNT]])


def test_distances_in_sixteenths_of_a_cell(tmp_path):
    distance = np.linspace(-1, 1, R**3, dtype=np.float32).reshape(R, R, R)
    with Writer.create(tmp_path / "a.h5", R, ["a"], mode="sdf") as writer:
        writer.add(distance < 0, "a", "train", "x", distance=distance)
        with pytest.raises(UsageError, match="0 distance, expected 1"):
            writer.add(distance < 0, "a", "train", "x")
    with Dataset(tmp_path / "a.h5") as data:
        assert data.mode == "sdf"
        found = data.distance([0])[0]
        near = np.abs(distance) < 7.9 / R
        np.testing.assert_allclose(found[near], distance[near], atol=0.5 / 16 / R + 1e-6)
        np.testing.assert_allclose(np.abs(found[np.abs(distance) > 8 / R]), 127 / 16 / R)
    with Dataset(write(tmp_path / "b.h5")) as data, pytest.raises(DatasetError, match="mode=sdf"):
        data.distance([0])


def test_opened_anew_it_is_the_same_selection(path):
    with Dataset(path, "test", ["bed"]) as data, data.reopened() as again:
        assert again.names() == data.names() and again.labels.tolist() == data.labels.tolist()
        np.testing.assert_array_equal(again.packed([0]), data.packed([0]))


# ----------------------------------------------------------------------------------------- interrupted writing
@pytest.mark.parametrize("kind", [ValueError, OSError, KeyboardInterrupt])
def test_an_interrupted_writer_leaves_nothing(tmp_path, kind):
    path = tmp_path / "new" / "a.h5"

    def begin() -> None:
        with Writer.create(path, R, ["a"]) as writer:
            writer.add(GRIDS[0], "a", "train", "x")
            raise kind(28, "No space left on device")

    with pytest.raises(StorageError if kind is OSError else kind):
        begin()
    assert not list(path.parent.iterdir())


def test_an_interrupted_writer_leaves_the_old_file(path):
    before = path.read_bytes()
    with pytest.raises(UsageError, match="no class 'b'"), Writer.create(path, R, ["a"]) as writer:
        writer.add(GRIDS[0], "b", "train", "x")
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["a.h5"]


def test_the_same_rows_give_the_same_bytes(path, tmp_path):
    assert write(tmp_path / "b.h5").read_bytes() == path.read_bytes()
