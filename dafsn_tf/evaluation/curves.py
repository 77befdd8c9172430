"""Curves of a ranking: precision against recall and against scope, recall@k against k; what chance would reach.

Every function takes `scores` (queries, gallery), larger is better, and boolean `relevance` of the same shape, as
`evaluation.metrics` does, whose rules for ties and for queries without a relevant item hold here too. The docstrings
share the example of that module: of four items the first and the third of the ranking are relevant.
"""

import numpy as np

from dafsn_tf.evaluation.metrics import first_relevant_rank, ranked_relevance

RECALL_LEVELS = np.linspace(0, 1, 21)  # at which precision is read off
_DRAWINGS = 5  # random rankings whose precision at recall is averaged
_DRAWN_QUERIES = 500  # of them at most


def precision_at_recall(scores: np.ndarray, relevance: np.ndarray, levels: np.ndarray = RECALL_LEVELS) -> np.ndarray:
    """Return the interpolated precision at each level of recall, (levels,) in [0, 1], the mean over queries.

    A query's interpolated precision at a level is its greatest precision at any rank where recall is that level or
    more (TREC's definition). The example: recall 1/2 is reached with precision 1, recall 1 with 2/3, so precision is 1
    at levels up to 1/2 and 2/3 above.

    Raises:
        RunError: scores that hold NaN, or shapes that differ.
    """
    total, queries = np.zeros(len(levels)), 0
    for ranked in ranked_relevance(scores, relevance):
        ranked = ranked[ranked.any(axis=1)]
        hits = ranked.cumsum(axis=1, dtype=np.int32)
        precision = hits / np.arange(1, ranked.shape[1] + 1)
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # Level x is reached with the ceil(x m)-th of m relevant items, at least the first.
        needed = np.maximum(np.ceil(levels * hits[:, -1:] - 1e-9), 1)
        for row, wanted, counts in zip(best, needed, hits, strict=True):
            total += row[np.searchsorted(counts, wanted)]
        queries += len(ranked)
    return total / max(1, queries)


def precision_at_scope(scores: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Return the share of relevant items among the first k, for k = 1 ... gallery, (gallery,), the mean over queries.

    The example: 1, 1/2, 2/3, 1/2.

    Raises:
        RunError: scores that hold NaN, or shapes that differ.
    """
    found, queries = np.zeros(scores.shape[1]), 0
    for ranked in ranked_relevance(scores, relevance):
        found += ranked.sum(axis=0)
        queries += int(ranked.any(axis=1).sum())
    return found.cumsum() / np.arange(1, len(found) + 1) / max(1, queries)


def recall_curve(scores: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Return recall@k for k = 1 ... gallery, (gallery,): the share of queries with a relevant item in the first k.

    The example: 1 everywhere.

    Raises:
        RunError: scores that hold NaN, or shapes that differ.
    """
    ranks = first_relevant_rank(scores, relevance)
    ranks = ranks[~np.isnan(ranks)].astype(int)
    return np.bincount(ranks, minlength=scores.shape[1] + 1)[1:].cumsum() / max(1, len(ranks))


def chance_precision_at_recall(
    relevance: np.ndarray, levels: np.ndarray = RECALL_LEVELS, *, seed: int = 0
) -> np.ndarray:
    """Return `precision_at_recall` of random rankings, (levels,): the mean over some drawings by `seed`."""
    random = np.random.default_rng(seed)
    if len(relevance) > _DRAWN_QUERIES:
        relevance = relevance[random.choice(len(relevance), _DRAWN_QUERIES, replace=False)]
    drawn = [
        precision_at_recall(random.random(relevance.shape, np.float32), relevance, levels) for _ in range(_DRAWINGS)
    ]
    return np.mean(drawn, axis=0)


def chance_precision_at_scope(relevance: np.ndarray) -> np.ndarray:
    """Return the expectation of `precision_at_scope` in a random ranking, (gallery,): the share of relevant items.

    The example: 1/2 everywhere.
    """
    answered = relevance[relevance.any(axis=1)]
    return np.full(relevance.shape[1], answered.mean() if answered.size else 0.0)


def chance_recall_curve(relevance: np.ndarray) -> np.ndarray:
    """Return the expectation of `recall_curve` in a random ranking, (gallery,).

    The example (2 relevant of 4): 1/2, 5/6, 1, 1.
    """
    gallery = relevance.shape[1]
    counts, queries = np.unique(np.count_nonzero(relevance, axis=1), return_counts=True)
    counts, queries = counts[counts > 0], queries[counts > 0]
    drawn = np.arange(gallery)
    misses = np.cumprod(np.maximum(gallery - counts[:, None] - drawn, 0) / (gallery - drawn), axis=1)
    return 1 - queries @ misses / max(1, queries.sum())
