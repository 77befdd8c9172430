"""The gRPC services over a `Repository`: PredictionService and ModelService, as TensorFlow Serving answers them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from dafsn_server.predict import DEFAULT_SIGNATURE, predict
from dafsn_server.refusal import Refusal, invalid, truncated
from dafsn_server.repository import Repository
from dafsn_server.versions import ModelConfig

_Handler = Callable[[Any, grpc.ServicerContext], Any]


class Services:
    """One method for each remote method; a `Refusal` becomes the call's status."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def add_to(self, server: grpc.Server) -> None:
        """Register the methods; those not registered end as UNIMPLEMENTED."""
        predicting = {
            "Predict": _method(self.predict, predict_pb2.PredictRequest),
            "GetModelMetadata": _method(self.metadata, get_model_metadata_pb2.GetModelMetadataRequest),
        }
        managing = {
            "GetModelStatus": _method(self.status, get_model_status_pb2.GetModelStatusRequest),
            "HandleReloadConfigRequest": _method(self.reload_config, model_management_pb2.ReloadConfigRequest),
        }
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", predicting),
                grpc.method_handlers_generic_handler("tensorflow.serving.ModelService", managing),
            )
        )

    def predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return the outputs of a signature, within the caller's deadline."""
        _check_spec(request)
        response = predict_pb2.PredictResponse()
        with self._repository.using(request.model_spec) as (number, model):
            predict(model, request, response, context.time_remaining())
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
        self._repository.configure(_model_config(config) for config in request.config.model_config_list.config)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def _method(handler: _Handler, request_class: Any) -> grpc.RpcMethodHandler:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return handler(request, context)
        except Refusal as refusal:
            context.abort(refusal.code, truncated(refusal.message))

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=request_class.FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


def _check_spec(request: Any) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")


def _model_config(config: model_server_config_pb2.ModelConfig) -> ModelConfig:
    if config.model_platform not in ("", "tensorflow"):
        raise invalid(
            f"Illegal to change a model's platform. For model {config.name} platform was tensorflow and new "
            f"platform requested is {config.model_platform}"
        )
    policy = config.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    return ModelConfig(
        config.name,
        Path(config.base_path),
        latest=0 if kind == "all" else max(1, policy.latest.num_versions),
        specific=tuple(policy.specific.versions) if kind == "specific" else None,
        labels=dict(config.version_labels),
    )
