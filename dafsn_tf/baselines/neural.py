"""How the neural peers are trained: pairs drawn as DAFSN's are, epochs chosen on validation."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from scipy.sparse import issparse

from dafsn_tf.baselines.halfway import STORE_EVERY, Halfway, restore, store
from dafsn_tf.baselines.inputs import Split
from dafsn_tf.baselines.method import Scorer, Surroundings
from dafsn_tf.data.pipeline import epoch_plan
from dafsn_tf.data.word_vectors import initial_embeddings
from dafsn_tf.evaluation.protocols import selection_metrics, selection_value, takes_the_place

ENCODED = 512  # texts or images encoded at once


class Pairs:
    """Batches of a training split: each epoch shows every image once, with one of its texts, as in DAFSN's own.

    Args:
        split: the training split.
        batch_size: pairs of a batch, at most as many as there are images.
        seed: of the run.
    """

    def __init__(self, split: Split, batch_size: int, seed: int) -> None:
        words = np.count_nonzero(split.word_ids, axis=1)
        self._first_text = np.searchsorted(split.collection.text_image, np.arange(len(split.records)))
        self._lengths = [of_image.tolist() for of_image in np.split(words, self._first_text[1:])]
        self._variants = split.image_vectors.shape[1]
        self.batch_size = min(batch_size, len(split.records))
        self.seed = seed
        self.steps = len(split.records) // self.batch_size

    def __call__(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the indices of texts, of images and of image variants, each (batch_size,), of an epoch from 0."""
        images, numbers, variants = epoch_plan(self._lengths, self.batch_size, self.seed, epoch, self._variants)
        for step in range(self.steps):
            rows = slice(step * self.batch_size, (step + 1) * self.batch_size)
            yield self._first_text[images[rows]] + numbers[rows], images[rows], variants[rows]


def train_epochs(
    model: Any,
    optimizer: Any,
    step: Callable[[np.ndarray, np.ndarray, np.ndarray, float], Any],
    pairs: Pairs,
    epochs: int,
    scorer: Scorer,
    validation: Split,
    surroundings: Surroundings,
) -> None:
    """Train a model and leave it with the weights of the epoch that validation chooses, as it chooses DAFSN's.

    Every minute or so it is stored where training stands; one that was interrupted goes on from there.

    Args:
        model: a Keras layer or model.
        optimizer: that `step` moves it by.
        step: learns from texts, images and variants (indices) and the epochs done so far, a fraction; returns the loss.
        pairs: batches of an epoch.
        epochs: how many.
        scorer: scores by the model as it stands.
        validation: chooses the epoch; its `evaluation.selection_texts` and `selection_tolerance` are DAFSN's too.
        surroundings: its folder holds where training stands, while it lasts; a line is written an epoch.
    """
    choice, file = validation.config.evaluation, surroundings.folder / "halfway.npz"
    validation = validation.first_texts(choice.selection_texts)
    has_classes, images = validation.collection.has_classes, len(validation.records)
    now = Halfway(0, -np.inf, model.get_weights())
    if file.exists():
        step(*next(iter(pairs(0))), 0.0)  # a step makes every variable; their values are then those that were stored
        now = restore(file, [*model.variables, *optimizer.variables])
    first, began = now.epochs, time.monotonic()
    stored = began
    for epoch in range(first, epochs):
        losses = [step(*batch, epoch + number / pairs.steps) for number, batch in enumerate(pairs(epoch))]
        value = validation_value(scorer, validation)
        chosen = now.chosen
        if not epoch or takes_the_place(value, now.best, choice.selection_tolerance, has_classes, images):
            chosen = model.get_weights()
        now = Halfway(epoch + 1, max(now.best, value), chosen)
        if time.monotonic() - stored >= STORE_EVERY and now.epochs < epochs:
            store(file, now, [*model.variables, *optimizer.variables])
            stored = time.monotonic()
        left = (time.monotonic() - began) * (epochs - now.epochs) / (now.epochs - first)
        surroundings.write(
            f"  epoch {now.epochs}/{epochs}  loss {float(np.mean(losses)):.3f}  validation {value:.3f} "
            f"(best {now.best:.3f})  {left / 60:.1f} min left"
        )
    model.set_weights(now.chosen)
    if file.exists():
        file.unlink()
        file.parent.rmdir()


def share_a_class(labels: Any) -> Any:
    """Return (B, B) bool, whether two of a batch have a class of multi-hot `labels` (B, C) in common.

    Each has with itself: a picture without a class and its own text belong together.
    """
    pair = ops.eye(ops.shape(labels)[0], dtype="bool")
    return ops.logical_or(ops.matmul(labels, ops.transpose(labels)) > 0, pair)


def validation_value(scorer: Scorer, split: Split) -> float:
    """Return what epochs and settings are chosen by: MAP where there are classes, else the sum of recalls."""
    return selection_value(selection_metrics(scorer(split), split.collection), split.collection.has_classes)


def word_embedding(train: Split, dim: int) -> Any:
    """Return an embedding layer of the training split's words that begins as DAFSN's does (`text.embeddings`)."""
    initializer: Any = keras.initializers.RandomUniform(-0.1, 0.1)
    layer = keras.layers.Embedding(train.first_word + len(train.vocabulary), dim, embeddings_initializer=initializer)
    layer.build((None, None))
    if train.config.text.embeddings != "none":
        rows: Any = layer.embeddings.numpy()
        known, _ = initial_embeddings(rows[train.first_word :], train.config.text.embeddings, train.vocabulary)
        layer.embeddings.assign(np.concatenate([rows[: train.first_word], known]))
    return layer


def stepped_adam(learning_rate: float, steps: int, clip_norm: float) -> Any:
    """Return Adam whose learning rate falls to a tenth after half of the steps, gradients clipped by global norm."""
    schedule: Any = keras.optimizers.schedules.PiecewiseConstantDecay([steps // 2], [learning_rate, learning_rate / 10])
    return keras.optimizers.Adam(schedule, global_clipnorm=clip_norm)


def encode(encoder: Callable[[tf.Tensor], tf.Tensor], inputs: Any) -> np.ndarray:
    """Return the encoder's outputs of all rows of `inputs`, some at a time; sparse rows are made dense then."""
    blocks = (inputs[start : start + ENCODED] for start in range(0, inputs.shape[0], ENCODED))
    return np.concatenate(
        [encoder(tf.convert_to_tensor(rows.toarray() if issparse(rows) else rows)).numpy() for rows in blocks]
    )
