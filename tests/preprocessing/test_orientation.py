"""A JPEG's EXIF orientation: turned as Pillow turns it, and whatever bytes say, never an error."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.ImageOps import exif_transpose

from dafsn_tf.preprocessing.image import decode_image
from dafsn_tf.preprocessing.orientation import read_orientation
from dafsn_tf.preprocessing.status import Status

_ORIENTATION = 0x0112
_ROWS, _COLUMNS = np.mgrid[0:11, 0:17]
PICTURE = Image.fromarray(np.stack([_ROWS * 20, _COLUMNS * 15, (_ROWS * _COLUMNS) % 256], axis=-1).astype(np.uint8))


def jpeg(exif: bytes, before: bytes = b"") -> bytes:
    """A JPEG with EXIF data, after other segments."""
    buffer = io.BytesIO()
    PICTURE.save(buffer, "JPEG", subsampling=0, exif=exif)
    return buffer.getvalue()[:2] + before + buffer.getvalue()[2:]


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def camera(orientation: int, endian: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = endian
    exif[0x010F], exif[_ORIENTATION], exif[0x0131] = "A camera's maker, in words", orientation, "software"
    return exif.tobytes()


def field(kind: int, value: bytes, tag: int = _ORIENTATION) -> bytes:
    return struct.pack("<HHI", tag, kind, 1) + value


def tiff(*fields: bytes, count: int | None = None, offset: int = 8) -> bytes:
    head = b"Exif\0\0II*\0" + struct.pack("<I", offset)
    return head + struct.pack("<H", len(fields) if count is None else count) + b"".join(fields)


@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize("orientation", range(10))
def test_pixels_are_pillows(orientation, endian):
    encoded = jpeg(camera(orientation, endian))
    pixels, status = decode_image(encoded, 1000)
    assert status == Status.OK
    np.testing.assert_array_equal(pixels, np.asarray(exif_transpose(Image.open(io.BytesIO(encoded)))))


def test_other_segments_may_come_before():
    before = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + bytes(65_000)) + segment(0xFE, b"a comment")
    assert read_orientation(jpeg(camera(6), before)) == 6


def test_other_formats_stay_as_they_are():
    for kind in ("PNG", "WEBP"):
        buffer = io.BytesIO()
        PICTURE.save(buffer, kind, exif=camera(6), lossless=True)
        pixels, _ = decode_image(buffer.getvalue(), 1000)
        assert pixels.shape == (11, 17, 3)


SIX = struct.pack("<HH", 6, 0)


@pytest.mark.parametrize(
    ("exif", "orientation"),
    [
        (tiff(field(3, SIX)), 6),
        (tiff(field(2, SIX, tag=0x010E), field(3, SIX)), 6),
        (tiff(field(3, SIX, tag=0x0113)), 1),
        (tiff(field(2, SIX)), 1),
        (tiff(field(3, struct.pack("<HH", 9, 0))), 1),
        (tiff(field(3, SIX), count=65_535), 6),
        (tiff(field(3, SIX), count=0), 1),
        (tiff(field(3, SIX), offset=2**32 - 1), 1),
        (tiff(field(3, SIX), offset=2**31), 1),
        (tiff(field(3, SIX), offset=65_535), 1),
        (b"Exif\0\0", 1),
        (b"Exif\0\0II", 1),
        (b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\x08\0\0", 8),
    ],
)
def test_what_the_fields_say(exif, orientation):
    encoded = jpeg(exif)
    assert read_orientation(encoded) == orientation
    assert decode_image(encoded, 1000)[1] == Status.OK


def test_endless_segments_end():
    assert read_orientation(b"\xff\xd8" + b"\xff\xe0\0\0" * 100_000) == 1
    assert read_orientation(b"\xff\xd8" + segment(0xE2, bytes(65_000)) * 20 + jpeg(camera(6))[2:]) == 1


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_have_an_orientation(body, begins_well):
    exif = b"Exif\0\0" + (b"II*\0\x08\0\0\0" if begins_well else b"") + body
    assert 1 <= int(read_orientation(jpeg(exif))) <= 8
    assert 1 <= int(read_orientation(tf.constant(b"\xff\xd8\xff\xe1" + body))) <= 8
