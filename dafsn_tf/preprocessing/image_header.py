"""What the first bytes of a picture declare, read in graph before anything is decoded."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from dafsn_tf.preprocessing.gif import frame_size

_HEADER_BYTES = 64
_JPEG_MAGIC = b"\xff\xd8\xff"


class ImageFormat(IntEnum):
    """What the bytes begin like; three layouts of WebP and two of GIF count as formats of their own."""

    UNKNOWN = 0
    JPEG = 1
    PNG = 2
    GIF87 = 3
    GIF89 = 4
    BMP = 5
    WEBP_LOSSY = 6
    WEBP_LOSSLESS = 7
    WEBP_EXTENDED = 8


GIFS = (ImageFormat.GIF87, ImageFormat.GIF89)


class ImageHeader(NamedTuple):
    """Scalars `format` (an `ImageFormat`), `width` and `height`, all int64, and the first 64 bytes, uint8.

    Width and height are what a decoder makes room for: a GIF's are the larger of its screen's and its first frame's.
    """

    format: tf.Tensor
    width: tf.Tensor
    height: tf.Tensor
    first_bytes: tf.Tensor

    def number(self, offset: int, length: int) -> tf.Tensor:
        """Return the unsigned little-endian integer (int64) of `length` bytes at `offset`."""
        digits = tf.cast(self.first_bytes[offset : offset + length], tf.int64)
        return tf.reduce_sum(digits * [256**place for place in range(length)])


class _Field(NamedTuple):
    """An unsigned integer of the header: `(bytes >> shift) % 2**bits + plus`."""

    offset: int
    length: int
    big_endian: bool = False
    shift: int = 0
    bits: int = 32
    plus: int = 0

    def weights(self) -> list[int]:
        """Return what each byte of the header counts in the field's number."""
        places = [256**place for place in range(self.length)]
        weights = [0] * _HEADER_BYTES
        weights[self.offset : self.offset + self.length] = places[::-1] if self.big_endian else places
        return weights


# Format: (magic bytes by offset, width, height). One row a format, so that a few vector operations read them all.
_LAYOUTS = {
    ImageFormat.PNG: ({0: b"\x89PNG\r\n\x1a\n"}, _Field(16, 4, big_endian=True), _Field(20, 4, big_endian=True)),
    ImageFormat.GIF87: ({0: b"GIF87a"}, _Field(6, 2), _Field(8, 2)),
    ImageFormat.GIF89: ({0: b"GIF89a"}, _Field(6, 2), _Field(8, 2)),
    # The high bytes of the second header's length tell a BMP from a text that begins with "BM".
    ImageFormat.BMP: ({0: b"BM", 15: b"\0\0\0"}, _Field(18, 4), _Field(22, 4)),
    ImageFormat.WEBP_LOSSY: ({0: b"RIFF", 8: b"WEBPVP8 "}, _Field(26, 2, bits=14), _Field(28, 2, bits=14)),
    ImageFormat.WEBP_LOSSLESS: (
        {0: b"RIFF", 8: b"WEBPVP8L"},
        _Field(21, 4, bits=14, plus=1),
        _Field(21, 4, shift=14, bits=14, plus=1),
    ),
    ImageFormat.WEBP_EXTENDED: ({0: b"RIFF", 8: b"WEBPVP8X"}, _Field(24, 3, plus=1), _Field(27, 3, plus=1)),
}
_FIELDS = [(width, height) for _, width, height in _LAYOUTS.values()]
_WEIGHTS = np.array([[field.weights() for field in fields] for fields in _FIELDS], np.int64)  # (7, 2, 64)
_SHIFTS = np.array([[field.shift for field in fields] for fields in _FIELDS], np.int64)
_MASKS = np.array([[2**field.bits - 1 for field in fields] for fields in _FIELDS], np.int64)
_PLUS = np.array([[field.plus for field in fields] for fields in _FIELDS], np.int64)


def _magic() -> tuple[np.ndarray, np.ndarray]:
    """Return the expected bytes (formats, 64) and whether each must be there."""
    expected = np.zeros((len(_LAYOUTS), _HEADER_BYTES), np.uint8)
    required = np.zeros(expected.shape, bool)
    for row, (magic, _, _) in enumerate(_LAYOUTS.values()):
        for offset, text in magic.items():
            expected[row, offset : offset + len(text)] = list(text)
            required[row, offset : offset + len(text)] = True
    return expected, required


_EXPECTED, _REQUIRED = _magic()


def read_header(data: tf.Tensor) -> ImageHeader:
    """Return the header of an encoded picture (scalar string); short data reads as if followed by zeros.

    Raises:
        InvalidArgumentError: data that begins as a JPEG and declares no size, or as a GIF and holds no frame (in graph,
            as decoders raise).
    """
    first_bytes = tf.io.decode_raw(tf.strings.substr(data, 0, _HEADER_BYTES), tf.uint8, fixed_length=_HEADER_BYTES)
    fits = tf.reduce_all((first_bytes == _EXPECTED) | ~_REQUIRED, axis=1)  # (7,), one at most
    numbers = tf.reduce_sum(tf.cast(first_bytes, tf.int64) * _WEIGHTS, axis=2)
    sizes = tf.bitwise.bitwise_and(tf.bitwise.right_shift(numbers, _SHIFTS), _MASKS) + _PLUS
    # A BMP of negative height has its rows from the top. (A PNG so large is invalid, and its decoder says so.)
    sizes = tf.where(sizes > 2**31, 2**32 - sizes, sizes)
    size = tf.reduce_sum(tf.where(fits[:, None], sizes, 0), axis=0)  # width, height

    def read_jpeg_size() -> tf.Tensor:
        return tf.cast(tf.io.extract_jpeg_shape(data)[1::-1], tf.int64)

    is_jpeg = tf.reduce_all(first_bytes[: len(_JPEG_MAGIC)] == list(_JPEG_MAGIC))
    size = tf.cond(is_jpeg, read_jpeg_size, lambda: size)
    codes = tf.where(fits, np.array(list(_LAYOUTS), np.int64), 0)
    image_format = tf.where(is_jpeg, tf.constant(ImageFormat.JPEG, tf.int64), tf.reduce_sum(codes))
    is_gif = tf.reduce_any(image_format == np.array(GIFS, np.int64))
    size = tf.cond(is_gif, lambda: tf.maximum(size, frame_size(data)), lambda: size)
    return ImageHeader(image_format, size[0], size[1], first_bytes)
