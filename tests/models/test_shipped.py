"""The models that the package ships: loaded by name, offline, and good at scenes that no split holds."""

import numpy as np
import pytest
import tensorflow as tf

from dafsn_tf.data.sources.shapes import scene
from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.models import DAFSN
from dafsn_tf.preprocessing.text import TextPreprocessor
from dafsn_tf.retrieval import Encoder
from dafsn_tf.runs import load_run

SEED = 90210  # of scenes; the model was trained on those of seed 0


@pytest.fixture(scope="module")
def shapes():
    return load_run("shapes")


def test_shapes_ranks_scenes_it_has_never_seen(shapes):
    scenes = [scene(SEED, "test", index) for index in range(30)]
    encoder = Encoder(shapes.model, shapes.text_preprocessor, Fusion.from_dict(shapes.fusion))
    texts, images = [item.texts[0] for item in scenes], [item.image for item in scenes]
    pairs = encoder.similarity(tf.repeat(texts, 30), tf.tile(images, [30]))
    assert not pairs["status"].numpy().any()
    scores = pairs["fused"].numpy().reshape(30, 30)
    ranks = (scores > np.diag(scores)[:, None]).sum(axis=1)
    assert (ranks == 0).mean() > 0.7
    assert (ranks < 5).mean() > 0.9


def test_a_shipped_model_is_a_model_and_a_run_by_its_name(shapes):
    model = DAFSN.from_preset("shapes")
    assert model.assets.info["dataset"] == "shapes"
    words = TextPreprocessor(model.assets.vocabulary, shapes.config.text.max_words, shapes.config.text.oov_buckets)
    word_ids = words(tf.constant(["a small red star above a ring"]))["word_ids"]
    ours, theirs = (each.encode_texts(word_ids, training=False) for each in (model, shapes.model))
    np.testing.assert_array_equal(ours["sentence_features"], theirs["sentence_features"])
