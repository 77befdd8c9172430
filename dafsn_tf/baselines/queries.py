"""What a run did for each single query, so that runs can be compared query by query."""

from typing import Any

import numpy as np

from dafsn_tf.evaluation.metrics import average_precision, first_relevant_rank
from dafsn_tf.evaluation.protocols import Collection, Direction, directions, first_protocol


def query_values(scores: np.ndarray, collection: Collection) -> dict[str, Any]:
    """Return each query's average precision and the rank of its pair, under the collection's first protocol.

    That is `document` where the collection has documents, else `sentence`. Average precision follows shared labels
    where there are classes, ranks follow pairs; their means are MAP@all and the recalls of `evaluate_scores`.

    Args:
        scores: (N, B).
        collection: what is relevant there.

    Returns:
        `{"protocol", "image_to_text", "text_to_image"}`; a direction holds lists, one entry a query:
        `average_precision` (None without a relevant item), `first_relevant_rank`, and `image`, the query's picture.
    """
    return {
        "protocol": first_protocol(collection),
        **{name: _values(ranked) for name, ranked in directions(scores, collection).items()},
    }


def _values(ranked: Direction) -> dict[str, list]:
    precision = average_precision(ranked.scores, ranked.relevant)
    rank = first_relevant_rank(ranked.scores, ranked.pairs)
    return {
        "average_precision": [None if np.isnan(value) else round(float(value), 6) for value in precision],
        "first_relevant_rank": [None if np.isnan(value) else int(value) for value in rank],
        "image": ranked.query_image.tolist(),
    }
