"""Whether OpenGL works here, and by which kind of window: tried in a process of its own.

Where OpenGL is missing VTK does not raise, it ends the process; and on Linux it looks for an X server first, complains
on standard error where there is none, and dies where X's library is missing too. So without a display the trial asks
for EGL, which needs neither (VTK goes on to OSMesa by itself where there is no EGL), and the kind of window that has
worked is the one that this process opens from then on. Both draw at the same speed on a processor.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys

from voxgan.errors import MissingExtraError, UsageError

__all__ = ["check_graphics", "has_screen"]

_CHOICE = "VTK_DEFAULT_OPENGL_WINDOW"  # what VTK reads when it opens its first window
_EGL = "vtkEGLRenderWindow"
_WITHOUT_SCREEN = (_EGL, "vtkOSOpenGLRenderWindow")
_PROBE = """
import vtkmodules.vtkRenderingOpenGL2
from vtkmodules.vtkFiltersSources import vtkCubeSource
from vtkmodules.vtkRenderingCore import vtkActor, vtkPolyDataMapper, vtkRenderer, vtkRenderWindow
cube, mapper, actor = vtkCubeSource(), vtkPolyDataMapper(), vtkActor()
renderer, window = vtkRenderer(), vtkRenderWindow()
mapper.SetInputConnection(cube.GetOutputPort())
actor.SetMapper(mapper)
renderer.AddActor(actor)
window.SetOffScreenRendering(True)
window.SetSize(16, 16)
window.AddRenderer(renderer)
window.Render()
print(window.GetClassName())
"""
_PROBE_SECONDS = 90


def check_graphics(purpose: str = "showing shapes in a window") -> None:
    """Make sure that PyVista can draw here, before it is let into this process.

    Without a display VTK is told to draw without one, so that it does not look for it.

    Parameters
    ----------
    purpose : str
        What it is needed for, for the message.

    Raises
    ------
    MissingExtraError
        If PyVista is not installed.
    UsageError
        If drawing fails; the message names the packages that bring OpenGL.
    """
    if importlib.util.find_spec("pyvista") is None:
        raise MissingExtraError("pyvista", "viewer", purpose)
    reason = _probe()
    if reason is not None:
        raise UsageError(f"OpenGL does not work here ({reason}): {_remedy()}")


def has_screen() -> bool:
    """Say whether a window can be opened here: whether OpenGL works, and on a display that is there."""
    return _probe() is None and _trial()[1] not in _WITHOUT_SCREEN


def _probe() -> str | None:
    """Return why drawing does not work here, or None."""
    return _trial()[0]


@functools.cache
def _trial() -> tuple[str | None, str]:
    """Draw a cube in a process of its own; return why that failed, or None, and the class of the window.

    Where that is a window without a screen, it is the one that this process will open.
    """
    chosen = os.environ.get(_CHOICE)
    if chosen:
        return _draw(chosen)
    displays = sys.platform != "linux" or bool(os.environ.get("DISPLAY"))
    for window in ("", _EGL) if displays else (_EGL,):
        reason, found = _draw(window)
        if reason is None:
            break
    if reason is None and found in _WITHOUT_SCREEN:
        os.environ[_CHOICE] = found
    return reason, found


def _draw(window: str) -> tuple[str | None, str]:
    """Draw a cube with the window class that is named, or the one that VTK takes by itself."""
    environment = {key: value for key, value in os.environ.items() if key != _CHOICE}
    if window:
        environment[_CHOICE] = window
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _PROBE],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        return f"a trial picture took longer than {_PROBE_SECONDS} s", ""
    except OSError as error:
        return f"a trial picture could not be started: {error}", ""
    if done.returncode == 0:
        return None, done.stdout.strip()
    if done.returncode < 0:
        return f"a trial picture ended with signal {-done.returncode}", ""
    lines = done.stderr.strip().splitlines()
    return f"a trial picture failed: {lines[-1] if lines else f'exit status {done.returncode}'}", ""


def _remedy() -> str:
    if sys.platform != "linux":
        return "install a graphics driver with OpenGL 3.2 or later"
    return (
        "on Debian or Ubuntu run  apt-get install libegl1 libgl1-mesa-dri"
        ",  on Fedora  dnf install mesa-libEGL mesa-dri-drivers"
    )
