"""Every text and image of a split in the aligned space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from dafsn_tf.config import EvaluationConfig
from dafsn_tf.data.decoding import image_batches
from dafsn_tf.data.features import FrozenFeatures
from dafsn_tf.data.pipeline import ImageInputs, trim_padding
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.evaluation.protocols import Collection
from dafsn_tf.progress import Progress, Write, progress_lines

BATCH = 256
_SAMPLE_SEED = 0  # of the validation images that choices are made by


@dataclass(frozen=True)
class Embeddings:
    """Features of a split, N texts and B images.

    Attributes:
        sentences: (N, F), F the model's `feature_dim`.
        words: (N, T, D). word_mask: (N, T). word_offsets: (N, T, 2) byte ranges.
        images: (B, F). regions: (B, R, D).
        collection: which text belongs to which image, labels, documents.
    """

    sentences: np.ndarray
    words: np.ndarray
    word_mask: np.ndarray
    word_offsets: np.ndarray
    images: np.ndarray
    regions: np.ndarray
    collection: Collection

    def learned(self, dim: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what encoders of width D = `dim` learned of texts (N, D) and images (B, D).

        What is fitted when training has ended stands behind, and some of it tells the modalities apart by design.
        """
        return self.sentences[:, :dim], self.images[:, :dim]


class Embedder:
    """Embeds texts and images with a model; its functions are compiled once, for as long as it lives.

    Args:
        model: `DAFSN`.
        text_preprocessor: tokeniser and vocabulary of its run.
    """

    def __init__(self, model: Any, text_preprocessor: Any) -> None:
        self.model = model
        self.text_preprocessor = text_preprocessor
        ids = tf.TensorSpec([None, None], tf.int32)
        self._encode_texts = tf.function(lambda word_ids: model.encode_texts(word_ids), input_signature=[ids])
        self._encode_images = tf.function(lambda images: model.encode_images(images), reduce_retracing=True)
        dim, regions = model.config.model.dim, len(model.image_encoder.region_centres)
        self._relevance = tf.function(
            lambda *features: model.attention(*features),
            input_signature=[
                tf.TensorSpec([None, None, dim], tf.float32),
                tf.TensorSpec([None, None], tf.bool),
                tf.TensorSpec([None, regions, dim], tf.float32),
            ],
        )

    def relevance(self, words: np.ndarray, mask: np.ndarray, regions: np.ndarray) -> np.ndarray:
        """Return the word scores (n, b) of all pairs of word features, their mask, and region features."""
        return self._relevance(tf.constant(words), tf.constant(mask), tf.constant(regions)).numpy()

    def class_logits(self, features: np.ndarray) -> np.ndarray:
        """Return the label classifier's logits (n, C) of sentence or image features (n, D)."""
        return self.model.class_logits(tf.constant(features)).numpy().astype("float32")

    def embed_split(
        self,
        records: RecordSplit,
        inputs: ImageInputs = None,
        texts_per_image: int = 0,
        words: bool = True,
        half_regions: bool = False,
        write: Write | None = None,
    ) -> Embeddings:
        """Return the embeddings of a split.

        Args:
            records: the split.
            inputs: its frozen backbone features or decoded images; None decodes.
            texts_per_image: only the first texts of each image; 0 takes all.
            words: whether to keep the words' features, by far the largest part of texts; without, they are (N, T, 0).
            half_regions: whether region features, by far the largest part of images, are float16.
            write: receives progress, a line at a time.
        """
        texts_done, images_done = (
            progress_lines(f"{unit} of {records.split} embedded", unit, write) if write else None
            for unit in ("texts", "images")
        )
        chosen = [texts[:texts_per_image] if texts_per_image else texts for texts in records.texts]
        labels = records.labels if records.labels.size and records.labels.any() else None
        return Embeddings(
            **self.embed_texts([text for texts in chosen for text in texts], words, texts_done),
            **self._embed_images(records, inputs, half_regions, images_done),
            collection=Collection(
                text_image=np.repeat(np.arange(len(chosen)), [len(texts) for texts in chosen]),
                labels=labels,
                documents=records.manifest.documents,
            ),
        )

    def embed_texts(
        self, texts: list[str], words: bool = True, progress: Progress | None = None
    ) -> dict[str, np.ndarray]:
        """Return `sentences` (N, D), `words` (N, T, D), `word_mask` (N, T) and `word_offsets` (N, T, 2) of texts.

        Without `words` those are (N, T, 0). `progress` is called after each batch.
        """
        parts = [
            self.text_preprocessor(tf.constant(texts[start : start + BATCH])) for start in range(0, len(texts), BATCH)
        ]
        word_ids = trim_padding(tf.concat([part["word_ids"] for part in parts], axis=0))
        offsets = tf.concat([part["word_offsets"] for part in parts], axis=0)[:, : word_ids.shape[1]].numpy()
        length, width = offsets.shape[1], self.model.config.model.dim if words else 0
        sentences = np.empty((len(texts), self.model.feature_dim), np.float32)
        features, mask = np.empty((len(texts), length, width), np.float32), np.empty((len(texts), length), bool)
        for start in range(0, len(texts), BATCH):
            encoded, rows = self._encode_texts(word_ids[start : start + BATCH]), slice(start, start + BATCH)
            sentences[rows] = encoded["sentence_features"].numpy()
            features[rows] = encoded["word_features"][..., :width].numpy()
            mask[rows] = encoded["word_mask"].numpy()
            if progress:
                progress(min(start + BATCH, len(texts)), len(texts))
        return {"sentences": sentences, "words": features, "word_mask": mask, "word_offsets": offsets}

    def _embed_images(
        self, records: RecordSplit, inputs: ImageInputs, half_regions: bool, progress: Progress | None
    ) -> dict[str, np.ndarray]:
        if isinstance(inputs, FrozenFeatures):
            batches: Any = (
                {"regions": tf.cast(regions, tf.float32), "global": tf.cast(whole, tf.float32)}
                for regions, whole in inputs.batches(BATCH)
            )
        elif inputs is not None:
            batches = map(tf.constant, inputs.batches())
        else:
            batches = image_batches(records, np.arange(len(records)), self.model.config.image.image_size, 64)
        dim, grid = self.model.config.model.dim, len(self.model.image_encoder.region_centres)
        images = np.empty((len(records), self.model.feature_dim), np.float32)
        regions = np.empty((len(records), grid, dim), np.float16 if half_regions else np.float32)
        start = 0
        for batch in batches:
            encoded = self._encode_images(batch)
            stop = start + len(encoded["image_features"])
            images[start:stop] = encoded["image_features"].numpy()
            regions[start:stop] = encoded["region_features"].numpy()
            start = stop
            if progress:
                progress(stop, len(records))
        assert start == len(records), f"{start} of {len(records)} images have features"
        return {"images": images, "regions": regions}


def word_ids_of(text_preprocessor: Any, texts: tf.Tensor, batch: int = 1024) -> tf.Tensor:
    """Return word ids (N, T) of texts (N,), T the longest text's."""
    parts = [
        text_preprocessor(texts[start : start + batch])["word_ids"] for start in range(0, max(len(texts), 1), batch)
    ]
    return trim_padding(tf.concat(parts, axis=0))


def selection_sample(records: RecordSplit, inputs: Any, config: EvaluationConfig) -> tuple[RecordSplit, Any]:
    """Return the images of a validation split that choices are made by: often all, else some drawn by a fixed seed.

    Scores of all pairs grow with the square of a split; a thousand images tell epochs apart.

    Args:
        records: the validation split.
        inputs: its frozen backbone features or decoded images, or None.
        config: says how many.
    """
    images, chosen = len(records), config.selected_images(len(records))
    if chosen == images:
        return records, inputs
    indices = np.sort(np.random.default_rng(_SAMPLE_SEED).choice(images, chosen, replace=False))
    return records.at(indices), inputs if inputs is None else inputs.at(indices)


def join_splits(parts: Sequence[Embeddings]) -> Embeddings:
    """Return the embeddings of several splits of one collection as those of one, in their order.

    Words (N, T, D), masks and offsets take the T of the longest text. An image of a split without labels has none.
    """
    if len(parts) == 1:
        return parts[0]
    longest = max(part.words.shape[1] for part in parts)

    def words(name: str) -> np.ndarray:
        arrays = [getattr(part, name) for part in parts]
        rest = [(0, 0)] * (arrays[0].ndim - 2)
        return np.concatenate([np.pad(array, [(0, 0), (0, longest - array.shape[1]), *rest]) for array in arrays])

    def rows(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    held = [part.collection.labels for part in parts]
    classes = next((labels.shape[1] for labels in held if labels is not None), 0)
    sizes = [len(part.images) for part in parts]
    labels = [
        np.zeros((size, classes), np.float32) if rows is None else rows for size, rows in zip(sizes, held, strict=True)
    ]
    first_images = np.cumsum([0, *sizes[:-1]])
    text_image = [first + part.collection.text_image for first, part in zip(first_images, parts, strict=True)]
    return Embeddings(
        sentences=rows("sentences"),
        words=words("words"),
        word_mask=words("word_mask"),
        word_offsets=words("word_offsets"),
        images=rows("images"),
        regions=rows("regions"),
        collection=Collection(
            text_image=np.concatenate(text_image),
            labels=np.concatenate(labels) if classes else None,
            documents=parts[0].collection.documents,
        ),
    )
