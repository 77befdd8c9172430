"""Transparent pictures, over white: what lies under a transparent pixel is not seen."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dafsn_tf.preprocessing.alpha import blend_on_white
from dafsn_tf.preprocessing.image import decode_image
from dafsn_tf.preprocessing.status import Status

HIDDEN = (200, 30, 90)  # under transparent pixels
SHOWN = (10, 120, 250)


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png(depth, colour, row, *chunks):
    """A PNG of two pixels in one row."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0))
    middle = b"".join(chunk(*named) for named in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + middle + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")


def rgba():
    image = Image.new("RGBA", (2, 1), (*SHOWN, 255))
    image.putpixel((0, 0), (*HIDDEN, 0))
    return image


def deep(*values):
    return struct.pack(f">{len(values)}H", *(257 * value for value in values))


PALETTE = (b"PLTE", bytes([*HIDDEN, *SHOWN]))
# Two pixels: the first is transparent, the second has the colour beside the file.
FILES = {
    "RGBA PNG": (saved(rgba(), "PNG"), SHOWN),
    "16-bit RGBA PNG": (png(16, 6, deep(*HIDDEN, 0, *SHOWN, 255)), SHOWN),
    "LA PNG": (png(8, 4, bytes([80, 0, 90, 255])), (90, 90, 90)),
    "16-bit LA PNG": (png(16, 4, deep(80, 0, 90, 255)), (90, 90, 90)),
    "palette PNG with tRNS": (png(8, 3, bytes([0, 1]), PALETTE, (b"tRNS", b"\0")), SHOWN),
    "1-bit palette PNG with tRNS": (png(1, 3, b"\x40", PALETTE, (b"tRNS", b"\0\xff")), SHOWN),
    "RGB PNG with tRNS": (png(8, 2, bytes([*HIDDEN, *SHOWN]), (b"tRNS", struct.pack(">3H", *HIDDEN))), SHOWN),
    "16-bit RGB PNG with tRNS": (png(16, 2, deep(*HIDDEN, *SHOWN), (b"tRNS", deep(*HIDDEN))), SHOWN),
    "grey PNG with tRNS": (png(8, 0, bytes([80, 90]), (b"tRNS", struct.pack(">H", 80))), (90, 90, 90)),
    "1-bit grey PNG with tRNS": (png(1, 0, b"\x40", (b"tRNS", b"\0\0")), (255, 255, 255)),
    "PNG that only mentions tRNS": (png(8, 2, bytes([*[255] * 3, *SHOWN]), (b"tEXt", b"Comment\0tRNS")), SHOWN),
    "lossless WebP": (saved(rgba(), "WEBP", lossless=True, exact=True), SHOWN),
    "extended lossless WebP": (
        saved(rgba(), "WEBP", lossless=True, exact=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0"),
        SHOWN,
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_transparent_pixels_are_white(kind):
    encoded, shown = FILES[kind]
    pixels, status = decode_image(encoded, 2)
    assert status == Status.OK
    assert pixels.numpy().tolist() == [[[255, 255, 255], list(shown)]]


def test_lossy_webp_over_white():
    image = Image.new("RGBA", (40, 30), (*SHOWN, 0))
    image.paste((*SHOWN, 255), (20, 0, 40, 30))
    pixels = decode_image(saved(image, "WEBP"), 1200)[0].numpy().astype(int)
    assert (pixels[:, :20] == 255).all()
    assert abs(pixels[:, 20:] - SHOWN).max() < 12


@pytest.mark.parametrize("shape", [(256, 256), (1, 3), (257, 300), (1, 65537)])
def test_every_colour_and_alpha_is_blended_as_by_hand(shape):
    count = shape[0] * shape[1]
    colour, alpha = np.arange(count) % 256, np.arange(count) // 256 % 256
    pixels = np.stack([colour, 255 - colour, colour, alpha], axis=1).reshape(*shape, 4)
    opacity = pixels[..., 3:] / 255
    expected = np.floor(pixels[..., :3] * opacity + 255 * (1 - opacity) + 0.5)
    np.testing.assert_array_equal(blend_on_white(tf.constant(pixels, tf.uint8)), expected)


@pytest.mark.parametrize("kind", FILES)
def test_limits_hold_and_damage_has_a_status(kind):
    encoded, _ = FILES[kind]
    assert decode_image(encoded, 1)[1] == Status.TOO_MANY_PIXELS
    assert decode_image(encoded[:-20], 2)[1] == Status.UNDECODABLE
