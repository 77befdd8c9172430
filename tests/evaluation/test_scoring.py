import numpy as np
import pytest

from dafsn_tf.errors import RunError
from dafsn_tf.evaluation.scoring import document_scores, label_scores, sentence_scores, word_scores


def toy_relevance(words, mask, regions):
    """Mean over words of the best inner product with a region: padding and blocks must leave it as it is."""
    best = np.einsum("ntd,brd->nbtr", words, regions).max(axis=-1)
    return (best * mask[:, None]).sum(axis=-1) / mask.sum(axis=-1)[:, None]


def features(lengths, images=5, words=11, regions=3, dim=4, seed=0):
    random = np.random.default_rng(seed)
    mask = np.arange(words) < np.array(lengths)[:, None]
    word_features = random.standard_normal((len(lengths), words, dim)).astype(np.float32)
    region_features = random.standard_normal((images, regions, dim)).astype(np.float32)
    return word_features, mask, region_features


def plain_loop(words, mask, regions):
    scores = np.empty((len(words), len(regions)))
    for text in range(len(words)):
        for image in range(len(regions)):
            best = [max(word @ region for region in regions[image]) for word in words[text][mask[text]]]
            scores[text, image] = np.mean(best)
    return scores


LENGTHS = [3, 11, 1, 4, 8, 5, 9, 2, 11, 3, 7, 4, 4]


def test_sentence_scores_are_cosines():
    random = np.random.default_rng(0)
    texts, images = random.standard_normal((7, 4)), random.standard_normal((5, 4))
    expected = [[t @ i / np.sqrt((t @ t) * (i @ i)) for i in images] for t in texts]
    found = sentence_scores(texts, images)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array(expected), abs=1e-6)


def test_a_zero_vector_scores_zero():
    assert sentence_scores(np.zeros((1, 2)), np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0, 0]]


@pytest.mark.parametrize("max_elements", [1, 40, 200, 2**26])
def test_word_scores_equal_a_plain_loop(max_elements):
    arrays = features(LENGTHS)
    found = word_scores(toy_relevance, *arrays, max_elements=max_elements)
    assert found.dtype == np.float32
    assert found == pytest.approx(plain_loop(*arrays), abs=1e-5)


def test_blocks_stay_within_the_limit_and_have_one_shape_a_length():
    shapes = []

    def relevance(words, mask, regions):
        shapes.append((*words.shape[:2], *regions.shape[:2]))
        assert mask.shape == words.shape[:2]
        return toy_relevance(words, mask, regions)

    word_scores(relevance, *features(LENGTHS), max_elements=200)
    assert len(shapes) > len(set(shapes))
    assert all(np.prod(shape) <= 200 for shape in shapes)
    assert sorted(shape[1] for shape in set(shapes)) == [4, 8, 11]


def test_long_texts_make_few_lengths():
    seen = set()

    def relevance(words, mask, regions):
        seen.add(words.shape[1])
        return toy_relevance(words, mask, regions)

    arrays = features(list(range(1, 151)), images=2, words=150)
    found = word_scores(relevance, *arrays)
    assert len(seen) == 8
    assert all(length % 4 == 0 or length == 150 for length in seen)
    assert found == pytest.approx(plain_loop(*arrays), abs=1e-5)


def test_a_mask_with_a_gap_keeps_the_words_behind_it():
    words, mask, regions = features([11, 6])
    mask[0, 2:9] = False
    assert word_scores(toy_relevance, words, mask, regions) == pytest.approx(plain_loop(words, mask, regions), abs=1e-5)


def test_a_text_without_words_keeps_its_place():
    words, mask, regions = features([4, 0, 6])
    found = word_scores(lambda w, m, r: m.sum(axis=1)[:, None] * np.ones(len(r)), words, mask, regions)
    assert found[:, 0].tolist() == [4, 0, 6]


def test_float16_regions_reach_the_relevance_as_float32():
    words, mask, regions = features([3, 5])
    dtypes = set()

    def relevance(words, mask, regions):
        dtypes.update((words.dtype, regions.dtype))
        return toy_relevance(words, mask, regions)

    word_scores(relevance, words.astype(np.float16), mask, regions.astype(np.float16))
    assert dtypes == {np.dtype(np.float32)}


def test_progress_counts_pairs_without_the_filling():
    calls = []
    word_scores(toy_relevance, *features(LENGTHS), max_elements=200, progress=lambda *call: calls.append(call))
    done = [pairs for pairs, _ in calls]
    assert done == sorted(set(done))
    assert calls[-1] == (13 * 5, 13 * 5)
    assert {total for _, total in calls} == {13 * 5}


def test_document_scores_are_means_over_their_texts_in_any_order():
    scores = np.array([[1, 0], [5, 8], [3, 2], [2, 1]], np.float32)
    found = document_scores(scores, np.array([0, 1, 0, 0]))
    assert found.dtype == np.float32
    assert found.tolist() == [[2, 1], [5, 8]]


def test_document_scores_refuse_a_document_without_text():
    with pytest.raises(RunError, match="document 1 has no text"):
        document_scores(np.zeros((2, 3)), np.array([0, 2]))


def test_document_scores_refuse_another_number_of_texts():
    with pytest.raises(RunError, match="2 texts have scores, but 3 are assigned"):
        document_scores(np.zeros((2, 3)), np.array([0, 1, 1]))


def test_label_scores_are_the_probability_of_a_common_class():
    texts, images = np.log([[0.5, 0.25, 0.25], [0.8, 0.1, 0.1]]), np.log([[0.5, 0.5, 1e-9]])
    expected = [[0.5 * 0.5 + 0.25 * 0.5], [0.8 * 0.5 + 0.1 * 0.5]]
    np.testing.assert_allclose(label_scores(texts + 3.0, images), expected, atol=1e-6)


def test_label_scores_are_of_posteriors_to_a_power():
    texts, images = np.log([[0.5, 0.25, 0.25]]), np.log([[0.6, 0.3, 0.1]])
    squares = np.square([[0.5, 0.25, 0.25], [0.6, 0.3, 0.1]])
    sharp = squares / squares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(label_scores(texts - 2.0, images, 2.0), [[sharp[0] @ sharp[1]]], atol=1e-6)
