"""VSE++ (Faghri et al., VSE++: Improving Visual-Semantic Embeddings with Hard Negatives, BMVC 2018).

A GRU's last state is the sentence, a linear map of the image's vector the image; the hardest negative of a batch is
pushed away by a hinge, after some epochs over the sum of all negatives. Word embeddings begin as DAFSN's
do, where the paper draws them.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from dafsn_tf.baselines.hinge import hinge_loss
from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Axis, Cosines, Method, Scorer, Surroundings, epochs_of
from dafsn_tf.baselines.neural import Pairs, encode, stepped_adam, train_epochs, word_embedding
from dafsn_tf.data.pipeline import trim_padding
from dafsn_tf.layers import unit_vectors


@dataclass(frozen=True)
class Settings:
    """What validation chooses, and the published rest."""

    learning_rate: float = 5e-4  # Adam; a tenth in the second half of the epochs, as published
    warmup: float = 0.5  # share of the epochs over the sum of all negatives; published: the first epoch of five texts
    dropout: float = 0.2  # on word embeddings and image vectors; published: 0
    dim: int = 1024  # D
    embedding_dim: int = 300
    margin: float = 0.2
    batch_size: int = 128
    epochs: int = 30
    min_steps: int = 600  # small collections get more epochs
    clip_norm: float = 2.0  # global norm of the gradients


class VSEPP(keras.Model):
    """Sentences and images as unit vectors (n, D).

    Args:
        embedding: layer of word embeddings.
        settings: sizes and dropout.
    """

    def __init__(self, embedding: Any, settings: Settings) -> None:
        super().__init__()
        self.embedding = embedding
        self.dropout = keras.layers.Dropout(settings.dropout)
        self.gru = keras.layers.GRU(settings.dim)
        self.projection = keras.layers.Dense(settings.dim)

    def encode_texts(self, word_ids: Any, training: bool = False) -> Any:
        """Return sentences (N, D) of word ids (N, T)."""
        words = self.dropout(self.embedding(word_ids), training=training)
        return unit_vectors(self.gru(words, mask=ops.not_equal(word_ids, 0)))

    def encode_images(self, vectors: Any, training: bool = False) -> Any:
        """Return images (B, D) of image vectors (B, C)."""
        return unit_vectors(self.projection(self.dropout(vectors, training=training)))


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer of the best epoch, cosines of sentences and images."""
    keras.utils.set_random_seed(seed)
    model = VSEPP(word_embedding(train, settings.embedding_dim), settings)
    pairs = Pairs(train, settings.batch_size, seed)
    epochs = epochs_of(settings, pairs.steps)
    optimizer = stepped_adam(settings.learning_rate, pairs.steps * epochs, settings.clip_norm)

    @tf.function(reduce_retracing=True)
    def learn(word_ids: tf.Tensor, vectors: tf.Tensor, hardest: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            texts, images = model.encode_texts(word_ids, training=True), model.encode_images(vectors, training=True)
            loss = hinge_loss(ops.matmul(texts, ops.transpose(images)), settings.margin, hardest)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss / pairs.batch_size

    def step(texts: np.ndarray, images: np.ndarray, variants: np.ndarray, epochs_done: float) -> tf.Tensor:
        word_ids = trim_padding(tf.constant(train.word_ids[texts]))
        hardest = tf.constant(epochs_done >= settings.warmup * epochs)
        return learn(word_ids, tf.constant(train.image_vectors[images, variants]), hardest)

    encode_texts = tf.function(model.encode_texts, reduce_retracing=True)

    def embed(split: Split) -> tuple[np.ndarray, np.ndarray]:
        sentences = encode(encode_texts, trim_padding(tf.constant(split.word_ids)))
        return sentences, encode(model.encode_images, split.image_vectors[:, 0])

    scorer = Cosines(embed)
    train_epochs(model, optimizer, step, pairs, epochs, scorer, validation, surroundings)
    return scorer


METHOD = Method(
    "vsepp",
    fit,
    grid=tuple(Settings(rate, warmup=1 / 6) for rate in (1e-3, 2e-3)),
    axes=(
        Axis(("warmup",), (0.0, 1 / 18, 1 / 6, 0.5, 1.0)),
        Axis(("learning_rate",), (2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3)),
        Axis(("dropout",), (0.0, 0.2, 0.5, 0.7)),
    ),
)
