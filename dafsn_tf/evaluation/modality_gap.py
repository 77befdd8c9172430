"""The modality gap: how far texts and images lie apart, and how well fresh classifiers tell them from each other."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from dafsn_tf.errors import RunError

FOLDS = 5


def modality_gap(sentences: np.ndarray, images: np.ndarray, text_image: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Return how far apart the modalities of held-out embeddings are, all vectors at unit length.

    One text of each picture, the first, stands against the picture, so that both modalities are as many. Probes are
    cross-fitted over `FOLDS` shares of the pictures: a picture and its text are judged by a classifier that saw
    neither. A discriminator that took part in training says nothing here: the encoders have learned to fool just that
    one (DESIGN section 2).

    Args:
        sentences: (N, D) of a split that the model was not trained on.
        images: (B, D) of the same split.
        text_image: (N,) index of each text's image.
        seed: of the shares and of the neural probe.

    Returns:
        `probe_accuracy` of a network with a hidden layer, `linear_probe_accuracy` of logistic regression, both in
        [0, 1], .5 where nothing tells the modalities apart; `centroid_distance` in [0, 2], between the mean text and
        the mean image.

    Raises:
        RunError: fewer than 2 pictures with a text, or features that are not finite.
    """
    shown, first = np.unique(text_image, return_index=True)
    if len(shown) < 2:
        raise RunError(f"The split has {len(shown)} pictures with a text; the modality gap needs at least 2.")
    texts, pictures = _unit(sentences[first]), _unit(images[shown])
    vectors = np.concatenate([texts, pictures])
    if not np.isfinite(vectors).all():
        raise RunError("Embeddings are not all finite numbers. Check that training did not diverge (a loss of NaN).")
    share = np.random.default_rng(seed).permutation(len(shown)) % FOLDS
    return {
        "probe_accuracy": _cross_fitted(lambda: _network(seed), vectors, share),
        "linear_probe_accuracy": _cross_fitted(linear_probe, vectors, share),
        "centroid_distance": float(np.linalg.norm(texts.mean(axis=0) - pictures.mean(axis=0))),
    }


def _cross_fitted(classifier: Callable[[], Any], vectors: np.ndarray, share: np.ndarray) -> float:
    """Return the accuracy on vectors (2 B, D), texts first, of classifiers that did not see the judged share (B,)."""
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    modality, share = np.repeat([0, 1], len(share)), np.tile(share, 2)
    right = np.zeros(len(share), bool)
    # Products this small are several times slower when threads share them.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a fixed number of epochs is what is wanted
        for fold in np.unique(share):
            seen = share != fold
            centre = vectors[seen].mean(axis=0)
            fitted = classifier().fit(vectors[seen] - centre, modality[seen])
            right[~seen] = fitted.predict(vectors[~seen] - centre) == modality[~seen]
    return float(right.mean())


def linear_probe() -> Any:
    """Return the classifier, not fitted, that is asked along which direction modalities lie apart."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=30.0, max_iter=300)


def _network(seed: int) -> Any:
    """Return a network with one hidden layer over coordinates of about unit size, as its initial weights expect."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    network = MLPClassifier((64,), learning_rate_init=3e-3, max_iter=30, random_state=seed)
    return make_pipeline(FunctionTransformer(_coordinates_of_unit_size), network)


def _coordinates_of_unit_size(vectors: np.ndarray) -> np.ndarray:
    return vectors * np.sqrt(vectors.shape[1])


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
