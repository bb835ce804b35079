"""Photo → (3, 256, 256): safe reading, every mode of Pillow, background, crop."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from voxgan.background import remove_background
from voxgan.errors import ImageError, StorageError, UsageError, nearest

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["BACKGROUNDS", "Picture", "photo", "read_image", "remove_background"]

Picture: TypeAlias = "str | Path | Image.Image | NDArray[Any]"

BACKGROUNDS = ("auto", "keep", "remove")
"""What `photo` can do with a background."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
MAX_PIXELS = 40_000_000
MAX_BYTES = 1 << 28
MIN_SIDE = 8


def read_image(picture: Picture) -> Image.Image:
    """Read a picture that nobody vouches for, whatever its mode, as 8-bit RGBA.

    The size is checked before anything is decoded. The turn that a camera noted (EXIF) is applied. Of an
    animation the first frame is taken. 16-bit values are scaled, not cut off. Colour profiles are ignored.

    Parameters
    ----------
    picture : path, PIL.Image.Image, or array
        A file in PNG, JPEG, WebP, BMP, TIFF or GIF, known by its content, whatever its name. Or (H, W, 3),
        (H, W, 4) or (H, W), uint8 or float in [0, 1]. Or float (3, H, W), channels first, as `photo` gives it.

    Returns
    -------
    PIL.Image.Image
        Mode ``"RGBA"``, at least 8 × 8 pixels, at most 40 megapixels.

    Raises
    ------
    StorageError
        If there is no such file, or it cannot be read.
    ImageError
        If it is empty, no picture, cut off, too large, too small, or its numbers are no colours.

    Examples
    --------
    >>> image = read_image(np.zeros((16, 32, 3), np.uint8))
    >>> image.mode, image.size
    ('RGBA', (32, 16))
    """
    from PIL import Image

    if isinstance(picture, Image.Image):
        return _decoded(picture, "the picture")
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    if not isinstance(picture, str | Path):
        raise ImageError(f"a {type(picture).__name__} came; a path, a PIL image or an array was expected")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(picture)):  # a Path has lost a slash
        raise ImageError(f"{picture} is an address, a file was expected: download it first")
    data = _read_bytes(Path(picture))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise ImageError(_too_large(f"the picture {picture}", "far too many pixels")) from error
        except Exception as error:
            known = ", ".join(FORMATS)
            raise ImageError(
                f"{picture} is no picture that can be read; known: {known}; save it as PNG or JPEG"
            ) from error
        with image:
            return _decoded(image, f"the picture {picture}")


def photo(
    picture: Picture,
    size: int = 256,
    background: Literal["auto", "keep", "remove"] = "auto",
    margin: float = 0.08,
) -> NDArray[np.float32]:
    """Make of a photo what a network is shown: the object, centred, square, on white.

    Parameters
    ----------
    picture : path, PIL.Image.Image, or array
        As `read_image` takes it.
    size : int, optional
        Side of the result, in pixels.
    background : {"auto", "keep", "remove"}, optional
        ``"auto"``: the picture's own transparency if it has any, else as ``"remove"``. ``"remove"``: look for
        an object before a plain background (`remove_background`). ``"keep"``: the whole picture, amid a white
        square; so too where there is no transparency and no object was found. White, and nothing cut off,
        because the networks learn from objects on white that are seen whole.
    margin : float, optional
        White around the object's bounding box, as a part of `size`, on the side where it is longest.

    Returns
    -------
    (3, size, size) float32
        Red, green, blue in [0, 1]; rows run down.

    Raises
    ------
    UsageError
        If `size`, `background` or `margin` is out of range.
    ImageError
        As `read_image`; also if the picture is wholly transparent.
    StorageError
        As `read_image`.

    Examples
    --------
    >>> picture = np.full((64, 64, 3), 255, np.uint8)
    >>> picture[20:40, 24:44] = (200, 30, 30)
    >>> seen = photo(picture, size=32)
    >>> seen.shape, seen[:, 0, 0].tolist(), (seen[:, 16, 16] * 255).round().tolist()
    ((3, 32, 32), [1.0, 1.0, 1.0], [200.0, 30.0, 30.0])
    """
    from PIL import Image

    if background not in BACKGROUNDS:
        raise UsageError(f"background is {background!r}; {nearest(str(background), BACKGROUNDS)}")
    if not 1 <= size <= 4096:
        raise UsageError(f"size is {size}; 1 to 4096 pixels were expected")
    if not 0 <= margin < 0.5:
        raise UsageError(f"margin is {margin}; at least 0 and less than 0.5 was expected")
    image = read_image(picture)
    name = f"the picture {picture}" if isinstance(picture, str | Path) else "the picture"
    box = _object_box(image, name) if background == "auto" else None
    if box is None:
        image = _on_white(image)
        if background != "keep":
            alpha = remove_background(np.asarray(image.convert("RGB")))
            if alpha.min() < 0.5:
                image.putalpha(Image.fromarray(np.rint(alpha * 255).astype(np.uint8)))
                box = _object_box(image, name)
    if box is None:
        margin = 0.0
    else:
        image = image.crop(box)
    scale = size * (1 - 2 * margin) / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    shown = _on_white(image).convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    canvas = Image.new("RGB", (size, size), (255, 255, 255))
    canvas.paste(shown, ((size - width) // 2, (size - height) // 2))
    return np.ascontiguousarray(np.asarray(canvas, np.float32).transpose(2, 0, 1) / np.float32(255))


def _object_box(image: Image.Image, name: str) -> tuple[int, int, int, int] | None:
    """Give the bounding box of what is not transparent; None if the picture is opaque."""
    alpha = np.asarray(image.getchannel("A"))
    if (alpha < 128).mean() < 1e-3:
        return None
    solid = alpha >= 26
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if len(rows) == 0:
        raise ImageError(f"{name} is wholly transparent: give one that shows an object")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _on_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    white.alpha_composite(image)
    return white


# ------------------------------------------------------------------------------------------------ reading
def _read_bytes(path: Path) -> bytes:
    try:
        if not path.exists():
            raise StorageError(f"there is no picture {path}: check the name")
        if not path.is_file():
            raise StorageError(f"{path} is no file: a picture was expected")
        too_large = path.stat().st_size > MAX_BYTES
        data = b"" if too_large else path.read_bytes()
    except StorageError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"cannot read {path}: {reason}") from error
    if too_large:
        raise ImageError(_too_large(f"the picture {path}", f"more than {MAX_BYTES >> 20} MB"))
    if not data:
        raise ImageError(f"the picture {path} is empty: give another file")
    return data


def _too_large(name: str, what: str) -> str:
    return f"{name} has {what}; at most {MAX_PIXELS // 10**6} megapixels are read: make it smaller"


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large(name, f"{width} × {height} pixels"))
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{name} has {width} × {height} pixels; at least {MIN_SIDE} × {MIN_SIDE} were expected")


def _decoded(image: Image.Image, name: str) -> Image.Image:
    """Decode, turn as the camera noted, bring to RGBA."""
    from PIL import ImageOps

    _check_size(*image.size, name)
    try:
        image.load()
    except Exception as error:
        raise ImageError(f"{name} is cut off or damaged ({type(error).__name__}): give another file") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(Exception):  # a note that cannot be read is no reason to refuse the picture
            image = ImageOps.exif_transpose(image)
        try:
            return _rgba(image, name)
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(f"{name} has the mode {image.mode}, which cannot be read: save it as RGB") from error


def _rgba(image: Image.Image, name: str) -> Image.Image:
    """Bring any mode to 8-bit RGBA. (Pillow's own way turns 16-bit grey white, and floats black.)"""
    from PIL import Image, ImageCms

    mode = image.mode
    if mode == "F" or mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(image, np.float64), mode, name)).convert("RGBA")
    if mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        turned = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
        if turned is None:
            raise ImageError(f"{name} is in Lab colours that cannot be converted: save it as RGB")
        return turned.convert("RGBA")
    if mode == "La":
        image = image.convert("LA")
    if mode in ("CMYK", "YCbCr", "HSV"):
        image = image.convert("RGB")
    return image.convert("RGBA")


def _eight_bits(grey: NDArray[np.float64], mode: str, name: str) -> NDArray[np.uint8]:
    if not np.isfinite(grey).all():
        raise ImageError(f"{name} has values that are not finite: give another file")
    low, high = float(grey.min()), float(grey.max())
    if mode.startswith("I;16"):
        factor = 1 / 257
    elif mode == "F" and high <= 1:
        factor = 255.0
    else:
        factor = 1.0 if high <= 255 else 1 / 257
    if low < 0 or high * factor > 255.5:
        raise ImageError(f"{name} has values from {low:.4g} to {high:.4g}; 0 to 1, 255 or 65535 was expected")
    return np.rint(grey * factor).clip(0, 255).astype(np.uint8)


def _from_array(array: NDArray[Any]) -> Image.Image:
    from PIL import Image

    came = f"{array.dtype} {array.shape}"
    if array.ndim == 3 and array.dtype.kind == "f" and array.shape[0] == 3 and array.shape[2] not in (3, 4):
        array = array.transpose(1, 2, 0)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or array.size == 0:
        raise ImageError(f"the array is {came}; (H, W, 3) or (H, W, 4) was expected, uint8 or float in [0, 1]")
    _check_size(array.shape[1], array.shape[0], "the array")
    if array.dtype != np.uint8:
        if array.dtype.kind != "f":
            raise ImageError(f"the array is {came}; uint8, or float in [0, 1], was expected")
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ImageError(f"the array is {came} with values outside [0, 1]: divide by 255, or give uint8")
        array = np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGBA")
