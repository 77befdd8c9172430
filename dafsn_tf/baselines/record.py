"""What the JSON of a run holds."""

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from dafsn_tf.baselines.queries import query_values
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.evaluation.protocols import Collection, evaluate_scores

_PACKAGES = ("dafsn-tf", "tensorflow", "keras", "scikit-learn", "numpy")


def run_record(
    method: str,
    seed: int,
    settings: dict[str, Any],
    validation: float,
    seconds: float,
    scores: Mapping[str, np.ndarray],
    manifest: Manifest,
    collection: Collection,
    **more: Any,
) -> dict[str, Any]:
    """Return what a run's JSON holds; the last of its scores is the one that it is judged by.

    Args:
        method: name of the method or ablation.
        seed: of the run.
        settings: what it was made with, fit for JSON.
        validation: its value on the validation split.
        seconds: of its fit and its scoring.
        scores: (N, B) of the test split by name.
        manifest: the prepared collection.
        collection: the texts and images that were scored.
        **more: further entries, fit for JSON.
    """
    *_, judged = scores
    texts, images = scores[judged].shape
    return {
        "method": method,
        "dataset": manifest.name,
        "collection": manifest.digest,
        "seed": seed,
        "settings": settings,
        **more,
        "validation": validation,
        "seconds": round(seconds, 1),
        "train_images": manifest.splits["train"].num_images,
        "images": images,
        "texts": texts,
        "score": judged,
        "test": evaluate_scores(scores, collection),
        "per_query": query_values(scores[judged], collection),
        "command": sys.argv,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {name: version(name) for name in _PACKAGES},
    }
