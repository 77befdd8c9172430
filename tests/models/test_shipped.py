"""The models that the package ships: loaded by name, offline, and good at scenes that no split holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dafsn_tf.config import load_config
from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources import find_layout
from dafsn_tf.data.sources.shapes import scene
from dafsn_tf.errors import ConfigError, WeightsError
from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.models import DAFSN
from dafsn_tf.models.presets import load_heads, preset_folder
from dafsn_tf.models.transfer import check_fits
from dafsn_tf.preprocessing.text import TextPreprocessor
from dafsn_tf.pretrained import shipped_models
from dafsn_tf.retrieval import Encoder
from dafsn_tf.runs import complete_model, find_run, load_run

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


def test_a_folder_that_is_no_run_does_not_hide_a_shipped_model_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flickr8k").mkdir()  # a prepared collection, say
    assert find_run("flickr8k") == shipped_models()["flickr8k"]


def test_a_shipped_model_is_a_model_and_a_run_by_its_name(shapes):
    model = DAFSN.from_preset("shapes")
    assert model.assets.info["dataset"] == "shapes"
    words = TextPreprocessor(model.assets.vocabulary, shapes.config.text.max_words, shapes.config.text.oov_buckets)
    word_ids = words(tf.constant(["a small red star above a ring"]))["word_ids"]
    ours, theirs = (each.encode_texts(word_ids, training=False) for each in (model, shapes.model))
    np.testing.assert_array_equal(ours["sentence_features"], theirs["sentence_features"])


@pytest.mark.data
def test_flickr8k_finds_photographs_by_captions_it_was_not_trained_on(shared_data):
    weights = shared_data / "inception_v3" / "inception_v3_notop_float16.h5"
    run = load_run("flickr8k", weights)
    items = find_layout("flickr8k").read(shared_data / "flickr8k", Problems(), 0)
    chosen = [item for item in items if item.split == "test"][:40]
    encoder = Encoder(complete_model(run), run.text_preprocessor, Fusion.from_dict(run.fusion))
    images = encoder.encode_image(tf.constant([Path(str(item.image)).read_bytes() for item in chosen]))
    texts = encoder.encode_text(tf.constant([item.texts[0] for item in chosen]))
    scores = (texts["sentence_features"].numpy() @ images["image_features"].numpy().T).round(6)
    ranks = (scores > np.diag(scores)[:, None]).sum(axis=1)
    assert (ranks == 0).mean() > 0.6
    assert (ranks < 5).mean() > 0.9


def test_the_preset_for_photographs_fits_the_heads_that_it_begins_with():
    config = load_config("photographs")
    heads = load_heads(preset_folder(config.training.from_preset))
    check_fits(config, heads)
    assert heads.assets.info["dataset"] == "flickr8k"
    scratch = load_config("default", ["text.embedding_dim=200"])
    with pytest.raises(ConfigError, match=r"embedding_dim is 200, there 300; model\.dim is 512, there 1024"):
        check_fits(replace(scratch, training=config.training), heads)


def test_flickr8k_is_small_says_its_terms_and_refuses_other_weights():
    folder = preset_folder("flickr8k")
    assert sum(file.stat().st_size for file in folder.iterdir()) < 24e6
    assert "non-commercial" in (folder / "README.md").read_text()
    with pytest.raises(WeightsError, match=r"These heads were trained over a backbone with fingerprint e4632c5c776e"):
        DAFSN.from_preset("flickr8k", weights="none")
