"""What the embedded server does in its own way; what it does as any server of the protocol is in tests/conformance."""

import time
from collections.abc import Iterator

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2
from wire import PREDICTION, caller, status_of, stub

from dafsn_client import Client, NotFound, ServerError
from dafsn_client.errors import FailedPrecondition, InvalidInput
from dafsn_server.examples import check_classification, check_regression, check_tasks
from dafsn_server.refusal import Refusal
from dafsn_server.server import Server


@pytest.fixture(scope="module")
def channel(target) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target) as channel:
        yield channel


def test_twelve_bytes_that_declare_a_gigabyte(channel):
    """A stock server makes room for them."""
    bomb = tensor_pb2.TensorProto(dtype=1, tensor_shape=tf.TensorShape([2**28]).as_proto())
    found = status_of(lambda: caller(channel)("dense", x=bomb))
    assert found == ("INVALID_ARGUMENT", "tensor parsing error: x")


def test_there_is_no_reflection(channel):
    """A stock server may have it."""
    reflection = channel.unary_unary("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    assert status_of(lambda: reflection(b"", timeout=5))[0] == "UNIMPLEMENTED"


def test_a_new_model_may_come_with_its_labels_and_must_have_a_base_path(toy_versions, tmp_path):
    """A stock server wants a label's version loaded before, and waits for a base path for ever."""
    with Server({"first": toy_versions}, port=0, host="127.0.0.1") as server:
        target = f"127.0.0.1:{server.port}"
        with Client(target, "second") as second, Client(target, "second", label="stable") as stable:
            second.reload_config({"second": toy_versions}, {"second": {"stable": 2}}, timeout=30)
            assert stable.encode_text(["abc"]).sentence_features[0, 0] == 6.0
            with pytest.raises(ServerError, match=r"did not become available: .* Could not find base path") as caught:
                second.reload_config({"second": toy_versions, "third": tmp_path / "none"})
            assert caught.value.code.name == "UNKNOWN"
        with Client(target, "first") as first:
            assert [(state.version, state.state) for state in first.status()] == [(2, "END")]
            with pytest.raises(NotFound, match=r"Latest\(first\)"):
                first.search(["x"])


def test_labelled_versions_stay_when_a_configuration_is_sent_with_their_labels(toy_versions):
    paths, both = {"toy": toy_versions}, {"toy": {"stable": 1, "canary": 2}}
    with Server(paths, port=0, host="127.0.0.1") as server:
        target = f"127.0.0.1:{server.port}"
        with Client(target, "toy") as client, Client(target, "toy", label="stable") as stable:
            with pytest.raises(FailedPrecondition, match=r"AVAILABLE: load it first, by `versions`"):
                client.reload_config(paths, both)
            _wait_for(client, {1, 2})
            client.reload_config(paths, both)
            time.sleep(0.3)
            assert stable.encode_text(["abc"]).sentence_features[0, 0] == 3.0
            assert _available(client) == {1, 2}
            client.reload_config(paths)
            _wait_for(client, {2})
            with pytest.raises(InvalidInput, match="'stable'"):
                stable.encode_text(["abc"])


def _available(client):
    return {state.version for state in client.status() if state.state == "AVAILABLE"}


def _wait_for(client, versions):
    deadline = time.monotonic() + 20
    while _available(client) != versions:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def signature(inputs, outputs):
    described = meta_graph_pb2.SignatureDef()
    for name in inputs.split():
        described.inputs[name].name = f"{name}:0"
    for name in outputs.split():
        described.outputs[name].name = f"{name}:0"
    return described


def refusal_of(call):
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.code.name, caught.value.message


@pytest.mark.parametrize(
    ("check", "inputs", "outputs", "message"),
    [
        (check_classification, "a b", "classes", "Expected one input Tensor."),
        (check_classification, "inputs", "a b c", "Expected one or two output Tensors, found 3"),
        (check_classification, "x", "classes", "No classification inputs found in SignatureDef: {}"),
        (
            check_classification,
            "inputs",
            "y",
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            "Signature was: {}",
        ),
        (check_regression, "a b", "outputs", "Expected one input Tensor."),
        (check_regression, "inputs", "a b", "Expected one output Tensor."),
        (check_regression, "x", "outputs", "No regression inputs found in SignatureDef: {}"),
        (check_regression, "inputs", "y", "No regression outputs found in SignatureDef: {}"),
    ],
)
def test_signatures_that_take_no_examples(check, inputs, outputs, message):
    described = signature(inputs, outputs)
    expected = message.format(text_format.MessageToString(described))
    assert refusal_of(lambda: check({"serving_default": described}, "")) == ("INVALID_ARGUMENT", expected)


def test_signatures_that_take_examples():
    for outputs in ("classes", "scores", "classes scores"):
        check_classification({"c": signature("inputs", outputs)}, "c")
    check_regression({"r": signature("inputs", "outputs")}, "r")


def task(name="m", key="c", method="tensorflow/serving/classify"):
    described = inference_pb2.InferenceTask(method_name=method)
    described.model_spec.name, described.model_spec.signature_name = name, key
    return described


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([task(), task(name="")], "Found ModelSpec with an empty model name."),
        ([task(), task(name="n")], "All ModelSpecs in a MultiInferenceRequest must access the same model name."),
        ([task(), task()], "Duplicate evaluation of signature: c"),
        ([task(), task(key="d")], "Requested signature not found in model graph: d"),
    ],
)
def test_tasks_that_do_not_go_together(tasks, message):
    signatures = {"c": signature("inputs", "classes")}
    assert refusal_of(lambda: check_tasks(signatures, tasks)) == ("INVALID_ARGUMENT", message)
    check_tasks(signatures, tasks[:1])


@pytest.mark.parametrize(
    ("method", "request_", "response_class"),
    [
        ("Classify", classification_pb2.ClassificationRequest(), classification_pb2.ClassificationResponse),
        ("Regress", regression_pb2.RegressionRequest(), regression_pb2.RegressionResponse),
        (
            "MultiInference",
            inference_pb2.MultiInferenceRequest(tasks=[task("dafsn", "serving_default")]),
            inference_pb2.MultiInferenceResponse,
        ),
    ],
)
def test_examples_are_not_computed(toy_versions, monkeypatch, method, request_, response_class):
    from dafsn_server import services

    for name in ("check_classification", "check_regression", "check_tasks"):
        monkeypatch.setattr(services, name, lambda *_: None)
    if method != "MultiInference":
        request_.model_spec.name = "dafsn"
    with (
        Server({"dafsn": toy_versions}, port=0, host="127.0.0.1") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        found = status_of(lambda: stub(channel, f"{PREDICTION}{method}", response_class)(request_, timeout=10))
    assert found == ("UNIMPLEMENTED", f"This development server computes no {method}: call Predict")
