"""One visitor's page while it is open: trame's server with its state, the plotter, the picture's stream.

A trame server has one state, so every visitor has one of their own, all in this process. None of them listens:
the front hands the websocket over.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyvista
from aiohttp import web
from trame.ui.vuetify3 import VAppLayout
from trame_client.widgets.core import HTML_CTX, VirtualNode
from trame_server import Server
from trame_server.protocol import CoreServer

from viewer.stage import Stage
from viewer.web.assets import Assets, own_file
from viewer.web.link import Answer, Link
from viewer.web.page import CLIENT_ONLY, FIXED, THEME, template
from viewer.web.stream import PictureView, Stream

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from viewer.session import Session

__all__ = ["Screen"]

_LONGEST_SIDE = 4096  # pixels
_SIZE = (640, 480)  # until the page has told its own
_BUILDING = threading.Lock()  # trame keeps the server that is being built in a global place


class Screen:
    """What exists for as long as at least one websocket of a visitor is open.

    Parameters
    ----------
    session : Session
        What is shown first; `stage.session` may be replaced.
    assets : Assets
        Where the page's scripts are.
    secret : str
        What a websocket must tell.
    answer, rested, failed : callable
        See `Link` and `Stream`.
    encoding : Executor
        Where JPEGs are made.
    values : mapping
        The page's state to begin with.
    """

    def __init__(
        self,
        session: Session,
        assets: Assets,
        secret: str,
        answer: Answer,
        rested: Callable[[], None],
        failed: Callable[[str], None],
        encoding: Executor,
        values: Mapping[str, Any],
    ) -> None:
        self.plotter = pyvista.Plotter(off_screen=True, window_size=list(_SIZE), notebook=False)
        self.stage = Stage(self.plotter, session, anchors=False)
        self.stage.set_camera(session.camera)
        self.stream = Stream(self.stage, encoding, self._sent, rested, failed)
        with _BUILDING:
            self.server = Server("voxgan", VirtualNode)
            self.server.client_type = "vue3"
            state = self.server.state
            state.update({**FIXED, **CLIENT_ONLY, **values})
            with VAppLayout(self.server, vuetify_config=THEME) as layout:
                layout.root.clear()
                view = PictureView(self.plotter, self.stream, name="shape", connect_parent=False)
                layout.root.add_child(template(view.html))
            self.handler = view.handler
            state.trame__template_error = own_file("lost.html")
            state.trame__client_only = ["trame__busy", *CLIENT_ONLY]
            state.trame__title = "voxgan"
            # The layout has named its modules' files where trame's own server would serve them.
            state.trame__scripts, state.trame__styles = assets.scripts, assets.styles
            state.trame__module_scripts, state.trame__vue_use = [], assets.vue_use
            CoreServer.bind_server(self.server)
            self.protocol = CoreServer()
            CoreServer.server = HTML_CTX._server = None  # or the last visitor would be kept for ever
        self.protocol.updateSecret(secret)
        self.link = Link(self.protocol, answer)
        self.protocol.port_callback(0)  # trame takes itself for started from here on

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one websocket until it closes."""
        return await self.link.connect(request)

    async def close(self) -> None:
        """Close websockets and plotter."""
        await self.link.close()
        await self.stream.close()
        self.plotter.close()
        self.plotter.deep_clean()

    async def _sent(self) -> None:
        await self.link.sent()

    # The page's state

    def show(self, values: Mapping[str, Any]) -> None:
        """Make the page show these values; only those that differ travel."""
        with self.server.state as state:
            state.update(dict(values))

    def accept(self, key: str, value: Any) -> None:
        """Know that the page shows this value, which came from it; other tabs are told."""
        self.protocol.update_state([{"key": key, "value": value}])

    def correct(self, key: str, value: Any) -> None:
        """Make the page show this value although it was the page that changed it to another one."""
        self.protocol.clear_state_client_cache(key)
        with self.server.state as state:
            state[key] = value
            state.dirty(key)

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state for a page that has just connected."""
        found: dict[str, Any] = self.protocol.get_server_state()
        return found

    # The picture

    def resize(self, width: float, height: float, ratio: float) -> None:
        """Draw for a place on the page of this size, in its pixels, `ratio` of the screen's to one of them."""
        size = {"w": min(max(width, 10), _LONGEST_SIDE), "h": min(max(height, 10), _LONGEST_SIDE)}
        ratio = min(max(ratio, 0.5), _LONGEST_SIDE / max(size.values()))
        self.handler.update_size("page", {**size, "p": ratio})

    def look(self, turn: float, tilt: float, zoom: float, right: float, up: float) -> None:
        """Turn round the shape by degrees, come closer by a factor, move by parts of the picture's height."""
        stage = self.stage
        stage.turn(max(-360.0, min(360.0, turn)), max(-180.0, min(180.0, tilt)))
        camera = stage.camera()
        scale = min(max(camera["scale"][0] / min(max(zoom, 0.1), 10), 0.05), 3.0)
        towards = np.subtract(camera["position"], camera["focal_point"])
        upwards = np.array(camera["up"])
        across = np.cross(upwards, towards) / np.linalg.norm(towards)
        shift = -2 * scale * (max(-1.0, min(1.0, right)) * across + max(-1.0, min(1.0, up)) * upwards)
        focal = np.clip(np.add(camera["focal_point"], shift), -1, 1)
        stage.set_camera(
            {
                "position": [*map(float, focal + towards)],
                "focal_point": [*map(float, focal)],
                "up": camera["up"],
                "scale": [scale],
            }
        )

    def angles(self) -> tuple[float, float]:
        """Return azimuth and elevation of the camera, in degrees."""
        camera = self.stage.camera()
        x, y, z = np.subtract(camera["position"], camera["focal_point"])
        return math.degrees(math.atan2(x, -y)), math.degrees(math.atan2(z, math.hypot(x, y)))
