"""A visitor without a browser: the requests and the websocket that the page uses, as a program makes them."""

from __future__ import annotations

import asyncio
import secrets
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgpack


class RefusedError(Exception):
    """What the page answered instead of a result."""


class Speaker:
    """One visitor.

    Attributes
    ----------
    token, secret : str
    state : dict
        What the page has been told, from the beginning on.
    pictures : list of bytes
        JPEGs that have come.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.host = urlsplit(url).netloc
        self.origin = {"Origin": f"http://{self.host}"}
        self.token = self.secret = ""
        self.state: dict[str, Any] = {}
        self.pictures: list[bytes] = []
        self._number = 0
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._news = asyncio.Event()

    @property
    def page(self) -> str:
        """The address of the visitor's page."""
        return f"{self.url}/s/{self.token}"

    async def __aenter__(self) -> Speaker:
        self.http = aiohttp.ClientSession()
        async with self.http.get(f"{self.url}/", allow_redirects=False) as answer:
            assert answer.status == 303, await answer.text()
            self.token = answer.headers["Location"].split("/")[1]
        await self.connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        await self.leave()
        await self.http.close()

    async def connect(self) -> None:
        """Open the websocket and take over the state."""
        async with self.http.post(f"{self.page}/paraview/", headers=self.origin, json={}) as answer:
            told = await answer.json()
            assert answer.status == 200, told
        self.secret = told["secret"]
        self.socket = await self.http.ws_connect(f"{self.page}/ws", headers=self.origin)
        self._listening = asyncio.create_task(self._listen())
        await self.call("wslink.hello", {"secret": self.secret}, system=True)
        self.state = (await self.call("trame.state.get"))["state"]

    async def leave(self) -> None:
        """Close the websocket."""
        await self.socket.close()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def call(self, method: str, *arguments: Any, system: bool = False) -> Any:
        """Call something and return what it answers.

        Raises
        ------
        RefusedError
            With the line that came instead.
        """
        self._number += 1
        number = f"{'system' if system else 'rpc'}:c:{self._number}"
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self.send(msgpack.packb({"wslink": "1.0", "id": number, "method": method, "args": list(arguments)}))
        return await asyncio.wait_for(self._waiting[number], 60)

    async def send(self, message: bytes) -> None:
        """Send one message in one piece."""
        header = secrets.token_bytes(4) + (0).to_bytes(4, "little") + len(message).to_bytes(4, "little")
        await self.socket.send_bytes(header + message)

    async def do(self, action: str, *values: Any) -> None:
        """Press a button."""
        await self.call("trame.trigger", action, list(values), {})

    async def slide(self, **values: Any) -> None:
        """Move sliders."""
        await self.call("trame.state.update", [{"key": key, "value": value} for key, value in values.items()])

    async def until(self, name: str, expected: Any) -> None:
        """Wait until the page knows a value, or one that fulfils a condition."""
        fulfilled = expected if callable(expected) else lambda value: value == expected

        async def come() -> None:
            while not fulfilled(self.state.get(name)):
                self._news.clear()
                await self._news.wait()

        await asyncio.wait_for(come(), 60)

    async def upload(self, name: str, content: Any, **query: str) -> tuple[int, str]:
        """Give a file; return status and answer."""
        address, asked = f"{self.page}/upload", {"name": name, **query}
        async with self.http.post(address, params=asked, data=content, headers=self.origin) as answer:
            return answer.status, await answer.text()

    async def get(self, path: str, **headers: str) -> tuple[int, bytes, Any]:
        """Fetch something below the visitor's page; return status, content, headers."""
        async with self.http.get(f"{self.page}/{path}", headers=headers) as answer:
            return answer.status, await answer.read(), answer.headers

    async def _listen(self) -> None:
        async for message in self.socket:
            told = msgpack.unpackb(message.data[12:])
            if told["id"].startswith("publish:trame.state"):
                self.state.update(told["result"])
            elif told["id"].startswith("publish:trame.rca"):
                self.pictures.append(told["result"]["content"])
            waiting = self._waiting.pop(told["id"], None)
            if waiting is not None and "error" in told:
                waiting.set_exception(RefusedError(str(told["error"])))
            elif waiting is not None:
                waiting.set_result(told["result"])
            self._news.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the websocket was closed"))
