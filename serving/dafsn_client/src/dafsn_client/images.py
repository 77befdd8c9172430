"""Images as they travel: encoded bytes, scaled down where that is asked."""

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from dafsn_client.errors import InputError

Image = bytes | str | os.PathLike[str]
"""Encoded bytes (JPEG, PNG, GIF, BMP, WebP), or the path of a file that holds them."""


def read_images(images: Sequence[Image], max_side: int | None = None) -> list[bytes]:
    """Return the encoded bytes of images.

    Args:
        images: bytes or paths.
        max_side: pixels; an image whose longer side is larger is scaled down to it and encoded as PNG where it has
            transparency, else as JPEG. Its orientation is left as its pixels stand: servers do not look at EXIF.

    Raises:
        InputError: a file that cannot be read, or Pillow missing where images are to be scaled.
    """
    if isinstance(images, str | bytes | os.PathLike):
        raise InputError("One image was given where a list of images is due; write [image].")
    encoded = [image if isinstance(image, bytes) else _read(Path(image)) for image in images]
    return encoded if max_side is None else [_scaled_down(data, max_side) for data in encoded]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"The image {path} cannot be read: {error.strerror}.") from error


def _scaled_down(data: bytes, max_side: int) -> bytes:
    """Return the image, smaller; unchanged where it is small enough, or where the server had better judge it."""
    try:
        from PIL import Image as Pillow
    except ImportError as error:
        raise InputError(
            "Scaling images down needs Pillow: pip install 'dafsn-client[images]', or leave max_image_side away."
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Pillow.DecompressionBombWarning)
            image = Pillow.open(io.BytesIO(data))
            if max(image.size) <= max_side or getattr(image, "is_animated", False):
                return data
            transparent = image.has_transparency_data
            image.draft("RGB", (max_side, max_side))
            image = image.convert("RGBA" if transparent else "RGB")
    except (OSError, SyntaxError, ValueError, Pillow.DecompressionBombError, Pillow.DecompressionBombWarning):
        return data  # damaged, unknown or a bomb: the server answers it with a status
    image.thumbnail((max_side, max_side), Pillow.Resampling.LANCZOS)
    stream = io.BytesIO()
    if transparent:
        image.save(stream, "PNG")
    else:
        image.save(stream, "JPEG", quality=95, subsampling=0)
    return stream.getvalue()
