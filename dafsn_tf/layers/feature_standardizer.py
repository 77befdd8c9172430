"""Backbone features brought to one scale before they enter the model (DESIGN section 2)."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("dafsn")
class FeatureStandardizer(keras.layers.Layer):
    """Square root, L2 norm, minus the training mean, over one training deviation.

    Backbone features are averages of ReLU outputs: without this all images' vectors point the same way. Mean (C,) and
    deviation () are stored with the model as non-trainable weights; `adapt` sets them from the training split.

    Input and output shape: (..., C).
    """

    def build(self, input_shape: Any) -> None:
        self.mean = self.add_weight(shape=(input_shape[-1],), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(), initializer="ones", trainable=False, name="deviation")
        self.built = True

    def call(self, features: Any) -> Any:
        """Return standardised features (..., C), computed in float32."""
        features = ops.sqrt(ops.maximum(ops.cast(features, "float32"), 0.0))
        features = features / ops.maximum(ops.norm(features, axis=-1, keepdims=True), 1e-6)
        features = (features - ops.cast(self.mean, "float32")) / ops.cast(self.deviation, "float32")
        return ops.cast(features, self.compute_dtype)

    def adapt(self, batches: Any) -> None:
        """Set mean and deviation from the training split, given as arrays (..., C)."""
        total, squares, count = 0.0, 0.0, 0
        for batch in batches:
            rows = np.sqrt(np.maximum(np.asarray(batch, "float64"), 0)).reshape(-1, batch.shape[-1])
            rows /= np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-6)
            total = total + rows.sum(axis=0)
            squares += np.square(rows).sum()
            count += len(rows)
        mean = np.asarray(total) / count
        variance = squares / (count * mean.size) - np.square(mean).mean()
        if not self.built:
            self.build((None, mean.size))
        self.mean.assign(mean)
        self.deviation.assign(max(float(np.sqrt(max(variance, 0.0))), 1e-6))
