"""Codes and texts over the wire: the rows of SERVING.md sections 2 and 3 that a client can provoke."""

import threading
from collections.abc import Iterator

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
from wire import MODEL, PREDICTION, ask, caller, status_of


@pytest.fixture(scope="module")
def channel(target) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target) as channel:
        yield channel


@pytest.fixture(scope="module")
def predict(channel):
    return caller(channel)


X = [[1.0, 2.0]]


def test_an_answer_names_model_version_and_signature(predict):
    response = predict(texts=["abc"])
    assert response.model_spec.name == "dafsn"
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"
    assert set(response.outputs) == {"sentence_features", "word_features", "word_mask", "word_offsets", "status"}
    assert list(response.outputs["sentence_features"].float_val) == [6.0] * 4
    assert not response.outputs["sentence_features"].tensor_content


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"name": ""}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"name": "cats"}, "NOT_FOUND", "Servable not found for request: Latest(cats)"),
        ({"name": "cats", "version": 7}, "NOT_FOUND", "Servable not found for request: Specific(cats, 7)"),
        ({"version": 1}, "NOT_FOUND", "Servable not found for request: Specific(dafsn, 1)"),
        ({"version": 0}, "NOT_FOUND", "Servable not found for request: Specific(dafsn, 0)"),
        ({"label": "stable"}, "INVALID_ARGUMENT", "Unrecognized servable version label: stable"),
        ({"name": "cats", "label": "x"}, "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        ({"signature": "nothing"}, "FAILED_PRECONDITION", 'Serving signature key "nothing" not found.'),
        (
            {"signature": "two", "a": X},
            "INVALID_ARGUMENT",
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). "
            "Sent extra: {}. Missing but required: {b}.",
        ),
        (
            {"signature": "dense", "x": X, "z": X},
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). "
            "Sent extra: {z}. Missing but required: {}.",
        ),
        (
            {"signature": "two", "a": X, "c": X},
            "INVALID_ARGUMENT",
            "Signature input alias: b(feed name: two_b:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {a,c}, or default input alias set: ",
        ),
        (
            {"signature": "dense", "x": tensor_pb2.TensorProto(dtype=1, tensor_content=b"123")},
            "INVALID_ARGUMENT",
            "tensor parsing error: x",
        ),
        (
            {"signature": "dense", "x": X, "output_filter": ["y", "z"]},
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: z Outputs expected to be in the set {half,y}.",
        ),
        (
            {"signature": "dense", "x": X, "output_filter": ["y", "y"]},
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: y",
        ),
        (
            {"signature": "dense", "x": tf.make_tensor_proto(X, tf.float64)},
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but double is provided",
        ),
        ({"signature": "dense", "x": ["a"]}, "INVALID_ARGUMENT", "Expects arg[0] to be float but string is provided"),
    ],
)
def test_refusals_before_the_graph(predict, arguments, code, message):
    assert status_of(lambda: predict(**arguments)) == (code, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signature": "dense", "x": [[1.0, 2.0, 3.0]]}, "Matrix size-incompatible: In[0]: [1,3], In[1]: [2,3]"),
        ({"signature": "dense", "x": [1.0, 2.0]}, "In[0]"),
        ({"signature": "two", "a": [[1.0]] * 3, "b": [X[0]] * 2}, "Incompatible shapes: [3,1] vs. [2,2]"),
        ({"texts": [["a"]]}, "[1,1] is not compatible with expected shape [?]"),
        ({"texts": "a"}, "[] is not compatible with expected shape [?]"),
    ],
)
def test_refusals_of_the_graph(predict, arguments, message):
    code, details = status_of(lambda: predict(**arguments))
    assert code == "INVALID_ARGUMENT"
    assert message in details
    assert "{{node " in details


def test_long_messages_are_cut(predict):
    code, details = status_of(lambda: predict("guarded", x=tf.make_tensor_proto([1, 20], tf.int64)))
    assert code == "INVALID_ARGUMENT"
    assert details.startswith("assertion failed: [too big")
    assert details.endswith("...TRUNCATED")
    assert len(details.encode()) == 1024 + len("...TRUNCATED")


def test_no_rows_are_answered_with_no_rows(predict):
    empty = tensor_pb2.TensorProto(dtype=7, tensor_shape=tf.TensorShape([0]).as_proto())
    assert tf.make_ndarray(predict(texts=empty).outputs["word_features"]).shape == (0, 3, 4)


def test_twelve_bytes_that_declare_a_gigabyte(predict):
    bomb = tensor_pb2.TensorProto(dtype=1, tensor_shape=tf.TensorShape([2**28]).as_proto())
    assert status_of(lambda: predict("dense", x=bomb)) == ("INVALID_ARGUMENT", "tensor parsing error: x")


def test_messages_over_grpcs_default_limit_come_in(predict):
    images = tf.make_tensor_proto([bytes(6 << 20)])
    assert predict("encode_image", images=images).outputs["image_features"].float_val[0] == 6 << 20


def test_a_call_without_deadline_is_answered(predict):
    assert predict(texts=["a"], timeout=None).model_spec.version.value == 2


def test_requests_run_beside_a_long_one(predict):
    done = threading.Event()

    def long():
        predict("slow", turns=tf.make_tensor_proto([100_000], tf.int64), timeout=30)
        done.set()

    thread = threading.Thread(target=long)
    thread.start()
    predict(texts=["a"])
    assert not done.is_set()
    thread.join()
    assert done.is_set()


def test_missing_model_spec(channel):
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
        assert status_of(lambda m=method, q=request, r=response: ask(channel, m, q, r)) == missing


def metadata(channel, *fields, name="dafsn"):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    request.model_spec.name = name
    response = get_model_metadata_pb2.GetModelMetadataResponse
    return ask(channel, f"{PREDICTION}GetModelMetadata", request, response)


def test_metadata(channel):
    response = metadata(channel, "signature_def")
    assert (response.model_spec.name, response.model_spec.version.value) == ("dafsn", 2)
    assert response.model_spec.signature_name == ""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert "__saved_model_init_op" in signatures.signature_def
    assert signatures.signature_def["search"].method_name == "tensorflow/serving/predict"


@pytest.mark.parametrize(
    ("fields", "name", "code", "message"),
    [
        ((), "dafsn", "INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field"),
        (("size",), "dafsn", "INVALID_ARGUMENT", "Metadata field size is not supported"),
        (("signature_def",), "cats", "NOT_FOUND", "Servable not found for request: Latest(cats)"),
    ],
)
def test_metadata_refusals(channel, fields, name, code, message):
    assert status_of(lambda: metadata(channel, *fields, name=name)) == (code, message)


def model_status(channel, name="dafsn", version=None, label=""):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    if label:
        request.model_spec.version_label = label
    if version is not None:
        request.model_spec.version.value = version
    return ask(channel, f"{MODEL}GetModelStatus", request, get_model_status_pb2.GetModelStatusResponse)


def test_status_ignores_labels(channel):
    for label in ("", "nothing"):
        (entry,) = model_status(channel, label=label).model_version_status
        assert (entry.version, entry.state, entry.status.error_code) == (2, 30, 0)


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("cats", None, "Could not find any versions of model cats"),
        ("", None, "Could not find any versions of model "),
        ("dafsn", 7, "Could not find version 7 of model dafsn"),
    ],
)
def test_status_refusals(channel, name, version, message):
    assert status_of(lambda: model_status(channel, name, version)) == ("NOT_FOUND", message)


def reload_config(channel, *configs):
    request = model_management_pb2.ReloadConfigRequest()
    for name, base_path, platform in configs:
        request.config.model_config_list.config.add(name=name, base_path=base_path, model_platform=platform)
    return ask(channel, f"{MODEL}HandleReloadConfigRequest", request, model_management_pb2.ReloadConfigResponse)


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        (
            [],
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported",
        ),
        ([("x", "/x", ""), ("x", "/y", "")], "Illegal to list model x multiple times in config list"),
        ([("x", "a/b", "")], "Expected model x to have an absolute path or URI; got base_path()=a/b"),
        ([("x", "/x", "caffe")], "Illegal to change a model's platform. For model x platform was tensorflow"),
    ],
)
def test_reload_refusals(channel, configs, message):
    code, details = status_of(lambda: reload_config(channel, *configs))
    assert code == "INVALID_ARGUMENT"
    assert details.startswith(message)


def test_methods_that_are_not_served(channel):
    for method in (f"{PREDICTION}Classify", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"):
        code, _ = status_of(lambda m=method: channel.unary_unary(m)(b"", timeout=5))
        assert code == "UNIMPLEMENTED"
