"""Calls as a generated stub makes them, for tests that look at codes and texts."""

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

PREDICTION = "/tensorflow.serving.PredictionService/"
MODEL = "/tensorflow.serving.ModelService/"


def stub(channel: grpc.Channel, method: str, response_class: Any) -> Any:
    """Return a method of the server as a callable."""
    return channel.unary_unary(
        method,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response_class.FromString,
    )


def status_of(call: Callable[[], Any]) -> tuple[str, str]:
    """Return code and text of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


def predict_request(
    signature: str = "",
    *,
    output_filter: Any = (),
    name: str = "dafsn",
    version: int | None = None,
    label: str | None = None,
    **inputs: Any,
) -> Any:
    """Return a PredictRequest; `inputs` are values or TensorProtos."""
    request = predict_pb2.PredictRequest(output_filter=output_filter)
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for alias, value in inputs.items():
        tensor = value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        request.inputs[alias].CopyFrom(tensor)
    return request


def caller(channel: grpc.Channel) -> Callable[..., Any]:
    """Return a function that calls Predict, see `predict_request`."""

    def call(signature: str = "", timeout: float | None = 10.0, **arguments: Any) -> Any:
        predict = stub(channel, f"{PREDICTION}Predict", predict_pb2.PredictResponse)
        return predict(predict_request(signature, **arguments), timeout=timeout)

    return call


def answered(call: Callable[[], Any]) -> bool:
    """Return whether a call succeeds."""
    try:
        call()
    except grpc.RpcError:
        return False
    return True


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Return when a condition holds; fail after so long."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it does not hold after {seconds:g} s"
        time.sleep(0.02)


def turns(count: int, rows: int = 1) -> tensor_pb2.TensorProto:
    """Return input of the toy's `slow` that goes round so often."""
    return tf.make_tensor_proto([count] * rows, tf.int64)


def forever(rows: int = 1) -> tensor_pb2.TensorProto:
    """Return input of the toy's `slow` that only a deadline ends."""
    return turns(10**12, rows)
