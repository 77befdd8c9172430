"""Regions and whole images: backbone, standardised features, two linear projections (DESIGN section 2)."""

from typing import Any

import keras
from keras import ops

from dafsn_tf.errors import WeightsError
from dafsn_tf.layers.backbones import Backbone
from dafsn_tf.layers.feature_pooling import FeaturePooling
from dafsn_tf.layers.feature_standardizer import FeatureStandardizer


@keras.saving.register_keras_serializable("dafsn")
class ImageEncoder(keras.layers.Layer):
    """Region features and a global image feature, from pixels or from the backbone's features.

    A frozen backbone may be left out (`include_backbone=False`): training reads its features from a cache, and a
    checkpoint then holds the heads alone.

    Args:
        dim: D.
        backbone: "inception_v3" or "small_cnn".
        image_size: height and width in pixels.
        region_layer: Inception-v3's layer for regions, "mixed7" (17 x 17 regions; AttnGAN's "mixed_6e", Xu et al., CVPR
            2018), "mixed8" or "mixed10".
        global_layer: Inception-v3's layer for the whole image, "mixed10" in AttnGAN; of several, such as
            "mixed7+mixed8", the averages stand side by side (multi-level features: Hariharan et al., Hypercolumns,
            CVPR 2015).
        region_grid: side of the grid that regions are averaged to, this package's own; 0 keeps the layer's, as AttnGAN
            does.
        dropout: share of backbone features dropped in training, [0, 1).
        region_dropout: share of whole regions dropped in training, [0, 1): zero for the words, absent from a pooling
            (features dropped as sets: Chen et al., Learning the Best Pooling Strategy, CVPR 2021).
        global_pooling: the image feature is made from the backbone's "mean" of `global_layer`, or from the "max" or
            "gpo" of the regions (`FeaturePooling`; the three are compared by Chen et al., CVPR 2021).
        flip_averaging: whether, outside training, pixels are seen mirrored too and the features averaged.
        fine_tune_from: first block of Inception-v3 that is trained, see `Backbone`; "none" freezes all.
        include_backbone: whether pixels can be encoded.

    Input shape: images (B, H, W, 3) in [-1, 1], or a dictionary of the backbone's `regions` (B, R, C) and
    `global` (B, C').

    Output shape: dictionary of `region_features` (B, R, D), `image_features` (B, D), and `global_vectors` (B, C'), the
    standardised features that the whole image is known by (those of the backbone where it is trained from scratch).
    """

    def __init__(
        self,
        dim: int = 256,
        backbone: str = "inception_v3",
        image_size: int = 299,
        region_layer: str = "mixed7",
        global_layer: str = "mixed10",
        region_grid: int = 0,
        dropout: float = 0.0,
        region_dropout: float = 0.0,
        global_pooling: str = "mean",
        flip_averaging: bool = False,
        fine_tune_from: str = "none",
        include_backbone: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.backbone_kind = backbone
        self.image_size = image_size
        self.region_layer = region_layer
        self.global_layer = global_layer
        self.region_grid = region_grid
        self.dropout = dropout
        self.region_dropout = region_dropout
        self.global_pooling = global_pooling
        self.flip_averaging = flip_averaging
        self.fine_tune_from = fine_tune_from
        self.include_backbone = include_backbone
        policy = self.dtype_policy
        shapes = Backbone(
            backbone,
            image_size,
            region_layer,
            global_layer,
            region_grid,
            flip_averaging,
            fine_tune_from,
            dtype=policy,
            name="backbone",
        )
        self.region_channels, self.global_channels = shapes.region_channels, shapes.global_channels
        self.region_centres = shapes.region_centres()  # (R, 2), x and y in [0, 1]
        self.backbone = shapes if include_backbone else None
        standardized = shapes.pretrained
        self.region_standardizer = FeatureStandardizer(dtype=policy) if standardized else None
        self.global_standardizer = FeatureStandardizer(shapes.global_widths, dtype=policy) if standardized else None
        self.region_values_dropout = keras.layers.Dropout(dropout, dtype=policy)
        self.global_values_dropout = keras.layers.Dropout(dropout, dtype=policy)
        self.whole_region_dropout = keras.layers.Dropout(region_dropout, noise_shape=(None, None, 1), dtype=policy)
        self.pooling = None if global_pooling == "mean" else FeaturePooling(global_pooling, dtype=policy)
        self.region_projection = keras.layers.Dense(dim, use_bias=False, dtype=policy)
        self.global_projection = keras.layers.Dense(dim, dtype=policy)

    def build(self, input_shape: Any) -> None:
        del input_shape  # channels follow from the backbone, whichever form the input has
        regions, whole = (None, None, self.region_channels), (None, self.global_channels)
        if self.region_standardizer is not None and self.global_standardizer is not None:
            self.region_standardizer.build(regions)
            self.global_standardizer.build(whole)
        if self.pooling is not None:
            self.pooling.build(regions)
            whole = (None, self.region_channels)
        self.region_projection.build(regions)
        self.global_projection.build(whole)
        self.built = True

    def call(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Return `region_features`, `image_features` and `global_vectors` of pixels or of backbone features."""
        backbone_features = images if isinstance(images, dict) else self.encode_pixels(images, training=training)
        regions, whole = backbone_features["regions"], backbone_features["global"]
        if self.region_standardizer is not None and self.global_standardizer is not None:
            regions, whole = self.region_standardizer(regions), self.global_standardizer(whole)
        vectors = whole
        regions = self.region_values_dropout(regions, training=training)
        kept = self.whole_region_dropout(ops.ones_like(regions[..., :1]), training=training)  # (B, R, 1)
        if self.pooling is None:
            whole = self.global_values_dropout(whole, training=training)
        else:
            whole = self.pooling(regions, kept[..., 0] > 0)  # a dropped region is absent, not a vector of zeros
        regions = regions * kept
        return {
            "region_features": self.region_projection(regions),
            "image_features": self.global_projection(whole),
            "global_vectors": vectors,
        }

    def encode_pixels(self, images: Any, training: bool = False) -> dict[str, Any]:
        """Return the backbone's `regions` (B, R, C) and `global` (B, C') of images (B, H, W, 3) in [-1, 1].

        Raises:
            WeightsError: the encoder was built without its backbone.
        """
        if self.backbone is None:
            raise WeightsError(
                "This model holds the heads alone and cannot read pixels: "
                "load it with its backbone (include_backbone=True)."
            )
        return self.backbone(images, training=training)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "backbone": self.backbone_kind,
            "image_size": self.image_size,
            "region_layer": self.region_layer,
            "global_layer": self.global_layer,
            "region_grid": self.region_grid,
            "dropout": self.dropout,
            "region_dropout": self.region_dropout,
            "global_pooling": self.global_pooling,
            "flip_averaging": self.flip_averaging,
            "fine_tune_from": self.fine_tune_from,
            "include_backbone": self.include_backbone,
        }
