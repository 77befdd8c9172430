"""Words and regions of a model at hand: a run, a preset, an exported version."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from typer.testing import CliRunner

from dafsn_tf import explain
from dafsn_tf.cli.main import app
from dafsn_tf.data.sources.shapes import scene
from dafsn_tf.errors import DafsnError, DataError, RunError
from dafsn_tf.models import DAFSN
from dafsn_tf.reporting.attention import encoder_of, read_picture, word_attention, word_attentions
from dafsn_tf.runs import load_run

SCENE = scene(90210, "test", 5)  # a red heart over a huge red cross
TEXT = "a red heart over a huge red cross"


@pytest.fixture(scope="module")
def encoder():
    return encoder_of(DAFSN.from_preset("shapes"))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "scene.png"
    path.write_bytes(SCENE.image)
    return path


def test_arrays_are_the_models_own(encoder):
    (found,) = word_attentions(encoder, [TEXT], [SCENE.image])
    run = load_run("shapes")
    word_ids = run.text_preprocessor(tf.constant([TEXT]))["word_ids"]
    pixels = encoder.image_preprocessor(tf.constant([SCENE.image]))["images"]
    text, image = run.model.encode_texts(word_ids), run.model.encode_images(pixels)
    seen = run.model.attention.attend(text["word_features"], text["word_mask"], image["region_features"])
    assert found.words == tuple(TEXT.split())
    assert [TEXT[start:end] for start, end in found.offsets] == TEXT.split()
    np.testing.assert_allclose(found.attention, seen["attention"][0, :8], atol=1e-5)
    np.testing.assert_allclose(found.relevances, seen["word_relevance"][0, :8], atol=1e-5)
    np.testing.assert_allclose(found.scores["word"], seen["score"][0], atol=1e-5)
    np.testing.assert_array_equal(found.region_centres, run.model.image_encoder.region_centres)
    assert found.grid == (12, 12)


def test_the_words_look_at_what_they_name(encoder):
    (found,) = word_attentions(encoder, [TEXT], [SCENE.image])
    for word, box in (("heart", 1), ("cross", 0)):
        left, top, right, bottom = SCENE.boxes[box]
        x, y = found.region_centres[found.peaks[found.words.index(word)]]
        assert left < x < right, word
        assert top < y < bottom, word


def test_texts_and_pictures_are_paired(encoder, picture):
    other = scene(90210, "test", 7)
    first, second = word_attentions(encoder, [TEXT, other.texts[0]], [picture, other.image])
    alone = word_attentions(encoder, [other.texts[0]], [other.image])[0]
    np.testing.assert_allclose(second.attention, alone.attention, atol=1e-5)
    assert (first.text, second.text) == (TEXT, other.texts[0])


def test_a_row_that_cannot_be_used_says_why(encoder):
    with pytest.raises(DataError, match="cannot be compared: the text holds no word"):
        word_attentions(encoder, ["..."], [SCENE.image])
    with pytest.raises(DataError, match="cannot be compared: the image format is unknown"):
        word_attentions(encoder, ["a ring"], [b"no picture"])


def test_a_model_that_never_learned_words_is_refused():
    model = DAFSN.from_preset("shapes")
    model.config = replace(model.config, loss=replace(model.config.loss, word_weight=0.0))
    with pytest.raises(RunError, match=r"without a loss of words \(loss\.word_weight and loss\.fused_weight are 0\)"):
        word_attention(model, TEXT, SCENE.image)
    model.assets = None
    with pytest.raises(RunError, match="knows no vocabulary"):
        word_attention(model, TEXT, SCENE.image)


def test_a_picture_that_is_none_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.png cannot be read: No such file"):
        read_picture(tmp_path / "absent.png")
    (tmp_path / "notes.png").write_text("no picture")
    with pytest.raises(DataError, match=r"notes\.png cannot be used as a picture: not a picture in JPEG"):
        read_picture(tmp_path / "notes.png")


def test_a_photograph_on_its_side_is_turned_upright(tmp_path):
    image = Image.new("RGB", (40, 20))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as stored:
        assert stored.size == (40, 20)
    (tmp_path / "b.jpg").write_bytes(read_picture(tmp_path / "a.jpg"))
    with Image.open(tmp_path / "b.jpg") as upright:
        assert upright.size == (20, 40)


@pytest.mark.slow
def test_the_command_prints_and_draws(picture, tmp_path):
    out = tmp_path / "explained.png"
    finished = CliRunner().invoke(
        app, ["explain", "shapes", "--text", TEXT, "--image", str(picture), "--out", str(out)]
    )
    assert finished.exit_code == 0, finished.exception
    heading, *rows, scores = finished.stdout.splitlines()
    assert heading.split() == ["word", "relevance", "peak", "at", "x,", "y"]
    assert [row.strip("0123456789 ").split()[0] for row in rows] == TEXT.split()
    assert scores.startswith("scores: sentence 0.")
    with Image.open(out) as drawn:
        assert drawn.width == 1152
    assert "not read" not in finished.output
    long = " ".join([TEXT] * 10) + "!"
    finished = CliRunner().invoke(
        app, ["explain", "shapes", "--text", long, "--image", str(picture), "--out", str(out)]
    )
    assert "words of a text; not read: '" in finished.output


@pytest.mark.parametrize(
    ("model", "text", "image", "out", "message"),
    [
        ("absent", "a ring", "scene.png", "a.png", "absent is not a run folder"),
        ("shapes", "xyzzy plugh", "scene.png", "a.png", "knows no word of “xyzzy plugh”; its vocabulary holds 59"),
        ("shapes", "a ring", "absent.png", "a.png", "absent.png cannot be read"),
        ("shapes", "a ring", "scene.png", "a.pdf", "ends in neither .png nor .svg"),
        ("shapes", "a ring", "scene.png", "no/a.png", "there is no folder"),
    ],
)
def test_a_users_error_is_one_message(picture, tmp_path, monkeypatch, model, text, image, out, message):
    monkeypatch.chdir(tmp_path)
    finished = CliRunner().invoke(app, ["explain", model, "--text", text, "--image", image, "--out", out])
    assert isinstance(finished.exception, DafsnError)
    assert message in str(finished.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["scene.png"]


@pytest.mark.slow
def test_an_exported_version_gives_the_same(tiny_run, picture, tmp_path):
    from dafsn_tf.export import ExportOptions, export_run

    _, run = tiny_run
    export_run(run, tmp_path / "models", options=ExportOptions())
    expected, _ = explain(run.path, TEXT, SCENE.image)
    for folder in (tmp_path / "models", tmp_path / "models" / "1"):
        found, figure = explain(folder, TEXT, picture)
        assert found.words == expected.words
        np.testing.assert_allclose(found.attention, expected.attention, atol=1e-5)
        np.testing.assert_allclose(found.relevances, expected.relevances, atol=1e-5)
        assert len(figure.axes) == len(found.drawn()) + 2
    export_run(run, tmp_path / "half", options=ExportOptions(only="text"))
    with pytest.raises(RunError, match=r"has no signature 'similarity', only encode_text.* without --only"):
        explain(tmp_path / "half", TEXT, picture)
