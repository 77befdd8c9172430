"""ACMR (Wang et al., Adversarial Cross-Modal Retrieval, ACM MM 2017), as the paper states it.

Two feature projectors learn to predict the label from either modality and to keep the structure of classes across
modalities, while a modality classifier tells their outputs apart and its gradient, reversed, reaches them: in the
released code it does not, and the label predictor is never trained. Texts are single sentences, as tf-idf, one of each
image an epoch; the modality classifier is this package's; what carries no published value below was chosen here.
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
from dafsn_tf.layers import ModalityDiscriminator, unit_vectors
from dafsn_tf.losses import discriminator_loss, label_loss, reversal_ramp


@dataclass(frozen=True)
class Settings:
    """What validation chooses, and the rest."""

    structure_weight: float = 1.0  # alpha, of the triplet term
    dropout: float = 0.5  # on image vectors
    vector_weight: float = 0.0  # of pre-trained word vectors beside tf-idf, see `BagsOfWords`
    label_weight: float = 1.0  # beta
    adversarial_weight: float = 0.1  # of the reversed gradient, times Ganin's ramp; the ramp alone reaches 1
    margin: float = 1.0  # mu, between distances of unit vectors, in [0, 2]
    push: float = 1.0  # lambda, of negatives against positives
    image_hidden: int = 1024  # published: 2000
    text_hidden: int = 512  # published: 500
    dim: int = 200  # D
    learning_rate: float = 1e-3  # Adam
    weight_decay: float = 1.0  # decoupled; stands for the Frobenius norms of L_reg
    batch_size: int = 64
    epochs: int = 60
    min_steps: int = 600  # small collections get more epochs


class ACMR(keras.Model):
    """Feature projectors, label predictor and modality classifier.

    Args:
        classes: of the label predictor.
        settings: sizes and dropout.
    """

    def __init__(self, classes: int, settings: Settings) -> None:
        super().__init__()
        self.dropout = keras.layers.Dropout(settings.dropout)
        self.image_projector = _projector(settings.image_hidden, settings.dim)
        self.text_projector = _projector(settings.text_hidden, settings.dim)
        self.label_predictor = keras.layers.Dense(classes)
        self.modality_classifier = ModalityDiscriminator()

    def encode_texts(self, bags: Any) -> Any:
        """Return texts (N, D) of bags of words (N, W)."""
        return self.text_projector(bags)

    def encode_images(self, vectors: Any, training: bool = False) -> Any:
        """Return images (B, D) of image vectors (B, C)."""
        return self.image_projector(self.dropout(vectors, training=training))

    def modality_logits(self, images: Any, texts: Any, strength: Any) -> tuple[Any, Any]:
        """Return the modality classifier's logits (B,) and (N,); the gradient it sends back is reversed."""
        return (
            self.modality_classifier(reversed_gradient(images, strength), training=True),
            self.modality_classifier(reversed_gradient(texts, strength), training=True),
        )


def _projector(hidden: int, dim: int) -> Any:
    return keras.Sequential([keras.layers.Dense(hidden, activation="tanh"), keras.layers.Dense(dim, activation="tanh")])


def reversed_gradient(features: Any, strength: Any) -> Any:
    """Return the features as they are; their gradient is multiplied by -strength (Ganin et al., JMLR 2016)."""
    return ops.stop_gradient((1.0 + strength) * features) - strength * features


def structure_loss(images: Any, texts: Any, same_class: Any, margin: float, push: float) -> Any:
    """Return the triplet constraint of both modalities (Eq 5-7), averaged over anchors.

    Each image is drawn to the texts of its class and pushed from the others up to the margin, and each text likewise:
    mean of d(v, t+) + push x mean of max(0, margin - d(v, t-)).

    Args:
        images: (B, D). texts: (B, D); distances are those of unit vectors.
        same_class: (B, B) bool, text i (row) and image j share a class.
        margin: mu.
        push: lambda.
    """
    cosines = ops.matmul(unit_vectors(texts), ops.transpose(unit_vectors(images)))
    distances = ops.sqrt(ops.maximum(2.0 - 2.0 * cosines, 1e-6))
    same = ops.cast(same_class, "float32")
    pull, repulsion = distances * same, ops.relu(margin - distances) * (1.0 - same)
    of_texts = _mean_of(pull, same, axis=1) + push * _mean_of(repulsion, 1.0 - same, axis=1)
    of_images = _mean_of(pull, same, axis=0) + push * _mean_of(repulsion, 1.0 - same, axis=0)
    return ops.mean(of_texts) + ops.mean(of_images)


def _mean_of(values: Any, counted: Any, axis: int) -> Any:
    return ops.sum(values, axis=axis) / ops.maximum(ops.sum(counted, axis=axis), 1.0)


def fit(train: Split, validation: Split, settings: Settings, seed: int, surroundings: Surroundings) -> Scorer:
    """Return the scorer of the best epoch, cosines in the common subspace."""
    keras.utils.set_random_seed(seed)
    bags = BagsOfWords(train, settings.vector_weight)
    sentences = bags.sentences(train)
    model = ACMR(train.labels.shape[1], settings)
    pairs = Pairs(train, settings.batch_size, seed)
    epochs = epochs_of(settings, pairs.steps)
    optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)

    @tf.function(reduce_retracing=True)
    def learn(texts: tf.Tensor, images: tf.Tensor, labels: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            projected_texts, projected_images = model.encode_texts(texts), model.encode_images(images, training=True)
            label = label_loss(model.label_predictor(projected_texts), labels)
            label += label_loss(model.label_predictor(projected_images), labels)
            same_class = share_a_class(labels)
            structure = structure_loss(projected_images, projected_texts, same_class, settings.margin, settings.push)
            strength = settings.adversarial_weight * reversal_ramp(progress)
            modality = discriminator_loss(*model.modality_logits(projected_images, projected_texts, strength))
            loss = settings.structure_weight * structure + settings.label_weight * label + modality
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def step(texts: np.ndarray, images: np.ndarray, variants: np.ndarray, epochs_done: float) -> tf.Tensor:
        return learn(
            tf.constant(sentences[texts].toarray()),
            tf.constant(train.image_vectors[images, variants]),
            tf.constant(train.labels[images]),
            tf.constant(epochs_done / epochs, tf.float32),
        )

    def embed(split: Split) -> tuple[np.ndarray, np.ndarray]:
        texts = encode(model.encode_texts, bags.sentences(split))
        return texts, encode(model.encode_images, split.image_vectors[:, 0])

    scorer = Cosines(embed)
    train_epochs(model, optimizer, step, pairs, epochs, scorer, validation, surroundings)
    return scorer


METHOD = Method(
    "acmr",
    fit,
    grid=tuple(Settings(weight, vector_weight=vectors) for weight in (0.3, 1.0) for vectors in (0.0, 1.0)),
    axes=(
        Axis(("structure_weight",), (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)),
        Axis(("vector_weight",), (0.0, 0.5, 1.0, 2.0, 4.0)),
        Axis(("dropout",), (0.0, 0.2, 0.5, 0.7)),
    ),
    needs_labels=True,
)
