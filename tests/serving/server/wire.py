"""Calls as a generated stub makes them, for tests that look at codes and texts."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

PREDICTION = "/tensorflow.serving.PredictionService/"
MODEL = "/tensorflow.serving.ModelService/"


def ask(channel: grpc.Channel, method: str, request: Any, response_class: Any, timeout: float | None = 10) -> Any:
    """Call a method and return its answer."""
    stub = channel.unary_unary(
        method,
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response_class.FromString,
    )
    return stub(request, timeout=timeout)


def status_of(call: Callable[[], Any]) -> tuple[str, str]:
    """Return code and text of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


def caller(channel: grpc.Channel) -> Callable[..., Any]:
    """Return a function that calls Predict, on model `dafsn` by default; inputs are values or TensorProtos."""

    def call(signature="", output_filter=(), name="dafsn", version=None, label=None, timeout=10.0, **inputs):
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
        return ask(channel, f"{PREDICTION}Predict", request, predict_pb2.PredictResponse, timeout)

    return call


def forever() -> tensor_pb2.TensorProto:
    """Return turns for the toy's `slow` that only a deadline ends."""
    return tf.make_tensor_proto([10**12], tf.int64)
