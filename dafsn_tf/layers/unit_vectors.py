"""Vectors at unit length, whose products are cosines."""

from typing import Any

from keras import ops


def unit_vectors(features: Any) -> Any:
    """Return features (..., D) at unit length, in float32; a zero vector stays zero."""
    features = ops.cast(features, "float32")
    return features / ops.sqrt(ops.maximum(ops.sum(ops.square(features), axis=-1, keepdims=True), 1e-12))
