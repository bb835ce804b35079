"""R5: damaged data sets, with everything that a preparation puts into one; what `tests/test_dataset.py` leaves out.

That is distances, transforms, cameras, the sources' hashes, and what was set aside.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from trial import FULL

from voxgan.dataset import Dataset
from voxgan.dataset_writer import Writer
from voxgan.errors import DatasetError

R, COUNT, VIEWS, SIZE = 16, 5, 2, 8
NUM_FLIPS, NUM_CUTS = (400, 60) if FULL else (60, 10)
RNG = np.random.default_rng(0)
DISTANCE = RNG.normal(0, 0.2, (COUNT, R, R, R)).astype(np.float32)
ASIDE = [("meshes/a.obj", "a.obj: it has 3 points and no faces"), ("é 漢.off", "took longer than 120 s")]


@pytest.fixture
def path(tmp_path) -> Path:
    with Writer.create(tmp_path / "a.h5", R, ["bed", "chair"], VIEWS, SIZE, "sdf") as writer:
        for i in range(COUNT):
            writer.add(
                DISTANCE[i] < 0,
                ("bed", "chair")[i % 2],
                ("train", "test")[i % 2],
                f"shape {i}",
                f"meshes/{i}.obj",
                bytes(range(i, i + 32)),
                np.eye(3, 4) * (i + 1),
                DISTANCE[i],
                RNG.integers(0, 256, (VIEWS, SIZE, SIZE, 4), np.uint8),
                RNG.normal(size=(VIEWS, 7)).astype(np.float32),
            )
        for source, reason in ASIDE:
            writer.set_aside(source, reason)
        writer.add_backgrounds(RNG.integers(0, 256, (2, SIZE, SIZE, 3), np.uint8))
    return tmp_path / "a.h5"


CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from pathlib import Path
import numpy as np
from voxgan.dataset import Dataset
from voxgan.errors import DatasetError

def content(path):
    with Dataset(path, "all") as data:
        every = range(len(data))
        arrays = [data.labels, data.splits, data.occupancy(every), data.distance(every), data.transforms()]
        arrays += [data.cameras(), *(data.views(every, [v] * len(data)) for v in range(data.num_views))]
        arrays.append(data.backgrounds(range(data.num_backgrounds)))
        texts = [data.classes, data.mode, data.names(), data.sources(), data.source_sha256(), data.set_aside()]
        return texts, [array.tobytes() for array in arrays]

whole, seed, flips, cuts = Path(sys.argv[1]), *map(int, sys.argv[2:])
right, good = content(whole), whole.read_bytes()
rng, damaged = np.random.default_rng(seed), whole.with_name("damaged.h5")
refused = same = 0
for number in range(flips + cuts):
    copy = bytearray(good)
    if number < flips:
        copy[rng.integers(len(good))] ^= 1 << int(rng.integers(8))
    else:
        del copy[int(rng.integers(len(good))):]
    damaged.write_bytes(copy)
    try:
        found = content(damaged)
    except DatasetError as error:
        assert "\\n" not in str(error) and str(damaged) in str(error), str(error)
        refused += 1
        continue
    assert found == right, f"number {number}: wrong rows without a word"
    same += 1
print(refused, same)
"""


def test_flipped_bits_and_cuts_change_nothing_without_a_word(path):
    command = [sys.executable, "-c", CHILD, str(path), "1", str(NUM_FLIPS), str(NUM_CUTS)]
    child = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert child.returncode == 0, child.stderr
    assert "Traceback" not in child.stderr
    refused, same = map(int, child.stdout.split())
    assert refused + same == NUM_FLIPS + NUM_CUTS
    assert refused >= NUM_CUTS + NUM_FLIPS / 3 and same > 0  # both kinds were tried


def flipped(name: str, chunk: int = 0) -> Callable[[Path], None]:
    """Change one bit amid a column's stored bytes."""

    def change(path: Path) -> None:
        with h5py.File(path) as file:
            place = file[name].id.get_chunk_info(chunk)
        content = bytearray(path.read_bytes())
        content[place.byte_offset + place.size // 2] ^= 16
        path.write_bytes(content)

    return change


READ: dict[str, Callable[[Dataset], object]] = {
    "occupancy": lambda data: data.packed([0]),
    "distance": lambda data: data.distance([0]),
    "views": lambda data: data.views([0], [0]),
    "backgrounds": lambda data: data.backgrounds([0]),
    "cameras": Dataset.cameras,
    "transform": Dataset.transforms,
    "source_sha256": Dataset.source_sha256,
    "name": Dataset.names,
    "source": Dataset.sources,
    "aside_source": Dataset.set_aside,
    "aside_reason": Dataset.set_aside,
}


@pytest.mark.parametrize("name", READ)
def test_one_wrong_bit_in_a_column_is_said_and_the_others_are_read(path, name):
    flipped(name)(path)
    with Dataset(path, "all") as data:
        with pytest.raises(DatasetError, match=f"'{name}' fails its checksum"):
            READ[name](data)
        for other, read in READ.items():
            if other != name and {name, other} != {"aside_source", "aside_reason"}:
                read(data)


def put(name: str, **options: object) -> Callable[[h5py.File], None]:
    """Put a column in another's place, stored as a stranger might."""

    def change(file: h5py.File) -> None:
        former = file[name]
        how = {"data": former[:], "chunks": former.chunks, "maxshape": former.maxshape, "fletcher32": True} | options
        del file[name]
        file.create_dataset(name, **{key: value for key, value in how.items() if value is not None})

    return change


def link(name: str, target: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.move(name, "elsewhere")
        file[name] = target

    return change


def longer(name: str, count: int) -> Callable[[h5py.File], None]:
    return lambda file: file[name].resize(count, axis=0)


FAULTS: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "distance missing": (lambda file: file.pop("distance"), "'distance' is missing"),
    "distance float": (put("distance", data=DISTANCE), "'distance' is float32"),
    "distance uint8": (put("distance", dtype=np.uint8), "'distance' is uint8"),
    "distance without checksum": (put("distance", fletcher32=False), "checksums"),
    "distance of a row less": (longer("distance", COUNT - 1), "'distance' is int8"),
    "distance of terabytes": (longer("distance", 1 << 30), "'distance' is int8"),
    "distance a soft link": (link("distance", h5py.SoftLink("/elsewhere")), "'distance' is a link"),
    "distance elsewhere": (link("distance", h5py.ExternalLink("b.h5", "distance")), "'distance' is a link"),
    "distance of another side": (
        put("distance", data=np.zeros((COUNT, 8, 8, 8), np.int8), chunks=(1, 8, 8, 8), maxshape=(None, 8, 8, 8)),
        "'distance' is int8",
    ),
    "mode a number": (lambda file: file.attrs.__setitem__("mode", 3), "'mode' in its header is no text"),
    "mode of variable length": (lambda file: file.attrs.__setitem__("mode", "sdf"), "'mode' in its header is no text"),
    "mode a list": (lambda file: file.attrs.__setitem__("mode", np.array([b"sdf"])), "'mode' in its header is no text"),
    "mode no UTF-8": (lambda file: file.attrs.__setitem__("mode", np.bytes_(b"\xff")), "damaged"),
    "hash too short": (
        put("source_sha256", data=np.zeros((COUNT, 16), np.uint8), chunks=(256, 16), maxshape=(None, 16)),
        "'source_sha256' is uint8",
    ),
    "hash as text": (put("source_sha256", data=np.full(COUNT, b"0" * 64), chunks=(256,), maxshape=(None,)), "'source_"),
    "transform a matrix": (
        put("transform", data=np.zeros((COUNT, 4, 4)), chunks=(256, 4, 4), maxshape=(None, 4, 4)),
        "'transform' is float64",
    ),
    "transform external": (
        put("transform", chunks=None, maxshape=None, fletcher32=None, external=[("b.bin", 0, COUNT * 96)]),
        "outside the file",
    ),
    "aside without reasons": (lambda file: file.pop("aside_reason"), "'aside_reason' is missing"),
    "aside with more reasons": (longer("aside_reason", 3), "'aside_reason' is"),
    "aside of billions": (
        lambda file: (longer("aside_reason", 1 << 40)(file), longer("aside_source", 1 << 40)(file)),
        "pieces and holds 1",
    ),
    "aside elsewhere": (link("aside_source", h5py.ExternalLink("b.h5", "aside_source")), "'aside_source' is a link"),
    "aside a soft link": (link("aside_reason", h5py.SoftLink("/elsewhere")), "'aside_reason' is a link"),
    "aside in a ring": (link("aside_reason", h5py.SoftLink("/aside_reason")), "'aside_reason' is a link"),
    "aside of variable length": (
        put("aside_reason", data=["a", "b"], dtype=h5py.string_dtype(), fletcher32=False),
        "'aside_reason' is object",
    ),
    "aside of numbers": (put("aside_source", data=np.zeros(2)), "'aside_source' is float64"),
    "aside a group": (lambda file: (file.pop("aside_source"), file.create_group("aside_source")), "outside the file"),
    "aside of long texts": (put("aside_reason", data=np.zeros(2, "S70000")), "'aside_reason' is"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_schema_faults(path, fault, monkeypatch):
    change, message = FAULTS[fault]
    monkeypatch.chdir(path.parent)  # where external storage is looked for, and made
    os.mkfifo(path.with_name("b.h5"))  # a link that were followed would wait here for ever
    path.with_name("b.bin").write_bytes(bytes(1000))
    with h5py.File(path, "a", libver="latest") as file:
        change(file)
    with pytest.raises(DatasetError, match=message) as caught:
        Dataset(path, "all")
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_a_transform_or_a_camera_is_read_as_it_stands(path, value):
    """NaN is what an unknown camera has; nothing is made up in its place."""
    with h5py.File(path, "a", libver="latest") as file:
        file["cameras"][1] = value
        file["transform"][2] = value
    with Dataset(path, "all") as data:
        assert np.array_equal(data.cameras()[1], np.full((VIEWS, 7), value), equal_nan=True)
        assert np.array_equal(data.transforms()[2], np.full((3, 4), value), equal_nan=True)
        assert np.isfinite(data.transforms()[[0, 1, 3, 4]]).all()


def test_distances_keep_to_their_rows(path):
    with Dataset(path, "test") as data:
        np.testing.assert_allclose(
            data.distance([1, 0]), np.clip(DISTANCE[[3, 1]], -127 / 256, 127 / 256), atol=0.5 / 256 + 1e-6
        )
        assert data.source_sha256()[1] == bytes(range(3, 35)).hex()
    with Dataset(path, "all") as data:
        assert data.set_aside() == ASIDE
