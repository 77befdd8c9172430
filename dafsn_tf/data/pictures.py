"""Encoded pictures of any kind to encoded pictures that every later step reads alike: upright and not too large.

A picture's pixels are those that `preprocessing.image.decode_image` gives for its bytes, here as in a served model. So
a file is trained on as it is served, alpha (over white), 16 bits, CMYK and a JPEG's EXIF orientation included. What
that graph does not do is done here: turning other formats by theirs, the first frame of an animated WebP, BMP with
compression or of other depths.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from dafsn_tf.errors import DataError
from dafsn_tf.preprocessing.status import Status

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")  # of their files, where a folder is looked through
_UNREAD = (".heic", ".heif", ".avif", ".tif", ".tiff", ".jxl", ".jp2")  # of pictures too, in formats not read
_LOSSLESS = {"PNG", "GIF", "BMP"}
_SMALL = 256  # pixels of the longer side up to which lossless sources stay lossless
_JPEG_LIMIT = 65_500  # pixels a side that libjpeg writes
_JPEG_QUALITY = 95
_PNG_MAGIC, _PNG_DEPTH = b"\x89PNG\r\n\x1a\n", 24  # the latter is where its header has the bits of a channel
_ORIENTATION = 0x0112  # EXIF tag
_TURNED = ("JPEG", "MPO")  # by the graph; to Pillow, a JPEG with others behind it is an MPO
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(Exception):
    """A picture that cannot be used, with the kind of problem it counts as."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@contextmanager
def decoder_settings() -> Iterator[None]:
    """Set Pillow's process-wide pixel limit aside, which would shadow `max_pixels`, and its warnings on odd metadata.

    To be entered before decoding threads start: what a thread sets, the others see.
    """
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def picture_files(folder: Path) -> list[Path]:
    """Return the files of a folder and its subfolders that end in one of `SUFFIXES`, in order.

    Raises:
        DataError: no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Name one that holds pictures ({', '.join(SUFFIXES)}).")
    files = _files_ending_in(SUFFIXES, folder)
    if not files:
        unread = unread_pictures(folder)
        advice = f" {unread[0].upper()}{unread[1:]}." if unread else ""
        raise DataError(f"{folder} and its subfolders hold no file that ends in {', '.join(SUFFIXES)}.{advice}")
    return files


def unread_pictures(folder: Path) -> str:
    """Return what to say of pictures in a folder whose formats are not read; nothing where there are none."""
    found = Counter(path.suffix.lower() for path in _files_ending_in(_UNREAD, folder))
    if not found:
        return ""
    counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(found.items()))
    return f"pictures in formats that are not read ({counts}) are left out: convert them to JPEG or PNG"


def _files_ending_in(suffixes: Sequence[str], folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())


def normalize_picture(encoded: bytes, image_side: int = 512, max_pixels: int = 100_000_000) -> bytes:
    """Return an upright picture that TensorFlow decodes, whose shorter side is at most `image_side` pixels.

    A picture that already is one comes back as the same bytes. Others are turned upright by their EXIF orientation,
    reduced with LANCZOS, and encoded as PNG (lossless sources of at most 256 pixels) or JPEG of quality 95; of a kind
    that only Pillow reads, the first frame becomes a PNG. Colour profiles are not applied.

    Raises:
        PictureError: "undecodable_image", or "too_many_pixels" by the header, before anything is decoded.
    """
    if not encoded:
        raise PictureError("undecodable_image", "the file has 0 bytes")
    try:
        with Image.open(BytesIO(encoded), formats=FORMATS) as image:
            _check_size(image, max_pixels)
            image.load()  # says what is wrong with a broken file, which TensorFlow does not
            encoded, pixels = _decode(encoded, image, max_pixels)
            turn = _UPRIGHT.get(_orientation(image))
            if turn is None and min(pixels.shape[:2]) <= image_side:
                return encoded
            upright = Image.fromarray(pixels)
            if turn is not None and image.format not in _TURNED:
                upright = upright.transpose(turn)
            return _encode(_reduce(upright, image_side), str(image.format))
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", str(error)) from error
    except Image.UnidentifiedImageError as error:
        raise PictureError("undecodable_image", f"not a picture in {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders raise anything on broken files: OSError, SyntaxError, struct.error, ...
        raise PictureError("undecodable_image", f"{type(error).__name__}: {error}") from error


def has_dark_16_bits(encoded: bytes) -> bool:
    """Return whether a decodable picture has 16 bits and uses less than a sixteenth of their range.

    Of 16 bits the upper 8 are read, as every decoder of 8 bits does, so that 12 bits in 16, say, are nearly black.
    """
    if encoded[:8] != _PNG_MAGIC or encoded[_PNG_DEPTH : _PNG_DEPTH + 1] != b"\x10":
        return False
    with Image.open(BytesIO(encoded), formats=("PNG",)) as image:
        return image.mode.startswith("I") and 0 < np.asarray(image).max() < 2**12


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise PictureError("undecodable_image", f"the picture is {width} x {height} pixels")
    if width * height > max_pixels:
        raise PictureError("too_many_pixels", f"{width} x {height} pixels, more than {max_pixels}: reduce it")


def _decode(encoded: bytes, image: Image.Image, max_pixels: int) -> tuple[bytes, np.ndarray]:
    """Return bytes that TensorFlow decodes, and the pixels (H, W, 3), uint8, that it decodes them to.

    They are the given bytes, or a PNG of what Pillow made of a kind that only Pillow reads. Where Pillow reads a format
    more leniently, as PNG without its end, TensorFlow's verdict stands.
    """
    import tensorflow as tf

    from dafsn_tf.preprocessing.image import decode_image

    pixels, status = decode_image(tf.constant(encoded), max_pixels)
    if status == Status.ANIMATED_WEBP or (status == Status.UNDECODABLE and image.format == "BMP"):
        encoded = _png(image)
        pixels, status = decode_image(tf.constant(encoded), max_pixels)
    if status != Status.OK:
        raise PictureError(
            "undecodable_image", "TensorFlow does not decode it: cut short, damaged or of a rare kind; save it anew"
        )
    return encoded, pixels.numpy()


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF data says nothing; the picture is fine
        return 1


def _reduce(image: Image.Image, image_side: int) -> Image.Image:
    shorter = min(image.size)
    if shorter <= image_side:
        return image
    width, height = (max(1, round(side * image_side / shorter)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _encode(image: Image.Image, source_format: str) -> bytes:
    longer = max(image.size)
    if (source_format in _LOSSLESS and longer <= _SMALL) or longer > _JPEG_LIMIT:
        return _png(image)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
