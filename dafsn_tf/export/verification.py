"""Whether an exported version answers as the model it was made from."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dafsn_tf.errors import ExportError
from dafsn_tf.export.warmup import samples

Endpoints = dict[str, tuple[Any, list[tf.TensorSpec]]]  # function and its inputs, by signature

TOLERANCE = 1e-5  # largest absolute difference of an output
_BAD = {"texts": [b"", b"\xff\xfe"], "images": [b"", b"no image"]}


def verify(folder: Path, endpoints: Endpoints, vocabulary: list[str]) -> dict[str, Any]:
    """Run every signature in a session as a server opens it, beside the function it was made from.

    Returns:
        SignatureDef by name, as the loader read them.

    Raises:
        ExportError: an answer that differs by more than `TOLERANCE`.
    """
    signatures, differences = compare(folder, endpoints, vocabulary)
    differing = [f"{name} by {difference:.1g}" for name, difference in differences.items() if difference > TOLERANCE]
    if differing:
        raise ExportError(
            f"The exported version answers otherwise than the model: {', '.join(differing)}, where {TOLERANCE:g} is "
            "allowed; it was not published."
        )
    return signatures


def compare(folder: Path, endpoints: Endpoints, vocabulary: list[str]) -> tuple[dict[str, Any], dict[str, float]]:
    """Ask every signature in a session, and its function here, whole rows, rows that get a status, and no rows.

    Returns:
        SignatureDef by name, as the loader read them; the largest absolute difference by `signature.output`, infinite
        where shapes, strings or whole numbers are not the same.
    """
    good = samples(vocabulary, 3)
    rows = {name: np.array([*good[name], *_BAD[name]], object) for name in good}
    asked = [rows, {name: values[:0] for name, values in rows.items()}]
    expected = {
        name: [function(*(tf.constant(values[str(spec.name)], tf.string) for spec in inputs)) for values in asked]
        for name, (function, inputs) in endpoints.items()
    }
    differences: dict[str, float] = {}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        for name, answers in expected.items():
            signature = loaded.signature_def[name]
            names = {key: info.name for key, info in signature.outputs.items()}
            for values, outputs in zip(asked, answers, strict=True):
                feeds = {info.name: values[key] for key, info in signature.inputs.items()}
                for key, answer in session.run(names, feeds).items():
                    difference = _difference(answer, outputs[key].numpy())
                    differences[f"{name}.{key}"] = max(difference, differences.get(f"{name}.{key}", 0.0))
    return dict(loaded.signature_def), differences


def _difference(answer: np.ndarray, expected: np.ndarray) -> float:
    if answer.shape == expected.shape and answer.dtype.kind == "f":
        difference = float(np.abs(answer - expected).max(initial=0))
        return difference if np.isfinite(difference) else np.inf
    return 0.0 if np.array_equal(answer, expected) else np.inf
