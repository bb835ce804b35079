"""Serving the page: until Ctrl-C from a terminal, or beside other work from a notebook."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from voxgan.errors import MissingExtraError, UsageError
from voxgan.graphics import check_graphics

if TYPE_CHECKING:
    from viewer.web.server import Front
    from voxgan.models.model import Model

__all__ = ["Running", "serve", "start_in_background"]

_START_SECONDS = 60.0


def serve(
    models: str | Mapping[str, Model] = "furniture",
    files: Sequence[str | Path] = (),
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    open_browser: bool = True,
    seed: int = 0,
) -> None:
    """Serve the page until Ctrl-C.

    Parameters
    ----------
    models : str or mapping of str to Model
        What is shown: a shipped model, a run folder, or a session that was saved (``.json``); visitors may choose the
        other shipped models too. Or models by name: then among these, the first is shown first.
    files : sequence of path
        Photos, meshes, volumes and saved sessions that every visitor begins with.
    host : str
        The address to listen on. 127.0.0.1 can be reached from this machine only; any other lets everybody who can
        reach it use the page, without a password.
    port : int
        Port to listen on; 0 takes any that is free.
    open_browser : bool
        Open the page in the system's browser.
    seed : int
        Every visitor's session begins with it.

    Raises
    ------
    MissingExtraError
        If PyVista or trame is not installed.
    UsageError
        If OpenGL does not work here, the port is taken, or there is no such model.
    InputError, StorageError
        If a file cannot be used.
    """
    check_graphics("the viewer's page")
    _check_port(port)
    front = _front(models, files, host, port, seed)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_until_stopped(front, open_browser))


class Running:
    """A page that is served from a thread of its own.

    Attributes
    ----------
    url : str
        Its address.
    """

    def __init__(self, front: Front) -> None:
        self.url = ""
        self._front = front
        self._failure: BaseException | None = None
        self._ready, self._stopping = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="voxgan-page", daemon=True)

    def _start(self) -> None:
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise UsageError(f"the page did not start within {_START_SECONDS:g} s; try again")
        if self._failure is not None:
            raise self._failure
        self.url = self._front.url

    def stop(self) -> None:
        """Close every page and end the thread; stopping twice does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(_START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.close()

    async def _serve(self) -> None:
        await self._front.start()
        self._ready.set()
        try:
            await self._stopping.wait()
        finally:
            await self._front.stop()


def start_in_background(
    models: Mapping[str, Model], *, host: str = "127.0.0.1", port: int = 0, seed: int = 0, framed: bool = True
) -> Running:
    """Serve the page from a thread, and return at once.

    Parameters
    ----------
    models, host, seed
        As for `serve`.
    port : int
        Port to listen on; 0 takes any that is free.
    framed : bool
        Let a notebook on this machine show the page in a frame.

    Returns
    -------
    Running
        With its ``url``, and ``stop()``.

    Raises
    ------
    MissingExtraError, UsageError
        As `serve`.
    """
    check_graphics("the viewer's page")
    _check_port(port)
    running = Running(_front(models, (), host, port, seed, framed))
    running._start()
    return running


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise UsageError(f"port {port}: expected 0 to 65535")


def _front(
    models: str | Mapping[str, Model],
    files: Sequence[str | Path],
    host: str,
    port: int,
    seed: int,
    framed: bool = False,
) -> Front:
    """Load what is to be shown, and make the front; or say which package is missing."""
    try:
        from viewer.web.beginning import opened
        from viewer.web.server import Front
        from viewer.web.shared import Shared
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name).partition(".")[0], "viewer", "the viewer's page") from error
    loaded, others, beginning = opened(models, files, seed)
    return Front(Shared(loaded, seed, others, beginning), host, port, framed)


async def _until_stopped(front: Front, open_browser: bool) -> None:
    from viewer.web.guards import is_local

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stopped.set)
        except (NotImplementedError, RuntimeError):
            break  # Windows, or not the main thread: Ctrl-C arrives as KeyboardInterrupt
    await front.start()
    try:
        print(f"voxgan is at {front.url} (Ctrl-C ends it)", flush=True)
        if not is_local(front.host):
            print(
                f"Everybody who can reach {front.host} port {front.port} can use this page and this machine's"
                " processor, without a password.",
                file=sys.stderr,
                flush=True,
            )
        if open_browser:  # which some browsers make wait until they are closed
            threading.Thread(target=webbrowser.open, args=(front.url,), daemon=True).start()
        await stopped.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C does not wait
            with contextlib.suppress(NotImplementedError, RuntimeError):
                loop.remove_signal_handler(number)
        await front.stop()
