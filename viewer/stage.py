"""A session on a PyVista plotter: the shape, its shadow, the light, the camera; kept up to date.

All VTK objects are made once. An update changes the numbers in them, and only what has changed: the same code
serves a window whose slider is dragged, a page's picture, and a file.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.vtkRenderingCore import vtkTextActor

from viewer.scene import BACKGROUND, camera_axes, camera_lights, half_extent
from viewer.stage_bodies import Balls, Body, Cubes, Floor, SoftLight, Surface
from voxgan.errors import VoxganError
from voxgan.voxels import FILL

if TYPE_CHECKING:
    import pyvista

    from viewer.session import Session

__all__ = ["Stage"]

AZIMUTH, ELEVATION = 35.0, 25.0


class Stage:
    """A session on a plotter.

    Parameters
    ----------
    plotter : pyvista.Plotter
        Where the session is shown; it stays the caller's to render and to close.
    session : Session
        May be replaced by another one; `update` then shows that.
    anchors : bool
        Show the anchors side by side along the lower edge.

    Attributes
    ----------
    message : str
        Why there is nothing to see, in one line; empty when there is.
    """

    def __init__(self, plotter: pyvista.Plotter, session: Session, anchors: bool = True) -> None:
        self.plotter, self.session, self.message = plotter, session, ""
        self._samples = plotter.render_window.GetMultiSamples()
        self._bodies: dict[str, Body] = {"mesh": Surface(), "voxels": Cubes(), "points": Balls()}
        self._floor = Floor()
        self._shown: tuple[Any, ...] = ()
        self._margins = (0, 0, 0, 0)
        plotter.set_background([part / 255 for part in BACKGROUND])
        plotter.renderer.SetUseOIT(False)  # there is one translucent thing, the shadow; sorting it costs 10 ms
        plotter.remove_all_lights()
        for light in camera_lights():
            plotter.renderer.AddLight(light)
        for prop in (*(body.actor for body in self._bodies.values()), self._floor.actor):
            prop.VisibilityOff()
            plotter.renderer.AddActor(prop)
        self._words = _text()
        plotter.renderer.AddViewProp(self._words)
        self.strip = None
        if anchors:
            from viewer.stage_strip import AnchorStrip

            self.strip = AnchorStrip(plotter)
            self._margins = (0, self.strip.height, 0, 0)
        self.reset_camera()

    def update(self, fast: bool = False) -> None:
        """Bring everything up to date with the session; does not render.

        Parameters
        ----------
        fast : bool
            For as long as a slider is dragged: edges are not smoothed, the anchors stay as they are.
        """
        self.plotter.render_window.SetMultiSamples(0 if fast else self._samples)
        try:
            shape, state = self.session.shape(), self.session.state
        except VoxganError as error:
            self._show_nothing(str(error))
        else:
            # The session keeps the shapes it has decoded, so that the same one is the same object.
            shown = (shape, state.level, state.display)
            if not (self._shown and self._shown[0] is shape and self._shown[1:] == shown[1:]):
                self._show(shape.occupancy[0], state.level, state.display)
                self._shown = shown
        if self.strip is not None:
            self.strip.update(self.session, self._margins[0], self._margins[2], fast)

    def reset_camera(self) -> None:
        """Look from the front and three quarters, from a little above, at the whole cube."""
        camera = self.plotter.camera
        camera.focal_point = (0.0, 0.0, 0.0)
        _, up, towards = camera_axes(AZIMUTH, ELEVATION)
        camera.position = tuple(4 * towards)
        camera.up = tuple(up)
        camera.enable_parallel_projection()
        self._zoom(FILL * half_extent(ELEVATION))

    def camera(self) -> dict[str, list[float]]:
        """Return where it is looked at from: what `set_camera` takes and `Session.camera` keeps."""
        camera = self.plotter.camera
        return {
            "position": [float(x) for x in camera.position],
            "focal_point": [float(x) for x in camera.focal_point],
            "up": [float(x) for x in camera.up],
            "scale": [float(camera.parallel_scale / self._widening())],
        }

    def set_camera(self, camera: Mapping[str, Sequence[float]] | None) -> None:
        """Look from where `camera` says; what is no camera, or None, is the view of `reset_camera`."""
        self.reset_camera()
        try:
            position, focal, up = (np.array(camera[key], float) for key in ("position", "focal_point", "up"))  # type: ignore[index]
            scale = float(camera["scale"][0])  # type: ignore[index]
            across = np.cross(position - focal, up)
        except (KeyError, IndexError, TypeError, ValueError):
            return
        numbers = np.concatenate([position, focal, up, [scale]])
        if not (np.abs(numbers) < 1e6).all() or not np.linalg.norm(across) > 1e-6 or not scale > 1e-3:
            return
        ours = self.plotter.camera
        ours.position, ours.focal_point, ours.up = tuple(position), tuple(focal), tuple(up)
        self._zoom(scale)

    def turn(self, azimuth: float, elevation: float = 0.0) -> None:
        """Walk the camera round the middle, in degrees; z stays upright."""
        camera = self.plotter.camera
        focal = np.array(camera.focal_point)
        away = np.array(camera.position) - focal
        distance = float(np.linalg.norm(away))
        now = math.degrees(math.asin(max(-1.0, min(1.0, away[2] / distance))))
        flat = np.array(camera.up) if math.hypot(away[0], away[1]) < 1e-6 * distance else away
        around = math.degrees(math.atan2(flat[0], -flat[1]))
        _, up, towards = camera_axes(around + azimuth, max(-89.0, min(89.0, now + elevation)))
        camera.position = tuple(focal + distance * towards)
        camera.up = tuple(up)
        self.plotter.renderer.ResetCameraClippingRange(-2, 2, -2, 2, -2, 2)

    def shift(self, right: float, up: float) -> None:
        """Move what is seen by pixels of the window."""
        camera = self.plotter.camera
        unit = 2 * camera.parallel_scale / self.plotter.window_size[1]
        focal, position, high = (np.array(v) for v in (camera.focal_point, camera.position, camera.up))
        ahead = (focal - position) / np.linalg.norm(focal - position)
        across = np.cross(ahead, high) / np.linalg.norm(np.cross(ahead, high))
        way = -unit * (right * across + up * np.cross(across, ahead))
        if np.linalg.norm(focal + way) < 2:
            camera.focal_point, camera.position = tuple(focal + way), tuple(position + way)

    def zoom(self, factor: float) -> None:
        """Show so many times as much of the room, within reason."""
        self._zoom(min(max(self.camera()["scale"][0] * factor, 0.05), 5.0))

    def keep_clear(self, left: int = 0, bottom: int = 0, right: int = 0, top: int = 0) -> None:
        """Centre the shape in the part of the window that these margins, in pixels, and the anchors leave free."""
        scale = self.camera()["scale"][0]
        under = self.strip.height if self.strip is not None else 0
        self._margins = (left, bottom + under, right, top)
        self._zoom(scale)

    def picture(self, size: tuple[int, int] = (1024, 768)) -> NDArray[np.uint8]:
        """Return what is seen, (height, width, 3), drawn off-screen without anything of the window around it."""
        with self._studio(size) as studio:
            return studio._frame()

    def turntable(self, frames: int = 36, size: tuple[int, int] = (512, 512)) -> Iterator[NDArray[np.uint8]]:
        """Give pictures (height, width, 3) of one round, beginning with what is seen."""
        with self._studio(size) as studio:
            for _ in range(frames):
                yield studio._frame()
                studio.turn(360 / frames)

    # Inside

    @contextlib.contextmanager
    def _studio(self, size: tuple[int, int]) -> Iterator[Stage]:
        import pyvista

        plotter = pyvista.Plotter(off_screen=True, window_size=list(size), notebook=False)
        try:
            studio = Stage(plotter, self.session, anchors=False)
            studio.update()
            studio.set_camera(self.camera())
            yield studio
        finally:
            plotter.close()

    def _frame(self) -> NDArray[np.uint8]:
        self.plotter.render()
        image = np.array(self.plotter.screenshot(return_img=True), dtype=np.uint8)
        return np.ascontiguousarray(image[..., :3])

    def _show(self, grid: NDArray[np.float32], level: float, display: str) -> None:
        inside = grid > level
        if not inside.any() or inside.all():
            what, way = ("below", "lower") if not inside.any() else ("above", "raise")
            self._show_nothing(f"no surface at this level: the whole grid is {what} {level:.2f}; {way} the level")
            return
        light = SoftLight(grid, level)
        self._bodies[display].show(grid, level, light)
        self._floor.show(grid, level, light)
        for name, body in self._bodies.items():
            body.actor.SetVisibility(name == display)
        self._floor.actor.VisibilityOn()
        self._words.VisibilityOff()
        self.message = ""

    def _show_nothing(self, why: str) -> None:
        for body in self._bodies.values():
            body.actor.VisibilityOff()
        self._floor.actor.VisibilityOff()
        self.message, self._shown = why, ()
        self._words.SetInput(why.partition(":")[0])
        self._words.VisibilityOn()

    def _widening(self) -> float:
        """Return how much more the whole window shows than its free part must: the larger over the fitting."""
        width, height = self.plotter.window_size
        left, bottom, right, top = self._margins
        free_width, free_height = max(width - left - right, 1), max(height - bottom - top, 1)
        return max(height / free_height, height / free_width)

    def _zoom(self, half: float) -> None:
        """Fit a square of twice `half` into the free part of the window."""
        width, height = self.plotter.window_size
        left, bottom, right, top = self._margins
        camera = self.plotter.camera
        camera.parallel_scale = half * self._widening()
        camera.SetWindowCenter((right - left) / width, (top - bottom) / height)
        self._words.SetPosition((width + left - right) / 2, (height + bottom - top) / 2)
        self.plotter.renderer.ResetCameraClippingRange(-2, 2, -2, 2, -2, 2)


def _text() -> vtkTextActor:
    words = vtkTextActor()
    words.VisibilityOff()
    style = words.GetTextProperty()
    style.SetFontSize(20)
    style.SetColor(0.35, 0.37, 0.42)
    style.SetJustificationToCentered()
    style.SetVerticalJustificationToCentered()
    return words
