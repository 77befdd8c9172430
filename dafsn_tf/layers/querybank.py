"""Cosines less how near a text is to images at large, and an image to texts; `evaluation.querybank` fits them.

In a space of many dimensions some points are near to nearly all others (Radovanovic et al., Hubs in Space, JMLR 2010):
such an image is found for every text. How near an image is to a bank of training texts tells so before any question is
asked (Bogolin et al., Cross Modal Retrieval with Querybank Normalisation, CVPR 2022; Smith et al., Offline bilingual
word vectors and the inverted softmax, ICLR 2017).
"""

from typing import Any

import keras
from keras import ops

from dafsn_tf.layers.unit_vectors import unit_vectors

COLUMNS = 4  # that features have more than before
NEVER = -3e4  # logarithm of the share of a centre that is not there; float16 holds it


@keras.saving.register_keras_serializable("dafsn")
class QuerybankNormalization(keras.layers.Layer):
    """Four more columns by which the cosine of a text t and an image i becomes one that is proportional to

        cos(t, i) - strength (b(t) + b(i)),

    b(x) = log(sum_k share_k exp(sharpness cos(x, centre_k))) / sharpness, less its mean over the training split, where
    centres are of the other modality; b is kept within `bound`. Nothing of it is trained by gradients; with no
    strength, as it begins, the columns are zeros.

    Args:
        centres: K, of each modality.
        dim: F, width of the features.

    Weights: `text_centres` and `image_centres` (K, F) at unit length or shorter; the logarithms of their shares,
    `text_shares` and `image_shares` (K,); `text_mean` and `image_mean`, of b; `sharpness` and `bound`, positive;
    `strength`, not negative.
    """

    def __init__(self, centres: int, dim: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32", "trainable": False})
        self.centres, self.dim = centres, dim

    def build(self, input_shape: Any = None) -> None:
        del input_shape
        shapes = {
            "text_centres": (self.centres, self.dim),
            "image_centres": (self.centres, self.dim),
            "text_shares": (self.centres,),
            "image_shares": (self.centres,),
            "text_mean": (),
            "image_mean": (),
            "sharpness": (),
            "bound": (),
            "strength": (),
        }
        for name, shape in shapes.items():
            start = "ones" if name in ("sharpness", "bound") else "zeros"
            weight = self.add_weight(shape=shape, initializer=start, trainable=False, autocast=False, name=name)
            setattr(self, name, weight)
        self.built = True

    def text_nearness(self, features: Any) -> Any:
        """Return b (N,) of sentence features (N, F): how near they are to images at large."""
        return self._nearness(features, self.image_centres, self.image_shares) - self.text_mean

    def image_nearness(self, features: Any) -> Any:
        """Return b (B,) of image features (B, F): how near they are to texts at large."""
        return self._nearness(features, self.text_centres, self.text_shares) - self.image_mean

    def texts(self, features: Any) -> Any:
        """Return sentence features (N, F) with their columns, (N, F + 4), at unit length where they are not zero."""
        nearness, constant, rest, none = self._columns(features, self.text_nearness(features))
        return ops.concatenate([self._shortened(features), nearness, constant, rest, none], axis=-1)

    def images(self, features: Any) -> Any:
        """Return image features (B, F) with their columns, (B, F + 4), at unit length where they are not zero."""
        nearness, constant, rest, none = self._columns(features, self.image_nearness(features))
        return ops.concatenate([self._shortened(features), constant, nearness, none, rest], axis=-1)

    def call(self, sentences: Any, images: Any) -> tuple[Any, Any]:
        """Return both with their columns."""
        return self.texts(sentences), self.images(images)

    def _nearness(self, features: Any, centres: Any, shares: Any) -> Any:
        cosines = ops.matmul(unit_vectors(features), ops.transpose(centres))
        return ops.logsumexp(self.sharpness * cosines + shares, axis=-1) / self.sharpness

    def _length(self) -> Any:
        """Return the length that features themselves keep, so that with their columns none is longer than 1."""
        return 1 / ops.sqrt(1 + 2 * self.strength * self.bound)

    def _shortened(self, features: Any) -> Any:
        return self._length() * unit_vectors(features)

    def _columns(self, features: Any, nearness: Any) -> tuple[Any, Any, Any, Any]:
        """Return what a feature's nearness takes from its cosines, what the other side's meets, and what is left to 1.

        The product of the first with the second of the other side is length^2 strength b.
        """
        length, there = self._length(), ops.cast(ops.any(features != 0, axis=-1), "float32")
        kept = ops.clip(nearness, -self.bound, self.bound)
        taken = -length * ops.sqrt(self.strength / self.bound) * kept * there
        constant = length * ops.sqrt(self.strength * self.bound) * there
        rest = ops.sqrt(ops.maximum(there - ops.square(length) * there - ops.square(taken) - ops.square(constant), 0.0))
        return taken[:, None], constant[:, None], rest[:, None], ops.zeros_like(rest)[:, None]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "centres": self.centres, "dim": self.dim}
