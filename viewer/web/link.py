"""The websocket between one visitor's page and the server, as trame's client speaks it (wslink, msgpack).

What wslink's own handler does is kept where it sends; what comes in is read here, because here it comes from
strangers: only the few calls that the page makes are known, what is wrong is answered in one line without a
traceback, and one visitor's messages are answered one after the other, so that nobody can pile them up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgpack
from aiohttp import WSMsgType, web
from wslink.backends.aiohttp import AioHttpWsHandler
from wslink.chunking import UnChunker, generate_chunks
from wslink.websocket import ServerProtocol

from voxgan.errors import VoxganError

__all__ = ["Link"]

_log = logging.getLogger(__name__)
_MAX_MESSAGE = 1 << 18  # the page itself sends some hundred bytes
_MAX_PIECES = 4  # messages that have come in part
_SEND_BUFFER = 1 << 16  # of the socket: what has been sent but not arrived is what a picture comes late by
_HEARTBEAT = 20.0  # seconds
_GREETING_SECONDS = 20.0
_FAREWELL_SECONDS = 2.0
_SENDING_SECONDS = 30.0  # a page that takes nothing for so long is gone

Answer = Callable[[str, list[Any]], Awaitable[Any]]


class Link(AioHttpWsHandler):  # type: ignore[misc]
    """All websockets of one visitor: more than one when the page is open twice.

    Parameters
    ----------
    protocol : ServerProtocol
        What trame's side publishes through.
    answer : callable
        Given the name of a call and its arguments, returns what is sent back. A VoxganError becomes one line.
    """

    def __init__(self, protocol: ServerProtocol, answer: Answer) -> None:
        super().__init__(protocol, _App())
        self._answer = answer
        self._sending: set[asyncio.Task[None]] = set()
        self._transports: dict[str, asyncio.Transport | None] = {}

    def __len__(self) -> int:
        return len(self.connections)

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one websocket until it closes."""
        name = secrets.token_hex(8)
        socket = web.WebSocketResponse(
            timeout=_FAREWELL_SECONDS, max_msg_size=_MAX_MESSAGE, heartbeat=_HEARTBEAT, compress=False
        )
        await socket.prepare(request)
        _shorten_buffers(request)
        self.connections[name], self._transports[name] = socket, request.transport
        self.unchunkers[name] = UnChunker()  # takes 512 bytes until the secret has come
        late = asyncio.get_running_loop().call_later(_GREETING_SECONDS, self._close_stranger, name)
        try:
            async for message in socket:
                if request.transport is None or request.transport.is_closing():
                    break  # what was asked before its page has gone
                if message.type is not WSMsgType.BINARY or not await self._take(name, message.data):
                    break
        except ConnectionError:
            pass
        finally:
            late.cancel()
            self.authentified_client_ids.discard(name)
            self.connections.pop(name, None)
            self.unchunkers.pop(name, None)
            await self._close(name, socket)
            self._transports.pop(name, None)
        return socket

    async def close(self) -> None:
        """Close every websocket and wait until nothing is being sent."""
        for task in list(self._sending):
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        ending = {"code": 1001, "message": b"the server ends"}
        await asyncio.gather(*(self._close(*each, **ending) for each in list(self.connections.items())))

    def publish(
        self, topic: str, data: Any, client_id: str | None = None, skip_last_active_client: bool = False
    ) -> None:
        """Send something to the page without being asked; trame's side calls this."""
        names = [client_id] if client_id else list(self.connections)
        skipped = self.web_app.last_active_client_id if skip_last_active_client else None
        names = [name for name in names if name in self.authentified_client_ids and name != skipped]
        if names:
            message = {"wslink": "1.0", "id": f"publish:{topic}:0", "result": data}
            task = asyncio.get_running_loop().create_task(self._send(names, message))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def sent(self) -> None:
        """Wait until all that was published has left for the network, or its socket is gone."""
        if self._sending:
            await asyncio.wait(self._sending)

    # Inside

    async def _take(self, name: str, data: bytes) -> bool:
        """Answer one message; False closes the websocket."""
        unchunker = self.unchunkers[name]
        try:
            call = unchunker.process_chunk(data)
            if call is None:
                return len(unchunker.pending_messages) <= _MAX_PIECES
            number, method = call["id"], call["method"]
            arguments = call.get("args") or []
            if not (isinstance(number, str) and isinstance(method, str) and isinstance(arguments, list)):
                return False
        except Exception:  # a stranger's bytes can make msgpack raise anything
            return False
        if number.startswith("system:"):
            return await self._greet(name, number, method, arguments)
        if name not in self.authentified_client_ids:
            return False
        self.web_app.last_active_client_id = name
        message: dict[str, Any] = {"wslink": "1.0", "id": number}
        try:
            message["result"] = await self._answer(method, arguments)
        except VoxganError as error:
            message["error"] = {"code": -32001, "message": str(error)}
        except Exception as error:
            _log.error("%r failed: %s: %s", method[:40], type(error).__name__, error)
            _log.debug("where it failed", exc_info=True)
            message["error"] = {"code": -32001, "message": "that failed here; nothing was changed"}
        await self.sent()  # the answer never overtakes the news that led to it
        await self._send([name], message)
        return True

    async def _greet(self, name: str, number: str, method: str, arguments: list[Any]) -> bool:
        told = arguments[0].get("secret") if arguments and isinstance(arguments[0], dict) else None
        secret = str(self.serverProtocol.secret)
        if method != "wslink.hello" or not (
            isinstance(told, str) and hmac.compare_digest(told.encode(), secret.encode())
        ):
            return False
        self.authentified_client_ids.add(name)
        self.unchunkers[name].set_max_message_size(_MAX_MESSAGE)
        answer = {"clientID": f"c{name}", "maxMsgSize": _MAX_MESSAGE}
        await self._send([name], {"wslink": "1.0", "id": number, "result": answer})
        return True

    async def _send(self, names: list[str], message: dict[str, Any]) -> None:
        data = msgpack.packb(message)
        async with self.attachment_atomic:  # pieces of two messages must not be sent at once
            for chunk in generate_chunks(data, 0):
                for name in names:
                    socket = self.connections.get(name)
                    if socket is not None and not socket.closed:
                        async with self._patience(name, _SENDING_SECONDS):
                            await socket.send_bytes(chunk)

    async def _close(self, name: str, socket: web.WebSocketResponse, **why: Any) -> None:
        async with self._patience(name, _FAREWELL_SECONDS):
            await socket.close(**why)

    @contextlib.asynccontextmanager
    async def _patience(self, name: str, seconds: float) -> AsyncIterator[None]:
        """Cut a connection whose other end takes nothing for so long: to close it would be to wait for that."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except (ConnectionError, RuntimeError):
            pass
        except (TimeoutError, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # otherwise it was another task, which waited for the same connection
            transport = self._transports.get(name)
            if transport is not None:
                transport.abort()

    def _close_stranger(self, name: str) -> None:
        """Close a websocket that has not told the secret in time."""
        if name in self.connections and name not in self.authentified_client_ids:
            task = asyncio.get_running_loop().create_task(self.connections[name].close())
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)


class _App:
    """What wslink's handler asks of the server that it believes to be in: nothing ends with the last websocket."""

    last_active_client_id: str | None = None
    ws_compress = False

    async def stop(self) -> None:
        """Do nothing: no visitor may end the server."""


def _shorten_buffers(request: web.Request) -> None:
    import socket as sockets

    transport = request.transport
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _SEND_BUFFER)
