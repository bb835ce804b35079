"""The sheet of a first look: rows, tiles, arrows, crosses, and what it reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from data_prep import look as module
from data_prep.look import look
from data_prep.sources import find_items
from voxgan.contact_sheet import AZIMUTH, ELEVATION, FRONT_COLOUR, HEAD, MARGIN, X_COLOUR, ZOOM, place_of
from voxgan.errors import DatasetError, UsageError
from voxgan.preview import BACKGROUND, picture


def save(path: Path, extents=(1.0, 1.0, 1.0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(extents).export(path)


def tiles(path: Path, size: int) -> np.ndarray:
    """The sheet cut into its tiles (rows, columns, size, size, 3)."""
    sheet = np.asarray(Image.open(path))[HEAD:, MARGIN:]
    rows, columns = sheet.shape[0] // size, sheet.shape[1] // size
    assert sheet.shape == (rows * size, columns * size, 3)
    return sheet.reshape(rows, size, columns, size, 3).swapaxes(1, 2)


def coloured(tile: np.ndarray, colour) -> np.ndarray:
    return (tile == np.array(colour)).all(axis=-1)


def test_a_row_for_each_class_and_a_cross_for_what_cannot_be_loaded(tmp_path):
    for i in range(3):
        save(tmp_path / "in" / "cup" / f"{i}.obj")
    (tmp_path / "in" / "cup" / "1.obj").write_text("nonsense")
    save(tmp_path / "in" / "mug" / "a.obj", (1, 0.2, 0.2))
    report = look(find_items(tmp_path / "in"), tmp_path / "sheet.png", size=64)
    assert (report.num_shapes, report.all_shapes, report.num_classes, report.more_classes) == (4, 4, 2, 0)
    ((source, reason),) = report.not_loaded
    assert source.endswith("1.obj") and "1.obj" in reason
    text = str(report)
    assert text.startswith(f"{report.path}: shows 4 of 4 shapes, 2 classes, 1 could not be loaded\n") and reason in text
    found = tiles(tmp_path / "sheet.png", 64)
    assert found.shape[:2] == (2, 3)
    for row, column in ((0, 0), (0, 2), (1, 0)):
        assert coloured(found[row, column], FRONT_COLOUR).sum() > 10
        assert coloured(found[row, column], X_COLOUR).sum() > 10
    assert not coloured(found[0, 1], FRONT_COLOUR).any()  # the cross
    assert coloured(found[0, 1][24:40, 24:40], X_COLOUR).sum() > 20
    assert coloured(found[1, 1], BACKGROUND).all()
    names = np.asarray(Image.open(tmp_path / "sheet.png"))[HEAD:, :MARGIN]
    assert (names[:64] < 100).any() and (names[64:] < 100).any()  # something is written beside each row


def test_classes_and_shapes_are_chosen_evenly(tmp_path, monkeypatch):
    for c in range(9):
        for i in range(11):
            path = tmp_path / f"c{c}" / f"{i:02d}.obj"
            path.parent.mkdir(exist_ok=True)
            path.touch()
    asked = []
    monkeypatch.setattr(
        module, "_load", lambda items, _: [asked.append(item.name) or (None, "not now") for item in items]
    )
    report = look(find_items(tmp_path), tmp_path / "s.png", per_class=3, max_classes=5, size=32)
    assert asked == [f"c{c}/{i:02d}" for c in (0, 2, 4, 6, 8) for i in (0, 5, 10)]
    assert (report.num_classes, report.more_classes) == (5, 4) and "5 classes (of 9)" in str(report)
    assert len(report.not_loaded) == 15


def test_the_arrow_lies_before_the_front(tmp_path):
    """Where the arrow is drawn, a shape that reaches there is drawn too; and x points to the right."""
    save(tmp_path / "a.obj")
    look(find_items(tmp_path / "a.obj"), tmp_path / "s.png", size=256)
    (tile,) = tiles(tmp_path / "s.png", 256)[0]
    floor = -15 / 32
    for colour, end in ((FRONT_COLOUR, (0, -0.7, floor)), (X_COLOUR, (0.7, 0, floor))):
        x, y = place_of(end, 256)
        rows, columns = np.nonzero(coloured(tile, colour))
        assert np.hypot(columns - x, rows - y).min() < 6
        assert np.hypot(columns - x, rows - y).max() < 60
    for cell in ((16, 1, 3), (30, 16, 3), (16, 16, 30)):
        grid = np.zeros((32, 32, 32), np.float32)
        grid[tuple(slice(c - 1, c + 2) for c in cell)] = 1
        drawn = picture(grid, AZIMUTH, ELEVATION, 256, zoom=ZOOM, shadow=False)
        rows, columns = np.nonzero(~coloured(drawn, BACKGROUND))
        x, y = place_of(tuple((c + 0.5) / 32 - 0.5 for c in cell), 256)
        assert abs(columns.mean() - x) < 2 and abs(rows.mean() - y) < 2


def test_what_cannot_be_looked_at_is_said(tmp_path):
    save(tmp_path / "a.obj")
    items = find_items(tmp_path / "a.obj")
    with pytest.raises(DatasetError, match="no shapes to look at"):
        look([], tmp_path / "s.png")
    with pytest.raises(UsageError, match=r"end its name in \.png"):
        look(items, tmp_path / "s.jpg")
    for options in ({"per_class": 0}, {"max_classes": 0}, {"size": 8}):
        with pytest.raises(UsageError, match="or more"):
            look(items, tmp_path / "s.png", **options)
    assert not list(tmp_path.glob("s.*"))


@pytest.mark.parametrize("name", ["漢字 🙂", "a" * 300, "tab\tin it"])
def test_any_class_name_is_written(tmp_path, name):
    save(tmp_path / "a.obj")
    (tmp_path / "l.csv").write_text(f"file,class\na.obj,{name}\n", encoding="utf-8")
    items = find_items(tmp_path, labels=tmp_path / "l.csv")
    assert look(items, tmp_path / "s.png", size=32).num_shapes == 1
