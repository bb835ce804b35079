"""What the page is made of: names for everything, nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("trame_pyvista", reason="the extra `viewer` is not installed")

from viewer.desktop.keys import COMMANDS
from viewer.web import page
from viewer.web.actions import ACTIONS
from viewer.web.assets import Assets, own_file
from viewer.web.visitor import _SLIDERS

STATIC = Path(page.__file__).with_name("static")
TEMPLATE = page.template("<i></i>")


class Controls(HTMLParser):
    """The attributes of every button."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(TEMPLATE)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def test_every_button_has_a_name_and_every_slider_too() -> None:
    buttons = [names for tag, names in Controls().found if tag in ("button", "v-btn")]
    assert len(buttons) > 25
    nameless = [names for names in buttons if "aria-label" not in names and ":aria-label" not in names]
    assert len(nameless) <= 4, "those that consist of a word: kinds of path, classes, any"
    assert all("@click" in names for names in nameless)
    assert all("name" in names or ":name" in names for tag, names in Controls().found if tag == "v-slider")


def test_whatever_the_page_asks_is_answered() -> None:
    script = own_file("voxgan.js")
    asked = set(re.findall(r"trigger\('(\w+)'", TEMPLATE)) | set(re.findall(r"ask\(\"(\w+)\"", script))
    assert asked <= set(ACTIONS) and len(asked) > 20
    assert set(re.findall(r"<v-slider[^>]*v-model=\"(\w+)\"", TEMPLATE)) == set(_SLIDERS)


def test_nothing_comes_from_elsewhere() -> None:
    for path in STATIC.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9]", re.sub(r"(?m)^\s*//.*| // .*", "", text)), path
    assets = Assets()
    addresses = [*assets.scripts, *assets.styles, *re.findall(rb"(?:src|href)=\"([^\"]+)\"", assets.document)]
    assert len(addresses) > 8
    assert all((a.decode() if isinstance(a, bytes) else a).startswith(("../../assets/", ".")) for a in addresses)
    assert b"maximum-scale" not in assets.document and b"<script>" not in assets.document


def test_keys_mean_the_same_as_in_the_window() -> None:
    keys = re.search(r"const single = \{(.*?)\n  \};", own_file("voxgan.js"), re.DOTALL)
    assert keys is not None
    ours = dict(re.findall(r"^    \"?([a-z])\"?: \(\) => (.*),$", keys[1], re.MULTILINE))
    same = {"n": "add_random", "k": "keep", "x": "remove", "l": "interpolate", "z": "undo", "y": "redo"}
    for key, command in same.items():
        assert command.split("_")[0] in ours[key] or command in ours[key]
        assert COMMANDS[key].startswith(command[:6]) or key == "l"
    assert set("ncklmfrstvoigwzyhxe") <= set(ours) | {"e"}
    helped = " ".join(keys for keys, _ in page.KEYS).lower().split()
    assert set(ours) - {"h"} <= set(helped)
