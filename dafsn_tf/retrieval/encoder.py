"""Raw texts and encoded pictures to features and scores, in one graph: what Python calls and what is exported."""

from typing import Any

import tensorflow as tf

from dafsn_tf.data.pipeline import trim_padding
from dafsn_tf.evaluation.fusion import Fusion
from dafsn_tf.layers import unit_vectors
from dafsn_tf.preprocessing.image import ImagePreprocessor
from dafsn_tf.preprocessing.text import TextPreprocessor

MAX_PIXELS = 50_000_000  # of a picture that is sent; larger ones get a status

TEXTS = tf.TensorSpec([None], tf.string, name="texts")
IMAGES = tf.TensorSpec([None], tf.string, name="images")


class Encoder(tf.Module):
    """A model with its front ends. Rows that cannot be used get a `status` and zeros (`preprocessing.Status`).

    Args:
        model: `DAFSN` with its backbone.
        text_preprocessor: of the model's run.
        fusion: how the run mixes word and sentence scores.
        max_pixels: width times height above which a picture is not decoded.
    """

    def __init__(
        self, model: Any, text_preprocessor: TextPreprocessor, fusion: Fusion, max_pixels: int = MAX_PIXELS
    ) -> None:
        super().__init__(name="encoder")
        self.model = model
        self.text_preprocessor = text_preprocessor
        self.image_preprocessor = ImagePreprocessor(model.config.image.image_size, max_pixels)
        self.fusion = fusion
        self.region_centres = tf.constant(model.image_encoder.region_centres)  # (R, 2)

    @tf.function(input_signature=[TEXTS])
    def encode_text(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return features of texts (n,).

        Returns:
            `sentence_features` (n, F), F the model's `feature_dim`, of unit length, `word_features` (n, T, D),
            `word_mask` (n, T), `word_offsets` (n, T, 2) bytes, `status` (n,).
        """
        texts = tf.ensure_shape(texts, [None])
        tokens = self.text_preprocessor(texts)
        word_ids = tokens["word_ids"]
        trimmed = trim_padding(word_ids)  # the LSTM takes its steps one after the other: no more than there are words
        features = self.model.encode_texts(trimmed, training=False)
        paddings: Any = [[0, 0], [0, self.text_preprocessor.max_words - tf.shape(trimmed)[1]], [0, 0]]
        word_features = tf.pad(tf.cast(features["word_features"], tf.float32), paddings)
        outputs = {
            "sentence_features": unit_vectors(features["sentence_features"]),
            "word_features": tf.ensure_shape(word_features, [None, self.text_preprocessor.max_words, None]),
            "word_mask": word_ids != 0,
            "word_offsets": tokens["word_offsets"],
        }
        return with_status(outputs, tokens["status"])

    @tf.function(input_signature=[IMAGES])
    def encode_image(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return features of encoded pictures (n,).

        Returns:
            `image_features` of unit length and the width of sentences', `region_features` (n, R, D), `status` (n,).
        """
        images = tf.ensure_shape(images, [None])
        decoded = self.image_preprocessor(images)
        features = self._encode_pixels(decoded["images"])
        outputs = {
            "image_features": unit_vectors(features["image_features"]),
            "region_features": tf.cast(features["region_features"], tf.float32),
        }
        return with_status(outputs, decoded["status"])

    def _encode_pixels(self, pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the model's features (n, ...) of pixels (n, H, W, 3), n = 0 included.

        On some processors oneDNN's convolutions hand an input without rows on as it is, in the input's shape; such an
        input is given one blank row on its way through. Not by padding: what pads before a convolution becomes part of
        it there, and rows are then not padded.
        """
        rows = tf.shape(pixels)[0]
        blank = tf.zeros([tf.cast(rows == 0, tf.int32), *pixels.shape[1:]])
        features = self.model.encode_images(tf.concat([pixels, blank], axis=0), training=False)
        return {name: values[:rows] for name, values in features.items()}

    @tf.function(input_signature=[TEXTS, IMAGES])
    def similarity(self, texts: tf.Tensor, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return how well text i and picture i agree, and why.

        Returns:
            `sentence`, `word` and `fused` scores (n,); `attention` (n, T, R) of each word over the regions,
            `word_relevance` (n, T), `word_mask` (n, T), `word_offsets` (n, T, 2), `region_centres` (n, R, 2) as x, y in
            [0, 1], `status` (n,), the text's where that is not 0, else the picture's.
        """
        text, image = self.encode_text(texts), self.encode_image(images)
        seen = self.model.attention.attend(text["word_features"], text["word_mask"], image["region_features"])
        sentence = tf.reduce_sum(text["sentence_features"] * image["image_features"], axis=-1)
        status = tf.where(text["status"] != 0, text["status"], image["status"])
        centres = tf.repeat(self.region_centres[None], tf.shape(status)[0], axis=0)
        outputs = {
            "sentence": sentence,
            "word": seen["score"],
            "fused": self.fuse(
                sentence, seen["score"], self.label_agreement(text["sentence_features"], image["image_features"])
            ),
            "attention": seen["attention"],
            "word_relevance": seen["word_relevance"],
            "word_mask": text["word_mask"],
            "word_offsets": text["word_offsets"],
            "region_centres": centres,
        }
        return with_status(outputs, status)

    def label_agreement(self, texts: tf.Tensor, images: tf.Tensor) -> tf.Tensor | None:
        """Return the label score (n,) of features (n, F) and (n, F) or (1, F); None where `fused` has no use for it."""
        if not self.fusion.label_weight:
            return None
        logits = [self.model.class_logits(features) for features in (texts, images)]
        posteriors = [tf.nn.softmax(self.fusion.label_sharpness * values) for values in logits]
        return tf.reduce_sum(tf.cast(posteriors[0] * posteriors[1], tf.float32), axis=-1)

    def fuse(self, sentence: tf.Tensor, word: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
        """Return fused scores, as `Fusion.apply` does."""
        fused = tf.zeros_like(sentence)
        for (name, factor), scores in zip(self.fusion.factors().items(), (sentence, word, label), strict=True):
            if scores is not None:
                mean, deviation = getattr(self.fusion, f"{name}_mean"), getattr(self.fusion, f"{name}_deviation")
                fused += (scores - mean) * (factor / deviation)
        return fused


def with_status(outputs: dict[str, tf.Tensor], status: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return outputs (n, ...) with `status` (n,) beside them; rows whose status is not 0 hold zeros, empty strings."""

    def blank(values: tf.Tensor) -> tf.Tensor:
        row = tf.reshape(status == 0, tf.concat([tf.shape(status), tf.ones([tf.rank(values) - 1], tf.int32)], axis=0))
        return tf.where(row, values, tf.zeros_like(values))

    return {**{name: blank(values) for name, values in outputs.items()}, "status": status}
