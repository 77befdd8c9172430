"""Texts and pictures in canonical directions, beside what encoders learned; `models.canonical_branch` fits them."""

from typing import Any

import keras
from keras import ops

from dafsn_tf.layers.unit_vectors import unit_vectors

FITTED_WEIGHTS = ("rows", "idf", "text_bias", "image_map", "image_bias")  # all but the share


@keras.saving.register_keras_serializable("dafsn")
class CanonicalProjections(keras.layers.Layer):
    """Linear projections of bags of words and of global image vectors, no part of which is trained by gradients.

    They hold zeros, and have no share, until they are fitted.

    Args:
        vocabulary_size: ids in all, padding (0) and out-of-vocabulary ids included.
        dim: L, canonical directions kept.
        channels: C', width of the global image vectors.

    Weights: `rows` (V, L), what a word adds to a text; `idf` (V,), the weight of a word by which texts' lengths are
    reckoned; `text_bias` (L,); `image_map` (C', L); `image_bias` (L,); `share` in [0, 1), of the canonical cosine.
    """

    def __init__(self, vocabulary_size: int, dim: int, channels: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.vocabulary_size, self.dim, self.channels = vocabulary_size, dim, channels

    def build(self, input_shape: Any = None) -> None:
        del input_shape
        shapes = {
            "rows": (self.vocabulary_size, self.dim),
            "idf": (self.vocabulary_size,),
            "text_bias": (self.dim,),
            "image_map": (self.channels, self.dim),
            "image_bias": (self.dim,),
            "share": (),
        }
        for name, shape in shapes.items():
            weight = self.add_weight(shape=shape, initializer="zeros", trainable=False, autocast=False, name=name)
            setattr(self, name, weight)
        self.built = True

    def texts(self, word_ids: Any) -> Any:
        """Return the projections (N, L) of word ids (N, T): the sum of their rows over the length of their weights.

        A text without a word of weight has zeros.
        """
        length = ops.sqrt(ops.sum(ops.square(ops.take(self.idf, word_ids, axis=0)), axis=1, keepdims=True))
        rows = ops.sum(ops.take(self.rows, word_ids, axis=0), axis=1)
        return ops.where(length > 0, rows / ops.maximum(length, 1e-6) + self.text_bias, 0.0)

    def images(self, vectors: Any) -> Any:
        """Return the projections (B, L) of standardised global vectors (B, C')."""
        return ops.matmul(ops.cast(vectors, "float32"), self.image_map) + self.image_bias

    def join(self, features: Any, projections: Any) -> Any:
        """Return both (n, D + L), at unit length unless one is zero: their product is both cosines, by their shares.

        Args:
            features: (n, D), what the encoders learned.
            projections: (n, L), of the same texts or images.
        """
        learned = ops.sqrt(1 - self.share) * ops.cast(unit_vectors(features), "float32")
        return ops.concatenate([learned, ops.sqrt(self.share) * unit_vectors(projections)], axis=-1)

    def call(self, word_ids: Any, vectors: Any) -> tuple[Any, Any]:
        """Return the projections of word ids (N, T) and of global vectors (B, C')."""
        return self.texts(word_ids), self.images(vectors)

    def get_config(self) -> dict[str, Any]:
        sizes = {"vocabulary_size": self.vocabulary_size, "dim": self.dim, "channels": self.channels}
        return {**super().get_config(), **sizes}
