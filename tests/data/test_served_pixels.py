"""A file is trained on as a model serves it: the same pixels, or not at all."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dafsn_tf.data.pictures import PictureError, normalize_picture
from dafsn_tf.preprocessing.image import ImagePreprocessor

LIMIT = 100_000


def encode(image, file_format, **options):
    buffer = BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def deep_png(pixels):
    """A PNG of 16 bits a channel, which Pillow does not write in colour; pixels are (H, W, 3), uint16."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _files():
    """One small file of each kind; smooth, so that reducing it in two ways differs little."""
    across, down = np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 40))
    values = np.stack([across, down, 1 - across * down], axis=2)
    colour = Image.fromarray((255 * values).astype(np.uint8))
    alpha = Image.fromarray((255 * down).astype(np.uint8))
    transparent = colour.copy()
    transparent.putalpha(alpha)
    grey, palette = colour.convert("L"), colour.quantize(64)
    faint = grey.copy()
    faint.putalpha(alpha)
    deep = np.round(65535 * values).astype(np.uint16)
    return {
        "JPEG": encode(colour, "JPEG"),
        "progressive JPEG": encode(colour, "JPEG", progressive=True),
        "grey JPEG": encode(grey, "JPEG"),
        "CMYK JPEG": encode(colour.convert("CMYK"), "JPEG"),
        "PNG": encode(colour, "PNG"),
        "RGBA PNG": encode(transparent, "PNG"),
        "LA PNG": encode(faint, "PNG"),
        "palette PNG": encode(palette, "PNG"),
        "palette PNG with transparency": encode(palette, "PNG", transparency=3),
        "PNG with a transparent colour": encode(colour, "PNG", transparency=(0, 0, 255)),
        "grey PNG": encode(grey, "PNG"),
        "1-bit PNG": encode(grey.convert("1"), "PNG"),
        "16-bit grey PNG": encode(Image.fromarray(deep[:, :, 2]), "PNG"),
        "16-bit PNG": deep_png(deep),
        "GIF": encode(palette, "GIF"),
        "GIF with transparency": encode(palette, "GIF", transparency=3),
        "GIF of two frames": encode(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]),
        "BMP": encode(colour, "BMP"),
        "palette BMP": encode(palette, "BMP"),
        "BMP with alpha": encode(transparent, "BMP"),
        "WebP": encode(colour, "WEBP"),
        "lossless WebP": encode(colour, "WEBP", lossless=True),
        "WebP with alpha": encode(transparent, "WEBP"),
        "lossless WebP with alpha": encode(transparent, "WEBP", lossless=True),
    }


FILES = _files()


@pytest.fixture(scope="module")
def served():
    """Returns what a served model makes of files."""
    preprocessor = ImagePreprocessor(16, LIMIT)

    def preprocess(*encoded):
        answer = preprocessor(list(encoded))
        assert not answer["status"].numpy().any()
        return answer["images"].numpy()

    return preprocess


@pytest.mark.parametrize("kind", FILES)
def test_prepared_pixels_are_the_served_ones(kind, served):
    prepared = normalize_picture(FILES[kind], max_pixels=LIMIT)
    np.testing.assert_array_equal(*served(FILES[kind], prepared))


@pytest.mark.parametrize("kind", FILES)
def test_reduced_pictures_look_the_same(kind, served):
    prepared = normalize_picture(FILES[kind], image_side=30, max_pixels=LIMIT)
    with Image.open(BytesIO(prepared)) as image:
        assert image.size == (45, 30)
    difference = np.abs(np.subtract(*served(FILES[kind], prepared)))
    assert difference.mean() < (0.2 if kind == "1-bit PNG" else 0.02)  # of dots, reducing makes shades


@pytest.mark.parametrize("kind", FILES)
def test_what_is_cut_short_is_refused(kind):
    whole = FILES[kind]
    for length in (*range(len(whole) - 24, len(whole)), *(len(whole) * part // 8 for part in range(8))):
        with pytest.raises(PictureError) as error:
            normalize_picture(whole[:length], max_pixels=LIMIT)
        assert error.value.kind == "undecodable_image"


def test_an_unreadable_file_says_what_to_do():
    with pytest.raises(PictureError, match=r"TensorFlow does not decode it: cut short, .* save it anew"):
        normalize_picture(FILES["PNG"][:-5], max_pixels=LIMIT)
