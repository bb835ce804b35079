"""What the page is made of beside the visitor's own: scripts, styles, the icon font, the first document.

Only files that were found when the page was started are served, by the exact name that they were found under: no
path of a request ever reaches the file system.
"""

from __future__ import annotations

import gzip
import html
import mimetypes
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from aiohttp import web

from voxgan.errors import StorageError

__all__ = ["Asset", "Assets"]

_OWN = Path(__file__).with_name("static")
_PACKED = (".js", ".css", ".svg")
_YEAR = 365 * 24 * 3600


class Asset(NamedTuple):
    """One file: its content, the same packed with gzip where that helps, and its type."""

    plain: bytes
    packed: bytes | None
    content_type: str


class Assets:
    """All files below ``/assets/``, and the document that loads them.

    Attributes
    ----------
    scripts, styles : list of str
        Addresses, relative to a visitor's page, of what the trame client loads before it begins.
    vue_use : list of str
        What the trame client installs into Vue.
    """

    def __init__(self) -> None:
        from trame.modules import vuetify3
        from trame_client import __version__ as version
        from trame_client.module import vue3 as client
        from trame_rca import module as rca

        self._files: dict[str, Path] = {}
        self._loaded: dict[str, Asset] = {}
        for folder, place in (
            (client.www, f"client_{version}"),
            (_OWN, "voxgan"),
            *((place, name) for module in (vuetify3, rca) for name, place in module.serve.items()),
        ):
            for path in Path(folder).rglob("*"):
                if path.is_file():
                    self._files[f"{place}/{path.relative_to(folder).as_posix()}"] = path
        base = "../../assets/"
        styles = [style for style in vuetify3.styles if "roboto" not in style]  # the system's own font is there at once
        self.styles = [base + style for style in (*styles, f"{rca.BASE_URL}/style.css", "voxgan/voxgan.css")]
        self.scripts = [base + script for script in (*vuetify3.scripts, f"{rca.BASE_URL}/trame-rca.umd.js")]
        self.vue_use = [*vuetify3.vue_use, "trame_rca"]
        self.document = _document(Path(client.www) / "index.html", f"{base}client_{version}/").encode()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request for one file."""
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound(text="There is no such file.\n")
        asset = self._asset(name)
        packed = asset.packed if "gzip" in request.headers.get("Accept-Encoding", "") else None
        headers = {"Content-Type": asset.content_type, "Vary": "Accept-Encoding"}
        # Names of the libraries' files hold their version; our own files change with ours.
        headers["Cache-Control"] = "no-cache" if name.startswith("voxgan/") else f"max-age={_YEAR}, immutable"
        if packed is not None:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=packed or asset.plain, headers=headers)

    def _asset(self, name: str) -> Asset:
        if name not in self._loaded:
            path = self._files[name]
            plain = path.read_bytes()
            packed = gzip.compress(plain, 6, mtime=0) if path.suffix in _PACKED else None
            kind = "text/javascript" if path.suffix in (".js", ".cjs") else mimetypes.guess_type(path.name)[0]
            text = "; charset=utf-8" if path.suffix in (".js", ".css", ".html", ".svg") else ""
            self._loaded[name] = Asset(plain, packed, f"{kind or 'application/octet-stream'}{text}")
        return self._loaded[name]


@cache
def own_file(name: str) -> str:
    """Return the text of one of our own files."""
    return (_OWN / name).read_text(encoding="utf-8")


def _document(index: Path, base: str) -> str:
    """Return the first document: ours, with the scripts that the trame client's own names.

    Theirs forbids zooming, carries scripts in the text, and has their name and icon.
    """
    text = index.read_text(encoding="utf-8")
    scripts = re.findall(r"<script[^>]*\bsrc=\"([^\"]+)\"", text)
    styles = re.findall(r"<link[^>]*\brel=\"stylesheet\"[^>]*\bhref=\"([^\"]+)\"", text)
    plain = [name for name in scripts if "vue" in Path(name).name]
    modules = [name for name in scripts if "index" in Path(name).name]
    if not (plain and modules and styles):
        raise StorageError(f"{index}: not the client that trame 4 brings; run  pip install 'trame>=4,<5'")

    def address(name: str) -> str:
        return html.escape(base + name.removeprefix("./"))

    lines = [f'<link rel="stylesheet" href="{address(name)}">' for name in styles]
    lines += ['<link rel="stylesheet" href="../../assets/voxgan/voxgan.css">']
    lines += [f'<script src="{address(name)}"></script>' for name in plain]
    lines += ['<script src="../../assets/voxgan/voxgan.js" defer></script>']
    lines += [f'<script type="module" src="{address(name)}"></script>' for name in modules]
    return own_file("document.html").replace("<!-- scripts -->", "\n    ".join(lines))
