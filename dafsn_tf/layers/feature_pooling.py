"""A set of feature vectors to one: mean, max, or the learned weighting of ranks (GPO)."""

import math
from typing import Any

import keras
from keras import ops

POSITION_DIM = 32  # of a rank's encoding, as in GPO's code
TEMPERATURE = 0.1  # of the weights, as there
WEIGHTS_DIM = 32  # both directions of the recurrent network that turns ranks into weights


@keras.saving.register_keras_serializable("dafsn")
class FeaturePooling(keras.layers.Layer):
    """Pools the present members of a set, value by value.

    "gpo" is the generalized pooling operator (Chen et al., CVPR 2021, VSE-infinity): each dimension's values are sorted
    from large to small and summed with weights that a small recurrent network gives to the ranks; mean and max are
    special cases of it.

    Args:
        kind: "mean", "max" or "gpo".

    Input shape: features (N, K, D) and a mask (N, K), true or 1 where there is a member. Output shape: (N, D), zero for
    an empty set.
    """

    def __init__(self, kind: str = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.ranks: Any = None
        if kind == "gpo":
            recurrent = keras.layers.GRU(WEIGHTS_DIM // 2, return_sequences=True, dtype="float32")
            self.ranks = keras.layers.Bidirectional(recurrent, dtype="float32")
            self.weight = keras.layers.Dense(1, use_bias=False, dtype="float32")

    def build(self, input_shape: Any) -> None:
        del input_shape
        if self.ranks is not None:
            self.ranks.build((None, None, POSITION_DIM))
            self.weight.build((None, None, WEIGHTS_DIM))
        self.built = True

    def call(self, features: Any, mask: Any) -> Any:
        """Return one vector (N, D) a set of features (N, K, D) with mask (N, K)."""
        present = ops.cast(mask, features.dtype)[..., None]
        count = ops.sum(present, axis=1)
        if self.kind == "mean":
            return ops.sum(features * present, axis=1) / ops.maximum(count, 1.0)
        lowest = ops.cast(-1e4, features.dtype)
        only_present = ops.where(present > 0, features, lowest)
        if self.kind == "max":
            return ops.where(count > 0, ops.max(only_present, axis=1), 0.0)
        ordered = -ops.sort(-only_present, axis=1)
        ranked = ops.arange(ops.shape(features)[1])[None] < ops.cast(count, "int32")  # (N, K), absent ones come last
        weights = ops.cast(self._rank_weights(ranked), features.dtype)
        return ops.sum(ops.where(ranked[..., None], ordered, 0.0) * weights[..., None], axis=1)

    def _rank_weights(self, ranked: Any) -> Any:
        """Return the weight (N, K) of each rank of sets whose ranks (N, K) are taken; a set's weights sum to 1."""
        shape: Any = ops.shape(ranked)
        sets, ranks = shape
        frequencies = ops.exp(ops.arange(0, POSITION_DIM, 2, dtype="float32") * (-math.log(10000.0) / POSITION_DIM))
        angles = ops.arange(1, ranks + 1, dtype="float32")[:, None] * frequencies[None]
        encoded = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)  # (K, POSITION_DIM)
        states = self.ranks(ops.repeat(encoded[None], sets, axis=0), mask=ranked)
        logits = ops.squeeze(self.weight(states), axis=-1) / TEMPERATURE
        logits = ops.where(ranked, logits, -1e9)
        return ops.exp(logits - ops.logsumexp(logits, axis=-1, keepdims=True))  # Keras' softmax warns of sets of one

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}
