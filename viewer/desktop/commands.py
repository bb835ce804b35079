"""What a window can be told to do: a command for every key."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from viewer.desktop.files import FileWork
from viewer.session import DISPLAYS, INTERPOLATIONS, Session
from voxgan.errors import UsageError

if TYPE_CHECKING:
    import pyvista

__all__ = ["Commands"]

_PAGE = 4  # principal directions that are shown at once
_STEP = 0.05  # along the path, for a key


class Commands(FileWork):
    """The commands of `viewer.desktop.Desktop`: its keys call them by their names (`viewer.desktop.keys`)."""

    def __init__(self, session: Session, plotter: pyvista.Plotter, folder: Path) -> None:
        super().__init__(session, plotter, folder)
        self.entry: tuple[str, str] | None = None  # what is asked for, and what has been typed so far
        self.fresh = False  # what stands there is from before: typing replaces it
        self.help = self.playing = self.closed = False
        self.played = 0.0  # how far, once it plays
        self.page, self.dimension = 0, 0
        self._next_class = 0

    # Anchors

    def add_random(self) -> None:
        """Add an anchor drawn from the prior."""
        self._say_added(self.session.add_random().name)

    def add_class(self) -> None:
        """Add an anchor of the next class."""
        classes = self.session.classes
        if not classes:
            raise UsageError(f"{self.session.name} knows no classes; press n for a random anchor")
        self._say_added(self.session.add_class(classes[self._next_class % len(classes)]).name)
        self._next_class += 1

    def keep(self) -> None:
        """Make what is seen an anchor."""
        self._say_added(self.session.keep().name)

    def remove(self) -> None:
        """Take the nearest anchor away."""
        name = self._nearest()
        self.session.remove(name)
        self.say(f"{name} is gone; z brings it back")

    def go_to(self, key: str) -> None:
        """Go to an anchor: ``1`` to ``9`` count along the path, a capital letter is its name."""
        names = [anchor.name for anchor in self.session.state.anchors]
        place = int(key) - 1 if key.isdigit() else names.index(key) if key in names else len(names)
        if place >= len(names):
            raise UsageError(f"no anchor {key}; there are {' '.join(names)}")
        self.session.walk(float(place))
        self.session.settle()
        self.say("")

    def move_on(self) -> None:
        """Move the nearest anchor one place along the path."""
        self._move(1)

    def move_back(self) -> None:
        """Move the nearest anchor one place back."""
        self._move(-1)

    def _move(self, places: int) -> None:
        name = self._nearest()
        self.session.move(name, places)
        self.session.walk(float([anchor.name for anchor in self.session.state.anchors].index(name)))
        self.say(f"{name} is number {round(self.session.state.position) + 1} on the path")

    def _nearest(self) -> str:
        state = self.session.state
        if state.mode == "expression":
            raise UsageError("an expression is on show; go to an anchor first, with 1 to 9 or its letter")
        return state.anchors[round(state.position)].name

    def _say_added(self, name: str) -> None:
        self.say(f"{name} is new: {self.session.anchor(name).label}")

    # Between them

    def step_on(self) -> None:
        """Walk a little further along the path."""
        self._step(1)

    def step_back(self) -> None:
        """Walk a little back."""
        self._step(-1)

    def _step(self, way: int) -> None:
        state = self.session.state
        there = (round(state.position / _STEP) + way) * _STEP
        self.session.walk(round(min(max(there, 0.0), len(state.anchors) - 1.0), 9))

    def play(self) -> None:
        """Walk along the path to and fro, or stop."""
        if self.playing:
            self.pause()
            return
        if len(self.session.state.anchors) < 2:
            raise UsageError("one anchor is no path; press n for another")
        self.playing, self.played = True, self.session.state.position
        self.say("playing; space pauses")

    def pause(self) -> None:
        """Stop playing."""
        if self.playing:
            self.playing = False
            self.session.settle()
            self.say("")

    def change_interpolation(self) -> None:
        """Walk straight instead of on arcs, or the other way round."""
        kind = _after(INTERPOLATIONS, self.session.state.interpolation)
        self.session.walk(interpolation=kind)
        self.session.settle()
        self.say({"linear": "straight ways between anchors", "spherical": "arcs between anchors"}[kind])

    def ask_expression(self) -> None:
        """Have an expression typed."""
        state = self.session.state
        self.entry = ("Sum of anchors", state.expression if state.mode == "expression" else "")
        self.fresh = True

    # Sliders

    def set_slider(self, name: str, value: float) -> None:
        """Set ``level``, ``dimension`` (the one on show) or ``direction 0``, ``direction 1``, …"""
        if name == "level":
            self.session.set_level(round(value, 3))
        elif name == "dimension":
            self.session.set_dimension(self.dimension, value)
        else:
            self.session.set_direction(int(name.removeprefix("direction ")), value)

    def pages(self) -> int:
        """Return how many pages of principal directions there are."""
        return math.ceil(len(self.session.directions) / _PAGE)

    def directions_shown(self) -> range:
        """Return the principal directions that have sliders now."""
        return range(self.page * _PAGE, min((self.page + 1) * _PAGE, len(self.session.directions)))

    def next_directions(self) -> None:
        """Show the next principal directions."""
        self.page = (self.page + 1) % self.pages()

    def previous_directions(self) -> None:
        """Show the principal directions before these."""
        self.page = (self.page - 1) % self.pages()

    def next_dimension(self) -> None:
        """Show the slider of the next number of z."""
        self.dimension = (self.dimension + 1) % self.session.model.latent_size

    def previous_dimension(self) -> None:
        """Show the slider of the number of z before."""
        self.dimension = (self.dimension - 1) % self.session.model.latent_size

    def ask_dimension(self) -> None:
        """Have the number of a dimension typed."""
        self.entry = (f"Which number of z, 0 to {self.session.model.latent_size - 1}", "")

    def turn_up(self) -> None:
        """Turn the number of z up a little."""
        self._turn_dimension(1)

    def turn_down(self) -> None:
        """Turn the number of z down a little."""
        self._turn_dimension(-1)

    def _turn_dimension(self, way: int) -> None:
        reach = self.session.dimension_reach
        value = self.session.state.dimensions.get(self.dimension, 0.0) + way * reach / 20
        self.session.set_dimension(self.dimension, round(min(max(value, -reach), reach), 6))

    def reset_sliders(self) -> None:
        """Put all directions and dimensions back to zero."""
        self.session.reset_sliders()

    # Look

    def change_display(self) -> None:
        """Show the surface, voxels, points in turn."""
        self.session.set_display(_after(DISPLAYS, self.session.state.display))
        self.say(self.session.state.display)

    def change_clean(self) -> None:
        """Take free specks and cavities away, or show them."""
        clean = not self.session.state.clean
        self.session.set_clean(clean)
        self.say("without free specks and cavities" if clean else "as the network made it, specks and all")

    def reset_camera(self) -> None:
        """Look from the front and three quarters again."""
        self.stage.reset_camera()

    def show_help(self) -> None:
        """Show all keys, or hide them."""
        self.help = not self.help

    # Typing

    def type(self, key: str, character: str) -> None:
        """Take a key for the line that is being typed."""
        if self.entry is None:
            return
        asked, text = self.entry
        if key == "Escape":
            self.entry = None
        elif key in ("Return", "KP_Enter"):
            self._enter(asked, text)
            self.entry = None
        elif key in ("BackSpace", "Delete"):
            self.entry = (asked, text[:-1])
        elif len(text) < 500 and (character.isdecimal() or asked.startswith("Sum")):
            self.entry = (asked, character if self.fresh and character else text + character)
        self.fresh = self.fresh and not character and key not in ("BackSpace", "Delete")

    def _enter(self, asked: str, text: str) -> None:
        """Do what a typed line says; one that cannot be read stays to be corrected."""
        if asked.startswith("Sum"):
            self.session.calculate(text)
            self.say("")
            return
        last = self.session.model.latent_size - 1
        if not text.strip().isdecimal() or int(text) > last:
            raise UsageError(f"number {text!r} of z; expected 0 to {last}")
        self.dimension = int(text)

    # Undo, and the end

    def undo(self) -> None:
        """Go back one step."""
        self.say("" if self.session.can_undo else "nothing to undo")
        self.session.undo()

    def redo(self) -> None:
        """Take an undo back."""
        self.say("" if self.session.can_redo else "nothing to redo")
        self.session.redo()

    def escape(self) -> None:
        """Stop what is being worked on."""
        if self.task is not None:
            self.stop_work()
            self.say("stopped")
        else:
            self.say("")

    def quit(self) -> None:
        """Close the window."""
        self.closed = True


def _after(names: Sequence[str], name: str) -> str:
    return names[(names.index(name) + 1) % len(names)]
