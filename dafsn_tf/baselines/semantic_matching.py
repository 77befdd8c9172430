"""Semantic matching (Rasiwasia et al., A New Approach to Cross-Modal Multimedia Retrieval, ACM MM 2010).

A logistic regression on each side gives class posteriors; a text matches an image as far as the two posteriors agree.
Both may be sharpened first (raised to a power and normalised): the regressions' strong regularisation makes them flat.
Texts are tf-idf, where the paper has topics.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from dafsn_tf.baselines.bags import BagsOfWords
from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Axis, Method, Scorer, Surroundings


@dataclass(frozen=True)
class Settings:
    """What validation chooses."""

    image_strength: float = 0.01  # C of the images' regression, the inverse of its regularisation
    text_strength: float = 1.0  # C of the texts'
    sharpness: float = 1.0  # power of the posteriors
    vector_weight: float = 0.0  # of pre-trained word vectors beside tf-idf, see `BagsOfWords`


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer p(class | text) . p(class | image) of sharpened posteriors, each sentence a text of its own."""
    bags = BagsOfWords(train, settings.vector_weight)
    variants, width = train.image_vectors.shape[1:]
    images = _classifier(
        train.image_vectors.reshape(-1, width), np.repeat(train.labels, variants, axis=0), settings.image_strength
    )
    texts = _classifier(bags.sentences(train), train.text_labels, settings.text_strength)

    def score(split: Split) -> np.ndarray:
        of_texts = _sharpened(texts.predict_proba(bags.sentences(split)), settings.sharpness)
        return of_texts @ _sharpened(images.predict_proba(split.image_vectors[:, 0]), settings.sharpness).T

    return score


def _classifier(features: Any, labels: np.ndarray, strength: float) -> LogisticRegression:
    """Return the regression of multi-hot labels; an item of several classes is an example of each."""
    items, classes = np.nonzero(labels)
    return LogisticRegression(C=strength, max_iter=1000).fit(features[items], classes)


def _sharpened(posteriors: np.ndarray, power: float) -> np.ndarray:
    raised = posteriors**power
    return raised / raised.sum(axis=1, keepdims=True)


METHOD = Method(
    "semantic_matching",
    fit,
    grid=tuple(Settings(strength, sharpness=2.0, vector_weight=0.5) for strength in (1e-4, 1e-3, 0.01)),
    axes=(
        Axis(("image_strength",), (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1)),
        Axis(("vector_weight",), (0.0, 0.5, 1.0, 2.0, 4.0)),
        Axis(("sharpness",), (0.5, 1.0, 2.0, 4.0)),
    ),
    needs_labels=True,
)
