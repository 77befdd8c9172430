"""From a split's encoded images to pixels, by the graph that serving decodes with."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from dafsn_tf.data.records import RecordSplit
from dafsn_tf.errors import DataError
from dafsn_tf.preprocessing.image import ImagePreprocessor
from dafsn_tf.preprocessing.status import Status

DECODED_LIMIT = 2**31  # bytes of decoded images that are kept in memory
_MAX_PIXELS = 2**62  # any number: `prepare` has decoded every picture under a limit of its own


@dataclass(frozen=True)
class DecodedImages:
    """Images of a split, decoded once: what a backbone that is trained reads every epoch.

    Attributes:
        images: (B, H, W, 3) float32 in [-1, 1].
    """

    images: np.ndarray

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Return the images (n, H, W, 3) at `indices` (n,)."""
        return self.images[indices]

    def at(self, indices: np.ndarray) -> "DecodedImages":
        """Return the images at `indices` (n,)."""
        return DecodedImages(self.read(indices))

    def batches(self, size: int = 64) -> Iterator[np.ndarray]:
        """Yield all images in order."""
        for start in range(0, len(self.images), size):
            yield self.images[start : start + size]


def decoded_images(records: RecordSplit, image_size: int) -> DecodedImages | None:
    """Return a split's images in memory, or None where they would take more than `DECODED_LIMIT`.

    Raises:
        DataError: an image that cannot be decoded, named.
    """
    shape = (len(records), image_size, image_size, 3)
    if 4 * np.prod(shape) > DECODED_LIMIT:
        return None
    images = np.empty(shape, "float32")
    start = 0
    for batch in image_batches(records, np.arange(len(records)), image_size, 64):
        images[start : start + len(batch)] = batch
        start += len(batch)
    return DecodedImages(images)


def image_batches(records: RecordSplit, indices: np.ndarray, image_size: int, batch_size: int) -> Iterator[tf.Tensor]:
    """Yield decoded images (n, H, W, 3) in [-1, 1] at `indices`, in order; the last batch may be smaller.

    Raises:
        DataError: an image that cannot be decoded, named.
    """

    def numbered(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        decoded = decode(records, image_size, batch)
        return batch, decoded["images"], decoded["status"]

    batches = tf.data.Dataset.from_tensor_slices(indices.astype("int64")).batch(batch_size)
    decoded = batches.map(numbered, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)
    for numbers, images, status in decoded:
        undecodable = numbers[status != Status.OK].numpy()
        if undecodable.size:  # not raised in the graph, whose errors reach the caller as TensorFlow's own
            raise DataError(
                f"Image '{records.ids[undecodable[0]]}' of split '{records.split}' cannot be decoded by TensorFlow. "
                "Prepare the collection again: `dafsn prepare` reports such an image and leaves it out."
            )
        yield images


def decode(records: RecordSplit, image_size: int, indices: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return `images` (n, H, W, 3) in [-1, 1] and `status` (n,), a `Status`, of a split's images at `indices` (n,)."""

    def read(numbers: np.ndarray) -> np.ndarray:
        return np.array(records.read_images(numbers), dtype=object)

    encoded = tf.numpy_function(read, [indices], tf.string, stateful=False)
    return ImagePreprocessor(image_size, _MAX_PIXELS)(tf.ensure_shape(encoded, [indices.shape[0]]))
