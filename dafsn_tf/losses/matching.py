"""Pair matching within a batch, with a choice of positives.

Cross-entropy over rows and columns (AttnGAN's DAMSM, Xu et al., CVPR 2018, Eq 11-12), or the hinge of VSE++ on the
hardest negative (Faghri et al., BMVC 2018, Eq 5-6).
"""

from typing import Any

from keras import ops


def matching_loss(scores: Any, same_item: Any, same_class: Any, gamma3: Any = 10.0, positives: str = "pairs") -> Any:
    """Return the mean cross-entropy of each text over the images plus that of each image over the texts.

    Text i belongs to image i. Other texts of the same image are never negatives.

    Args:
        scores: (B, B) relevance of text i (row) to image j (column).
        same_item: (B, B) bool, text i is a text of image j; true on the diagonal.
        same_class: (B, B) bool, text i and image j share a class.
        gamma3: sharpness.
        positives: "pairs": same-class items are negatives; "mask_same_class": they are left out (to -inf after
            scaling, DAMSM); "same_class": they are further positives, targets spread evenly (Khosla et al., Supervised
            Contrastive Learning, NeurIPS 2020).
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


def hinge_loss(
    scores: Any, same_item: Any, same_class: Any, margin: float = 0.2, positives: str = "pairs", hardest: Any = True
) -> Any:
    """Return the mean over texts of [margin + s(t, v') - s(t, v)]+ at the hardest image v', plus that over images.

    Args:
        scores: (B, B) relevance of text i (row) to image j (column).
        same_item: (B, B) bool, as in `matching_loss`; never negatives.
        same_class: (B, B) bool, as in `matching_loss`.
        margin: by which a pair must be ahead.
        positives: "pairs": same-class items are negatives; "mask_same_class" or "same_class": they are not.
        hardest: bool, false takes the mean over all negatives instead, with which training begins: from random
            features the hardest negatives alone draw all vectors to one point.
    """
    scores = ops.cast(scores, "float32")
    pair = ops.eye(ops.shape(scores)[0], dtype="bool")
    alike = ops.logical_or(pair, same_item)
    if positives != "pairs":
        alike = ops.logical_or(alike, same_class)
    own = ops.diagonal(scores)
    negatives = ops.cast(ops.logical_not(alike), "float32")
    total = ops.convert_to_tensor(0.0)
    for ahead, axis in ((scores - own[:, None], 1), (scores - own[None, :], 0)):
        costs = ops.maximum(margin + ahead, 0.0) * negatives
        average = ops.sum(costs, axis=axis) / ops.maximum(ops.sum(negatives, axis=axis), 1.0)
        total = total + ops.mean(ops.where(hardest, ops.max(costs, axis=axis), average))
    return total
