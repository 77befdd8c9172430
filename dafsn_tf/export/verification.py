"""Whether an exported version answers as the model it was made from."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dafsn_tf.errors import ExportError
from dafsn_tf.export.warmup import samples

Endpoints = dict[str, tuple[Any, list[tf.TensorSpec]]]  # function and its inputs, by signature

TOLERANCE = 1e-5  # of the largest absolute value of an output, or of 1
_BAD = {"texts": [b"", b"\xff\xfe"], "images": [b"", b"no image"]}


def verify(folder: Path, endpoints: Endpoints, vocabulary: list[str]) -> dict[str, Any]:
    """Run every signature in a session as a server opens it, beside the function it was made from.

    Each is asked whole rows, rows that get a status, and no rows at all.

    Returns:
        SignatureDef by name, as the loader read them.

    Raises:
        ExportError: an answer that differs.
    """
    good = samples(vocabulary, 3)
    rows = {name: np.array([*good[name], *_BAD[name]], object) for name in good}
    asked = [rows, {name: values[:0] for name, values in rows.items()}]
    expected = {
        name: [function(*(tf.constant(values[str(spec.name)], tf.string) for spec in inputs)) for values in asked]
        for name, (function, inputs) in endpoints.items()
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
        for name, answers in expected.items():
            signature = loaded.signature_def[name]
            names = {key: info.name for key, info in signature.outputs.items()}
            for values, outputs in zip(asked, answers, strict=True):
                feeds = {info.name: values[key] for key, info in signature.inputs.items()}
                for key, answer in session.run(names, feeds).items():
                    _compare(f"{name}.{key}", answer, outputs[key].numpy())
    return dict(loaded.signature_def)


def _compare(name: str, answer: np.ndarray, expected: np.ndarray) -> None:
    if answer.shape != expected.shape:
        same = False
    elif answer.dtype.kind == "f":
        same = np.abs(answer - expected).max(initial=0) <= TOLERANCE * np.abs(expected).max(initial=1)
    else:
        same = bool((answer == expected).all())
    if not same:
        raise ExportError(f"The exported version answers {name} otherwise than the model; it was not published.")
