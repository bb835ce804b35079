from __future__ import annotations

import subprocess

import pytest

from voxgan import graphics
from voxgan.errors import MissingExtraError, UsageError


@pytest.mark.parametrize(
    ("status", "errors", "words"),
    [(-11, "", "signal 11"), (1, "Traceback\nValueError: no GL\n", "ValueError: no GL"), (3, "", "status 3")],
)
def test_the_probe_says_how_it_ended(monkeypatch: pytest.MonkeyPatch, status: int, errors: str, words: str) -> None:
    ended = subprocess.CompletedProcess([], status, "", errors)
    monkeypatch.setattr(graphics.subprocess, "run", lambda *_, **__: ended)
    assert words in graphics._probe.__wrapped__()


def test_a_probe_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", timeout)

    monkeypatch.setattr(graphics.subprocess, "run", hang)
    assert "longer than 90 s" in graphics._probe.__wrapped__()


def test_the_message_says_what_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"^dreaming needs the package pyvista.*voxgan-3d\[viewer\]"):
        graphics.check_graphics("dreaming")


def test_a_failed_probe_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(graphics, "_probe", lambda: "a trial picture ended with signal 11")
    with pytest.raises(UsageError, match=r"signal 11.*apt-get install libegl1 libgl1-mesa-dri"):
        graphics.check_graphics()
