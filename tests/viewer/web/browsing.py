"""The page in a browser, for tests: what it knows, what it shows, what came to light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE = 60_000  # milliseconds: the machine may be slow, a test that waits is no worse


class Opened:
    """A page in a browser, and what came to light while it was open.

    Attributes
    ----------
    page : playwright.sync_api.Page
    requests : list of str
        The address of every request and websocket.
    faults : list of str
        Errors that a script raised, or that the console showed.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.requests: list[str] = []
        self.faults: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", self._listen)

    def _listen(self, message: Any) -> None:
        if message.type == "error" and "status of 4" not in message.text:
            self.faults.append(message.text)

    def begin(self) -> Opened:
        """Go to the page and wait until it stands."""
        self.page.goto(self.url)
        return self.ready()

    def ready(self) -> Opened:
        """Wait until all anchors have their pictures and the shape has been drawn and described."""
        self.page.wait_for_function(
            "document.querySelectorAll('.vx-card').length"
            " && !document.querySelector('.vx-card .vx-blank') && document.querySelector('.vx-picture img')"
        )
        self.until("description", "value !== ''")
        return self

    def state(self, name: str) -> Any:
        """Return what the page knows under a name."""
        return self.page.evaluate("name => window.trame.state.get(name)", name)

    def until(self, name: str, condition: str) -> Any:
        """Wait until what the page knows under a name fulfils a condition on `value`; return it."""
        self.page.wait_for_function(
            f"name => {{ const value = window.trame?.state?.get(name); return {condition}; }}", arg=name
        )
        return self.state(name)

    def picture(self) -> list[int]:
        """Return the picture as 24 × 24 greys."""
        greys: list[int] = self.page.evaluate(GREYS)
        return greys

    def until_other_picture(self, before: list[int]) -> None:
        """Wait until the picture is clearly another one: smooth edges or rough ones make no difference."""
        self.page.wait_for_function(
            f"async before => (await ({GREYS})()).filter((grey, i) => Math.abs(grey - before[i]) > 12).length > 8",
            arg=before,
        )

    def until_same_picture(self, before: list[int]) -> None:
        """Wait until the picture is `before` again."""
        self.page.wait_for_function(
            f"async before => (await ({GREYS})()).every((grey, i) => Math.abs(grey - before[i]) <= 12)", arg=before
        )


GREYS = """async () => {
  const image = document.querySelector('.vx-picture img');
  await image.decode().catch(() => {});
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 24;
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(image, 0, 0, 24, 24);
  const all = context.getImageData(0, 0, 24, 24).data;
  return Array.from({ length: 576 }, (_, i) => all[4 * i]);
}"""
