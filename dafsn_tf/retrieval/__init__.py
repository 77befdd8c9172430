"""Encoding raw texts and pictures, and searching an indexed collection with them."""

from dafsn_tf.retrieval.encoder import Encoder
from dafsn_tf.retrieval.index import Index

__all__ = ["Encoder", "Index"]
