"""What the commands that make shapes write: files planned and checked before the work, written after it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from voxgan.errors import SurfaceError, UsageError, nearest

if TYPE_CHECKING:
    from voxgan.voxels import Shapes

__all__ = [
    "PATH",
    "Writing",
    "check_picture",
    "check_writable",
    "cleaned",
    "draw",
    "export_all",
    "plan",
    "refuse_empty",
]

VOLUMES = (".npz", ".binvox")
MESHES = (".obj", ".stl", ".ply", ".glb", ".off", ".3mf", *VOLUMES)
PICTURES = (".png", ".gif")
MANY = 32  # above so many shapes, writing them tells its progress

PATH: dict[str, Any] = {"metavar": "PATH"} if hasattr(Parameter(), "metavar") else {}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Writing:
    """What the commands that write shapes share: where to, and how the surface is made."""

    output: Annotated[
        tuple[str, ...],
        Parameter(
            name=["--output", "-o"],
            help="File to write (suffix = format), or, for several shapes, a folder/; may be repeated.",
            negative="",
            **PATH,
        ),
    ]
    format: Annotated[str, Parameter(name=["--format", "-f"], help="Format of files in a folder: obj, stl, glb, …")] = (
        "obj"
    )
    preview: Annotated[Path | None, Parameter(help="Also draw a PNG (with .gif: as --gif).")] = None
    gif: Annotated[
        Path | None, Parameter(help="Also draw a GIF: the first shape turning, or the walk between two.")
    ] = None
    size_mm: Annotated[float, Parameter(help="Longest side in millimetres; the mesh stands on the floor.")] = 100.0
    level: Annotated[float, Parameter(help="Occupancy at which the surface lies, between 0 and 1.")] = 0.5
    smooth: Annotated[int, Parameter(help="Rounds of smoothing.")] = 0
    max_faces: Annotated[int | None, Parameter(help="Decimate to about so many triangles.")] = None
    clean: Annotated[bool, Parameter(help="Drop specks that float free, fill cavities inside.")] = True

    @property
    def drawings(self) -> tuple[Path, ...]:
        """The pictures beside what is written."""
        return tuple(path for path in (self.preview, self.gif) if path is not None)


def check_picture(path: Path) -> None:
    """Refuse, before the work, a sheet that could not be written as PNG."""
    from voxgan.files import check_output

    if path.suffix.lower() != ".png":
        raise UsageError(f"the sheet is to be {str(path)!r}; expected a name that ends in .png")
    check_output(path)


def refuse_empty(option: str, value: str) -> None:
    """Refuse a blank name for a path or a model."""
    if not value.strip():
        raise UsageError(f"{option} is given an empty name; expected a path or a name")


def cleaned(shapes: Shapes, writing: Writing) -> Shapes:
    """Return the shapes without specks and cavities, unless told otherwise."""
    return shapes.cleaned(writing.level) if writing.clean else shapes


def plan(writing: Writing, names: Sequence[str], pictures: bool = False) -> tuple[list[list[Path]], list[Path]]:
    """Check the options; return the files to write for each shape, and the pictures of all (if there may be such).

    A named file is for a single shape, files in folders are for several. Nothing is made yet.
    """
    w = writing
    if not 0 < w.level < 1:
        raise UsageError(f"level {w.level}: expected a number between 0 and 1")
    if not 0 < w.size_mm < float("inf"):
        raise UsageError(f"size {w.size_mm} mm: expected a number above 0")
    if w.smooth < 0:
        raise UsageError(f"smooth={w.smooth}: expected 0 or more rounds")
    if w.max_faces is not None and w.max_faces < 4:
        raise UsageError(f"max_faces={w.max_faces}: expected 4 or more")
    if w.preview is not None and w.preview.suffix.lower() not in PICTURES:
        raise UsageError(f"cannot draw the preview {w.preview}; {nearest(w.preview.suffix.lower(), PICTURES)}")
    if w.gif is not None and w.gif.suffix.lower() != ".gif":
        raise UsageError(f"--gif {w.gif}: expected a name that ends in .gif; a still picture is --preview")
    suffix = "." + w.format.lower().lstrip(".")
    if suffix not in MESHES:
        raise UsageError(f"format {w.format!r}; {nearest(suffix, MESHES)}")
    known = (*MESHES, *PICTURES) if pictures else MESHES
    groups: list[list[Path]] = [[] for _ in names]
    drawn: list[Path] = []
    for output in w.output:
        refuse_empty("--output", output)
        path = Path(output)
        ending = path.suffix.lower()
        is_folder = output.endswith(("/", os.sep))
        if not is_folder and ending in known:
            if ending in PICTURES:
                drawn.append(path)
            elif len(names) > 1:
                raise UsageError(f"{len(names)} shapes for the one file {path}; give a folder, as in  -o out/")
            else:
                groups[0].append(path)
        elif is_folder or not ending or _is_folder(path):
            for group, name in zip(groups, _distinct(names), strict=True):
                group.append(path / f"{name}{suffix}")
        else:
            raise UsageError(
                f"cannot write the format {ending!r}; {nearest(ending, known)}; end it with / for a folder"
            )
    files = [*(file for group in groups for file in group), *drawn, *w.drawings]
    for path, count in Counter(Path(os.path.abspath(file)) for file in files).items():  # noqa: PTH100
        if count > 1:
            raise UsageError(f"{path} would be written {count} times; give every output its own name")
    return groups, drawn


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long; writing says so
        return False


def _distinct(names: Sequence[str]) -> list[str]:
    """Number the names that occur twice, past the names that are there (whatever their case)."""
    counts = Counter(name.casefold() for name in names)
    taken = {name for name, count in counts.items() if count == 1}
    numbers: Counter[str] = Counter()
    distinct = []
    for name in names:
        key, new = name.casefold(), name
        while counts[key] > 1 and (new == name or new.casefold() in taken):
            new = f"{name}_{numbers[key]:03d}"
            numbers[key] += 1
        taken.add(new.casefold())
        distinct.append(new)
    return distinct


def check_writable(writing: Writing, targets: Sequence[Sequence[Path]], pictures: Sequence[Path] = ()) -> None:
    """Refuse before the work what could not be written after it."""
    from voxgan.files import check_output

    for path in (*(t for group in targets for t in group), *pictures, *writing.drawings):
        check_output(path)


def export_all(
    shapes: Shapes,
    targets: Sequence[Sequence[Path]],
    writing: Writing,
    drawn: Shapes | None = None,
    walk: bool = False,
) -> None:
    """Write every shape to its files, and the pictures; a shape without a surface is passed over.

    A still picture shows `drawn` where that is given, a moving one always the shapes.
    """
    progress = _Counting("writing", len(shapes) if any(targets) else 0)
    failed: list[str] = []
    for shape, files in zip(shapes, targets, strict=True):
        try:
            for file in _write(shape, files, writing):
                progress.clear()
                print(file)
        except SurfaceError as error:
            meshes = [str(file) for file in files if file.suffix.lower() not in VOLUMES]
            failed.append(f"{', '.join(meshes)} {'is' if len(meshes) == 1 else 'are'} not written: {error}")
        progress.step()
    for path in writing.drawings:
        still = path.suffix.lower() != ".gif"
        draw(drawn if still and drawn is not None else shapes, path, writing.level, walk=walk)
    nothing = bool(failed) and len(failed) == sum(1 for files in targets if files)
    for line in failed[: len(failed) - nothing]:
        print(f"voxgan: {line}", file=sys.stderr)
    if nothing:
        raise SurfaceError(failed[-1])


def _write(shape: Shapes, files: Sequence[Path], writing: Writing) -> Any:
    """Write one shape to its files, voxels first, and yield each; the surface is computed once."""
    from voxgan.export import export

    surface = None
    for file in sorted(files, key=lambda file: file.suffix.lower() not in VOLUMES):
        if file.suffix.lower() in VOLUMES:
            shape.export(file)
        else:
            if surface is None:
                surface = shape.to_mesh(level=writing.level, smooth=writing.smooth, max_faces=writing.max_faces)
            export(surface, file, size_mm=writing.size_mm)
        yield file


def draw(shapes: Shapes, path: Path, level: float, walk: bool = False) -> None:
    """Draw shapes: a sheet as PNG; as GIF a walk through them, or a turntable of the first."""
    from voxgan import preview

    grids = shapes.occupancy
    if path.suffix.lower() == ".gif" and not walk:
        preview.write_gif(path, preview.turntable(grids[0], level=level), back_and_forth=False)
    elif path.suffix.lower() == ".gif":
        progress = _Counting("drawing", len(shapes))
        frames = []
        for grid in grids:
            frames.append(preview.picture(grid, level=level))
            progress.step()
        preview.write_gif(path, frames, back_and_forth=True)
    elif len(shapes) <= MANY:
        preview.write_png(path, preview.sheet(grids, level=level, size=512 if len(shapes) == 1 else 256))
    else:
        import numpy as np

        progress = _Counting("drawing", len(shapes))
        columns = int(np.ceil(np.sqrt(len(shapes))))
        rows = []
        for start in range(0, len(shapes), columns):
            row = grids[start : start + columns]
            picture = preview.sheet(row, columns=len(row), level=level, size=256)
            full = np.empty((256, columns * 256, 3), np.uint8)
            full[:] = preview.BACKGROUND
            full[:, : picture.shape[1]] = picture
            rows.append(full)
            progress.step(len(row))
        preview.write_png(path, np.concatenate(rows))
    print(path)


class _Counting:
    """Progress of more than `MANY` shapes; silent for fewer."""

    def __init__(self, label: str, total: int) -> None:
        from voxgan.progress import Progress

        self.progress = Progress(label, "shapes") if total > MANY else None
        self.done, self.total = 0, total

    def step(self, count: int = 1) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)

    def clear(self) -> None:
        """Take away the live line, so that a name can be printed."""
        if self.progress is not None and self.progress.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
