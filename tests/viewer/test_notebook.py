from __future__ import annotations

import base64
import http.server
import io
import re
import shutil
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from viewer import notebook
from voxgan import graphics
from voxgan.errors import UsageError
from voxgan.models.gan3d import GAN3D, Config
from voxgan.voxels import Shapes

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CELLS = {
    "shapes": """
import numpy as np, torch, voxgan
from voxgan.models.gan3d import GAN3D, Config
torch.manual_seed(0)
model = GAN3D(Config(resolution=16, width=4, latent=8)).eval()
grids = np.zeros((3, 16, 16, 16), np.float32)
grids[0, 2:14, 2:14, 2:5] = 1
grids[0, 10:14, 10:14, 2:14] = 1
grids[1, 7:9, 7:9, 2:14] = 1
shapes = voxgan.Shapes(grids)
shapes""",
    "show": "shapes.show()",
    "view": "import viewer.notebook\nviewer.notebook.NUM_SAMPLES = 1\nvoxgan.view(model)",
}


def shapes() -> Shapes:
    grids = np.zeros((3, 16, 16, 16), np.float32)
    grids[0, 2:14, 2:14, 2:5] = 1
    grids[0, 10:14, 10:14, 2:14] = 1
    grids[1, 7:9, 7:9, 2:14] = 1
    return Shapes(grids)


def picture(png: str | bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(png) if isinstance(png, str) else png)) as image:
        return np.asarray(image.convert("RGB"))


def drawn(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return (np.abs(image.astype(int) - (250, 250, 251)) > 60).any(2)


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """In a notebook, as far as can be told; what it shows is listed."""
    ipython = pytest.importorskip("IPython.display", reason="IPython is not installed")
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(ipython, "display", lambda bundle, raw: shown.append(bundle))
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    return shown


def small_model() -> GAN3D:
    torch.manual_seed(0)
    return GAN3D(Config(resolution=16, width=4, latent=8)).eval()


# ------------------------------------------------------------------------------------------------ where this runs
@pytest.mark.parametrize(
    ("shell", "inside"), [(None, False), (types.SimpleNamespace(), False), (types.SimpleNamespace(kernel=1), True)]
)
def test_what_is_a_notebook(monkeypatch: pytest.MonkeyPatch, shell: Any, inside: bool) -> None:
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert notebook.in_notebook() == inside


def test_outside_of_a_notebook_view_opens_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    window = types.SimpleNamespace(view=lambda *arguments, **options: calls.append((arguments, options)))
    monkeypatch.setitem(sys.modules, "viewer.desktop", window)
    monkeypatch.setattr(graphics, "check_graphics", lambda: None)
    monkeypatch.setattr(notebook, "in_notebook", lambda: False)
    notebook.view("chairs-gan3d", seed=3, files=["a.obj"])
    assert calls == [(("chairs-gan3d",), {"seed": 3, "files": ["a.obj"]})]


def test_without_opengl_view_says_so_before_it_imports_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "in_notebook", lambda: False)
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "viewer.desktop", None)
    with pytest.raises(UsageError, match="needs the package pyvista"):
        notebook.view()


# ------------------------------------------------------------------------------------------------ shapes
def test_show_gives_a_picture_and_a_scene(displayed: list[dict[str, str]]) -> None:
    shapes().show(columns=3)
    (bundle,) = displayed
    assert bundle["text/plain"] == "Shapes(3 shapes, 16³)"
    assert drawn(picture(bundle["image/png"])).any()
    markup = bundle["text/html"]
    assert bundle["image/png"] in markup and markup.index("<img") < markup.index("<iframe srcdoc=")
    assert 'sandbox="allow-scripts"' in markup and "{{" not in markup
    assert not re.findall(r"https?://", markup), "nothing is fetched"


def test_many_shapes_are_cut_short(displayed: list[dict[str, str]]) -> None:
    Shapes(np.zeros((40, 4, 4, 4))).show()
    assert displayed[0]["text/plain"] == "36 of Shapes(40 shapes, 4³)"


@pytest.mark.parametrize(("count", "side"), [(1, 128), (5, 64)])
def test_fine_grids_are_made_coarser(
    displayed: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch, count: int, side: int
) -> None:
    monkeypatch.setattr(notebook, "group", lambda *_: np.zeros((4, 4, 3), np.uint8))
    Shapes(np.zeros((count, 160, 160, 160), np.float32)).show()
    assert f"&quot;resolution&quot;: {side}," in displayed[0]["text/html"]
    assert displayed[0]["text/plain"].endswith("160³)")


@pytest.mark.parametrize(("options", "words"), [({"columns": 0}, "columns=0"), ({"level": 2.0}, "level=2.0")])
def test_wrong_options_show_nothing(displayed: list[dict[str, str]], options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        shapes().show(**options)
    with pytest.raises(UsageError, match="no shapes"):
        shapes()[:0].show()
    assert not displayed


def test_a_name_cannot_end_the_script() -> None:
    page = notebook.scene_html(shapes(), "</script><b>")
    assert page.count("</script>") == 2 and "<b>" not in page


# ------------------------------------------------------------------------------------------------ the latent space
def test_without_opengl_view_shows_samples_and_says_why(
    displayed: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphics.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(graphics, "_probe", lambda: "a trial picture ended with signal 11")
    monkeypatch.setattr(notebook, "NUM_SAMPLES", 2)
    monkeypatch.setattr(notebook, "group", lambda *_: np.zeros((4, 4, 3), np.uint8))
    with pytest.warns(UserWarning, match=r"^samples only, no page to walk on: .*signal 11.*apt-get") as caught:
        notebook.view(small_model())
    assert caught[0].filename == __file__
    assert displayed[0]["text/plain"] == "gan3d, 2 samples"
    assert "image/png" in displayed[0] and "<iframe" not in displayed[0]["text/html"]


def test_pages_are_kept_and_ended(displayed: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    def start(models: dict[str, Any], seed: int) -> Any:
        address = f"http://127.0.0.1:{1000 + len(displayed)}/"
        events.append(f"start {address} {list(models)} {seed}")
        return types.SimpleNamespace(url=address, stop=lambda: events.append(f"stop {address}"))

    monkeypatch.setitem(sys.modules, "viewer.web", types.SimpleNamespace(start_in_background=start))
    monkeypatch.setattr(notebook, "_pages", {})
    monkeypatch.setattr(notebook, "group", lambda *_: np.zeros((4, 4, 3), np.uint8))
    models = [small_model() for _ in range(6)]
    notebook.view(models[0])
    notebook.view(models[0])
    assert len(events) == 1, "the same model, the same page"
    assert all("http://127.0.0.1:1000/" in bundle["text/html"] for bundle in displayed)
    notebook.view(models[0], seed=5)
    assert events[1:] == ["start http://127.0.0.1:1002/ ['gan3d'] 5"]
    for model in models[1:4]:
        notebook.view(model)
    assert [event for event in events if "stop" in event] == ["stop http://127.0.0.1:1000/"], "the oldest of five"
    monkeypatch.setattr("voxgan.checkpoint.load", lambda name: small_model())
    events.clear()
    notebook.view("runs/mine")
    notebook.view("runs/mine")
    assert [event.split()[0] for event in events] == ["stop", "start", "stop", "start"], "loaded again"
    with pytest.raises(UsageError, match="drop them onto the page"):
        notebook.view(models[0], files=["a.obj"])


# ------------------------------------------------------------------------------------------------ a real notebook
class Executed:
    """A notebook that has run, its kernel still alive; `html` and `png` by the cell's name."""

    def __init__(self, folder: Path) -> None:
        nbformat = pytest.importorskip("nbformat", reason="nbclient is not installed")
        nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
        pytest.importorskip("ipykernel", reason="ipykernel is not installed")
        cells = [nbformat.v4.new_code_cell(source.strip()) for source in CELLS.values()]
        content = nbformat.v4.new_notebook(cells=cells)
        self._client = nbclient.NotebookClient(
            content, timeout=120, resources={"metadata": {"path": str(folder)}}, extra_arguments=["--log-level=40"]
        )
        self._context = self._client.setup_kernel()
        self._context.__enter__()
        for number, cell in enumerate(content.cells):
            self._client.execute_cell(cell, number)
        self.outputs = dict(zip(CELLS, (cell.outputs for cell in content.cells), strict=True))

    def data(self, name: str) -> dict[str, str]:
        (output,) = self.outputs[name]
        return dict(output["data"])

    def end(self) -> None:
        """End the kernel; a second time nothing happens."""
        context, self._context = self._context, None
        if context is not None:
            context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executed]:
    done = Executed(tmp_path_factory.mktemp("notebook"))
    yield done
    done.end()


@pytest.fixture
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here")
    webgl = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    flags = getattr(request, "param", webgl)
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *flags])
        page = chromium.new_page(viewport={"width": 1000, "height": 800})
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))
        yield page
        chromium.close()


def open_output(page: Any, markup: str) -> Any:
    """Open a cell's output on a page of a server on this machine, as Jupyter does."""
    whole = f"<!doctype html><meta charset=utf-8><link rel=icon href=data:,><body>{markup}</body>".encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(whole)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{server.server_port}/", wait_until="domcontentloaded")
        server.shutdown()
    del page.asked[0]
    return page.locator("body > div")


def test_values_and_shows_bring_pictures(executed: Executed) -> None:
    value = executed.data("shapes")
    assert set(value) == {"text/plain", "image/png"} and picture(value["image/png"]).shape == (128, 384, 3)
    shown = executed.data("show")
    assert set(shown) == {"text/plain", "image/png", "text/html"}
    assert len(shown["text/html"]) - len(shown["image/png"]) < 60_000


def test_the_scene_begins_as_the_picture_and_turns(executed: Executed, browser: Any) -> None:
    place = open_output(browser, executed.data("show")["text/html"])
    inside = browser.frame_locator("iframe")
    inside.locator("body[data-drawn]").wait_for(timeout=30_000)
    still, moving = picture(executed.data("show")["image/png"]), picture(place.screenshot())
    assert still.shape == moving.shape == (480, 640, 3)
    first, second = drawn(still)[:240], drawn(moving)[:240]  # below is the word "empty"
    assert (first & second).sum() > 0.9 * (first | second).sum() > 0
    assert inside.get_by_text("empty").is_visible()

    box = place.bounding_box()
    browser.mouse.move(box["x"] + 200, box["y"] + 200)
    assert inside.get_by_text("arrow keys").is_visible()
    browser.mouse.down()
    browser.mouse.move(box["x"] + 300, box["y"] + 180, steps=4)
    browser.mouse.up()
    inside.locator("body[data-drawn='345 15 1']").wait_for(timeout=10_000)
    turned = drawn(picture(place.screenshot()))[:240]
    assert (turned & second).sum() < 0.9 * (turned | second).sum()

    canvas = inside.get_by_role("img")
    assert "Shapes(3 shapes, 16³)" in canvas.get_attribute("aria-label")
    for key in ("ArrowRight", "ArrowUp", "+", "-"):
        canvas.press(key)
    inside.locator("body[data-drawn='350 20 1']").wait_for(timeout=10_000)
    canvas.press("0")
    inside.locator("body[data-drawn='35 25 1']").wait_for(timeout=10_000)
    assert all(url.startswith(("data:", "about:", "blob:")) for url in browser.asked), browser.asked


@pytest.mark.parametrize("browser", [["--disable-3d-apis"]], indirect=True)
def test_without_webgl_the_picture_is_seen(executed: Executed, browser: Any) -> None:
    place = open_output(browser, executed.data("show")["text/html"])
    browser.frame_locator("iframe").locator("canvas[hidden]").wait_for(state="attached", timeout=30_000)
    assert np.array_equal(picture(place.screenshot()), picture(executed.data("show")["image/png"]))


def test_the_page_lives_as_long_as_the_kernel(executed: Executed, browser: Any) -> None:
    if graphics._probe() is not None:
        pytest.skip(f"OpenGL does not work here: {graphics._probe()}")
    shown = executed.data("view")
    still = picture(shown["image/png"])
    open_output(browser, shown["text/html"])
    browser.locator("iframe").wait_for(state="visible", timeout=60_000)
    browser.frame_locator("iframe").get_by_role("button").first.wait_for(timeout=60_000)
    executed.end()
    place = open_output(browser, shown["text/html"])
    browser.wait_for_timeout(1000)
    assert browser.locator("iframe").is_hidden()
    assert np.array_equal(picture(place.screenshot()), still)
