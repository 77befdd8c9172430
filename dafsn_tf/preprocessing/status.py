"""What became of a row: one bad text or picture never fails its neighbours (DESIGN section 8.3)."""

from enum import IntEnum


class Status(IntEnum):
    """The code of a row; every code but OK goes with zeros. The serving client holds the same numbers."""

    OK = 0
    """The row was used."""

    EMPTY_TEXT = 1
    """The text holds no word: nothing, spaces or punctuation only, or bytes that are no UTF-8."""

    EMPTY_IMAGE = 10
    """The picture has no bytes."""

    UNKNOWN_FORMAT = 11
    """The bytes begin like none of JPEG, PNG, GIF, BMP and WebP."""

    TOO_MANY_PIXELS = 12
    """The header declares more pixels than are allowed; nothing was decoded."""

    ANIMATED_WEBP = 13
    """A WebP animation, which TensorFlow cannot decode safely; send one frame of it."""

    UNDECODABLE = 14
    """The format is known but the data is truncated, corrupt, of a kind its decoder does not read, or made to keep it
    busy: scans, texts or blocks by the hundred."""
