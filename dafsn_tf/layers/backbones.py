"""The convolutional part of the image encoder: region features and a global vector from pixels.

`inception_v3` is pre-trained on photographs and frozen, or fine-tuned from a block on; `small_cnn` is trained from
scratch, for drawings and tests.
"""

import hashlib
import os
from typing import Any

import keras
import numpy as np
from keras import ops

from dafsn_tf.errors import WeightsError

INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
WEIGHTS_VARIABLE = "DAFSN_INCEPTION_WEIGHTS"
NAME_WEIGHTS = (
    "Name the file by --set image.weights=FILE when training, by --weights FILE when evaluating or exporting; "
    f"where neither names one, {WEIGHTS_VARIABLE} does."
)
INCEPTION_CELLS = {"mixed7": (21, 16), "mixed8": (37, 32), "mixed10": (37, 32)}  # first centre and stride, pixels
SMALL_CNN_STRIDE = 8


@keras.saving.register_keras_serializable("dafsn")
class Backbone(keras.layers.Layer):
    """Region features and a global vector of a batch of images.

    Args:
        kind: "inception_v3" (pre-trained, always in inference mode) or "small_cnn" (trained).
        image_size: height and width in pixels.
        region_layer: layer of Inception-v3 whose map gives the regions.
        global_layer: layer of Inception-v3 whose average gives the global vector; of several, such as
            "mixed7+mixed8", the averages, one after the other. What lies above the highest is not computed.
        region_grid: side of the grid that regions are averaged to; 0 keeps the layer's own.
        flip_averaging: outside training, average an image's features with those of its mirror image, region by region:
            twice the work (test-time augmentation, Krizhevsky et al., NIPS 2012).
        fine_tune_from: first block of Inception-v3 whose convolutions are trained, such as "mixed8"; what lies below
            it, and every batch normalisation, stays as it was pre-trained (Yosinski et al., How transferable are
            features in deep neural networks?, NIPS 2014). "none" freezes all.

    Input shape: images (B, image_size, image_size, 3) in [-1, 1].

    Output shape: dictionary of `regions` (B, R, C), row by row, and `global` (B, C').
    """

    def __init__(
        self,
        kind: str = "inception_v3",
        image_size: int = 299,
        region_layer: str = "mixed7",
        global_layer: str = "mixed10",
        region_grid: int = 0,
        flip_averaging: bool = False,
        fine_tune_from: str = "none",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fine_tune_from = fine_tune_from
        self.flip_averaging = flip_averaging
        self.kind = kind
        self.image_size = image_size
        self.region_layer = region_layer
        self.global_layer = global_layer
        self.region_grid = region_grid
        self.pretrained = kind == "inception_v3"
        self.frozen = self.pretrained and fine_tune_from == "none"
        if self.pretrained:
            complete = _inception_v3(image_size)
            maps = [complete.get_layer(name).output for name in (region_layer, *global_layer.split("+"))]
            self.network = keras.Model(complete.input, maps)
            _freeze(self.network, below=fine_tune_from)
        else:
            self.network = _small_cnn(image_size)
        (_, side, _, self.region_channels), *global_maps = self.network.output_shape
        self.global_widths = tuple(shape[-1] for shape in global_maps)  # channels of each layer
        self.global_channels = sum(self.global_widths)
        self.grid = region_grid or side
        self._pooling = None if self.grid == side else _area_pooling(side, self.grid)

    def call(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Return `regions` (B, R, C) and `global` (B, C') of images (B, H, W, 3) in [-1, 1]."""
        features = self.encode(images, training=training)
        if training or not self.flip_averaging:
            return features
        return self.average(features, self.encode(images[:, :, ::-1]))

    def encode(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Return `regions` and `global` of images as they are, not averaged with their mirror images."""
        region_map, *global_maps = self.network(images, training=training and not self.pretrained)
        if self._pooling is not None:
            pooling = ops.cast(self._pooling, region_map.dtype)
            region_map = ops.einsum("yh,bhwc,xw->byxc", pooling, region_map, pooling)
        regions = ops.reshape(region_map, (-1, self.grid**2, self.region_channels))
        whole = ops.concatenate([ops.mean(global_map, axis=(1, 2)) for global_map in global_maps], axis=-1)
        return {"regions": regions, "global": whole}

    def average(self, features: dict[str, Any], mirrored: dict[str, Any]) -> dict[str, Any]:
        """Return the mean of images' features and their mirror images', each region with the same place's."""
        region_map = ops.reshape(mirrored["regions"], (-1, self.grid, self.grid, self.region_channels))
        regions = ops.reshape(region_map[:, :, ::-1], (-1, self.grid**2, self.region_channels))
        return {
            "regions": (features["regions"] + regions) / 2,
            "global": (features["global"] + mirrored["global"]) / 2,
        }

    def region_centres(self) -> np.ndarray:
        """Return where the regions lie: centres (R, 2) as x, y in [0, 1] of the image's width and height."""
        side = self.network.output_shape[0][1]
        first, stride = (
            INCEPTION_CELLS[self.region_layer] if self.pretrained else (SMALL_CNN_STRIDE / 2 - 0.5, SMALL_CNN_STRIDE)
        )
        centres = (first + stride * np.arange(side) + 0.5) / self.image_size
        if self._pooling is not None:
            centres = self._pooling @ centres
        x, y = np.meshgrid(centres, centres)
        return np.stack([x.ravel(), y.ravel()], axis=1).astype("float32")

    def load_pretrained(self, weights: str) -> None:
        """Load Inception-v3's ImageNet weights; without effect for a backbone that is trained from scratch.

        Args:
            weights: "imagenet" (the file that `DAFSN_INCEPTION_WEIGHTS` names, else Keras' download), a .h5 file in
                the layout of Keras' `notop` file, or "none" to keep random weights.

        Raises:
            WeightsError: no such file, a file of another layout, or a download that failed.
        """
        if not self.pretrained or weights == "none":
            return
        complete = _inception_v3(self.image_size)
        _load_inception(complete, os.environ.get(WEIGHTS_VARIABLE, "") if weights == "imagenet" else weights)
        # Names are numbered afresh in every network; the order of layers is the same as far as ours goes.
        for ours, source in zip(self.network.layers, complete.layers, strict=False):
            ours.set_weights(source.get_weights())

    def fingerprint(self) -> str:
        """Return the SHA-256 of the weights in layer order, kernels rounded to float16 (DESIGN section 2)."""
        digest = hashlib.sha256()
        for layer in self.network.layers:
            for weight in layer.get_weights():
                digest.update(np.ascontiguousarray(weight, "float16" if weight.ndim > 1 else "float32").tobytes())
        return digest.hexdigest()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kind": self.kind,
            "image_size": self.image_size,
            "region_layer": self.region_layer,
            "global_layer": self.global_layer,
            "region_grid": self.region_grid,
            "flip_averaging": self.flip_averaging,
            "fine_tune_from": self.fine_tune_from,
        }


def _inception_v3(image_size: int) -> keras.Model:
    options: dict[str, Any] = {"weights": None, "input_shape": (image_size, image_size, 3)}  # Keras types None away
    return keras.applications.InceptionV3(include_top=False, **options)


def _freeze(network: keras.Model, below: str) -> None:
    """Freeze batch normalisation, and all layers below a block; all there are where it is "none"."""
    learns, last_frozen = False, "" if below == "none" else f"mixed{int(below.removeprefix('mixed')) - 1}"
    for layer in network.layers:  # from the images on; every block ends in one layer, which bears its name
        layer.trainable = learns and not isinstance(layer, keras.layers.BatchNormalization)
        learns = learns or layer.name == last_frozen


def _load_inception(network: keras.Model, path: str) -> None:
    if not path:
        try:
            path = keras.utils.get_file(
                INCEPTION_FILE,
                f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{INCEPTION_FILE}",
                cache_subdir="models",
                file_hash="bcbd6486424b2319ff4ef7d526e38f63",
            )
        except Exception as error:  # urllib, ssl, socket and Keras raise kinds of their own
            raise WeightsError(
                f"Inception-v3's weights could not be downloaded ({error}). Get {INCEPTION_FILE} from Keras "
                f"Applications. {NAME_WEIGHTS}"
            ) from error
    if not os.path.isfile(path):
        found = f"{path} is a folder, not" if os.path.isdir(path) else f"There is no file {path}, which should be"
        raise WeightsError(f"{found} a copy of {INCEPTION_FILE}. {NAME_WEIGHTS}")
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise WeightsError(
            f"{path} does not hold Inception-v3's weights without top ({str(error).splitlines()[0]}). "
            f"Expected the layout of {INCEPTION_FILE}."
        ) from error


def _small_cnn(image_size: int) -> keras.Model:
    """Return five convolutions; even padding keeps the cells' centres those of an even tiling.

    A region sees 28 pixels, a small object of `shapes`, so that words point at middles; the global branch sees 84.
    """
    images = keras.Input((image_size, image_size, 3))
    regions = images
    for filters, kernel, stride in ((48, 8, 4), (96, 6, 2), (128, 1, 1)):
        regions = _convolution(regions, filters, kernel, stride)
    whole = _convolution(_convolution(regions, 128, 4, 2), 128, 3, 1)
    regions = keras.layers.AveragePooling2D(3, 1, padding="same")(regions)  # a peak lies in the middle of what it sees
    return keras.Model(images, [regions, whole])


def _convolution(features: Any, filters: int, kernel: int, stride: int) -> Any:
    features = keras.layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False)(features)
    return keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(features))


def _area_pooling(side: int, grid: int) -> np.ndarray:
    """Return (grid, side): each new cell's shares of the old ones it covers, rows summing to 1."""
    edges = np.arange(grid + 1) * side / grid
    cells = np.arange(side)
    overlap = np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells)
    overlap = np.maximum(overlap, 0)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype("float32")
