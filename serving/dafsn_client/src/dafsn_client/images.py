"""Images as they travel: encoded bytes, scaled down where that is asked."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dafsn_client.errors import InputError

Image = bytes | bytearray | memoryview | str | os.PathLike[str]
"""Encoded bytes (JPEG, PNG, GIF, BMP, WebP), or the path of a file that holds them."""

_IMAGES = (bytes, bytearray, memoryview, str, os.PathLike)
_SCALED = ("JPEG", "PNG", "GIF", "BMP", "WEBP")  # what servers read; Pillow would open much more


def listed(images: Sequence[Image]) -> list[Image]:
    """Return a list of images.

    Raises:
        InputError: one image in place of a list, or something that is no image.
    """
    if isinstance(images, _IMAGES):
        raise InputError("One image was given where a list of images is due; write [image].")
    try:
        found = list(images)
    except TypeError as error:
        raise InputError(f"A list of images is due; got {type(images).__name__}.") from error
    for place, image in enumerate(found):
        if not isinstance(image, _IMAGES):
            raise InputError(
                f"Image {place} is of type {type(image).__name__}; an image is its encoded bytes, or a path."
            )
    return found


def read_images(images: Sequence[Image], max_side: int | None = None) -> list[bytes]:
    """Return the encoded bytes of images.

    Args:
        images: bytes or paths.
        max_side: pixels; an image whose longer side is larger is scaled down to it and becomes a JPEG. Its pixels
            are taken as servers take them (transparency over white, 16 bits cut to 8, a JPEG turned by its EXIF
            orientation), so that the answer stays the same. What servers may not read, and animations, travel
            unchanged: they judge.

    Raises:
        InputError: something that is no image, a file that cannot be read, or Pillow missing where images are scaled.
    """
    encoded = [_read(image) if isinstance(image, str | os.PathLike) else bytes(image) for image in listed(images)]
    return encoded if max_side is None else [_scaled_down(data, max_side) for data in encoded]


def opened(encoded: bytes) -> Any:
    """Return an encoded image as Pillow's, in RGB, its pixels as servers take them.

    Raises:
        InputError: no picture that is read, or Pillow missing.
    """
    Pillow = _pillow("Drawing a picture")
    try:
        return as_seen(Pillow.open(io.BytesIO(encoded), formats=_SCALED))
    except Exception as error:  # a damaged picture leads Pillow to errors of any kind
        raise InputError(f"The image cannot be drawn, as it cannot be decoded: {error}.") from error


def as_seen(image: Any) -> Any:
    """Return Pillow's image in RGB as models see it: a JPEG upright, transparency over white, 16 bits cut to 8."""
    return _eight_bits(_upright(image)).convert("RGB")


def _pillow(purpose: str) -> Any:
    try:
        from PIL import Image as Pillow
    except ImportError as error:
        raise InputError(f"{purpose} needs Pillow: pip install pillow.") from error
    return Pillow


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"The image {path} cannot be read: {error.strerror}.") from error
    except (TypeError, ValueError) as error:  # bytes, a zero byte, a lone surrogate
        raise InputError(f"The image path {path!r} is none that a file can have: {error}.") from error


def _scaled_down(data: bytes, max_side: int) -> bytes:
    """Return the image, smaller; unchanged where it is small enough, or where the server had better judge it."""
    Pillow = _pillow("Scaling images down (max_image_side)")
    try:
        image = Pillow.open(io.BytesIO(data), formats=_SCALED)
        is_bomb = image.width * image.height > (Pillow.MAX_IMAGE_PIXELS or float("inf"))
        if max(image.size) <= max_side or is_bomb or _is_seen_otherwise(image):
            return data
        image.draft("RGB", (max_side, max_side))
        image = _eight_bits(_upright(image))
        image.thumbnail((max_side, max_side), Pillow.Resampling.LANCZOS)
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=95, subsampling=0)
        return stream.getvalue()
    except Exception:  # a damaged picture leads Pillow to errors of any kind; the server has a status for it
        return data


def _is_seen_otherwise(image: Any) -> bool:
    """Return whether Pillow's first frame is not what a server sees."""
    if image.format in ("GIF", "PNG", "WEBP") and image.is_animated:  # a JPEG with a preview beside it (MPO) is not
        return True
    if image.format == "GIF":  # to a server transparent pixels are black, and the frame alone is the image
        return "transparency" in image.info or tuple(image.tile[0][1]) != (0, 0, *image.size)
    if image.format == "PNG" and image.mode != "P" and "transparency" in image.info:
        return True  # a colour that stands for transparent: Pillow misses it unless it has 8 bits
    return image.format == "BMP" and image.mode == "1"  # not read there


def _upright(image: Any) -> Any:
    """Return a JPEG as its EXIF orientation says it is to be seen, another image as it is stored."""
    if image.format not in ("JPEG", "MPO"):
        return image
    from PIL.ImageOps import exif_transpose

    try:
        return exif_transpose(image)
    except Exception:  # broken EXIF data say nothing; the picture is fine
        return image


def _eight_bits(image: Any) -> Any:
    """Return what is drawn of an image, in RGB or grey: 16 bits cut to 8, transparency over white."""
    if image.mode.startswith("I"):
        return _pillow("Reading 16 bits").fromarray(_high_bytes(image))
    return _over_white(image)


def _over_white(image: Any) -> Any:
    """Return the colours; transparent pixels are white as far as they are so, except a BMP's, which has none there."""
    if image.format == "BMP" or not (image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info):
        return image.convert("RGB")
    image = image.convert("RGBA")
    page = image.copy()
    page.paste("white", (0, 0, *image.size))
    page.paste(image, mask=image.getchannel("A"))
    return page.convert("RGB")


def _high_bytes(image: Any) -> np.ndarray:
    """Return 16-bit grey as 8 bits; Pillow's own conversion makes all above 255 white."""
    return (np.asarray(image) >> 8).astype(np.uint8)
