"""The window itself: mouse and keys, what they ask for, and when it is drawn.

What comes from mouse and keyboard only says what is wanted; `Desktop.step` then does it, the newest only, and draws.
So a slider that is dragged never lags behind the hand, however long a picture takes.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtkmodules.vtkCommonCore import VTK_OBJECT

from viewer.desktop.commands import Commands
from viewer.desktop.keys import COMMANDS, WITH_CONTROL, typed
from viewer.desktop.panel import Panel, Row, Words
from viewer.scene import check_screen
from viewer.session import Session
from viewer.stage_strip import shares
from voxgan.graphics import check_graphics

if TYPE_CHECKING:
    from voxgan.models.model import Model

__all__ = ["Desktop", "view"]

_PATHS_PER_SECOND = 0.35  # anchors passed while it plays
_IDLE_SECONDS = 0.008
_PROGRESS_SECONDS = 0.25
_DEGREES_PER_WINDOW = 300.0  # that a drag over the whole window turns


def view(
    model: str | Model = "furniture",
    *,
    seed: int = 0,
    files: Sequence[str | Path] = (),
    session: Session | str | Path | None = None,
    level: float | None = None,
) -> None:
    """Open the window; return when it is closed.

    Parameters
    ----------
    model : str or Model
        A shipped name, a run folder, a saved session (``.json``), or a model.
    seed : int
        Random anchors follow from it.
    files : sequence of path
        Photos, meshes, volumes and saved sessions to begin with.
    session : Session or path, optional
        A session to go on with, or where one was saved; `model` and `seed` are of no matter then.
    level : float, optional
        Occupancy at which the surface lies; default 0.5, or the session's.

    Raises
    ------
    MissingExtraError
        If PyVista is not installed.
    UsageError
        If OpenGL does not work here, there is no screen, or there is no such model.
    InputError, StorageError
        If a saved session cannot be opened.
    """
    check_graphics()
    check_screen("walk in a browser instead, with  voxgan view --web")
    import voxgan

    if session is None and isinstance(model, str) and model.lower().endswith(".json"):
        session = model
    if isinstance(session, str | Path):
        session = Session.load(session, voxgan.load)
    elif session is None:
        name = model if isinstance(model, str) else "model"
        session = Session(voxgan.load(model) if isinstance(model, str) else model, name, seed)
    if level is not None:
        session.set_level(level)
    desktop = Desktop(session)
    desktop.open(files)
    desktop.run()


class Desktop(Commands):
    """The window.

    Parameters
    ----------
    session : Session
        Only seen and changed from the thread that runs the window.
    off_screen : bool
        Open no window, for tests: events that are put in by hand work as ever.
    size : (int, int), pixels
    folder : path, optional
        Where files are written; default where the program was started.
    """

    def __init__(
        self,
        session: Session,
        *,
        off_screen: bool = False,
        size: tuple[int, int] = (1280, 800),
        folder: str | Path | None = None,
    ) -> None:
        import pyvista

        plotter = pyvista.Plotter(off_screen=off_screen, window_size=list(size), notebook=False, title="voxgan")
        if not off_screen:
            screen = plotter.render_window.GetScreenSize()
            plotter.window_size = [min(ours, round(0.92 * whole)) for ours, whole in zip(size, screen, strict=True)]
        super().__init__(session, plotter, Path(folder or Path.cwd()))
        self.panel, self._words = Panel(plotter), Words(plotter)
        self._size = (0, 0)
        self._stale: str = "still"  # what has to be drawn: "", "fast" or "still"
        self._held: str = ""  # what the mouse drags: a slider's name, "position", "turn", "shift"
        self._pointer: tuple[int, int] | None = None  # where the mouse went since it was last looked at
        self._last = (0, 0)
        self._last_frame = self._drawn = time.monotonic()
        plotter.render_window.SetWindowName(f"{session.name} - voxgan")
        self._listen()
        if session.camera is not None:
            self.stage.set_camera(session.camera)

    # The loop

    def run(self) -> None:
        """Show the window until it is closed."""
        try:
            interactor = self.plotter.iren.interactor
            self.step()
            interactor.Initialize()
            while not self.closed:
                interactor.ProcessEvents()
                if not self.closed and not self.step():
                    time.sleep(_IDLE_SECONDS)
        finally:
            self.close()

    def step(self) -> bool:
        """Do what is wanted since the last step, and draw; say whether there was anything."""
        now = time.monotonic()
        passed, self._last_frame = now - self._last_frame, now
        size = tuple(self.plotter.render_window.GetSize())
        if size != self._size:
            self._size = size
            self.stage.keep_clear(right=self.panel.width, top=round(0.02 * size[1]))
            self._stale = "still"
        if self._pointer is not None:
            pointer, self._pointer = self._pointer, None
            self._try(lambda: self._drag_to(*pointer))
        if self.playing:
            self._try(lambda: self._play_on(passed))
        worked = self.work_on()
        if self.progressed and (self.task is None or now - self._drawn > _PROGRESS_SECONDS):
            self.changed = True
        if not (self._stale or self.changed):
            return worked
        fast = self._stale == "fast" or self.playing or bool(self._held)
        self._stale, self.changed, self.progressed, self._drawn = "", False, False, now
        self._draw(fast)
        return True

    def finish(self) -> None:
        """Step until nothing is left to do."""
        while self.step() or self.task is not None:
            time.sleep(_IDLE_SECONDS if self.task is not None else 0)

    def close(self) -> None:
        """Close the window; whatever is still being worked on is lost."""
        self.closed = True
        self.stop_work()
        self.plotter.close()

    def _draw(self, fast: bool) -> None:
        self.stage.update(fast)
        rows, notes = self._rows()
        self.panel.update(rows, notes)
        line = self.status if self.wrong else self.progress or self.stage.message or self.status
        model = f"{self.session.name} · {self.session.model.config.resolution}³"
        self._words.update(model, self._line(), line, self.wrong, self.entry, self.help)
        self.plotter.render_window.Render()

    def _line(self) -> str:
        """Return where the shape on show comes from, in words."""
        state = self.session.state
        if state.mode == "expression":
            return _spelled(state.expression)
        parts = list(shares(state).items())
        if len(parts) == 1:
            return f"{parts[0][0]} · {self.session.anchor(parts[0][0]).label}"
        if not parts:
            return ""
        (start, _), (end, share) = parts
        way = "straight" if state.interpolation == "linear" else "on an arc"
        return f"{start} → {end} · {share:.0%} · {way}"

    def _rows(self) -> tuple[list[Row], list[tuple[int, str]]]:
        """Return the sliders, and the headings between them."""
        session, state = self.session, self.session.state
        rows = [Row("level", "Level of the surface", f"{state.level:.2f}", state.level, 0.02, 0.98, centred=False)]
        far = session.direction_reach
        for index in self.directions_shown():
            value = state.directions.get(index, 0.0)
            rows.append(Row(f"direction {index}", f"Direction {index + 1}", _signed(value, 1), value, -far, far))
        far, value = session.dimension_reach, state.dimensions.get(self.dimension, 0.0)
        last = session.model.latent_size - 1
        rows.append(Row("dimension", f"Number {self.dimension} of z", _signed(value, 2), value, -far, far))
        notes = [
            (1, f"Principal directions, page {self.page + 1} of {self.pages()}"),
            (len(rows) - 1, f"One number, 0 to {last}"),
        ]
        return rows, notes

    # Mouse and keyboard

    def _listen(self) -> None:
        """Take mouse and keyboard from VTK and PyVista, whose own keys and double clicks would end or stop things."""
        interactor = self.plotter.iren.interactor
        self.plotter.iren.remove_observers()
        interactor.SetInteractorStyle(None)
        events: dict[str, Callable[[], None]] = {
            "KeyPressEvent": self._key,
            "LeftButtonPressEvent": lambda: self._pressed("turn"),
            "RightButtonPressEvent": lambda: self._pressed("shift"),
            "MiddleButtonPressEvent": lambda: self._pressed("shift"),
            "LeftButtonReleaseEvent": self._released,
            "RightButtonReleaseEvent": self._released,
            "MiddleButtonReleaseEvent": self._released,
            "MouseMoveEvent": self._moved,
            "MouseWheelForwardEvent": lambda: self._zoom(1 / 1.12),
            "MouseWheelBackwardEvent": lambda: self._zoom(1.12),
            "ExposeEvent": self._expose,
            "ExitEvent": self.quit,
        }
        for name, call in events.items():
            interactor.AddObserver(name, lambda *_, call=call: None if self.closed else call())
        dropped = _Dropped(self.open)
        interactor.AddObserver("DropFilesEvent", dropped)

    def _key(self) -> None:
        interactor = self.plotter.iren.interactor
        key, code = interactor.GetKeySym() or "", interactor.GetKeyCode() or ""
        if self.help:
            self.help, self.changed = False, True
            if COMMANDS.get(key) in ("show_help", "escape"):
                return
        if self.entry is not None:
            self._try(lambda: self.type(key, "" if interactor.GetControlKey() else typed(key, code)))
        elif interactor.GetControlKey():
            self.do(WITH_CONTROL.get(key, ""))
        elif len(key) == 1 and (key in "123456789" or key.isupper()):
            self._try(lambda: self.go_to(key))
        else:
            self.do(COMMANDS.get(key, ""))

    def do(self, command: str) -> None:
        """Run a command by its name, as a key does; what goes wrong is said in the status line."""
        if command:
            if command != "play":
                self.pause()
            self._try(getattr(self, command))

    def _pressed(self, otherwise: str) -> None:
        interactor = self.plotter.iren.interactor
        x, y = interactor.GetEventPosition()
        self.pause()
        if self.help:
            self.help, self.changed = False, True
            return
        row, strip = self.panel.row_at(x, y), self.stage.strip
        if row is not None:
            self._held = row.name
        elif self.panel.holds(x, y):
            return
        elif strip is not None and strip.is_on_path(x, y):
            self._held = "position"
        elif strip is not None and (name := strip.anchor_at(x, y)) is not None:
            self._try(lambda: self.go_to(name))
            return
        else:
            self._held = "shift" if interactor.GetShiftKey() else otherwise
        self._last = (x, y)
        if self._held not in ("turn", "shift"):
            self._moved()

    def _moved(self) -> None:
        if self._held:
            self._pointer = self.plotter.iren.interactor.GetEventPosition()

    def _released(self) -> None:
        if self._held:
            if self._pointer is not None:
                pointer, self._pointer = self._pointer, None
                self._try(lambda: self._drag_to(*pointer))
            self._held = ""
            self.session.settle()
            self._stale = "still"

    def _drag_to(self, x: int, y: int) -> None:
        """Bring what the mouse holds to where the mouse is."""
        (from_x, from_y), self._last = self._last, (x, y)
        if self._held == "turn":
            turned = _DEGREES_PER_WINDOW / self._size[1]
            self.stage.turn((from_x - x) * turned, (from_y - y) * turned)
        elif self._held == "shift":
            self.stage.shift(x - from_x, y - from_y)
        elif self._held == "position" and self.stage.strip is not None:
            self.session.walk(self.stage.strip.position_at(x))
        else:
            value = self.panel.value_at(self._held, x)
            if value is not None:
                self.set_slider(self._held, value)
        self._stale = "fast"

    def _zoom(self, factor: float) -> None:
        self.stage.zoom(factor)
        self._stale = "still"

    def _expose(self) -> None:
        self._stale = self._stale or "still"

    def _play_on(self, seconds: float) -> None:
        """Walk on along the path, back from its end to its beginning."""
        last = len(self.session.state.anchors) - 1
        self.played += min(seconds, 0.2) * _PATHS_PER_SECOND
        there = math.fmod(self.played, 2 * last)
        self.session.walk(there if there <= last else 2 * last - there)
        self._stale = "fast"


def _spelled(expression: str) -> str:
    """Return an expression as it is printed."""
    spaced = re.sub(r"\s*([+-])\s*", r" \1 ", expression).strip()
    return spaced.replace("-", "−").replace("*", " · ")


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else "0"


class _Dropped:
    """What VTK calls when files are dropped onto the window."""

    CallDataType = VTK_OBJECT

    def __init__(self, open_files: Callable[[Sequence[str]], None]) -> None:
        self._open = open_files

    def __call__(self, caller: Any, event: str, names: Any = None) -> None:
        self._open([names.GetValue(i) for i in range(names.GetNumberOfValues())])
