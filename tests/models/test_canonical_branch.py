import numpy as np
import pytest

from dafsn_tf.layers import CanonicalProjections
from dafsn_tf.models.canonical_branch import CanonicalFit

FIRST = 3  # padding and two out-of-vocabulary ids
WORDS = 8
RIDGE = 0.3


@pytest.fixture
def split():
    """Return ids of 40 texts of 20 images, the images' vectors in two variants, and word vectors by id."""
    random = np.random.default_rng(0)
    images = random.normal(size=(20, 2, 5))
    word_ids = np.zeros((40, 6), "int32")
    for text, length in enumerate(random.integers(2, 6, 40)):
        word_ids[text, :length] = random.integers(1, FIRST + WORDS - 2, length)  # the last two occur in no text
    vectors = random.normal(size=(FIRST + WORDS, 3))
    vectors[[0, 1, 2, 4]] = 0
    vectors[-1] = 0  # known neither by texts nor by its vector
    return word_ids, np.repeat(np.arange(20), 2), images, vectors


def layer_of(fit, dim):
    return layer_with(fit.weights(RIDGE, dim))


def layer_with(weights):
    layer = CanonicalProjections(FIRST + WORDS, weights["text_bias"].size, 5)
    layer.build()
    for name, values in weights.items():
        getattr(layer, name).assign(values)
    return layer


def by_loops(word_ids, text_image, images, vectors):
    """Return texts' and images' weighted canonical projections: eigenvectors in float64, each pair taken by itself."""
    idf = np.zeros(len(vectors))
    for word in range(FIRST, len(vectors)):
        texts_with = sum(word in row for row in word_ids)
        if texts_with or vectors[word].any():
            idf[word] = np.log((1 + len(word_ids)) / (1 + texts_with)) + 1
    seen = [word for word in range(FIRST, len(vectors)) if (word_ids == word).any()]
    size = np.mean([np.linalg.norm(vectors[word]) for word in seen if vectors[word].any()])
    rows = []
    for row in word_ids:
        words = [word for word in row if word >= FIRST]
        length = np.sqrt(sum(idf[word] ** 2 for word in words)) or 1e-6
        bag = [idf[word] * words.count(word) / length for word in seen]
        rows.append([*bag, *sum((idf[word] * vectors[word] for word in words), np.zeros(3)) / size / length])
    texts, pictures = np.array(rows), images.reshape(-1, 5)
    white = []
    for side in (texts, pictures):
        values, directions = np.linalg.eigh(np.cov(side.T))
        kept = values > 1e-6 * values.max()
        values, directions = values[kept], directions[:, kept]
        white.append((side - side.mean(0)) @ directions / np.sqrt(values + RIDGE * values.mean()))
    white_images = white[1].reshape(20, 2, -1)
    pairs = [
        (text, white_images[image, variant])
        for text, image in zip(white[0], text_image, strict=True)
        for variant in (0, 1)
    ]
    text_mean, image_mean = (np.mean([pair[side] for pair in pairs], axis=0) for side in (0, 1))
    cross = sum(np.outer(text - text_mean, image - image_mean) for text, image in pairs) / len(pairs)
    left, correlations, right = np.linalg.svd(cross, full_matrices=False)
    return (white[0] - text_mean) @ left * correlations, (white_images[:, 0] - image_mean) @ right.T * correlations


def cosines(texts, images):
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (np.array(texts), np.array(images))]
    return unit[0] @ unit[1].T


def test_projections_are_those_of_canonical_correlation_analysis(split):
    word_ids, _, images, _ = split
    layer = layer_of(CanonicalFit(*split, FIRST), dim=5)
    found = cosines(layer.texts(word_ids), layer.images(images[:, 0]))
    np.testing.assert_allclose(found, cosines(*by_loops(*split)), atol=1e-4)


def test_a_word_of_no_text_counts_by_its_vector_and_one_without_counts_nothing(split):
    *_, vectors = split
    fit = CanonicalFit(*split, FIRST)
    layer = layer_of(fit, dim=5)
    rows, unseen = layer.rows.numpy(), FIRST + WORDS - 2
    assert fit.idf[unseen] == fit.idf.max()
    assert np.abs(rows[unseen]).max() > 0
    assert not rows[[0, 1, 2, -1]].any()
    assert not fit.idf[[0, 1, 2, -1]].any()
    twice = vectors.copy()
    twice[unseen] *= 2
    again = layer_of(CanonicalFit(*split[:3], twice, FIRST), dim=5)
    np.testing.assert_allclose(again.rows.numpy()[unseen], 2 * rows[unseen], rtol=1e-3, atol=1e-6)


def test_directions_that_are_not_there_are_zeros_and_the_first_are_the_strongest(split):
    fit = CanonicalFit(*split, FIRST)
    many, few = fit.weights(RIDGE, 9), fit.weights(RIDGE, 2)
    assert not many["rows"][:, 5:].any()
    for name in ("rows", "text_bias", "image_map", "image_bias"):
        np.testing.assert_allclose(many[name][..., :2], few[name], atol=1e-6)


def test_a_collection_without_word_vectors_has_directions_of_its_words_alone(split):
    fit = CanonicalFit(*split[:3], np.zeros((FIRST + WORDS, 1)), FIRST)
    found = layer_of(fit, dim=3)
    assert np.isfinite(found.rows.numpy()).all()
    assert np.abs(found.rows.numpy()).max() > 0


def test_texts_that_all_say_the_same_tell_nothing_and_do_not_fail(split):
    word_ids, *rest = split
    same = np.full_like(word_ids, FIRST)
    weights = CanonicalFit(same, *rest, FIRST).weights(RIDGE, 4)
    assert all(np.isfinite(values).all() for values in weights.values())


def test_two_fits_side_by_side_have_the_first_directions_of_both_with_equal_say(split):
    word_ids, text_image, images, vectors = split
    fit, other = (CanonicalFit(word_ids, text_image, each, vectors, FIRST) for each in (images, images[::-1]))
    ours, theirs = fit.weights(RIDGE, 4), other.weights(RIDGE, 4)
    theirs["rows"] *= 3  # a fit with other weights of words, and so with longer texts
    theirs["idf"] *= 3
    joined = layer_with(fit.side_by_side(ours, theirs))
    texts, pictures = joined.texts(word_ids).numpy(), joined.images(images.reshape(-1, 5)).numpy()
    for half, weights in ((slice(2), ours), (slice(2, 4), theirs)):
        single = layer_with(weights)
        expected = single.texts(word_ids).numpy()[:, :2], single.images(images.reshape(-1, 5)).numpy()[:, :2]
        for found, side in zip((texts[:, half], pictures[:, half]), expected, strict=True):
            np.testing.assert_allclose(found, side / np.sqrt(np.mean(np.sum(side**2, axis=1))), rtol=1e-3, atol=1e-5)


def test_a_word_that_one_of_two_fits_knows_has_its_say_side_by_side(split):
    word_ids, text_image, images, vectors = split
    fit = CanonicalFit(word_ids, text_image, images, vectors, FIRST)
    ours, theirs = fit.weights(RIDGE, 4), fit.weights(RIDGE, 4)
    theirs["idf"][-1], theirs["rows"][-1] = 1.5, 1.0
    joined = fit.side_by_side(ours, theirs)
    assert joined["idf"][-1] == 1.5
    assert not joined["rows"][-1, :2].any()
    assert joined["rows"][-1, 2:].all()
    assert all(np.isfinite(values).all() for values in joined.values())
