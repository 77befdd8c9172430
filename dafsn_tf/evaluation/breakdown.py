"""Where a run is good and where it fails: each class, which classes are found for which, matching and other pairs."""

from typing import NamedTuple

import numpy as np

from dafsn_tf.evaluation.metrics import average_precision
from dafsn_tf.evaluation.protocols import Direction


def class_average_precision(ranked: Direction, labels: np.ndarray) -> np.ndarray:
    """Return MAP@all of each class' queries, (C,) in [0, 1]; NaN for a class without a query.

    A query of several classes counts in each of them.

    Args:
        ranked: one direction.
        labels: (B, C) multi-hot classes of the images.

    Raises:
        RunError: scores that hold NaN.
    """
    precision = average_precision(ranked.scores, ranked.relevant)
    of_query = (labels[ranked.query_image] > 0) & ~np.isnan(precision)[:, None]
    queries = of_query.sum(axis=0)
    total = np.nan_to_num(precision) @ of_query
    return np.where(queries > 0, total / np.maximum(queries, 1), np.nan)


def retrieved_classes(ranked: Direction, labels: np.ndarray, *, mistakes: bool = False) -> np.ndarray:
    """Return which classes are found for which, (C, C): row of the query's class, column of the class found.

    Each query looks at as many first places as it has relevant items, so that a perfect ranking gives ones on the
    diagonal and zeros elsewhere where every item has one class. An item of several classes is shared out among them in
    equal parts. Rows sum to 1, short of the items found that have no class; a row of a class without a query is NaN.

    Args:
        ranked: one direction.
        labels: (B, C) multi-hot classes of the images.
        mistakes: count only items that are not relevant; rows then sum to the share of these.
    """
    classes = (labels > 0).astype(np.float64)
    of_query, of_item = classes[ranked.query_image], classes[ranked.gallery_image]
    of_item /= np.maximum(of_item.sum(axis=1, keepdims=True), 1)
    total = np.zeros((classes.shape[1], classes.shape[1]))
    for scores, relevant, query in zip(ranked.scores, ranked.relevant, of_query, strict=True):
        places = int(relevant.sum())
        if places and query.any():
            # Of items with one score the non-relevant come first, as in every metric.
            first = np.lexsort((relevant, -scores))[:places]
            counted = ~relevant[first] if mistakes else np.ones(places, bool)
            total += np.outer(query, counted @ of_item[first] / places)
    queries = of_query[ranked.relevant.any(axis=1)].sum(axis=0)[:, None]
    return np.where(queries > 0, total / np.maximum(queries, 1), np.nan)


_BINS = (8, 60)  # fewest and most; as many as the matching pairs fill


class ScoreDistributions(NamedTuple):
    """How the scores of matching pairs and of other pairs are spread.

    Attributes:
        edges: (bins + 1,) of the bins, ascending.
        matching: (bins,) share of the matching pairs in each; sums to 1.
        other: (bins,) share of the other pairs.
        threshold: the score that parts the two best.
        overlap: in [0, 1]: of matching pairs the share below the threshold, plus of other pairs the share that reaches
            it. 0 where the threshold parts them, 1 where no threshold tells anything.
    """

    edges: np.ndarray
    matching: np.ndarray
    other: np.ndarray
    threshold: float
    overlap: float


def score_distributions(scores: np.ndarray, matching: np.ndarray) -> ScoreDistributions:
    """Return how scores (queries, gallery) are spread over the matching (bool, of the same shape) and the other pairs.

    The overlap is 1 less the Kolmogorov-Smirnov distance, which needs no bins; where two densities cross once, it is
    the area that they share.

    Two matching pairs score 2 and 4, two others 1 and 3: no threshold does better than 2, where no matching pair is
    below and one of two others reaches it: overlap 1/2.
    """
    inside, outside = np.sort(scores[matching]), np.sort(scores[~matching])
    below = np.searchsorted(inside, inside, side="left") / len(inside)
    reaching = 1 - np.searchsorted(outside, inside, side="left") / max(1, len(outside))
    wrong = below + reaching
    best = int(wrong.argmin())
    every = np.concatenate([inside, outside])
    low, high = float(every.min()), float(every.max())
    bins = int(np.clip(2 * np.sqrt(len(inside)), *_BINS))
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    shares = [np.histogram(part, edges)[0] / max(1, len(part)) for part in (inside, outside)]
    return ScoreDistributions(edges, shares[0], shares[1], float(inside[best]), float(min(1, wrong[best])))
