"""TensorFlow Serving's methods as calls, by tensorflow-serving-api's own messages."""

import time
from typing import Any

import grpc
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

PREDICTION = "/tensorflow.serving.PredictionService/"
MODEL = "/tensorflow.serving.ModelService/"
AVAILABLE, END = 30, 50  # ModelVersionStatus.State
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Asker:
    """The four methods over a channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def call(self, method: str, request: Any, response_class: Any, timeout: float | None = 30.0) -> Any:
        return self.start(method, request, response_class, timeout).result()

    def start(self, method: str, request: Any, response_class: Any, timeout: float | None = 30.0) -> Any:
        """Return the future of a call."""
        stub = self.channel.unary_unary(
            method,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_class.FromString,
        )
        return stub.future(request, timeout=timeout)

    def predict(self, signature: str = "", *, timeout: float | None = 30.0, **arguments: Any) -> Any:
        """Call Predict; see `predict_request`."""
        return self.call(f"{PREDICTION}Predict", predict_request(signature, **arguments), _Predicted, timeout)

    def start_predict(self, signature: str = "", *, timeout: float | None = 30.0, **arguments: Any) -> Any:
        """Return the future of a Predict."""
        return self.start(f"{PREDICTION}Predict", predict_request(signature, **arguments), _Predicted, timeout)

    def metadata(self, *fields: str, name: str = "toy") -> Any:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = name
        response = get_model_metadata_pb2.GetModelMetadataResponse
        return self.call(f"{PREDICTION}GetModelMetadata", request, response)

    def status(self, name: str = "toy", version: int | None = None, label: str = "") -> Any:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if label:
            request.model_spec.version_label = label
        if version is not None:
            request.model_spec.version.value = version
        return self.call(f"{MODEL}GetModelStatus", request, get_model_status_pb2.GetModelStatusResponse)

    def states(self, name: str) -> dict[int, int]:
        """Return state by version."""
        return {entry.version: entry.state for entry in self.status(name).model_version_status}

    def wait_for(self, name: str, states: dict[int, int], seconds: float = 30.0) -> None:
        """Return when these versions have these states and all others have ended; fail after `seconds`."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self.states(name)
            if {number: state for number, state in seen.items() if state != END or number in states} == states:
                return
            if time.monotonic() > deadline:
                pytest.fail(f"versions of {name} are {seen}, not {states}, after {seconds:g} s")
            time.sleep(0.05)

    def reload(self, *configs: dict, timeout: float = 120.0) -> Any:
        """Replace the server's configuration by models of `name`, `base_path` and perhaps `platform`, `specific`
        (version numbers), `latest` (how many) and `labels`.
        """
        request = model_management_pb2.ReloadConfigRequest()
        for config in configs:
            entry = request.config.model_config_list.config.add(name=config["name"], base_path=config["base_path"])
            entry.model_platform = config.get("platform", "tensorflow")
            entry.model_version_policy.specific.versions.extend(config.get("specific", ()))
            if "latest" in config:
                entry.model_version_policy.latest.num_versions = config["latest"]
            elif "specific" not in config:
                entry.ClearField("model_version_policy")
            entry.version_labels.update(config.get("labels", {}))
        response = model_management_pb2.ReloadConfigResponse
        return self.call(f"{MODEL}HandleReloadConfigRequest", request, response, timeout)


_Predicted = predict_pb2.PredictResponse


def predict_request(
    signature: str = "",
    *,
    output_filter: Any = (),
    name: str = "toy",
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


def unlimited(target: str) -> grpc.Channel:
    """Return a channel that takes messages of any size."""
    return grpc.insecure_channel(target, options=_UNLIMITED)


def status_of(call: Any) -> tuple[str, str]:
    """Return code and details of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()
