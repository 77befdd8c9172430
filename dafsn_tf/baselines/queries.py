"""What a run did for each single query, so that runs can be compared query by query."""

from typing import Any

import numpy as np

from dafsn_tf.evaluation.metrics import average_precision, first_relevant_rank
from dafsn_tf.evaluation.protocols import Collection
from dafsn_tf.evaluation.scoring import document_scores


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
    images, text_image = np.arange(scores.shape[1]), np.asarray(collection.text_image)
    if collection.documents:
        text_image, document = np.unique(text_image, return_inverse=True)
        scores = document_scores(scores, document)
    pairs = text_image[:, None] == images
    relevant = pairs
    if collection.has_classes:
        labels = (np.asarray(collection.labels) > 0).astype(np.float32)
        relevant = pairs | (labels @ labels.T > 0)[text_image]
    return {
        "protocol": "document" if collection.documents else "sentence",
        "image_to_text": _direction(scores.T, pairs.T, relevant.T, images),
        "text_to_image": _direction(scores, pairs, relevant, text_image),
    }


def _direction(scores: np.ndarray, pairs: np.ndarray, relevant: np.ndarray, images: np.ndarray) -> dict[str, list]:
    precision, rank = average_precision(scores, relevant), first_relevant_rank(scores, pairs)
    return {
        "average_precision": [None if np.isnan(value) else round(float(value), 6) for value in precision],
        "first_relevant_rank": [None if np.isnan(value) else int(value) for value in rank],
        "image": images.tolist(),
    }
