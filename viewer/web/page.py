"""The page as trame's client gets it: one Vue template with Vuetify's widgets, the same for every visitor.

``static/page.html`` is the template; what repeats in it is filled in here. Names and labels come as state, which Vue
escapes, and are never part of the template.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from viewer.exports import FORMATS
from viewer.session import NUM_DIRECTIONS
from viewer.web.assets import own_file

__all__ = ["CLIENT_ONLY", "FIXED", "KEYS", "THEME", "template"]

KEYS = (
    ("N C", "another anchor: at random, of the next class"),
    ("K X", "keep what is shown as an anchor, remove the nearest"),
    ("1 – 9", "go to an anchor"),
    ("&lt; &gt;", "move the nearest anchor along the path"),
    ("← →", "walk along the path; on the shape: turn it"),
    ("Space", "play, pause"),
    ("E L", "type a sum of anchors; linear or spherical path"),
    ("M F", "surface, voxels, points; specks away, there"),
    ("R", "the first view; on the shape, + and − come closer and go away"),
    ("0", "all sliders back to 0"),
    ("D", "choose one number of the latent"),
    ("A U", "open a photo, mesh or session; where up is in meshes: z, y"),
    ("I O G", "download as STL, OBJ, GLB"),
    ("S T V", "download a picture, a turntable as GIF, as MP4"),
    ("W", "save the session; Ctrl S too"),
    ("Z Y", "undo, redo; Ctrl Z and Ctrl Shift Z too"),
)
"""The same keys as in the window, and what they do."""

CLIENT_ONLY: dict[str, Any] = {
    "panel": "shape",
    "expression_text": "",
    "dimension_text": 0,
    "help_open": False,
    "download_size": 100,
    "mesh_up": "z",
    "playing": False,
}
"""What only the page itself knows: which panel is open, what is being typed."""

_FORMAT_WORDS = {
    "stl": "STL, for printing",
    "obj": "OBJ",
    "glb": "GLB, for games and the web",
    "ply": "PLY",
    "3mf": "3MF, for printing",
    "off": "OFF",
    "npz": "NPZ, the grid of probabilities",
    "binvox": "binvox, the grid of cells",
}

FIXED: dict[str, Any] = {"formats": [[kind, _FORMAT_WORDS[kind]] for kind in FORMATS]}
"""State that is the same for everybody."""

THEME = {
    "theme": {
        "defaultTheme": "voxgan",
        "themes": {
            "voxgan": {
                "dark": False,
                "colors": {
                    "background": "#fafafb",
                    "surface": "#ffffff",
                    "primary": "#2f5f96",
                    "secondary": "#566472",
                    "error": "#a8261c",
                    "on-background": "#1d2833",
                    "on-surface": "#1d2833",
                },
            }
        },
    },
    "defaults": {"global": {"ripple": False}},
}


@cache
def template(picture: str) -> str:
    """Return the page around the element that shows the picture."""
    directions = (own_file("direction.html").format(index=i, number=i + 1) for i in range(NUM_DIRECTIONS))
    keys = (f"<dt>{' '.join(f'<kbd>{key}</kbd>' for key in keys.split())}</dt><dd>{words}</dd>" for keys, words in KEYS)
    page = own_file("page.html")
    for mark, text in (("picture", picture), ("directions", "".join(directions)), ("keys", "\n".join(keys))):
        page = page.replace(f"<!-- {mark} -->", text)
    return page
