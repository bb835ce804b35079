"""Shapes → PyVista actors, pictures off-screen, and a window.

PyVista is imported inside the functions, after a trial in a process of its own (`voxgan.graphics`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import UsageError
from voxgan.graphics import check_graphics, has_screen
from voxgan.preview import BACKGROUND, COLOUR, arrange, span

if TYPE_CHECKING:
    import pyvista
    from vtkmodules.vtkRenderingCore import vtkLight

    from voxgan.voxels import Shapes

__all__ = [
    "BACKGROUND",
    "COLOUR",
    "add_shapes",
    "camera_axes",
    "camera_lights",
    "check_screen",
    "half_extent",
    "screenshot",
    "show",
]


def show(shapes: Shapes, columns: int | None = None, level: float = 0.5) -> None:
    """Open a window with the shapes side by side; return when it is closed. In a notebook, show them there.

    Parameters
    ----------
    shapes : Shapes
        What to look at. One that has no surface leaves an empty place with the word "empty".
    columns : int, optional
        How many stand in a row; without it, as many as make them largest.
    level : float
        Occupancy at which the surface lies.

    Raises
    ------
    MissingExtraError
        If PyVista is not installed; a notebook does not need it.
    UsageError
        If OpenGL does not work here, there is no screen, there is no shape, or an option is out of its range.
    """
    from viewer.notebook import in_notebook, show_inline

    if in_notebook():
        show_inline(shapes, columns, level)
        return
    check_graphics()
    check_screen("take a picture of them, shapes.render()")
    import pyvista

    plotter = pyvista.Plotter(title="voxgan", window_size=[1024, 768], notebook=False)
    try:
        add_shapes(plotter, shapes, columns, level)
        plotter.enable_terrain_style(mouse_wheel_zooms=True, shift_pans=True)
        plotter.show()
    finally:
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
    arrange(len(shapes), size, columns)  # what is wrong with them is told at once
    check_graphics()
    import pyvista

    plotter = pyvista.Plotter(off_screen=True, window_size=list(size), notebook=False)
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
    from viewer.stage_bodies import Floor, SoftLight, Surface

    columns, rows, tile = arrange(len(shapes), tuple(plotter.window_size), columns)
    if not -90 <= elevation <= 90 or not math.isfinite(azimuth):
        raise UsageError(f"azimuth={azimuth}, elevation={elevation}: expected degrees, elevation -90 to 90")
    if not 0 < level < 1:
        raise UsageError(f"level={level}: expected a number between 0 and 1, without them")
    right, up, towards = camera_axes(azimuth, elevation)
    spacing = span(elevation)
    renderer = plotter.renderer
    plotter.set_background([part / 255 for part in BACKGROUND])
    plotter.remove_all_lights()
    for light in camera_lights():
        renderer.AddLight(light)
    for place, grid in enumerate(shapes.occupancy):
        across = place % columns - (columns - 1) / 2
        down = place // columns - (rows - 1) / 2
        middle = spacing * (across * right - down * up)
        if not (grid > level).any():
            _add_word(plotter, "empty", middle, min(max(tile // 6, 6), 17))
            continue
        light = SoftLight(grid, level)
        for body in (Surface(), Floor()):
            body.show(grid, level, light)
            body.actor.AddPosition(*middle)
            renderer.AddActor(body.actor)
    camera = plotter.camera
    camera.focal_point = (0.0, 0.0, 0.0)
    camera.position = tuple(2 * spacing * max(rows, columns) * towards)
    camera.up = tuple(up) if abs(elevation) > 89 else (0.0, 0.0, 1.0)  # which stays up as the mouse turns it
    camera.enable_parallel_projection()  # the same view of every shape, and that of voxgan.preview
    camera.parallel_scale = spacing * plotter.window_size[1] / tile / 2
    plotter.reset_camera_clipping_range()


def check_screen(instead: str) -> None:
    """Make sure that there is a screen to open a window on.

    Parameters
    ----------
    instead : str
        What to do where there is none, for the message.

    Raises
    ------
    UsageError
        If there is none.
    """
    if not has_screen():
        raise UsageError(f"no display to open a window on (DISPLAY names none that works): {instead}")


def camera_axes(
    azimuth: float, elevation: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the picture's right, its up, and the way to the camera, for degrees as `screenshot` has them."""
    a, e = math.radians(azimuth), math.radians(elevation)
    right = np.array([math.cos(a), math.sin(a), 0.0])
    up = np.array([-math.sin(a) * math.sin(e), math.cos(a) * math.sin(e), math.cos(e)])
    towards = np.array([math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e)])
    return right, up, towards


def half_extent(elevation: float) -> float:
    """Return half of the side of the square in which the unit cube is seen, whatever the azimuth."""
    return span(elevation, 1) / 2


def camera_lights() -> list[vtkLight]:
    """Return lights that go with the camera: one behind the left shoulder, a weaker one from the front."""
    from vtkmodules.vtkRenderingCore import vtkLight

    lights = []
    for position, strength in (((-0.5, 0.75, 0.55), 0.78), ((0.35, 0.1, 1.0), 0.22)):
        light = vtkLight()
        light.SetLightTypeToCameraLight()
        light.SetPosition(*position)
        light.SetFocalPoint(0, 0, 0)
        light.SetIntensity(strength)
        lights.append(light)
    return lights


def _add_word(plotter: pyvista.Plotter, text: str, middle: NDArray[np.float64], height: int) -> None:
    """Write a word into the scene, its middle at a point, its letters so many pixels high."""
    from vtkmodules.vtkRenderingCore import vtkBillboardTextActor3D

    word = vtkBillboardTextActor3D()
    word.SetInput(text)
    word.SetPosition(*middle)
    style = word.GetTextProperty()
    style.SetFontSize(height)
    style.SetColor(0.44, 0.44, 0.48)
    style.SetJustificationToCentered()
    style.SetVerticalJustificationToCentered()
    plotter.renderer.AddActor(word)
