import numpy as np
import pytest

from dafsn_tf.errors import RunError
from dafsn_tf.evaluation import curves
from dafsn_tf.evaluation.metrics import chance, recall_at_k

EXAMPLE = np.array([[0.9, 0.8, 0.7, 0.6]]), np.array([[True, False, True, False]])


@pytest.fixture
def some():
    random = np.random.default_rng(3)
    scores = random.integers(0, 6, (11, 7)).astype("float32")  # many ties
    relevance = random.random((11, 7)) < 0.3
    relevance[4] = False  # a query without a relevant item
    return scores, relevance


def ranking(scores, relevance):
    """Relevance in rank order, ties pessimistic, by the sort of a list of pairs."""
    return [bool(hit) for _, hit in sorted(zip(-scores, relevance, strict=True), key=lambda pair: (pair[0], pair[1]))]


def test_worked_example_of_the_docstrings():
    assert curves.precision_at_recall(*EXAMPLE, np.array([0, 0.5, 0.6, 1])) == pytest.approx([1, 1, 2 / 3, 2 / 3])
    assert curves.precision_at_scope(*EXAMPLE) == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert curves.recall_curve(*EXAMPLE) == pytest.approx([1, 1, 1, 1])
    assert curves.chance_precision_at_scope(EXAMPLE[1]) == pytest.approx([1 / 2] * 4)
    assert curves.chance_recall_curve(EXAMPLE[1]) == pytest.approx([1 / 2, 5 / 6, 1, 1])


def test_precision_at_recall_is_that_of_plain_loops(some):
    expected = np.zeros(len(curves.RECALL_LEVELS))
    queries = [ranking(*query) for query in zip(*some, strict=True)]
    queries = [hits for hits in queries if any(hits)]
    for hits in queries:
        points = [(sum(hits[:k]) / sum(hits), sum(hits[:k]) / k) for k in range(1, len(hits) + 1)]
        for place, level in enumerate(curves.RECALL_LEVELS):
            expected[place] += max(precision for recall, precision in points if recall >= level - 1e-9)
    assert curves.precision_at_recall(*some) == pytest.approx(expected / len(queries))


def test_precision_at_scope_is_that_of_plain_loops(some):
    queries = [ranking(*query) for query in zip(*some, strict=True)]
    queries = [hits for hits in queries if any(hits)]
    for k, value in enumerate(curves.precision_at_scope(*some), start=1):
        assert value == pytest.approx(sum(sum(hits[:k]) / k for hits in queries) / len(queries))


def test_the_recall_curve_has_the_points_of_recall_at_k(some):
    values = curves.recall_curve(*some)
    assert values == pytest.approx([recall_at_k(*some, k) for k in range(1, 8)])


def test_chance_is_where_the_metrics_have_it(some):
    figures = chance(some[1])
    values = curves.chance_recall_curve(some[1])
    assert [values[0], values[4]] == pytest.approx([figures["recall@1"], figures["recall@5"]])


def test_chance_is_the_mean_of_many_random_rankings(some):
    random, relevance = np.random.default_rng(0), some[1]
    many = np.repeat(relevance, 4000, axis=0)
    scores = random.random(many.shape, np.float32)
    assert curves.chance_recall_curve(relevance) == pytest.approx(curves.recall_curve(scores, many), abs=0.01)
    assert curves.chance_precision_at_scope(relevance) == pytest.approx(
        curves.precision_at_scope(scores, many), abs=0.01
    )
    drawn = curves.chance_precision_at_recall(np.repeat(relevance, 100, axis=0))
    assert drawn == pytest.approx(curves.precision_at_recall(scores, many), abs=0.03)


def test_scores_without_an_order_are_refused():
    with pytest.raises(RunError, match="not a number"):
        curves.precision_at_scope(np.array([[np.nan, 1.0]]), np.array([[True, False]]))
