"""Pictures of samples as parts of a page: few, evenly chosen, and small enough together."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from voxgan.errors import InputError, StorageError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Sample", "choose", "embed"]

_MOST = 12
_ROOM = 2_600_000  # bytes of all pictures together; a third more as text
_WIDEST = 2048  # pixels
_WHITE = 240  # of 255; the sheets' own background and its noise lie above
_MARGIN = 8  # pixels that are left of a white margin
_EMPTY = 2e-3  # a sheet with a smaller share of other pixels shows nothing


@dataclass(frozen=True)
class Sample:
    """A picture of samples.

    Attributes
    ----------
    step : int
        When it was drawn.
    address : str
        The picture itself, as a data URI.
    width, height : int
        In pixels.
    empty : bool
        Whether it is white all over, or nearly.
    """

    step: int
    address: str
    width: int
    height: int
    empty: bool = False


def choose(folder: Path, most: int = _MOST) -> list[Path]:
    """Return at most so many pictures of a folder, evenly chosen by rank, the first and the last among them.

    Examples
    --------
    >>> choose(Path("nowhere"))
    []
    """
    try:
        pictures = sorted((p for p in folder.glob("*.png") if p.stem.isdecimal()), key=lambda p: int(p.stem))
    except OSError as error:
        raise StorageError(f"cannot read {folder}: {error.strerror or error}") from error
    ranks = np.unique(np.linspace(0, len(pictures) - 1, min(most, len(pictures))).round().astype(np.int64))
    return [pictures[rank] for rank in ranks]


def embed(pictures: list[Path]) -> list[Sample]:
    """Return pictures as data URIs, drawn again as WebP where they are too large; what is damaged is left out.

    White margins on the right and below that all pictures of one size share are cut off: fewer shapes than a sheet has
    places for leave them, and what stands above each other in two sheets still does.
    """
    from voxgan.images import read_image

    read: list[tuple[Path, Image.Image, NDArray[np.bool_]]] = []
    room = _ROOM // max(len(pictures), 1)
    used: dict[tuple[int, int], tuple[int, int]] = {}
    for path in pictures:
        try:
            image = read_image(path).convert("RGB")
        except (InputError, StorageError, OSError):
            continue
        shown: NDArray[np.bool_] = np.asarray(image).min(axis=2) < _WHITE
        read.append((path, image, shown))
        right, lower = (int(np.flatnonzero(shown.any(axis=axis)).max(initial=-1)) + 1 for axis in (0, 1))
        former = used.get(image.size, (0, 0))
        used[image.size] = max(former[0], right), max(former[1], lower)
    found = []
    for path, image, shown in read:
        right, lower = (
            min(end + _MARGIN, whole) if end else whole for end, whole in zip(used[image.size], image.size, strict=True)
        )
        whole = (right, lower) == image.size
        try:
            content = path.read_bytes() if whole else b""
        except OSError:
            continue
        cut = image if whole else image.crop((0, 0, right, lower))
        found.append(_sample(int(path.stem), cut, content, room, bool(shown.mean() < _EMPTY)))
    return found


def _sample(step: int, image: Image.Image, content: bytes, room: int, empty: bool) -> Sample:
    """Encode a picture; `content` is the file that it came from, if it is still that."""
    kind = "png"
    if not content:
        stream = io.BytesIO()
        image.save(stream, "PNG")
        content = stream.getvalue()
    image.thumbnail((_WIDEST, 4 * _WIDEST))
    quality = 90
    while len(content) > room or not content.startswith(b"\x89PNG"):
        stream = io.BytesIO()
        image.save(stream, "WEBP", quality=quality, method=4)
        content, kind = stream.getvalue(), "webp"
        if len(content) <= room or min(image.size) < 64:
            break
        quality = max(50, quality - 15)
        if quality == 50:
            image.thumbnail((image.width * 3 // 4, image.height * 3 // 4))
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return Sample(step, address, image.width, image.height, empty)
