"""MATLAB files: every kind that `scipy.io.savemat` writes; damage is a ValueError, never a fault of the process."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix

from data_prep.matlab import read_array

GRID = np.random.default_rng(0).integers(0, 100, (3, 4, 5))


def saved(path, compressed: bool = False, **variables) -> bytes:
    savemat(path / "a.mat", variables, do_compression=compressed)
    return (path / "a.mat").read_bytes()


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "?"])
def test_every_type_of_number(tmp_path, compressed, kind):
    content = saved(tmp_path, compressed, first=np.eye(3), instance=GRID.astype(kind), last=1)
    np.testing.assert_array_equal(read_array(content, "instance"), GRID.astype(kind))
    np.testing.assert_array_equal(read_array(content, "first"), np.eye(3))
    assert read_array(content, "last").tolist() == [[1]]


def test_the_other_byte_order():
    def element(kind: int, body: bytes) -> bytes:
        return struct.pack(">II", kind, len(body)) + body + b"\0" * (-len(body) % 8)

    values = np.arange(6, dtype=">i2").reshape(1, 2, 3)
    parts = element(6, struct.pack(">II", 10, 0)) + element(5, struct.pack(">3i", 1, 2, 3)) + element(1, b"instance")
    matrix = element(14, parts + element(3, values.tobytes(order="F")))
    np.testing.assert_array_equal(read_array(b" " * 124 + b"\1\0MI" + matrix, "instance"), values)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    "value",
    ["text", {"a": 1}, np.array([1, "a"], object), np.ones((2, 2)) * 1j, csc_matrix(np.eye(3))],
    ids=["text", "struct", "cell", "complex", "sparse"],
)
def test_what_is_no_array_of_real_numbers(tmp_path, compressed, value):
    with pytest.raises(ValueError, match="no array of real numbers"):
        read_array(saved(tmp_path, compressed, instance=value), "instance")


def test_other_files(tmp_path):
    for content in (b"", b"MATLAB 5.0 MAT-file", b"\0" * 500, b"\x89HDF\r\n\x1a\n" + b"\0" * 500):
        with pytest.raises(ValueError, match="no MATLAB 5 file"):
            read_array(content, "instance")
    with pytest.raises(ValueError, match="no variable 'instance'"):
        read_array(saved(tmp_path, other=1), "instance")


@pytest.mark.parametrize("compressed", [True, False])
def test_damage_is_a_value_error(tmp_path, compressed):
    """With scipy's reader, some of these bits ended the process (SIGSEGV)."""
    content = saved(tmp_path, compressed, instance=GRID.astype(np.uint8))
    for cut in range(len(content)):
        if content[cut:].strip(b"\0"):  # what fills up to eights may be missing
            with pytest.raises(ValueError, match=r"\w"):
                read_array(content[:cut], "instance")
    refused = 0
    for place in range(8 * 124, 8 * len(content)):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << (place % 8)
        try:
            found = read_array(bytes(damaged), "instance")
        except ValueError:
            refused += 1
        else:
            assert found.nbytes <= len(content)
            assert not compressed or (found == GRID).all()
    assert refused > 100
