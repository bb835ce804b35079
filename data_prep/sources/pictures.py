"""Pictures that come with shapes, brought to the size that a data set holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voxgan.images import read_image

__all__ = ["SIZE", "read_picture"]

SIZE = 256
"""Width and height, in pixels."""


def read_picture(path: str | Path) -> NDArray[np.uint8]:
    """Read a picture as (256, 256, 4), straight alpha; what is not square stands in the middle, amid nothing.

    Raises
    ------
    ImageError
        If it is damaged, no picture, or too large.
    StorageError
        If it cannot be read.
    """
    from PIL import Image

    image = read_image(path)
    side = max(image.size)
    width, height = (max(1, round(SIZE * length / side)) for length in image.size)
    picture = Image.new("RGBA", (SIZE, SIZE))
    picture.paste(image.resize((width, height), Image.Resampling.LANCZOS), ((SIZE - width) // 2, (SIZE - height) // 2))
    return np.asarray(picture)
