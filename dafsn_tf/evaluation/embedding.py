"""Every text and image of a split in the aligned space."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from dafsn_tf.data.features import FrozenFeatures
from dafsn_tf.data.pipeline import ImageInputs, image_batches, trim_padding
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.evaluation.protocols import Collection

BATCH = 256


@dataclass(frozen=True)
class Embeddings:
    """Features of a split, N texts and B images.

    Attributes:
        sentences: (N, D). words: (N, T, D). word_mask: (N, T). word_offsets: (N, T, 2) byte ranges.
        images: (B, D). regions: (B, R, D).
        collection: which text belongs to which image, labels, documents.
    """

    sentences: np.ndarray
    words: np.ndarray
    word_mask: np.ndarray
    word_offsets: np.ndarray
    images: np.ndarray
    regions: np.ndarray
    collection: Collection


def embed_split(
    model: Any,
    text_preprocessor: Any,
    records: RecordSplit,
    inputs: ImageInputs = None,
    texts_per_image: int = 0,
) -> Embeddings:
    """Return the embeddings of a split.

    Args:
        model: `DAFSN`.
        text_preprocessor: tokeniser and vocabulary of its run.
        records: the split.
        inputs: the split's frozen backbone features or decoded images; None decodes.
        texts_per_image: only the first texts of each image; 0 takes all.
    """
    chosen = [texts[:texts_per_image] if texts_per_image else texts for texts in records.texts]
    text_image = np.repeat(np.arange(len(chosen)), [len(texts) for texts in chosen])
    labels = records.labels if records.labels.size and records.labels.any() else None
    return Embeddings(
        **embed_texts(model, text_preprocessor, [text for texts in chosen for text in texts]),
        **_embed_images(model, records, inputs),
        collection=Collection(text_image=text_image, labels=labels, documents=records.manifest.documents),
    )


def embed_texts(model: Any, text_preprocessor: Any, texts: list[str]) -> dict[str, np.ndarray]:
    """Return `sentences` (N, D), `words` (N, T, D), `word_mask` (N, T) and `word_offsets` (N, T, 2) of texts."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def encode(word_ids: Any) -> Any:
        return model.encode_texts(word_ids, training=False)

    tokens = [text_preprocessor(tf.constant(texts[start : start + BATCH])) for start in range(0, len(texts), BATCH)]
    word_ids = trim_padding(tf.concat([part["word_ids"] for part in tokens], axis=0))
    offsets = tf.concat([part["word_offsets"] for part in tokens], axis=0)[:, : word_ids.shape[1]]
    encoded = [encode(word_ids[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    return {
        "sentences": _joined(encoded, "sentence_features"),
        "words": _joined(encoded, "word_features"),
        "word_mask": _joined(encoded, "word_mask"),
        "word_offsets": offsets.numpy(),
    }


def _embed_images(model: Any, records: RecordSplit, inputs: ImageInputs) -> dict[str, np.ndarray]:
    @tf.function(reduce_retracing=True)
    def encode(images: Any) -> Any:
        return model.encode_images(images, training=False)

    if isinstance(inputs, FrozenFeatures):
        batches: Any = (
            {"regions": tf.cast(regions, tf.float32), "global": tf.cast(whole, tf.float32)}
            for regions, whole in inputs.batches(BATCH)
        )
    elif inputs is not None:
        batches = map(tf.constant, inputs.batches())
    else:
        batches = image_batches(records, np.arange(len(records)), model.config.image.image_size, 64)
    encoded = [encode(images) for images in batches]
    return {"images": _joined(encoded, "image_features"), "regions": _joined(encoded, "region_features")}


def _joined(parts: list[dict[str, Any]], name: str) -> np.ndarray:
    arrays = [part[name].numpy() for part in parts]
    return np.concatenate([array if array.dtype == bool else array.astype("float32") for array in arrays])


def relevance_function(model: Any) -> Any:
    """Return a compiled function of word features, word mask and region features to all pairs' word scores (n, b)."""

    @tf.function(reduce_retracing=True)
    def relevance(words: Any, mask: Any, regions: Any) -> Any:
        return model.attention(words, mask, regions)

    return lambda words, mask, regions: relevance(tf.constant(words), tf.constant(mask), tf.constant(regions)).numpy()
