"""In a notebook: shapes to turn with the mouse, and the page with a latent space to walk; and a picture for both.

Whatever is shown consists of a picture, and of a frame that lies over it and is alive. The picture is what remains
where the frame cannot live: in a console, in a notebook that is opened again after its kernel has gone, on a web page
that shows notebooks without their scripts.

Shapes are drawn by the browser (``notebook.html``), which gets their grids, 15 to 60 kB each. That needs no PyVista and
no OpenGL beside Python, asks no server, and still turns in a notebook that was exported.
"""

from __future__ import annotations

import base64
import html
import json
import secrets
import sys
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import UsageError
from voxgan.preview import BACKGROUND, COLOUR, arrange, coarser, group, png_bytes, span

if TYPE_CHECKING:
    from viewer.web import Running
    from voxgan.models.model import Model
    from voxgan.voxels import Shapes

__all__ = ["in_notebook", "scene_html", "show_inline", "view"]

SIZE = (640, 480)
MANY = 36  # shapes in one scene
FEW, FINEST = 4, 128  # few may have so many cells along a side, more of them half as many
AZIMUTH, ELEVATION = 35.0, 25.0
NUM_SAMPLES = 12  # on the picture that stands for a page
PAGE_HEIGHT = 720
PAGE_WORKS = "voxgan works"  # what the page's script tells the window around it
_LEVELS = 30  # of occupancy, between nothing and all
_MAX_PAGES = 4  # at once
_pages: dict[tuple[str | int, int], tuple[Model, Running]] = {}
_FILLING = "position:absolute;inset:0;width:100%;height:100%;border:0"


def in_notebook() -> bool:
    """Say whether this runs in a Jupyter kernel, which can show pictures and frames."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def view(model: str | Path | Model = "furniture", *, seed: int = 0, files: Sequence[str | Path] = ()) -> None:
    """Walk a model's latent space: in a window, or, in a notebook, on a page below the cell.

    In a notebook the page is served by this process, to this machine only, for as long as the kernel runs. Where it
    cannot be, for want of OpenGL or of the extra ``viewer``, a picture of samples is shown, and a warning says why.

    Parameters
    ----------
    model : str, path or Model
        A shipped name, a run or model folder, or a model.
    seed : int
        Random shapes follow from it.
    files : sequence of path
        Photos, meshes, volumes and saved sessions to begin with; not in a notebook, where they are dropped onto the
        page.

    Raises
    ------
    MissingExtraError
        If PyVista is not installed; a notebook does without.
    UsageError
        If there is no such model; outside of a notebook also if no window can be opened.
    """
    model = str(model) if isinstance(model, Path) else model
    if not in_notebook():
        from voxgan.graphics import check_graphics

        check_graphics()
        from viewer.desktop import view as open_window

        open_window(model, seed=seed, files=files)
        return
    if files:
        raise UsageError("view() in a notebook takes no files; drop them onto the page")
    from voxgan.checkpoint import load

    if isinstance(model, str):
        key, name, model = model, model, load(model)
    else:
        key, name = id(model), model.name
    samples = model.generate(NUM_SAMPLES, seed=seed).cleaned()
    picture = group(samples.occupancy, (800, 600))
    try:
        frame = _page_frame(_served((key, seed), name, model).url)
    except UsageError as error:
        warnings.warn(f"samples only, no page to walk on: {error}", stacklevel=2)
        frame = ""
    _display(f"{name}, {NUM_SAMPLES} samples", picture, frame)


def show_inline(shapes: Shapes, columns: int | None = None, level: float = 0.5) -> None:
    """Show shapes below the cell, to be turned with the mouse or with keys.

    Parameters
    ----------
    shapes : Shapes
        At most the first 36 are shown.
    columns, level
        As for `viewer.scene.show`.

    Raises
    ------
    UsageError
        If there is no shape, or an option is out of its range.
    """
    count = min(len(shapes), MANY)
    name = repr(shapes) if len(shapes) == count else f"{count} of {shapes!r}"
    shown = type(shapes)(coarser(shapes.occupancy[:MANY], FINEST if count <= FEW else FINEST // 2))
    picture = group(shown.occupancy, SIZE, columns, AZIMUTH, ELEVATION, level)
    frame = html.escape(scene_html(shown, name, columns, level))
    _display(name, picture, f'<iframe srcdoc="{frame}" sandbox="allow-scripts" style="{_FILLING}"></iframe>')


def scene_html(shapes: Shapes, name: str, columns: int | None = None, level: float = 0.5) -> str:
    """Return a page that draws shapes and lets them be turned; it needs nothing beside itself.

    Parameters
    ----------
    shapes : Shapes
        What to draw; all of them turn together.
    name : str
        What they are called, for whoever hears the page.
    columns, level
        As for `viewer.scene.show`.
    """
    columns, _, _ = arrange(len(shapes), SIZE, columns)
    steps = np.rint(_LEVELS * shapes.occupancy.clip(0, 1)) / _LEVELS  # finer ones look alike and take thrice the room
    cells = np.rint(255 * steps).astype(np.uint8)
    scene = {
        "label": name,
        "resolution": shapes.resolution,
        "grids": [base64.b64encode(zlib.compress(grid.tobytes())).decode() for grid in cells],
        "level": level,
        "columns": columns,
        "span": span(ELEVATION),
        "azimuth": AZIMUTH,
        "elevation": ELEVATION,
        "colour": [part / 255 for part in COLOUR],
        "background": [part / 255 for part in BACKGROUND],
    }
    page = Path(__file__).with_name("notebook.html").read_text(encoding="utf-8")
    return page.replace("{{scene}}", json.dumps(scene).replace("<", "\\u003c"))


def _served(key: tuple[str | int, int], name: str, model: Model) -> Running:
    """Return the page of a model: the one that is running already, or a new one in place of the key's or the oldest."""
    from viewer.web import start_in_background

    served, running = _pages.pop(key, (None, None))
    if running is not None and served is not model:
        running.stop()  # a folder that was loaded again: its weights may be others
    if running is None or served is not model:
        while len(_pages) >= _MAX_PAGES:
            _pages.pop(next(iter(_pages)))[1].stop()
        running = start_in_background({name: model}, seed=key[1])
    _pages[key] = (model, running)
    return running


def _page_frame(url: str) -> str:
    """Return a frame with a page; it is seen once the page in it has said that it works."""
    name = f"voxgan-{secrets.token_hex(8)}"
    return f"""<iframe id="{name}" src="{url}" title="latent space" style="{_FILLING};visibility:hidden"></iframe>
<script>
(() => {{
  const frame = document.getElementById("{name}");
  window.addEventListener("message", (event) => {{
    if (event.source !== frame.contentWindow || event.data !== "{PAGE_WORKS}") return;
    Object.assign(frame.parentElement.style, {{ height: "{PAGE_HEIGHT}px", maxWidth: "none" }});
    frame.parentElement.querySelector("img").style.display = "none";
    frame.style.visibility = "visible";
  }});
}})();
</script>"""


def _display(name: str, picture: NDArray[np.uint8], frame: str) -> None:
    """Show a picture below the cell, with something over it where that can live."""
    from IPython.display import display

    image = base64.b64encode(png_bytes(picture)).decode()
    markup = (
        f'<div style="position:relative;max-width:{picture.shape[1]}px">'
        f'<img src="data:image/png;base64,{image}" alt="{html.escape(name)}" style="display:block;width:100%">'
        f"{frame}</div>"
    )
    display({"text/plain": name, "image/png": image, "text/html": markup}, raw=True)
