"""The front: one listening socket, all routes, the visitors.

======================================  ==========================================================================
``GET /``                               makes a visitor and leads to its page
``GET /s/<token>/``                     the page
``POST /s/<token>/paraview/``           what trame's client asks first: where its websocket is, and the secret
``GET /s/<token>/ws``                   the websocket
``POST /s/<token>/upload``              a photo, mesh, volume or session
``GET /s/<token>/download/<format>``    a file of what is seen
``GET /s/<token>/alive``                whether the visitor is still known
``GET /assets/…``                       scripts, styles, fonts
======================================  ==========================================================================
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from functools import cache
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from viewer.reading import MAX_UPLOAD_BYTES
from viewer.web.assets import own_file
from viewer.web.downloads import CONTENT_TYPES, file_name, make
from viewer.web.guards import Guard
from viewer.web.jobs import take
from viewer.web.shared import Shared
from viewer.web.visitor import Visitor
from voxgan.axes import AXES
from voxgan.errors import UsageError, VoxganError

__all__ = ["Front"]

_log = logging.getLogger(__name__)
_SWEEP_SECONDS = 15.0
_ARRIVAL_SECONDS = 120.0  # until the page of a new visitor has opened its websocket
_UPLOAD_SECONDS = 300.0
_SILENT_SECONDS = 60.0  # that a connection is kept on which nothing is asked
_MOST_CONNECTIONS = 1024
_BACKLOG = 32  # connections that may be taken before the first of them counts
_MOST_UPLOADS = 8  # at once, of everybody together
_FULL = "There are as many visitors as this page takes; come back in a few minutes."
_OVER = "This session is over."


class Front:
    """The page for everybody.

    Parameters
    ----------
    shared : Shared
        The models, and what else visitors share.
    host, port : str, int
        What is listened on; port 0 takes any that is free.
    framed : bool
        Whether a notebook on this machine may show the page in a frame.
    most_visitors : int
        How many may have a page open at once.
    idle_seconds : float
        How long the session of a closed page is kept.
    """

    def __init__(
        self,
        shared: Shared,
        host: str = "127.0.0.1",
        port: int = 8080,
        framed: bool = False,
        most_visitors: int = 64,
        idle_seconds: float = 900.0,
    ) -> None:
        self.host, self.port = host, port
        self.most_visitors, self.idle_seconds = most_visitors, idle_seconds
        self.shared = shared
        self.visitors: dict[str, Visitor] = {}
        self.guard = Guard(host, framed)
        self._receiving = 0  # uploads that are arriving
        self._runner: web.AppRunner | None = None
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The address to open."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    # Life

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        UsageError
            If the port is taken, or the address is none of this machine.
        """
        app = web.Application(middlewares=[_in_words, self.guard.middleware], client_max_size=1 << 16)
        app.on_response_prepare.append(self.guard.add_headers)
        app.add_routes(
            [
                web.get("/", self._arrive),
                web.get("/favicon.ico", self._icon),
                web.get("/assets/{name:.+}", self.shared.assets.answer),
                web.get("/s/{token}/", self._page),
                web.post("/s/{token}/paraview/", self._tell_secret),
                web.get("/s/{token}/ws", self._websocket),
                web.post("/s/{token}/upload", self._upload),
                web.get("/s/{token}/download/{kind}", self._download),
                web.get("/s/{token}/alive", self._alive),
            ]
        )
        runner = _Runner(
            app,
            access_log=None,
            handle_signals=False,
            logger=_quiet(),
            keepalive_timeout=_SILENT_SECONDS,
            shutdown_timeout=1.0,
            lingering_time=1.0,
            auto_decompress=False,
        )
        await runner.setup()
        try:
            site = web.TCPSite(runner, self.host, self.port, reuse_address=True, backlog=_BACKLOG)
            await site.start()
        except (OSError, OverflowError) as error:
            await runner.cleanup()
            self.shared.close()
            raise UsageError(self._why_not(error)) from error
        self._runner = runner
        self.port = int(runner.addresses[0][1])
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def stop(self) -> None:
        """Close every page and end all work."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        visitors, self.visitors = list(self.visitors.values()), {}
        await asyncio.gather(*(visitor.close() for visitor in visitors), return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        self.shared.close()

    def _why_not(self, error: Exception) -> str:
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            return f"port {self.port} is taken; choose another one, or any that is free with --port 0"
        if number == errno.EACCES:
            return f"port {self.port} needs more rights than this program has; choose one above 1023"
        return f"cannot listen on {self.host} port {self.port} ({error}); expected an address of this machine"

    async def _sweep(self) -> None:
        """Forget visitors whose page has been closed for long, or who never came."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = time.monotonic()
            for visitor in list(self.visitors.values()):
                patience = self.idle_seconds if visitor.came else _ARRIVAL_SECONDS
                if not visitor.connected and visitor.job is None and now - visitor.seen > patience:
                    await self._forget(visitor)

    async def _forget(self, visitor: Visitor) -> None:
        self.visitors.pop(visitor.token, None)
        await visitor.close()

    @property
    def _is_full(self) -> bool:
        return sum(visitor.connected for visitor in self.visitors.values()) >= self.most_visitors

    # Routes

    async def _arrive(self, request: web.Request) -> web.StreamResponse:
        """Make a visitor; what it costs comes when its page opens."""
        if request.method == "HEAD":
            return web.Response()
        self.guard.check_arrival(request)
        if self._is_full:
            raise web.HTTPServiceUnavailable(text=_FULL, headers={"Retry-After": "120"})
        waiting = [visitor for visitor in self.visitors.values() if not visitor.connected]
        if len(waiting) >= self.most_visitors:
            await self._forget(min(waiting, key=lambda visitor: (visitor.came, visitor.seen)))
        visitor = Visitor(self.shared)
        self.visitors[visitor.token] = visitor
        return web.Response(status=303, headers={"Location": f"s/{visitor.token}/"})

    def _visitor(self, request: web.Request) -> Visitor:
        visitor = self.visitors.get(request.match_info["token"])
        if visitor is None:
            raise web.HTTPNotFound(text=_OVER)
        visitor.seen = time.monotonic()
        return visitor

    async def _page(self, request: web.Request) -> web.Response:
        self._visitor(request)
        return web.Response(body=self.shared.assets.document, content_type="text/html", charset="utf-8")

    async def _icon(self, request: web.Request) -> web.Response:
        return web.Response(text=own_file("icon.svg"), content_type="image/svg+xml")

    async def _alive(self, request: web.Request) -> web.Response:
        self._visitor(request)
        return web.Response(status=204)

    async def _tell_secret(self, request: web.Request) -> web.Response:
        visitor = self._visitor(request)
        if not visitor.connected and self._is_full:
            return web.json_response({"error": _FULL}, status=503)
        return web.json_response(
            {"sessionURL": f"ws://USE_HOST/s/{visitor.token}/ws", "secret": visitor.secret}
        )  # trame's client puts its own host there, and wss where the page is https

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        visitor = self._visitor(request)
        self.guard.check_origin(request)
        if self._is_full if not visitor.connected else visitor.is_full:
            raise web.HTTPServiceUnavailable(text=_FULL)
        return await visitor.connect(request)

    async def _upload(self, request: web.Request) -> web.Response:
        visitor = self._visitor(request)
        if visitor.receiving:
            return web.Response(text="another file is not done yet; wait for it", status=422)
        if self._receiving >= _MOST_UPLOADS:
            return web.Response(text="too many files are arriving at once; try again in a minute", status=503)
        visitor.receiving = True
        self._receiving += 1
        try:
            return await self._received(visitor, request)
        finally:
            visitor.receiving = False
            self._receiving -= 1

    async def _received(self, visitor: Visitor, request: web.Request) -> web.Response:
        try:
            up = request.query.get("up", "z")
            if up not in AXES:
                raise UsageError(f"up axis {up[:20]!r}; expected one of {', '.join(AXES)}")
            if request.headers.get("Content-Encoding", "identity") != "identity":
                raise web.HTTPUnsupportedMediaType(text="Send the file as it is, not compressed on the way.")
            async with asyncio.timeout(_UPLOAD_SECONDS):
                content = await _body(request)
            return web.Response(text=await take(visitor, content, request.query.get("name", ""), up))
        except TimeoutError:
            line, status = "that took too long to arrive; try a smaller file", 408
        except _TooLargeError as error:
            line, status = str(error), 413
        except web.RequestPayloadError:
            line, status = "that file did not arrive whole; try again", 400
        except VoxganError as error:
            line, status = str(error), 422
        visitor.complain(line)
        response = web.Response(text=line, status=status)
        if status in (400, 408, 413):
            response.force_close()  # the rest of it is not read
        return response

    async def _download(self, request: web.Request) -> web.Response:
        visitor = self._visitor(request)
        kind = request.match_info["kind"]
        try:
            size = float(request.query.get("size", "100"))
        except ValueError:
            size = float("nan")
        name = file_name(visitor, kind)
        try:
            content = await make(visitor, kind, size)
        except VoxganError as error:
            visitor.complain(str(error))
            return web.Response(text=str(error), status=422)
        visitor.tell(alert="")
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": CONTENT_TYPES[kind]}
        return web.Response(body=content, headers=headers)


class _Runner(web.AppRunner):
    """Takes only so many connections at once; where no file can be opened asyncio writes tracebacks for ever."""

    @property
    def server(self) -> Any:
        """What makes the protocol of a new connection."""
        return self._protocol

    def _protocol(self) -> asyncio.BaseProtocol:
        assert self._server is not None
        return _Cut() if len(self._server.connections) >= _most_connections() else self._server()


class _Cut(asyncio.Protocol):
    """Closes its connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it at once."""
        transport.close()


@cache
def _most_connections() -> int:
    """Return how many there may be at once: half of the files that this process may open stay free."""
    try:
        import resource
    except ImportError:  # Windows
        return _MOST_CONNECTIONS
    return min(_MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


class _TooLargeError(Exception):
    """An upload is over the limit."""


async def _body(request: web.Request) -> bytes:
    """Return the body of an upload, which is cut off before it is larger than allowed."""
    too_large = _TooLargeError(f"that file is over {MAX_UPLOAD_BYTES >> 20} MB; make it smaller")
    if (request.content_length or 0) > MAX_UPLOAD_BYTES:
        raise too_large
    content = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > MAX_UPLOAD_BYTES:
            raise too_large
    return bytes(content)


@web.middleware
async def _in_words(request: web.Request, handler: web.Handler) -> web.StreamResponse:
    """Answer an error in words: as a page where a browser shows it, else as one line."""
    try:
        return await handler(request)
    except web.HTTPError as error:
        line, status, headers = (error.text or error.reason).strip(), error.status, dict(error.headers)
    except (asyncio.CancelledError, ConnectionError, web.HTTPException):
        raise
    except Exception as error:
        _log.error("%r failed: %s: %s", request.path[-40:], type(error).__name__, error)
        _log.debug("where it failed", exc_info=True)
        line, status, headers = "That failed here.", 500, {}
    kept = {name: value for name, value in headers.items() if name in ("Retry-After", "Allow")}
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        page = own_file("error.html").replace("<!-- line -->", _escaped(line))
        return web.Response(text=page, status=status, content_type="text/html", headers=kept)
    return web.Response(text=line + "\n", status=status, headers=kept)


def _escaped(text: str) -> str:
    import html

    return html.escape(text)


def _quiet() -> logging.Logger:
    """Return aiohttp's logger without tracebacks: what strangers send in place of HTTP is no fault of ours."""
    logger = logging.getLogger(f"{__name__}.http")
    if not logger.filters:
        logger.addFilter(_without_traceback)
    return logger


def _without_traceback(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    record.exc_info, record.exc_text = None, None
    return record.levelno >= logging.ERROR and not isinstance(error, HttpProcessingError | web.RequestPayloadError)
