from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from voxgan.errors import MissingExtraError, StorageError, SurfaceError, UsageError
from voxgan.preview import (
    BACKGROUND,
    arrange,
    coarser,
    glance,
    group,
    picture,
    png_bytes,
    sheet,
    span,
    turntable,
    write_gif,
    write_png,
)

R = 32


def box(x: slice, y: slice, z: slice) -> NDArray[np.float32]:
    grid = np.zeros((R, R, R), np.float32)
    grid[x, y, z] = 1
    return grid


def drawn(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (np.abs(image.astype(int) - BACKGROUND) > 8).any(2)


def sides(image: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Left, right, upper, lower edge of what is drawn, in pixels."""
    rows, columns = np.nonzero(drawn(image))
    return columns.min(), columns.max() + 1, rows.min(), rows.max() + 1


@pytest.mark.parametrize("azimuth", [0, 90, 180, 270])
def test_box_seen_level_is_a_rectangle_of_its_size(azimuth: float) -> None:
    size = 256
    image = picture(box(slice(8, 24), slice(12, 20), slice(4, 28)), azimuth, 0, size, zoom=1)
    cell = size / np.sqrt(2) / R
    width = (16 if azimuth % 180 == 0 else 8) * cell
    left, right, upper, lower = sides(image)
    assert abs((right - left) - width) <= 2
    assert abs((lower - upper) - 24 * cell) <= 2
    assert abs((left + right) / 2 - size / 2) <= 1
    assert abs((upper + lower) / 2 - size / 2) <= 1
    assert drawn(image).sum() >= 0.98 * (right - left) * (lower - upper)


def test_which_side_is_tall_depends_on_the_azimuth() -> None:
    # Low over the whole width; tall at +x only, and there at the back (+y) only.
    shape = box(slice(4, 28), slice(4, 28), slice(4, 10))
    shape[20:28, 20:28, 4:28] = 1

    def tall_part(azimuth: float) -> str:
        upper = drawn(picture(shape, azimuth, 0, 128))[:60]
        return "left" if upper[:, :64].sum() > upper[:, 64:].sum() else "right"

    assert tall_part(0) == "right"  # from −y, x grows to the right
    assert tall_part(90) == "right"  # from +x, y grows to the right
    assert tall_part(180) == "left"
    assert tall_part(270) == "left"


def test_front_hides_back_and_top_is_seen_from_above() -> None:
    # A small block before a wall: seen from the front it is shaded before the wall, from behind it is hidden.
    wall = box(slice(4, 28), slice(22, 26), slice(4, 28))
    block = box(slice(12, 20), slice(6, 10), slice(12, 20))
    both = np.maximum(wall, block)
    hidden = picture(both, 180, 0, 128)
    assert np.abs(hidden.astype(int) - picture(wall, 180, 0, 128)).max() <= 60  # it only dims a little
    assert np.array_equal(drawn(hidden), drawn(picture(wall, 180, 0, 128)))
    assert not np.array_equal(picture(both, 0, 0, 128), picture(wall, 0, 0, 128))
    # Straight down: the wall stands at +y, which is the upper half of the picture.
    _, _, upper, lower = sides(picture(wall, 0, 90, 128, shadow=False))
    assert lower <= 64 and upper > 10


@pytest.mark.parametrize("grid", [np.zeros((R, R, R)), np.full((R, R, R), 0.4), np.zeros((1, 1, 1))])
def test_a_grid_without_surface_is_background(grid: NDArray[np.float64]) -> None:
    assert (picture(grid, size=32) == np.array(BACKGROUND, np.uint8)).all()


def test_full_grid_and_one_cell_are_drawn() -> None:
    assert drawn(picture(np.ones((4, 4, 4)), size=64)).mean() > 0.3
    assert drawn(picture(np.ones((1, 1, 1)), size=64)).any()
    assert drawn(picture(box(slice(16, 17), slice(16, 17), slice(0, R)), size=64)).any()


def test_level_moves_the_surface_and_colour_colours() -> None:
    c = (np.arange(R) + 0.5) / R - 0.5
    ball = np.clip(1 - 2 * np.sqrt(c[:, None, None] ** 2 + c[:, None] ** 2 + c**2), 0, 1)
    areas = [drawn(picture(ball, size=96, level=level, shadow=False)).sum() for level in (0.2, 0.5, 0.8)]
    assert areas[0] > areas[1] > areas[2] > 0
    red = picture(ball, size=96, colour=(220, 60, 60))[48, 48].astype(int)
    assert red[0] > red[1] + 50 and red[0] > red[2] + 50


def test_the_same_twice_and_torch_and_bool_grids() -> None:
    shape = box(slice(8, 24), slice(12, 20), slice(4, 28))
    first = picture(shape, size=64)
    assert np.array_equal(first, picture(shape, size=64))
    assert np.array_equal(first, picture(shape > 0.5, size=64))
    assert np.array_equal(first, picture(torch.from_numpy(shape), size=64))
    assert first.dtype == np.uint8 and first.flags.c_contiguous


def test_sheet_places_pictures_in_rows() -> None:
    shape = box(slice(8, 24), slice(12, 20), slice(4, 28))
    shapes = np.stack([shape, np.zeros_like(shape), shape, shape, shape])
    whole = sheet(shapes, columns=3, size=48)
    assert whole.shape == (96, 144, 3)
    assert np.array_equal(whole[:48, :48], picture(shape, size=48))
    assert np.array_equal(whole[48:, 48:96], picture(shape, size=48))
    assert not drawn(whole[:48, 48:96]).any() and not drawn(whole[48:, 96:]).any()
    assert sheet(shapes, size=16).shape == (32, 48, 3)
    assert sheet(shapes[:1], columns=4, size=16).shape == (16, 16, 3)


@pytest.mark.parametrize(
    ("count", "size", "columns", "expected"),
    [
        (1, (1024, 768), None, (1, 1, 768)),
        (2, (1024, 768), None, (2, 1, 512)),
        (8, (1024, 768), None, (4, 2, 256)),  # as large as 3 × 3, and no place is empty
        (5, (100, 500), None, (1, 5, 100)),
        (3, (900, 900), 2, (2, 2, 450)),
        (3, (900, 900), 7, (3, 1, 300)),
    ],
)
def test_as_large_as_they_fit(
    count: int, size: tuple[int, int], columns: int | None, expected: tuple[int, int, int]
) -> None:
    assert arrange(count, size, columns) == expected


def test_a_group_stands_in_the_middle() -> None:
    shape = box(slice(8, 24), slice(12, 20), slice(4, 28))
    whole = group(np.stack([shape, shape, np.zeros_like(shape)]), (140, 70), columns=3, azimuth=50)
    tile = picture(shape, 50, size=46)
    assert np.array_equal(whole[12:58, 1:47], tile) and np.array_equal(whole[12:58, 47:93], tile)
    assert not drawn(whole[:12]).any() and not drawn(whole[58:]).any()
    word = drawn(whole[12:58, 93:139])
    rows, columns = np.nonzero(word)
    assert word.any() and np.ptp(rows) < 20 and abs(columns.mean() - 23) < 4


def test_span_is_what_a_picture_shows() -> None:
    left, right, _, _ = sides(picture(np.ones((8, 8, 8)), 0, 0, 512, shadow=False))
    assert abs((right - left) - 512 / span(0)) <= 2


def test_a_glance_is_quick_however_many() -> None:
    many = np.zeros((200, 8, 8, 8), np.float32)
    many[:, 2:6, 2:6, 2:6] = 1
    image = glance(many)
    assert image.shape == (4 * 128 + 24, 768, 3)
    assert np.array_equal(image[:128, :128], picture(many[0], size=128))
    assert drawn(image[-24:]).any(), "how many there are"
    assert glance(many[:2]).shape == (128, 256, 3) and glance(many[:1]).shape == (256, 256, 3)


def test_coarser_grids_are_means() -> None:
    grids = np.random.default_rng(0).random((2, 8, 8, 8)).astype(np.float32)
    means = grids.reshape(2, 4, 2, 4, 2, 4, 2).mean(axis=(2, 4, 6))
    assert np.allclose(coarser(grids, 4), means)
    assert np.array_equal(coarser(grids, 8), grids)
    fine = grids.repeat(16, 1).repeat(16, 2).repeat(16, 3)
    assert np.array_equal(glance(fine)[:, :128], picture(coarser(fine, 64)[0], size=128))


def test_turntable_goes_around() -> None:
    shape = box(slice(4, 28), slice(12, 20), slice(4, 28))
    frames = turntable(shape, frames=4, size=32, azimuth=0)
    assert len(frames) == 4
    assert np.array_equal(frames[1], picture(shape, 90, size=32))


def test_png_rereads(tmp_path: Path) -> None:
    image = picture(box(slice(8, 24), slice(12, 20), slice(4, 28)), size=64)
    write_png(tmp_path / "new" / "a.png", image)
    assert (tmp_path / "new" / "a.png").read_bytes() == png_bytes(image)
    with Image.open(tmp_path / "new" / "a.png") as reread:
        assert reread.format == "PNG"
        assert np.array_equal(np.asarray(reread), image)


@pytest.mark.parametrize(("back_and_forth", "count"), [(False, 5), (True, 8)])
def test_gif_has_its_frames(tmp_path: Path, back_and_forth: bool, count: int) -> None:
    frames = turntable(box(slice(4, 28), slice(12, 20), slice(4, 20)), frames=5, size=48)
    write_gif(tmp_path / "a.gif", frames, 0.2, back_and_forth=back_and_forth)
    with Image.open(tmp_path / "a.gif") as reread:
        assert reread.n_frames == count
        assert reread.info["loop"] == 0 and reread.info["duration"] == 200
        first = np.asarray(reread.convert("RGB")).astype(int)
        assert np.abs(first - frames[0]).mean() < 3
        reread.seek(2)
        assert np.abs(np.asarray(reread.convert("RGB")).astype(int) - frames[2]).mean() < 3


def test_gif_of_one_picture(tmp_path: Path) -> None:
    write_gif(tmp_path / "a.gif", [np.zeros((4, 4, 3), np.uint8)], back_and_forth=True)
    with Image.open(tmp_path / "a.gif") as reread:
        assert reread.n_frames == 1


def test_what_cannot_be_written(tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    (tmp_path / "file").write_text("")
    for target in (tmp_path, tmp_path / "file" / "a"):
        with pytest.raises(StorageError, match="cannot write"):
            write_png(target, image)
        with pytest.raises(StorageError, match="cannot write"):
            write_gif(target, [image])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_pillow_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert picture(np.zeros((2, 2, 2)), size=4).shape == (4, 4, 3)
    with pytest.raises(MissingExtraError, match="pip install pillow"):
        write_png(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"occupancy": np.zeros((2, 2))}, "expected \\(R, R, R\\)"),
        ({"occupancy": np.zeros((2, 2, 3))}, "expected \\(R, R, R\\)"),
        ({"elevation": 91}, "elevation=91"),
        ({"azimuth": float("nan")}, "azimuth=nan"),
        ({"size": 0}, "size=0"),
        ({"level": 1.0}, "level=1.0"),
        ({"colour": (1, 2, 300)}, "colour"),
        ({"zoom": 0}, "zoom=0"),
    ],
)
def test_wrong_options(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        picture(**{"occupancy": np.zeros((2, 2, 2)), **options})  # type: ignore[arg-type]


def test_other_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(SurfaceError, match="not finite"):
        picture(np.full((2, 2, 2), np.nan))
    with pytest.raises(UsageError, match="B at least 1"):
        sheet(np.zeros((0, 2, 2, 2)))
    with pytest.raises(UsageError, match="columns=0"):
        sheet(np.zeros((1, 2, 2, 2)), columns=0)
    with pytest.raises(UsageError, match="frames=0"):
        turntable(np.zeros((2, 2, 2)), frames=0)
    with pytest.raises(UsageError, match="at least 1"):
        write_gif(tmp_path / "a.gif", [])
    with pytest.raises(UsageError, match="different sizes"):
        write_gif(tmp_path / "a.gif", [np.zeros((2, 2, 3), np.uint8), np.zeros((3, 2, 3), np.uint8)])
    with pytest.raises(UsageError, match="seconds_per_frame"):
        write_gif(tmp_path / "a.gif", [np.zeros((2, 2, 3), np.uint8)], 0)
    with pytest.raises(UsageError, match="uint8"):
        write_png(tmp_path / "a.png", np.zeros((2, 2, 3)))
