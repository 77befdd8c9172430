"""Backbone features brought to one scale before they enter the model (DESIGN section 2)."""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import keras
import numpy as np
from keras import ops

_LEAST = 1e-8  # of what is above 0; half precision knows nothing as small


@keras.saving.register_keras_serializable("dafsn")
class FeatureStandardizer(keras.layers.Layer):
    """Square root, L2 norm, minus the training mean, over one training deviation.

    Backbone features are averages of ReLU outputs: without this all images' vectors point the same way. Mean (C,) and
    deviation (C,) are stored with the model as non-trainable weights; `adapt` sets them from the training split. Where
    the features of several layers stand side by side, each layer's are brought to that scale by themselves: mixed8's
    sum to five times mixed7's.

    Args:
        widths: channels of each layer, in order, summing to C; by default all are of one.

    Input and output shape: (..., C).
    """

    def __init__(self, widths: Sequence[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.widths = None if widths is None else tuple(widths)

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        self.mean = self.add_weight(shape=(channels,), initializer="zeros", trainable=False, name="mean")
        self.deviation = self.add_weight(shape=(channels,), initializer="ones", trainable=False, name="deviation")
        self.built = True

    def call(self, features: Any) -> Any:
        """Return standardised features (..., C), computed in float32; gradients are finite where features are 0."""
        features = ops.cast(features, "float32")
        features = ops.where(features > 0, ops.sqrt(ops.maximum(features, _LEAST)), 0.0)
        layers = [features[..., start:stop] for start, stop in pairwise(self._bounds(features.shape[-1]))]
        squares = [ops.sum(ops.square(layer), axis=-1, keepdims=True) for layer in layers]
        layers = [layer / ops.sqrt(ops.maximum(square, 1e-12)) for layer, square in zip(layers, squares, strict=True)]
        features = ops.concatenate(layers, axis=-1)
        features = (features - ops.cast(self.mean, "float32")) / ops.cast(self.deviation, "float32")
        return ops.cast(features, self.compute_dtype)

    def adapt(self, batches: Any) -> None:
        """Set mean and deviation from the training split, given as arrays (..., C)."""
        total, squares, count, bounds = 0.0, 0.0, 0, []
        for batch in batches:
            rows = np.sqrt(np.maximum(np.asarray(batch, "float64"), 0)).reshape(-1, batch.shape[-1])
            bounds = self._bounds(rows.shape[1])
            for start, stop in pairwise(bounds):
                rows[:, start:stop] /= np.maximum(np.linalg.norm(rows[:, start:stop], axis=-1, keepdims=True), 1e-6)
            total = total + rows.sum(axis=0)
            squares = squares + np.square(rows).sum(axis=0)
            count += len(rows)
        mean = np.asarray(total) / count
        variance = np.maximum(np.asarray(squares) / count - np.square(mean), 0.0)
        deviation = np.concatenate(
            [np.full(stop - start, np.sqrt(variance[start:stop].mean())) for start, stop in pairwise(bounds)]
        )
        if not self.built:
            self.build((None, mean.size))
        self.mean.assign(mean)
        self.deviation.assign(np.maximum(deviation, 1e-6))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "widths": self.widths}

    def _bounds(self, channels: int) -> list[int]:
        """Return where each layer's channels begin, and C."""
        return [0, *accumulate(self.widths or (channels,))]
