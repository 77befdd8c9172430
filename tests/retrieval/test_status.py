"""Rows that cannot be used: a status and nothing else, whatever is asked for."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.export import build_index
from dafsn_tf.retrieval import Encoder


@pytest.fixture(scope="module")
def index(tiny_run):
    data, run = tiny_run
    return build_index(run, Encoder(run.model, run.text_preprocessor, Fusion.from_dict(run.fusion)), data, top_k=3)


def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (50, 40), "red").save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "rows", "status"),
    [
        ("encode_text", [["a red star", "", "a circle"]], [0, 1, 0]),
        ("encode_image", [[picture(), b"no picture", picture()]], [0, 11, 0]),
        ("search", [["a red star", "...", "a circle"]], [0, 1, 0]),
        ("search_by_image", [[picture(), b"", picture()]], [0, 10, 0]),
        ("similarity", [["a star", "a star", "?"], [picture(), picture()[:99], b""]], [0, 14, 1]),
    ],
)
def test_a_row_with_a_status_holds_nothing_and_the_others_are_as_without_it(name, rows, status, index):
    asked = getattr(index if name.startswith("search") else index.encoder, name)
    outputs = {key: values.numpy() for key, values in asked(*(tf.constant(values) for values in rows)).items()}
    assert outputs.pop("status").tolist() == status
    good = np.flatnonzero(np.array(status) == 0)
    alone = asked(*(tf.constant([values[row] for row in good]) for values in rows))
    # Another batch may take another kernel: cosines differ by round-off, and a score divides these by a deviation.
    fusion = index.encoder.fusion
    smallest = min(fusion.sentence_deviation, fusion.word_deviation, fusion.label_deviation)
    for key, values in outputs.items():
        assert not values[np.array(status) != 0].astype(bool).any(), key
        if values.dtype.kind == "f":
            np.testing.assert_allclose(values[good], alone[key], rtol=1e-6, atol=1e-6 / min(1, smallest))
        else:
            assert (values[good] == alone[key].numpy()).all()
