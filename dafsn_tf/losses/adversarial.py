"""The two sides of the modality game (ACMR, Wang et al., ACM MM 2017)."""

from typing import Any

from keras import ops


def discriminator_loss(image_logits: Any, text_logits: Any, weights: Any = None) -> Any:
    """Return the discriminator's binary cross-entropy: image = 1, text = 0; each modality weighs half.

    Args:
        image_logits: (B,) of image vectors.
        text_logits: (N,) of text vectors.
        weights: (B,) shares of the vectors in their modality's mean, summing to 1, where N = B; None: all are equal.
    """
    images, texts = ops.softplus(-image_logits), ops.softplus(text_logits)
    if weights is None:
        return 0.5 * (ops.mean(images) + ops.mean(texts))
    return 0.5 * ops.sum(weights * (images + texts))


def adversarial_loss(
    image_logits: Any, text_logits: Any, weights: Any = None, kind: str = "flipped_labels", ramp: Any = 1.0
) -> Any:
    """Return the encoders' loss against the discriminator.

    Args:
        image_logits: (B,) of image vectors.
        text_logits: (N,) of text vectors.
        weights: as in `discriminator_loss`.
        kind: "flipped_labels": the discriminator's loss with labels exchanged (non-saturating; Goodfellow et al., NIPS
            2014); "uniform_targets": cross-entropy with 1/2 for both (domain confusion; Tzeng et al., ICCV 2015);
            "gradient_reversal": minus `ramp` times the discriminator's loss (Ganin et al., JMLR 2016).
        ramp: strength of the reversed gradient, see `reversal_ramp`.
    """
    if kind == "flipped_labels":
        return discriminator_loss(text_logits, image_logits, weights)
    right = discriminator_loss(image_logits, text_logits, weights)
    if kind == "uniform_targets":
        return 0.5 * (right + discriminator_loss(text_logits, image_logits, weights))
    return -ramp * right


def reversal_ramp(progress: Any) -> Any:
    """Return Ganin's 2 / (1 + exp(-10 p)) - 1 for training progress p in [0, 1]."""
    return 2.0 / (1.0 + ops.exp(-10.0 * progress)) - 1.0
