"""DAFSN for Keras and TensorFlow: search pictures with words and words with pictures.

`DAFSN` is the model, `load_config` its configuration, `prepare`, `train`, `load_run`, `evaluate_run`, `explain`,
`export_run`, `PictureFolder` and `Index` the way from a folder of pictures to answers. Names are imported when they are
used, so that `import dafsn_tf` is quick.
"""

import importlib
from typing import Any

_PLACES = {
    "DAFSN": "dafsn_tf.models",
    "Config": "dafsn_tf.config",
    "Index": "dafsn_tf.retrieval",
    "PictureFolder": "dafsn_tf.own_pictures",
    "evaluate_run": "dafsn_tf.evaluation.evaluate",
    "explain": "dafsn_tf.reporting.attention",
    "export_run": "dafsn_tf.export",
    "load_config": "dafsn_tf.config",
    "load_run": "dafsn_tf.runs",
    "prepare": "dafsn_tf.data.prepare",
    "train": "dafsn_tf.training",
}

__all__ = list(_PLACES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'dafsn_tf' has no attribute '{name}'")
    return getattr(importlib.import_module(_PLACES[name]), name)
