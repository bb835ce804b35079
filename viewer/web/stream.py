"""One visitor's picture: drawn off-screen when it is asked for, sent as JPEG, never more than one at a time.

While something is dragged, pictures follow each other as fast as they are drawn and sent, each of the newest state;
when it has been quiet for a moment, one more follows that is drawn with care.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from trame_pyvista.rca_view import PyVistaRCAView
from trame_rca.view_adapter import RcaViewAdapter

if TYPE_CHECKING:
    import pyvista

    from viewer.stage import Stage

__all__ = ["PictureView", "Stream"]

_log = logging.getLogger(__name__)
_STILL_AFTER = 0.2  # seconds without a new wish
_QUALITY = {True: 72, False: 92}  # of JPEG: while dragged, at rest
_MOST_PIXELS = 1_300_000  # software draws them all

Push = Callable[[bytes, dict[str, Any]], None]


class Area:
    """What trame-rca calls the remote-controlled area: a stage whose plotter takes the size of the page's picture."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def process_resize_event(self, width: int, height: int) -> None:
        """Draw in another size from now on, with the same view."""
        plotter, camera = self.stage.plotter, self.stage.camera()
        if tuple(plotter.window_size) != (width, height):
            plotter.window_size = [width, height]
            self.stage.set_camera(camera)

    def process_interaction_event(self, event: dict[str, Any]) -> None:
        """Do nothing: what the pointer does comes as wishes of the page, not as events for VTK."""

    @property
    def img_cols_rows(self) -> tuple[NDArray[np.uint8], int, int]:
        """Draw; return the picture (height, width, 4) and its size."""
        from vtkmodules.util.numpy_support import vtk_to_numpy
        from vtkmodules.vtkCommonCore import vtkUnsignedCharArray

        window = self.stage.plotter.render_window
        window.Render()
        width, height = window.GetSize()
        pixels = vtkUnsignedCharArray()
        window.GetRGBACharPixelData(0, 0, width - 1, height - 1, 0, pixels)
        image = vtk_to_numpy(pixels).reshape(height, width, 4)[::-1]
        return np.ascontiguousarray(image), width, height


class Stream:
    """Draws when asked to; fulfils what trame-rca expects of a scheduler.

    Parameters
    ----------
    stage : Stage
    executor : Executor
        Where JPEGs are made: the event loop goes on meanwhile.
    sent : callable
        Awaited after each picture: returns when it is on its way.
    rested : callable
        Called after a careful picture, when nothing else is wished for.
    failed : callable
        Given the reason when a picture could not be drawn.
    """

    target_fps = 60.0

    def __init__(
        self,
        stage: Stage,
        executor: Executor,
        sent: Callable[[], Awaitable[None]],
        rested: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        self.rca = Area(stage)
        self.stage = stage
        self._executor, self._sent, self._rested, self._failed = executor, sent, rested, failed
        self._push: Push = lambda picture, meta: None
        self._wished = asyncio.Event()
        self._shown: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def set_push_callback(self, callback: Push) -> None:
        """Hand each picture to `callback`."""
        self._push = callback

    def schedule_render(self) -> None:
        """Wish for a picture of what the session is by the time it is drawn."""
        self._wished.set()

    async def shown(self) -> None:
        """Wish for a picture and wait until it has been sent."""
        shown = self._shown
        self._wished.set()
        await asyncio.shield(shown)

    async def close(self) -> None:
        """Draw no more."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if not self._shown.done():
            self._shown.set_result(None)

    def reset(self) -> None:
        """Wish for a picture; a JPEG needs nothing from the one before."""
        self._wished.set()

    async def _run(self) -> None:
        while True:
            await self._wished.wait()
            await self._picture(fast=True)
            try:
                async with asyncio.timeout(_STILL_AFTER):  # before Python 3.12 wait_for may swallow a cancellation
                    await self._wished.wait()
            except TimeoutError:
                await self._picture(fast=False)
                if not self._wished.is_set():
                    self._rested()

    async def _picture(self, fast: bool) -> None:
        self._wished.clear()
        shown, self._shown = self._shown, asyncio.get_running_loop().create_future()
        try:
            self.stage.update(fast)
            pixels, width, height = self.rca.img_cols_rows
            loop = asyncio.get_running_loop()
            picture = await loop.run_in_executor(self._executor, _jpeg, pixels, _QUALITY[fast])
            meta = {"type": "image/jpeg", "codec": "", "w": width, "h": height, "key": "key"}
            self._push(picture, {**meta, "st": int(time.time() * 1000), "quality": _QUALITY[fast]})
            await self._sent()
        except Exception as error:
            _log.error("a picture failed: %s: %s", type(error).__name__, error)
            _log.debug("where it failed", exc_info=True)
            self._failed("this view could not be drawn; undo, or show something else")
        finally:
            with contextlib.suppress(asyncio.InvalidStateError):
                shown.set_result(None)


class PictureView(PyVistaRCAView):  # type: ignore[misc]
    """PyVista's view for pages, drawn by a `Stream`."""

    def __init__(self, plotter: pyvista.Plotter, stream: Stream, **options: Any) -> None:
        self._stream = stream
        super().__init__(plotter, **options)

    def create_view_handler(self, window: Any, **_: Any) -> RcaViewAdapter:
        """Return what stands between the page's picture and the stream."""
        handler = RcaViewAdapter(self._stream.rca, self.name, scheduler=self._stream)
        handler.max_pixel_count = _MOST_PIXELS
        self.add_view_handler(handler)
        return handler


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    from PIL import Image

    height, width = pixels.shape[:2]
    file = io.BytesIO()
    image = Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)
    image.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()
