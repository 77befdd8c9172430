"""The model: where the two players meet."""

from dafsn_tf.models.dafsn import DAFSN

__all__ = ["DAFSN"]
