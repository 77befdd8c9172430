import numpy as np
import pytest

from dafsn_tf.evaluation.breakdown import class_average_precision, retrieved_classes, score_distributions
from dafsn_tf.evaluation.metrics import average_precision
from dafsn_tf.evaluation.protocols import Collection, directions

LABELS = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 1, 0]], np.float32)  # nobody has the third class


@pytest.fixture
def ranked():
    scores = np.random.default_rng(1).normal(size=(10, 5)).astype("float32")
    return directions(scores, Collection(np.repeat(np.arange(5), 2), LABELS))


@pytest.mark.parametrize("direction", ["image_to_text", "text_to_image"])
def test_map_of_a_class_is_the_mean_over_its_queries(ranked, direction):
    side = ranked[direction]
    precision = average_precision(side.scores, side.relevant)
    found = class_average_precision(side, LABELS)
    for place in (0, 1):
        members = [query for query, image in enumerate(side.query_image) if LABELS[image, place]]
        assert found[place] == pytest.approx(np.mean([precision[query] for query in members]))
    assert np.isnan(found[2])


def test_a_perfect_ranking_finds_each_class_for_itself():
    labels = np.eye(3, dtype="float32")[[0, 0, 1, 2, 2, 2]]
    scores = labels @ labels.T
    for side in directions(scores, Collection(np.arange(6), labels)).values():
        assert retrieved_classes(side, labels) == pytest.approx(np.eye(3))


def test_classes_found_by_hand():
    """Pictures of classes a, a, b with a text each; the first text ranks 2, 0, 1: its first two places hold b and a."""
    labels = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    scores = np.array([[0.5, 0.1, 0.9], [0.9, 0.8, 0.0], [0.0, 0.1, 0.9]], np.float32)
    side = directions(scores, Collection(np.arange(3), labels))["text_to_image"]
    assert retrieved_classes(side, labels) == pytest.approx(np.array([[0.75, 0.25], [0, 1]]))


def test_an_item_of_two_classes_is_shared_out(ranked):
    matrix = retrieved_classes(ranked["text_to_image"], LABELS)
    assert matrix[:2].sum(axis=1) == pytest.approx([1, 1])
    assert np.isnan(matrix[2]).all()


def test_mistakes_are_what_shares_no_class_with_the_query():
    """A red circle, a circle and a red square: for the first query all are relevant, whatever else they are."""
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], np.float32)  # circle, red, square
    scores = np.array([[0.9, 0.5, 0.4], [0.5, 0.2, 0.9], [0.1, 0.2, 0.9]], np.float32)
    side = directions(scores, Collection(np.arange(3), labels))["text_to_image"]
    mistakes = retrieved_classes(side, labels, mistakes=True)
    # The circle finds the red square and the red circle first: half of what it finds is a mistake, red and square.
    # The red square finds itself and the circle first, where the red circle is due: a mistake of circle for both.
    assert mistakes == pytest.approx(np.array([[0, 1 / 8, 1 / 8], [1 / 4, 0, 0], [1 / 2, 0, 0]]))
    assert retrieved_classes(side, labels).sum(axis=1) == pytest.approx([1, 1, 1])


def test_worked_example_of_the_overlap():
    scores, matching = np.array([[2.0, 1.0], [3.0, 4.0]]), np.array([[True, False], [False, True]])
    spread = score_distributions(scores, matching)
    assert (spread.threshold, spread.overlap) == (2, 0.5)
    assert spread.matching.sum() == pytest.approx(1)
    assert spread.other.sum() == pytest.approx(1)


def test_the_overlap_of_two_normals_is_the_area_they_share():
    """N(0, 1) and N(2, 1) cross at 1: each has 15.87 % beyond it."""
    random = np.random.default_rng(0)
    scores = np.concatenate([random.normal(2, 1, (200, 200)), random.normal(0, 1, (200, 200))])
    matching = np.repeat([True, False], 200)[:, None] & np.ones((1, 200), bool)
    assert score_distributions(scores, matching).overlap == pytest.approx(2 * 0.1587, abs=0.01)


def test_what_is_parted_does_not_overlap_and_what_is_equal_does():
    parted = score_distributions(np.array([[5.0, 1.0]]), np.array([[True, False]]))
    assert parted.overlap == 0
    assert score_distributions(np.ones((2, 2)), np.eye(2, dtype=bool)).overlap == 1
