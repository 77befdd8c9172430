"""A server of one signature, in the test's own process."""

import threading
from concurrent import futures

import grpc
import numpy as np

from dafsn_client import protocol

FLOAT32, FLOAT64 = 1, 2


def twice(values, context):
    return values * 2


class Server:
    """Serves `f`: x float32 (n) to y (n), by what `answer(values, context)` makes of it.

    Calls for the version `missing` end as NOT_FOUND; all others are answered as by `version(number of the call)`.

    Attributes:
        target: its address.
        calls: of Predict.
        metadata_calls: of GetModelMetadata.
        sizes: rows of each call.
        versions: that calls asked for by number; None where they did not.
        most: calls at a time.
        headers: of the last call.
        dtype: of `x`, as the metadata tell it.
    """

    def __init__(self, answer=twice, version=lambda call: 1, missing=None, host="127.0.0.1"):
        self.calls = self.metadata_calls = 0
        self.at_a_time = self.most = 0
        self.sizes, self.versions = [], []
        self.headers = {}
        self.dtype = FLOAT32
        self._answer, self._version, self._missing = answer, version, missing
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        services = {
            "PredictionService": {"Predict": self._predict, "GetModelMetadata": self._metadata},
            "ModelService": {"GetModelStatus": self._status},
        }
        for name, methods in services.items():
            handlers = {method: grpc.unary_unary_rpc_method_handler(answer) for method, answer in methods.items()}
            service = grpc.method_handlers_generic_handler(f"tensorflow.serving.{name}", handlers)
            self._server.add_generic_rpc_handlers((service,))
        self.target = f"{host}:{self._server.add_insecure_port(f'{host}:0')}"

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(None).wait()

    def _metadata(self, request, context):
        self.metadata_calls += 1
        signatures = protocol.SignatureDefMap()
        for infos, name in ((signatures.signature_def["f"].inputs, "x"), (signatures.signature_def["f"].outputs, "y")):
            infos[name].dtype = self.dtype
            infos[name].tensor_shape.dim.add(size=-1)
        response = protocol.GetModelMetadataResponse()
        response.model_spec.version.value = self._version(self.calls)
        response.metadata["signature_def"].value = signatures.SerializeToString()
        return response.SerializeToString()

    def _status(self, request, context):
        response = protocol.GetModelStatusResponse()
        response.model_version_status.add(version=self._version(self.calls), state=30)
        return response.SerializeToString()

    def _predict(self, data, context):
        request = protocol.PredictRequest.FromString(data)
        tensor = request.inputs["x"]
        values = np.frombuffer(tensor.tensor_content, np.float64 if tensor.dtype == FLOAT64 else np.float32)
        spec = request.model_spec
        with self._lock:
            self.calls += 1
            version = self._version(self.calls)
            self.headers = dict(context.invocation_metadata())
            self.sizes.append(len(values))
            asked = spec.version.value if spec.HasField("version") else None
            self.versions.append(asked)
            self.at_a_time += 1
            self.most = max(self.most, self.at_a_time)
        try:
            if asked is not None and asked == self._missing:
                context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Specific(dafsn, {asked})")
            answer = self._answer(values, context)
        finally:
            with self._lock:
                self.at_a_time -= 1
        response = protocol.PredictResponse()
        response.model_spec.version.value = version
        response.outputs["y"].dtype = FLOAT32
        response.outputs["y"].tensor_shape.dim.add(size=len(values))
        response.outputs["y"].float_val.append(np.float32(answer).tobytes())
        return response.SerializeToString()
