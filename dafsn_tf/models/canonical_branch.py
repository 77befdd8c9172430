"""Canonical directions of bags of words and global image vectors, fitted in closed form on a training split.

Where a collection is small, a ridge that is solved for forgets less of what words and pictures mean than steps of
gradients do; the two err differently, and their sum finds more than either (a linear and a deep part side by side:
Cheng et al., Wide & Deep Learning for Recommender Systems, DLRS 2016).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy import sparse

from dafsn_tf.models.canonical_correlation import Reduction, Whitening, canonical_directions

_COMPONENTS = 1024  # principal components kept of each side, at most
_SEED = 0  # of the solvers


class CanonicalFit:
    """What canonical directions of a training split have in common, whatever their ridge.

    A text is the sum of its words' tf-idf weights and of their word vectors under these, over the weights' length
    (`CanonicalProjections.texts`); words that no training text has count by their vectors alone.

    Args:
        word_ids: (N, T) of all training texts, 0 pads.
        text_image: (N,) image of each text.
        images: (B, V, C') standardised global vectors of the images' variants.
        vectors: (ids, d) word vectors by id; zero for ids that have none.
        first_word: the first id that stands for one word.
    """

    def __init__(
        self, word_ids: np.ndarray, text_image: np.ndarray, images: np.ndarray, vectors: np.ndarray, first_word: int
    ) -> None:
        self.text_image, self.images = text_image, images
        self._counts = counts = _counts(word_ids, len(vectors), first_word)
        texts_with = np.asarray((counts > 0).sum(axis=0)).ravel()
        self.idf = (np.log((1 + len(word_ids)) / (1 + texts_with)) + 1).astype(np.float32)
        norms = np.linalg.norm(vectors, axis=1)
        self.idf[:first_word] = 0
        self.idf[(texts_with == 0) & (norms == 0)] = 0
        seen = norms[(texts_with > 0) & (norms > 0)]
        self._vectors = vectors / (seen.mean() if len(seen) else 1.0)
        self._used = np.flatnonzero(texts_with)
        bags = sparse.diags(1 / self._lengths(self.idf).clip(1e-6)) @ counts @ sparse.diags(self.idf.astype(np.float64))
        rows = sparse.hstack([bags[:, self._used], sparse.csr_matrix(bags @ self._vectors)], format="csr")
        self._reduction = Reduction(rows, _COMPONENTS, _SEED)
        self._reduced = self._reduction(rows)
        self._texts = Whitening(self._reduced, _COMPONENTS, 0.0, _SEED)
        self._pictures = Whitening(self._rows_of_images, min(_COMPONENTS, max(len(images) - 1, 1)), 0.0, _SEED)

    @property
    def _rows_of_images(self) -> np.ndarray:
        return self.images.reshape(-1, self.images.shape[-1])

    def weights(self, ridge: float, dim: int) -> dict[str, np.ndarray]:
        """Return the weights of a `CanonicalProjections`, but its share; directions that are not there are zeros.

        Args:
            ridge: added to the variances of the components of both sides, in parts of their mean; positive.
            dim: L.
        """
        images, variants, channels = self.images.shape
        whiten_texts, whiten_images = self._texts.with_ridge(ridge), self._pictures.with_ridge(ridge)
        white_images = whiten_images(self._rows_of_images).reshape(images, variants, -1)
        found = canonical_directions(whiten_texts(self._reduced), white_images, self.text_image)
        weighted = found.correlations[:dim]

        def text_side(rows: Any) -> np.ndarray:
            return (whiten_texts(self._reduction(rows)) - found.text_mean) @ (found.texts[:, :dim] * weighted)

        def image_side(rows: np.ndarray) -> np.ndarray:
            return (whiten_images(rows) - found.image_mean) @ (found.images[:, :dim] * weighted)

        map_, text_bias = _affine(text_side, sparse.identity(len(self._used) + self._vectors.shape[1], format="csr"))
        image_map, image_bias = _affine(image_side, np.eye(channels))
        words = self._vectors @ map_[len(self._used) :]
        words[self._used] += map_[: len(self._used)]
        sides = {
            "rows": words * self.idf[:, None],
            "text_bias": text_bias,
            "image_map": image_map,
            "image_bias": image_bias,
        }
        padded = {
            name: np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, dim - values.shape[-1])])
            for name, values in sides.items()
        }
        return {name: values.astype(np.float32) for name, values in {**padded, "idf": self.idf}.items()}

    def side_by_side(self, own: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return weights of the first directions of two fits, half of each where there are as many.

        Both have equal say on the training split; elsewhere `own` has less, whose directions were fitted to it.

        Args:
            own: of `weights`.
            other: of another fit, for the same words, channels and number of directions. Words that `own` does not
                know weigh as much as there.
        """
        dim = own["text_bias"].shape[-1]
        brought = min(dim // 2, int(np.count_nonzero(np.any(other["image_map"], axis=0))))
        lengths, others = (self._lengths(weights["idf"]) for weights in (own, other))
        both = (lengths > 0) & (others > 0)
        ratio = float(np.mean(lengths[both] / others[both])) if both.any() else 1.0
        idf = np.where(own["idf"] > 0, own["idf"], ratio * other["idf"])
        lengths = self._lengths(idf).clip(1e-6)[:, None]
        halves = []
        for weights, scale, kept in ((own, 1.0, dim - brought), (other, ratio, brought)):
            half = {name: weights[name][..., :kept] for name in ("rows", "text_bias", "image_map", "image_bias")}
            half["rows"] = scale * half["rows"]
            texts = self._counts @ half["rows"] / lengths + half["text_bias"]
            images = self._rows_of_images @ half["image_map"] + half["image_bias"]
            of_texts, of_images = (max(float(np.sqrt(np.mean(np.sum(x**2, axis=1)))), 1e-6) for x in (texts, images))
            sizes = {"rows": of_texts, "text_bias": of_texts, "image_map": of_images, "image_bias": of_images}
            halves.append({name: values / sizes[name] for name, values in half.items()})
        joined = {name: np.concatenate([half[name] for half in halves], axis=-1) for name in halves[0]}
        return {name: values.astype(np.float32) for name, values in {**joined, "idf": idf}.items()}

    def _lengths(self, idf: np.ndarray) -> np.ndarray:
        """Return the lengths (N,) of the training texts' weights."""
        return np.sqrt(np.asarray(self._counts @ np.square(idf, dtype=np.float64)))


def _counts(word_ids: np.ndarray, ids: int, first_word: int) -> Any:
    """Return how often each text has each word, sparse (N, ids)."""
    texts, places = np.nonzero(word_ids >= first_word)
    entries = np.ones(len(texts)), (texts, word_ids[texts, places])
    return sparse.csr_matrix(entries, shape=(len(word_ids), ids))


def _affine(function: Callable[[Any], np.ndarray], basis: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the map (W, L) and the bias (L,) of an affine function of rows (n, W); `basis` is their identity."""
    (bias,) = function(basis[:1] * 0)
    return function(basis) - bias, bias
