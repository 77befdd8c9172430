"""DSCMR (Zhen et al., Deep Supervised Cross-Modal Retrieval, CVPR 2019).

Two networks whose last layer is shared map both modalities into a common space; a linear classifier ties that space to
the labels (J1), likeness there follows shared classes within and across modalities (J2), and the two vectors of a pair
coincide (J3). Texts are single sentences, as tf-idf, where the paper has a convolutional network's features.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from dafsn_tf.baselines.bags import BagsOfWords
from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Axis, Cosines, Method, Scorer, Surroundings, epochs_of
from dafsn_tf.baselines.neural import Pairs, encode, share_a_class, train_epochs
from dafsn_tf.layers import unit_vectors


@dataclass(frozen=True)
class Settings:
    """What validation chooses, and the rest."""

    discrimination_weight: float = 1e-3  # lambda, of J2; as published
    dropout: float = 0.5  # on image vectors; published: 0
    vector_weight: float = 0.0  # of pre-trained word vectors beside tf-idf, see `BagsOfWords`
    invariance_weight: float = 0.1  # eta, of J3; as published
    hidden: int = 1024  # of each modality's own layer; the released code: 2048
    dim: int = 1024  # D
    learning_rate: float = 1e-3  # Adam; published: 1e-4, over 500 epochs
    beta_1: float = 0.5  # Adam's first moment, as published
    batch_size: int = 100
    epochs: int = 100
    min_steps: int = 600  # small collections get more epochs


class DSCMR(keras.Model):
    """Two networks with a shared last layer, and the linear classifier P.

    Args:
        classes: of the label space.
        settings: sizes and dropout.
    """

    def __init__(self, classes: int, settings: Settings) -> None:
        super().__init__()
        self.dropout = keras.layers.Dropout(settings.dropout)
        self.image_layer = keras.layers.Dense(settings.hidden, activation="relu")
        self.text_layer = keras.layers.Dense(settings.hidden, activation="relu")
        self.shared_layer = keras.layers.Dense(settings.dim)
        self.classifier = keras.layers.Dense(classes)

    def encode_texts(self, bags: Any) -> Any:
        """Return texts (N, D) of bags of words (N, W)."""
        return self.shared_layer(self.text_layer(bags))

    def encode_images(self, vectors: Any, training: bool = False) -> Any:
        """Return images (B, D) of image vectors (B, C)."""
        return self.shared_layer(self.image_layer(self.dropout(vectors, training=training)))


def label_space_loss(predictions: Any, labels: Any) -> Any:
    """Return the mean distance of predictions (B, C) to the multi-hot labels, of rows that have any (J1, Eq 3)."""
    labelled = ops.cast(ops.any(labels > 0, axis=-1), "float32")
    return ops.sum(labelled * _lengths(predictions - labels)) / ops.maximum(ops.sum(labelled), 1.0)


def discrimination_loss(images: Any, texts: Any, labels: Any) -> Any:
    """Return the negative log-likelihood of shared classes, between modalities and within each (J2, Eq 5-8).

    With theta half the cosine: mean of log(1 + e^theta) - same_class x theta.

    Args:
        images: (B, D). texts: (B, D). labels: (B, C) multi-hot.
    """
    same_class = ops.cast(share_a_class(labels), "float32")
    images, texts = unit_vectors(images), unit_vectors(texts)
    terms = []
    for left, right in ((images, images), (images, texts), (texts, texts)):
        theta = 0.5 * ops.matmul(left, ops.transpose(right))
        terms.append(ops.mean(ops.softplus(theta) - same_class * theta))
    return sum(terms)


def invariance_loss(images: Any, texts: Any) -> Any:
    """Return the mean distance of the two vectors of a pair, both (B, D) (J3, Eq 9)."""
    return ops.mean(_lengths(images - texts))


def _lengths(vectors: Any) -> Any:
    return ops.sqrt(ops.maximum(ops.sum(ops.square(vectors), axis=-1), 1e-12))


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer of the best epoch, cosines in the common space."""
    keras.utils.set_random_seed(seed)
    bags = BagsOfWords(train, settings.vector_weight)
    sentences = bags.sentences(train)
    model = DSCMR(train.labels.shape[1], settings)
    pairs = Pairs(train, settings.batch_size, seed)
    optimizer = keras.optimizers.Adam(settings.learning_rate, beta_1=settings.beta_1)

    @tf.function(reduce_retracing=True)
    def learn(bag_batch: tf.Tensor, vectors: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            texts, images = model.encode_texts(bag_batch), model.encode_images(vectors, training=True)
            loss = label_space_loss(model.classifier(images), labels) + label_space_loss(
                model.classifier(texts), labels
            )
            loss += settings.discrimination_weight * discrimination_loss(images, texts, labels)
            loss += settings.invariance_weight * invariance_loss(images, texts)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def step(texts: np.ndarray, images: np.ndarray, variants: np.ndarray, epochs_done: float) -> tf.Tensor:
        return learn(
            tf.constant(sentences[texts].toarray()),
            tf.constant(train.image_vectors[images, variants]),
            tf.constant(train.labels[images]),
        )

    def embed(split: Split) -> tuple[np.ndarray, np.ndarray]:
        texts = encode(model.encode_texts, bags.sentences(split))
        return texts, encode(model.encode_images, split.image_vectors[:, 0])

    scorer = Cosines(embed)
    train_epochs(model, optimizer, step, pairs, epochs_of(settings, pairs.steps), scorer, validation, surroundings)
    return scorer


METHOD = Method(
    "dscmr",
    fit,
    grid=(
        Settings(1e-3, 0.5, 1.0),
        *(Settings(weight, 0.7, vectors) for weight, vectors in ((0.1, 1.0), (1.0, 1.0), (1.0, 2.0), (3.0, 1.0))),
    ),
    axes=(
        Axis(("discrimination_weight",), (1e-3, 0.01, 0.1, 1.0, 3.0, 10.0, 30.0)),
        Axis(("vector_weight",), (0.0, 0.5, 1.0, 2.0, 4.0)),
        Axis(("dropout",), (0.0, 0.5, 0.7, 0.8)),
    ),
    needs_labels=True,
)
