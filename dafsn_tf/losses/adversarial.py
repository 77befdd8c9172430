"""The two sides of the modality game (ACMR, Wang et al., ACM MM 2017; gradient reversal, Ganin et al., JMLR 2016)."""

from typing import Any

from keras import ops


def discriminator_loss(image_logits: Any, text_logits: Any) -> Any:
    """Return the discriminator's binary cross-entropy: image = 1, text = 0; each modality weighs half."""
    return 0.5 * (ops.mean(ops.softplus(-image_logits)) + ops.mean(ops.softplus(text_logits)))


def adversarial_loss(image_logits: Any, text_logits: Any, kind: str = "flipped_labels", ramp: Any = 1.0) -> Any:
    """Return the encoders' loss against the discriminator.

    Args:
        image_logits: (B,) of image features.
        text_logits: (N,) of text features.
        kind: "flipped_labels": the discriminator's loss with labels exchanged (non-saturating); "uniform_targets":
            cross-entropy with 1/2 for both; "gradient_reversal": minus `ramp` times the discriminator's loss.
        ramp: strength of the reversed gradient, see `reversal_ramp`.
    """
    if kind == "flipped_labels":
        return discriminator_loss(text_logits, image_logits)
    if kind == "uniform_targets":
        return 0.5 * (discriminator_loss(image_logits, text_logits) + discriminator_loss(text_logits, image_logits))
    return -ramp * discriminator_loss(image_logits, text_logits)


def reversal_ramp(progress: Any) -> Any:
    """Return Ganin's 2 / (1 + exp(-10 p)) - 1 for training progress p in [0, 1]."""
    return 2.0 / (1.0 + ops.exp(-10.0 * progress)) - 1.0
