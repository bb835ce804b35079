from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from voxgan.errors import ImageError, StorageError, UsageError
from voxgan.images import photo, read_image, remove_background

DATA = os.environ.get("VOXGAN_TEST_DATA")
needs_data = pytest.mark.skipif(DATA is None, reason="VOXGAN_TEST_DATA does not name the folder of real data")

RED = (200, 30, 30)


def scene(ground: tuple[int, ...] = (255, 255, 255), size: tuple[int, int] = (120, 90)) -> Image.Image:
    """A red table: a top and two legs."""
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    for box in ((30, 20, 89, 33), (34, 34, 41, 69), (78, 34, 85, 69)):
        draw.rectangle(box, fill=RED)
    return image


def table() -> np.ndarray:
    return np.asarray(scene((0, 0, 0)))[..., 0] > 0


def saved(folder: Path, image: Image.Image, name: str = "a.png", **options) -> Path:
    image.save(folder / name, **options)
    return folder / name


def grey_ramp(low: float, high: float, dtype: type) -> np.ndarray:
    return np.linspace(low, high, 16 * 16).reshape(16, 16).astype(dtype)


def first_and_last(image: Image.Image) -> tuple[int, int]:
    pixels = np.asarray(image)
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 4
    return int(pixels[0, 0, 0]), int(pixels[-1, -1, 0])


# ------------------------------------------------------------------------------------------------ reading
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff", "a.gif"])
def test_every_format(tmp_path, name):
    image = read_image(saved(tmp_path, scene(), name))
    assert image.mode == "RGBA" and image.size == (120, 90)
    np.testing.assert_allclose(image.getpixel((60, 25)), (*RED, 255), atol=12)
    wrong_name = tmp_path / "a.txt"
    wrong_name.write_bytes((tmp_path / name).read_bytes())
    assert read_image(str(wrong_name)).size == (120, 90)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "P"])
def test_colour_modes_keep_their_colour(mode):
    image = scene()
    if mode == "LAB":
        from PIL import ImageCms

        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    elif mode == "RGBa":
        image = image.convert("RGBA").convert("RGBa")
    else:
        image = image.quantize(8) if mode == "P" else image.convert(mode)
    assert image.mode == mode
    read = read_image(image)
    np.testing.assert_allclose(read.getpixel((60, 25)), (*RED, 255), atol=6)
    np.testing.assert_allclose(read.getpixel((5, 5)), (255, 255, 255, 255), atol=6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La"])
def test_grey_modes(mode):
    image = Image.fromarray(np.repeat(np.uint8([[0], [255]]), 16, axis=1).repeat(8, axis=0))
    image = image.convert("LA").convert("La") if mode == "La" else image.convert(mode)
    assert first_and_last(read_image(image)) == (0, 255)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (grey_ramp(0, 65535, np.uint16), (0, 255)),
        (grey_ramp(257, 257 * 128, np.uint16), (1, 128)),
        (grey_ramp(0, 65535, np.int32), (0, 255)),
        (grey_ramp(10, 200, np.int32), (10, 200)),
        (grey_ramp(0, 1, np.float32), (0, 255)),
        (grey_ramp(0, 250, np.float32), (0, 250)),
        (grey_ramp(0, 65535, np.float32), (0, 255)),
    ],
)
def test_16_bits_and_floats_are_scaled_not_cut(tmp_path, array, expected):
    image = Image.fromarray(array)
    assert first_and_last(read_image(image)) == expected
    assert first_and_last(read_image(saved(tmp_path, image, "a.tiff"))) == expected
    if array.dtype == np.uint16:
        assert first_and_last(read_image(saved(tmp_path, image, "a.png"))) == expected


@pytest.mark.parametrize(
    "array", [grey_ramp(-1, 1, np.float32), grey_ramp(0, 1e6, np.float32), np.full((16, 16), np.inf, np.float32)]
)
def test_numbers_that_are_no_colours(array):
    with np.errstate(all="ignore"), pytest.raises(ImageError, match="values"):
        read_image(Image.fromarray(array))


def test_transparency_of_every_kind(tmp_path):
    cut = scene().convert("RGBA")
    cut.putalpha(Image.fromarray(table().astype(np.uint8) * 255))
    palette = cut.convert("RGB").quantize(8)
    for path in (
        saved(tmp_path, cut, "rgba.png"),
        saved(tmp_path, cut, "rgba.webp", lossless=True),
        saved(tmp_path, palette, "p.png", transparency=palette.getpixel((5, 5))),
        saved(tmp_path, palette, "p.gif", transparency=palette.getpixel((5, 5))),
        saved(tmp_path, scene(), "rgb.png", transparency=(255, 255, 255)),
        saved(tmp_path, scene().convert("L"), "l.png", transparency=255),
        saved(tmp_path, cut.convert("LA"), "la.png"),
    ):
        alpha = np.asarray(read_image(path))[..., 3]
        np.testing.assert_array_equal(alpha == 255, table(), err_msg=path.name)


def test_the_camera_turn_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    image = read_image(saved(tmp_path, scene(), "a.jpg", exif=exif, quality=95))
    assert image.size == (90, 120)
    np.testing.assert_allclose(image.getpixel((90 - 1 - 25, 60)), (*RED, 255), atol=12)
    broken = saved(tmp_path, scene(), "b.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    assert read_image(broken).size == (120, 90)


def test_first_frame_of_an_animation(tmp_path):
    path = saved(tmp_path, scene(), "a.gif", save_all=True, append_images=[Image.new("RGB", (120, 90), (0, 0, 255))])
    np.testing.assert_allclose(read_image(path).getpixel((60, 25)), (*RED, 255), atol=12)


def test_arrays():
    array = np.asarray(scene())
    for given in (array, array / 255, array.astype(np.float32) / 255, np.dstack([array, array[..., :1] * 0 + 255])):
        np.testing.assert_array_equal(np.asarray(read_image(given))[..., :3], array)
    assert read_image(array[..., 0]).getpixel((60, 25)) == (200, 200, 200, 255)
    for bad in (array.astype(np.int64), array[..., :2], array * 1.0, array / 255 * np.nan, array[0], array[:0], "a", 3):
        with pytest.raises((ImageError, StorageError)):
            read_image(bad)


def header_of_png(width: int, height: int) -> bytes:
    """A file of some 100 bytes that declares so many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_bad_pictures_are_refused_in_one_line(tmp_path):
    whole = io.BytesIO()
    scene().save(whole, "PNG")
    jpeg = io.BytesIO()
    scene().save(jpeg, "JPEG")
    tiny = io.BytesIO()
    Image.new("RGB", (7, 400)).save(tiny, "PNG")
    for name, content, says in (
        ("empty", b"", "is empty"),
        ("text", b"this is no picture", "is no picture that can be read"),
        ("pdf", b"%PDF-1.4 ...", "is no picture"),
        ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "save it as PNG or JPEG"),
        ("eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no picture"),
        ("cut.png", whole.getvalue()[:200], "cut off"),
        ("cut.jpg", jpeg.getvalue()[: len(jpeg.getvalue()) // 2], "cut off"),
        ("41mp.png", header_of_png(8200, 5000), "at most 40 megapixels"),
        ("100mp.png", header_of_png(10_000, 10_000), "at most 40 megapixels"),
        ("4gp.png", header_of_png(65_000, 65_000), "at most 40 megapixels"),
        ("tiny.png", tiny.getvalue(), "7 × 400 pixels; at least 8"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ImageError, match=says) as caught:
            read_image(path)
        assert "\n" not in str(caught.value)


def test_a_large_picture_in_a_small_file(tmp_path):
    path = saved(tmp_path, Image.new("1", (8200, 5000)), "black.png")
    assert path.stat().st_size < 100_000
    with pytest.raises(ImageError, match="40 megapixels"):
        photo(path)


def test_missing_folder_and_address(tmp_path):
    with pytest.raises(StorageError, match="no picture"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(StorageError, match="is no file"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="download"):
        read_image("https://localhost/a.png")
    with pytest.raises(ImageError, match="is an address"):
        read_image(Path("http://localhost/a.png"))  # which eats a slash


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"])
def test_flipped_bits_and_cuts_raise_nothing_else(tmp_path, kind):
    buffer = io.BytesIO()
    scene().resize((40, 30)).save(buffer, kind)
    rng = np.random.default_rng(0)
    path = tmp_path / "bad"
    for i in range(40):
        damaged = bytearray(buffer.getvalue())
        if i % 4:
            damaged[rng.integers(min(len(damaged), 400))] ^= 1 << int(rng.integers(8))
        else:
            damaged = damaged[: rng.integers(len(damaged))]
        path.write_bytes(damaged)
        try:
            seen = photo(path, size=32)
        except ImageError as error:
            assert "\n" not in str(error)
        else:
            assert seen.shape == (3, 32, 32) and np.isfinite(seen).all()


# --------------------------------------------------------------------------------------------- background
def blend(ground: np.ndarray) -> np.ndarray:
    """Put the table, twice as large and with soft edges, before a background (180, 240, 3)."""
    mask = Image.fromarray(table().astype(np.uint8) * 255).resize((240, 180), Image.Resampling.BICUBIC)
    alpha = np.asarray(mask, np.float64)[..., None] / 255
    return np.rint(alpha * RED + (1 - alpha) * ground).clip(0, 255).astype(np.uint8)


def grounds() -> dict[str, np.ndarray]:
    y, x = np.mgrid[-1:1:180j, -1:1:240j]
    rng = np.random.default_rng(0)
    flat = np.ones((180, 240, 3))
    return {
        "white": flat * 255,
        "black": flat * 5,
        "grey": flat * 128,
        "blue": flat * (60, 90, 170),
        "gradient": (190 + 50 * y)[..., None] * (1, 0.97, 0.93),
        "vignette": (230 - 40 * (x * x + y * y))[..., None] * flat,
        "grain": flat * 200 + rng.normal(0, 6, (180, 240, 3)),
    }


@pytest.mark.parametrize("name", list(grounds()))
def test_the_object_is_found_before_plain_backgrounds(name):
    truth = np.asarray(Image.fromarray(table()).resize((240, 180), Image.Resampling.NEAREST))
    buffer = io.BytesIO()
    Image.fromarray(blend(grounds()[name])).save(buffer, "JPEG", quality=90)
    alpha = remove_background(np.asarray(Image.open(buffer)))
    assert alpha.dtype == np.float32 and alpha.shape == (180, 240)
    found = alpha > 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.9
    assert not found[100, 120]  # between the legs
    assert set(np.unique(alpha)) - {0, 1}  # a soft edge


def test_a_closed_hole_is_background_too():
    image = scene((90, 140, 90))
    ImageDraw.Draw(image).rectangle((34, 62, 85, 69), fill=RED)
    alpha = remove_background(np.asarray(image))
    assert alpha[50, 60] == 0 and alpha[66, 60] == 1


def test_without_a_plausible_object_the_whole_picture_is_taken():
    rng = np.random.default_rng(0)
    for picture in (
        rng.integers(0, 256, (80, 80, 3), np.uint8),
        np.full((80, 80, 3), 200, np.uint8),
        np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((10, 10, 1))).astype(np.uint8),
        np.where(np.arange(80)[:, None, None] < 40, np.uint8(250), np.uint8(90)) * np.ones((80, 80, 3), np.uint8),
    ):
        assert (remove_background(picture) == 1).all()


def test_a_large_picture_keeps_its_size():
    alpha = remove_background(np.asarray(scene().resize((1200, 900))))
    assert alpha.shape == (900, 1200)
    assert alpha[250, 600] == 1 and alpha[50, 50] == 0


# -------------------------------------------------------------------------------------------------- photo
def object_box(seen: np.ndarray) -> tuple[int, int, int, int]:
    mask = (seen < 0.9).any(axis=0)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("ground", [(255, 255, 255), (20, 20, 25), (90, 140, 200)])
def test_the_object_stands_centred_on_white_with_its_margin(ground):
    seen = photo(scene(ground), size=128, margin=0.1)
    assert seen.shape == (3, 128, 128) and seen.dtype == np.float32 and seen.flags.c_contiguous
    assert seen.min() >= 0 and seen.max() <= 1
    np.testing.assert_allclose(object_box(seen), (13, 21, 115, 107), atol=2)  # 60 × 50 pixels, in 0.8 × 128
    assert (seen[:, :8] == 1).all() and (seen[:, 120:] == 1).all()
    np.testing.assert_allclose(seen[:, 32, 64] * 255, RED, atol=2)


def test_own_transparency_goes_before_everything():
    cut = scene((0, 255, 0)).convert("RGBA")
    cut.putalpha(Image.fromarray(table().astype(np.uint8) * 255))
    seen = photo(cut, size=128)
    assert not ((seen[1] > 0.6) & (seen[0] < 0.4)).any()  # no green
    np.testing.assert_allclose(object_box(seen), (10, 19, 118, 109), atol=2)
    kept = photo(cut, size=120, background="keep")
    np.testing.assert_allclose(object_box(kept), (30, 35, 90, 85), atol=1)


def test_keep_shows_the_whole_picture_amid_white():
    seen = photo(scene((0, 0, 255)), size=120, background="keep")
    assert (seen[:, :15] == 1).all() and (seen[:, 105:] == 1).all()
    np.testing.assert_allclose(seen[:, 16, 2], (0, 0, 1), atol=0.02)
    square = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    np.testing.assert_allclose(photo(square, size=64), square.transpose(2, 0, 1) / 255, atol=1e-6)


def test_an_object_at_the_border_and_one_that_is_long():
    image = Image.new("RGB", (200, 40), (255, 255, 255))
    ImageDraw.Draw(image).rectangle((150, 10, 199, 20), fill=RED)
    seen = photo(image, size=64)
    np.testing.assert_allclose(object_box(seen)[::2], (5, 59), atol=1)


def test_a_picture_that_is_all_length():
    seen = photo(np.zeros((8, 200_000, 3), np.uint8), size=64)
    assert seen.shape == (3, 64, 64) and seen.min() == 0


def test_photo_refuses():
    with pytest.raises(UsageError, match="did you mean 'keep'"):
        photo(scene(), background="kep")  # type: ignore[arg-type]
    for options in ({"size": 0}, {"size": 5000}, {"margin": -0.1}, {"margin": 0.5}, {"margin": float("nan")}):
        with pytest.raises(UsageError):
            photo(scene(), **options)
    with pytest.raises(ImageError, match="wholly transparent"):
        photo(Image.new("RGBA", (20, 20)))


def test_every_picture_that_is_refused_is_named(tmp_path):
    for name, image in [("clear", Image.new("RGBA", (20, 20))), ("small", scene(size=(4, 4)))]:
        with pytest.raises(ImageError, match=f"{name}\\.png"):
            photo(saved(tmp_path, image, f"{name}.png"))


def test_photo_takes_what_it_gives():
    seen = photo(scene())
    assert read_image(seen).size == (256, 256)
    np.testing.assert_allclose(photo(seen, background="keep"), seen, atol=1e-6)


@needs_data
def test_real_pictures():
    folder = Path(str(DATA)) / "photos"
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
    assert paths
    for path in paths:
        seen = photo(path)
        assert seen.shape == (3, 256, 256) and np.isfinite(seen).all()
        if path.name != "InstantMesh__plant.jpg":  # a table and a wall behind it: no plain background
            assert (seen[:, :16] > 0.98).all(), path.name
            left, top, right, bottom = object_box(seen)
            assert 190 < max(right - left, bottom - top) < 225, path.name


@needs_data
def test_rooms_are_seldom_cut():
    paths = sorted((Path(str(DATA)) / "ikea" / "images").glob("*.jpg"))[::8]
    cut = [path for path in paths if remove_background(np.asarray(read_image(path).convert("RGB"))).min() < 1]
    assert len(cut) <= 0.1 * len(paths)
