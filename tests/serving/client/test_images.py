"""Images that are scaled down before they travel."""

import io

import numpy as np
import pytest
from PIL import Image

from dafsn_client import InputError
from dafsn_client.images import read_images


def encoded(width, height, kind="JPEG", mode="RGB", **options):
    pixels = np.linspace(0, 255, width * height * 3).reshape(height, width, 3).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "expected"),
    [("JPEG", "RGB", "JPEG"), ("JPEG", "CMYK", "JPEG"), ("PNG", "RGBA", "PNG"), ("BMP", "RGB", "JPEG")],
)
def test_large_ones_are_scaled(kind, mode, expected):
    (scaled,) = read_images([encoded(1200, 600, kind, mode)], 300)
    image = Image.open(io.BytesIO(scaled))
    assert (image.size, image.format) == ((300, 150), expected)


def test_small_ones_are_left_as_they_are(tmp_path):
    data = encoded(300, 200)
    (tmp_path / "a.jpg").write_bytes(data)
    assert read_images([tmp_path / "a.jpg", data], 300) == [data, data]
    assert read_images([encoded(1200, 600)]) == [encoded(1200, 600)]


def test_orientation_stays_with_the_pixels():
    turned = Image.new("RGB", (1200, 600))
    exif = turned.getexif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    turned.save(stream, "JPEG", exif=exif)
    (scaled,) = read_images([stream.getvalue()], 300)
    assert Image.open(io.BytesIO(scaled)).size == (300, 150)


@pytest.mark.parametrize("data", [b"", b"no image", encoded(1200, 600)[:900]])
def test_what_cannot_be_read_is_for_the_server_to_judge(data):
    assert read_images([data], 300) == [data]


def test_a_bomb_is_not_opened(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    data = encoded(200, 100)
    assert read_images([data], 50) == [data]


def test_an_animation_is_left_alone():
    frames = [Image.new("RGB", (400, 400), color) for color in ("red", "blue")]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    assert read_images([stream.getvalue()], 50) == [stream.getvalue()]


def test_without_pillow_there_is_a_word_on_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(InputError, match=r"pip install 'dafsn-client\[images\]'"):
        read_images([b"x"], 50)
