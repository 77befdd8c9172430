"""`tf.data` from records and cached features to batches.

What an epoch shows is a function of seed and epoch alone (`epoch_plan`), drawn in NumPy; the graph only follows it. So
a run can go on from any batch, bit for bit.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from dafsn_tf.data.decoding import DecodedImages, decode, image_batches
from dafsn_tf.data.features import FrozenFeatures
from dafsn_tf.data.records import RecordSplit
from dafsn_tf.preprocessing.text import TextPreprocessor

WINDOW = 16  # batches whose texts are arranged by length together
LARGEST_SHARE = 0.9  # of the training pictures that may have a class, for it to be learned

ImageInputs = FrozenFeatures | DecodedImages | None  # None: decoded again whenever they are read


def epoch_plan(
    lengths: Sequence[Sequence[int]], batch_size: int, seed: int, epoch: int, variants: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the order of images, the text chosen for each, and the image variant, each (N,) int64.

    N is what whole batches hold: the images left over are drawn anew in each epoch, whatever their texts. Texts of
    similar length share a batch, which spares the padding: within windows of `WINDOW` batches, images are put in the
    order of their texts' lengths, and the batches of a window are shuffled again.

    Args:
        lengths: of each text of each image; one text of an image is chosen at random.
        batch_size: images of a batch, at most as many as there are.
        seed: of the run.
        epoch: from 0.
        variants: ways in which an image is seen, one of which is drawn: as it is, mirrored, their averaged features.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))[: len(lengths) // batch_size * batch_size]
    texts = generator.integers(0, [len(lengths[image]) for image in order])
    chosen = np.array([lengths[image][text] for image, text in zip(order, texts, strict=True)])
    arranged = []
    for start in range(0, len(order), WINDOW * batch_size):
        window = start + np.argsort(chosen[start : start + WINDOW * batch_size], kind="stable")
        arranged.append(generator.permutation(window.reshape(-1, batch_size)).ravel())
    places = np.concatenate(arranged)
    return order[places], texts[places], generator.integers(0, variants, size=len(order))


def training_batches(
    records: RecordSplit,
    text_preprocessor: TextPreprocessor,
    *,
    image_size: int,
    batch_size: int,
    seed: int,
    epochs: int,
    first_epoch: int = 0,
    skip: int = 0,
    inputs: ImageInputs = None,
    flip: bool = False,
) -> tf.data.Dataset:
    """Return batches of pairs for `DAFSN.fit`, epoch after epoch, all of them whole (`epoch_plan`).

    Args:
        records: the training split.
        text_preprocessor: tokeniser and vocabulary.
        image_size: pixels, height and width.
        batch_size: B.
        seed: of the run.
        epochs: number of the epoch after the last one.
        first_epoch: number of the first epoch, from 0.
        skip: batches of the first epoch that were already seen.
        inputs: frozen backbone features or decoded images; None decodes.
        flip: whether pixels are mirrored half of the time; of features, all variants are seen equally often.

    Returns:
        Dictionaries of `word_ids` (B, T), `labels` (B, C) of `learned_classes`, `image_index` (B,), and `images` (B, H,
        W, 3) or `regions` (B, R, C) and `global` (B, C'). T is the longest text's of the batch.

    Raises:
        DataError: an image that cannot be decoded, named; without `inputs`, all are decoded once to know it beforehand.
    """
    if inputs is None:
        for _ in image_batches(records, np.arange(len(records)), image_size, batch_size):
            pass
    lengths = [[len(text) for text in texts] for texts in records.texts]
    first_text = np.cumsum([0, *(len(texts) for texts in lengths[:-1])])
    all_texts = tf.constant([text for texts in records.texts for text in texts])
    labels = tf.constant(records.labels * learned_classes(records), tf.float32)
    variants = 1 if not flip else inputs.variants if isinstance(inputs, FrozenFeatures) else 2

    def plan(epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        order, texts, variant = epoch_plan(lengths, batch_size, seed, int(epoch), variants)
        return order, first_text[order] + texts, variant

    def epoch_indices(epoch: tf.Tensor) -> tf.data.Dataset:
        columns = tf.numpy_function(plan, [epoch], [tf.int64] * 3, stateful=False)
        rows = tf.data.Dataset.from_tensor_slices(tuple(tf.ensure_shape(column, [None]) for column in columns))
        return rows.batch(batch_size, drop_remainder=True)  # which leaves none, and tells the graph their size

    def batch_of(indices: tf.Tensor, texts: tf.Tensor, variant: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            **_image_inputs(records, inputs, image_size, indices, variant),
            "word_ids": trim_padding(text_preprocessor(tf.gather(all_texts, texts))["word_ids"]),
            "labels": tf.gather(labels, indices),
            "image_index": indices,
        }

    batches = tf.data.Dataset.range(first_epoch, epochs).flat_map(epoch_indices).skip(skip)
    return batches.map(batch_of, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def learned_classes(records: RecordSplit) -> np.ndarray:
    """Return (C,) bool, the classes that no more than `LARGEST_SHARE` of a split's pictures have.

    One that nearly all have tells hardly any apart: as what makes a match it would draw every text to every picture.
    """
    return np.mean(records.labels > 0, axis=0) <= LARGEST_SHARE


def trim_padding(word_ids: tf.Tensor) -> tf.Tensor:
    """Return word ids (N, T) without the columns in which every text is padding; at least one column stays."""
    longest = tf.reduce_max(tf.reduce_sum(tf.cast(word_ids != 0, tf.int32), axis=1))
    return word_ids[:, : tf.maximum(longest, 1)]


def _image_inputs(
    records: RecordSplit, inputs: ImageInputs, image_size: int, indices: tf.Tensor, variant: tf.Tensor
) -> dict[str, tf.Tensor]:
    if isinstance(inputs, FrozenFeatures):
        regions, whole = tf.numpy_function(inputs.read, [indices, variant], [tf.float16] * 2, stateful=False)
        regions.set_shape([indices.shape[0], *inputs.regions.shape[2:]])
        whole.set_shape([indices.shape[0], *inputs.whole.shape[2:]])
        return {"regions": tf.cast(regions, tf.float32), "global": tf.cast(whole, tf.float32)}
    if isinstance(inputs, DecodedImages):
        images = tf.numpy_function(inputs.read, [indices], tf.float32, stateful=False)
    else:
        images = decode(records, image_size, indices)["images"]
    images.set_shape([indices.shape[0], image_size, image_size, 3])
    return {"images": tf.where(variant[:, None, None, None] == 1, images[:, :, ::-1], images)}
