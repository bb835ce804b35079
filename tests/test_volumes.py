"""Volumes: surface cells, signed distance, resampling; npz and binvox files, whole and damaged."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label

from voxgan.errors import InputError, StorageError, SurfaceError
from voxgan.volumes import grid_distance, read_volume, resample, surface_cells
from voxgan.voxels import FILL, Shapes, cell_centres

EVERY_WAY = np.ones((3, 3, 3), int)  # 26 neighbours


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


def cells(shapes: Shapes) -> NDArray[np.bool_]:
    return shapes.occupancy[0] > 0.5


def source_points(shapes: Shapes) -> NDArray[np.float64]:
    """The cells' centres in the source's own coordinates."""
    return cell_centres(shapes.resolution) * shapes.scale[0] + shapes.centre[0]


def pieces(grid: NDArray[np.bool_], structure=EVERY_WAY) -> int:
    return int(label(grid, structure)[1])


@pytest.fixture(scope="module")
def wedge() -> Shapes:
    """A shape that no turn or mirror maps on itself, of known scale and place: 4 long, 2 wide, 1 high."""
    x, y, z = np.moveaxis(cell_centres(32), -1, 0)
    body = (abs(x) < 0.4) & (abs(y) < 0.2) & (abs(z) < 0.1)
    grid = body & ~((x > 0) & (y > 0)) & ~((x < -0.2) & (z > 0))
    return Shapes(grid, np.array([5.0]), np.array([[10.0, 20.0, 30.0]]))


# --------------------------------------------------------------------------------------- surface and distance
def test_surface_cells():
    rng = np.random.default_rng(0)
    for grid in (rng.random((9, 9, 9)) < 0.7, np.ones((5, 5, 5), bool), np.zeros((3, 3, 3), bool)):
        surface = surface_cells(grid)
        assert surface.dtype == bool and surface.shape == grid.shape
        padded = np.pad(grid, 1)
        for x, y, z in np.argwhere(grid) + 1:
            six = [padded[x + i, y + j, z + k] for i, j, k in np.vstack([np.eye(3, dtype=int), -np.eye(3, dtype=int)])]
            assert surface[x - 1, y - 1, z - 1] == (not all(six))
        assert not (surface & ~grid).any()
    ball = np.linalg.norm(cell_centres(16), axis=-1) < 0.4
    np.testing.assert_array_equal(surface_cells(ball * 0.5), surface_cells(ball))
    with pytest.raises(InputError, match="three axes"):
        surface_cells(np.ones((4, 4)))


def test_grid_distance_of_a_ball():
    radius = np.linalg.norm(cell_centres(48), axis=-1)
    grid = radius < 0.3
    distance = grid_distance(grid)
    assert distance.dtype == np.float32
    assert ((distance < 0) == grid).all()
    assert np.abs(distance - (radius - 0.3)).max() * 48 < 1


def test_grid_distance_is_zero_half_way_and_closed_at_the_border():
    grid = np.zeros((8, 8, 8), bool)
    grid[:, :, :3] = True
    distance = grid_distance(grid) * 8
    np.testing.assert_allclose(distance[4, 4], [-0.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 4.5])
    full = grid_distance(np.ones((4, 4, 4))) * 4
    assert full.max() == -0.5 and full.min() == -1.5


def test_grid_distance_refuses():
    with pytest.raises(SurfaceError, match="empty"):
        grid_distance(np.zeros((4, 4, 4)))
    with pytest.raises(InputError, match="cube"):
        grid_distance(np.ones((4, 4, 5)))
    with pytest.raises(InputError, match="three axes"):
        grid_distance(np.ones(4))


# ------------------------------------------------------------------------------------------------ resampling
def test_resample_keeps_one_cell_thin_legs():
    volume = np.zeros((30, 30, 30), np.uint8)
    volume[3:27, 3:27, 18:20] = 1
    for x in (3, 26):
        for y in (3, 26):
            volume[x, y, 3:18] = 1
    shapes = resample(volume, 64)
    grid = cells(shapes)
    assert pieces(grid, None) == 1
    low, high = np.argwhere(grid).min(axis=0), np.argwhere(grid).max(axis=0) + 1
    assert (high - low).max() == FILL * 64
    assert np.abs(low + high - 64).max() <= 1  # centred, to half a cell
    for layer in range(low[2] + 1, low[2] + 35):
        assert pieces(grid[:, :, layer], None) == 4
    assert shapes.scale[0] == pytest.approx(24 / FILL)
    np.testing.assert_allclose(shapes.centre[0], [15, 15, 11.5])


def test_resample_of_an_uneven_volume():
    volume = np.zeros((20, 9, 33), bool)
    volume[2:17, 1:8, 4:9] = True
    shapes = resample(volume, 32)
    p = source_points(shapes)
    expected = ((p >= [2, 1, 4]) & (p <= [17, 8, 9])).all(-1)
    assert iou(cells(shapes), expected) >= 0.95


def test_resample_refuses():
    for empty in (np.zeros((4, 4, 4)), np.full((4, 4, 4), np.nan)):
        with pytest.raises(SurfaceError, match="empty"):
            resample(empty)
    with pytest.raises(InputError, match="three axes"):
        resample(np.ones((4, 4)))


# ---------------------------------------------------------------------------------------- damaged volumes
HEADER = b"#binvox 1\ndim 2 2 2\ntranslate -1 -2 -3\nscale 4\ndata\n"


def test_the_order_of_cells_in_a_binvox_file_written_by_hand(tmp_path):
    """The format's rule: y runs fastest, then z, then x."""
    path = tmp_path / "a.binvox"
    bits = [0, 1, 0, 0, 0, 0, 1, 0]  # (x, z, y): 001 and 110
    path.write_bytes(HEADER + b"".join(bytes([bit, 1]) for bit in bits))
    shapes = read_volume(path)
    assert np.argwhere(shapes.occupancy[0]).tolist() == [[0, 1, 0], [1, 0, 1]]
    assert shapes.scale.tolist() == [4] and shapes.centre.tolist() == [[1, 0, -1]]
    path.write_bytes(HEADER + bytes([0, 1, 1, 1, 0, 4, 1, 1, 0, 1]))
    np.testing.assert_array_equal(read_volume(path).occupancy, shapes.occupancy)
    shapes.export(tmp_path / "b.binvox")
    np.testing.assert_array_equal(read_volume(tmp_path / "b.binvox").occupancy, shapes.occupancy)
    assert (tmp_path / "b.binvox").read_bytes().endswith(bytes([0, 1, 1, 1, 0, 4, 1, 1, 0, 1]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#binvox 1\n",
        b"solid\nfacet\n",
        HEADER,
        HEADER + bytes([1, 7]),
        HEADER + bytes([1, 9]),
        HEADER + bytes([1, 8, 0]),
        HEADER.replace(b"dim 2 2 2", b"dim 2 2") + bytes([1, 4]),
        HEADER.replace(b"dim 2 2 2", b"dim 1 2 4") + bytes([1, 8]),
        HEADER.replace(b"dim 2 2 2", b"dim 0 0 0"),
        HEADER.replace(b"dim 2 2 2", b"dim -2 -2 -2") + bytes([1, 8]),
        HEADER.replace(b"dim 2 2 2", b"dim 99999 99999 99999") + bytes([1, 8]),
        HEADER.replace(b"dim 2 2 2", b"dim a b c") + bytes([1, 8]),
        HEADER.replace(b"dim 2 2 2\n", b"") + bytes([1, 8]),
        HEADER.replace(b"scale 4", b"scale nan") + bytes([1, 8]),
        HEADER.replace(b"scale 4", b"scale 0") + bytes([1, 8]),
        HEADER.replace(b"scale 4", b"scale") + bytes([1, 8]),
        HEADER.replace(b"translate -1 -2 -3", b"translate -1 inf -3") + bytes([1, 8]),
        HEADER.replace(b"translate -1 -2 -3", b"translate -1 -2") + bytes([1, 8]),
        HEADER.replace(b"scale 4", b"scale \xff") + bytes([1, 8]),
    ],
)
def test_damaged_binvox(tmp_path, content):
    path = tmp_path / "a.binvox"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.binvox"):
        read_volume(path)


def test_no_advice_to_load_unsafely(tmp_path):
    import pickle

    path = tmp_path / "a.npz"
    np.savez(path, occupancy=np.array([{}], object))
    contents = [path.read_bytes(), pickle.dumps([1]), b"nonsense"]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz") as caught:
            read_volume(path)
        assert "pickle" not in str(caught.value)


def test_damaged_npz(wedge, tmp_path):
    path = wedge.export(tmp_path / "a.npz")
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2], whole[:-10], b"\0" * 500):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz"):
            read_volume(path)
    flips = np.random.default_rng(0).integers(0, 8 * len(whole), 100)
    for place in flips.tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            again = read_volume(path)
        except InputError:
            continue
        np.testing.assert_array_equal(again.occupancy, wedge.occupancy)


@pytest.mark.parametrize(
    "arrays",
    [
        {"other": np.zeros((4, 4, 4))},
        {"occupancy": np.zeros((4, 4))},
        {"occupancy": np.full((4, 4, 4), np.nan)},
        {"occupancy": np.array([["a"]])},
        {"occupancy": np.array([{"a": 1}], dtype=object)},
        {"occupancy": np.zeros((4, 4, 4)), "scale": np.ones(1)},
        {"occupancy": np.zeros((4, 4, 4)), "scale": np.ones(5), "centre": np.zeros((1, 3))},
        {"occupancy": np.zeros((4, 4, 4)), "scale": np.array([np.nan]), "centre": np.zeros((1, 3))},
    ],
)
def test_npz_of_something_else(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError):
        read_volume(tmp_path / "a.npz")


def test_missing_volume(tmp_path):
    for name in ("a.npz", "a.binvox"):
        with pytest.raises(StorageError, match="cannot read"):
            read_volume(tmp_path / name)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(StorageError, match="cannot read"):
        read_volume(tmp_path / "folder.npz")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_volume_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(StorageError, match="no file"):
        read_volume(tmp_path / "pipe.npz")
