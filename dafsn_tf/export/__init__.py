"""From a run to a version that TensorFlow Serving loads."""

from dafsn_tf.export.options import ExportOptions
from dafsn_tf.export.version import build_index, export_run

__all__ = ["ExportOptions", "build_index", "export_run"]
