import struct
import time
import zlib
from contextlib import nullcontext
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dafsn_tf.data.pictures import PictureError, decoder_settings, normalize_picture
from dafsn_tf.preprocessing.image import decode_image


def encode(image, file_format, **options):
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def decode(encoded):
    image = Image.open(BytesIO(encoded))
    image.load()
    return image


def pixels(encoded):
    image = decode(encoded)
    assert image.mode == "RGB"
    return np.asarray(image)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, depth, colour, body):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("file_format", ["JPEG", "PNG"])
def test_a_normal_picture_keeps_its_bytes(picture, file_format):
    encoded = encode(picture(), file_format)
    assert normalize_picture(encoded) is encoded


@pytest.mark.parametrize("orientation", range(2, 9))
def test_orientation(picture, orientation):
    """Pixels are moved so that turning the picture as its EXIF says gives the one it was."""
    upright = picture(width=6, height=4)
    stored = upright.transpose(
        {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }[orientation]
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = normalize_picture(encode(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(pixels(result), np.asarray(upright))
    assert decode(result).getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_jpeg_is_prepared_as_it_is_served(picture, orientation):
    """Turned once, and stored so that readers without EXIF show it upright."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = picture(width=3, height=2).resize((96, 64), Image.Resampling.BICUBIC)  # survives a second coding
    encoded = encode(smooth, "JPEG", exif=exif, quality=100, subsampling=0)
    result = normalize_picture(encoded)
    served, _ = decode_image(encoded, 10_000)
    np.testing.assert_allclose(pixels(result).astype(int), np.asarray(served, int), atol=8)
    assert decode(result).getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("file_format", ["GIF", "WEBP"])
def test_the_first_frame_of_animations(file_format):
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    result = normalize_picture(encode(frames[0], file_format, save_all=True, append_images=frames[1:], **options))
    np.testing.assert_allclose(np.asarray(decode(result).convert("RGB")), np.asarray(frames[0]), atol=3)


def test_bitmaps_that_tensorflow_does_not_read_become_png(picture):
    dots = picture(width=300).convert("1")
    result = normalize_picture(encode(dots, "BMP"))
    assert decode(result).format == "PNG"
    np.testing.assert_array_equal(np.asarray(decode(result).convert("RGB")), np.asarray(dots.convert("RGB")))


def test_small_lossless_sources_stay_lossless(picture):
    assert decode(normalize_picture(encode(picture(width=60, height=40), "BMP"), image_side=30)).format == "PNG"
    assert decode(normalize_picture(encode(picture(width=300, height=40), "BMP"), image_side=30)).format == "PNG"
    assert decode(normalize_picture(encode(picture(width=600, height=40), "BMP"), image_side=30)).format == "JPEG"


def test_large_pictures_are_reduced_to_the_shorter_side(picture):
    encoded = encode(picture(width=90, height=60), "JPEG")
    assert decode(normalize_picture(encoded, image_side=40)).size == (60, 40)
    assert normalize_picture(encoded, image_side=60) is encoded


def test_broken_exif_is_ignored(picture):
    encoded = encode(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    with decoder_settings():
        assert normalize_picture(encoded) is encoded


@pytest.mark.parametrize(
    ("broken", "detail"),
    [
        (b"", "the file has 0 bytes"),
        (b"This is a text.\n", "not a picture in JPEG, PNG, GIF, BMP, WEBP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture in JPEG, PNG, GIF, BMP, WEBP"),
        (png(4, 4, 8, 2, b""), "OSError: "),
    ],
)
def test_what_is_no_picture(broken, detail):
    with pytest.raises(PictureError, match=detail) as error:
        normalize_picture(broken)
    assert error.value.kind == "undecodable_image"


@pytest.mark.parametrize("settings", [nullcontext, decoder_settings])
def test_too_many_pixels_are_refused_by_the_header(settings):
    huge = png(20_000, 20_000, 8, 2, b"\0")
    started = time.perf_counter()
    with settings(), pytest.raises(PictureError, match="pixels") as error:
        normalize_picture(huge)
    assert error.value.kind == "too_many_pixels"
    assert time.perf_counter() - started < 1


def test_the_pixel_limit_is_ours_to_set(picture):
    encoded = encode(picture(), "PNG")
    assert normalize_picture(encoded, max_pixels=24 * 16) is encoded
    with pytest.raises(PictureError, match=r"24 x 16 pixels, more than 383: reduce it$"):
        normalize_picture(encoded, max_pixels=24 * 16 - 1)


def test_pillows_limit_comes_back():
    limit = Image.MAX_IMAGE_PIXELS
    with decoder_settings():
        assert Image.MAX_IMAGE_PIXELS is None
    assert limit == Image.MAX_IMAGE_PIXELS
