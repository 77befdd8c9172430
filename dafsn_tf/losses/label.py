"""The semantic constraint: one linear classifier for both modalities (ACMR)."""

from typing import Any

from keras import ops


def label_loss(logits: Any, labels: Any) -> Any:
    """Return the cross-entropy of class logits (B, C), averaged over the labelled rows; 0 where none is.

    Args:
        logits: (B, C).
        labels: (B, C) multi-hot; several classes share the target evenly, an all-zero row has no label.
    """
    labels = ops.cast(labels, "float32")
    counts = ops.sum(labels, axis=-1, keepdims=True)
    labelled = ops.cast(counts[:, 0] > 0, "float32")
    targets = labels / ops.maximum(counts, 1.0)
    losses = -ops.sum(targets * ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=-1)
    return ops.sum(losses * labelled) / ops.maximum(ops.sum(labelled), 1.0)
