"""A window's work on files: what is written, what is opened, and work that takes seconds.

Such work is a generator: it does one part, says in a line how far it is, and the window draws and listens in between.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from viewer.desktop.work import Work
from viewer.exports import free_name, write_shape, write_turntable
from viewer.reading import Photo, Reader, Solid, tidy_name
from viewer.session import Session
from viewer.stage import Stage
from voxgan.errors import UsageError, VoxganError
from voxgan.preview import write_png

if TYPE_CHECKING:
    import pyvista

__all__ = ["FileWork"]

_UP_AXES = ("z", "y")  # where files have it, with few exceptions
_TURNTABLES = {".gif": (36, (512, 512)), ".mp4": (90, (720, 720))}
_WELCOME = "drag the sliders, turn the shape, press h for all keys; drop photos and meshes here"

Result = TypeVar("Result")


class FileWork:
    """What a window shows besides its session, and its work on files.

    Attributes
    ----------
    status : str
        One line that the window shows; `wrong` says whether it is an error.
    task : generator of str, optional
        Work that is under way, a line for every part of it; `progress` is the last of these.
    changed, progressed : bool
        Whether there is something to draw; whether it is only how far work is, which can wait a moment.
    """

    def __init__(self, session: Session, plotter: pyvista.Plotter, folder: Path) -> None:
        self.plotter, self.folder = plotter, folder
        self.stage = Stage(plotter, session)
        self.status, self.wrong = _WELCOME, False
        self.task: Generator[str, None, None] | None = None
        self.progress = ""
        self.changed, self.progressed = True, False
        self.up = _UP_AXES[0]  # in meshes that are opened
        self._files: list[Path] = []  # that wait to be opened

    @property
    def session(self) -> Session:
        """What is being looked at."""
        return self.stage.session

    @cached_property
    def reader(self) -> Reader:
        """What opens files, in processes of its own."""
        return Reader(processes=1)

    def say(self, line: str, wrong: bool = False) -> None:
        """Show a line at the lower edge."""
        self.status, self.wrong, self.changed = line, wrong, True

    def _try(self, call: Callable[[], Any]) -> None:
        """Do something; if it cannot be done, say why, and all stays as it was."""
        try:
            call()
        except VoxganError as error:
            self.say(str(error), wrong=True)
        self.changed = True

    # Files

    def write_picture(self) -> None:
        """Write what is seen, without the window around it."""
        width, height = self.plotter.render_window.GetSize()
        path = free_name(self.folder, "voxgan", ".png")
        write_png(path, self.stage.picture((width, height)))
        self._say_written(path)

    def write_gif(self) -> None:
        """Write a turntable as GIF."""
        self._work(self._turntable(".gif"))

    def write_mp4(self) -> None:
        """Write a turntable as MP4."""
        self._work(self._turntable(".mp4"))

    def write_obj(self) -> None:
        """Write the shape as OBJ."""
        self._write_shape(".obj")

    def write_stl(self) -> None:
        """Write the shape as STL, in millimetres."""
        self._write_shape(".stl")

    def write_glb(self) -> None:
        """Write the shape as GLB."""
        self._write_shape(".glb")

    def write_session(self) -> None:
        """Save the session."""
        self.session.camera = self.stage.camera()
        self._say_written(self.session.save(free_name(self.folder, "voxgan", ".json")))

    def open(self, paths: Sequence[str | Path]) -> None:
        """Open photos, meshes, volumes and saved sessions, one after another; they wait for what is under way."""
        self._files.extend(Path(path) for path in paths)
        if self._files and self.task is None:
            self._work(self._opening())

    def change_up(self) -> None:
        """Take the other axis for up in meshes that are opened from now on."""
        self.up = _UP_AXES[1 - _UP_AXES.index(self.up)]
        self.say(f"in meshes that you open from now on, up is {self.up}")

    def _write_shape(self, suffix: str) -> None:
        path = free_name(self.folder, "voxgan", suffix)
        self._say_written(write_shape(self.session.shape(), path, self.session.state.level))

    def _say_written(self, path: Path) -> None:
        self.say(f"written: {path.name}, in {path.absolute().parent}")

    # Work that takes its time: a generator that gives a line for every part

    def work_on(self) -> bool:
        """Do the next part of what is under way; say whether anything has changed."""
        if self.task is None:
            return False
        try:
            line = next(self.task)
        except StopIteration:
            self._end_task()
            self.open(())
        except VoxganError as error:
            self._end_task()
            self.say(str(error), wrong=True)
        else:
            if line == self.progress:
                return False
            self.progress, self.progressed = line, True
        return True

    def stop_work(self) -> None:
        """Give up what is under way, and what waits for it."""
        self._files.clear()
        task = self.task
        self._end_task()
        if task is not None:
            task.close()
        if "reader" in self.__dict__:
            self.reader.close()

    def _end_task(self) -> None:
        self.task, self.progress, self.progressed = None, "", True

    def _work(self, task: Generator[str, None, None]) -> None:
        if self.task is not None:
            raise UsageError("still busy; wait, or press Esc to stop that")
        self.say("")
        self.task = task

    def _turntable(self, suffix: str) -> Generator[str, None, None]:
        frames, size = _TURNTABLES[suffix]
        path, pictures = free_name(self.folder, "voxgan", suffix), []
        for picture in self.stage.turntable(frames, size):
            pictures.append(picture)
            yield f"turntable: picture {len(pictures)} of {frames}  (Esc stops)"
        yield from self._awaited(Work(lambda report: write_turntable(pictures, path)), f"writing {path.name} …")
        self._say_written(path)

    def _opening(self) -> Generator[str, None, None]:
        wrong, line = [], ""
        while self._files:
            path = self._files.pop(0)
            try:
                line = yield from self._opened(path)
            except VoxganError as error:
                name = tidy_name(path.name)
                wrong.append(str(error) if name in str(error) else f"{name}: {error}")
        more = f"  (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        self.say(wrong[0] + more if wrong else line, wrong=bool(wrong))

    def _opened(self, path: Path) -> Generator[str, None, str]:
        """Read a file and make of it what it is for; return what to say."""
        name, resolution, up = tidy_name(path.name), self.session.model.config.resolution, self.up
        reading = Work(lambda report: self.reader.read(path, resolution=resolution, up=up))
        content = yield from self._awaited(reading, f"reading {name}")
        if isinstance(content, Photo):
            anchor = self.session.add_photo(content.image, name)
            return f"{anchor.name} is what the network sees in {name}"
        if isinstance(content, Solid):
            fit = Work(lambda report: self.session.fit(content.occupancy, report))
            z, iou = yield from self._awaited(fit, f"looking for {name} in the latent space")
            anchor = self.session.add_fitted(z, iou, name)
            return f"{anchor.name} is the nearest there is to {name}: IoU {iou:.2f}"
        line = self.session.restore(content.content)
        self.stage.set_camera(self.session.camera)
        return line or f"opened {name}; z goes back"

    def _awaited(self, work: Work[Result], line: str) -> Generator[str, None, Result]:
        """Wait for work in its thread, with a line that says how far it is; if given up, so is the work."""
        try:
            while work.is_running:
                share = f", {100 * work.done // work.total} %" if work.total else ""
                yield f"{line}{share}  (Esc stops)"
            return work.result()
        finally:
            work.stop()
