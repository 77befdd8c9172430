"""Metrics of a score matrix and its relevance, and what chance would reach (DESIGN section 5).

Every function takes `scores` (queries, gallery), larger is better, and boolean `relevance` of the same shape; nothing
else enters. Ties are broken pessimistically: a relevant item ranks after the non-relevant ones of equal score. Queries
without a relevant item are left out of every mean.

The docstrings share one example: four items score .9 .8 .7 .6, and the first and the third are relevant. Their ranks
are 1 and 3, so AP = (1/1 + 2/3) / 2 = 5/6.
"""

from collections.abc import Iterator

import numpy as np

from dafsn_tf.errors import RunError

RECALL_CUTS = (1, 5, 10)
MAP_CUT = 50
METRICS = ("map@all", f"map@{MAP_CUT}", *(f"recall@{cut}" for cut in RECALL_CUTS), "median_rank")

_CHUNK_ELEMENTS = 2**16  # scores ranked at once: what stays in a core's cache sorts four times faster


def average_precision(scores: np.ndarray, relevance: np.ndarray, k: int | None = None) -> np.ndarray:
    """Return the average precision of each query, (queries,) in [0, 1]; NaN for a query without a relevant item.

    AP is the mean over the relevant items of (relevant items at or above its rank) / rank. With `k`, only the first `k`
    ranks count and the sum is divided by the relevant items found there (the convention of ACMR's and DSCMR's code); a
    query with none there has 0.

    The example (ranks 1 and 3): 5/6; with k = 2 only rank 1 is found, so AP@2 = (1/1) / 1 = 1.

    Raises:
        RunError: scores that hold NaN, or shapes that differ.
    """
    return _joined([_average_precision(_ranked(*chunk), k) for chunk in _chunks(scores, relevance)])


def first_relevant_rank(scores: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Return the rank, from 1, of each query's best relevant item, (queries,); NaN for a query without one.

    The example (ranks 1 and 3): 1. If all four items had one score, the relevant ones would rank 3 and 4: 3.

    Raises:
        RunError: scores that hold NaN, or shapes that differ.
    """
    return _joined([_first_rank(*chunk) for chunk in _chunks(scores, relevance)])


def mean_average_precision(scores: np.ndarray, relevance: np.ndarray, k: int | None = None) -> float:
    """Return MAP@all, or MAP@k: the mean of `average_precision` over the queries that have a relevant item.

    Two queries over the items of the example, the second with only its last item relevant: (5/6 + 1/4) / 2 = 13/24.

    Raises:
        RunError: as `average_precision`, or no query with a relevant item.
    """
    return float(_defined(average_precision(scores, relevance, k)).mean())


def recall_at_k(scores: np.ndarray, relevance: np.ndarray, k: int) -> float:
    """Return the share of queries with at least one relevant item among the first `k`, in [0, 1].

    Two queries over the items of the example, the second with only its last item relevant: best ranks 1 and 4, so
    recall@1 = recall@3 = 1/2 and recall@4 = 1.

    Raises:
        RunError: as `first_relevant_rank`, or no query with a relevant item.
    """
    return float((_defined(first_relevant_rank(scores, relevance)) <= k).mean())


def median_rank(scores: np.ndarray, relevance: np.ndarray) -> float:
    """Return the median over queries of the best relevant item's rank, from 1.

    Two queries over the items of the example, the second with only its last item relevant: ranks 1 and 4, median 2.5.

    Raises:
        RunError: as `first_relevant_rank`, or no query with a relevant item.
    """
    return float(np.median(_defined(first_relevant_rank(scores, relevance))))


def retrieval_metrics(
    scores: np.ndarray, relevance_pairs: np.ndarray, relevance_labels: np.ndarray | None = None
) -> dict[str, float]:
    """Return every metric of `METRICS` from one ranking, with "queries" and "queries_without_relevant".

    MAP follows label relevance (pair relevance where there is none), recall and median rank follow pair relevance;
    "queries_without_relevant" counts the queries that MAP leaves out. Memory beyond the arguments is bounded.

    The example, with the third item the pair: MAP 5/6, recall@1 0, recall@5 1, median rank 3.

    Raises:
        RunError: scores that hold NaN, shapes that differ, or no query with a relevant item.
    """
    if relevance_labels is None:
        relevance_labels = relevance_pairs
    precision, precision_cut, first = [], [], []
    for chunk, pairs, labels in _chunks(scores, relevance_pairs, relevance_labels):
        ranked = _ranked(chunk, labels)
        precision.append(_average_precision(ranked))
        precision_cut.append(_average_precision(ranked, MAP_CUT))
        first.append(_first_rank(chunk, pairs))
    precisions, firsts = _joined(precision), _defined(_joined(first))
    values = [_defined(precisions).mean(), _defined(_joined(precision_cut)).mean()]
    values += [(firsts <= cut).mean() for cut in RECALL_CUTS]
    values.append(np.median(firsts))
    metrics: dict[str, float] = {name: float(value) for name, value in zip(METRICS, values, strict=True)}
    return metrics | {"queries": len(precisions), "queries_without_relevant": int(np.isnan(precisions).sum())}


def chance(
    relevance_pairs: np.ndarray, relevance_labels: np.ndarray | None = None, *, draws: int = 1000, seed: int = 0
) -> dict[str, float]:
    """Return the expectation of every metric of `METRICS` when each query ranks the gallery at random.

    MAP@all, MAP@50 and recall are exact; the median rank is the mean over `draws` random rankings by `seed`.

    The example (2 relevant of 4, H4 = 25/12): AP = (H4 + (4 - H4) 1/3) / 4 = 49/72, recall@1 = 1/2.

    Raises:
        RunError: no query with a relevant item.
    """
    gallery = relevance_pairs.shape[1]
    pair_counts = _relevant_counts(relevance_pairs)
    label_counts = pair_counts if relevance_labels is None else _relevant_counts(relevance_labels)
    values = [_expected_precision(label_counts, gallery, cut).mean() for cut in (gallery, MAP_CUT)]
    values += [_expected_recall(pair_counts, gallery, cut).mean() for cut in RECALL_CUTS]
    values.append(_expected_median_rank(pair_counts, gallery, draws, seed))
    return {name: float(value) for name, value in zip(METRICS, values, strict=True)}


def ranked_relevance(scores: np.ndarray, relevance: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the relevance of some queries at a time in the order of their rankings, (some, gallery) bool.

    The example: true, false, true, false.

    Raises:
        RunError: scores that hold NaN, or shapes that differ.
    """
    return (_ranked(*chunk) for chunk in _chunks(scores, relevance))


def _chunks(scores: np.ndarray, *relevances: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield the scores of some queries at a time, as floats without NaN, and their rows of each relevance."""
    for relevance in relevances:
        if scores.ndim != 2 or relevance.shape != scores.shape:
            raise RunError(
                f"scores of shape {scores.shape} came with relevance of shape {relevance.shape}; "
                "both must be (queries, gallery)."
            )
    queries, gallery = scores.shape
    step = max(1, _CHUNK_ELEMENTS // max(1, gallery))
    for start in range(0, queries, step):
        rows = slice(start, start + step)
        chunk = np.ascontiguousarray(scores[rows])
        exact = np.float32 if chunk.dtype in (np.float16, np.float32) else np.float64
        chunk = chunk.astype(exact, copy=False)
        if np.isnan(chunk).any():
            query, item = np.argwhere(np.isnan(chunk))[0]
            raise RunError(
                f"the score of query {start + query} with item {item} is not a number, so it has no rank. "
                "Check that training did not diverge (a loss of NaN) and that features are finite."
            )
        yield [chunk, *(np.ascontiguousarray(relevance[rows], bool) for relevance in relevances)]


def _ranked(scores: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Return the relevance in the order of the ranking, (queries, gallery) bool."""
    if scores.dtype == np.float64:
        return np.take_along_axis(relevance, np.lexsort((relevance, -scores), axis=1), axis=1)
    # One sort of integers is several times faster: a float32's bits, made to ascend as the score falls, then relevance
    # as the last bit. Adding zero makes -0 and 0 one score.
    bits = (scores + np.float32(0)).view(np.int32)
    descending = ~(bits ^ ((bits >> 31) & 0x7FFFFFFF))
    keys = 2 * descending.astype(np.int64) + relevance
    keys.sort(axis=1)
    return (keys & 1).astype(bool)


def _average_precision(ranked: np.ndarray, k: int | None = None) -> np.ndarray:
    queries = len(ranked)
    answered = ranked.any(axis=1)
    top = np.ascontiguousarray(ranked[:, :k])
    query, position = np.divmod(np.flatnonzero(top), max(1, top.shape[1]))
    found = np.bincount(query, minlength=queries)
    hits = np.arange(1, len(query) + 1) - np.repeat(np.cumsum(found) - found, found)
    total = np.bincount(query, weights=hits / (position + 1), minlength=queries)
    return np.where(answered, total / np.maximum(found, 1), np.nan)


def _first_rank(scores: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Return 1 + the non-relevant items that score no less than the best relevant one."""
    best = np.max(scores, axis=1, keepdims=True, where=relevance, initial=-np.inf)
    ahead = np.count_nonzero((scores >= best) & ~relevance, axis=1)
    return np.where(relevance.any(axis=1), 1.0 + ahead, np.nan)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)


def _defined(values: np.ndarray) -> np.ndarray:
    defined = values[~np.isnan(values)]
    if not len(defined):
        raise _nothing_relevant(len(values))
    return defined


def _relevant_counts(relevance: np.ndarray) -> np.ndarray:
    counts = np.count_nonzero(relevance, axis=1)
    if not counts.any():
        raise _nothing_relevant(len(counts))
    return counts[counts > 0]


def _nothing_relevant(queries: int) -> RunError:
    return RunError(
        f"none of the {queries} queries has a relevant item, so no metric is defined. "
        "Evaluate a split whose texts belong to its own images."
    )


def _miss_probabilities(relevant: int, gallery: int) -> np.ndarray:
    """Return, for k = 0 ... gallery, the probability that none of the first k of a random ranking is relevant."""
    drawn = np.arange(gallery)
    return np.append(1.0, np.cumprod(np.maximum(gallery - relevant - drawn, 0) / (gallery - drawn)))


def _expected_recall(counts: np.ndarray, gallery: int, k: int) -> np.ndarray:
    distinct, inverse = np.unique(counts, return_inverse=True)
    misses = [_miss_probabilities(relevant, gallery)[min(k, gallery)] for relevant in distinct]
    return 1 - np.array(misses)[inverse]


def _expected_precision(counts: np.ndarray, gallery: int, k: int) -> np.ndarray:
    """Return the expected AP@k of each query.

    With m >= 1 of the first k items relevant, rank i of them is relevant with probability m / k, and then
    (i - 1) (m - 1) / (k - 1) more are expected above it. Summed over i, with H_k the harmonic number,
    E[AP | m] = (H_k + (k - H_k) (m - 1) / (k - 1)) / k. That is linear in m, so P(m >= 1), which is recall@k, and
    E[m] = k relevant / gallery suffice.
    """
    k = min(k, gallery)
    harmonic = (1 / np.arange(1, k + 1)).sum()
    slope = (k - harmonic) / (k - 1) if k > 1 else 0.0
    return ((harmonic - slope) * _expected_recall(counts, gallery, k) + slope * k * counts / gallery) / k


def _expected_median_rank(counts: np.ndarray, gallery: int, draws: int, seed: int) -> float:
    """Return the mean over random rankings of the median best rank, drawn from that rank's exact distribution."""
    random = np.random.default_rng(seed)
    distributions = [
        (counts == relevant, 1 - _miss_probabilities(relevant, gallery)[1:]) for relevant in np.unique(counts)
    ]
    medians = np.empty(draws)
    ranks = np.empty(len(counts))
    for draw in range(draws):
        uniform = random.random(len(counts))
        for members, cumulative in distributions:
            ranks[members] = 1 + np.searchsorted(cumulative, uniform[members], side="right")
        medians[draw] = np.median(ranks)
    return medians.mean()
