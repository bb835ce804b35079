"""The page of an evaluation: whole, self-contained, and true to the figures."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from voxgan.evaluation.page import page
from voxgan.evaluation.result import Column, Evaluation, Plot, Row, Sheet, Suite, Table

ODD = '<script>alert("1")</script> & "co"'


def made(**changes: object) -> Evaluation:
    columns = (
        Column("iou", "IoU", "high", 3, note="of grids"),
        Column("cd", "CD", "low", 2, 1000),
        Column("nna", "1-NNA", "half", 1, 100),
    )
    rows = (
        Row(ODD, "model", {"iou": 0.51234, "cd": 0.002, "nna": 0.6}),
        Row("mean shape", "floor", {"iou": 0.4, "cd": 0.001, "nna": 0.9}),
        Row("real", "oracle", {"iou": 0.9, "cd": None, "nna": 0.5}),
    )
    suite = Suite(
        "reconstruction",
        "A title",
        [Table("whole", "A table", columns, rows, ["A note."])],
        [Plot("A plot", "x", "y", {"line": ([0, 1, 2], [0.1, float("nan"), 0.4]), ODD: ([0, 2], [0.3, 0.2])})],
        [Sheet("sheet", "A sheet", lambda: np.arange(48, dtype=np.uint8).reshape(4, 4, 3))],
        {},
        75.0,
    )
    facts = {"kind": "gan3d", "resolution": 64, "width": 8, "classes": ["chair"], "seed": 0, **changes}
    return Evaluation(ODD, "data.h5", facts, [suite])


class Tags(HTMLParser):
    """Collects tags, and complains of those left open."""

    VOID = ("meta", "img", "line", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.all: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_is_whole_and_needs_nothing_from_elsewhere() -> None:
    text = page(made())
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    assert not [tag for tag, _ in tags.all if tag in ("script", "link", "iframe", "object")]
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "default-src 'none'" in text
    images = [attributes for tag, attributes in tags.all if tag == "img"]
    assert len(images) == 1
    assert str(images[0]["src"]).startswith("data:image/png;base64,")
    assert images[0]["alt"] == "A sheet"


def test_names_are_written_as_they_are_and_run_nothing() -> None:
    text = page(made())
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_has_every_figure() -> None:
    text = page(made())
    for figure in ("0.512", "0.400", "0.900", "2.00", "1.00", "60.0", "90.0", "50.0", "–", "A note.", "1 min 15 s"):
        assert figure in text, figure


def test_marks_the_best_of_model_and_floors_never_the_oracle() -> None:
    best = re.findall(r"<td class=best>([^<]+)</td>", page(made()))
    assert best == ["0.512", "60.0"]  # Chamfer: the floor is better; the oracle's 50.0 is out of the race


def test_a_draw_is_not_marked() -> None:
    column = Column("iou", "IoU", "high", 2)
    rows = [Row("mine", "model", {"iou": 0.501}), Row("mean", "floor", {"iou": 0.499})]
    suite = Suite("latent", "t", [Table("t", "t", [column], rows)])
    assert "class=best" not in page(Evaluation("m", "d", {}, [suite]))


def test_says_that_it_was_quick() -> None:
    assert "rough figures" not in page(made())
    assert "rough figures" in page(made(quick=True))


def test_a_plot_of_one_place_or_of_nothing() -> None:
    found = made()
    for lines, there in (
        ({"a": ([1.0], [2.0])}, True),
        ({"a": ([], [])}, False),
        ({"a": ([1.0], [float("nan")])}, False),
    ):
        suite = Suite("latent", "t", [], [Plot("A plot", "x", "y", lines)])
        assert ("<svg" in page(Evaluation("m", "d", found.facts, [suite]))) == there


@pytest.mark.parametrize("suffix", ["page.html", "deep/page.html"])
def test_is_written(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    made().write_html(tmp_path / suffix)
    assert (tmp_path / suffix).read_text(encoding="utf-8") == page(made())
