import io
import random

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dafsn_tf.errors import ConfigError
from dafsn_tf.preprocessing.image import ImagePreprocessor, decode_image, resize_image, scale_pixels
from dafsn_tf.preprocessing.status import Status

MAX_PIXELS = 10_000


def photograph(height: int = 37, width: int = 51) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    pixels = np.stack([rows * 6, columns * 5, (rows * columns) % 256], axis=-1)
    return Image.fromarray(pixels.astype(np.uint8))


def encode(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def translucent() -> Image.Image:
    image = photograph().convert("RGBA")
    image.putalpha(128)
    return image


EXIF = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0"
READABLE = {
    "jpeg": encode(photograph(), "JPEG", quality=90, subsampling=0),
    "jpeg 4:2:2": encode(photograph(), "JPEG", subsampling=1),
    "jpeg 4:2:0": encode(photograph(), "JPEG", subsampling=2),
    "jpeg progressive": encode(photograph(), "JPEG", progressive=True),
    "jpeg grey": encode(photograph().convert("L"), "JPEG"),
    "jpeg cmyk": encode(photograph().convert("CMYK"), "JPEG"),
    "jpeg, bytes after its end": encode(photograph(), "JPEG") + b"more",
    "png": encode(photograph(), "PNG"),
    "png grey": encode(photograph().convert("L"), "PNG"),
    "png palette": encode(photograph().convert("P"), "PNG"),
    "png of one bit": encode(photograph().convert("1"), "PNG"),
    "png alpha": encode(translucent(), "PNG"),
    "png grey alpha": encode(photograph().convert("LA"), "PNG"),
    "gif": encode(photograph(), "GIF"),
    "gif animated": encode(photograph(), "GIF", save_all=True, append_images=[photograph().rotate(90)]),
    "gif, zeros after its end": encode(photograph(), "GIF") + b"\0\0",
    "bmp": encode(photograph(), "BMP"),
    "bmp grey": encode(photograph().convert("L"), "BMP"),
    "bmp palette": encode(photograph().convert("P", palette=Image.Palette.ADAPTIVE, colors=50), "BMP"),
    "bmp alpha": encode(translucent(), "BMP"),
    "webp lossy": encode(photograph(), "WEBP"),
    "webp lossy alpha": encode(translucent(), "WEBP"),
    "webp lossless": encode(photograph(), "WEBP", lossless=True),
    "webp lossless alpha": encode(translucent(), "WEBP", lossless=True, exact=True),
    "webp extended": encode(photograph(), "WEBP", exif=EXIF),
    "webp lossless extended": encode(photograph(), "WEBP", lossless=True, exif=EXIF),
}
ANIMATED_WEBP = encode(photograph(), "WEBP", save_all=True, append_images=[photograph().rotate(90)])
BASIC = ("jpeg", "jpeg progressive", "png", "gif", "bmp", "webp lossy", "webp lossy alpha", "webp lossless")


def status_of(data: bytes, max_pixels: int = MAX_PIXELS) -> Status:
    pixels, status = decode_image(data, max_pixels)
    if status != Status.OK:
        assert pixels.numpy().tolist() == [[[0, 0, 0]]]
    return Status(int(status))


@pytest.mark.parametrize("name", READABLE)
def test_pixels_equal_pillows(name):
    pixels, status = decode_image(READABLE[name], MAX_PIXELS)
    assert status == Status.OK
    assert pixels.dtype == tf.uint8
    image = Image.open(io.BytesIO(READABLE[name]))
    expected = Image.new("RGB", image.size, "white")
    has_alpha = "alpha" in name and not name.startswith("bmp")  # transparent files: test_alpha
    expected.paste(image.convert("RGB"), mask=image.convert("RGBA").getchannel("A") if has_alpha else None)
    np.testing.assert_array_equal(pixels, np.asarray(expected))


def test_sixteen_bits_keep_their_high_byte():
    values = np.arange(0, 65536, 41, dtype=np.uint16)[:1500].reshape(30, 50)
    pixels, _ = decode_image(encode(Image.fromarray(values), "PNG"), MAX_PIXELS)
    np.testing.assert_array_equal(pixels, np.repeat((values >> 8)[..., None], 3, axis=2))


def test_bmp_with_rows_from_the_top():
    upward = encode(photograph(), "BMP")
    rows = np.frombuffer(upward[54:], np.uint8).reshape(37, -1)
    downward = upward[:22] + (-37).to_bytes(4, "little", signed=True) + upward[26:54] + rows[::-1].tobytes()
    pixels, status = decode_image(downward, MAX_PIXELS)
    assert status == Status.OK
    np.testing.assert_array_equal(pixels, np.asarray(photograph()))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", Status.EMPTY_IMAGE),
        (b"\xff", Status.UNKNOWN_FORMAT),
        (b"a text renamed", Status.UNKNOWN_FORMAT),
        (b"BM is how this text begins, and it fills the header of a picture", Status.UNKNOWN_FORMAT),
        (encode(photograph(), "TIFF"), Status.UNKNOWN_FORMAT),
        (b"\0\0\0\x1cftypavif" + bytes(80), Status.UNKNOWN_FORMAT),
        (b"\xff\x0a" + bytes(80), Status.UNKNOWN_FORMAT),
        (b"RIFF\x10\0\0\0WAVEfmt " + bytes(80), Status.UNKNOWN_FORMAT),
        (ANIMATED_WEBP, Status.ANIMATED_WEBP),
        (ANIMATED_WEBP[:40], Status.ANIMATED_WEBP),
        (b"\xff\xd8\xff" + bytes(80), Status.UNDECODABLE),
        (b"BM" + bytes(60), Status.UNDECODABLE),
        (encode(photograph().convert("1"), "BMP"), Status.UNDECODABLE),
    ],
    ids=[
        "no bytes", "one byte", "text", "BM text", "tiff", "avif", "jpeg xl", "riff audio", "animated webp",
        "truncated animated webp", "jpeg of zeros", "bmp of zeros", "bmp of one bit",
    ],
)  # fmt: skip
def test_what_cannot_be_read_has_a_status(data, expected):
    assert status_of(data) == expected


def test_run_length_bmp_is_refused():
    data = bytearray(READABLE["bmp grey"])
    data[30] = 1
    assert status_of(bytes(data)) == Status.UNDECODABLE


@pytest.mark.parametrize("name", BASIC)
@pytest.mark.parametrize("kept", [0.5, 0.9, -1])
def test_truncated_data_is_undecodable(name, kept):
    data = READABLE[name]
    cut = data[:kept] if kept == -1 else data[: int(kept * len(data))]
    assert status_of(cut) == Status.UNDECODABLE


@pytest.mark.parametrize("name", BASIC)
def test_too_many_pixels_are_not_decoded(name):
    assert status_of(READABLE[name], 37 * 51) == Status.OK
    assert status_of(READABLE[name], 37 * 51 - 1) == Status.TOO_MANY_PIXELS


@pytest.mark.parametrize("side", [20_000, 2**31 - 1])
def test_a_header_alone_can_be_too_large(side):
    png = READABLE["png"]
    assert status_of(png[:16] + 2 * side.to_bytes(4, "big") + png[24:], 50_000_000) == Status.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    ("name", "offset", "length"),
    [("png", 16, 4), ("gif", READABLE["gif"].index(b",\0\0\0\0") + 5, 2), ("bmp", 18, 4)],
)
def test_a_picture_without_pixels_is_undecodable(name, offset, length):
    data = READABLE[name]
    assert status_of(data[:offset] + bytes(length) + data[offset + length :]) == Status.UNDECODABLE


@given(st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF____WEBPVP8"]), st.binary())
@settings(max_examples=150, deadline=None)
def test_any_bytes_have_a_status(magic, rest):
    assert status_of(magic + rest) in Status


def test_mutated_pictures_raise_nothing_and_leave_their_neighbours_alone():
    generator = random.Random(5)
    preprocessor = ImagePreprocessor(8, MAX_PIXELS)
    good = READABLE["jpeg"]
    expected = preprocessor.preprocess_one(good)["images"].numpy()
    mutants = []
    for turn in range(240):
        mutant = bytearray(READABLE[BASIC[turn % len(BASIC)]])
        for _ in range(generator.randint(1, 8)):
            mutant[generator.randrange(len(mutant) if turn % 2 else 64)] = generator.randrange(256)
        mutants.append(bytes(mutant))
    result = preprocessor([*mutants, good])
    statuses = result["status"].numpy()
    assert {Status.OK, Status.UNKNOWN_FORMAT, Status.TOO_MANY_PIXELS, Status.UNDECODABLE} <= set(statuses)
    assert not result["images"].numpy()[statuses != Status.OK].any()
    np.testing.assert_array_equal(result["images"][-1], expected)


def test_resize_is_square_antialiased_and_in_range():
    checkers = np.zeros((40, 20, 3), np.uint8)
    checkers[::2, ::2] = checkers[1::2, 1::2] = 255
    resized = resize_image(tf.constant(checkers), 5)
    assert resized.shape == (5, 5, 3)
    np.testing.assert_allclose(resized, 127.5, atol=0.6)  # without antialiasing single pixels show: 0 or 255
    white = resize_image(tf.fill([3, 9, 3], tf.constant(255, tf.uint8)), 4).numpy()
    np.testing.assert_allclose(white, 255.0, atol=1e-4)
    assert white.max() <= 255.0


def test_scale_pixels():
    np.testing.assert_array_equal(scale_pixels(tf.constant([0.0, 127.5, 255.0])), [-1.0, 0.0, 1.0])


class TestImagePreprocessor:
    ROWS = (*(READABLE[name] for name in BASIC), b"", ANIMATED_WEBP, READABLE["png"][:-30])

    @pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
    def test_direct_single_eager_and_dataset_agree(self):
        preprocessor = ImagePreprocessor(13, MAX_PIXELS)
        direct = preprocessor(self.ROWS)
        single = [preprocessor.preprocess_one(row) for row in self.ROWS]
        dataset = tf.data.Dataset.from_tensor_slices(list(self.ROWS))
        mapped = list(dataset.map(preprocessor.preprocess_one, num_parallel_calls=2))
        batched = next(iter(dataset.batch(len(self.ROWS)).map(preprocessor)))
        tf.config.run_functions_eagerly(True)
        try:
            eager = [preprocessor.preprocess_one(tf.constant(row)) for row in self.ROWS[:3]]
        finally:
            tf.config.run_functions_eagerly(False)
        assert direct["status"].numpy().tolist() == [0] * len(BASIC) + [10, 13, 14]
        for name, value in direct.items():
            np.testing.assert_array_equal(value, batched[name])
            np.testing.assert_array_equal(value[:3], [row[name] for row in eager])
            for rows in (single, mapped):
                np.testing.assert_array_equal(value, [row[name] for row in rows])

    def test_values(self):
        result = ImagePreprocessor(4, MAX_PIXELS)([encode(Image.new("RGB", (9, 7), (255, 0, 51)), "PNG"), b"?"])
        np.testing.assert_allclose(result["images"][0], np.tile([1.0, -1.0, -0.6], (4, 4, 1)), atol=1e-6)
        np.testing.assert_array_equal(result["images"][1], np.zeros((4, 4, 3)))
        assert result["images"].dtype == tf.float32
        assert result["status"].dtype == tf.int32

    def test_static_shapes(self):
        preprocessor = ImagePreprocessor(8, MAX_PIXELS)
        dataset = tf.data.Dataset.from_tensors(b"").map(preprocessor.preprocess_one)
        assert dataset.element_spec["images"].shape == (8, 8, 3)

    def test_no_images(self):
        result = ImagePreprocessor(8, MAX_PIXELS)(tf.zeros([0], tf.string))
        assert result["images"].shape == (0, 8, 8, 3)
        assert result["status"].shape == (0,)

    @pytest.mark.parametrize("name", ["image_size", "max_pixels"])
    def test_refuses_numbers_below_one(self, name):
        with pytest.raises(ConfigError, match=f"{name} is 0; it must be at least 1"):
            ImagePreprocessor(**{"image_size": 8, "max_pixels": MAX_PIXELS, name: 0})
