"""Encoded pictures of any kind to encoded pictures that every later step reads alike: upright, RGB, 8 bit."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
_LOSSLESS = {"PNG", "GIF", "BMP"}
_SMALL = 256  # pixels of the longer side up to which lossless sources stay lossless
_JPEG_LIMIT = 65_500  # pixels a side that libjpeg writes
_JPEG_QUALITY = 95
_ORIENTATION = 0x0112  # EXIF tag
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


def normalize_picture(encoded: bytes, image_side: int = 512, max_pixels: int = 100_000_000) -> bytes:
    """Return an upright 8-bit RGB JPEG or PNG whose shorter side is at most `image_side` pixels.

    A picture that already is one comes back as the same bytes. Others are decoded in full (first frame), turned upright
    by their EXIF orientation, brought to 8 bits by scaling, laid on white where they are transparent, reduced with
    LANCZOS, and encoded as PNG (lossless sources of at most 256 pixels) or JPEG of quality 95. Colour profiles are not
    applied.

    Raises:
        PictureError: "undecodable_image", or "too_many_pixels" by the header, before anything is decoded.
    """
    if not encoded:
        raise PictureError("undecodable_image", "the file has 0 bytes")
    try:
        with Image.open(BytesIO(encoded), formats=FORMATS) as image:
            _check_size(image, max_pixels)
            image.load()
            if _is_normal(image, encoded, image_side):
                return encoded
            return _encode(_reduce(_to_rgb(_turn_upright(image)), image_side), str(image.format))
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", str(error)) from error
    except Image.UnidentifiedImageError as error:
        raise PictureError("undecodable_image", f"not a picture in {', '.join(FORMATS)}") from error
    except Exception as error:  # decoders raise anything on broken files: OSError, SyntaxError, struct.error, ...
        raise PictureError("undecodable_image", f"{type(error).__name__}: {error}") from error


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise PictureError("undecodable_image", f"the picture is {width} x {height} pixels")
    if width * height > max_pixels:
        raise PictureError(
            "too_many_pixels", f"{width} x {height} pixels, more than {max_pixels}: reduce it or raise --max-pixels"
        )


def _is_normal(image: Image.Image, encoded: bytes, image_side: int) -> bool:
    """Whether TensorFlow decodes the bytes to what Pillow shows: it knows no orientation, and drops alpha."""
    return (
        image.mode == "RGB"
        and (image.format == "JPEG" or (image.format == "PNG" and _png_bit_depth(encoded) == 8))
        and not image.has_transparency_data
        and min(image.size) <= image_side
        and _orientation(image) not in _UPRIGHT
    )


def _png_bit_depth(encoded: bytes) -> int:
    """Pillow opens 16-bit RGB as RGB; the header tells."""
    return encoded[24]


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF data says nothing; the picture is fine
        return 1


def _turn_upright(image: Image.Image) -> Image.Image:
    turn = _UPRIGHT.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips instead of scaling
        values = np.asarray(image).astype(np.float32) * (255 / 65535)
        image = Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _reduce(image: Image.Image, image_side: int) -> Image.Image:
    shorter = min(image.size)
    if shorter <= image_side:
        return image
    width, height = (max(1, round(side * image_side / shorter)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _encode(image: Image.Image, source_format: str) -> bytes:
    longer = max(image.size)
    buffer = BytesIO()
    if (source_format in _LOSSLESS and longer <= _SMALL) or longer > _JPEG_LIMIT:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY)
    return buffer.getvalue()
