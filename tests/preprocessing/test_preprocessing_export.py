"""Both front ends in one SavedModel, loaded as a server loads it: a TF1 session."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dafsn_tf.preprocessing.image import ImagePreprocessor
from dafsn_tf.preprocessing.text import TextPreprocessor

TEXTS = ("A small dog’s ball", "", "unknown 犬", b"\xff dog")


def pictures() -> list[bytes]:
    image = Image.fromarray(np.arange(30 * 20 * 3, dtype=np.uint32).reshape(30, 20, 3).astype(np.uint8))
    encoded = []
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        encoded += [buffer.getvalue(), buffer.getvalue()[:-9]]
    return [*encoded, b"", b"no picture"]


class FrontEnds(tf.Module):
    def __init__(self):
        super().__init__()
        self.text = TextPreprocessor(["dog", "a", "dog's"], max_words=4, oov_buckets=3)
        self.image = ImagePreprocessor(11, 1000)


def run_in_session(path: str, signature: str, **inputs) -> dict[str, np.ndarray]:
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], path)
        definition = meta_graph.signature_def[signature]
        feed = {definition.inputs[name].name: value for name, value in inputs.items()}
        return session.run({name: info.name for name, info in definition.outputs.items()}, feed)


def save_plainly(module: FrontEnds, path: str) -> None:
    tf.saved_model.save(module, path, signatures={"text": module.text.__call__, "image": module.image.__call__})


def save_by_keras(module: FrontEnds, path: str) -> None:
    archive = keras.export.ExportArchive()
    archive.track(module)
    strings = tf.TensorSpec([None], tf.string)
    archive.add_endpoint("text", lambda texts: module.text(texts), input_signature=[strings])
    archive.add_endpoint("image", lambda images: module.image(images), input_signature=[strings])
    archive.write_out(path, verbose=False)


@pytest.mark.parametrize("save", [save_plainly, save_by_keras])
def test_a_session_answers_as_the_process_does(tmp_path, save):
    module = FrontEnds()
    save(module, str(tmp_path / "1"))
    images = pictures()
    expected_text, expected_image = module.text(TEXTS), module.image(images)
    text = run_in_session(str(tmp_path / "1"), "text", texts=list(TEXTS))
    image = run_in_session(str(tmp_path / "1"), "image", images=images)
    assert expected_image["status"].numpy().tolist() == [0, 14] * 5 + [10, 11]
    for answer, expected in ((text, expected_text), (image, expected_image)):
        assert set(answer) == set(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(answer[name], value)


def test_a_session_takes_no_rows(tmp_path):
    save_plainly(FrontEnds(), str(tmp_path / "1"))
    assert run_in_session(str(tmp_path / "1"), "image", images=[])["images"].shape == (0, 11, 11, 3)
    assert run_in_session(str(tmp_path / "1"), "text", texts=[])["word_ids"].shape == (0, 4)
