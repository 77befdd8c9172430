"""SCAN, text to image (Lee et al., Stacked Cross Attention for Image-Text Matching, ECCV 2018).

Each word gathers the regions it is similar to; a text matches an image as far as its words resemble what they gathered,
averaged over the words (SCAN t-i AVG). Word embeddings begin as DAFSN's do, where the paper draws them.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from dafsn_tf.baselines.hinge import hinge_loss
from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Axis, Method, Scorer, Surroundings, epochs_of
from dafsn_tf.baselines.neural import Pairs, encode, stepped_adam, train_epochs, word_embedding
from dafsn_tf.data.pipeline import trim_padding
from dafsn_tf.evaluation.scoring import word_scores
from dafsn_tf.layers import unit_vectors

_SCORED = 2**23  # word-region similarities held at once


@dataclass(frozen=True)
class Settings:
    """What validation chooses, and the published rest."""

    learning_rate: float = 5e-4  # Adam; a tenth in the second half of the epochs, as published
    warmup: float = 0.5  # share of the epochs over the sum of all negatives; published: the first epoch of five texts
    dropout: float = 0.2  # on word embeddings and region features; published: 0
    temperature: float = 9.0  # of the attention over regions
    dim: int = 512  # D; published: 1024
    embedding_dim: int = 300
    margin: float = 0.2
    batch_size: int = 128
    epochs: int = 20
    min_steps: int = 600  # small collections get more epochs
    clip_norm: float = 2.0  # global norm of the gradients


class SCAN(keras.Model):
    """Words and regions as unit vectors, (N, T, D) and (B, R, D).

    Args:
        embedding: layer of word embeddings.
        settings: sizes and dropout.
        standardizer: of region features, adapted to the training split.
    """

    def __init__(self, embedding: Any, settings: Settings, standardizer: Any) -> None:
        super().__init__()
        self.embedding = embedding
        self.dropout = keras.layers.Dropout(settings.dropout)
        self.gru = keras.layers.Bidirectional(keras.layers.GRU(settings.dim, return_sequences=True), merge_mode="ave")
        self.standardizer = standardizer
        self.projection = keras.layers.Dense(settings.dim)

    def encode_texts(self, word_ids: Any, training: bool = False) -> Any:
        """Return words (N, T, D) of word ids (N, T), zero where padded."""
        present = ops.not_equal(word_ids, 0)
        embedded = self.dropout(self.embedding(word_ids), training=training)
        return unit_vectors(self.gru(embedded, mask=present)) * ops.cast(present[..., None], "float32")

    def encode_images(self, regions: Any, training: bool = False) -> Any:
        """Return regions (B, R, D) of frozen region features (B, R, C)."""
        return unit_vectors(self.projection(self.dropout(self.standardizer(regions), training=training)))


def text_to_image_scores(words: Any, mask: Any, regions: Any, temperature: float) -> Any:
    """Return the mean over words of R(e_t, a_t), (N, B), of all texts and images (Eq 6-9).

    With s_tr = cos(e_t, v_r): s' = [s]+ over its norm across the words, for each region; a_t the sum of the regions
    weighted by the softmax over them of temperature x s'; R the cosine of the word and what it gathered. That needs no
    a_t: e.a = sum_r w_r s_r, and |a|^2 = w^T (V V^T) w.

    Args:
        words: (N, T, D) unit vectors.
        mask: (N, T), true where there is a word.
        regions: (B, R, D) unit vectors.
        temperature: sharpness of the attention.
    """
    present = ops.cast(mask, "float32")
    texts, length, dim = ops.shape(words)[0], ops.shape(words)[1], words.shape[-1]
    images, count = ops.shape(regions)[0], regions.shape[1]
    # The words of all texts meet the regions of all images in one product, faster than a product for each image.
    similarity = ops.matmul(ops.reshape(words, (-1, dim)), ops.transpose(ops.reshape(regions, (-1, dim))))
    similarity = ops.reshape(similarity, (texts, length, images * count))
    positive = ops.relu(similarity) * present[..., None]
    scale = temperature * ops.rsqrt(ops.maximum(ops.sum(ops.square(positive), axis=1, keepdims=True), 1e-12))
    weights = ops.exp(scale * positive)  # the softmax but for a factor that the cosine does not see
    by_word = (texts * length, images, count)
    similarity, weights = ops.reshape(similarity, by_word), ops.reshape(weights, by_word)
    by_image = ops.transpose(weights, (1, 0, 2))
    gram = ops.matmul(regions, ops.transpose(regions, (0, 2, 1)))
    square = ops.transpose(ops.sum(ops.matmul(by_image, gram) * by_image, axis=-1))  # (N T, B)
    relevance = ops.sum(weights * similarity, axis=-1) * ops.rsqrt(ops.maximum(square, 1e-12))
    relevance = ops.reshape(relevance, (texts, length, images)) * present[..., None]
    return ops.sum(relevance, axis=1) / ops.maximum(ops.sum(present, axis=1), 1.0)[:, None]


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer of the best epoch."""
    keras.utils.set_random_seed(seed)
    model = SCAN(word_embedding(train, settings.embedding_dim), settings, train.region_standardizer)
    pairs = Pairs(train, settings.batch_size, seed)
    epochs = epochs_of(settings, pairs.steps)
    optimizer = stepped_adam(settings.learning_rate, pairs.steps * epochs, settings.clip_norm)

    @tf.function(reduce_retracing=True)
    def learn(word_ids: tf.Tensor, regions: tf.Tensor, hardest: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            words, images = model.encode_texts(word_ids, training=True), model.encode_images(regions, training=True)
            scores = text_to_image_scores(words, ops.not_equal(word_ids, 0), images, settings.temperature)
            loss = hinge_loss(scores, settings.margin, hardest)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss / pairs.batch_size

    def step(texts: np.ndarray, images: np.ndarray, variants: np.ndarray, epochs_done: float) -> tf.Tensor:
        regions, _ = train.features.read(images, variants)
        hardest = tf.constant(epochs_done >= settings.warmup * epochs)
        return learn(trim_padding(tf.constant(train.word_ids[texts])), tf.constant(regions), hardest)

    encode_texts = tf.function(model.encode_texts, reduce_retracing=True)
    encode_images = tf.function(model.encode_images, reduce_retracing=True)
    relevance = tf.function(
        lambda words, mask, regions: text_to_image_scores(words, mask, regions, settings.temperature),
        reduce_retracing=True,
    )

    def score(split: Split) -> np.ndarray:
        word_ids = trim_padding(tf.constant(split.word_ids))
        words, regions = encode(encode_texts, word_ids), encode(encode_images, split.features.regions[:, 0])
        return word_scores(relevance, words, word_ids.numpy() != 0, regions, max_elements=_SCORED)

    train_epochs(model, optimizer, step, pairs, epochs, score, validation, surroundings)
    return score


METHOD = Method(
    "scan",
    fit,
    grid=tuple(Settings(rate, warmup=1 / 6) for rate in (1e-3, 2e-3)),
    axes=(
        Axis(("warmup",), (0.0, 1 / 18, 1 / 6, 0.5, 1.0)),
        Axis(("learning_rate",), (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3)),
        Axis(("dropout",), (0.0, 0.2, 0.5, 0.7)),
    ),
)
