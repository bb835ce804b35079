"""Whether OpenGL works here, tried in a process of its own.

On a bare Debian VTK does not raise for a missing OpenGL, it ends the process.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys

from voxgan.errors import MissingExtraError, UsageError

__all__ = ["check_graphics"]

_PROBE = """
import pyvista
plotter = pyvista.Plotter(off_screen=True, window_size=(16, 16))
plotter.add_mesh(pyvista.Cube())
plotter.screenshot(return_img=True)
plotter.close()
"""
_PROBE_SECONDS = 90


def check_graphics(purpose: str = "showing shapes in a window") -> None:
    """Make sure that PyVista can draw here, before it is let into this process.

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
        raise UsageError(
            f"OpenGL does not work here ({reason}): on Debian or Ubuntu run  apt-get install libegl1 libgl1-mesa-dri"
        )


@functools.cache
def _probe() -> str | None:
    """Draw a cube off-screen in a process of its own; return why that failed, or None."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a trial picture took longer than {_PROBE_SECONDS} s"
    except OSError as error:
        return f"a trial picture could not be started: {error}"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"a trial picture ended with signal {-done.returncode}"
    lines = done.stderr.strip().splitlines()
    return f"a trial picture failed: {lines[-1] if lines else f'exit status {done.returncode}'}"
