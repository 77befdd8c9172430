"""`dafsn-client explain`: words and regions from a server's answer, without TensorFlow."""

import json
import sys

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photograph(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGBA", (60, 40), (200, 0, 0, 128)).save(path)
    return path


def test_words_are_told_and_drawn(ask, photograph, tmp_path):
    code, output, messages = ask(
        "explain", "--text", "red star", "--image", photograph, "--out", tmp_path / "explained.png"
    )
    assert code == 0
    assert output.splitlines() == [
        "   word  relevance  peak     at x, y",
        "1  red      +0.500  1.5x  0.75, 0.50",
        "   star     -0.250  1.0x  0.25, 0.50",
        "scores: sentence 0.250, word 0.500, fused 0.750; relevance: cosine of a word and what it attends to; "
        "peak: times an even share",
    ]
    assert messages == f"words and regions: {tmp_path / 'explained.png'}\n"
    with Image.open(tmp_path / "explained.png") as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    reddish = (abs(pixels - (227, 127, 127)) < 3).all(axis=2)  # the photograph, transparent pixels over white
    assert reddish.sum() > 100_000


def test_without_out_nothing_is_drawn(ask, photograph, tmp_path):
    code, output, messages = ask("explain", "--json", "--text", "red star", "--image", photograph)
    assert (code, messages) == (0, "")
    answer = json.loads(output)
    assert (answer["text"], answer["fused"], answer["words"][1]["word"]) == ("red star", 0.75, "star")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    ("text", "image", "out", "message"),
    [
        ("red star", "absent.png", "a.png", "absent.png cannot be read: No such file"),
        ("", "photo.png", "a.png", "The pair cannot be compared: the text holds no word"),
        ("red star", "empty.png", "a.png", "The pair cannot be compared: the image has no bytes"),
        ("red star", "notes.txt", "a.png", "cannot be decoded"),
        ("red star", "photo.png", "a.gif", "ends in neither .png nor .svg"),
        ("red star", "absent.png", "absent/a.png", "there is no folder"),
    ],
)
def test_errors_are_one_line_and_leave_no_file(ask, photograph, tmp_path, text, image, out, message):
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    before = sorted(tmp_path.iterdir())
    code, _, messages = ask("explain", "--text", text, "--image", tmp_path / image, "--out", tmp_path / out)
    assert code == 1
    assert messages.startswith("error: ")
    assert messages.count("\n") == 1
    assert message in messages
    assert sorted(tmp_path.iterdir()) == before


def test_without_matplotlib_the_extra_is_named(ask, photograph, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dafsn_client.drawing", None)
    monkeypatch.delattr(sys.modules["dafsn_client"], "drawing", raising=False)
    code, _, messages = ask("explain", "--text", "a", "--image", photograph, "--out", tmp_path / "a.png")
    assert code == 1
    assert "pip install matplotlib pillow, or leave --out away" in messages
    assert ask("explain", "--text", "red star", "--image", photograph)[0] == 0
