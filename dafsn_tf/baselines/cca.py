"""Canonical correlation analysis (Hotelling 1936), the classical peer without labels, regularised.

Both sides are whitened within their leading principal components, with a ridge on the variances (Vinod, Canonical Ridge
and Econometrics of Joint Production, 1976); the singular vectors of the whitened views' cross-covariance are then the
canonical directions. Scores are cosines of projections weighted by powers of the canonical correlations (Gong et al., A
Multi-View Embedding Space, IJCV 2014).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA, TruncatedSVD

from dafsn_tf.baselines.bags import BagsOfWords
from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Method, Scorer, Surroundings
from dafsn_tf.evaluation.scoring import sentence_scores

_NOTHING = 1e-6  # share of the first principal component's variance below which one holds rounding errors


@dataclass(frozen=True)
class Settings:
    """What validation chooses."""

    components: int = 128  # principal components kept of each side, at most
    power: float = 1.0  # of the canonical correlations that weight the projections
    vector_weight: float = 0.0  # of pre-trained word vectors beside tf-idf, see `BagsOfWords`
    image_ridge: float = 0.0  # added to the variances of the images' components, in parts of their mean
    text_ridge: float = 0.0  # likewise of the texts'


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer of projections learned from every training sentence with its image."""
    bags = BagsOfWords(train, settings.vector_weight)
    sentences = bags.sentences(train)
    images, variants, width = train.image_vectors.shape
    reduction = Reduction(sentences, settings.components, seed)
    reduced = reduction(sentences)
    text_whitening = Whitening(reduced, settings.components, settings.text_ridge, seed)
    pictures = train.image_vectors.reshape(-1, width)
    image_whitening = Whitening(pictures, min(settings.components, images - 1), settings.image_ridge, seed)
    white_images = image_whitening(pictures).reshape(images, variants, -1)
    directions = _canonical_directions(text_whitening(reduced), white_images, train.collection.text_image)
    weights = directions.correlations**settings.power

    def score(split: Split) -> np.ndarray:
        texts = text_whitening(reduction(bags.sentences(split))) - directions.text_mean
        whole = image_whitening(split.image_vectors[:, 0]) - directions.image_mean
        return sentence_scores(texts @ (directions.texts * weights), whole @ (directions.images * weights))

    return score


class Reduction:
    """Sparse rows (n, W) as dense ones (n, C): their leading singular directions, or all columns where those are few.

    Args:
        rows: (n, W), whose directions they are.
        components: C at most.
        seed: of the solver.
    """

    def __init__(self, rows: Any, components: int, seed: int) -> None:
        few = min(rows.shape) <= components
        self._svd = None if few else TruncatedSVD(components, random_state=seed).fit(rows)

    def __call__(self, rows: Any) -> np.ndarray:
        """Return the reduced rows."""
        return rows.toarray() if self._svd is None else self._svd.transform(rows)


class Whitening:
    """Principal components (n, C), each divided by the square root of its variance plus the ridge.

    Args:
        rows: (n, W), what is whitened.
        components: C at most; those that hold rounding errors alone are left out.
        ridge: in parts of the components' mean variance.
        seed: of the solver.
    """

    def __init__(self, rows: np.ndarray, components: int, ridge: float, seed: int) -> None:
        solver: Any = "covariance_eigh" if rows.shape[0] > rows.shape[1] else "auto"  # exact and fast
        self._pca = PCA(max(1, min(components, *rows.shape)), svd_solver=solver, random_state=seed)
        with np.errstate(invalid="ignore"):  # rows that are all the same: shares of no variance
            self._pca.fit(rows.astype(np.float64))  # in single precision rounding errors pass for components
        variances = self._pca.explained_variance_
        kept = variances[variances > _NOTHING * variances[0]] if variances[0] > 0 else variances[:1]
        self._scales = 1 / np.sqrt(np.maximum(kept + ridge * kept.mean(), np.finfo(kept.dtype).tiny))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the whitened rows."""
        return self._pca.transform(rows)[:, : len(self._scales)] * self._scales


class Directions(NamedTuple):
    """Where views are to be projected, one column a direction, once their means are subtracted."""

    texts: np.ndarray  # (T, C)
    images: np.ndarray  # (I, C)
    correlations: np.ndarray  # (C,), at least 0; the smaller the more the ridge weighs
    text_mean: np.ndarray  # (T,)
    image_mean: np.ndarray  # (I,), over all pairs


def _canonical_directions(white_texts: np.ndarray, white_images: np.ndarray, text_image: np.ndarray) -> Directions:
    """Return the singular vectors of the cross-covariance of all pairs: each text with each variant of its image.

    The pairs are not formed: a text's partners enter by their mean, an image's by the sum of its texts.

    Args:
        white_texts: (N, T).
        white_images: (B, V, I).
        text_image: (N,) image of each text.
    """
    texts, images = len(white_texts), len(white_images)
    text_mean = white_texts.mean(axis=0)
    image_mean = np.bincount(text_image, minlength=images) / texts @ white_images.mean(axis=1)
    sums = np.zeros((images, white_texts.shape[1]))
    np.add.at(sums, text_image, white_texts)
    covariance = white_images.mean(axis=1).T @ sums / texts - np.outer(image_mean, text_mean)
    image_directions, correlations, text_directions = np.linalg.svd(covariance, full_matrices=False)
    return Directions(text_directions.T, image_directions, correlations, text_mean, image_mean)


METHOD = Method(
    "cca",
    fit,
    grid=(
        Settings(128, 2.0, vector_weight=2.0),
        Settings(256, 4.0, vector_weight=2.0),
        Settings(1024, 1.0, vector_weight=1.0, image_ridge=0.03, text_ridge=0.3),
        *(Settings(1024, 1.0, vector_weight=1.0, image_ridge=ridge, text_ridge=ridge) for ridge in (0.1, 0.3, 1.0)),
    ),
)
