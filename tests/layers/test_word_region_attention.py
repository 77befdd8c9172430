import keras
import numpy as np
import pytest
import tensorflow as tf
from harness import check_layer

from dafsn_tf.layers import WordRegionAttention


def relevance_by_loops(words, mask, regions, gamma1, gamma2, pooling, similarity="product"):
    """The published equations 7 to 10 for one text (T, D) and one image (R, D), float64, or attention by cosines."""
    words, regions = words[mask].astype("float64"), regions.astype("float64")
    if not len(words):
        return 0.0, np.zeros((0, len(regions))), np.zeros(0)
    if similarity == "cosine":
        words, regions = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (words, regions))
    scores = np.array([[word @ region for region in regions] for word in words])
    over_words = scores
    if similarity == "product":
        over_words = np.zeros_like(scores)
        for r in range(len(regions)):
            column = np.exp(scores[:, r] - scores[:, r].max())
            over_words[:, r] = column / column.sum()
    attention, relevance = np.zeros_like(scores), np.zeros(len(words))
    for t in range(len(words)):
        row = np.exp(gamma1 * over_words[t])
        attention[t] = row / row.sum()
        context = sum(attention[t, r] * regions[r] for r in range(len(regions)))
        relevance[t] = context @ words[t] / (np.linalg.norm(context) * np.linalg.norm(words[t]))
    if pooling == "mean":
        return relevance.mean(), attention, relevance
    total = np.sum(np.exp(gamma2 * relevance))
    if pooling == "log_mean_exp":
        total /= len(words)
    return np.log(total) / gamma2, attention, relevance


def ragged(seed, texts=5, images=3, words=7, regions=11, dim=6):
    generator = np.random.default_rng(seed)
    lengths = np.array([words, 1, 4, 0, 2][:texts])  # one word; none at all
    mask = np.arange(words) < lengths[:, None]
    features = generator.normal(size=(texts, words, dim)).astype("float32") * mask[..., None]
    return features, mask, generator.normal(size=(images, regions, dim)).astype("float32")


@pytest.mark.parametrize("pooling", ["log_mean_exp", "log_sum_exp", "mean"])
@pytest.mark.parametrize("regions", [5, 11])  # fewer than D: Gram matrix; more: contexts
@pytest.mark.parametrize("max_elements", [10**9, 100])  # one block; chunks with recomputation
@pytest.mark.parametrize("similarity", ["product", "cosine"])
def test_scores_equal_plain_loops(pooling, regions, max_elements, similarity):
    words, mask, image = ragged(0, regions=regions, dim=8)
    layer = WordRegionAttention(5.0, 4.0, pooling, max_elements, similarity=similarity)
    scores = layer(words, mask, image).numpy()
    for n in range(len(words)):
        for b in range(len(image)):
            expected, _, _ = relevance_by_loops(words[n], mask[n], image[b], 5.0, 4.0, pooling, similarity)
            assert scores[n, b] == pytest.approx(expected, abs=1e-5)


def test_sharp_attention_by_cosines_stays_finite_and_picks_the_nearest_region():
    words, mask, image = ragged(6)
    scores = WordRegionAttention(1000.0, word_pooling="mean", similarity="cosine")(words, mask, image).numpy()
    for n in range(len(words)):
        for b in range(len(image)):
            cosines = [
                max(word @ region / np.linalg.norm(word) / np.linalg.norm(region) for region in image[b])
                for word in words[n][mask[n]]
            ]
            assert scores[n, b] == pytest.approx(np.mean(cosines) if cosines else 0.0, abs=2e-3)


@pytest.mark.parametrize("regions", [3, 11])
def test_attended_regions_equal_plain_loops(regions):
    words, mask, _ = ragged(2)
    image = np.random.default_rng(3).normal(size=(5, regions, 6)).astype("float32")  # one for each text
    contexts = WordRegionAttention(5.0, 4.0).attended_regions(words, mask, image).numpy()
    expected = np.zeros(words.shape)
    for n in range(len(words)):
        _, attention, _ = relevance_by_loops(words[n], mask[n], image[n], 5.0, 4.0, "mean")
        for t in range(len(attention)):
            expected[n, t] = sum(attention[t, r] * image[n, r].astype("float64") for r in range(regions))
    np.testing.assert_allclose(contexts, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["log_mean_exp", "mean"])
@pytest.mark.parametrize("similarity", ["product", "cosine"])
def test_regions_attend_to_words_as_words_to_regions_with_the_roles_exchanged(pooling, similarity):
    words, mask, image = ragged(4, dim=8)
    published = {"gamma1": 5.0, "gamma2": 4.0, "word_pooling": pooling, "similarity": similarity}
    turned = WordRegionAttention(**published, direction="regions_to_words")(words, mask, image).numpy()
    both = WordRegionAttention(**published, direction="both")(words, mask, image).numpy()
    for n in range(len(words)):
        for b in range(len(image)):
            settings = (5.0, 4.0, pooling, similarity)
            there, _, _ = relevance_by_loops(words[n], mask[n], image[b], *settings)
            everywhere = np.ones(len(image[b]), bool)
            present = words[n][mask[n]]
            back = relevance_by_loops(image[b], everywhere, present, *settings)[0] if len(present) else 0
            assert turned[n, b] == pytest.approx(back, abs=1e-5)
            assert both[n, b] == pytest.approx((there + back) / 2, abs=1e-5)


@pytest.mark.parametrize("direction", ["words_to_regions", "regions_to_words", "both"])
@pytest.mark.parametrize("similarity", ["product", "cosine"])
def test_attend_explains_the_diagonal(direction, similarity):
    words, mask, image = ragged(1, images=5)
    layer = WordRegionAttention(direction=direction, similarity=similarity)
    seen = {name: value.numpy() for name, value in layer.attend(words, mask, image).items()}
    np.testing.assert_allclose(seen["score"], np.diagonal(layer(words, mask, image)), atol=1e-6)
    for n in range(len(words)):
        _, attention, relevance = relevance_by_loops(words[n], mask[n], image[n], 5.0, 5.0, "mean", similarity)
        length = mask[n].sum()
        np.testing.assert_allclose(seen["attention"][n, :length], attention, atol=1e-6)
        np.testing.assert_allclose(seen["word_relevance"][n, :length], relevance, atol=1e-5)
        assert not seen["attention"][n, length:].any()
        assert not seen["word_relevance"][n, length:].any()


@pytest.mark.parametrize("similarity", ["product", "cosine"])
def test_padding_changes_nothing(similarity):
    words, mask, image = ragged(2)
    longer = np.concatenate([words, np.full((5, 4, 6), 9.0, "float32")], axis=1)
    longer_mask = np.concatenate([mask, np.zeros((5, 4), bool)], axis=1)
    layer = WordRegionAttention(similarity=similarity)
    np.testing.assert_allclose(layer(words, mask, image), layer(longer, longer_mask, image), atol=1e-6)


@pytest.mark.parametrize("regions", [5, 11])
def test_chunks_have_the_gradients_of_one_block(regions):
    words, mask, image = ragged(3, regions=regions, dim=8)
    gradients = []
    for max_elements in (10**9, 60):
        layer = WordRegionAttention(max_elements=max_elements)
        features = tf.Variable(words), tf.Variable(image)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(layer(features[0], mask, features[1])))
        gradients.append(tape.gradient(loss, features))
    for whole, chunked in zip(*gradients, strict=True):
        assert np.abs(whole).max() > 0
        np.testing.assert_allclose(whole, chunked, atol=1e-5)


def test_layer_contract():
    words, mask, image = ragged(4)
    check_layer(WordRegionAttention, tuple(map(tf.constant, (words, mask, image))))


@pytest.mark.parametrize("similarity", ["product", "cosine"])
def test_a_zero_region_map_gives_finite_scores_and_gradients(similarity):
    words, mask, image = ragged(5)
    features = tf.Variable(image * 0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(WordRegionAttention(similarity=similarity)(words, mask, features))
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, features)).all()


def test_log_sum_exp_favours_long_texts_and_log_mean_exp_does_not():
    word, region = keras.ops.ones((1, 1, 4)), keras.ops.ones((1, 3, 4))
    twice = keras.ops.ones((1, 2, 4))
    one, two = [[True]], [[True, True]]
    layer = WordRegionAttention(gamma2=5.0, word_pooling="log_sum_exp")
    gain = layer(twice, np.array(two), region) - layer(word, np.array(one), region)
    assert float(gain[0, 0]) == pytest.approx(np.log(2) / 5, abs=1e-6)
    layer = WordRegionAttention(gamma2=5.0, word_pooling="log_mean_exp")
    gain = layer(twice, np.array(two), region) - layer(word, np.array(one), region)
    assert float(gain[0, 0]) == pytest.approx(0, abs=1e-6)
