"""What the discriminator is shown, and how hard each side of the game pulls at it."""

from typing import Any

from keras import ops

SEEN = {  # features that the discriminator sees, by `discriminator.inputs`
    "global": ("sentence_features", "image_features"),
    "local": ("word_features", "region_features"),
    "both": ("sentence_features", "image_features", "word_features", "region_features"),
}
GRADIENTS = ("adversarial_gradient", "retrieval_gradient")  # norms, of the losses as they are weighted


def shown_vectors(features: dict[str, Any], inputs: str, attention: Any) -> tuple[Any, Any, Any]:
    """Return the image vectors (M, D) and text vectors (M, D) that are to be told apart, and their weights.

    "global" shows the image features of B pairs against their sentence features. "local" shows, as text, the words of
    each text, and as image what each word attends to in the text's own image (Eq 9); padding has the weight 0. "both"
    shows both, each of which weighs half. ACMR plays on global vectors; that words may play against attended regions
    is this package's own addition, for which no published form is known to us.

    Args:
        features: of B pairs, as `DAFSN.call` returns them.
        inputs: "global", "local" or "both".
        attention: `WordRegionAttention`.

    Returns:
        Vectors in float32; weights (M,) that sum to 1, or None where all are equal.
    """
    images, texts, weights = [], [], []
    if inputs in ("global", "both"):
        images.append(ops.cast(features["image_features"], "float32"))
        texts.append(ops.cast(features["sentence_features"], "float32"))
        weights.append(ops.ones_like(texts[0][:, 0]))
    if inputs in ("local", "both"):
        words, mask = ops.cast(features["word_features"], "float32"), features["word_mask"]
        contexts = attention.attended_regions(words, mask, features["region_features"])
        dim = words.shape[-1]
        images.append(ops.reshape(contexts, (-1, dim)))
        texts.append(ops.reshape(words, (-1, dim)))
        weights.append(ops.reshape(ops.cast(mask, "float32"), (-1,)))
    vectors = ops.concatenate(images, axis=0), ops.concatenate(texts, axis=0)
    if inputs == "global":
        return *vectors, None
    shares = [level / ops.maximum(ops.sum(level), 1.0) / len(weights) for level in weights]
    return *vectors, ops.concatenate(shares, axis=0)


def gradient_norms(adversarial: list[Any], everything: list[Any]) -> dict[str, Any]:
    """Return the norms of the adversary's gradients and of what the other losses add to them, by `GRADIENTS`' names.

    Args:
        adversarial: gradients of the weighted adversarial loss with respect to some features; None where it does not
            depend on them.
        everything: gradients of the whole loss with respect to the same features.
    """
    everything = [ops.cast(gradient, "float32") for gradient in everything]
    adversarial = [
        ops.zeros_like(whole) if part is None else ops.cast(part, "float32")
        for part, whole in zip(adversarial, everything, strict=True)
    ]
    others = [whole - part for part, whole in zip(adversarial, everything, strict=True)]
    norms = [ops.norm(ops.concatenate([ops.ravel(part) for part in parts])) for parts in (adversarial, others)]
    return dict(zip(GRADIENTS, norms, strict=True))
