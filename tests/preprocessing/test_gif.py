"""The first frame in a GIF against a plain walk over its blocks; what comes after it is never expanded."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dafsn_tf.preprocessing.gif import first_frame, frame_size
from dafsn_tf.preprocessing.image import decode_image
from dafsn_tf.preprocessing.status import Status

COMMENT = b"!\xfe\3abc\2,;\0"
EMPTY_FIRST_BLOCK = b"!\xfe\0\3,,,\0"  # whose extension goes on, as GIFLIB reads it


def gif(width: int, height: int, colors: int = 256, **options) -> bytes:
    pixels = np.random.default_rng(width).integers(0, colors, (height, width), np.uint8)
    image = Image.fromarray(pixels)
    image.putpalette(bytes(range(256)) * 3)
    stream = io.BytesIO()
    image.save(stream, "GIF", **options)
    return stream.getvalue()


def parts(data: bytes) -> tuple[bytes, bytes]:
    """Return a GIF of one frame as what stands before the descriptor and the frame, trailer left out."""
    place = end = 13 + (3 * 2 ** (data[10] % 8 + 1) if data[10] >= 128 else 0)
    while data[place : place + 1] == b"!":
        place += 2
        while data[place]:
            place += 1 + data[place]
        place += 1
    end = place + 10 + (3 * 2 ** (data[place + 9] % 8 + 1) if data[place + 9] >= 128 else 0) + 1
    while data[end]:
        end += 1 + data[end]
    return data[:place], data[place : end + 1]


def with_local_colors(data: bytes) -> bytes:
    head, frame = parts(data)
    colors = head[13 : 13 + 768]
    return head[:10] + b"\0" + head[11:13] + head[781:] + frame[:9] + b"\x87" + colors + frame[10:] + b";"


@pytest.mark.parametrize(
    "data",
    [
        gif(5, 7),
        gif(40, 90),
        gif(6, 4, colors=3),
        gif(6, 4, comment=b"words " * 100, transparency=3),
        with_local_colors(gif(50, 40)),
    ],
    ids=["small", "of many blocks", "few colours", "extensions", "local colours"],
)
def test_the_first_frame_is_found(data):
    head, frame = parts(data)
    width, height = Image.open(io.BytesIO(data)).size
    assert frame_size(tf.constant(data)).numpy().tolist() == [width, height]
    whole = head + COMMENT + EMPTY_FIRST_BLOCK + frame
    assert frame_size(tf.constant(whole + b";")).numpy().tolist() == [width, height]
    assert first_frame(tf.constant(whole + frame + frame + b";")).numpy() == whole + b";"
    assert first_frame(tf.constant(whole + COMMENT + b";")).numpy() == whole + COMMENT + b";"
    np.testing.assert_array_equal(
        tf.io.decode_gif(first_frame(tf.constant(whole + frame + b";")))[0], Image.open(io.BytesIO(data)).convert("RGB")
    )


HEAD, FRAME = parts(gif(5, 7))


@pytest.mark.parametrize(
    "data", [HEAD[:8], HEAD, HEAD + b";", HEAD + COMMENT, HEAD + b"\0" + FRAME, HEAD + FRAME[:12], HEAD + FRAME[:-1]]
)
def test_no_frame_raises_in_graph(data):
    with pytest.raises(tf.errors.InvalidArgumentError):
        first_frame(tf.constant(data))


def test_blocks_of_one_byte_are_not_walked_for_ever():
    head, frame = parts(gif(5, 7))
    data = head + frame[:11] + b"\1a" * 100_000 + b"\0;"
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many blocks"):
        first_frame(tf.constant(data))


MAX_PIXELS = 10_000


def test_a_frame_counts_and_not_the_screen_alone():
    large, small = gif(101, 100), gif(10, 10)
    assert decode_image(large[:6] + struct.pack("<HH", 1, 1) + large[10:], MAX_PIXELS)[1] == Status.TOO_MANY_PIXELS
    assert decode_image(small[:6] + struct.pack("<HH", 101, 100) + small[10:], MAX_PIXELS)[1] == Status.TOO_MANY_PIXELS
    pixels, status = decode_image(small[:6] + struct.pack("<HH", 3, 0) + small[10:], MAX_PIXELS)
    assert status == Status.OK
    assert pixels.shape == (10, 10, 3)


def test_later_frames_are_not_expanded():
    head, frame = parts(gif(10, 10))
    _, large = parts(gif(400, 300))
    pixels, status = decode_image(head + frame + large * 20 + b";", MAX_PIXELS)
    assert status == Status.OK
    assert pixels.shape == (10, 10, 3)


def test_no_frame_is_undecodable():
    assert decode_image(HEAD + COMMENT + b";", MAX_PIXELS)[1] == Status.UNDECODABLE
