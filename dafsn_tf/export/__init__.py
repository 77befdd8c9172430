"""From a run to a version that TensorFlow Serving loads."""

from dafsn_tf.export.indexing import build_index
from dafsn_tf.export.options import ExportOptions
from dafsn_tf.export.version import export_run

__all__ = ["ExportOptions", "build_index", "export_run"]
