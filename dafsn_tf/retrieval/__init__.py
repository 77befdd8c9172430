"""Encoding raw texts and pictures, and searching an indexed collection with them."""

from dafsn_tf.retrieval.encoder import Encoder
from dafsn_tf.retrieval.index import Index
from dafsn_tf.retrieval.picture_cache import PictureCache, PictureFeatures

__all__ = ["Encoder", "Index", "PictureCache", "PictureFeatures"]
