"""Pictures that would expand to more than their header says (GIF: test_gif): none is decoded beyond the limits."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dafsn_tf.preprocessing.image import decode_image
from dafsn_tf.preprocessing.status import Status

MAX_PIXELS = 10_000


def encode(size: tuple[int, int], kind: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (9, 90, 200)).save(stream, kind, **options)
    return stream.getvalue()


def decode(data: bytes) -> tuple[Status, tuple[int, ...]]:
    pixels, status = decode_image(data, MAX_PIXELS)
    return Status(int(status)), tuple(pixels.shape)


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webps_canvas_must_be_its_pictures(lossless):
    webp = encode((200, 100), "WEBP", lossless=lossless, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0")
    assert webp[12:16] == b"VP8X"
    assert decode(webp)[0] == Status.TOO_MANY_PIXELS
    assert decode(webp[:24] + bytes(6) + webp[30:])[0] == Status.UNDECODABLE


def test_a_jpeg_has_one_size():
    large, small = encode((200, 100), "JPEG"), encode((20, 10), "JPEG")

    def frame_header(jpeg: bytes) -> tuple[int, bytes]:
        start = jpeg.index(b"\xff\xc0")
        return start, jpeg[start : start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")]

    start, _ = frame_header(large)
    assert decode(large[:start] + frame_header(small)[1] + large[start:])[0] == Status.UNDECODABLE
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(small)) + small
    assert decode(large[:2] + thumbnail + large[2:])[0] == Status.TOO_MANY_PIXELS
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(large)) + large
    assert decode(small[:2] + thumbnail + small[2:]) == (Status.OK, (10, 20, 3))


def with_scans(jpeg: bytes, count: int) -> bytes:
    """Repeat the last scan of a JPEG."""
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * count + b"\xff\xd9"


def test_a_jpeg_of_many_scans_is_refused():
    progressive = encode((60, 40), "JPEG", progressive=True)
    assert progressive.count(b"\xff\xda") == 10
    assert decode(with_scans(progressive, 40)) == (Status.OK, (40, 60, 3))
    assert decode(with_scans(progressive, 41))[0] == Status.UNDECODABLE


def test_a_film_behind_a_photograph_is_no_scan():
    film = np.random.default_rng(0).bytes(10_000) + 100 * b"\xff\xda" + b"\xff\xc2" + bytes(100)
    assert decode(encode((60, 40), "JPEG") + film) == (Status.OK, (40, 60, 3))


def test_a_png_of_many_texts_is_refused():
    png = encode((60, 40), "PNG")
    content = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(1_000_000))
    text = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    assert decode(png[:33] + 16 * text + png[33:]) == (Status.OK, (40, 60, 3))
    for data in (png[:33] + 17 * text + png[33:], png[:-12] + 17 * text + png[-12:]):
        assert decode(data)[0] == Status.UNDECODABLE
