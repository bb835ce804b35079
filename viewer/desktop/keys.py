"""Which key does what, and how help says it."""

from __future__ import annotations

__all__ = ["COMMANDS", "HELP", "WITH_CONTROL", "typed"]

COMMANDS = {
    "n": "add_random",
    "c": "add_class",
    "k": "keep",
    "x": "remove",
    "less": "move_back",
    "comma": "move_back",
    "greater": "move_on",
    "period": "move_on",
    "Left": "step_back",
    "Right": "step_on",
    "space": "play",
    "l": "change_interpolation",
    "e": "ask_expression",
    "bracketleft": "previous_directions",
    "Prior": "previous_directions",
    "bracketright": "next_directions",
    "Next": "next_directions",
    "d": "ask_dimension",
    "plus": "next_dimension",
    "equal": "next_dimension",
    "KP_Add": "next_dimension",
    "minus": "previous_dimension",
    "KP_Subtract": "previous_dimension",
    "Up": "turn_up",
    "Down": "turn_down",
    "0": "reset_sliders",
    "m": "change_display",
    "f": "change_clean",
    "r": "reset_camera",
    "s": "write_picture",
    "t": "write_gif",
    "v": "write_mp4",
    "o": "write_obj",
    "i": "write_stl",
    "g": "write_glb",
    "w": "write_session",
    "u": "change_up",
    "z": "undo",
    "y": "redo",
    "h": "show_help",
    "question": "show_help",
    "F1": "show_help",
    "Escape": "escape",
    "q": "quit",
}
"""Key, as VTK calls it, → method of `viewer.desktop.Desktop`."""

WITH_CONTROL = {"z": "undo", "Z": "redo", "y": "redo", "q": "quit", "w": "quit", "s": "write_session"}
"""The same, while Control is held."""

HELP = (
    (
        "Anchors",
        (
            ("n", "another one, at random"),
            ("c", "another one, of the next class"),
            ("k", "keep what is seen as one"),
            ("x", "remove the nearest"),
            ("1 – 9   A – Z", "go to one (Shift for letters)"),
            ("<   >", "move it along the path"),
            ("drop a file", "photo, mesh, saved session"),
            ("u", "up in meshes is z, y"),
        ),
    ),
    (
        "Between them",
        (
            ("←   →", "walk along the path"),
            ("space", "play, pause"),
            ("l", "straight ways or arcs"),
            ("e", "type an expression: A - B + C"),
        ),
    ),
    (
        "Always",
        (
            ("z   y", "undo, redo"),
            ("Esc", "stop, close"),
            ("q", "quit"),
        ),
    ),
    (
        "Sliders",
        (
            ("[   ]", "other principal directions"),
            ("d", "choose one number of z"),
            ("+   -", "the next, the previous one"),
            ("↑   ↓", "turn it up, down"),
            ("0", "all back to zero"),
        ),
    ),
    (
        "Look",
        (
            ("m", "mesh, voxels, points"),
            ("f", "free specks: away, there"),
            ("r", "from the front again"),
            ("mouse", "turn; Shift moves, wheel zooms"),
        ),
    ),
    (
        "Files, into the current folder",
        (
            ("s", "picture, PNG"),
            ("t   v", "turntable, GIF or MP4"),
            ("o   i   g", "shape, OBJ, STL or GLB"),
            ("w", "session, JSON"),
        ),
    ),
)
"""Groups of keys and what they do, as the window shows them."""

_CHARACTERS = {
    "space": " ",
    "plus": "+",
    "KP_Add": "+",
    "minus": "-",
    "KP_Subtract": "-",
    "asterisk": "*",
    "KP_Multiply": "*",
    "period": ".",
    "KP_Decimal": ".",
    **{f"KP_{digit}": str(digit) for digit in range(10)},
}


def typed(key: str, code: str = "") -> str:
    """Return the character that a key types into an expression; empty if none.

    Examples
    --------
    >>> typed("plus"), typed("A"), typed("Return")
    ('+', 'A', '')
    """
    if len(code) == 1 and code.isprintable():
        return code
    return _CHARACTERS.get(key, key if len(key) == 1 else "")
