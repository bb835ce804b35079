"""The page without a browser: what visitors may ask, what strangers may not, what is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import math
import re
import socket
import struct
import subprocess
import sys
import urllib.request
import weakref
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import numpy as np
import pytest
from PIL import Image
from speaking import RefusedError, Speaker

from voxgan.errors import UsageError
from voxgan.models.model import Model

pytest.importorskip("trame_pyvista", reason="the extra `viewer` is not installed")

if TYPE_CHECKING:
    from viewer.web import Running


def visit(server: Running, what: Callable[[Speaker], Awaitable[None]]) -> None:
    """Do something as a new visitor."""

    async def run() -> None:
        async with Speaker(server.url) as speaker:
            await what(speaker)

    asyncio.run(run())


def png(size: tuple[int, int] = (64, 64)) -> bytes:
    file = io.BytesIO()
    pixels = np.full((*size, 3), 255, np.uint8)
    pixels[10:50, 20:40] = (120, 60, 20)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_visitor_sees_the_session_and_pictures_of_it(page_server: Running) -> None:
    async def look(speaker: Speaker) -> None:
        assert [anchor["name"] for anchor in speaker.state["anchors"]] == ["A", "B", "C"]
        assert speaker.state["models"] == ["small", "plain"]
        await speaker.call("trame.rca.size", "shape", "page", {"w": 200, "h": 150, "p": 1})
        await speaker.slide(position=0.5)
        with Image.open(io.BytesIO(speaker.pictures[-1])) as picture:
            assert picture.size == (200, 150)
        await speaker.until("place", "A → B, 50 %")
        await speaker.until("description", lambda words: "A → B, 50 %" in words)
        await speaker.until("anchors", lambda all_: all(a["picture"].startswith("data:image/jpeg") for a in all_))

    visit(page_server, look)


FORGED: list[tuple[str, list[Any]]] = [
    ("trame.state.update", [[{"key": "level", "value": 1e9}]]),
    ("trame.state.update", [[{"key": "level", "value": math.nan}]]),
    ("trame.state.update", [[{"key": "level", "value": "high"}]]),
    ("trame.state.update", [[{"key": "level", "value": True}]]),
    ("trame.state.update", [[{"key": "level", "value": None}]]),
    ("trame.state.update", [[{"key": "position", "value": [1]}]]),
    ("trame.state.update", [[{"key": "position", "value": 99}]]),
    ("trame.state.update", [[{"key": "direction_7", "value": math.inf}]]),
    ("trame.state.update", [[{"key": "dimension_value", "value": -7}]]),
    ("trame.trigger", ["walk", [-1], {}]),
    ("trame.trigger", ["remove", ["Q"], {}]),
    ("trame.trigger", ["remove", [7], {}]),
    ("trame.trigger", ["move", ["A", 1e300], {}]),
    ("trame.trigger", ["calculate", ["A" * 5000], {}]),
    ("trame.trigger", ["display", ["<script>"], {}]),
    ("trame.trigger", ["clean", ["yes"], {}]),
    ("trame.trigger", ["model", ["../../etc/passwd"], {}]),
    ("trame.trigger", ["dimension", [200], {}]),
    ("trame.trigger", ["dimension", [[1]], {}]),
    ("trame.trigger", ["pick", [2**63, ""], {}]),
    ("trame.trigger", ["pick", [1, "chair"], {}]),
    ("trame.trigger", ["gallery", [-1, ""], {}]),
    ("trame.trigger", ["gallery", [0, "chair"], {}]),
    ("trame.trigger", ["add_class", ["chair"], {}]),
    ("trame.trigger", ["look", [math.nan, 0, 1, 0, 0], {}]),
    ("trame.trigger", ["undo", [1], {}]),
]
UNKNOWN: list[tuple[str, list[Any]]] = [
    ("trame.state.update", [[{"key": "anchors", "value": []}]]),
    ("trame.state.update", [[{"key": "trame__template_main", "value": "<b>mine</b>"}]]),
    ("trame.state.update", [[{"key": ["level"], "value": 1}]]),
    ("trame.state.update", [["level"]]),
    ("trame.state.update", []),
    ("trame.state.update", [3]),
    ("trame.trigger", ["__init__", [], {}]),
    ("trame.trigger", [["undo"], [], {}]),
    ("trame.trigger", ["undo"]),
    ("trame.force.push", ["anchors"]),
    ("trame.rca.push", ["shape", {}, b""]),
    ("trame.rca.size", ["shape", "page", {"w": "wide", "h": 1, "p": 1}]),
    ("trame.rca.size", ["shape", "page", {}]),
    ("application.exit", []),
    ("no.such.method", []),
]


@pytest.mark.parametrize(("method", "arguments"), FORGED)
def test_forged_values_give_one_line_on_the_page(page_server: Running, method: str, arguments: list[Any]) -> None:
    async def forge(speaker: Speaker) -> None:
        before = {key: speaker.state[key] for key in ("level", "position", "display", "model", "can_undo")}
        await speaker.call(method, *arguments)
        await speaker.until("alert", lambda line: line != "")
        line = speaker.state["alert"]
        assert len(line) < 300 and "\n" not in line and "Error" not in line and "Traceback" not in line
        assert {key: speaker.state[key] for key in before} == before
        await speaker.do("keep")
        await speaker.until("anchors", lambda anchors: len(anchors) == 4)
        assert speaker.state["alert"] == ""

    visit(page_server, forge)


def test_what_no_page_asks_is_refused_in_one_line(page_server: Running) -> None:
    async def ask(speaker: Speaker) -> None:
        before = dict(speaker.state)
        for method, arguments in UNKNOWN:
            with pytest.raises(RefusedError) as refused:
                await speaker.call(method, *arguments)
            assert "Traceback" not in str(refused.value) and "trace" not in str(refused.value)
            assert len(str(refused.value)) < 200
        assert {key: speaker.state[key] for key in ("anchors", "level")} == {
            key: before[key] for key in ("anchors", "level")
        }
        await speaker.slide(position=0.0)
        assert (await speaker.call("trame.state.get"))["state"]["position"] == 0

    visit(page_server, ask)


BROKEN_MESSAGES = (
    b"",
    b"\xc1" * 50,
    b"\xff" * 12,
    struct.pack("<III", 1, 0, 2**31) + b"x",
    struct.pack("<III", 1, 0, 3) + b"\xc1\xc1\xc1",
    struct.pack("<III", 1, 0, 1) + b"\x01",
    struct.pack("<III", 1, 0, 300) + b"\x91" * 300,
)


@pytest.mark.parametrize("message", BROKEN_MESSAGES)
def test_broken_messages_close_that_websocket_only(page_server: Running, message: bytes) -> None:
    async def send(speaker: Speaker) -> None:
        async with Speaker(page_server.url) as other:
            await speaker.socket.send_bytes(message)
            await asyncio.wait_for(speaker._listening, 20)
            assert speaker.socket.closed
            await other.slide(level=0.4)
            await speaker.connect()
            assert speaker.state["level"] == 0.5 and len(speaker.state["anchors"]) == 3

    visit(page_server, send)


def test_without_the_secret_nothing_is_told(page_server: Running) -> None:
    async def guess(speaker: Speaker) -> None:
        for secret in ("wslink-secret", "", None, 7, speaker.secret[:-1]):
            speaker.socket = await speaker.http.ws_connect(f"{speaker.page}/ws", headers=speaker.origin)
            listening = asyncio.create_task(speaker._listen())
            with pytest.raises(ConnectionError):
                await speaker.call("wslink.hello", {"secret": secret}, system=True)
            await listening
        speaker.socket = await speaker.http.ws_connect(f"{speaker.page}/ws", headers=speaker.origin)
        listening = asyncio.create_task(speaker._listen())
        with pytest.raises(ConnectionError):
            await speaker.call("trame.state.get")
        await listening

    visit(page_server, guess)


async def _raw(url: str, request: str) -> tuple[int, str]:
    """Send a request as it stands; return the status and all that came."""
    host, _, port = url.removeprefix("http://").strip("/").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.replace("\n", "\r\n").encode())
    answer = (await asyncio.wait_for(reader.read(), 20)).decode("latin-1")
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return int(answer.split()[1]), answer


def test_other_hosts_and_origins_are_refused(page_server: Running) -> None:
    async def forge(speaker: Speaker) -> None:
        own = speaker.host
        for host in ("evil.example", f"evil.example:{own.partition(':')[2]}", "localhost.evil.example", "10.0.0.1", ""):
            status, answer = await _raw(speaker.url, f"GET / HTTP/1.1\nHost: {host}\nConnection: close\n\n")
            assert status in (400, 403) and "Location" not in answer
        for host in (own, "localhost:1", "127.0.0.1", "[::1]:9000"):
            status, _ = await _raw(speaker.url, f"HEAD / HTTP/1.1\nHost: {host}\nConnection: close\n\n")
            assert status == 200
        for origin in ("http://evil.example", "null", f"http://localhost:{own.partition(':')[2]}", f"ftp://{own}", ""):
            headers = {"Origin": origin} if origin else {}
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await speaker.http.ws_connect(f"{speaker.page}/ws", headers=headers)
            assert refused.value.status == 403
            for path in ("upload?name=a.png", "paraview/"):
                async with speaker.http.post(f"{speaker.page}/{path}", data=png(), headers=headers) as answer:
                    assert answer.status == 403
        assert len((await speaker.call("trame.state.get"))["state"]["anchors"]) == 3

    visit(page_server, forge)


def test_every_answer_carries_the_headers(page_server: Running) -> None:
    async def look(speaker: Speaker) -> None:
        for path in ("", "alive", "download/stl", "nothing"):
            _, _, headers = await speaker.get(path)
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and f"ws://{speaker.host}" in policy
            assert "http:" not in policy.partition("frame-ancestors")[0]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert not [name for name in headers if name.lower().startswith("access-control")]

    visit(page_server, look)


def test_no_path_leads_out_of_the_assets(page_server: Running) -> None:
    async def climb(speaker: Speaker) -> None:
        for path in (
            "/assets/../../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/voxgan/..%2fpage.py",
            "/assets//etc/passwd", "/assets/voxgan/page.html/../../server.py", "/etc/passwd", "/assets/voxgan/%00",
            "/s/../etc/passwd", f"/s/{speaker.token}/download/../../../etc/passwd", "/assets/", "/s/",
            f"/s/{speaker.token}/download/..%2f..%2fetc%2fpasswd", "/assets/C:%5cwindows", "//etc/passwd",
        ):  # fmt: skip
            status, answer = await _raw(
                speaker.url, f"GET {path} HTTP/1.1\nHost: {speaker.host}\nConnection: close\n\n"
            )
            assert status in (400, 404, 422) and "root:" not in answer and "import" not in answer
        status, content, headers = await speaker.get("../../assets/voxgan/voxgan.js", **{"Accept-Encoding": "gzip"})
        assert status == 200 and b"use strict" in content and headers["Content-Type"].startswith("text/javascript")

    visit(page_server, climb)


def test_photos_become_anchors_whatever_their_names(page_server: Running) -> None:
    async def give(speaker: Speaker) -> None:
        for name in ("../../<script>alert(1)</script>.png", "CON.png", "a\r\nSet-Cookie: x.png", "漢字 é.PNG"):
            count = len(speaker.state["anchors"])
            status, answer = await speaker.upload(name, png())
            assert status == 200, answer
            await speaker.until("anchors", lambda anchors, count=count: len(anchors) == count + 1)
            anchor = speaker.state["anchors"][-1]
            assert anchor["kind"] == "photo" and anchor["photo"].startswith("data:image/jpeg;base64,")
            assert "/" not in anchor["label"] and "\n" not in anchor["label"]
        assert speaker.state["work"] is None

    visit(page_server, give)


@pytest.mark.parametrize("name", ["a.png", "a.obj", "a.stl", "a.npz", "a.json", "a.exe", "a", "", "a.png\0.exe"])
def test_bad_files_are_answered_in_words(page_server: Running, name: str) -> None:
    async def give(speaker: Speaker) -> None:
        status, answer = await speaker.upload(name, b"\0nothing of the kind\xff" * 10)
        assert status == 422 and len(answer) < 300 and "\n" not in answer.strip() and "Traceback" not in answer
        assert "/tmp" not in answer
        await speaker.until("alert", answer)
        assert len(speaker.state["anchors"]) == 3 and speaker.state["work"] is None

    visit(page_server, give)


def test_too_large_a_file_is_cut_off_before_it_has_come(page_server: Running) -> None:
    from viewer.reading import MAX_UPLOAD_BYTES

    async def give(speaker: Speaker) -> None:
        told = (
            f"POST /s/{speaker.token}/upload?name=a.png HTTP/1.1\nHost: {speaker.host}\nOrigin: http://{speaker.host}\n"
        )
        status, answer = await _raw(speaker.url, f"{told}Content-Length: {MAX_UPLOAD_BYTES + 1}\n\n")
        assert status == 413 and "make it smaller" in answer
        host, _, port = speaker.host.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write((told + "Transfer-Encoding: chunked\n\n").replace("\n", "\r\n").encode())
        answered, sent = asyncio.create_task(reader.readline()), 0
        while not answered.done() and sent < 4 * MAX_UPLOAD_BYTES:
            writer.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
            await asyncio.wait([answered, asyncio.create_task(writer.drain())], return_when=asyncio.FIRST_COMPLETED)
            sent += 1 << 20
        assert b" 413 " in await answered and MAX_UPLOAD_BYTES < sent < 2 * MAX_UPLOAD_BYTES
        writer.transport.abort()
        await speaker.until("alert", lambda line: "make it smaller" in line)

    visit(page_server, give)


def test_one_upload_at_a_time(page_server: Running) -> None:
    async def give(speaker: Speaker) -> None:
        answers = await asyncio.gather(*(speaker.upload(f"{i}.png", png()) for i in range(4)))
        assert sorted(status for status, _ in answers) == [200, 422, 422, 422]
        assert all("not done yet" in line for status, line in answers if status == 422)

    visit(page_server, give)


def test_downloads(page_server: Running) -> None:
    async def fetch(speaker: Speaker) -> None:
        await speaker.do("calculate", "A - B + C")
        for kind, start in (("stl", b""), ("glb", b"glTF"), ("png", b"\x89PNG"), ("gif", b"GIF8"), ("npz", b"PK")):
            status, content, headers = await speaker.get(f"download/{kind}")
            assert status == 200 and content.startswith(start) and len(content) > 100
            name = re.fullmatch(r'attachment; filename="([A-Za-z0-9.-]+)"', headers["Content-Disposition"])
            assert name is not None and name[1] == f"small-sum.{kind}"
        for path in ("download/exe", "download/stl?size=-1", "download/stl?size=nan", "download/stl?size=x"):
            status, content, _ = await speaker.get(path)
            assert status == 422 and (b"expected" in content or b"known" in content)
        status, content, _ = await speaker.get("download/json")
        saved = json.loads(content)
        assert saved["expression"] == "A - B + C" and saved["model"]["name"] == "small"
        await speaker.slide(level=0.98)
        status, content, _ = await speaker.get("download/stl")
        assert status == 200 or b"level" in content

    visit(page_server, fetch)


def test_files_are_named_after_what_is_shown(page_server: Running) -> None:
    async def fetch(speaker: Speaker) -> None:
        for position, name in ((0, "small-A"), (0.55, "small-A-B-55"), (1.04, "small-B-C-4")):
            await speaker.do("walk", position)
            _, _, headers = await speaker.get("download/npz")
            assert headers["Content-Disposition"] == f'attachment; filename="{name}.npz"'

    visit(page_server, fetch)


def test_a_download_that_works_takes_the_message_away(page_server: Running) -> None:
    async def fetch(speaker: Speaker) -> None:
        await speaker.get("download/npz")
        assert (await speaker.get("download/stl?size=0"))[0] == 422
        await speaker.until("alert", lambda line: "0 mm" in line)
        assert (await speaker.get("download/npz"))[0] == 200
        await speaker.until("alert", "")

    visit(page_server, fetch)


@pytest.mark.parametrize("typed", [999, -3, 1.5, "", None, math.nan])
def test_the_field_of_a_number_goes_back_to_the_one_in_force(page_server: Running, typed: Any) -> None:
    async def choose(speaker: Speaker) -> None:
        await speaker.do("dimension", 17)
        await speaker.until("dimension_index", 17)
        speaker.state["dimension_text"] = typed
        await speaker.do("dimension", typed)
        await speaker.until("dimension_text", 17)
        await speaker.until("alert", lambda line: "expected" in line)
        assert speaker.state["dimension_index"] == 17

    visit(page_server, choose)


@pytest.mark.parametrize("expression", ["__import__('os')", "9999999*A", "A +", "A + Q"])
def test_a_sum_that_is_refused_is_said_beside_the_field_only(page_server: Running, expression: str) -> None:
    async def calculate(speaker: Speaker) -> None:
        await speaker.do("calculate", expression)
        await speaker.until("expression_error", lambda line: line != "")
        line = speaker.state["expression_error"]
        assert len(line) < 300 and "\n" not in line and "Traceback" not in line
        assert speaker.state["alert"] == "" and speaker.state["mode"] == "path"
        await speaker.do("calculate", "A - B")
        await speaker.until("expression_error", "")
        await speaker.until("mode", "expression")

    visit(page_server, calculate)


def test_another_model_says_that_the_one_before_is_kept(page_server: Running) -> None:
    async def switch(speaker: Speaker) -> None:
        await speaker.do("keep")
        await speaker.do("model", "plain")
        await speaker.until("notice", "small is kept as it is; choose it again to go on")
        await speaker.until("announcement", "Model plain. small is kept as it is; choose it again to go on")
        await speaker.do("keep")
        await speaker.until("notice", "")
        await speaker.do("model", "small")
        await speaker.until("model", "small")
        assert len(speaker.state["anchors"]) == 4
        await speaker.until("notice", lambda line: line.startswith("plain is kept"))

    visit(page_server, switch)


def test_a_session_of_another_model_opens_that_model(page_server: Running) -> None:
    async def go_on(speaker: Speaker) -> None:
        await speaker.do("model", "plain")
        await speaker.do("display", "voxels")
        _, content, _ = await speaker.get("download/json")
        await speaker.do("model", "small")
        assert speaker.state["model"] == "small" and speaker.state["display"] == "mesh"
        assert (await speaker.upload("mine.json", content))[0] == 200
        await speaker.until("model", "plain")
        assert speaker.state["display"] == "voxels"
        foreign = json.loads(content)
        foreign["model"]["name"] = "elsewhere"
        status, answer = await speaker.upload("mine.json", json.dumps(foreign).encode())
        assert status == 422 and "open that model first" in answer and speaker.state["model"] == "plain"

    visit(page_server, go_on)


def test_a_mesh_is_fitted_and_can_be_given_up(
    page_server: Running, monkeypatch: pytest.MonkeyPatch, models: dict[str, Model]
) -> None:
    from viewer.session import Session

    def fit(session: Session, occupancy: Any, report: Any = None) -> tuple[Any, float]:
        assert occupancy.shape == (16, 16, 16) and occupancy.any()
        for step in range(2000 if slow else 3):
            report(step, 2000)
        return session.model.sample_latents(1, 5)[0].numpy(), 0.75

    monkeypatch.setattr(Session, "fit", fit)
    tetrahedron = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    slow = False

    async def give(speaker: Speaker) -> None:
        nonlocal slow
        status, answer = await speaker.upload("tip.obj", tetrahedron, up="y")
        assert status == 200 and "tip.obj" in answer
        await speaker.until("anchors", lambda anchors: len(anchors) == 4 and anchors[3]["label"] == "tip.obj")
        await speaker.until("work", None)
        slow = True
        await speaker.upload("tip.obj", tetrahedron)
        await speaker.do("cancel")
        await speaker.until("work", None)
        assert len(speaker.state["anchors"]) in (4, 5)
        status, answer = await speaker.upload("tip.obj", tetrahedron, up="up")
        assert status == 422 and "expected one of" in answer

    visit(page_server, give)


def test_visitors_are_capped_and_forgotten(models: dict[str, Model]) -> None:
    from viewer.web.server import Front
    from viewer.web.shared import Shared

    async def run() -> None:
        front = Front(Shared(models, 0), port=0, most_visitors=2, idle_seconds=0.0)
        await front.start()
        try:
            async with Speaker(front.url) as first, Speaker(front.url) as second:
                async with first.http.get(front.url) as answer:
                    assert answer.status == 503 and "come back" in await answer.text()
                assert len(front.visitors) == 2
                await second.leave()
                gone = weakref.ref(front.visitors[second.token])
                async with first.http.get(front.url, allow_redirects=False) as answer:
                    assert answer.status == 303
                for _ in range(20):
                    async with first.http.get(front.url, allow_redirects=False) as answer:
                        assert answer.status == 303
                assert len(front.visitors) <= 4
                while second.token in front.visitors:
                    await front._forget(front.visitors[second.token])
                status, content, _ = await second.get("", Accept="text/html")
                assert status == 404 and b"Begin a new session" in content
                await asyncio.sleep(0)
            gc.collect()
            assert gone() is None, [str(one)[:300] for one in gc.get_referrers(gone())]
        finally:
            await front.stop()

    asyncio.run(run())


def test_the_port_is_taken(page_server: Running, models: dict[str, Model]) -> None:
    from viewer.web import start_in_background

    port = int(page_server.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(UsageError, match=f"port {port} is taken"):
        start_in_background(models, port=port)
    with pytest.raises(UsageError, match="port 70000"):
        start_in_background(models, port=70000)
    with pytest.raises(UsageError, match=r"cannot listen on 203\.0\.113\.7"):
        start_in_background(models, host="203.0.113.7")


def test_it_stops(models: dict[str, Model]) -> None:
    from viewer.web import start_in_background

    running = start_in_background(models)
    with urllib.request.urlopen(running.url) as answer:
        assert b"<title>voxgan</title>" in answer.read()
    running.stop()
    running.stop()
    with socket.socket() as probe, pytest.raises(OSError):
        probe.connect(("127.0.0.1", int(running.url.rstrip("/").rpartition(":")[2])))


SERVING = """
import sys, threading, os, signal
from viewer.web import serve
from voxgan.models.gan3d import GAN3D, Config
serve({"tiny": GAN3D(Config(resolution=16, width=4))}, port=0, open_browser=False, host=sys.argv[1])
print("ended")
"""


@pytest.mark.usefixtures("page_server")
@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_serving_prints_its_address_and_ends_with_control_c(host: str, warned: bool) -> None:
    import signal

    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVING, host], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert address is not None
        with urllib.request.urlopen(address[0]) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and out == "ended\n" and "Traceback" not in err
    assert ("without a password" in err) == warned
