"""R9: the page as strangers meet it. Whatever they send, the server is there afterwards and its terminal is silent.

It runs in a process of its own with small models. After every test it must answer, nothing that it told anybody may
speak of its inside, and no file may be left. The full tier (``make torture``) takes more of everything.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import math
import os
import random
import re
import secrets
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import faults
import msgpack
import pytest
from aiohttp import ClientOSError
from PIL import Image
from trial import FULL

from viewer.reading import MAX_UPLOAD_BYTES, tidy_name
from voxgan import graphics

aiohttp = pytest.importorskip("aiohttp", reason="the extra `viewer` is not installed")
pytest.importorskip("trame_pyvista", reason="the extra `viewer` is not installed")
ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "viewer" / "web"))
from speaking import RefusedError, Speaker

from viewer.web.actions import ACTIONS

NUM_VISITORS, NUM_REQUESTS = 32, 500
NUM_VISITS, NUM_MESSAGES, NUM_GUESSES, NUM_SILENT = (60, 600, 400, 1000) if FULL else (6, 40, 60, 300)
PATIENCE = 10  # seconds; what takes longer hangs
MOST_FILES = 256  # that the server may open: few, so that it can be filled
SCRIPT = '"><script>alert(1)</script>'
INSIDE = re.compile(r'Traceback|File "|root:x:|site-packages|[a-z]Error\b|/voxgan-|__future__')

SERVER = """
import asyncio, ctypes, gc, os, resource, signal, sys
import torch
from conftest import shaped
from viewer.web import link, server
from viewer.web.running import _front, _until_stopped
from voxgan.graphics import check_graphics
from voxgan.models.gan3d import GAN3D, Config
from voxgan.models.vae_gan3d import VAEGAN3D, VAEGANConfig

resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)
server._UPLOAD_SECONDS = link._GREETING_SECONDS = link._SENDING_SECONDS = 2.0
server._SILENT_SECONDS = 1.0
check_graphics()
torch.manual_seed(0)
encoding = shaped(VAEGAN3D(VAEGANConfig(resolution=16, width=4)))
models = {"small": encoding, sys.argv[1]: shaped(GAN3D(Config(resolution=16, width=4)))}

async def tell_memory(front):
    for visitor in [visitor for visitor in front.visitors.values() if not visitor.connected]:
        await front._forget(visitor)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/statm") as file:
        print(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"), flush=True)

async def run():
    front, telling = _front(models, (), "127.0.0.1", 0, 0), []
    tell = lambda: telling.append(asyncio.ensure_future(tell_memory(front)))
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell)
    await _until_stopped(front, False)

asyncio.run(run())
"""


class Server:
    """The page in a process and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, temporary = folder, folder / "temporary"
        temporary.mkdir()
        (folder / "canary").write_text("root:x: must not be seen")
        paths = os.pathsep.join([str(ROOT / "tests" / "viewer" / "web"), str(ROOT)])
        own = {"PYTHONPATH": paths, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
        command = [sys.executable, "-W", "ignore", "-c", SERVER, SCRIPT, str(MOST_FILES)]
        with (folder / "terminal").open("wb") as terminal:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, **own}, cwd=folder, text=True
            )
        assert self.process.stdout is not None
        self.told = self.process.stdout
        self.url = self.told.readline().split()[3]
        self.host = self.url.removeprefix("http://").strip("/")
        self.heard, self.files = 0, sorted(folder.rglob("*"))

    async def raw(self, *pieces: str | bytes, pause: float = 0.0, end: bool = False) -> bytes:
        """Send what need not be HTTP, in pieces; return all that comes until the server closes the connection."""
        host, _, port = self.host.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        coming = asyncio.create_task(reader.read())
        for piece in pieces:
            if not (writer.is_closing() or coming.done()):
                writer.write(piece.encode() if isinstance(piece, str) else piece)
                await asyncio.sleep(pause)
        with contextlib.suppress(OSError):
            if end and not writer.is_closing():
                writer.write_eof()
        try:
            answer = await asyncio.wait_for(coming, PATIENCE)
        except ConnectionError:
            return b""
        finally:
            writer.transport.abort()
        assert not INSIDE.search(answer[: answer.find(b"\r\n\r\n") + 400].decode("latin-1")), answer
        return answer

    def head(self, line: str, *headers: str, origin: bool = True) -> str:
        """Return the beginning of a request as the page makes it."""
        own = [f"Host: {self.host}", *([f"Origin: http://{self.host}"] if origin else []), "Connection: close"]
        return "\r\n".join([f"{line} HTTP/1.1", *own, *headers, "", ""])

    def check(self) -> None:
        """Check that it is well."""
        with (self.folder / "terminal").open("rb") as terminal:
            terminal.seek(self.heard)
            said = terminal.read()
        self.heard += len(said)
        assert said == b""
        assert self.process.poll() is None
        assert asyncio.run(self.raw(self.head("HEAD /"))).startswith(b"HTTP/1.1 200")
        last = time.monotonic() + PATIENCE
        while sorted(self.folder.rglob("*")) != self.files and time.monotonic() < last:
            time.sleep(0.1)  # what was given up amid its reading is read to its end
        assert sorted(self.folder.rglob("*")) == self.files

    def memory(self) -> int:
        """Forget whose page is closed, give free memory back to the system, and return the bytes that remain."""
        self.process.send_signal(signal.SIGUSR1)
        return int(self.told.readline())

    def end(self) -> None:
        """End it as Ctrl-C does: in time, silently, with every process that it has started."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [int(pid) for path in tasks for pid in path.read_text().split()]
        self.process.send_signal(signal.SIGINT)
        try:
            assert self.process.wait(PATIENCE) == 0
            assert (self.folder / "terminal").stat().st_size == self.heard
            assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        finally:
            self.process.kill()


class Stranger(Speaker):
    """A visitor who holds everything that is told against the server."""

    async def __aexit__(self, *error: Any) -> None:
        await super().__aexit__(*error)
        told = {key: value for key, value in self.state.items() if not key.startswith("trame__")}
        assert not INSIDE.search(json.dumps(told)), told

    async def ask(self, method: str, *arguments: Any) -> str:
        """Call something; return why it was refused, or ""."""
        try:
            await asyncio.wait_for(self.call(method, *arguments), PATIENCE)
        except RefusedError as error:
            assert len(str(error)) < 200 and not INSIDE.search(str(error)), error
            return str(error)
        return ""

    async def give(self, name: str, content: bytes, **query: str) -> int:
        try:
            status, line = await asyncio.wait_for(self.upload(name, io.BytesIO(content), **query), PATIENCE)
        except ClientOSError:  # while the content was made, the server had closed the connection that was kept
            status, line = await asyncio.wait_for(self.upload(name, io.BytesIO(content), **query), PATIENCE)
        assert len(line) < 400 and "\n" not in line.strip() and not INSIDE.search(line), line
        return status

    async def saved(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((await self.get("download/json"))[1])
        return content

    async def is_well(self) -> None:
        """Check that nothing came of all that, and that the page works."""
        await self.until("work", None)
        assert len((await self.call("trame.state.get"))["state"]["anchors"]) == 3
        assert await self.give("a.png", PHOTO) == 200


def photo(mode: str, side: int) -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), 1).save(file, "PNG")
    return file.getvalue()


PHOTO = photo("RGB", 64)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    reason = graphics._probe()
    if reason is not None:
        pytest.skip(f"OpenGL does not work here: {reason}")
    server = Server(tmp_path_factory.mktemp("server"))
    with server.process:  # which is waited for, and its output closed
        yield server
        if server.process.poll() is None:
            server.end()


def by_a_stranger(what: Callable[[Server, Stranger], Awaitable[None]]) -> Callable[[Server], None]:
    """Make a test of what a visitor does."""

    async def run(server: Server) -> None:
        async with Stranger(server.url) as stranger:
            await what(server, stranger)

    def test(server: Server) -> None:
        asyncio.run(run(server))
        server.check()

    return test


# ------------------------------------------------------------------------------------------------------ paths, bodies
CLIMBS = ("../", "%2e%2e/", "..%2f", "%2e%2e%2f", "%252e%252e%252f", "..\\", "..%5c", "..%255c", "....//", "..;/")
CLIMBS += ("%c0%ae%c0%ae/", "%e0%80%ae%e0%80%ae/", "..%00/", "./.%2e/")
WHOLE = ("/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "C:%5cwin.ini", "file:///etc/passwd", "%00", "a%00.js")


@by_a_stranger
async def test_no_path_leads_to_a_file(server: Server, stranger: Stranger) -> None:
    own, canary = f"/s/{stranger.token}", str(server.folder / "canary")
    ends = [f"{climb * 9}{end}" for climb in CLIMBS for end in ("etc/passwd", canary[1:])]
    ends += [*(f"{climb}page.py" for climb in CLIMBS), *WHOLE, canary, quote(canary, "")]
    for place, end in itertools.product(("/assets/voxgan/", "/assets/", f"{own}/download/", f"{own}/", "/"), ends):
        answer = await server.raw(server.head(f"GET {place}{end}"))
        assert answer[9:12] in (b"400", b"404", b"422"), (place, end, answer)
    for odd in ("*", "http://evil.example/", "evil.example:80", "/\0", "/" + "a" * 20_000, "/?" + "a&" * 20_000):
        assert (await server.raw(server.head(f"GET {odd}")))[9:12] in (b"400", b"403", b"404"), odd
    for climb in (*CLIMBS, f"{server.folder}/", f"{server.folder}/\0"):
        for name in (f"{climb}planted.png", f"planted.png/{climb}", f"{climb}planted.json"):
            assert await stranger.give(name, b"planted") == 422
    await stranger.is_well()


BALL = faults.HEALTHY_V, faults.HEALTHY_F
BOMBS: dict[str, Callable[[], bytes]] = {
    "81-megapixels.png": lambda: photo("1", 9000),
    "unpacks-to-128-megabytes.npz": lambda: faults.zipped(occupancy=faults.npy_header("(512,) * 3") + bytes(512**3)),
    "declares-gigabytes.npz": lambda: faults.zipped(occupancy=faults.npy_header("(1, 2000, 2000, 2000)")),
    "gigabytes.glb": lambda: faults.glb(*BALL, lambda header: header["accessors"][0].update(count=10**9)),
    "deep.json": lambda: b"[" * 500_000,
    "deep-objects.json": lambda: b'{"a":' * 150_000,
    "deep-but-whole.json": lambda: b"[" * 100_000 + b"]" * 100_000,
    "a-long-number.json": lambda: b"9" * 1_000_000,
    "nothing.stl": lambda: b"",
}


@by_a_stranger
async def test_bombs_are_refused_in_words(server: Server, stranger: Stranger) -> None:
    for name, content in BOMBS.items():
        assert await stranger.give(name, content()) == 422, name
    await stranger.is_well()


@by_a_stranger
async def test_damaged_sessions_change_nothing(server: Server, stranger: Stranger) -> None:
    saved = await stranger.saved()
    zeros = {"name": "A", "origin": {"kind": "kept", "label": "a"}, "latent": [0.0] * 200}
    changes: list[dict[str, Any]] = [
        {"anchors": [{}] * 100_000}, {"anchors": [saved["anchors"][0]] * 8_000}, {"anchors": [zeros] * 27},
        {"anchors": [zeros, zeros]}, {"anchors": [zeros | {"latent": [math.nan] * 200}]}, {"anchors": {}},
        {"anchors": [zeros | {"origin": {"kind": SCRIPT, "label": ""}}]}, {"anchors": [zeros | {"name": SCRIPT}]},
        {"level": math.nan}, {"level": 1e308}, {"position": math.inf}, {"display": SCRIPT}, {"clean": "yes"},
        {"mode": "expression", "expression": SCRIPT}, {"expression": "A" * 100_000}, {"interpolation": []},
        {"dimensions": {"200": 1.0}}, {"dimensions": {"0": math.nan}}, {"directions": {"-1": 1}}, {"seed": math.nan},
        {"camera": {"position": [math.nan] * 3}}, {"camera": 7}, {"version": SCRIPT * 9_000}, {"format": "other"},
        {"model": {"name": SCRIPT * 9}}, {"model": SCRIPT}, {"drawn": math.inf}, {"seed": 10**300}, {"drawn": -1},
        {"dimensions": {f"{' ' * n}1": 0.5 for n in range(900)}},
    ]  # fmt: skip
    for change in changes:
        assert await stranger.give("a.json", json.dumps(saved | change).encode()) == 422, str(change)[:200]
    assert await stranger.saved() == saved
    for key, value in itertools.product(saved, (None, "", [], {}, -1, [None], 1e400)):
        assert await stranger.give("a.json", json.dumps({**saved, key: value}).encode()) in (200, 422)


CHUNKED, MEBIBYTE = "Transfer-Encoding: chunked", b"100000\r\n" + bytes(1 << 20) + b"\r\n"
LIES: dict[str, tuple[str, list[bytes], float, tuple[int, ...]]] = {
    "less than announced": ("Content-Length: 5000", [b"x" * 5], 0, (408,)),
    "slow, but never silent": ("Content-Length: 5000", [b"x"] * 40, 0.1, (408,)),
    "a chunk of exabytes": (CHUNKED, [b"ffffffffffffffff\r\nx"], 0, (400, 408)),
    "no number of a chunk": (CHUNKED, [b"5\r\nxxxxx\r\n", b"zz\r\n"], 0.2, (400, 408)),
    "a chunk and its number differ": (CHUNKED, [b"5\r\n", b"xxxxxxxxx\r\n"], 0.2, (400, 408)),
    "too much is announced": (f"Content-Length: {MAX_UPLOAD_BYTES + 1}", [], 0, (413,)),
    "too much comes in chunks": (CHUNKED, [MEBIBYTE] * ((MAX_UPLOAD_BYTES >> 20) + 1), 0, (0, 413)),
    "a length of 30 digits": (f"Content-Length: {'9' * 30}", [], 0, (400,)),
    "a negative length": ("Content-Length: -1", [], 0, (400,)),
    "more than announced": ("Content-Length: 5", [b"x" * 5000], 0, (400, 422)),
    "two lengths": (f"{CHUNKED}\r\nContent-Length: 5", [b"0\r\n\r\n"], 0, (400,)),
}
PACKER = zlib.compressobj(9, wbits=31)
PACKED = b"".join(PACKER.compress(bytes(1 << 20)) for _ in range(100)) + PACKER.flush()  # 100 MB in 100 kB
for content, coding in itertools.product((PACKED, b"x" * 9), ("gzip", "deflate", "br", "zstd")):
    header = f"Content-Encoding: {coding}\r\nContent-Length: {len(content)}"
    LIES[f"{len(content)} bytes, {coding}"] = header, [content], 0, (0, 400, 413, 415, 422)


def test_bodies_that_lie_about_their_length(server: Server) -> None:
    async def lie(name: str) -> None:
        header, pieces, pause, expected = LIES[name]
        async with Stranger(server.url) as stranger:
            head = server.head(f"POST /s/{stranger.token}/upload?name=a.png", header)
            answer = await server.raw(head, *pieces, pause=pause)
            assert int(answer[9:12] or 0) in expected, (name, answer)
            await stranger.is_well()

    async def run(names: list[str]) -> None:
        await asyncio.gather(*map(lie, names))

    for some in (list(LIES)[:7], list(LIES)[7:14], list(LIES)[14:]):  # only some may arrive at once
        asyncio.run(run(some))
    server.check()


@by_a_stranger
async def test_script_in_names_comes_back_as_text_only(server: Server, stranger: Stranger) -> None:
    names = (f"{SCRIPT}.png", "<img src=x onerror=alert(1)>.png", "{{ constructor.constructor('alert(1)')() }}.png")
    names += ("a\r\nSet-Cookie: a=b\r\n\r\n<script>.png", "\u202egnp.exe\u2028\0.png", "javascript:alert(1).png")
    for name in names:
        address = f"{stranger.page}/upload"
        async with stranger.http.post(address, params={"name": name}, data=PHOTO, headers=stranger.origin) as answer:
            assert answer.status == 200 and answer.content_type == "text/plain" and not answer.cookies
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        await stranger.until("anchors", lambda anchors, name=name: anchors[-1]["label"] == tidy_name(name))
    await stranger.do("model", SCRIPT)
    assert stranger.state["models"] == ["small", SCRIPT] and stranger.state["model"] == SCRIPT
    saved = await stranger.saved() | {"expression": SCRIPT}
    origin = {"kind": "kept", "label": f"{SCRIPT}\r\n\x1b[2J"}
    saved["anchors"][0] = {"name": "A", "origin": origin, "latent": [0.0] * 200}
    assert await stranger.give("mine.json", json.dumps(saved).encode()) == 200
    await stranger.until("anchors", lambda anchors: anchors[0]["label"] == f"{SCRIPT} [2J")
    await stranger.do("walk", 0)
    await stranger.until("description", lambda words: SCRIPT in words)
    template = {key: value for key, value in stranger.state.items() if key.startswith("trame__")}
    assert "alert(1)" not in json.dumps(template)
    for kind in ("json", "stl", "png"):
        disposition = (await stranger.get(f"download/{kind}"))[2]["Content-Disposition"]
        assert re.fullmatch(r'attachment; filename="[A-Za-z0-9-]+\.\w+"', disposition)
    for path in ("", quote(SCRIPT), f"download/{quote(SCRIPT)}", f"download/stl?size={quote(SCRIPT)}"):
        _, content, headers = await stranger.get(path, Accept="text/html")
        assert b"<script>alert" not in content or headers["Content-Type"].startswith("text/plain")


# ---------------------------------------------------------------------------------------------------- who may ask
@by_a_stranger
async def test_other_origins_and_hosts_get_nothing(server: Server, stranger: Stranger) -> None:
    port, own = server.host.partition(":")[2], f"/s/{stranger.token}"
    hosts = f"evil.example evil.example:{port} localhost.evil.example 127.0.0.1.evil.example:{port} 0 0.0.0.0 10.0.0.1"
    hosts += " [::ffff:10.0.0.1] 127.0.0.1@evil.example evil.example#@127.0.0.1 2130706433"
    origins = f"null http://evil.example http://localhost:{port} https://evil.example:{port} http://[ file://"
    origins += f" http://{server.host}.evil.example http://evil@{server.host} ftp://{server.host}"
    more = ["Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {'A' * 22}==", "Content-Length: 0"]
    asked = (f"GET {own}/ws", f"POST {own}/upload?name=a.png", f"POST {own}/paraview/")
    for line, origin in itertools.product(asked, (None, "", *origins.split())):
        headers = [] if origin is None else [f"Origin: {origin}"]
        answer = await server.raw(server.head(line, *headers, *more, origin=False))
        assert answer[9:12] == b"403", (line, origin, answer)
    for line, host in itertools.product(
        (*asked, "GET /", f"GET {own}/", f"GET {own}/download/json"), ("", *hosts.split())
    ):
        for origin in (host, server.host):
            request = server.head(line, *more, f"Origin: http://{origin}", origin=False)
            answer = await server.raw(request.replace(f"Host: {server.host}", f"Host: {host}"))
            assert answer[9:12] in (b"400", b"403") and b"Location" not in answer, (line, host, answer)
    assert (await server.raw(server.head("GET /", "Host: evil.example")))[9:12] == b"400"
    for place in ("image", "script", "iframe", "object", "empty"):  # parts of other sites' pages
        request = server.head("GET /", f"Sec-Fetch-Dest: {place}", "Sec-Fetch-Mode: no-cors", origin=False)
        assert (await server.raw(request))[9:12] == b"403", place
    await stranger.is_well()


def packed(message: bytes, size: int | None = None, offset: int = 0) -> bytes:
    """Return a message as the websocket takes it."""
    return secrets.token_bytes(4) + struct.pack("<II", offset, len(message) if size is None else size) + message


async def is_let_in(stranger: Stranger, page: str, secret: Any) -> bool:
    async with stranger.http.ws_connect(f"{page}/ws", headers=stranger.origin) as socket:
        calls = [("system:c:1", "wslink.hello", [{"secret": secret}]), ("rpc:c:2", "trame.state.get", [])]
        for number, method, arguments in calls if secret != "silent" else ():
            await socket.send_bytes(packed(msgpack.packb({"id": number, "method": method, "args": arguments})))
        return (await asyncio.wait_for(socket.receive(), PATIENCE)).type is aiohttp.WSMsgType.BINARY


@by_a_stranger
async def test_nobody_is_another_visitor(server: Server, stranger: Stranger) -> None:
    async with Stranger(server.url) as other:
        assert await is_let_in(stranger, other.page, other.secret)  # the others fail for their secrets only
        secret = other.secret
        for wrong in (stranger.secret, "", None, 7, [secret], {"a": 1}, secret[:-1], secret + "a", "é", "silent"):
            assert not await is_let_in(stranger, other.page, wrong), wrong
        assert not await is_let_in(stranger, stranger.page, secret)
        for token in (other.token[:-1], other.token.upper(), other.token + "0", "0" * 32, "*", "é"):
            for path in ("", "ws", "alive", "download/json"):
                async with stranger.http.get(f"{server.url}s/{quote(token)}/{path}") as answer:
                    assert answer.status == 404, (token, path)
        await other.is_well()
    await stranger.is_well()


# -------------------------------------------------------------------------------------------------------- garbage
def garbage(rng: random.Random) -> Iterator[bytes]:
    yield from (b"", b"\0" * 12, packed(b"\1"), packed(b"x", 2**31), packed(b"x", 1, 2**31), packed(b"\x91" * 100_000))
    yield from (packed(start + b"\xff" * 9) for start in (b"\xdd", b"\xc6", b"\xdf", b"\xc9", b"\xd6\xff"))
    yield from (packed(bytes(300_000)), bytes(1 << 19), packed(b"x", 100_000), packed(b"", 0))
    call: dict[str, Any] = {"id": "rpc:1", "method": "trame.state.get"}
    calls: list[Any] = [7, [], {}, {"id": 1}, call | {"method": 7}, call | {"args": 7}, call | {"id": "x" * 200_000}]
    calls += [call | {"id": "system:1"}, {"id": "system:1", "method": "wslink.hello", "args": [[]]}]
    calls += [call | {"method": name} for name in ("__init__", "", "a" * 9999, "\x1b[2J", "application.exit")]
    yield from (packed(msgpack.packb(call)) for call in calls)
    for _ in range(NUM_MESSAGES):
        yield packed(rng.randbytes(rng.randrange(200))) if rng.random() < 0.5 else rng.randbytes(rng.randrange(300))


@by_a_stranger
async def test_garbage_on_the_websocket(server: Server, stranger: Stranger) -> None:
    async with Stranger(server.url) as other:
        for message in garbage(random.Random(9)):  # each closes the websocket, or leaves it as it was
            await stranger.socket.send_bytes(message)
            asked = asyncio.ensure_future(stranger.ask("no.such.method"))
            await asyncio.wait({asked, stranger._listening}, timeout=PATIENCE, return_when="FIRST_COMPLETED")
            assert asked.done() or stranger._listening.done(), message[:100]
            if stranger._listening.done():
                await asyncio.gather(asked, return_exceptions=True)
                await stranger.connect()
        await other.is_well()
    await stranger.is_well()


@by_a_stranger
async def test_garbage_in_place_of_http(server: Server, stranger: Stranger) -> None:
    rng, whole = random.Random(9), server.head("GET /").encode()
    for number in range(NUM_GUESSES):
        damaged = bytearray(whole if number % 2 else rng.randbytes(300))
        for _ in range(number % 5):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        await server.raw(bytes(damaged), b"\r\n\r\n", end=True)
    for odd in (b"\x16\x03\x01\x02\0\1\0", b"G\x1b[2JT / HTTP/1.1\r\n\r\n", whole[:-2] + b"X: \0\r\n\r\n"):
        assert (await server.raw(odd))[9:12] == b"400"
    await stranger.is_well()


SLIDERS = ("position", "level", "dimension_value", *(f"direction_{i}" for i in range(8)))
VALUES: tuple[Any, ...] = (math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 2**63, -(2**63), 2**53, -1, None)
VALUES += (True, "", "1", SCRIPT, "x" * 3000, "\0\n\x1b[2J", b"\xff\xfe", [], [[]], {"a": 1}, [math.nan] * 9, 0.5, 1, 7)


@by_a_stranger
async def test_every_slider_and_every_button_with_every_value(server: Server, stranger: Stranger) -> None:
    await stranger.call("trame.rca.size", "shape", "page", {"w": 40, "h": 30, "p": 1})
    for value in (*VALUES, msgpack.Timestamp(1)):
        moves = [{"key": key, "value": value} for key in SLIDERS]
        for some in [[move] for move in moves] if FULL else [moves]:
            assert await stranger.ask("trame.state.update", some) == ""
        await stranger.ask("trame.rca.size", "shape", "page", dict.fromkeys("whp", value))
        asked = [["complain", [value], {}], ["dismiss", [], {}]]  # the first shows what the page itself has said
        asked += [[name, [value] * len(action.kinds), {}] for name, action in ACTIONS.items() if name != "complain"]
        assert set(await asyncio.gather(*(stranger.ask("trame.trigger", *each) for each in asked))) == {""}
        assert "\n" not in stranger.state["alert"] and len(stranger.state["alert"]) < 1200, stranger.state["alert"]
    state = (await stranger.call("trame.state.get"))["state"]
    assert all(math.isfinite(state[key]) for key in SLIDERS) and len(state["anchors"]) <= 26
    assert 0.02 <= state["level"] <= 0.98 and 0 <= state["position"] <= state["last"]
    assert state["display"] == "mesh" and state["model"] in ("small", SCRIPT)


# ----------------------------------------------------------------------------------------------------------- many
def test_32_visitors_at_once(server: Server) -> None:
    """Each sees its own anchors and its own picture only, and the server answers others meanwhile."""

    async def look(number: int) -> bytes:
        async with Stranger(server.url) as stranger:
            await stranger.call("trame.rca.size", "shape", "page", {"w": 120, "h": 90, "p": 1})
            await stranger.do("pick", 1000 + number, "")
            for position in (1, 2, 2.5):
                await stranger.slide(position=position, level=0.3 + 0.01 * number)
            stranger.state["description"] = ""
            await stranger.slide(position=3.0)
            await stranger.until("description", lambda words: words != "")  # the picture at rest has come
            state = (await stranger.call("trame.state.get"))["state"]
            labels = [anchor["label"] for anchor in state["anchors"]]
            assert labels == ["random 0", "random 1", "random 2", f"random {1000 + number}"]
            assert state["level"] == 0.3 + 0.01 * number
            return stranger.pictures[-1]

    async def crowd() -> None:
        async def watch() -> None:
            while len(seen) < NUM_VISITORS:  # not cancelled: a request that is broken off leaves its connection open
                began = time.monotonic()
                assert (await server.raw(server.head("HEAD /"))).startswith(b"HTTP/1.1 200")
                waited.append(time.monotonic() - began)
                await asyncio.sleep(0.05)

        async def visit(number: int) -> bytes:
            try:
                return await look(number)
            finally:
                seen.append(number)

        waited: list[float] = []
        seen: list[int] = []
        pictures, _ = await asyncio.gather(asyncio.gather(*(visit(number) for number in range(NUM_VISITORS))), watch())
        assert max(waited) < PATIENCE
        assert len(set(pictures)) == NUM_VISITORS
        assert await look(7) == pictures[7]  # alone as in a crowd

    asyncio.run(crowd())
    server.check()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_does_not_grow(server: Server) -> None:
    """What is resident after a warm-up by the same requests, and after them, when free memory has gone back."""
    wishes: list[Callable[[Stranger, int], Awaitable[Any]]] = [
        lambda stranger, i: stranger.get(""),
        lambda stranger, i: stranger.get("../../assets/voxgan/voxgan.js"),
        lambda stranger, i: stranger.get(f"nothing/{i}"),
        lambda stranger, i: stranger.get("download/json"),
        lambda stranger, i: stranger.get("download/stl"),
        lambda stranger, i: stranger.give(f"{i}.exe", b"x"),
        lambda stranger, i: stranger.give(f"{i}.json", b"{}"),
        lambda stranger, i: stranger.slide(position=i % 20 / 10),
        lambda stranger, i: stranger.do("look", 10, 0, 1, 0, 0),
        lambda stranger, i: server.raw(server.head("GET /")),  # a visitor who never comes back
    ]

    async def come_and_go(visits: int, requests: int) -> None:
        for visit in range(visits):
            async with Stranger(server.url) as stranger:
                for number in range(visit, requests, visits):
                    await wishes[number % len(wishes)](stranger, number)

    def taken() -> tuple[int, int]:
        return server.memory(), len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

    asyncio.run(come_and_go(NUM_VISITS, NUM_REQUESTS))
    memory, files = taken()
    asyncio.run(come_and_go(NUM_VISITS, NUM_REQUESTS))
    now = taken()
    assert now[0] < 1.05 * memory and now[1] <= files + 3
    server.check()


async def freeze(stranger: Stranger) -> asyncio.Transport:
    """Let a page take nothing more of what it is sent, as on a machine that was put to sleep."""
    await stranger.call("trame.rca.size", "shape", "page", {"w": 1200, "h": 900, "p": 1})
    transport: asyncio.Transport = stranger.socket._response.connection.transport
    transport.pause_reading()
    look = {"id": "rpc:c:0", "method": "trame.trigger", "args": ["look", [5, 0, 1, 0, 0], {}]}
    for _ in range(40):
        await stranger.send(msgpack.packb(look))
    return transport


def test_the_end_amid_a_siege(server: Server) -> None:
    """Silent connections until no file can be opened, pages that take nothing, then Ctrl-C; so it is the last test."""

    async def besiege() -> None:
        host, _, port = server.host.partition(":")
        async with Stranger(server.url) as stranger, Stranger(server.url) as one, Stranger(server.url) as other:
            silent = [(await asyncio.open_connection(host, int(port)))[1] for _ in range(NUM_SILENT)]
            held = [writer.transport for writer in silent]
            try:
                for writer in silent[::2]:
                    writer.write(b"GET / HTTP/1.1\r\nHost: 127")
                await asyncio.wait_for(stranger.slide(position=0.5), PATIENCE)
                await asyncio.sleep(2)
                await stranger.is_well()  # who said nothing has been sent away
                held += [await freeze(one), await freeze(other)]
                await asyncio.sleep(1.5)  # until all that lies between is full
                await asyncio.wait_for(stranger.slide(position=0.5), PATIENCE)
                assert await is_let_in(stranger, one.page, one.secret)  # it may come back in another tab
                await asyncio.to_thread(server.check)
                held.append(await freeze(stranger))
                await asyncio.sleep(1.5)
                await asyncio.to_thread(server.end)
            finally:
                for transport in held:
                    transport.abort()

    asyncio.run(besiege())
