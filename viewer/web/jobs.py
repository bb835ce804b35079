"""Slow work for one visitor, beside everything else: files that were dropped, samples for the gallery."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from viewer.reading import (
    MAX_UPLOAD_BYTES,
    MESH_SUFFIXES,
    PHOTO_SUFFIXES,
    SESSION_SUFFIXES,
    Photo,
    Saved,
    Solid,
    tidy_name,
)
from viewer.saved import tidy
from viewer.web.shared import picture_address, shape_picture
from voxgan.axes import AXES
from voxgan.errors import UsageError, nearest

if TYPE_CHECKING:
    from viewer.session import Session
    from viewer.web.visitor import Visitor

__all__ = ["Gallery", "Job", "take", "upload_kinds"]

_SAMPLES = 12
_LAST_PAGE = 100_000
_POOR = 0.4  # IoU of what was found with what was given
_LOOK_SECONDS = 0.3  # between looks at whether waiting work was given up


class CancelledError(Exception):
    """The visitor has given a job up."""


class Job:
    """One piece of work, of which a visitor has at most one at a time.

    Parameters
    ----------
    label : str
        What it is, for people.
    """

    def __init__(self, label: str) -> None:
        self.label, self.share = label, 0.0
        self._given_up = threading.Event()

    @property
    def shown(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {"label": self.label, "share": round(self.share, 3)}

    def cancel(self) -> None:
        """Give it up at its next step."""
        self._given_up.set()

    def check(self) -> None:
        """Raise if it was given up."""
        if self._given_up.is_set():
            raise CancelledError


class Gallery:
    """Pages of samples to pick anchors from."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._task: asyncio.Task[None] | None = None
        self.shown: dict[str, Any] = {"items": [], "page": 0, "class_name": "", "loading": False, "model": ""}

    @property
    def is_open(self) -> bool:
        """Whether it has been looked at."""
        return bool(self.shown["model"])

    def open(self, page: int, class_name: str | None) -> None:
        """Show another page; what is left of the one before is not drawn any more."""
        session = self._visitor.session
        if not 0 <= page <= _LAST_PAGE:
            raise UsageError(f"page {page} of the gallery; expected 0 to {_LAST_PAGE}")
        if class_name is not None and class_name not in session.classes:
            raise UsageError(f"no class {tidy(class_name)!r}; {nearest(class_name, session.classes)}")
        self.close()
        self.shown = {
            "items": [], "page": page, "class_name": class_name or "", "loading": True, "model": session.name,
        }  # fmt: skip
        self._show()
        self._task = self._visitor.start(self._fill(session, page, class_name))

    def close(self) -> None:
        """Draw no more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _fill(self, session: Session, page: int, class_name: str | None) -> None:
        shared = self._visitor.shared
        try:
            samples = await shared.compute(session.gallery, _SAMPLES, page, class_name)
            for pick, shape in samples:
                address = await shared.compute(shape_picture, shape)
                name = pick.get("class_name") or "random"
                item = {"seed": pick["seed"], "label": f"{name} {pick['seed']}", "picture": address}
                self.shown = {**self.shown, "items": [*self.shown["items"], item]}
                self._show()
        finally:
            if asyncio.current_task() is self._task:
                self.shown = {**self.shown, "loading": False}
                self._show()

    def _show(self) -> None:
        if self._visitor.screen is not None:
            self._visitor.screen.show({"gallery": self.shown})


def upload_kinds() -> dict[str, Any]:
    """Return what the page must know about files that may be given to it."""
    return {
        "photo_suffixes": ",".join(PHOTO_SUFFIXES),
        "file_suffixes": ",".join((*PHOTO_SUFFIXES, *MESH_SUFFIXES, *SESSION_SUFFIXES)),
        "session_suffixes": ",".join(SESSION_SUFFIXES),
        "up_axes": list(AXES),
        "most_megabytes": MAX_UPLOAD_BYTES >> 20,
    }


async def take(visitor: Visitor, content: bytes, name: str, up: str = "z") -> str:
    """Take a file over: a photo or a solid becomes an anchor, a saved session the session.

    Parameters
    ----------
    visitor : Visitor
    content : bytes
    name : str
        What the visitor calls it; only its suffix counts.
    up : str
        Where up points in a mesh.

    Returns
    -------
    str
        What is said about it. The search for the latent of a solid goes on after that.

    Raises
    ------
    VoxganError
        If the file cannot be used, or other work is not done yet.
    """
    if visitor.job is not None:
        raise UsageError(f"{visitor.job.label} is not done yet; wait for it, or cancel it")
    label = tidy_name(name) or "a file"
    job = visitor.job = Job(f"Reading {label}")
    visitor.tell(alert="", notice="")
    visitor.show_job()
    try:
        found = await visitor.shared.read(content, name, visitor.session.model.config.resolution, up)
        job.check()
        said = await _use(visitor, job, found, label)
    except CancelledError:
        said = f"{label} was given up"
        visitor.job = None
    except BaseException:
        visitor.job = None
        visitor.refresh()
        raise
    visitor.tell(alert="", announcement=said)
    visitor.refresh()
    return said


async def _use(visitor: Visitor, job: Job, found: Photo | Solid | Saved, label: str) -> str:
    if isinstance(found, Solid):
        visitor.check_room()
        visitor.start(_fit(visitor, visitor.session, job, found, label))
        return f"Looking for the shape nearest to {label}"
    visitor.job = None
    if isinstance(found, Photo):
        anchor = visitor.session.add_photo(found.image, label)
        visitor.remember_photo(anchor, picture_address(found.thumbnail))
        return f"{anchor.name} added: {label}"
    said = await visitor.restore(found.content)
    visitor.tell(notice=said)
    return said


@contextlib.asynccontextmanager
async def _turn(fitting: asyncio.Semaphore, job: Job) -> AsyncIterator[None]:
    """Wait until it is this job's turn, or it was given up."""
    while True:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await fitting.acquire()
            break
        except TimeoutError:
            job.check()
    try:
        job.check()
        yield
    finally:
        fitting.release()


async def _fit(visitor: Visitor, session: Session, job: Job, solid: Solid, label: str) -> None:
    """Look for the latent of a solid; the session takes it when it is found."""
    loop = asyncio.get_running_loop()
    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        job.check()
        job.share = done / max(total, 1)
        if loop.time() - last > 0.2:
            last = loop.time()
            loop.call_soon_threadsafe(visitor.show_job)

    try:
        if visitor.shared.fitting.locked():
            job.label = f"{label} waits for another visitor's file"
            visitor.show_job()
        async with _turn(visitor.shared.fitting, job):
            job.label = f"Looking for the shape nearest to {label}"
            visitor.show_job()
            z, iou = await visitor.shared.compute(session.fit, solid.occupancy, report)
        anchor = session.add_fitted(z, iou, label)
        words = f"{anchor.name} is {100 * iou:.0f} % the same as {label}"
        if iou < _POOR:
            words += "; if it lay on its side, choose in Files where up is"
        visitor.tell(notice=words, announcement=words)
    except CancelledError:
        visitor.announce(f"{label} was given up")
    finally:
        visitor.job = None
        visitor.refresh()
