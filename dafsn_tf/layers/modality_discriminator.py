"""The second player: tells image features from text features (ACMR, Wang et al., ACM MM 2017)."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("dafsn")
class ModalityDiscriminator(keras.layers.Layer):
    """One logit a vector: large for images (1), small for texts (0).

    Vectors are L2-normalised first, so that their length cannot give the modality away; two hidden layers with
    LeakyReLU and dropout follow.

    Args:
        hidden_dim: width of both hidden layers.
        dropout: after each hidden layer, [0, 1).

    Input shape: (..., D). Output shape: (...,), float32.
    """

    def __init__(self, hidden_dim: int = 256, dropout: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        policy = self.dtype_policy
        self.hidden_layers = [keras.layers.Dense(hidden_dim, dtype=policy) for _ in range(2)]
        self.dropout_layers = [keras.layers.Dropout(dropout, dtype=policy) for _ in range(2)]
        self.logit = keras.layers.Dense(1, dtype=policy)

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        for layer in (*self.hidden_layers, self.logit):
            layer.build((None, width))
            width = self.hidden_dim
        self.built = True

    def call(self, features: Any, training: bool = False) -> Any:
        """Return the logit of each vector, image against text."""
        features = ops.cast(features, "float32")
        hidden = features / ops.sqrt(ops.maximum(ops.sum(ops.square(features), axis=-1, keepdims=True), 1e-12))
        for dense, dropout in zip(self.hidden_layers, self.dropout_layers, strict=True):
            hidden = dropout(ops.leaky_relu(dense(hidden), negative_slope=0.2), training=training)
        return ops.cast(ops.squeeze(self.logit(hidden), axis=-1), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "hidden_dim": self.hidden_dim, "dropout": self.dropout}
