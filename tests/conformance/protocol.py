"""TensorFlow Serving's methods as calls, by tensorflow-serving-api's own messages."""

import time
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)
from wire import MODEL, PREDICTION, predict_request, stub

AVAILABLE, END = 30, 50  # ModelVersionStatus.State
NOT_THERE = "no-such-model"  # a name that nobody serves
_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Asker:
    """The methods over a channel; models are `toy` unless said otherwise."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def call(self, method: str, request: Any, response_class: Any, timeout: float | None = 30.0) -> Any:
        return stub(self.channel, method, response_class)(request, timeout=timeout)

    def predict(self, signature: str = "", *, timeout: float | None = 30.0, name: str = "toy", **arguments: Any) -> Any:
        """Call Predict; see `predict_request`."""
        return self.start_predict(signature, timeout=timeout, name=name, **arguments).result()

    def start_predict(
        self, signature: str = "", *, timeout: float | None = 30.0, name: str = "toy", **arguments: Any
    ) -> Any:
        """Return the future of a Predict."""
        predict = stub(self.channel, f"{PREDICTION}Predict", predict_pb2.PredictResponse)
        return predict.future(predict_request(signature, name=name, **arguments), timeout=timeout)

    def metadata(self, *fields: str, name: str = "toy", version: int | None = None) -> Any:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = name
        if version is not None:
            request.model_spec.version.value = version
        response = get_model_metadata_pb2.GetModelMetadataResponse
        return self.call(f"{PREDICTION}GetModelMetadata", request, response)

    def signatures(self, name: str) -> dict[str, Any]:
        """Return the signatures that a model's metadata list, the loader's own left out."""
        held = get_model_metadata_pb2.SignatureDefMap()
        assert self.metadata("signature_def", name=name).metadata["signature_def"].Unpack(held)
        return {key: value for key, value in held.signature_def.items() if not key.startswith("__")}

    def status(self, name: str = "toy", version: int | None = None, label: str = "") -> Any:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        if label:
            request.model_spec.version_label = label
        if version is not None:
            request.model_spec.version.value = version
        response = get_model_status_pb2.GetModelStatusResponse
        return self.call(f"{MODEL}GetModelStatus", request, response).model_version_status

    def states(self, name: str) -> dict[int, int]:
        """Return state by version."""
        return {entry.version: entry.state for entry in self.status(name)}

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
        return self.send_reload(request, timeout)

    def send_reload(self, request: Any, timeout: float = 120.0) -> Any:
        """Call HandleReloadConfigRequest."""
        response = model_management_pb2.ReloadConfigResponse
        return self.call(f"{MODEL}HandleReloadConfigRequest", request, response, timeout)


def unlimited(target: str) -> grpc.Channel:
    """Return a channel that takes messages of any size."""
    return grpc.insecure_channel(target, options=_UNLIMITED)
