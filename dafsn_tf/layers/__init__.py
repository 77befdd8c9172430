"""Keras layers of the two players, written in `keras.ops`: they run on every Keras backend."""

from dafsn_tf.layers.canonical_projections import CanonicalProjections
from dafsn_tf.layers.feature_pooling import FeaturePooling
from dafsn_tf.layers.feature_standardizer import FeatureStandardizer
from dafsn_tf.layers.image_encoder import ImageEncoder
from dafsn_tf.layers.modality_discriminator import ModalityDiscriminator
from dafsn_tf.layers.querybank import QuerybankNormalization
from dafsn_tf.layers.text_encoder import TextEncoder
from dafsn_tf.layers.unit_vectors import unit_vectors
from dafsn_tf.layers.word_region_attention import WordRegionAttention

__all__ = [
    "CanonicalProjections",
    "FeaturePooling",
    "FeatureStandardizer",
    "ImageEncoder",
    "ModalityDiscriminator",
    "QuerybankNormalization",
    "TextEncoder",
    "WordRegionAttention",
    "unit_vectors",
]
