"""A model whose kernels are kept in half precision."""

from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf


class HalfPrecision(tf.Module):
    """Stands in for a `DAFSN` that only encodes: kernels and embeddings in float16, computed with in float32.

    Biases and statistics of normalisation stay as they are: they are few, and variances leave the range of float16.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(name="half_precision")
        self._encode_texts, self._encode_images = model.encode_texts, model.encode_images
        self._class_logits, self._embed_words = model.class_logits, model.embed_words
        self.words_know_their_text = model.words_know_their_text
        self.config = model.config
        self.attention = model.attention
        self.image_encoder = model.image_encoder
        wide = [variable for variable in model.variables if variable.dtype == "float32" and len(variable.shape) > 1]
        self._halves = [
            (variable, tf.Variable(tf.cast(variable.value, tf.float16), trainable=False)) for variable in wide
        ]

    def encode_texts(self, word_ids: Any, training: bool = False) -> dict[str, Any]:
        """Return what `DAFSN.encode_texts` does."""
        with self._widened():
            return self._encode_texts(word_ids, training=training)

    def encode_images(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Return what `DAFSN.encode_images` does."""
        with self._widened():
            return self._encode_images(images, training=training)

    def embed_words(self, word_ids: Any) -> Any:
        """Return what `DAFSN.embed_words` does."""
        with self._widened():
            return self._embed_words(word_ids)

    def class_logits(self, features: Any) -> Any:
        """Return what `DAFSN.class_logits` does."""
        with self._widened():
            return self._class_logits(features)

    def _widened(self) -> AbstractContextManager:
        return keras.StatelessScope([(variable, tf.cast(half, tf.float32)) for variable, half in self._halves])
