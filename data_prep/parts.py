"""What a preparation has done so far, beside its output: ``mine.h5.parts/``.

============================  ===================================================================================
``plan.json``                 the options, the number of shapes, and a fingerprint of their list
``part-000000512-….h5``       a whole data set of its own: the shapes from number 512 on, and what was set aside there;
                              beside it, ending in ``.sha256``, its checksum
``.lock``                     held while a process is at work
============================  ===================================================================================

Parts appear whole or not at all, in the order of the list; so the last one says where to go on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep.sources import Item
from data_prep.worker import IMAGE_SIZE, Built, Recipe
from voxgan.dataset import PARTS_SUFFIX, Dataset
from voxgan.dataset_writer import Writer
from voxgan.errors import DatasetError, StorageError, UsageError
from voxgan.files import exclusive, sha256, sweep_temporaries, write_bytes, write_json

__all__ = ["Parts", "check_free", "parts_folder", "sweep_merged"]

MAX_SHAPES = 256
MAX_BYTES = 1 << 28
MAX_SECONDS = 20.0
"""A part is written when so many shapes, bytes or seconds have come together: no more than that is lost to a crash."""

_NAME = re.compile(r"^part-(\d{9})-(\d{9})\.h5$")


def parts_folder(out: Path) -> Path:
    """Return the folder in which the parts of a data set stand until it is whole."""
    return out.with_name(out.name + PARTS_SUFFIX)


class Parts:
    """The parts of one preparation; use it through `Parts.open`."""

    def __init__(self, folder: Path, classes: Sequence[str], recipe: Recipe, done: int) -> None:
        self.folder, self.classes, self.recipe = folder, classes, recipe
        self.done = done
        """Shapes of the list that stand in parts."""
        self._waiting: list[Built] = []
        self._bytes = 0
        self._began = time.monotonic()

    @classmethod
    @contextlib.contextmanager
    def open(cls, out: Path, items: Sequence[Item], recipe: Recipe, restart: bool = False) -> Iterator[Parts]:
        """Take up the parts of a preparation of `out`, or begin it; keep other processes out for the block.

        Raises
        ------
        StorageError
            If another process prepares `out`, or the folder cannot be written.
        UsageError
            If other options or other shapes were begun there, and `restart` is not set.
        """
        folder = parts_folder(out)
        plan = {
            "options": dict(vars(recipe)),
            "shapes": len(items),
            "fingerprint": _fingerprint(items),
        }
        with exclusive(folder):
            sweep_temporaries(folder)
            former = _read_plan(folder)
            if former != plan:
                if former is not None and not restart:
                    raise UsageError(
                        f"{folder}: {_difference(former, plan)}; go on with the same, or begin anew with --overwrite"
                    )
                for path in folder.glob("part-*.h5"):  # without a plan nobody knows what these were made with
                    _drop(path)
            write_json(folder / "plan.json", plan)
            classes = sorted({item.class_name for item in items})
            parts = cls(folder, classes, recipe, _whole(folder, items, recipe))
            try:
                yield parts
            finally:
                if not parts.paths():
                    parts.remove()

    def add(self, built: Built) -> None:
        """Take the next shape of the list; write a part when enough have come together."""
        if not self._waiting:
            self._began = time.monotonic()
        self._waiting.append(built)
        if built.row is not None:
            self._bytes += sum(len(chunk) for chunks in built.row.chunks.values() for chunk in chunks)
        full = len(self._waiting) >= MAX_SHAPES or self._bytes >= MAX_BYTES
        if full or time.monotonic() - self._began >= MAX_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a part."""
        if not self._waiting:
            return
        stop = self.done + len(self._waiting)
        path = self.folder / f"part-{self.done:09d}-{stop:09d}.h5"
        with self.writer(path) as writer:
            for built in self._waiting:
                if built.row is None:
                    writer.set_aside(built.source, built.reason)
                else:
                    writer.append(built.row)
        write_bytes(_seal(path), sha256(path).encode())
        self._waiting.clear()
        self._bytes = 0
        self.done = stop

    def writer(self, path: Path) -> contextlib.AbstractContextManager[Writer]:
        """Open a writer of this kind of data set; what a crash leaves of it is swept with the parts."""
        recipe, size = self.recipe, IMAGE_SIZE
        return Writer.create(path, recipe.resolution, self.classes, recipe.views, size, recipe.mode, self.folder)

    def kept(self, total: int) -> str:
        """Say what is kept, and how to go on."""
        return f"{self.done} of {total} shapes are kept in {self.folder}, the same command goes on"

    def paths(self) -> list[Path]:
        """Return the parts in order."""
        return _parts_in(self.folder)

    def remove(self) -> None:
        """Remove what is ours, and the folder if nothing else is in it: the data set is whole."""
        _remove(self.folder)


def check_free(out: Path) -> None:
    """Refuse early, before sources are read, what another process prepares.

    Raises
    ------
    StorageError
        If one does.
    """
    if parts_folder(out).is_dir():
        with exclusive(parts_folder(out)):
            pass


def sweep_merged(out: Path) -> None:
    """Remove parts that were all put into `out` by a process that was killed before it could remove them."""
    folder = parts_folder(out)
    if not folder.is_dir():
        return
    with contextlib.suppress(OSError, StorageError), exclusive(folder):
        plan = _read_plan(folder)
        parts = _parts_in(folder)
        if plan is not None and parts:
            last = _NAME.match(parts[-1].name)
            newest = max(path.stat().st_mtime_ns for path in parts)
            if last is None or int(last[2]) != plan.get("shapes") or out.stat().st_mtime_ns < newest:
                return  # they are worth going on with
        _remove(folder)


def _parts_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("part-*.h5") if _NAME.match(path.name))


def _remove(folder: Path) -> None:
    """Remove what is ours, and the folder if nothing else is in it; the plan first: parts are nothing without it."""
    sweep_temporaries(folder)
    ours = [*folder.glob("part-*.h5"), *folder.glob("part-*.sha256")]
    with contextlib.suppress(OSError):
        for path in (folder / "plan.json", *ours, folder / ".lock"):
            path.unlink(missing_ok=True)
        folder.rmdir()


def _whole(folder: Path, items: Sequence[Item], recipe: Recipe) -> int:
    """Return how many shapes stand in an unbroken, readable row of parts; drop what stands behind a gap."""
    done = 0
    for path in sorted(folder.glob("part-*.h5")):
        match = _NAME.match(path.name)
        if match and int(match[1]) == done < int(match[2]) and _holds(path, items[done : int(match[2])], recipe):
            done = int(match[2])
        else:
            _drop(path)
    return done


def _seal(path: Path) -> Path:
    """Return where the SHA-256 of a part stands: a part that still has it need not be read row by row."""
    return path.with_suffix(".sha256")


def _drop(path: Path) -> None:
    path.unlink()
    _seal(path).unlink(missing_ok=True)


def _is_sealed(path: Path) -> bool:
    try:
        return _seal(path).read_text() == sha256(path)
    except (OSError, ValueError):
        return False


def _holds(path: Path, items: Sequence[Item], recipe: Recipe) -> bool:
    """Say whether a part holds these shapes, made or set aside, in this order, and can be read to its last row."""
    try:
        with Dataset(path, "all") as data:
            if (data.resolution, data.mode, data.num_views) != (recipe.resolution, recipe.mode, recipe.views):
                return False
            rows = deque(zip(data.names(), data.sources(), strict=True))
            aside = deque(source for source, _ in data.set_aside())
            for item in items:
                name, source = (os.fsencode(text).decode(errors="replace") for text in (item.name, item.source))
                if rows and rows[0] == (name, source):
                    rows.popleft()
                elif aside and aside[0] == source:
                    aside.popleft()
                else:
                    return False
            if rows or aside:
                return False
            if _is_sealed(path):
                return True
            data.transforms(), data.cameras(), data.source_sha256()
            for i in range(len(data)):
                data.packed([i])
                if recipe.mode == "sdf":
                    data.distance([i])
                for view in range(recipe.views):
                    data.views([i], [view])
    except (DatasetError, StorageError):
        return False
    return True


def _fingerprint(items: Sequence[Item]) -> str:
    digest = hashlib.sha256()
    for item in items:
        digest.update(repr(item).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _read_plan(folder: Path) -> dict[str, Any] | None:
    try:
        plan = json.loads((folder / "plan.json").read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return plan if isinstance(plan, dict) else None


def _difference(former: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Say what the two plans differ in."""
    before = former.get("options")
    before = before if isinstance(before, dict) else {}
    for key, value in plan["options"].items():
        if before.get(key) != value:
            return f"a preparation with {key}={before.get(key)} was begun there, this one has {key}={value}"
    if former.get("shapes") != plan["shapes"]:
        return (
            f"a preparation of {former.get('shapes')} shapes was begun there, these are {plan['shapes']} "
            "(have files come or gone?)"
        )
    return "a preparation of other shapes was begun there (have files come or gone?)"
