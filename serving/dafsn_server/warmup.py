"""Warm-up: the requests that an export carries along, replayed before the version is offered."""

from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from dafsn_server.predict import predict
from dafsn_server.refusal import Refusal, invalid

_FILE = "assets.extra/tf_serving_warmup_requests"
_MAX_RECORDS = 1000


def warm_up(model: Any) -> int:
    """Replay what `model`, a `LoadedModel` or one that batches its runs, carries along; no deadline.

    Returns:
        How many recorded requests were replayed; 0 where the version carries none.

    Raises:
        Refusal: too many records, one that is no Predict, or one that the model refuses: the version must not serve.
    """
    path = model.path / _FILE
    if not path.is_file():
        return 0
    count = 0
    options = tf.data.Options()
    options.autotune.enabled = False  # its thread has been seen to outlive the last record, and the server to wait
    for record in tf.data.TFRecordDataset(str(path)).with_options(options).as_numpy_iterator():
        if count == _MAX_RECORDS:
            raise invalid(f"Number of warmup records exceeds the maximum ({_MAX_RECORDS}) at {path}")
        log = prediction_log_pb2.PredictionLog.FromString(record)
        kind = log.WhichOneof("log_type")
        if kind != "predict_log":
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
        predict(model, log.predict_log.request, predict_pb2.PredictResponse())
        count += 1
    return count
