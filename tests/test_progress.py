from __future__ import annotations

import io
import os

import pytest

from voxgan import progress
from voxgan.progress import Progress, duration


class Terminal(io.StringIO):
    """A terminal that does not tell its width."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_rate_and_rest(clock: list[float]) -> None:
    stream = io.StringIO()
    shown = Progress("preparing", "shapes", stream)
    shown(100, 500)  # what was there before this start
    clock[0] = 20.0
    shown(200, 500, {"score": 0.51234})
    clock[0] = 21.0
    shown(201, 500)  # too soon
    clock[0] = 40.0
    shown(500, 500)
    assert stream.getvalue() == (
        "preparing: 200/500 shapes, 5/s, 1 min 00 s left  score=0.512\npreparing: 500/500 shapes, 10/s, 0 s left\n"
    )


@pytest.mark.parametrize(("told", "fits"), [(30, 29), (0, 79)])  # a terminal that tells no width is taken for one of 80
def test_a_live_line_fits(monkeypatch: pytest.MonkeyPatch, clock: list[float], told: int, fits: int) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((told, 0)))
    stream = Terminal()
    stream.fileno = lambda: 2  # type: ignore[method-assign]
    shown = Progress("x", "things", stream)
    assert shown.columns == fits
    shown.show("椅子" * 100)
    assert len(stream.getvalue().removeprefix("\r\033[K")) == fits // 2  # each is two columns wide
    shown.show("one\ntwo\x1b[31m\tthree")
    assert stream.getvalue().endswith("\r\033[Konetwo[31mthree")


def test_a_terminal_without_a_number() -> None:
    assert Progress("x", "things", Terminal()).columns == 79


def test_say_and_close(clock: list[float]) -> None:
    stream = Terminal()
    shown = Progress("x", "things", stream)
    shown.show("here")
    shown.say("a note")
    shown.close()
    assert stream.getvalue() == "\r\033[Khere\r\033[Ka note\nhere\n"
    shown.say("plain")
    assert stream.getvalue().endswith("here\nplain\n")


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 59.6, 3599.6, 360_000)] == ["0 s", "1 min 00 s", "1 h 00 min", "100 h 00 min"]
