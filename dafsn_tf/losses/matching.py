"""Pair matching within a batch (AttnGAN's DAMSM, Eq 11-12), with a choice of positives."""

from typing import Any

from keras import ops


def matching_loss(scores: Any, same_item: Any, same_class: Any, gamma3: float = 10.0, positives: str = "pairs") -> Any:
    """Return the mean cross-entropy of each text over the images plus that of each image over the texts.

    Text i belongs to image i. Other texts of the same image are never negatives.

    Args:
        scores: (B, B) relevance of text i (row) to image j (column).
        same_item: (B, B) bool, text i is a text of image j; true on the diagonal.
        same_class: (B, B) bool, text i and image j share a class.
        gamma3: sharpness.
        positives: "pairs": same-class items are negatives; "mask_same_class": they are left out (to -inf after
            scaling, DAMSM); "same_class": they are further positives, targets spread evenly.
    """
    pair = ops.eye(ops.shape(scores)[0], dtype="bool")
    same_item = ops.logical_or(same_item, pair)
    if positives == "same_class":
        targets = ops.cast(ops.logical_or(same_class, same_item), "float32")
        left_out = ops.zeros_like(pair)
    else:
        targets = ops.cast(pair, "float32")
        alike = ops.logical_or(same_class, same_item) if positives == "mask_same_class" else same_item
        left_out = ops.logical_and(alike, ops.logical_not(pair))
    logits = ops.where(left_out, -1e9, gamma3 * ops.cast(scores, "float32"))
    return _cross_entropy(logits, targets) + _cross_entropy(ops.transpose(logits), ops.transpose(targets))


def _cross_entropy(logits: Any, targets: Any) -> Any:
    targets = targets / ops.sum(targets, axis=-1, keepdims=True)
    return -ops.mean(ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1))
