from __future__ import annotations

import os
import subprocess
import sys

import pytest

from voxgan import graphics
from voxgan.errors import MissingExtraError, UsageError

EGL, OSMESA, X = "vtkEGLRenderWindow", "vtkOSOpenGLRenderWindow", "vtkXOpenGLRenderWindow"
CHOICE = "VTK_DEFAULT_OPENGL_WINDOW"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Linux without a display, nothing chosen; the environment is put back afterwards."""
    monkeypatch.setattr(graphics.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", CHOICE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


def answer(monkeypatch: pytest.MonkeyPatch, **works: str) -> list[str | None]:
    """Let trials end as `works` says: the window asked for ("any" if none) → the window opened; others crash."""
    asked: list[str | None] = []

    def run(*_: object, env: dict[str, str], **__: object) -> subprocess.CompletedProcess[str]:
        asked.append(env.get(CHOICE))
        found = works.get(env.get(CHOICE, "any"))
        return subprocess.CompletedProcess([], 0 if found else -11, f"{found}\n" if found else "", "")

    monkeypatch.setattr(graphics.subprocess, "run", run)
    return asked


@pytest.mark.parametrize(
    ("status", "errors", "words"),
    [(-11, "", "signal 11"), (1, "Traceback\nValueError: no GL\n", "ValueError: no GL"), (3, "", "status 3")],
)
def test_the_trial_says_how_it_ended(bare: pytest.MonkeyPatch, status: int, errors: str, words: str) -> None:
    ended = subprocess.CompletedProcess([], status, "", errors)
    bare.setattr(graphics.subprocess, "run", lambda *_, **__: ended)
    reason, window = graphics._trial.__wrapped__()
    assert words in reason and window == ""


def test_a_trial_that_never_ends_is_stopped(bare: pytest.MonkeyPatch) -> None:
    def hang(*_: object, timeout: float, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", timeout)

    bare.setattr(graphics.subprocess, "run", hang)
    assert "longer than 90 s" in graphics._trial.__wrapped__()[0]


def test_a_trial_that_cannot_be_started(bare: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    bare.setattr(graphics.subprocess, "run", refuse)
    assert "could not be started" in graphics._trial.__wrapped__()[0]


def test_without_a_display_egl_is_asked_for(bare: pytest.MonkeyPatch) -> None:
    asked = answer(bare, **{EGL: EGL})
    assert graphics._trial.__wrapped__() == (None, EGL)
    assert asked == [EGL] and os.environ[CHOICE] == EGL


def test_without_egl_osmesa_is_taken(bare: pytest.MonkeyPatch) -> None:
    answer(bare, **{EGL: OSMESA})
    assert graphics._trial.__wrapped__() == (None, OSMESA)
    assert os.environ[CHOICE] == OSMESA


def test_on_a_display_nothing_is_chosen(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("DISPLAY", ":0")
    asked = answer(bare, any=X)
    assert graphics._trial.__wrapped__() == (None, X)
    assert asked == [None] and CHOICE not in os.environ


@pytest.mark.parametrize("first", [{"any": EGL}, {EGL: EGL}])
def test_a_display_that_is_not_there(bare: pytest.MonkeyPatch, first: dict[str, str]) -> None:
    """VTK finds EGL by itself, or dies of the X server that does not answer."""
    bare.setenv("DISPLAY", ":77")
    answer(bare, **first)
    assert graphics._trial.__wrapped__() == (None, EGL)
    assert os.environ[CHOICE] == EGL


def test_what_the_user_has_chosen_is_left(bare: pytest.MonkeyPatch) -> None:
    bare.setenv(CHOICE, OSMESA)
    asked = answer(bare, **{EGL: EGL})
    assert "signal 11" in graphics._trial.__wrapped__()[0]
    assert asked == [OSMESA] and os.environ[CHOICE] == OSMESA


@pytest.mark.parametrize(
    ("trial", "screen"), [((None, X), True), ((None, EGL), False), ((None, OSMESA), False), (("no", ""), False)]
)
def test_whether_there_is_a_screen(
    monkeypatch: pytest.MonkeyPatch, trial: tuple[str | None, str], screen: bool
) -> None:
    monkeypatch.setattr(graphics, "_trial", lambda: trial)
    assert graphics.has_screen() == screen


def test_the_message_says_what_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"^dreaming needs the package pyvista.*voxgan-3d\[viewer\]"):
        graphics.check_graphics("dreaming")


@pytest.mark.parametrize(
    ("platform", "words"),
    [("linux", "apt-get install libegl1 libgl1-mesa-dri.*dnf install mesa-libEGL"), ("win32", "graphics driver")],
)
def test_a_failed_trial_says_what_to_install(monkeypatch: pytest.MonkeyPatch, platform: str, words: str) -> None:
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(graphics, "_probe", lambda: "a trial picture ended with signal 11")
    monkeypatch.setattr(graphics.sys, "platform", platform)
    with pytest.raises(UsageError, match=rf"signal 11.*{words}"):
        graphics.check_graphics()


@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux VTK looks for an X server")
@pytest.mark.parametrize("display", [None, ":77"])
def test_vtk_says_nothing_about_a_display_that_is_not_there(display: str | None) -> None:
    pytest.importorskip("pyvista", reason="the extra `viewer` is not installed")
    if graphics._probe() is not None:
        pytest.skip(f"OpenGL does not work here: {graphics._probe()}")
    code = """
from voxgan.graphics import check_graphics, has_screen
check_graphics()
import pyvista
plotter = pyvista.Plotter(off_screen=True, window_size=(32, 32))
plotter.add_mesh(pyvista.Cube())
print(plotter.screenshot(return_img=True).std() > 1, has_screen())
plotter.close()
"""
    environment = {"OMP_NUM_THREADS": "1", **({} if display is None else {"DISPLAY": display})}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True False\n", "")
