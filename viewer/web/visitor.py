"""One visitor: a session for each model that was looked at, the page while it is open, what the page is told."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine
from typing import Any

import numpy as np
from aiohttp import web
from numpy.typing import NDArray

from viewer.saved import checked
from viewer.session import MAX_ANCHORS, NUM_DIRECTIONS, Anchor, Session
from viewer.web import checks, mirror
from viewer.web.actions import ACTIONS
from viewer.web.jobs import Gallery, Job, upload_kinds
from viewer.web.screen import Screen
from viewer.web.shared import Shared
from voxgan.errors import UsageError, VoxganError

__all__ = ["Visitor"]

_log = logging.getLogger(__name__)
_IGNORED = {
    "trame.lifecycle.update",
    "trame.error.client",
    "trame.rca.event",
    "trame.rca.reset",
    "trame.rca.drop",
    "unsubscribe",
}


_MOST_TABS = 8
_WORDS = (
    "alert",
    "notice",
    "announcement",
    "note",
    "description",
    "expression_error",
)  # what the page is told, not the session


class Visitor:
    """One visitor.

    Parameters
    ----------
    shared : Shared
        What all visitors share.

    Attributes
    ----------
    token : str
        In the address of the visitor's page; who knows it is that visitor.
    seen : float
        When the visitor was last heard of, by `time.monotonic`.
    came : bool
        Whether a page has ever been open.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.token, self.secret = secrets.token_hex(16), secrets.token_urlsafe(24)
        self.seen, self.came = time.monotonic(), False
        self.screen: Screen | None = None
        self.model_name = shared.names[0]
        self.dimension = 0
        self.job: Job | None = None
        self.gallery = Gallery(self)
        self.exporting = asyncio.Lock()
        self.receiving = False  # a file
        self._photos: dict[tuple[float, ...], str] = {}  # latent → the photo that it was made from
        self._sessions: dict[str, Session] = {}
        self._told: dict[str, Any] = dict.fromkeys(_WORDS, "")
        self._tasks: set[asyncio.Task[None]] = set()
        self._drawing = False

    @property
    def session(self) -> Session:
        """The session of the model on show."""
        if self.model_name not in self._sessions:
            model = self.shared.models[self.model_name]
            session = self._sessions[self.model_name] = Session(model, self.model_name, seed=self.shared.seed)
            if self.shared.beginning is not None and self.model_name == self.shared.names[0]:
                session.restore(self.shared.beginning)
                session.forget()
        return self._sessions[self.model_name]

    @property
    def connected(self) -> bool:
        """Whether a page is open."""
        return self.screen is not None

    @property
    def is_full(self) -> bool:
        """Whether the page is open in as many tabs as it may be."""
        return self.screen is not None and len(self.screen.link) >= _MOST_TABS

    # The page opens and closes

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one websocket; what draws the picture exists for as long as there is one."""
        self.came = True
        if self.screen is None:
            self.screen = self._open()
        screen = self.screen
        try:
            return await screen.connect(request)
        finally:
            self.seen = time.monotonic()
            if not len(screen.link) and self.screen is screen:
                self.session.camera = screen.stage.camera()
                self.screen = None
                await screen.close()

    async def close(self) -> None:
        """End everything of this visitor."""
        if self.job is not None:
            self.job.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        screen, self.screen = self.screen, None
        if screen is not None:
            await screen.close()
        self._sessions.clear()

    def _open(self) -> Screen:
        values = {**self._fixed(), **self._told, **self._values(), "gallery": self.gallery.shown, "work": None}
        shared = self.shared
        return Screen(
            self.session, shared.assets, self.secret, self.answer, self.rest, self.complain, shared.encoding, values
        )

    # What there is to see

    async def choose(self, model_name: str) -> None:
        """Look at another model; the session of the one before stays as it is."""
        await self.shared.load(model_name)
        self._switch(model_name)

    def _switch(self, model_name: str) -> None:
        if model_name == self.model_name:
            return
        if self.screen is not None:
            self.session.camera = self.screen.stage.camera()
        self.model_name, self.dimension = model_name, 0
        if self.screen is not None:
            self.screen.stage.session = self.session
            self.screen.stage.set_camera(self.session.camera)
        if self.gallery.is_open:
            self.gallery.open(0, None)

    async def restore(self, content: Any) -> str:
        """Become a saved session, of whichever of the models it is; return what is said about it."""
        name, before = checked(content)["model"]["name"], self.model_name
        if name in self.shared.names:
            await self.choose(name)
        try:
            warning = self.session.restore(content)
        except VoxganError:
            self._switch(before)
            raise
        if self.screen is not None:
            self.screen.stage.set_camera(self.session.camera)
        return warning or "Session opened"

    def check_room(self) -> None:
        """Raise unless there is room for one more anchor, before work is done for it."""
        if len(self.session.state.anchors) >= MAX_ANCHORS:
            raise UsageError(f"{MAX_ANCHORS} anchors are all there is room for; remove one first")

    def expression_fault(self, expression: str) -> str:
        """Say what is wrong with an expression, or "" when nothing is."""
        if not expression.strip():
            return ""
        try:
            self.session.value_of(expression)
        except VoxganError as error:
            return str(error)
        return ""

    # What the page is told

    def refresh(self) -> None:
        """Show the session as it is now, and wish for a picture of it."""
        if self.screen is not None:
            self.screen.show({**self._values(), **self._told, "work": self.job.shown if self.job else None})
            self.screen.stream.schedule_render()

    def tell(self, **values: Any) -> None:
        """Show other values on the page, such as a message."""
        self._told.update(values)
        if self.screen is not None:
            self.screen.show(values)

    def complain(self, line: str) -> None:
        """Say on the page what went wrong."""
        self.tell(alert=line)

    def announce(self, line: str) -> None:
        """Say what was done, for who does not see it."""
        self.tell(announcement=line)

    def rest(self) -> None:
        """Describe the picture: nothing moves any more."""
        if self.screen is not None:
            words = mirror.description(self.session, *self.screen.angles())
            self.tell(description=words, note=self.screen.stage.message)

    def _values(self) -> dict[str, Any]:
        return mirror.page_state(self.session, self.dimension, self._picture, self._photos)

    def _fixed(self) -> dict[str, Any]:
        return {
            "models": list(self.shared.names),
            **upload_kinds(),
        }

    def _picture(self, anchor: Anchor) -> str:
        """Return the address of an anchor's small picture; where there is none yet, it is drawn."""
        address = self.shared.picture(self.model_name, np.array(anchor.latent, np.float32))
        if not address and not self._drawing:
            self._drawing = True
            self.start(self._draw())
        return address

    async def _draw(self) -> None:
        """Draw the small pictures of all anchors that have none, one after the other."""
        try:
            while latent := self._undrawn():
                await self.shared.draw(self.model_name, latent[0])
                if self.screen is not None:
                    self.screen.show(self._values())
        finally:
            self._drawing = False

    def _undrawn(self) -> list[NDArray[np.float32]]:
        latents = [np.array(anchor.latent, np.float32) for anchor in self.session.state.anchors]
        return [latent for latent in latents if not self.shared.picture(self.model_name, latent)]

    def remember_photo(self, anchor: Anchor, address: str) -> None:
        """Show a photo beside the shape that it became."""
        self._photos[anchor.latent] = address
        while len(self._photos) > 2 * MAX_ANCHORS:
            del self._photos[next(iter(self._photos))]

    def show_job(self) -> None:
        """Show how far the present work is."""
        if self.screen is not None:
            self.screen.show({"work": self.job.shown if self.job else None})

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let something run beside everything else; it ends with the visitor, and what goes wrong in it is said."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, VoxganError):
            self.complain(str(error))
        elif error is not None:
            _log.error("work for a visitor failed: %s: %s", type(error).__name__, error)
            _log.debug("where it failed", exc_info=error)
            self.complain("that failed here; nothing was changed")

    # What the page asks

    async def answer(self, method: str, arguments: list[Any]) -> Any:
        """Answer one call of the page.

        Raises
        ------
        UsageError
            If it is none that a page makes.
        """
        self.seen = time.monotonic()
        screen = self.screen
        if screen is None or method in _IGNORED:
            return None
        if method == "trame.state.get":
            return screen.snapshot()
        if method == "trame.rca.size" and len(arguments) == 3 and isinstance(arguments[2], dict):
            screen.resize(*(checks.number(arguments[2].get(key)) for key in "whp"))
            return None
        if method == "trame.state.update" and len(arguments) == 1 and isinstance(arguments[0], list):
            for change in arguments[0]:
                self._change(screen, change)
            await screen.stream.shown()
            return None
        if method == "trame.trigger" and len(arguments) == 3 and isinstance(arguments[1], list):
            return await self._act(screen, arguments[0], arguments[1])
        raise UsageError("no page asks that")

    def _change(self, screen: Screen, change: Any) -> None:
        """Take over what a slider of the page was moved to."""
        if not isinstance(change, dict):
            raise UsageError("no page sends that")
        self.slide(screen, change.get("key"), change.get("value"))

    def slide(self, screen: Screen, key: Any, value: Any) -> None:
        """Move what a slider of the page moves."""
        if not isinstance(key, str) or key not in _SLIDERS:
            raise UsageError("the page has no slider of that name")
        try:
            _SLIDERS[key](self, checks.number(value))
        except VoxganError as error:
            self.complain(str(error))
            screen.correct(key, self._values()[key])
        else:
            screen.accept(key, value)
            self._told["alert"] = self._told["notice"] = ""
            self.refresh()

    async def _act(self, screen: Screen, name: Any, arguments: list[Any]) -> Any:
        """Do what a button of the page asks for."""
        if not isinstance(name, str) or name not in ACTIONS:
            raise UsageError("the page has no button of that name")
        action = ACTIONS[name]
        if not action.quiet:
            self._told["alert"] = self._told["notice"] = ""
        try:
            said = await action(self, screen, arguments)
        except VoxganError as error:
            self.complain(str(error))
        else:
            if said:
                self._told["announcement"] = said
        if not action.quiet:
            self.refresh()
        return None


def _slide_position(visitor: Visitor, value: float) -> None:
    visitor.session.walk(value)


def _slide_level(visitor: Visitor, value: float) -> None:
    visitor.session.set_level(value)


def _slide_dimension(visitor: Visitor, value: float) -> None:
    visitor.session.set_dimension(visitor.dimension, value)


_SLIDERS = {
    "position": _slide_position,
    "level": _slide_level,
    "dimension_value": _slide_dimension,
    **{
        f"direction_{index}": lambda visitor, value, index=index: visitor.session.set_direction(index, value)
        for index in range(NUM_DIRECTIONS)
    },
}
