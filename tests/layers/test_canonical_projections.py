import keras
import numpy as np
import pytest

from dafsn_tf.layers import CanonicalProjections


@pytest.fixture
def layer():
    layer = CanonicalProjections(vocabulary_size=7, dim=3, channels=4)
    layer.build()
    random = np.random.default_rng(0)
    layer.set_weights([random.uniform(0.2, 0.8, weight.shape) for weight in layer.get_weights()])
    return layer


def test_a_text_is_the_sum_of_its_words_over_the_length_of_their_weights(layer):
    word_ids = np.array([[3, 5, 3, 0], [6, 0, 0, 0]], "int32")
    rows, idf = (np.float64(weight.numpy()) for weight in (layer.rows, layer.idf))
    rows[0] = idf[0] = 0  # padding, as it is fitted
    layer.rows.assign(rows)
    layer.idf.assign(idf)
    expected = [
        sum(rows[word] for word in words) / np.sqrt(sum(idf[word] ** 2 for word in words)) + layer.text_bias.numpy()
        for words in ([3, 5, 3], [6])
    ]
    np.testing.assert_allclose(layer.texts(word_ids), expected, rtol=1e-5)


def test_cosines_of_what_is_joined_are_both_weighted_by_their_shares(layer):
    random = np.random.default_rng(1)
    texts, images, text_projections, projections = (random.normal(size=(2, size)) for size in (5, 5, 3, 3))

    def cosine(one, other):
        return (one * other).sum(-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)

    share = float(layer.share.numpy())
    joined = [np.array(layer.join(*both)) for both in ((texts, text_projections), (images, projections))]
    expected = (1 - share) * cosine(texts, images) + share * cosine(text_projections, projections)
    np.testing.assert_allclose((joined[0] * joined[1]).sum(-1), expected, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(joined[0], axis=-1), 1, rtol=1e-6)


def test_without_a_share_cosines_are_those_of_the_features_alone(layer):
    layer.share.assign(0.0)
    features, projections = np.ones((1, 5), "float32"), np.zeros((1, 3), "float32")
    np.testing.assert_allclose(layer.join(features, projections), [[*[1 / np.sqrt(5)] * 5, 0, 0, 0]], rtol=1e-6)


def test_no_weight_is_trained_and_all_come_back(layer):
    assert layer.trainable_weights == []
    again = CanonicalProjections.from_config(layer.get_config())
    again.build()
    again.set_weights(layer.get_weights())
    vectors = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(again.images(vectors), layer.images(vectors))
    assert keras.saving.get_registered_name(CanonicalProjections) == "dafsn>CanonicalProjections"


def test_a_text_without_a_word_of_weight_has_zeros(layer):
    idf = layer.idf.numpy()
    idf[[0, 1]] = 0
    layer.idf.assign(idf)
    found = np.array(layer.texts(np.array([[1, 0], [1, 2]], "int32")))
    assert not found[0].any()
    assert found[1].any()


def test_a_model_in_half_precision_projects_in_full(layer):
    class Model(keras.layers.Layer):
        def __init__(self):
            super().__init__(dtype="mixed_bfloat16")
            self.inner = layer

        def call(self, features):
            return self.inner.join(features, self.inner.images(features[:, :4]))

    features = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    joined = Model()(features)
    assert joined.dtype == "float32"
    np.testing.assert_allclose(joined, layer.join(features, layer.images(features[:, :4])), atol=1e-2)
