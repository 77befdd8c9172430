"""Canonical correlation analysis (Hotelling 1936), the classical peer without labels.

Both sides are whitened within their leading principal components, which is CCA's regularisation; the singular vectors
of the whitened views' cross-covariance are then the canonical directions. Scores are cosines of projections weighted by
powers of the canonical correlations (Gong et al., A Multi-View Embedding Space, IJCV 2014).
"""

from dataclasses import dataclass

import numpy as np
from sklearn.cross_decomposition import PLSSVD
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


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer of projections learned from every training sentence with its image."""
    bags = BagsOfWords(train)
    sentences = bags.sentences(train)
    images, variants, width = train.image_vectors.shape
    components = min(settings.components, images - 1, width, sentences.shape[1] - 1)
    text_whitening = make_pipeline(
        TruncatedSVD(components, random_state=seed), PCA(components, whiten=True, random_state=seed)
    )
    image_whitening = PCA(components, whiten=True, random_state=seed)
    white_texts = text_whitening.fit_transform(sentences)
    white_images = image_whitening.fit_transform(train.image_vectors.reshape(-1, width))
    paired_images = white_images.reshape(images, variants, -1)[train.collection.text_image].reshape(-1, components)
    projection = PLSSVD(components, scale=False)
    pairs = projection.fit_transform(paired_images, np.repeat(white_texts, variants, axis=0))
    weights = _correlations(*pairs) ** settings.power

    def score(split: Split) -> np.ndarray:
        texts = text_whitening.transform(bags.sentences(split))
        whole = image_whitening.transform(split.image_vectors[:, 0])
        projected_images, projected_texts = projection.transform(whole, texts)
        return sentence_scores(projected_texts * weights, projected_images * weights)

    return score


def _correlations(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Return the correlation of each pair of columns, at least 0."""
    images, texts = images - images.mean(axis=0), texts - texts.mean(axis=0)
    covariance = (images * texts).mean(axis=0)
    return np.maximum(covariance / np.maximum(images.std(axis=0) * texts.std(axis=0), 1e-12), 0)


METHOD = Method(
    "cca",
    fit,
    grid=(
        Settings(128, 1.0),
        Settings(128, 2.0),
        Settings(256, 4.0),
        Settings(512, 1.0),
        Settings(512, 2.0),
        Settings(1024, 2.0),
    ),
)
