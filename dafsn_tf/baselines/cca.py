"""Canonical correlation analysis, the classical peer without labels, regularised (`models.canonical_correlation`).

Scores are cosines of projections weighted by powers of the canonical correlations (Gong et al., A Multi-View Embedding
Space, IJCV 2014).
"""

from dataclasses import dataclass

import numpy as np

from dafsn_tf.baselines.bags import BagsOfWords
from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Axis, Cosines, Method, Scorer, Surroundings
from dafsn_tf.models.canonical_correlation import Reduction, Whitening, canonical_directions


@dataclass(frozen=True)
class Settings:
    """What validation chooses."""

    components: int = 128  # principal components kept of each side, at most
    power: float = 1.0  # of the canonical correlations that weight the projections
    vector_weight: float = 0.0  # of pre-trained word vectors beside tf-idf, see `BagsOfWords`
    image_ridge: float = 0.0  # added to the variances of the images' components, in parts of their mean
    text_ridge: float = 0.0  # likewise of the texts'


class Projections:
    """Where texts and images stand in the canonical space, learned from every training sentence with its image.

    Args:
        train: the training split.
        settings: of the reduction and the weights.
        seed: of the reductions.
    """

    def __init__(self, train: Split, settings: Settings, seed: int) -> None:
        self._bags = BagsOfWords(train, settings.vector_weight)
        sentences = self._bags.sentences(train)
        images, variants, width = train.image_vectors.shape
        self._reduction = Reduction(sentences, settings.components, seed)
        reduced = self._reduction(sentences)
        self._text_whitening = Whitening(reduced, settings.components, settings.text_ridge, seed)
        pictures = train.image_vectors.reshape(-1, width)
        self._image_whitening = Whitening(pictures, min(settings.components, images - 1), settings.image_ridge, seed)
        white_images = self._image_whitening(pictures).reshape(images, variants, -1)
        self._directions = canonical_directions(
            self._text_whitening(reduced), white_images, train.collection.text_image
        )
        self._weights = self._directions.correlations**settings.power

    def __call__(self, split: Split) -> tuple[np.ndarray, np.ndarray]:
        """Return a split's texts (N, L) and images (B, L), whose cosines are the scores."""
        directions = self._directions
        texts = self._text_whitening(self._reduction(self._bags.sentences(split))) - directions.text_mean
        images = self._image_whitening(split.image_vectors[:, 0]) - directions.image_mean
        return texts @ (directions.texts * self._weights), images @ (directions.images * self._weights)


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer of a collection's `Projections`."""
    return Cosines(Projections(train, settings, seed))


METHOD = Method(
    "cca",
    fit,
    grid=(
        Settings(128, 2.0, vector_weight=2.0),
        Settings(256, 4.0, vector_weight=2.0),
        Settings(1024, 1.0, vector_weight=1.0, image_ridge=0.03, text_ridge=0.3),
        *(Settings(1024, 1.0, vector_weight=1.0, image_ridge=ridge, text_ridge=ridge) for ridge in (0.3, 1.0)),
    ),
    axes=(
        Axis(("image_ridge", "text_ridge"), (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)),
        Axis(("components",), (64, 128, 256, 512, 1024)),
        Axis(("power",), (0.5, 1.0, 2.0, 4.0, 8.0)),
        Axis(("vector_weight",), (0.0, 0.5, 1.0, 2.0, 4.0)),
    ),
)
