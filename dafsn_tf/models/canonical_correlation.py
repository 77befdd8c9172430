"""Canonical correlation analysis (Hotelling 1936), regularised, of texts and pictures.

Both sides are whitened within their leading principal components, with a ridge on the variances (Vinod, Canonical Ridge
and Econometrics of Joint Production, 1976); the singular vectors of the whitened views' cross-covariance are then the
canonical directions.
"""

import copy
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA, TruncatedSVD

_NOTHING = 1e-6  # share of the first principal component's variance below which one holds rounding errors


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
        self._kept = variances[variances > _NOTHING * variances[0]] if variances[0] > 0 else variances[:1]
        self._ridge = ridge

    def with_ridge(self, ridge: float) -> "Whitening":
        """Return the same components with another ridge."""
        other = copy.copy(self)
        other._ridge = ridge
        return other

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the whitened rows."""
        variances = self._kept + self._ridge * self._kept.mean()
        scales = 1 / np.sqrt(np.maximum(variances, np.finfo(variances.dtype).tiny))
        return self._pca.transform(rows)[:, : len(scales)] * scales


class Directions(NamedTuple):
    """Where views are to be projected, one column a direction, once their means are subtracted."""

    texts: np.ndarray  # (T, C)
    images: np.ndarray  # (I, C)
    correlations: np.ndarray  # (C,), at least 0; the smaller the more the ridge weighs
    text_mean: np.ndarray  # (T,)
    image_mean: np.ndarray  # (I,), over all pairs


def canonical_directions(white_texts: np.ndarray, white_images: np.ndarray, text_image: np.ndarray) -> Directions:
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
