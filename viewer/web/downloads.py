"""What can be taken away: meshes, pictures, turntables, the session; made in threads, named safely."""

from __future__ import annotations

import asyncio
import io
import json
import re
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from viewer.web.jobs import CancelledError, Job
from viewer.web.mirror import place
from voxgan.errors import UsageError, nearest

if TYPE_CHECKING:
    from viewer.web.visitor import Visitor

__all__ = ["CONTENT_TYPES", "file_name", "make"]

CONTENT_TYPES = {
    "stl": "model/stl",
    "obj": "model/obj",
    "glb": "model/gltf-binary",
    "ply": "application/octet-stream",
    "3mf": "model/3mf",
    "off": "application/octet-stream",
    "npz": "application/octet-stream",
    "binvox": "application/octet-stream",
    "png": "image/png",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "json": "application/json",
}
_PICTURE = (1600, 1200)
_TURNTABLE = (480, 480)
_FRAMES = 48
_SIZES = (1.0, 1000.0)  # millimetres


async def make(visitor: Visitor, kind: str, size_mm: float) -> bytes:
    """Return the content of one file.

    Raises
    ------
    VoxganError
        For an unknown kind or size, where there is no surface, or while another file is being made.
    """
    from viewer.exports import FORMATS, shape_bytes

    session = visitor.session
    if visitor.exporting.locked():
        raise UsageError("one file is being made already; wait for it")
    async with visitor.exporting:
        if kind == "json":
            if visitor.screen is not None:
                session.camera = visitor.screen.stage.camera()
            return json.dumps(session.to_json(), indent=1).encode()
        if kind in ("png", "gif", "mp4"):
            return await _drawn(visitor, kind)
        if kind not in FORMATS or kind not in CONTENT_TYPES:
            raise UsageError(f"no format {kind[:20]!r}; {nearest(kind[:20], CONTENT_TYPES)}")
        if not _SIZES[0] <= size_mm <= _SIZES[1]:
            raise UsageError(f"a size of {size_mm:g} mm; expected {_SIZES[0]:g} to {_SIZES[1]:g}")
        content: bytes = await visitor.shared.compute(shape_bytes, session.shape(), kind, session.state.level, size_mm)
        return content


def file_name(visitor: Visitor, kind: str) -> str:
    """Return a name for a file, after what is shown: of letters, digits, dots and dashes only."""
    words = "sum" if visitor.session.state.mode == "expression" else place(visitor.session)
    stem = "-".join(re.findall(r"[A-Za-z0-9]+", f"{Path(visitor.session.name).name} {words}"))[:60]
    return f"{stem or 'shape'}.{kind}"


async def _drawn(visitor: Visitor, kind: str) -> bytes:
    """Draw; VTK must stay in this thread, so a turntable gives way to others after each of its pictures."""
    if visitor.screen is None:
        raise UsageError("pictures are made while the page is open; open it")
    stage = visitor.screen.stage
    stage.update()
    if stage.message:
        raise UsageError(stage.message)
    if kind == "png":
        return await visitor.shared.compute(_png, stage.picture(_PICTURE))
    if visitor.job is not None:
        raise UsageError(f"{visitor.job.label} is not done yet; wait for it, or cancel it")
    job = visitor.job = Job("Drawing the turntable")
    frames: list[NDArray[np.uint8]] = []
    try:
        with closing(stage.turntable(_FRAMES, _TURNTABLE)) as turntable:  # type: ignore[type-var]
            for frame in turntable:
                frames.append(frame)
                job.share = len(frames) / _FRAMES
                visitor.show_job()
                await asyncio.sleep(0)
                job.check()
        return await visitor.shared.compute(_animated, frames, kind)
    except CancelledError as error:
        raise UsageError("the turntable was given up") from error
    finally:
        visitor.job = None
        visitor.show_job()


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()


def _animated(frames: list[NDArray[np.uint8]], kind: str) -> bytes:
    from viewer.exports import write_turntable

    with tempfile.TemporaryDirectory(prefix="voxgan-") as folder:
        path = Path(folder) / f"turntable.{kind}"
        write_turntable(frames, path)
        return path.read_bytes()
