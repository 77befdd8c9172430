"""The hinge over a batch's negatives (VSE++, Faghri et al., BMVC 2018, Eq 5-6; SCAN, Lee et al., ECCV 2018, Eq 12)."""

from typing import Any

from keras import ops


def hinge_loss(scores: Any, margin: float, hardest: Any) -> Any:
    """Return the hinge of each text over the other images plus that of each image over the other texts, summed.

    Args:
        scores: (B, B) of text i (row) with image j (column); pairs stand on the diagonal.
        margin: by which a pair must beat a negative.
        hardest: whether only the hardest negative of each counts (VSE++) or all of them do (the warm-up).
    """
    others = 1.0 - ops.eye(ops.shape(scores)[0])
    paired = ops.diagonal(scores)
    wrong_images = ops.relu(margin + scores - paired[:, None]) * others
    wrong_texts = ops.relu(margin + scores - paired[None, :]) * others
    of_hardest = ops.sum(ops.max(wrong_images, axis=1)) + ops.sum(ops.max(wrong_texts, axis=0))
    return ops.where(hardest, of_hardest, ops.sum(wrong_images) + ops.sum(wrong_texts))
