import keras
import numpy as np
import pytest

from dafsn_tf.layers import QuerybankNormalization
from dafsn_tf.layers.querybank import NEVER

CENTRES, DIM = 5, 6


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def layer():
    layer = QuerybankNormalization(CENTRES, DIM)
    layer.build()
    random = np.random.default_rng(0)
    for name in ("text", "image"):
        getattr(layer, f"{name}_centres").assign(0.9 * unit(random.normal(size=(CENTRES, DIM))))
        getattr(layer, f"{name}_shares").assign(np.log(random.dirichlet(np.ones(CENTRES))))
        getattr(layer, f"{name}_mean").assign(random.normal() / 10)
    layer.sharpness.assign(7.0)
    layer.bound.assign(2.0)
    layer.strength.assign(0.6)
    return layer


@pytest.fixture
def features():
    random = np.random.default_rng(1)
    return random.normal(size=(4, DIM)), 3 * random.normal(size=(7, DIM))


def nearness(rows, centres, shares, sharpness):
    """The definition, in loops of float64."""
    return [
        np.log(sum(np.exp(share + sharpness * (row @ centre)) for centre, share in zip(centres, shares, strict=True)))
        / sharpness
        for row in unit(rows)
    ]


def test_products_are_cosines_less_how_near_both_sides_are_to_the_other_bank(layer, features):
    weights = {weight.name: np.float64(weight.numpy()) for weight in layer.weights}
    sharpness, strength = weights["sharpness"], weights["strength"]
    texts = np.array(nearness(features[0], weights["image_centres"], weights["image_shares"], sharpness))
    images = np.array(nearness(features[1], weights["text_centres"], weights["text_shares"], sharpness))
    texts, images = texts - weights["text_mean"], images - weights["image_mean"]
    np.testing.assert_allclose(layer.text_nearness(features[0]), texts, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layer.image_nearness(features[1]), images, rtol=1e-4, atol=1e-6)

    joined = [np.array(side) for side in layer(*features)]
    assert [side.shape for side in joined] == [(4, DIM + 4), (7, DIM + 4)]
    for side in joined:
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1, rtol=1e-5)
    cosines = unit(features[0]) @ unit(features[1]).T
    expected = cosines - strength * (texts[:, None] + images[None])
    np.testing.assert_allclose(joined[0] @ joined[1].T * (1 + 2 * strength * 2.0), expected, rtol=1e-4, atol=1e-5)


def test_nearness_is_kept_within_its_bound(layer, features):
    layer.bound.assign(0.01)
    texts, images = (np.array(side) for side in layer(*features))
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, rtol=1e-5)
    kept = [
        np.clip(layer.text_nearness(features[0]), -0.01, 0.01),
        np.clip(layer.image_nearness(features[1]), -0.01, 0.01),
    ]
    expected = unit(features[0]) @ unit(features[1]).T - 0.6 * (kept[0][:, None] + kept[1])
    np.testing.assert_allclose(texts @ images.T * (1 + 2 * 0.6 * 0.01), expected, atol=1e-5)


def test_as_it_begins_it_changes_nothing(features):
    layer = QuerybankNormalization(CENTRES, DIM)
    layer.build()
    for rows, joined in zip(features, layer(*features), strict=True):
        np.testing.assert_allclose(joined, np.pad(unit(rows), [(0, 0), (0, 4)]), atol=1e-6)


def test_features_of_zeros_stay_so(layer):
    for joined in layer(np.zeros((1, DIM), "float32"), np.zeros((2, DIM), "float32")):
        assert not np.array(joined).any()


def test_centres_that_are_not_there_count_nothing(layer, features):
    before = np.array(layer.image_nearness(features[1]))
    larger = QuerybankNormalization(CENTRES + 2, DIM)
    larger.build()
    for ours, theirs in zip(larger.weights, layer.weights, strict=True):
        values = theirs.numpy()
        if ours.shape != values.shape:
            padding = [(0, 2), *[(0, 0)] * (values.ndim - 1)]
            values = np.pad(values, padding, constant_values=NEVER if ours.name.endswith("shares") else 0.0)
        ours.assign(values)
    np.testing.assert_allclose(larger.image_nearness(features[1]), before, rtol=1e-6)


def test_no_weight_is_trained_and_all_come_back(layer, features):
    assert layer.trainable_weights == []
    again = QuerybankNormalization.from_config(layer.get_config())
    again.build()
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again.texts(features[0]), layer.texts(features[0]))
    assert keras.saving.get_registered_name(QuerybankNormalization) == "dafsn>QuerybankNormalization"
