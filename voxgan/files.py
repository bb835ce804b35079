"""Files that are whole or not there: every file that voxgan writes goes through `atomic_write`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from voxgan.errors import StorageError

try:
    import fcntl
except ImportError:  # Windows has none: there, two runs in one folder are not noticed
    fcntl = None  # type: ignore[assignment]

__all__ = ["atomic_write", "check_output", "exclusive", "sha256", "sweep_temporaries", "write_bytes", "write_json"]

_PREFIX = ".voxgan-"
_SUFFIX = ".partial"


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


@contextlib.contextmanager
def atomic_write(path: str | Path, within: Path | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path`; put it in place, whole and synced, when the block ends well.

    Parameters
    ----------
    path : path
        Where the file shall stand. Its folder is made if it is missing.
    within : path, optional
        Where the temporary file shall stand: a folder on the same disk that the caller sweeps; default beside `path`.

    Yields
    ------
    pathlib.Path
        A file beside it, empty, to be written by the block. It keeps the suffix of `path`.

    Raises
    ------
    StorageError
        If the folder or the file cannot be written. Whatever stood at `path` is untouched then.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_write(folder / "a.txt") as partial:
    ...     _ = partial.write_text("whole")
    >>> (folder / "a.txt").read_text()
    'whole'
    """
    path = Path(path)
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_other_than_file(path)
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX + path.suffix, dir=within or path.parent)
        os.close(handle)
        partial = Path(name)
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        partial.chmod(0o666 & ~mask)
        partial.replace(path)
        partial = None
        _sync_folder(path.parent)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {path}: {_reason(error)}; choose another place or free space") from error
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink()


def _refuse_other_than_file(path: Path) -> None:
    """Refuse a folder, and a device or pipe (``/dev/null``), in whose place a file would be put."""
    if path.is_dir():
        raise IsADirectoryError(21, "it is a folder, a file name was expected")
    if path.exists() and not path.is_file():
        raise OSError(22, "it is a device or a pipe, a file name was expected")


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sweep_temporaries(folder: str | Path) -> int:
    """Remove what an interrupted `atomic_write` left in `folder`; return how many files that were."""
    count = 0
    for leftover in Path(folder).glob(f"{_PREFIX}*{_SUFFIX}*"):
        with contextlib.suppress(OSError):
            leftover.unlink()
            count += 1
    return count


@contextlib.contextmanager
def exclusive(folder: str | Path) -> Iterator[None]:
    """Keep other processes out of a folder for the block; the system lets go of it when the process ends.

    Raises
    ------
    StorageError
        If another process is at work there, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        file = _lock_file(folder)
        try:
            while fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise StorageError(
                        f"{folder}: another process is at work in it; wait for it, or stop it"
                    ) from error
                if _is_there(file, folder / ".lock"):
                    break
                file.close()  # its last owner removed it between our opening and our locking
                file = _lock_file(folder)
            yield
        finally:
            file.close()
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot write in {folder}: {_reason(error)}; choose another place") from error


def _lock_file(folder: Path) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / ".lock").open("w")


def _is_there(file: IO[str], path: Path) -> bool:
    """Say whether an open file still stands under its name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def check_output(path: str | Path) -> Path:
    """Refuse early what could not be written late: make the folder of `path` and try it.

    Raises
    ------
    StorageError
        If the folder cannot be made or written, or `path` is a folder or a device.
    """
    path = Path(path)
    try:
        _refuse_other_than_file(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise StorageError(f"cannot write {path}: {_reason(error)}; choose another place") from error
    return path


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON to `path`, whole or not at all."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
