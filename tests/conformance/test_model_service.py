"""Metadata, status, reload and what is not served: SERVING.md section 3, row by row."""

import pytest
from protocol import MODEL, PREDICTION, status_of
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2


def test_missing_model_spec(toy):
    missing = ("INVALID_ARGUMENT", "Missing ModelSpec")
    for method, request, response in [
        (f"{PREDICTION}Predict", predict_pb2.PredictRequest(), predict_pb2.PredictResponse),
        (
            f"{PREDICTION}GetModelMetadata",
            get_model_metadata_pb2.GetModelMetadataRequest(),
            get_model_metadata_pb2.GetModelMetadataResponse,
        ),
        (
            f"{MODEL}GetModelStatus",
            get_model_status_pb2.GetModelStatusRequest(),
            get_model_status_pb2.GetModelStatusResponse,
        ),
    ]:
        assert status_of(lambda m=method, q=request, r=response: toy.call(m, q, r)) == missing


def test_metadata(toy):
    response = toy.metadata("signature_def")
    assert (response.model_spec.name, response.model_spec.version.value) == ("toy", 2)
    assert response.model_spec.signature_name == ""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert "__saved_model_init_op" in signatures.signature_def
    assert signatures.signature_def["search"].method_name == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    ("fields", "name", "code", "message"),
    [
        ((), "toy", "INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field"),
        (("size",), "toy", "INVALID_ARGUMENT", "Metadata field size is not supported"),
        (("signature_def",), "cats", "NOT_FOUND", "Servable not found for request: Latest(cats)"),
    ],
)
def test_metadata_refusals(toy, fields, name, code, message):
    assert status_of(lambda: toy.metadata(*fields, name=name)) == (code, message)


def test_status_ignores_labels(toy):
    for label in ("", "nothing"):
        (entry,) = toy.status(label=label).model_version_status
        assert (entry.version, entry.state, entry.status.error_code) == (2, 30, 0)


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("cats", None, "Could not find any versions of model cats"),
        ("", None, "Could not find any versions of model "),
        ("toy", 7, "Could not find version 7 of model toy"),
    ],
)
def test_status_refusals(toy, name, version, message):
    assert status_of(lambda: toy.status(name, version)) == ("NOT_FOUND", message)


X, Y = {"name": "x", "base_path": "/x"}, {"name": "x", "base_path": "/y"}


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        (
            [],
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported",
        ),
        (
            [X, Y],
            "Illegal to list model x multiple times in config list",
        ),
        ([{**X, "base_path": "a/b"}], "Expected model x to have an absolute path or URI; got base_path()=a/b"),
        (
            [{**X, "platform": "caffe"}],
            "Illegal to change a model's platform. For model x platform was tensorflow",
        ),
    ],
)
def test_reload_refusals(toy, configs, message):
    code, details = status_of(lambda: toy.reload(*configs))
    assert code == "INVALID_ARGUMENT"
    assert details.startswith(message)


def test_methods_that_are_not_served(toy):
    for method in (f"{PREDICTION}Classify", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
        code, _ = status_of(lambda m=method: toy.channel.unary_unary(m)(b"", timeout=5))
        assert code == "UNIMPLEMENTED"
