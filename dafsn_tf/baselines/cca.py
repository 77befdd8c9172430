"""Canonical correlation analysis (Hotelling 1936), the classical peer without labels.

Both sides are whitened within their leading principal components, which is CCA's regularisation; the singular vectors
of the whitened views' cross-covariance are then the canonical directions. Scores are cosines of projections weighted by
powers of the canonical correlations (Gong et al., A Multi-View Embedding Space, IJCV 2014).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.pipeline import make_pipeline

from dafsn_tf.baselines.bags import BagsOfWords
from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Method, Scorer, Surroundings
from dafsn_tf.evaluation.scoring import sentence_scores


@dataclass(frozen=True)
class Settings:
    """What validation chooses."""

    components: int = 128  # principal components kept of each side
    power: float = 1.0  # of the canonical correlations that weight the projections
    vector_weight: float = 0.0  # of pre-trained word vectors beside tf-idf, see `BagsOfWords`


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer of projections learned from every training sentence with its image."""
    bags = BagsOfWords(train, settings.vector_weight)
    sentences = bags.sentences(train)
    images, variants, width = train.image_vectors.shape
    components = min(settings.components, images - 1, width, sentences.shape[1] - 1)
    text_whitening = make_pipeline(
        TruncatedSVD(components, random_state=seed), _whitening(components, sentences.shape[0], components, seed)
    )
    image_whitening = _whitening(components, images * variants, width, seed)
    white_texts = text_whitening.fit_transform(sentences)
    white_images = image_whitening.fit_transform(train.image_vectors.reshape(-1, width))
    text_image = train.collection.text_image
    directions = _canonical_directions(white_texts, white_images.reshape(images, variants, -1), text_image)
    weights = directions.correlations**settings.power

    def score(split: Split) -> np.ndarray:
        texts = text_whitening.transform(bags.sentences(split)) - directions.text_mean
        whole = image_whitening.transform(split.image_vectors[:, 0]) - directions.image_mean
        return sentence_scores(texts @ (directions.texts * weights), whole @ (directions.images * weights))

    return score


def _whitening(components: int, rows: int, width: int, seed: int) -> PCA:
    """Return the whitening of (rows, width), exact and fast where there are more rows than columns."""
    solver: Any = "covariance_eigh" if rows > width else "auto"
    return PCA(components, whiten=True, svd_solver=solver, random_state=seed)


class Directions(NamedTuple):
    """Where views are to be projected, one column a direction, once their means are subtracted."""

    texts: np.ndarray  # (C, C)
    images: np.ndarray  # (C, C)
    correlations: np.ndarray  # (C,), at least 0
    text_mean: np.ndarray  # (C,)
    image_mean: np.ndarray  # (C,), over all pairs


def _canonical_directions(white_texts: np.ndarray, white_images: np.ndarray, text_image: np.ndarray) -> Directions:
    """Return the singular vectors of the cross-covariance of all pairs: each text with each variant of its image.

    The pairs are not formed: a text's partners enter by their mean, an image's by the sum of its texts.

    Args:
        white_texts: (N, C).
        white_images: (B, V, C).
        text_image: (N,) image of each text.
    """
    texts, (images, variants, components) = len(white_texts), white_images.shape
    share = np.bincount(text_image, minlength=images) / texts  # of an image in all pairs
    text_mean = white_texts.mean(axis=0)
    image_mean = share @ white_images.mean(axis=1)
    sums = np.zeros((images, components))
    np.add.at(sums, text_image, white_texts)
    covariance = white_images.mean(axis=1).T @ sums / texts - np.outer(image_mean, text_mean)
    image_directions, covariances, text_directions = np.linalg.svd(covariance)
    projected_texts = (white_texts - text_mean) @ text_directions.T
    projected_images = (white_images.reshape(-1, components) - image_mean) @ image_directions
    text_variance = np.square(projected_texts).mean(axis=0)
    image_variance = np.repeat(share / variants, variants) @ np.square(projected_images)
    correlations = covariances / np.maximum(np.sqrt(text_variance * image_variance), 1e-12)
    return Directions(text_directions.T, image_directions, correlations, text_mean, image_mean)


METHOD = Method(
    "cca",
    fit,
    grid=(  # a small vocabulary has fewer components: then powers and word vectors alone differ
        Settings(256, 4.0),
        Settings(1024, 2.0),
        *(Settings(components, power, vector_weight=2.0) for components, power in ((128, 2.0), (256, 4.0))),
        *(Settings(1024, power, vector_weight=1.0) for power in (1.0, 2.0)),
    ),
)
