"""The gRPC services over a `Repository`: PredictionService and ModelService, as TensorFlow Serving answers them."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from dafsn_server.admission import Admission
from dafsn_server.examples import check_classification, check_regression, check_tasks
from dafsn_server.metrics import Metrics
from dafsn_server.model_configs import model_configs
from dafsn_server.predict import DEFAULT_SIGNATURE, predict
from dafsn_server.refusal import Refusal, invalid, truncated
from dafsn_server.repository import Repository

_log = logging.getLogger(__name__)

_Handler = Callable[[Any, grpc.ServicerContext], Any]


class Services:
    """One method for each remote method; a `Refusal` becomes the call's status.

    Args:
        repository: the models.
        admission: how many requests are computed at a time.
        metrics: where requests are counted.
        tensor_content: answer with values as bytes, not one by one.
    """

    def __init__(
        self, repository: Repository, admission: Admission, metrics: Metrics, *, tensor_content: bool = False
    ) -> None:
        self._repository = repository
        self._admission = admission
        self._metrics = metrics
        self._tensor_content = tensor_content

    def add_to(self, server: grpc.Server) -> None:
        """Register the methods; those not registered end as UNIMPLEMENTED."""
        predicting = {
            "Predict": self._method(self.predict, predict_pb2.PredictRequest),
            "Classify": self._method(self.classify, classification_pb2.ClassificationRequest),
            "Regress": self._method(self.regress, regression_pb2.RegressionRequest),
            "MultiInference": self._method(self.infer, inference_pb2.MultiInferenceRequest),
            "GetModelMetadata": self._method(self.metadata, get_model_metadata_pb2.GetModelMetadataRequest),
        }
        managing = {
            "GetModelStatus": self._method(self.status, get_model_status_pb2.GetModelStatusRequest),
            "HandleReloadConfigRequest": self._method(self.reload_config, model_management_pb2.ReloadConfigRequest),
        }
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", predicting),
                grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", managing),
            )
        )

    def predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return the outputs of a signature, within the caller's deadline; counted by model and status."""
        name, start = request.model_spec.name, time.perf_counter()
        with self._counting(name):
            response = self._predict(request, context.time_remaining())
            self._metrics.request_latency.observe((time.perf_counter() - start) * 1e6, name, "Predict", "GRPC")
            return response

    def classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse, as a signature for Predict is refused; counted like Predict."""
        self._refuse("Classify", check_classification, request)

    def regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse, as a signature for Predict is refused; counted like Predict."""
        self._refuse("Regress", check_regression, request)

    def infer(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Refuse, as signatures for Predict are refused; the first task names the version."""
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._repository.using(spec) as (_, model):
            check_tasks(model.signatures, request.tasks)
        raise _not_computed("MultiInference")

    def _refuse(self, method: str, check: Callable[[Any, str], None], request: Any) -> None:
        with self._counting(request.model_spec.name):
            _check_spec(request)
            with self._repository.using(request.model_spec) as (_, model):
                check(model.signatures, request.model_spec.signature_name)
            raise _not_computed(method)

    @contextmanager
    def _counting(self, name: str) -> Iterator[None]:
        status = "INTERNAL"
        try:
            yield
            status = "OK"
        except Refusal as refusal:
            status = refusal.code.name
            raise
        finally:
            self._metrics.request_count.add(name, status)

    def _predict(self, request: Any, timeout: float | None) -> Any:
        _check_spec(request)
        response = predict_pb2.PredictResponse()
        with self._repository.using(request.model_spec) as (number, model):
            microseconds = predict(model, request, response, timeout, tensor_content=self._tensor_content)
        self._metrics.runtime_latency.observe(microseconds, request.model_spec.name, "Predict", "TF1")
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = number
        response.model_spec.signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        return response

    def metadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return a version's signatures."""
        _check_spec(request)
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid(f"Metadata field {name} is not supported")
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._repository.using(request.model_spec) as (number, model):
            for name, signature in model.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = number
        response.metadata["signature_def"].Pack(signatures)
        return response

    def status(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return the states of a model's versions, newest first."""
        _check_spec(request)
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, (state, failure) in sorted(self._repository.states(request.model_spec).items(), reverse=True):
            entry = response.model_version_status.add(version=number, state=state)
            entry.status.SetInParent()
            if failure:
                entry.status.error_code = failure.code.value[0]
                entry.status.error_message = failure.message
        return response

    def reload_config(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Make a configuration the whole state of the server; returns when newly named models answer."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        try:
            self._repository.configure(
                model_configs(request.config.model_config_list.config, served=self._repository.served)
            )
        except Refusal as refusal:
            _log.warning("a configuration that was sent is refused: %s", refusal.message)
            raise
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response

    def _method(self, handler: _Handler, request_class: Any) -> grpc.RpcMethodHandler:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                with self._admission.request():
                    return handler(request, context)
            except Refusal as refusal:
                code, message = refusal.code, truncated(refusal.message)
            except Exception:
                _log.exception("a request failed by a fault of this server")
                code, message = grpc.StatusCode.INTERNAL, "The server failed; its log says why."
            context.abort(code, message)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=request_class.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")


def _not_computed(method: str) -> Refusal:
    return Refusal(grpc.StatusCode.UNIMPLEMENTED, f"This development server computes no {method}: call Predict")
