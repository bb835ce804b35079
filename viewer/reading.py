"""Files of strangers: photos, meshes, volumes and sessions, read where they can harm nothing.

Pictures and shapes are opened in a few processes of their own (`voxgan.child`), each within limits of time and memory.
Of a file's name only the suffix counts; what stands in messages is a tidied one.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import tempfile
import threading
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from viewer.opening import Photo, Solid
from voxgan import mesh, volumes
from voxgan.axes import AXES
from voxgan.child import Child, ChildLost, Limits
from voxgan.errors import InputError, StorageError, UsageError, VoxganError
from voxgan.voxels import MAX_SIDE

__all__ = [
    "MAX_UPLOAD_BYTES",
    "MESH_SUFFIXES",
    "PHOTO_SUFFIXES",
    "SESSION_SUFFIXES",
    "Photo",
    "Reader",
    "Saved",
    "Solid",
    "tidy_name",
]

PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Names that become a `Photo`; which of these formats it is, its content says."""

MESH_SUFFIXES = (*mesh.MESH_SUFFIXES, *volumes.VOLUME_SUFFIXES)
"""Names that become a `Solid`: meshes and volumes."""

SESSION_SUFFIXES = (".json",)
"""Names that become a `Saved`."""

MAX_UPLOAD_BYTES = 32 << 20
"""What comes as bytes is refused above so many."""

_MAX_DEPTH = 16  # of lists in lists in a session; ours have 4
_LONGEST_NAME = 60
_LONGEST_PATH = 4096  # of a name as it came, nothing before is looked at
_IN_LINE = 32  # calls that may wait for a process
_PATIENCE = 60  # seconds that a call waits for one

_Kind = TypeVar("_Kind", Photo, Solid)


@dataclass(frozen=True)
class Saved:
    """The content of a session's file, for `Session.restore` and `Session.add_saved`, which look into it.

    Attributes
    ----------
    content : dict
    """

    content: dict[str, Any]


class Reader:
    """Reads files for several visitors at once, from any thread, in a few processes that it starts when needed.

    Parameters
    ----------
    limits : Limits
        Of time and memory for one file.
    processes : int
        How many files are read at once; further calls wait in line.

    Examples
    --------
    >>> import trimesh
    >>> reader = Reader()
    >>> reader.read(trimesh.creation.box().export(file_type="stl"), "box.stl", resolution=16).occupancy.shape
    (16, 16, 16)
    >>> reader.close()
    """

    def __init__(self, limits: Limits = Limits(seconds=20, gigabytes=2), processes: int = 2) -> None:  # noqa: B008
        self._children = [
            Child("viewer.opening:open_file", limits, "reads files", (Photo, Solid)) for _ in range(processes)
        ]
        self._free: queue.LifoQueue[Child] = queue.LifoQueue()  # the one used last goes first: it is warm
        for child in self._children:
            self._free.put(child)
        self._line = threading.Semaphore(processes + _IN_LINE)
        self._times_closed = 0
        weakref.finalize(self, _close, self._children)

    def close(self) -> None:
        """End the processes; what is being read or waits is lost. Another call starts them anew."""
        self._times_closed += 1
        _close(self._children)

    def read(
        self, source: str | Path | bytes, name: str = "", resolution: int = 64, up: str = "z"
    ) -> Photo | Solid | Saved:
        """Read whatever the suffix says: a photo, a mesh or volume, or a session.

        Parameters
        ----------
        source : path or bytes
            A file, or its content.
        name : str
            What the file is called, by whom ever; needed where the content comes as bytes.
        resolution, up
            As for `solid`.

        Raises
        ------
        InputError
            If the file is nothing of the kind, damaged, too large, or takes too long or too much memory.
        StorageError
            If it cannot be read, or too many others are being read.
        UsageError
            If `resolution` or `up` is none.
        """
        suffix = _suffix(source, name)
        if suffix in PHOTO_SUFFIXES:
            return self.photo(source, name)
        if suffix in MESH_SUFFIXES:
            return self.solid(source, name, resolution, up)
        if suffix in SESSION_SUFFIXES:
            _refuse_large(source, name)
            with _as_file(source, name) as path:
                return Saved(_session(path))
        raise InputError(
            f"{_label(source, name)}: cannot be read here; expected a photo ({' '.join(PHOTO_SUFFIXES)}), "
            f"a mesh or volume ({' '.join(MESH_SUFFIXES)}), or a session ({' '.join(SESSION_SUFFIXES)})"
        )

    def photo(self, source: str | Path | bytes, name: str = "") -> Photo:
        """Read a photo, whatever its name; raises as `read`."""
        return self._opened(Photo, source, name)

    def solid(self, source: str | Path | bytes, name: str = "", resolution: int = 64, up: str = "z") -> Solid:
        """Read a mesh or volume.

        Parameters
        ----------
        source, name
            As for `read`.
        resolution : int
            Cells along a side, 2 to 512.
        up : str
            Where up points in the file, one of `AXES`. A GLB is y-up by its standard, whatever is said here.

        Raises
        ------
        InputError, StorageError, UsageError
            As `read`.
        """
        if not 2 <= resolution <= MAX_SIDE:
            raise UsageError(f"resolution {resolution}: expected 2 to {MAX_SIDE}")
        if up not in AXES:
            raise UsageError(f"up axis {str(up)[:20]!r}; expected one of {', '.join(AXES)}")
        return self._opened(Solid, source, name, int(resolution), up)

    def _opened(self, kind: type[_Kind], source: str | Path | bytes, name: str, *asked: Any) -> _Kind:
        """Have a file opened by the next process that is free."""
        _refuse_large(source, name)
        with self._child() as child, _as_file(source, name) as path:
            try:
                opened = child.call(kind.__name__, str(path), *asked)
                if not isinstance(opened, kind):
                    raise ChildLost("the process that read it answered with something else")
                return opened
            except ChildLost as lost:
                raise InputError(f"{path}: {lost}; give a smaller or simpler file") from lost

    @contextlib.contextmanager
    def _child(self) -> Iterator[Child]:
        busy = "too many files are being read at once; try again in a minute"
        if not self._line.acquire(blocking=False):
            raise StorageError(busy)
        times_closed = self._times_closed
        try:
            child = self._free.get(timeout=_PATIENCE)
        except queue.Empty:
            self._line.release()
            raise StorageError(busy) from None
        try:
            if times_closed != self._times_closed:
                raise StorageError("files are no longer read here")
            yield child
        finally:
            self._free.put(child)
            self._line.release()


def _close(children: list[Child]) -> None:
    for child in children:
        child.close()


# --------------------------------------------------------------------------------------------------------- names
def tidy_name(name: str) -> str:
    r"""Return a stranger's name of a file as it can be shown: no folders, one line, at most 60 characters.

    It is text; a page has to escape it as it does all text.

    Examples
    --------
    >>> tidy_name("../../etc/a\0chair\n.png"), tidy_name("C:\\photos\\漢.jpg"), len(tidy_name("a" * 300 + ".png"))
    ('a chair .png', '漢.jpg', 60)
    """
    text = _printable(name[-_LONGEST_PATH:].replace("\\", "/").rpartition("/")[2])
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 10]}…{text[-9:]}"


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _suffix(source: str | Path | bytes, name: str) -> str:
    """Return what the content of a file is taken for: the suffix of a path, or of the name that came with bytes."""
    text = tidy_name(name if isinstance(source, bytes) else Path(source).name).lower()
    return text[text.rfind(".") :] if "." in text else ""


def _label(source: str | Path | bytes, name: str) -> str:
    """Return what a file is called in messages."""
    return tidy_name(name) or ("the file" if isinstance(source, bytes) else _printable(str(source)))


def _refuse_large(source: str | Path | bytes, name: str) -> None:
    if isinstance(source, bytes) and len(source) > MAX_UPLOAD_BYTES:
        size = len(source) / 2**20
        raise InputError(
            f"{_label(source, name)}: has {size:.1f} MB, at most {MAX_UPLOAD_BYTES >> 20} are read; make it smaller"
        )


@contextlib.contextmanager
def _as_file(source: str | Path | bytes, name: str) -> Iterator[Path]:
    """Give a file to be read, a private one for bytes, gone afterwards; in errors it bears its tidied name."""
    label = _label(source, name)
    with contextlib.ExitStack() as stack:
        if isinstance(source, bytes):
            path = _written(stack, source, _suffix(source, name))
        else:
            path = Path(source).absolute()
            if not path.is_file():  # a pipe would keep its reader waiting
                there = path.exists()
                raise StorageError(
                    f"{label} is no file: a file was expected" if there else f"there is no file {label}: check the name"
                )
        try:
            yield path
        except VoxganError as error:
            error.args = (_printable(str(error).replace(str(path), label)),)
            raise


def _written(stack: contextlib.ExitStack, content: bytes, suffix: str) -> Path:
    """Write bytes to a file in a folder that only this user may enter."""
    known = suffix if suffix in (*PHOTO_SUFFIXES, *MESH_SUFFIXES, *SESSION_SUFFIXES) else ""
    try:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="voxgan-", ignore_cleanup_errors=True))
        path = Path(folder, f"upload{known}")
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"cannot keep an uploaded file: {error.strerror or error}; free space") from error
    return path


# ------------------------------------------------------------------------------------------------------- reading
def _session(path: Path) -> dict[str, Any]:
    """Return the content of a session's file, if it is plain and shallow."""
    from viewer.saved import read_json

    content = read_json(path)
    level, depth = [content], 0
    while level and depth <= _MAX_DEPTH:
        inside = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level, depth = list(itertools.chain.from_iterable(inside)), depth + 1
    if not isinstance(content, dict) or depth > _MAX_DEPTH:
        raise InputError(f"{path}: this is no session; expected a JSON file that the viewer has saved")
    return content
