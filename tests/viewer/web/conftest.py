"""A page that is served from this process, a client that speaks as the page does, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from browsing import Opened

from voxgan import graphics
from voxgan.models.gan3d import GAN3D, Config
from voxgan.models.model import Model
from voxgan.models.vae_gan3d import VAEGAN3D, VAEGANConfig

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from viewer.web import Running

pytest.importorskip("trame_pyvista", reason="the extra `viewer` is not installed")

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def shaped(model: Model) -> Model:
    """Give an untrained model's shapes something to see: lumps that differ from latent to latent."""
    with torch.no_grad():
        for seed in range(60):  # batch norm's running figures
            model.generator(model.sample_latents(16, seed))
        model.generator.layers[6].weight.mul_(60)
    return model.eval()


@pytest.fixture(scope="session")
def models() -> dict[str, Model]:
    """A small model that takes photos, and one that does not."""
    torch.manual_seed(0)
    encoding = shaped(VAEGAN3D(VAEGANConfig(resolution=16, width=4)))
    return {"small": encoding, "plain": shaped(GAN3D(Config(resolution=16, width=4)))}


@pytest.fixture(scope="module")
def page_server(models: dict[str, Model]) -> Iterator[Running]:
    """A page with both models, for all tests of a file."""
    reason = graphics._probe()
    if reason is not None:
        pytest.skip(f"OpenGL does not work here: {reason}")
    from viewer.web import start_in_background

    running = start_in_background(models)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium, for one file: while it is open, its event loop runs in this thread and no other can."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: Browser, page_server: Running) -> Iterator[Opened]:
    """The page in a browser of its own; afterwards no script may have failed, and nothing outside been asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    one = Opened(context.new_page(), page_server.url).begin()
    yield one
    context.close()
    assert not one.faults
    own = page_server.url.removeprefix("http://")
    outside = [url for url in one.requests if not url.startswith((f"http://{own}", f"ws://{own}", "data:", "blob:"))]
    assert not outside
