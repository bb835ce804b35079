"""Shapes → PyVista actors, pictures off-screen, and a window.

PyVista is imported inside the functions, after a trial in a process of its own (`voxgan.graphics`).
"""

from __future__ import annotations

import importlib.util
import math
import os
import sys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import SurfaceError, UsageError
from voxgan.graphics import check_graphics

if TYPE_CHECKING:
    import pyvista
    import trimesh

    from voxgan.voxels import Shapes

__all__ = ["add_shapes", "screenshot", "show"]

COLOUR = (108, 152, 205)
BACKGROUND = (250, 250, 251)
_SPACING = 1.15  # between the middles of neighbours, in unit cubes


def show(shapes: Shapes, columns: int | None = None, level: float = 0.5) -> None:
    """Open a window with the shapes side by side; return when it is closed. In Jupyter, show them inline.

    Parameters
    ----------
    shapes : Shapes
        What to look at. One that has no surface leaves an empty place with the word "empty".
    columns : int, optional
        How many stand in a row; without it, as many as make the whole nearly square.
    level : float
        Occupancy at which the surface lies.

    Raises
    ------
    MissingExtraError
        If PyVista is not installed.
    UsageError
        If OpenGL does not work here, there is no screen, there is no shape, or `columns` is below 1.
    """
    check_graphics()
    inline = _in_notebook()
    if not inline and not _has_screen():
        raise UsageError(
            "no screen to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set): write a picture,"
            " with voxgan.preview.write_png or viewer.scene.screenshot"
        )
    import pyvista

    plotter = pyvista.Plotter(notebook=inline, title="voxgan")
    lives_on = False  # an interactive widget keeps its plotter until its cell goes
    try:
        add_shapes(plotter, shapes, columns, level)
        if inline:
            lives_on = importlib.util.find_spec("trame") is not None
            plotter.show(jupyter_backend=None if lives_on else "static")
        else:
            plotter.show()
    except BaseException:
        lives_on = False
        raise
    finally:
        if not lives_on:
            plotter.close()


def screenshot(
    shapes: Shapes,
    size: tuple[int, int] = (1024, 768),
    columns: int | None = None,
    level: float = 0.5,
    azimuth: float = 35.0,
    elevation: float = 25.0,
) -> NDArray[np.uint8]:
    """Draw the shapes side by side, off-screen.

    Parameters
    ----------
    shapes : Shapes
        What to draw.
    size : (int, int), pixels
        Width and height.
    columns, level
        As for `show`.
    azimuth, elevation : float, degrees
        0, 0 looks level at the front; 90 stands on +x; elevation 90 looks straight down.

    Returns
    -------
    array (height, width, 3), uint8

    Raises
    ------
    MissingExtraError
        If PyVista is not installed.
    UsageError
        If OpenGL does not work here, or an option is out of its range.
    """
    width, height = size
    if not (1 <= width <= 8192 and 1 <= height <= 8192):
        raise UsageError(f"size={tuple(size)}: expected width and height of 1 to 8192 pixels")
    check_graphics()
    import pyvista

    plotter = pyvista.Plotter(off_screen=True, window_size=[width, height], notebook=False)
    try:
        add_shapes(plotter, shapes, columns, level, azimuth, elevation)
        plotter.render()
        image = np.array(plotter.screenshot(return_img=True), dtype=np.uint8)
    finally:
        plotter.close()
    return np.ascontiguousarray(image[..., :3])


def add_shapes(
    plotter: pyvista.Plotter,
    shapes: Shapes,
    columns: int | None = None,
    level: float = 0.5,
    azimuth: float = 35.0,
    elevation: float = 25.0,
) -> None:
    """Put the shapes into a plotter, light them and point its camera at them.

    Rows go from the upper left as the camera sees it; every shape keeps its own axes.

    Parameters
    ----------
    plotter : pyvista.Plotter
        Where they go; it stays the caller's to close.
    shapes, columns, level, azimuth, elevation
        As for `screenshot`.

    Raises
    ------
    UsageError
        If there is no shape, or an option is out of its range.
    """
    if not len(shapes):
        raise UsageError("no shapes to show: expected at least 1")
    if columns is not None and columns < 1:
        raise UsageError(f"columns={columns}: expected at least 1")
    if not -90 <= elevation <= 90 or not math.isfinite(azimuth):
        raise UsageError(f"azimuth={azimuth}, elevation={elevation}: expected degrees, elevation -90 to 90")
    columns = min(columns or math.ceil(math.sqrt(len(shapes))), len(shapes))
    rows = math.ceil(len(shapes) / columns)
    right, up, towards = _camera(azimuth, elevation)
    plotter.set_background([part / 255 for part in BACKGROUND])
    for place, shape in enumerate(shapes):
        across = place % columns - (columns - 1) / 2
        down = place // columns - (rows - 1) / 2
        middle = _SPACING * (across * right - down * up)
        try:
            mesh = _unit_mesh(shape, level)
        except SurfaceError:
            plotter.add_point_labels(
                [middle], ["empty"], shape=None, show_points=False, text_color="gray", font_size=18,
                always_visible=True, justification_horizontal="center", justification_vertical="center",
            )  # fmt: skip
            continue
        surface = _polydata(mesh)
        surface.points += middle
        plotter.add_mesh(surface, color=COLOUR, smooth_shading=True, ambient=0.3, specular=0.1)
    _aim(plotter, columns, rows, right, up, towards, elevation)


def _in_notebook() -> bool:
    """Say whether this runs in a Jupyter kernel, which can show pictures inline."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _has_screen() -> bool:
    if sys.platform != "linux":
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _unit_mesh(shape: Shapes, level: float) -> trimesh.Trimesh:
    """Return the surface of one shape in the unit cube, wherever its source stood."""
    from voxgan.voxels import Shapes

    return Shapes(shape.occupancy).to_mesh(level=level)


def _polydata(mesh: trimesh.Trimesh) -> pyvista.PolyData:
    import pyvista

    faces = np.asarray(mesh.faces)
    cells = np.column_stack([np.full(len(faces), 3), faces]).ravel()
    return pyvista.PolyData(np.array(mesh.vertices, np.float32), cells)


def _camera(azimuth: float, elevation: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the picture's right, its up, and the way to the camera."""
    a, e = math.radians(azimuth), math.radians(elevation)
    right = np.array([math.cos(a), math.sin(a), 0.0])
    up = np.array([-math.sin(a) * math.sin(e), math.cos(a) * math.sin(e), math.cos(e)])
    towards = np.array([math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e)])
    return right, up, towards


def _aim(
    plotter: pyvista.Plotter,
    columns: int,
    rows: int,
    right: NDArray[np.float64],
    up: NDArray[np.float64],
    towards: NDArray[np.float64],
    elevation: float,
) -> None:
    """Point the camera at the middle so that every place fits, whatever stands in it."""
    e = math.radians(abs(elevation))
    corner = math.sqrt(0.5)
    half_width = 0.5 * _SPACING * (columns - 1) + corner
    half_height = 0.5 * _SPACING * (rows - 1) + max(0.5, 0.5 * math.cos(e) + corner * math.sin(e))
    width, height = plotter.window_size
    half = max(half_height, half_width * height / width)
    camera = plotter.camera
    camera.focal_point = (0.0, 0.0, 0.0)
    camera.position = tuple(4 * half * towards)
    camera.up = tuple(up)
    camera.enable_parallel_projection()  # the same view of every shape, and that of voxgan.preview
    camera.parallel_scale = half
    plotter.reset_camera_clipping_range()
