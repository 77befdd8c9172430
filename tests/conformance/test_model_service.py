"""Metadata, status and reload: SERVING.md section 3, with models made for it."""

import pytest
from protocol import AVAILABLE
from tensorflow_serving.apis import get_model_metadata_pb2, inference_pb2, model_management_pb2
from wire import PREDICTION, status_of


def test_metadata_hold_the_loaders_own_signature_too(toy):
    held = get_model_metadata_pb2.SignatureDefMap()
    assert toy.metadata("signature_def").metadata["signature_def"].Unpack(held)
    assert "__saved_model_init_op" in held.signature_def
    assert held.signature_def["defaulted"].defaults["b"].float_val == [10.0]


def test_status_lists_the_loaded_version(toy):
    assert [entry.version for entry in toy.status() if entry.state == AVAILABLE] == [2]


def test_a_reload_has_a_status_of_its_own(toy, served):
    response = toy.reload(served.config("toy"), served.config("swap"))
    assert response.HasField("status")
    assert (response.status.error_code, response.status.error_message) == (0, "")


def custom():
    request = model_management_pb2.ReloadConfigRequest()
    request.config.custom_model_config.SetInParent()
    return request


@pytest.mark.parametrize("request_", [model_management_pb2.ReloadConfigRequest(), custom()], ids=["unset", "custom"])
def test_only_lists_of_models_are_reloaded(toy, request_):
    assert status_of(lambda: toy.send_reload(request_)) == (
        "INVALID_ARGUMENT",
        "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
        "supported",
    )


X = {"name": "x", "base_path": "/x"}


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ([X, {**X, "base_path": "/y"}], "Illegal to list model x multiple times in config list"),
        ([{**X, "base_path": "a/b"}], "Expected model x to have an absolute path or URI; got base_path()=a/b"),
        ([{**X, "base_path": ""}], "Expected model x to have an absolute path or URI; got base_path()="),
    ],
)
def test_reload_refusals(toy, configs, message):
    assert status_of(lambda: toy.reload(*configs)) == ("INVALID_ARGUMENT", message)


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        (
            "caffe",
            "Illegal to change a model's platform. For model toy platform was tensorflow and new platform requested "
            "is caffe",
        ),
        (
            "",
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform.",
        ),
    ],
)
def test_a_model_keeps_its_platform(toy, served, platform, message):
    found = status_of(lambda: toy.reload(served.config("toy", platform=platform)))
    assert found == ("INVALID_ARGUMENT", message)


def test_what_was_refused_changed_nothing(toy, served):
    status_of(lambda: toy.reload(served.config("toy", platform="caffe")))
    for name in ("toy", "swap"):
        assert toy.predict(name=name, texts=["a"]).model_spec.name == name


@pytest.mark.parametrize(
    ("tasks", "code", "message"),
    [
        (
            [("toy", "dense", "predict")],
            "UNIMPLEMENTED",
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
        ([("toy", "two", "classify")], "INVALID_ARGUMENT", "Expected one input Tensor."),
        ([("toy", "two", "regress")], "INVALID_ARGUMENT", "Expected one input Tensor."),
        ([("toy", "dense", "regress")], "INVALID_ARGUMENT", "Expected one output Tensor."),
    ],
)
def test_multi_inference_refusals(toy, tasks, code, message):
    request = inference_pb2.MultiInferenceRequest()
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = name, signature
    found = status_of(lambda: toy.call(f"{PREDICTION}MultiInference", request, inference_pb2.MultiInferenceResponse))
    assert found == (code, message)
