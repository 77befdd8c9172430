"""Words that no training text has, known by their pre-trained vectors.

Training moves word embeddings away from the vectors that they began with. A linear map from the one to the other,
learned from the words of the training texts, tells where it would have moved other words (vocabulary expansion: Kiros
et al., Skip-Thought Vectors, NIPS 2015).
"""

from typing import Any

import numpy as np

from dafsn_tf.models.dafsn import DAFSN

_RIDGE = 0.1  # in parts of the vectors' mean variance


def with_added_words(model: DAFSN, vectors: np.ndarray) -> DAFSN:
    """Return a model, not compiled, that knows more words than it was trained on; everything else is the model's.

    Args:
        model: trained.
        vectors: (ids, d) word vectors by id, those of the added words last; zero for ids of the model that have none,
            which must not be all.
    """
    with_backbone = model.image_encoder.backbone is not None
    larger = DAFSN(model.config, len(vectors), model.num_classes, include_backbone=with_backbone)
    larger.build()
    embeddings: Any = model.text_encoder.embedding.embeddings.numpy()
    own, others = vectors[: len(embeddings)], vectors[len(embeddings) :]
    known = own.any(axis=1)
    rows = predicted_embeddings(own[known], embeddings[known], others)
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
