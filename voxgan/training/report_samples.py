"""Pictures of samples as parts of a page: few, evenly chosen, and small enough together."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voxgan.errors import InputError, StorageError

__all__ = ["Sample", "choose", "embed"]

_MOST = 12
_ROOM = 2_600_000  # bytes of all pictures together; a third more as text
_WIDEST = 2048  # pixels


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
    """

    step: int
    address: str
    width: int
    height: int


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
    """Return pictures as data URIs, drawn again as WebP where they are too large; what is damaged is left out."""
    from voxgan.images import read_image

    found = []
    for path in pictures:
        try:
            image = read_image(path).convert("RGB")
            content, kind = path.read_bytes(), "png"
        except (InputError, StorageError, OSError):
            continue
        room = _ROOM // max(len(pictures), 1)
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
        found.append(Sample(int(path.stem), address, image.width, image.height))
    return found
