from __future__ import annotations

import io
import os
import re
from typing import Any

import pytest

from voxgan import progress
from voxgan.training.live import Live

FIGURES = {
    "discriminator.total": 1.25,
    "discriminator.moved": 0.0,
    "generator.total": 0.75,
    "accuracy": 0.9,
    "shapes_per_s": 33.3,
    "memory_gb": 2.5,
    "occupied": 0.1,
}


class Terminal(io.StringIO):
    """A terminal so many characters wide."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
        super().__init__()
        monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def screen(text: str) -> list[str]:
    """What a terminal shows in the end."""
    lines = [""]
    for part in re.findall(r"\r\x1b\[K|\n|[^\r\n]+", text):
        if part == "\n":
            lines.append("")
        else:
            lines[-1] = "" if part.startswith("\r") else lines[-1] + part
    return lines


def test_what_the_line_says(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    stream = Terminal(monkeypatch, 200)
    live = Live(stream)
    for step in range(1, 102):
        clock[0] += 0.5
        live(step, 1000, {**FIGURES, "discriminator.moved": float(step % 4 == 0), "test_iou": 0.3125})
    assert screen(stream.getvalue()) == [
        "step 101/1000  7 min 30 s left  loss D 1.25 G 0.75  accuracy 90%  gated 75%  33.3 shapes/s  2.5 GB  IoU .312"
    ]


def test_losses_are_smoothed(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    stream = Terminal(monkeypatch, 200)
    live = Live(stream)
    for step in range(1, 200):
        clock[0] += 1
        live(step, 1000, {"generator.total": 2.0 * (step % 2), "accuracy": float("nan")})
    (value,) = re.findall(r"G ([\d.]+)", screen(stream.getvalue())[-1])
    assert 0.9 < float(value) < 1.1 and "accuracy" not in stream.getvalue()


@pytest.mark.parametrize("columns", [1, 10, 20, 40, 60, 80, 120])
def test_it_never_wraps(monkeypatch: pytest.MonkeyPatch, clock: list[float], columns: int) -> None:
    stream = Terminal(monkeypatch, columns)
    live = Live(stream)
    for step in range(1, 5):
        clock[0] += 1
        live(step, 20_000, FIGURES)
    shown = stream.getvalue().split("\r\033[K")[1:]
    assert shown and all(len(line) < max(columns, 2) for line in shown)
    if columns == 60:  # whole parts only
        assert shown[-1] == "step 4/20000  5 h 33 min left  loss D 1.25 G 0.75"


def test_said_lines_stay_above(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    stream = Terminal(monkeypatch, 80)
    live = Live(stream)
    live.say("before")
    for step in range(1, 4):
        clock[0] += 1
        live(step, 9, {"generator.total": 1.0})
    live.say("a warning")
    shown = screen(stream.getvalue())
    assert shown[:2] == ["before", "a warning"] and shown[2].startswith("step 3/9") and len(shown) == 3
    clock[0] += 1
    live(9, 9, {"generator.total": 1.0})
    live.say("after")
    assert screen(stream.getvalue())[1:] == ["a warning", "step 9/9  loss G 1.00", "after", ""]


def test_a_stopped_run_leaves_its_line(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    stream = Terminal(monkeypatch, 80)
    live = Live(stream)
    live.close()
    for step in range(1, 4):
        clock[0] += 1
        live(step, 9, {"generator.total": 1.0})
    live.close()
    live.close()
    stream.write("stopped")
    assert [line[:8] for line in screen(stream.getvalue())] == ["step 3/9", "stopped"]


def test_work_after_the_steps_leaves_its_line_too(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> None:
    stream = Terminal(monkeypatch, 80)
    live = Live(stream)
    live(9, 9, {"generator.total": 1.0})
    fitting = live.stage("fitting", "shapes")
    for done in range(1, 4):
        clock[0] += 1
        fitting(done, 9)
    live.close()
    stream.write("stopped")
    assert [line[:12] for line in screen(stream.getvalue())] == ["step 9/9  lo", "fitting: 3/9", "stopped"]


def test_plain_lines_every_ten_seconds(clock: list[float]) -> None:
    stream = io.StringIO()
    live = Live(stream)
    for step in range(1, 61):
        clock[0] += 0.5
        live(step, 60, FIGURES)
    live.say("a warning")
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "step 21/60",
        "step 41/60",
        "step 60/60",
        "a warning",
    ]
    assert "\033" not in stream.getvalue() and "\r" not in stream.getvalue()


def test_other_phases_and_values(clock: list[float]) -> None:
    stream = io.StringIO()
    figures: dict[str, Any] = {"autoencoder.total": 0.5, "critic.total": 2.0, "accuracy": None, "train_iou": 0.5}
    Live(stream)(5, 5, figures)
    assert stream.getvalue() == "step 5/5  loss E+G 0.50 critic 2.00  train IoU .500\n"


def test_large_losses_are_short(clock: list[float]) -> None:
    stream = io.StringIO()
    Live(stream)(5, 5, {"discriminator.total": 1.14e7, "generator.total": -99999.0, "test_iou": 1.0})
    assert stream.getvalue() == "step 5/5  loss D 1.1e+07 G -99999.00  IoU 1.000\n"


def test_a_short_run_has_one_plain_line(clock: list[float]) -> None:
    stream = io.StringIO()
    live = Live(stream)
    for step in range(1, 6):
        clock[0] += 1.9
        live(step, 5, {"generator.total": 1.0})
    assert [line.split("  ")[0] for line in stream.getvalue().splitlines()] == ["step 5/5"]
