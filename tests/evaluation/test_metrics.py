from itertools import permutations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dafsn_tf.errors import RunError
from dafsn_tf.evaluation import metrics
from dafsn_tf.evaluation.metrics import (
    average_precision,
    chance,
    first_relevant_rank,
    mean_average_precision,
    median_rank,
    recall_at_k,
    retrieval_metrics,
)

SCORES = np.array([[0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.6]], np.float32)
RELEVANCE = np.array([[1, 0, 1, 0], [0, 0, 0, 1]], bool)


def test_worked_example_of_the_docstrings():
    assert average_precision(SCORES, RELEVANCE) == pytest.approx([5 / 6, 1 / 4])
    assert average_precision(SCORES, RELEVANCE, k=2) == pytest.approx([1, 0])
    assert first_relevant_rank(SCORES, RELEVANCE).tolist() == [1, 4]
    assert mean_average_precision(SCORES, RELEVANCE) == pytest.approx(13 / 24)
    assert [recall_at_k(SCORES, RELEVANCE, k) for k in (1, 3, 4)] == [0.5, 0.5, 1]
    assert median_rank(SCORES, RELEVANCE) == 2.5


def test_worked_example_of_retrieval_metrics():
    pairs = np.array([[0, 0, 1, 0]], bool)
    assert retrieval_metrics(SCORES[:1], pairs, RELEVANCE[:1]) == pytest.approx(
        {
            "map@all": 5 / 6,
            "map@50": 5 / 6,
            "recall@1": 0,
            "recall@5": 1,
            "recall@10": 1,
            "median_rank": 3,
            "queries": 1,
            "queries_without_relevant": 0,
        }
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_relevant_items_rank_after_others_of_equal_score(dtype):
    scores = np.array([[2, 1, 1, 1, 0]], dtype)
    relevance = np.array([[0, 1, 0, 1, 0]], bool)  # ranks 3 and 4, never 2
    assert average_precision(scores, relevance) == pytest.approx([(1 / 3 + 2 / 4) / 2])
    assert first_relevant_rank(scores, relevance).tolist() == [3]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("constant", [0, 0.7, -np.inf])
def test_constant_scores_give_the_worst_value(dtype, constant):
    scores = np.full((3, 20), constant, dtype)
    relevance = np.zeros((3, 20), bool)
    relevance[:, :2] = True
    found = retrieval_metrics(scores, relevance)
    assert found["map@all"] == pytest.approx((1 / 19 + 2 / 20) / 2)
    assert found["recall@10"] == 0
    assert found["median_rank"] == 19


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_minus_zero_ties_with_zero(dtype):
    relevance = np.array([[1, 0]], bool)
    assert first_relevant_rank(np.array([[0.0, -0.0]], dtype), relevance).tolist() == [2]
    assert average_precision(np.array([[0.0, -0.0]], dtype), relevance).tolist() == [0.5]


def test_neighbouring_float32_scores_are_not_tied():
    scores = np.array(
        [[1, np.nextafter(np.float32(1), np.float32(2)), -1, np.nextafter(np.float32(-1), np.float32(0))]]
    )
    scores = scores.astype(np.float32)
    relevance = np.array([[0, 1, 0, 1]], bool)  # ranks 1 and 3
    assert average_precision(scores, relevance) == pytest.approx([5 / 6])


def test_queries_without_a_relevant_item_are_left_out_and_counted():
    relevance = np.array([[1, 0, 1, 0], [0, 0, 0, 0]], bool)
    assert np.isnan(average_precision(SCORES, relevance)).tolist() == [False, True]
    found = retrieval_metrics(SCORES, relevance)
    assert found["map@all"] == pytest.approx(5 / 6)
    assert (found["recall@1"], found["median_rank"]) == (1, 1)
    assert (found["queries"], found["queries_without_relevant"]) == (2, 1)


def test_map_at_50_divides_by_what_the_first_50_hold():
    scores = -np.arange(100, dtype=np.float32)[None]
    relevance = np.zeros((1, 100), bool)
    relevance[0, [1, 60, 70]] = True
    assert retrieval_metrics(scores, relevance)["map@50"] == pytest.approx(1 / 2)
    assert retrieval_metrics(scores, np.roll(relevance, 59, axis=1))["map@50"] == pytest.approx((1 / 20 + 2 / 30) / 2)
    late = np.arange(100)[None] >= 50
    assert retrieval_metrics(scores, late)["map@50"] == 0


def test_refuses_scores_that_are_not_numbers():
    scores = SCORES.copy()
    scores[1, 2] = np.nan
    with pytest.raises(RunError, match=r"score of query 1 with item 2 is not a number.*loss of NaN"):
        retrieval_metrics(scores, RELEVANCE)


def test_refuses_relevance_of_another_shape():
    with pytest.raises(RunError, match=r"\(2, 4\) came with relevance of shape \(4, 2\)"):
        recall_at_k(SCORES, RELEVANCE.T, 1)


@pytest.mark.parametrize("measure", [retrieval_metrics, mean_average_precision, median_rank])
def test_refuses_relevance_that_is_empty(measure):
    with pytest.raises(RunError, match="none of the 2 queries has a relevant item"):
        measure(SCORES, np.zeros_like(RELEVANCE))


def test_chance_refuses_relevance_that_is_empty():
    with pytest.raises(RunError, match="none of the 2 queries has a relevant item"):
        chance(np.zeros_like(RELEVANCE))


def naive_ranks(scores, relevance):
    """Ranks of one query's relevant items, counted one by one."""
    ranks = []
    for item in np.flatnonzero(relevance):
        ahead = sum(
            other > scores[item] or (other == scores[item] and not relevance[i]) for i, other in enumerate(scores)
        )
        ranks.append(ahead + 1)
    # Relevant items of one score share the rank of the first; they follow one another.
    ranks.sort()
    for i in range(1, len(ranks)):
        ranks[i] = max(ranks[i], ranks[i - 1] + 1)
    return ranks


def naive_metrics(scores, pairs, labels):
    precisions, cut, firsts = [], [], []
    for query in range(len(scores)):
        ranks = naive_ranks(scores[query], labels[query])
        top = [rank for rank in ranks if rank <= metrics.MAP_CUT]
        if ranks:
            precisions.append(np.mean([(i + 1) / rank for i, rank in enumerate(ranks)]))
            cut.append(np.mean([(i + 1) / rank for i, rank in enumerate(top)]) if top else 0)
        if pairs[query].any():
            firsts.append(naive_ranks(scores[query], pairs[query])[0])
    values = [
        np.mean(precisions),
        np.mean(cut),
        *(np.mean(np.array(firsts) <= k) for k in (1, 5, 10)),
        np.median(firsts),
    ]
    return dict(zip(metrics.METRICS, values, strict=True))


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from([np.float32, np.float64]))
def test_equals_plain_loops_in_float64(data, dtype):
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 14)))
    few = st.sampled_from([-np.inf, -1.5, -0.0, 0.0, 0.25, 0.2500001, 3.0])
    scores = data.draw(hnp.arrays(dtype, shape, elements=few))
    pairs, labels = (data.draw(hnp.arrays(bool, shape)) for _ in range(2))
    pairs[0, 0] = labels[0, -1] = True
    found = retrieval_metrics(scores, pairs, labels)
    assert {name: found[name] for name in metrics.METRICS} == pytest.approx(naive_metrics(scores, pairs, labels))
    assert found["queries_without_relevant"] == np.sum(~labels.any(axis=1))


def test_chunks_change_nothing(monkeypatch):
    random = np.random.default_rng(0)
    scores = random.integers(0, 9, (23, 70)).astype(np.float32)
    pairs, labels = random.random((2, 23, 70)) < 0.1
    whole = retrieval_metrics(scores, pairs, labels)
    monkeypatch.setattr(metrics, "_CHUNK_ELEMENTS", 4 * 70)
    assert retrieval_metrics(scores, pairs, labels) == whole
    assert retrieval_metrics(np.asfortranarray(scores), pairs, labels) == whole


def test_agrees_with_trec_eval():
    random = np.random.default_rng(1)
    scores = random.permuted(np.tile(np.arange(120.0), (20, 1)), axis=1)
    relevance = random.random(scores.shape) < 0.06
    relevance[:, 7] = True
    judged = {str(q): {str(g): int(relevance[q, g]) for g in range(120)} for q in range(20)}
    ranking = {str(q): {str(g): float(scores[q, g]) for g in range(120)} for q in range(20)}
    evaluator = pytrec_eval.RelevanceEvaluator(judged, {"map", "map_cut.50", "success", "recip_rank"})
    theirs = evaluator.evaluate(ranking)

    def column(measure):
        return np.array([theirs[str(query)][measure] for query in range(20)])

    assert average_precision(scores, relevance) == pytest.approx(column("map"))
    assert 1 / first_relevant_rank(scores, relevance) == pytest.approx(column("recip_rank"))
    for k in (1, 5, 10):
        assert recall_at_k(scores, relevance, k) == pytest.approx(column(f"success_{k}").mean())
    # trec_eval divides by all relevant items, not by those found in the first 50.
    found = np.array([relevance[query, np.argsort(-scores[query])[:50]].sum() for query in range(20)])
    assert average_precision(scores, relevance, k=50) * found / relevance.sum(axis=1) == pytest.approx(
        column("map_cut_50")
    )


@pytest.mark.parametrize(("relevant", "gallery"), [(1, 1), (1, 5), (2, 4), (3, 6), (6, 6)])
def test_chance_equals_the_mean_over_all_rankings(monkeypatch, relevant, gallery):
    monkeypatch.setattr(metrics, "MAP_CUT", 3)
    orders = np.array(list(permutations(range(gallery))), np.float32)
    relevance = np.arange(gallery) < relevant
    every = retrieval_metrics(orders, np.tile(relevance, (len(orders), 1)))
    expected = chance(relevance[None], draws=4000)
    for name in ("map@all", "map@50", "recall@1", "recall@5", "recall@10"):
        assert expected[name] == pytest.approx(every[name]), name
    firsts = first_relevant_rank(orders, np.tile(relevance, (len(orders), 1)))
    assert expected["median_rank"] == pytest.approx(firsts.mean(), abs=0.1)


def test_chance_of_the_docstring():
    found = chance(RELEVANCE[:1])
    assert found["map@all"] == pytest.approx(49 / 72)
    assert found["recall@1"] == pytest.approx(1 / 2)


def test_chance_averages_over_queries_of_their_own():
    pairs = np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], bool)
    labels = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]], bool)
    found = chance(pairs, labels)
    assert found["recall@1"] == pytest.approx((1 / 4 + 2 / 4) / 2)
    assert found["map@all"] == pytest.approx(1)
    assert found == chance(pairs, labels)


def test_chance_median_rank_of_many_queries_concentrates():
    assert chance(np.eye(101, dtype=bool))["median_rank"] == pytest.approx(51, abs=0.6)
