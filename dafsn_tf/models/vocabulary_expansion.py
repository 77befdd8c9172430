"""Words that no training text has, known by their pre-trained vectors.

Training moves word embeddings away from the vectors that they began with. A linear map from the one to the other,
learned from the words of the training texts, tells where it would have moved other words (vocabulary expansion: Kiros
et al., Skip-Thought Vectors, NIPS 2015).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dafsn_tf.data.word_vectors import word_vectors
from dafsn_tf.models.dafsn import DAFSN

_RIDGE = 0.1  # in parts of the vectors' mean variance


def with_added_words(model: DAFSN, vocabulary: Sequence[str], added: Sequence[str], source: str) -> DAFSN:
    """Return a model, not compiled, that knows more words than it was trained on; everything else is the model's.

    Args:
        model: trained.
        vocabulary: its words, in the order of their ids.
        added: other words, all of which the source has; their ids follow.
        source: word vectors, as `data.word_vectors` takes them; of the vocabulary's words some must have one.
    """
    with_backbone = model.image_encoder.backbone is not None
    larger = DAFSN(model.config, model.vocabulary_size + len(added), model.num_classes, include_backbone=with_backbone)
    larger.build()
    embeddings: Any = model.text_encoder.embedding.embeddings.numpy()
    found, vectors = word_vectors(source, [*vocabulary, *added])
    known = np.flatnonzero(found[: len(vocabulary)])
    first = len(embeddings) - len(vocabulary)
    rows = predicted_embeddings(vectors[: len(known)], embeddings[first + known], vectors[len(known) :])
    grown = larger.text_encoder.embedding.embeddings
    for ours, theirs in zip(larger.weights, model.weights, strict=True):
        if ours is grown:
            ours.assign(np.concatenate([embeddings, rows]))
        elif ours.shape == theirs.shape:
            ours.assign(theirs)  # canonical directions, which know no words yet, stay zeros
    return larger


def predicted_embeddings(vectors: np.ndarray, embeddings: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the embeddings (M, E) float32 that ridge regression on words with both predicts for other words' vectors.

    Args:
        vectors: (K, d), of words whose embeddings are known; K at least 1.
        embeddings: (K, E), of the same.
        others: (M, d).
    """
    mean, embedding_mean = vectors.mean(axis=0, dtype=np.float64), embeddings.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    covariance = centred.T @ centred
    ridge = _RIDGE * max(float(np.trace(covariance)) / len(covariance), 1e-12)
    map_ = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), centred.T @ (embeddings - embedding_mean))
    return ((others - mean) @ map_ + embedding_mean).astype(np.float32)
