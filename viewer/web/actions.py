"""What the buttons of the page ask for. Whatever stands here anybody may ask, with any values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from viewer.web.checks import flag, number, optional_text, text, whole
from voxgan.errors import UsageError, VoxganError

if TYPE_CHECKING:
    from viewer.web.screen import Screen
    from viewer.web.visitor import Visitor

__all__ = ["ACTIONS", "Action"]

_MINUS, _TIMES = "−–—", "×·"  # what keyboards of phones make of - and *


class Action:
    """One thing that the page may ask for.

    Parameters
    ----------
    function : callable
        Gets the visitor, the screen, and the checked values; returns what is said to who does not see it.
    kinds : tuple of callable
        One check for each value.
    quiet : bool
        Whether nothing of the session can have changed, so that the page needs no news of it.
    """

    def __init__(self, function: Callable[..., Any], kinds: tuple[Callable[[Any], Any], ...], quiet: bool) -> None:
        self.function, self.kinds, self.quiet = function, kinds, quiet

    async def __call__(self, visitor: Visitor, screen: Screen, values: list[Any]) -> str | None:
        """Check the values, do it, and return what is said about it."""
        if len(values) != len(self.kinds):
            raise UsageError(f"{len(values)} values came where {len(self.kinds)} were expected")
        checked = [kind(value) for kind, value in zip(self.kinds, values, strict=True)]
        said = self.function(visitor, screen, *checked)
        return await said if isinstance(said, Awaitable) else said


ACTIONS: dict[str, Action] = {}


def _action(*kinds: Callable[[Any], Any], quiet: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        ACTIONS[function.__name__] = Action(function, kinds, quiet)
        return function

    return register


# Where to look


@_action(quiet=True)
def settle(visitor: Visitor, screen: Screen) -> None:
    """End a drag."""
    visitor.session.settle()


@_action(text, number, quiet=True)
def slide(visitor: Visitor, screen: Screen, key: str, value: float) -> None:
    """Take over where a slider was let go, which may not have come yet, and end the drag."""
    visitor.slide(screen, key, value)
    visitor.session.settle()


@_action(number)
def walk(visitor: Visitor, screen: Screen, position: float) -> str:
    """Go to a place on the path."""
    from viewer.web.mirror import place

    visitor.session.settle()
    visitor.session.walk(position)
    return f"At {place(visitor.session)}"


@_action(number)
def step(visitor: Visitor, screen: Screen, by: float) -> str:
    """Go along the path by a part of the way between two anchors, and stop at its ends."""
    state = visitor.session.state
    return walk(visitor, screen, min(max(round(state.position + by, 6), 0), max(len(state.anchors) - 1, 0)))


@_action(text)
def interpolate(visitor: Visitor, screen: Screen, kind: str) -> str:
    """Walk straight, or along the sphere."""
    visitor.session.walk(interpolation=kind)
    return f"{kind} path"


@_action(text)
def calculate(visitor: Visitor, screen: Screen, expression: str) -> str:
    """Show the value of an expression; what is wrong with it is said beside the field."""
    try:
        visitor.session.calculate(_typed(expression))
    except VoxganError as error:
        visitor.tell(expression_error=str(error))
        return ""
    visitor.tell(expression_error="")
    return f"Showing {visitor.session.state.expression}"


@_action(text, quiet=True)
def check(visitor: Visitor, screen: Screen, expression: str) -> None:
    """Say beside the field what is wrong with an expression that is being typed."""
    visitor.tell(expression_error=visitor.expression_fault(_typed(expression)))


@_action(lambda value: value)
def dimension(visitor: Visitor, screen: Screen, typed: Any) -> str:
    """Choose which number of the latent the slider moves; the field shows the one in force, whatever was typed."""
    size = visitor.session.model.latent_size
    try:
        index = whole(typed)
        if not 0 <= index < size:
            raise UsageError(f"number {index}: expected 0 to {size - 1}")
        visitor.session.settle()
        visitor.dimension = index
    finally:
        screen.correct("dimension_text", visitor.dimension)
    return f"The slider moves number {index}"


@_action()
def reset_sliders(visitor: Visitor, screen: Screen) -> str:
    """Put the sliders back."""
    visitor.session.reset_sliders()
    return "Sliders back at 0"


@_action(text)
def display(visitor: Visitor, screen: Screen, kind: str) -> str:
    """Show the surface, voxels or points."""
    visitor.session.set_display(kind)
    return f"Shown as {kind}"


@_action(flag)
def clean(visitor: Visitor, screen: Screen, wished: bool) -> str:
    """Take specks away, or leave them."""
    visitor.session.set_clean(wished)
    return "Specks taken away" if wished else "Shown as it comes"


@_action(text)
async def model(visitor: Visitor, screen: Screen, name: str) -> str:
    """Look at another model; the session of the one before stays as it is."""
    before = visitor.model_name
    await visitor.choose(name)
    if name == before:
        return f"Model {name}"
    kept = f"{before} is kept as it is; choose it again to go on"
    visitor.tell(notice=kept)
    return f"Model {name}. {kept}"


# Anchors


@_action()
def add_random(visitor: Visitor, screen: Screen) -> str:
    """Add an anchor from noise."""
    return _added(visitor.session.add_random())


@_action(text)
def add_class(visitor: Visitor, screen: Screen, name: str) -> str:
    """Add an anchor of a class."""
    return _added(visitor.session.add_class(name))


@_action()
def add_class_next(visitor: Visitor, screen: Screen) -> str:
    """Add an anchor of another class than the anchor before."""
    session = visitor.session
    if len(session.classes) < 2:
        return _added(session.add_random())
    return _added(session.add_class(session.classes[len(session.state.anchors) % len(session.classes)]))


@_action(whole, optional_text)
def pick(visitor: Visitor, screen: Screen, seed: int, class_name: str | None) -> str:
    """Add a sample of the gallery."""
    session = visitor.session
    return _added(session.add_random(seed) if class_name is None else session.add_class(class_name, seed))


@_action()
def keep(visitor: Visitor, screen: Screen) -> str:
    """Make what is shown an anchor."""
    return _added(visitor.session.keep())


@_action(text)
def remove(visitor: Visitor, screen: Screen, name: str) -> str:
    """Take an anchor away."""
    visitor.session.remove(name)
    return f"{name} removed"


@_action(text, whole)
def move(visitor: Visitor, screen: Screen, name: str, places: int) -> str:
    """Move an anchor along the path."""
    visitor.session.move(name, places)
    return f"Path: {', '.join(anchor.name for anchor in visitor.session.state.anchors)}"


@_action()
def remove_nearest(visitor: Visitor, screen: Screen) -> str:
    """Take the anchor away that is nearest to the place on the path."""
    return str(remove(visitor, screen, _nearest(visitor)))


@_action(whole)
def move_nearest(visitor: Visitor, screen: Screen, places: int) -> str:
    """Move the anchor that is nearest to the place on the path."""
    return str(move(visitor, screen, _nearest(visitor), places))


@_action(whole, optional_text, quiet=True)
def gallery(visitor: Visitor, screen: Screen, page: int, class_name: str | None) -> None:
    """Fill the gallery with another page of samples."""
    visitor.gallery.open(page, class_name)


# Undo, messages, work


@_action()
def undo(visitor: Visitor, screen: Screen) -> str:
    """Go back one step."""
    possible = visitor.session.can_undo
    visitor.session.undo()
    return "Undone" if possible else "Nothing to undo"


@_action()
def redo(visitor: Visitor, screen: Screen) -> str:
    """Take an undo back."""
    possible = visitor.session.can_redo
    visitor.session.redo()
    return "Done again" if possible else "Nothing to do again"


@_action()
def dismiss(visitor: Visitor, screen: Screen) -> None:
    """Take the message away."""


@_action(text, quiet=True)
def complain(visitor: Visitor, screen: Screen, line: str) -> None:
    """Show what went wrong in the browser like everything else that goes wrong."""
    visitor.complain(line)


@_action(quiet=True)
def cancel(visitor: Visitor, screen: Screen) -> None:
    """Give the running work up."""
    if visitor.job is not None:
        visitor.job.cancel()


# The camera


@_action(number, number, number, number, number, quiet=True)
async def look(visitor: Visitor, screen: Screen, turn: float, tilt: float, zoom: float, x: float, y: float) -> None:
    """Turn, come closer, move; answered when the picture of it has been sent, so that wishes do not pile up."""
    screen.look(turn, tilt, zoom, x, y)
    visitor.session.camera = screen.stage.camera()
    await screen.stream.shown()


@_action()
def look_again(visitor: Visitor, screen: Screen) -> str:
    """Look from where one looks at first."""
    screen.stage.reset_camera()
    visitor.session.camera = screen.stage.camera()
    return "First view"


def _nearest(visitor: Visitor) -> str:
    state = visitor.session.state
    return state.anchors[round(min(state.position, len(state.anchors) - 1))].name


def _added(anchor: Any) -> str:
    return f"{anchor.name} added: {anchor.label}"


def _typed(expression: str) -> str:
    """Return an expression with the signs that it is read with."""
    return expression.translate({**{ord(c): "-" for c in _MINUS}, **{ord(c): "*" for c in _TIMES}})
