"""Warm-up: requests that a server replays before it offers a version, so that no caller waits for the first graph."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

FILE = "assets.extra/tf_serving_warmup_requests"
BATCH_SIZES = (1, 4, 16)
Samples = dict[str, list[bytes]]  # rows by the name of a signature's input


def samples(vocabulary: Sequence[str], count: int) -> Samples:
    """Return `count` texts of one word and more, from the middle of a vocabulary, and as many drawn pictures."""
    generator = np.random.default_rng(0)
    words = list(vocabulary[len(vocabulary) // 2 :])
    texts = [" ".join(words[place % len(words)] for place in range(row + 1)).encode() for row in range(count)]
    images = []
    for row in range(count):
        noise = generator.integers(0, 256, (120 + 8 * row, 160, 3), "uint8")
        images.append((tf.io.encode_jpeg if row % 2 == 0 else tf.io.encode_png)(noise).numpy())
    return {"texts": texts, "images": images}


def write_warmup(folder: Path, name: str, signatures: Mapping[str, Iterable[str]], vocabulary: Sequence[str]) -> None:
    """Write a Predict of each signature at each of `BATCH_SIZES` into a version folder.

    Args:
        folder: of the version.
        name: of the model.
        signatures: names of the inputs (`texts`, `images`) by signature.
        vocabulary: words of the model.
    """
    rows = samples(vocabulary, max(BATCH_SIZES))
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for size in BATCH_SIZES:
            for signature, inputs in signatures.items():
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = name
                request.model_spec.signature_name = signature
                for key in inputs:
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(rows[key][:size], tf.string))
                writer.write(log.SerializeToString())
