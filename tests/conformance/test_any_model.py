"""What any served model shows: SERVING.md sections 2 and 3 without a model made for it."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from protocol import AVAILABLE, NOT_THERE
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)
from wire import MODEL, PREDICTION, status_of

VERSION = 987_654_321  # that no model has


@pytest.mark.parametrize(
    ("method", "request_class", "response_class"),
    [
        (f"{PREDICTION}Predict", predict_pb2.PredictRequest, predict_pb2.PredictResponse),
        (
            f"{PREDICTION}GetModelMetadata",
            get_model_metadata_pb2.GetModelMetadataRequest,
            get_model_metadata_pb2.GetModelMetadataResponse,
        ),
        (f"{PREDICTION}Classify", classification_pb2.ClassificationRequest, classification_pb2.ClassificationResponse),
        (f"{PREDICTION}Regress", regression_pb2.RegressionRequest, regression_pb2.RegressionResponse),
        (
            f"{MODEL}GetModelStatus",
            get_model_status_pb2.GetModelStatusRequest,
            get_model_status_pb2.GetModelStatusResponse,
        ),
    ],
)
def test_missing_model_spec(server, method, request_class, response_class):
    found = status_of(lambda: server.call(method, request_class(), response_class))
    assert found == ("INVALID_ARGUMENT", "Missing ModelSpec")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"name": ""}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"name": NOT_THERE}, "NOT_FOUND", f"Servable not found for request: Latest({NOT_THERE})"),
        (
            {"name": NOT_THERE, "version": 7},
            "NOT_FOUND",
            f"Servable not found for request: Specific({NOT_THERE}, 7)",
        ),
        ({"version": VERSION}, "NOT_FOUND", f"Servable not found for request: Specific({{model}}, {VERSION})"),
        ({"version": 0}, "NOT_FOUND", "Servable not found for request: Specific({model}, 0)"),
        ({"label": "no-label"}, "INVALID_ARGUMENT", "Unrecognized servable version label: no-label"),
        (
            {"name": NOT_THERE, "label": "no-label"},
            "INVALID_ARGUMENT",
            "Unrecognized servable version label: no-label",
        ),
        ({"signature": "nothing"}, "FAILED_PRECONDITION", 'Serving signature key "nothing" not found.'),
    ],
)
def test_predict_of_what_is_not_there(server, model, arguments, code, message):
    found = status_of(lambda: server.predict(**{"name": model, **arguments}))
    assert found == (code, message.format(model=model))


def test_predict_without_inputs(server, model):
    for signature, described in server.signatures(model).items():
        if described.defaults:
            continue
        names = ",".join(sorted(described.inputs))
        assert status_of(lambda key=signature: server.predict(key, name=model)) == (
            "INVALID_ARGUMENT",
            f"input size does not match signature: 0!={len(described.inputs)} len({{}}) != len({{{names}}}). "
            f"Sent extra: {{}}. Missing but required: {{{names}}}.",
        )


def test_metadata(server, model):
    response = server.metadata("signature_def", name=model)
    assert response.model_spec.name == model
    assert response.model_spec.version.value in versions(server, model)
    assert response.model_spec.signature_name == ""
    assert response.metadata["signature_def"].type_url.endswith("/tensorflow.serving.SignatureDefMap")
    signatures = server.signatures(model)
    assert signatures["serving_default"].inputs
    assert {described.method_name for described in signatures.values()} == {"tensorflow/serving/predict"}


def versions(server, model):
    return [entry.version for entry in server.status(model) if entry.state == AVAILABLE]


@pytest.mark.parametrize(
    ("fields", "arguments", "code", "message"),
    [
        ((), {}, "INVALID_ARGUMENT", "GetModelMetadataRequest must specify at least one metadata_field"),
        (("size",), {}, "INVALID_ARGUMENT", "Metadata field size is not supported"),
        (
            ("signature_def",),
            {"name": NOT_THERE},
            "NOT_FOUND",
            f"Servable not found for request: Latest({NOT_THERE})",
        ),
        (
            ("signature_def",),
            {"version": VERSION},
            "NOT_FOUND",
            f"Servable not found for request: Specific({{model}}, {VERSION})",
        ),
    ],
)
def test_metadata_refusals(server, model, fields, arguments, code, message):
    found = status_of(lambda: server.metadata(*fields, **{"name": model, **arguments}))
    assert found == (code, message.format(model=model))


def test_status(server, model):
    entries = {entry.version: entry for entry in server.status(model)}
    number = max(versions(server, model))
    assert (entries[number].status.error_code, entries[number].status.error_message) == (0, "")
    (alone,) = server.status(model, version=number)
    assert alone == entries[number]
    assert {entry.version for entry in server.status(model, label="no-label")} == set(entries), "labels are ignored"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": NOT_THERE}, f"Could not find any versions of model {NOT_THERE}"),
        ({"name": ""}, "Could not find any versions of model "),
        ({"version": VERSION}, f"Could not find version {VERSION} of model {{model}}"),
    ],
)
def test_status_refusals(server, model, arguments, message):
    found = status_of(lambda: server.status(**{"name": model, **arguments}))
    assert found == ("NOT_FOUND", message.format(model=model))


def classify(server, **spec):
    request = classification_pb2.ClassificationRequest(model_spec=spec)
    return server.call(f"{PREDICTION}Classify", request, classification_pb2.ClassificationResponse)


def regress(server, **spec):
    request = regression_pb2.RegressionRequest(model_spec=spec)
    return server.call(f"{PREDICTION}Regress", request, regression_pb2.RegressionResponse)


def infer(server, **spec):
    request = inference_pb2.MultiInferenceRequest()
    if spec:
        request.tasks.add(model_spec=spec, method_name="tensorflow/serving/classify")
    return server.call(f"{PREDICTION}MultiInference", request, inference_pb2.MultiInferenceResponse)


@pytest.mark.parametrize(
    ("method", "unknown"),
    [
        (classify, "No signature was found with the name: nothing"),
        (regress, "No signature was found with the name: nothing"),
        (infer, "Requested signature not found in model graph: nothing"),
    ],
)
def test_examples_for_what_is_not_there(server, model, method, unknown):
    assert status_of(lambda: method(server, name=NOT_THERE)) == (
        "NOT_FOUND",
        f"Servable not found for request: Latest({NOT_THERE})",
    )
    assert status_of(lambda: method(server, name=model, signature_name="nothing")) == ("INVALID_ARGUMENT", unknown)


def test_no_tasks(server):
    assert status_of(lambda: infer(server)) == ("INVALID_ARGUMENT", "ModelSpec has no name specified.")


def test_examples_for_a_signature_of_predict(server, model):
    """Outputs of an export are more than the classes and scores of a classification."""
    outputs = len(server.signatures(model)["serving_default"].outputs)
    message = f"Expected one or two output Tensors, found {outputs}"
    assert status_of(lambda: classify(server, name=model)) == ("INVALID_ARGUMENT", message)
    assert status_of(lambda: infer(server, name=model)) == ("INVALID_ARGUMENT", message)
    assert status_of(lambda: regress(server, name=model)) == ("INVALID_ARGUMENT", "Expected one output Tensor.")


def test_a_method_that_is_not_there(server):
    assert status_of(lambda: server.channel.unary_unary(f"{PREDICTION}Nothing")(b"", timeout=5))[0] == "UNIMPLEMENTED"


def test_health_where_it_is_on(server):
    check = health_pb2_grpc.HealthStub(server.channel).Check
    try:
        check(health_pb2.HealthCheckRequest(), timeout=5)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            pytest.skip("the server was started without its health service")
        raise
    for name in ("", "ModelService", "PredictionService"):
        assert check(health_pb2.HealthCheckRequest(service=name), timeout=5).status == 1
    for name in ("tensorflow.serving.PredictionService", NOT_THERE):
        assert (
            status_of(lambda key=name: check(health_pb2.HealthCheckRequest(service=key), timeout=5))[0] == "NOT_FOUND"
        )
