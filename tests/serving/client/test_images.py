"""Images that are scaled down before they travel."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from dafsn_client import InputError
from dafsn_client.images import opened, read_images
from dafsn_tf.preprocessing.image import decode_image, resize_image
from dafsn_tf.preprocessing.status import Status


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def encoded(width, height, kind="JPEG", mode="RGB", **options):
    pixels = np.linspace(0, 255, width * height * 3).reshape(height, width, 3).astype(np.uint8)
    return saved(Image.fromarray(pixels).convert(mode), kind, **options)


def seen(data):
    """What the exported model sees: 64 x 64 pixels."""
    pixels, status = decode_image(data, 10**8)
    assert status == Status.OK
    return resize_image(pixels, 64).numpy()


def with_disc(mode):
    """A picture that is opaque in a disc alone, with colours all over."""
    image = Image.open(io.BytesIO(encoded(1200, 600)))
    y, x = np.mgrid[:600, :1200]
    image.putalpha(Image.fromarray(np.uint8(255 * ((x - 600) ** 2 + (y - 300) ** 2 < 200**2))))
    return image.convert(mode)


def rotated(kind):
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(1200, 600, kind, exif=exif)


GREY_16 = Image.fromarray(np.linspace(0, 65535, 1200 * 600).reshape(600, 1200).astype(np.uint16))
PICTURES = {
    "jpeg": encoded(1200, 600),
    "jpeg cmyk": encoded(1200, 600, "JPEG", "CMYK"),
    "jpeg with a preview": encoded(1200, 600, "MPO", save_all=True, append_images=[Image.new("RGB", (9, 9))]),
    "png grey": encoded(1200, 600, "PNG", "L"),
    "png grey 16 bits": saved(GREY_16, "PNG"),
    "png palette": encoded(1200, 600, "PNG", "P"),
    "png palette, see-through": encoded(1200, 600, "PNG", "P", transparency=bytes(range(256))),
    "png rgba": saved(with_disc("RGBA"), "PNG"),
    "png grey alpha": saved(with_disc("LA"), "PNG"),
    "gif": encoded(1200, 600, "GIF", "L"),
    "bmp": encoded(1200, 600, "BMP"),
    "bmp rgba": saved(with_disc("RGBA"), "BMP"),
    "bmp palette": encoded(1200, 600, "BMP", "P"),
    "webp": encoded(1200, 600, "WEBP"),
    "webp rgba": saved(with_disc("RGBA"), "WEBP", lossless=True, exact=True),
    "jpeg rotated": rotated("JPEG"),
    "png rotated": rotated("PNG"),
    "webp rotated": rotated("WEBP"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_large_ones_are_scaled_and_seen_as_before(name):
    data = PICTURES[name]
    (scaled,) = read_images([data], 300)
    image = Image.open(io.BytesIO(scaled))
    assert (image.size, image.format) == ((150, 300) if name == "jpeg rotated" else (300, 150), "JPEG")
    difference = np.abs(seen(scaled) - seen(data))
    assert difference.mean() < 1.5
    assert difference.max() < 15


def test_small_ones_are_left_as_they_are(tmp_path):
    data = encoded(300, 200)
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_images([tmp_path / "a.jpg", data], 300) == [data, data]
    assert read_images([encoded(1200, 600)]) == [encoded(1200, 600)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_is_drawn_is_what_the_server_sees(kind):
    """A JPEG upright, another format as it is stored."""
    data = rotated(kind)
    pixels, _ = decode_image(data, 10**8)
    np.testing.assert_array_equal(np.asarray(opened(data)), pixels)
    assert opened(data).size == ((600, 1200) if kind == "JPEG" else (1200, 600))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_data_turn_nothing():
    data = encoded(1200, 600, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert opened(data).size == (1200, 600)
    assert Image.open(io.BytesIO(read_images([data], 300)[0])).size == (300, 150)


@pytest.mark.parametrize("data", [b"", b"no image", encoded(1200, 600)[:900]])
def test_what_cannot_be_read_is_for_the_server_to_judge(data):
    assert read_images([data], 300) == [data]


def test_a_bomb_is_not_opened(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = encoded(200, 100)
    assert read_images([data], 50) == [data]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15000)  # Pillow itself would warn and go on
    with pytest.warns(Image.DecompressionBombWarning):
        assert read_images([data], 50) == [data]


def animated(kind):
    frames = [Image.new("RGB", (400, 400), color) for color in ("red", "blue")]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


def on_a_larger_canvas(gif):
    return gif[:6] + struct.pack("<HH", 900, 900) + gif[10:]


@pytest.mark.parametrize(
    "data",
    [
        *(pytest.param(animated(kind), id=f"animated {kind}") for kind in ("GIF", "PNG", "WEBP")),
        pytest.param(saved(with_disc("RGBA"), "GIF"), id="GIF with transparency"),
        pytest.param(saved(GREY_16, "PNG", transparency=5), id="16-bit PNG with a transparent colour"),
        pytest.param(encoded(400, 400, "PNG", transparency=(0, 0, 5)), id="PNG with a transparent colour"),
        pytest.param(on_a_larger_canvas(encoded(400, 400, "GIF", "L")), id="GIF on a larger canvas"),
        pytest.param(encoded(400, 400, "BMP", "1"), id="BMP of one bit"),
        *(pytest.param(encoded(400, 400, kind), id=kind) for kind in ("TIFF", "PPM", "TGA")),
    ],
)
def test_what_pillow_sees_otherwise_than_servers_travels_unchanged(data):
    assert read_images([data], 50) == [data]


@pytest.mark.parametrize("missing", range(1, 40))
def test_a_cut_animation_costs_its_neighbours_nothing(missing):
    cut, whole = animated("GIF")[:-missing], encoded(400, 200)  # some lead Pillow to IndexError or struct.error
    sent, scaled = read_images([cut, whole], 300)
    assert Image.open(io.BytesIO(scaled)).size == (300, 150)
    assert sent == cut or seen(sent).shape == (64, 64, 3)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_any_kind(kind):
    assert read_images([kind(b"a picture")]) == [b"a picture"]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "A list of images is due; got NoneType"),
        (7, "A list of images is due; got int"),
        (bytearray(b"a picture"), r"write \[image\]"),
        ([b"a", None], "Image 1 is of type NoneType; an image is its encoded bytes, or a path"),
        ([[b"a"]], "Image 0 is of type list"),
        (["a\0b.png"], r"path 'a\\x00b.png' is none that a file can have"),
        (["\ud800.png"], "is none that a file can have"),
        (["/no/such.png"], "The image /no/such.png cannot be read: No such file"),
    ],
)
def test_what_is_no_image(images, message):
    with pytest.raises(InputError, match=message):
        read_images(images)


def test_without_pillow_there_is_a_word_on_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(InputError, match="pip install pillow"):
        read_images([b"x"], 50)
