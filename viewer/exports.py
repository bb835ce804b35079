"""What is seen, as files: the shape as mesh or volume, a turntable as GIF or MP4."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import MissingExtraError, StorageError, UsageError, nearest
from voxgan.files import atomic_write
from voxgan.preview import write_gif
from voxgan.voxels import Shapes

__all__ = ["FORMATS", "TURNTABLE_SUFFIXES", "free_name", "shape_bytes", "write_shape", "write_turntable"]

FORMATS = ("stl", "obj", "glb", "ply", "3mf", "off", "npz", "binvox")
"""What a shape can be written as; the most wanted first."""

TURNTABLE_SUFFIXES = (".gif", ".mp4")

_MP4_SECONDS = 300  # for ffmpeg to write one


def write_shape(shape: Shapes, path: str | Path, level: float, size_mm: float = 100.0) -> Path:
    """Write one shape as it is seen; the suffix of `path` names the format.

    Meshes are watertight, on the floor, in millimetres (GLB, by its standard, y-up and in metres). An npz holds the
    probabilities, a binvox the cells above the level.

    Parameters
    ----------
    shape : Shapes
        One shape.
    path : path
        Ends in one of `FORMATS`.
    level : float
        Occupancy at which the surface lies.
    size_mm : float
        Length of the longest side; of no matter for volumes.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    SurfaceError
        If there is nothing, or nothing but inside, at that level.
    UsageError
        If the suffix is unknown, or `size_mm` is not a positive number.
    StorageError
        If the file cannot be written.
    """
    if Path(path).suffix.lower() == ".binvox":
        shape = Shapes(shape.occupancy > level, shape.scale, shape.centre)
    return shape.export(path, size_mm=size_mm, level=level)


def shape_bytes(shape: Shapes, format: str, level: float, size_mm: float = 100.0) -> bytes:
    """Return what `write_shape` would write.

    Parameters
    ----------
    format : str
        One of `FORMATS`.
    shape, level, size_mm
        As for `write_shape`, which says what is raised.

    Examples
    --------
    >>> import numpy as np
    >>> grid = np.zeros((16, 16, 16)); grid[4:12, 4:12, 4:12] = 1
    >>> shape_bytes(Shapes(grid), "off", level=0.5)[:3]
    b'OFF'
    """
    if format not in FORMATS:
        raise UsageError(f"format {format[:20]!r}; {nearest(format[:20], FORMATS)}")
    with tempfile.TemporaryDirectory(prefix="voxgan-", ignore_cleanup_errors=True) as folder:
        return write_shape(shape, Path(folder, f"shape.{format}"), level, size_mm).read_bytes()


def write_turntable(frames: Iterable[NDArray[np.uint8]], path: str | Path, seconds_per_turn: float = 6.0) -> Path:
    """Write pictures all around a shape as GIF, which plays for ever, or as MP4, whole or not at all.

    Parameters
    ----------
    frames : iterable of array (H, W, 3), uint8
        One full turn, all of one size.
    path : path
        Ends in one of `TURNTABLE_SUFFIXES`.
    seconds_per_turn : float
        Of a GIF, a frame stands for 0.02 s at least.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    UsageError
        If the suffix is unknown, the time is out of its range, or that are no pictures of one size.
    MissingExtraError
        If imageio-ffmpeg, which brings ffmpeg for MP4, is not installed.
    StorageError
        If the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in TURNTABLE_SUFFIXES:
        raise UsageError(
            f"cannot write the turntable {path.name!r}; {nearest(path.suffix.lower(), TURNTABLE_SUFFIXES)}"
        )
    if not 0.1 <= seconds_per_turn <= 600:
        raise UsageError(f"{seconds_per_turn:g} seconds for a turn: expected 0.1 to 600")
    pictures = [np.asarray(frame) for frame in frames]
    kinds = {(picture.shape, picture.dtype.name) for picture in pictures}
    if len(kinds) != 1 or pictures[0].ndim != 3 or pictures[0].shape[2] != 3 or pictures[0].dtype != np.uint8:
        came = ", ".join(f"{name} {shape}" for shape, name in sorted(kinds)) or "none"
        raise UsageError(f"the turntable's pictures are {came}; expected some, all uint8 (H, W, 3)")
    if path.suffix.lower() == ".gif":
        write_gif(path, pictures, max(seconds_per_turn / len(pictures), 0.02))
    else:
        _write_mp4(path, pictures, len(pictures) / seconds_per_turn)
    return path


def _write_mp4(path: Path, pictures: list[NDArray[np.uint8]], rate: float) -> None:
    """Write H.264 that every browser plays: 4:2:0, even sides, its index in front."""
    height, width = pictures[0].shape[:2]
    odd = ((0, height % 2), (0, width % 2), (0, 0))
    raw = b"".join(np.pad(picture, odd, "edge").tobytes() for picture in pictures)
    size = f"{width + width % 2}x{height + height % 2}"
    taken = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", f"{rate:.6f}", "-i", "-", "-an"]
    colours = ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv420p", "-colorspace", "bt709"]
    made = ["-c:v", "libx264", "-crf", "18", *colours, "-movflags", "+faststart", "-fflags", "+bitexact"]
    program = _ffmpeg()
    with atomic_write(path) as partial:
        command = [program, "-y", "-v", "error", *taken, *made, str(partial.absolute())]
        try:
            done = subprocess.run(command, input=raw, capture_output=True, timeout=_MP4_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = getattr(error, "strerror", None) or f"it took longer than {_MP4_SECONDS} s"
            raise StorageError(f"cannot write {path}: ffmpeg fails ({reason}); write a .gif") from error
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").replace(str(partial.absolute()), path.name).split("\n")
            reason = next((line.strip() for line in reversed(lines) if line.strip()), f"status {done.returncode}")
            raise StorageError(f"cannot write {path}: ffmpeg fails ({reason[:200]}); free space, or write a .gif")


def _ffmpeg() -> str:
    """Return the program that writes MP4."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingExtraError("imageio_ffmpeg", "viewer", "writing MP4") from error
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise StorageError("no ffmpeg to write MP4 with: install ffmpeg, or write a .gif") from error


def free_name(folder: str | Path, stem: str, suffix: str) -> Path:
    """Return the first of ``stem_001.suffix``, ``stem_002.suffix``, … that is not there.

    Examples
    --------
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "voxgan_001.png").touch()
    >>> free_name(folder, "voxgan", ".png").name
    'voxgan_002.png'
    """
    names = (Path(folder, f"{stem}_{number:03d}{suffix}") for number in itertools.count(1))
    return next(path for path in names if not os.path.lexists(path))
