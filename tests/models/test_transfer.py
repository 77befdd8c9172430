import dataclasses

import numpy as np
import pytest

from dafsn_tf.config import load_config
from dafsn_tf.errors import ConfigError
from dafsn_tf.models import DAFSN
from dafsn_tf.models.presets import Assets
from dafsn_tf.models.transfer import begin_from, brought_directions, check_fits, joined_vocabulary

SIZES = [
    "model.dim=8",
    "model.canonical_dim=0",
    "text.embedding_dim=6",
    "text.oov_buckets=2",
    "image.image_size=75",
    "discriminator.hidden_dim=4",
    "model.querybank_size=0",
]
WORDS = ("a", "dog", "runs")


def heads(global_layer, words, *overrides, classes=0):
    config = load_config("flickr8k", [*SIZES, f"image.global_layer={global_layer}", *overrides])
    model = DAFSN(config, 1 + config.text.oov_buckets + len(words), classes, include_backbone=False)
    model.build()
    rng = np.random.default_rng(len(words))
    for layer in model.heads().values():
        layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    model.assets = Assets(tuple(words), {}, {})
    return model


@pytest.fixture(scope="module")
def source():
    return heads("mixed8", WORDS)


def test_what_the_source_knew_is_embedded_as_by_the_source(source):
    words = joined_vocabulary(source, ["cat", "dog"], 10)
    model = heads("mixed7+mixed8+mixed9+mixed10", words, classes=3)
    begin_from(model, source, words)
    rng = np.random.default_rng(0)
    ids = np.array([[3, 4, 5, 0], [5, 1, 2, 4]])
    regions, whole = rng.uniform(size=(2, 4, 768)).astype("float32"), rng.uniform(size=(2, 6144)).astype("float32")
    ours = {**model.encode_texts(ids), **model.encode_images({"regions": regions, "global": whole})}
    image = source.encode_images({"regions": regions, "global": whole[:, 768 : 768 + 1280]})
    for name, expected in {**source.encode_texts(ids), **image}.items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_a_discriminator_that_took_part_goes_on_and_another_begins_anew(weight):
    source = heads("mixed8", WORDS, f"loss.adversarial_weight={weight}")
    model = heads("mixed8", joined_vocabulary(source, [], 10))
    own = [3 * array for array in model.discriminator.get_weights()]
    model.discriminator.set_weights(own)
    begin_from(model, source, WORDS)
    expected = source.discriminator.get_weights() if weight else own
    for found, array in zip(model.discriminator.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(found, array)


def test_the_vocabulary_is_the_sources_then_the_collections(source):
    assert joined_vocabulary(source, ["cat", "dog", "sits"], 10) == ["a", "dog", "runs", "cat", "sits"]
    assert joined_vocabulary(source, ["cat", "dog", "sits"], 4) == ["a", "dog", "runs", "cat"]
    assert joined_vocabulary(source, ["cat"], 2) == ["a", "dog", "runs"]


def test_a_word_that_the_source_knows_by_its_vector_begins_as_the_source_reads_it():
    source = heads("mixed8", (*WORDS, "puppy", "kitten"))
    source.assets = Assets((*WORDS, "puppy", "kitten"), {}, {}, added=2)
    words = joined_vocabulary(source, ["cat", "puppy"], 10)
    assert words == [*WORDS, "cat", "puppy"]
    model = heads("mixed8", words)
    begin_from(model, source, words)
    ours, theirs = (each.text_encoder.embedding.embeddings.numpy() for each in (model, source))
    np.testing.assert_array_equal(ours[-1], theirs[-2])
    np.testing.assert_array_equal(ours[:6], theirs[:6])  # padding, two buckets, three words


@pytest.mark.parametrize("directions", [3, 5])
def test_directions_of_the_source_tell_of_words_and_layers_that_it_knows_what_they_told_there(directions):
    source = heads("mixed8", (*WORDS, "puppy"), "model.canonical_dim=3")
    for weight in (source.canonical.rows, source.canonical.idf):
        weight.assign(weight.numpy() * (np.arange(7) > 2).reshape(-1, *[1] * (len(weight.shape) - 1)))  # words alone
    model = heads("mixed7+mixed8", ["cat", *WORDS[::-1]], f"model.canonical_dim={directions}")
    begin_from(model, source, (*WORDS, "puppy"))  # as many
    for name, values in brought_directions(model, source, ["cat", *WORDS[::-1]]).items():
        getattr(model.canonical, name).assign(values)
    ids, there = np.array([[6, 5, 4], [3, 6, 0]]), np.array([[3, 4, 5], [0, 3, 0]])  # a dog runs; cat a
    whole = np.random.default_rng(0).normal(size=(2, 768 + 1280))
    ours = model.canonical.texts(ids), model.canonical.images(whole)
    theirs = source.canonical.texts(there), source.canonical.images(whole[:, 768:])
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found[:, :3], expected, rtol=1e-4)
        assert not np.any(found[:, 3:])


def test_fewer_directions_are_the_first_of_the_sources():
    source = heads("mixed8", WORDS, "model.canonical_dim=3")
    model = heads("mixed8", WORDS, "model.canonical_dim=2")
    begin_from(model, source, WORDS)
    brought = brought_directions(model, source, WORDS)
    np.testing.assert_array_equal(brought["image_map"], source.canonical.image_map.numpy()[:, :2])
    np.testing.assert_array_equal(brought["rows"][3:], source.canonical.rows.numpy()[3:, :2])
    np.testing.assert_array_equal(brought["text_bias"], source.canonical.text_bias.numpy()[:2])


def test_directions_of_channels_on_another_scale_are_not_brought():
    source, model = (heads("mixed8", WORDS, "model.canonical_dim=3") for _ in range(2))
    assert brought_directions(model, source, WORDS) is not None
    begun = model.image_encoder.global_standardizer
    begun.set_weights([2 * weight for weight in begun.get_weights()])
    assert brought_directions(model, source, WORDS) is None


def test_pooled_heads_bring_the_statistics_of_their_global_channels():
    source = heads("mixed8", WORDS, "image.global_pooling=max")
    model = heads("mixed8", (*WORDS, "cat"), "image.global_pooling=max")
    model.image_encoder.global_standardizer.set_weights(
        [0 * weight for weight in model.image_encoder.global_standardizer.get_weights()]
    )
    begin_from(model, source, (*WORDS, "cat"))
    for name in ("global_standardizer", "global_projection"):
        for ours, theirs in zip(model.heads()[name].get_weights(), source.heads()[name].get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_heads_without_directions_bring_none(source):
    assert brought_directions(heads("mixed8", WORDS, "model.canonical_dim=3"), source, WORDS) is None
    unfitted, model = (heads("mixed8", WORDS, "model.canonical_dim=3") for _ in range(2))
    unfitted.canonical.set_weights([0 * weight for weight in unfitted.canonical.get_weights()])
    assert brought_directions(model, unfitted, WORDS) is None


def test_a_discriminator_of_another_width_begins_anew(source):
    model = heads("mixed8", WORDS, "discriminator.hidden_dim=5")
    before = model.discriminator.get_weights()
    begin_from(model, source, WORDS)
    for kept, weight in zip(before, model.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)


def test_heads_that_do_not_fit_are_refused_with_every_field_that_differs(source):
    config = load_config("flickr8k", [*SIZES, "image.global_layer=mixed10", "model.dim=16", "text.oov_buckets=3"])
    config = dataclasses.replace(config, training=dataclasses.replace(config.training, from_preset="photos"))
    with pytest.raises(ConfigError) as error:
        check_fits(config, source)
    message = str(error.value)
    assert all(part in message for part in ("photos", "model.dim is 16, there 8", "text.oov_buckets is 3, there 2"))
    assert "image.global_layer lacks mixed8" in message
    assert "training.from_preset=none" in message
    check_fits(source.config, source)
