"""Encoded pictures to pixels: no input raises, whatever its bytes; a row that cannot be used carries a status."""

import tensorflow as tf

from dafsn_tf.errors import ConfigError
from dafsn_tf.preprocessing.alpha import blend_on_white
from dafsn_tf.preprocessing.gif import first_frame
from dafsn_tf.preprocessing.image_header import ImageFormat, ImageHeader, read_header
from dafsn_tf.preprocessing.orientation import read_orientation, turn_upright
from dafsn_tf.preprocessing.status import Status

_DEVICE = "/CPU:0"  # resizing on an accelerator would round otherwise than on the machine that serves
_MAX_SCANS = 50  # of a progressive JPEG; encoders write 10, and 18 of four channels
_MAX_TEXTS = 16  # chunks of a PNG that may hold a compressed text, of up to 8 MB when expanded


@tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)])
def decode_image(data: tf.Tensor, max_pixels: int | tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the pixels (H, W, 3), uint8, of one encoded picture (scalar string), and its `Status` (int32).

    Reads JPEG (as Pillow does, to the last bit), PNG, GIF, BMP of 8, 24 or 32 bits, and WebP: the first frame, 16 bits
    cut to 8, transparent pixels of PNG and WebP blended with white (of a GIF they are black, a BMP has none). Format
    and size are checked before anything is decoded. A JPEG is turned upright by its EXIF orientation, as browsers show
    it; no other format is. Where the status is not OK, one black pixel stands in.
    """

    def decode(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        header = read_header(encoded)
        status = _check(encoded, header, max_pixels)
        return _decode_pixels(encoded, header, status), status

    # Decoders raise, and would fail the neighbours of a corrupt picture. A data set of one element that ignores
    # errors is empty instead, and the element after it is taken: the graph's only way to catch an error.
    with tf.device(_DEVICE):
        decoded = tf.data.Dataset.from_tensors(data).map(decode).ignore_errors()
        undecodable = tf.data.Dataset.from_tensors((_no_pixels(), tf.constant(Status.UNDECODABLE, tf.int32)))
        return decoded.concatenate(undecodable).take(1).get_single_element()


def resize_image(image: tf.Tensor, size: int) -> tf.Tensor:
    """Return an image (H, W, 3) as a square (size, size, 3), float32 in [0, 255]: antialiased, aspect not kept."""
    with tf.device(_DEVICE):
        resized = tf.image.resize(image, (size, size), method="bilinear", antialias=True)
        return tf.clip_by_value(resized, 0.0, 255.0)


def scale_pixels(image: tf.Tensor) -> tf.Tensor:
    """Return pixels of [0, 255] in [-1, 1], as Inception-v3 takes them."""
    # Not a quotient: some graphs are rewritten to multiply by the reciprocal, which differs in the last bit.
    return tf.cast(image, tf.float32) * (1 / 127.5) - 1.0


class ImagePreprocessor(tf.Module):
    """Encoded pictures to the backbone's input.

    Arguments:
        image_size: S, pixels of height and width.
        max_pixels: a picture whose header declares more is not decoded.

    Raises:
        ConfigError: an argument below 1.
    """

    def __init__(self, image_size: int, max_pixels: int):
        super().__init__(name="image_preprocessor")
        for name, value in (("image_size", image_size), ("max_pixels", max_pixels)):
            if value < 1:
                raise ConfigError(f"{name} is {value}; it must be at least 1.")
        self.image_size = image_size
        self.max_pixels = max_pixels

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="images")])
    def __call__(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `images` (B, S, S, 3), float32 in [-1, 1], and `status` (B,), int32, of encoded pictures (B,)."""
        size = self.image_size
        signature = {"images": tf.TensorSpec([size, size, 3], tf.float32), "status": tf.TensorSpec([], tf.int32)}
        with tf.device(_DEVICE):
            return tf.map_fn(self.preprocess_one, images, fn_output_signature=signature)

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="image")])
    def preprocess_one(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `images` (S, S, 3) and `status` () of one picture, zeros where it is not OK; for `Dataset.map`."""
        pixels, status = decode_image(image, self.max_pixels)
        size = self.image_size
        scaled = tf.cond(
            status == Status.OK,
            lambda: scale_pixels(resize_image(pixels, size)),
            lambda: tf.zeros([size, size, 3]),
        )
        return {"images": tf.ensure_shape(scaled, [size, size, 3]), "status": status}


def _no_pixels() -> tf.Tensor:
    return tf.zeros([1, 1, 3], tf.uint8)


def _check(data: tf.Tensor, header: ImageHeader, max_pixels: int | tf.Tensor) -> tf.Tensor:
    """Return the status that the header alone shows; the first check that holds decides."""
    is_animated = (header.format == ImageFormat.WEBP_EXTENDED) & _has_bit(header.first_bytes[20], 1)
    checks = [
        (tf.strings.length(data) == 0, Status.EMPTY_IMAGE),
        (header.format == ImageFormat.UNKNOWN, Status.UNKNOWN_FORMAT),
        (is_animated, Status.ANIMATED_WEBP),
        # As a quotient: the product of two 32-bit sides can leave int64.
        (header.width > max_pixels // tf.maximum(header.height, 1), Status.TOO_MANY_PIXELS),
        (tf.minimum(header.width, header.height) < 1, Status.UNDECODABLE),
        (tf.constant(True), Status.OK),
    ]
    first = tf.argmax(tf.cast(tf.stack([holds for holds, _ in checks]), tf.int32))
    return tf.gather(tf.constant([status for _, status in checks], tf.int32), first)


def _decode_pixels(data: tf.Tensor, header: ImageHeader, status: tf.Tensor) -> tf.Tensor:
    """Return the pixels (H, W, 3), uint8; raises on data that the format's decoder does not read."""
    decoders = {
        ImageFormat.UNKNOWN: _no_pixels,
        ImageFormat.JPEG: lambda: _decode_jpeg(data, header),
        ImageFormat.PNG: lambda: _decode_png(data, header),
        ImageFormat.GIF87: lambda: _decode_gif(data),
        ImageFormat.GIF89: lambda: _decode_gif(data),
        ImageFormat.BMP: lambda: _decode_bmp(data, header),
        ImageFormat.WEBP_LOSSY: lambda: _decode_any(data, channels=3),
        ImageFormat.WEBP_LOSSLESS: lambda: _decode_webp(data, flags=header.first_bytes[24]),
        ImageFormat.WEBP_EXTENDED: lambda: _decode_webp(data, flags=header.first_bytes[20]),
    }
    decoder = tf.where(status == Status.OK, header.format, int(ImageFormat.UNKNOWN))
    pixels = tf.switch_case(tf.cast(decoder, tf.int32), [decoders[image_format] for image_format in ImageFormat])
    return tf.ensure_shape(pixels, [None, None, 3])


def _decode_any(data: tf.Tensor, channels: int) -> tf.Tensor:
    """Return the first frame of a PNG, GIF or WebP.

    One op for all: `decode_webp` would keep the graph from servers before 2.20. Never with `channels=0`, which lets
    an animated WebP corrupt the heap.
    """
    return tf.image.decode_image(data, channels=channels, expand_animations=False)


def _decode_jpeg(data: tf.Tensor, header: ImageHeader) -> tf.Tensor:
    """Return the upright pixels of a JPEG of not too many scans.

    For each scan, of ten bytes maybe, the decoder visits every pixel. Only some codings let a scan be so short. With
    others, whatever looks like the marker of a scan may be there: cameras append whole films to a picture.
    """
    content = tf.io.decode_raw(data, tf.uint8)
    scans = tf.math.count_nonzero((content[:-1] == 0xFF) & (content[1:] == 0xDA), dtype=tf.int32)

    def has_short_scans() -> tf.Tensor:
        def bytes_at(offset: int) -> tf.Tensor:
            return content[offset : tf.size(content) - 8 + offset]

        codes = bytes_at(1)
        is_frame = (codes == 0xC2) | (codes == 0xC9) | (codes == 0xCA)  # progressive, arithmetic, and both
        size = (header.height // 256, header.height % 256, header.width // 256, header.width % 256)
        for offset, digit in ((0, 0xFF), *enumerate(size, start=5)):
            is_frame &= bytes_at(offset) == tf.cast(digit, tf.uint8)
        return tf.reduce_any(is_frame)

    many = tf.cond(scans > _MAX_SCANS, has_short_scans, lambda: tf.constant(False))
    with tf.control_dependencies([tf.debugging.Assert(~many, ["JPEG of too many scans"])]):
        pixels = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    return turn_upright(pixels, read_orientation(data))


def _decode_png(data: tf.Tensor, header: ImageHeader) -> tf.Tensor:
    """Return the pixels of a PNG of not too many texts, which its decoder expands beside them."""
    has_many = tf.strings.regex_full_match(data, rf"\C*(?:[iz]TXt\C*){{{_MAX_TEXTS + 1}}}")
    with tf.control_dependencies([tf.debugging.Assert(~has_many, ["PNG of too many texts"])]):
        is_keyed = tf.strings.regex_full_match(data, r"\C*tRNS\C*")  # alpha by colour or palette entry
        return _decode_with_alpha(data, is_keyed | _has_bit(header.first_bytes[25], 2))


def _decode_webp(data: tf.Tensor, flags: tf.Tensor) -> tf.Tensor:
    """Return the pixels of a WebP, which must be asked for the channels that it has."""
    return _decode_with_alpha(data, _has_bit(flags, 4))


def _decode_with_alpha(data: tf.Tensor, has_alpha: tf.Tensor) -> tf.Tensor:
    """Return the pixels of a PNG or WebP, over white where it has alpha."""
    return tf.cond(
        has_alpha,
        lambda: blend_on_white(_decode_any(data, channels=4)),
        lambda: _decode_any(data, channels=3),
    )


def _decode_gif(data: tf.Tensor) -> tf.Tensor:
    """Return the first frame of a GIF that ends with its trailer: of a truncated one the decoder takes what is left."""
    tail = tf.strings.substr(data, tf.maximum(tf.strings.length(data) - 1024, 0), 1024)
    is_whole = tf.strings.regex_full_match(tail, r"\C*;\x00*")
    with tf.control_dependencies([tf.debugging.Assert(is_whole, ["GIF without trailer"])]):
        return _decode_any(first_frame(data), channels=3)


def _decode_bmp(data: tf.Tensor, header: ImageHeader) -> tf.Tensor:
    """Return the pixels of a BMP; the decoder takes run lengths for pixels and leaves palette indices as they are."""
    compression = header.number(30, 4)
    is_plain = (compression == 0) | (compression == 3)  # 3: plain pixels of 32 bits, with masks
    with tf.control_dependencies([tf.debugging.Assert(is_plain, ["BMP with compression"])]):
        decoded = tf.io.decode_bmp(data, channels=0)

    def look_up() -> tf.Tensor:
        offset = 14 + header.number(14, 4)
        entries = tf.io.decode_raw(tf.strings.substr(data, offset, 4 * 256), tf.uint8, fixed_length=4 * 256)
        palette = tf.reshape(entries, [256, 4])[:, 2::-1]  # blue, green, red, unused
        return tf.gather(palette, tf.cast(decoded[:, :, 0], tf.int32))

    return tf.cond(tf.shape(decoded)[2] == 1, look_up, lambda: decoded[:, :, :3])


def _has_bit(flags: tf.Tensor, bit: int) -> tf.Tensor:
    return tf.bitwise.bitwise_and(flags, 2**bit) > 0
