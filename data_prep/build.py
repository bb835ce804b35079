"""Sources → voxelise → render → one HDF5 data set; parallel, resumable, bad shapes set aside with the reason."""

from __future__ import annotations

import contextlib
import csv
import io
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.parts import Parts, check_free, sweep_merged
from data_prep.pool import Limits, build_all, num_cores
from data_prep.sources import Item, find_items
from data_prep.worker import IMAGE_SIZE, Built, Recipe
from voxgan.dataset import MODES, line_about
from voxgan.errors import DatasetError, StorageError, UsageError, nearest
from voxgan.files import check_output, write_bytes

__all__ = ["Report", "prepare"]

NUM_BACKGROUNDS = 256
MAX_RESOLUTION = 256
MAX_VIEWS = 1024
_SHOWN = 20


@dataclass(frozen=True)
class Report:
    """What a preparation did.

    Attributes
    ----------
    path : pathlib.Path
        The data set.
    num_shapes : int
        How many it holds.
    set_aside : tuple of (str, str)
        Source and reason of each shape that is not in it.
    """

    path: Path
    num_shapes: int
    set_aside: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.num_shapes} shapes, {len(self.set_aside)} set aside"]
        lines += [f"  {line_about(source, reason)}" for source, reason in self.set_aside[:_SHOWN]]
        if len(self.set_aside) > _SHOWN:
            lines.append(f"  … and {len(self.set_aside) - _SHOWN} more:  voxgan info {self.path} --set-aside")
        return "\n".join(lines)

    def write_csv(self, path: str | Path) -> None:
        """Write what was set aside as a CSV file with the columns source and reason."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerows([("source", "reason"), *self.set_aside])
        write_bytes(path, text.getvalue().encode(errors="surrogateescape"))


def prepare(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    resolution: int = 64,
    views: int = 0,
    classes: Sequence[str] | None = None,
    count: int = 100,
    limit: int | None = None,
    rotations: int = 1,
    test_share: float = 0.1,
    up: str | None = None,
    front: str | None = None,
    labels: str | Path | None = None,
    mode: str = "solid",
    rig: str = "photo",
    renderer: str = "rays",
    backgrounds: str | Path = "mixed",
    seed: int = 0,
    one_piece: float = 0.0,
    workers: int | None = None,
    cluster: str | None = None,
    time_limit: float = 120.0,
    memory: float = 4.0,
    report: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> Report:
    """Make an HDF5 data set of shapes, and of rendered views of them.

    What is done is kept in parts beside `out`. After Ctrl-C, a crash or a power cut the same call goes on where it
    stopped, and the result is the same as without the stop.

    Parameters
    ----------
    source : path, "furniture", or a sequence of them
        See `data_prep.sources.find_items`, which also explains `classes`, `count`, `limit`, `rotations`,
        `test_share`, `up`, `front` and `labels`.
    out : path
        The data set; it appears when it is whole.
    resolution : int
        Cells along a side, even, 16 to 256. The networks are defined for 16, 32, 64 and 128.
    views : int
        Views of each shape (256 × 256, RGBA), and 256 backgrounds to lay behind them; 0 for none, at most 1,024.
        Sources that have pictures of their own (ShapeNet's renderings, IKEA's photos) give those.
    mode : {"solid", "surface", "sdf"}
        What a cell holds: whether it is inside; whether the surface runs through it; inside, and the signed distance.
    rig : str
        From where views are taken; see `voxgan.camera.cameras`.
    renderer : {"rays", "pyvista"}
        Ray casting without OpenGL, or PyVista.
    backgrounds : str or path
        What stands behind the views: "mixed", "plain", "gradient", "rooms", or a folder of pictures.
    seed : int
        Of cameras, materials, lights and backgrounds; 0 or more.
    one_piece : float
        Set aside training shapes whose largest connected part holds less than this share of their cells, 0 to 1: for
        generators, which learn to make loose parts from them. Test shapes stay.
    workers : int, optional
        Processes, 1 or more; default: one for each core.
    cluster : str, optional
        Address of a dask scheduler, or ``local``: build the shapes there (extra ``cluster``).
    time_limit : float
        Seconds after which a shape is set aside.
    memory : float
        Gigabytes that the process which builds a shape may take.
    report : callable, optional
        Called after every shape with the number done and the number of all.
    overwrite : bool
        Whether a data set that stands at `out` may be replaced, once the new one is whole; and whether parts of
        another preparation may be dropped.

    Returns
    -------
    Report
        What is in the data set, and what was set aside and why.

    Raises
    ------
    StorageError
        If a source does not exist, `out` cannot be written, or another process prepares it.
    DatasetError
        If there is nothing to prepare, or every shape had to be set aside.
    UsageError
        For an impossible option, or if `out` exists and `overwrite` is not set.
    """
    _check_numbers(
        test_share,
        time_limit,
        memory,
        one_piece,
        resolution=resolution,
        views=views,
        count=count,
        limit=limit,
        rotations=rotations,
        seed=seed,
        workers=workers,
    )
    many = _listed("source", source)
    wanted = None if classes is None else [str(name) for name in _listed("classes", classes)]
    recipe = Recipe(int(resolution), mode, int(views), rig, renderer, int(seed), float(one_piece))
    _check_names(recipe, backgrounds)
    if cluster is not None:
        from data_prep.cluster import check_address

        check_address(cluster)
    out = check_output(out)
    if out.exists() and not overwrite:
        sweep_merged(out)
        raise UsageError(f"{out} exists; choose another name, or pass --overwrite")
    check_free(out)
    items = find_items(many, wanted, count, limit, rotations, test_share, up, front, labels)
    if not items:
        raise DatasetError(f"{', '.join(map(str, many))}: no shapes to prepare")
    hands = workers or num_cores()
    limits = Limits(time_limit, memory)
    behind = _backgrounds(backgrounds, seed) if views else None
    with _stop_between() as check, Parts.open(out, items, recipe, overwrite) as parts:
        try:
            rest = items[parts.done :]
            for done, built in enumerate(_build(rest, recipe, hands, cluster, limits), parts.done + 1):
                parts.add(built)
                if report is not None:
                    report(done, len(items))
                check()
            parts.flush()
            result = _merge(out, parts, behind, check)
        except KeyboardInterrupt:
            parts.flush()
            raise KeyboardInterrupt(f"stopped; {parts.kept(len(items))}") from None
        except StorageError as error:
            if not parts.done:
                raise
            raise StorageError(f"{error}; {parts.kept(len(items))}") from error
        parts.remove()
    return result


def _build(items: Sequence[Item], recipe: Recipe, workers: int, cluster: str | None, limits: Limits) -> Iterator[Built]:
    if cluster is None:
        return build_all(items, recipe, workers, limits)
    from data_prep.cluster import build_on_cluster

    return build_on_cluster(cluster, items, recipe, workers, limits)


def _merge(
    out: Path,
    parts: Parts,
    behind: tuple[NDArray[np.uint8], list[tuple[str, str]]] | None,
    check: Callable[[], None],
) -> Report:
    """Put the parts together, under the final name, when all of them are there."""
    with parts.writer(out) as writer:
        for path in parts.paths():
            writer.copy(path)
            check()
        if not writer.count:
            first = writer.aside[0][1] if writer.aside else "there was none"
            parts.remove()
            raise DatasetError(f"none of {parts.done} shapes could be prepared; the first: {first}")
        if behind is not None:
            writer.add_backgrounds(behind[0])
            for source, reason in behind[1]:
                writer.set_aside(source, reason)
            check()
        return Report(out, writer.count, tuple(writer.aside))


def _check_numbers(test_share: float, time_limit: float, memory: float, one_piece: float, **whole: int | None) -> None:
    """Refuse what is no number, or out of its range, before anything is read."""
    ranges = {
        "resolution": (16, MAX_RESOLUTION),
        "views": (0, MAX_VIEWS),
        "rotations": (1, 12),
        "count": (1, 10**6),
        "limit": (1, None),
        "seed": (0, None),
        "workers": (1, 1024),
    }
    for name, value in whole.items():
        least, most = ranges[name]
        expected = f"expected a whole number, {least} " + ("or more" if most is None else f"to {most}")
        if value is None and name in ("limit", "workers"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise UsageError(f"{name}={value!r}: {expected}")
        if value < least or (most is not None and value > most):
            raise UsageError(f"{name}={value}: {expected}")
    if (whole["resolution"] or 0) % 2:
        raise UsageError(f"resolution={whole['resolution']}: expected an even number, 16 to {MAX_RESOLUTION}")
    shares = ("test_share", test_share), ("time_limit", time_limit), ("memory", memory), ("one_piece", one_piece)
    for name, number in shares:
        if isinstance(number, bool) or not isinstance(number, int | float | np.number):
            raise UsageError(f"{name}={number!r}: expected a number")
    if not 0 <= test_share < 1:
        raise UsageError(f"test_share={test_share}: expected 0 or more and less than 1")
    if not 0 <= one_piece <= 1:
        raise UsageError(f"one_piece={one_piece}: expected a share from 0 to 1")
    if not 0 < time_limit < 1e6:
        raise UsageError(f"time_limit={time_limit}: expected seconds above 0")
    if not 1 <= memory < 1e6:
        raise UsageError(f"memory={memory}: expected gigabytes, 1 or more")


def _listed(name: str, given: Any) -> list[Any]:
    """Return what may be one or several."""
    if isinstance(given, str | Path):
        return [given]
    try:
        several = list(given)
    except TypeError:
        raise UsageError(f"{name}={given!r}: expected one or several names") from None
    if not several or not all(isinstance(one, str | Path) for one in several):
        raise UsageError(f"{name}={given!r}: expected one or several names")
    return several


def _check_names(recipe: Recipe, backgrounds: str | Path) -> None:
    """Refuse early what would otherwise be set aside shape by shape."""
    from voxgan.camera import RIGS

    if recipe.mode not in MODES:
        raise UsageError(f"mode {recipe.mode!r}; {nearest(str(recipe.mode), MODES)}")
    if recipe.rig not in RIGS:
        raise UsageError(f"no rig of cameras {recipe.rig!r}; {nearest(str(recipe.rig), RIGS)}")
    if not isinstance(backgrounds, str | Path):
        raise UsageError(f"backgrounds={backgrounds!r}: expected a kind or a folder")
    if backgrounds != "mixed":
        from data_prep.backgrounds import is_folder

        is_folder(backgrounds)
    if recipe.views:
        from data_prep.render import RENDERERS
        from voxgan.camera import cameras
        from voxgan.graphics import check_graphics

        cameras(recipe.rig, recipe.views, recipe.seed)
        if recipe.renderer not in RENDERERS:
            raise UsageError(f"renderer {recipe.renderer!r}; {nearest(recipe.renderer, RENDERERS)}")
        if recipe.renderer == "pyvista":
            check_graphics("rendering with PyVista")


def _backgrounds(kind: str | Path, seed: int) -> tuple[NDArray[np.uint8], list[tuple[str, str]]]:
    """Draw or read what stands behind the views, before long work; say which files could not be read."""
    from data_prep.backgrounds import backgrounds, is_folder, photo_backgrounds

    if is_folder(kind):
        return photo_backgrounds(kind, NUM_BACKGROUNDS, seed, IMAGE_SIZE)
    return backgrounds(NUM_BACKGROUNDS, seed, IMAGE_SIZE, kind), []


@contextlib.contextmanager
def _stop_between() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C and SIGTERM wait for the next call of what is given: amid a library, they could be swallowed."""
    asked = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def check() -> None:
        if asked:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    ours = [n for n, handler in former.items() if handler in (signal.default_int_handler, signal.SIG_DFL)]
    for number in ours:
        signal.signal(number, note)
    try:
        yield check
    finally:
        for number in ours:
            signal.signal(number, former[number])
