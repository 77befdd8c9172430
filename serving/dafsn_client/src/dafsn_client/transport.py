"""One channel to a server: a deadline on every call, retries while there is time, typed errors."""

import random
import time
from collections.abc import Sequence
from typing import Any

import grpc

from dafsn_client import errors, protocol

_PREDICTION = "/tensorflow.serving.PredictionService/"
_MODEL = "/tensorflow.serving.ModelService/"
_METHODS = {
    "Predict": (_PREDICTION, protocol.PredictResponse),
    "GetModelMetadata": (_PREDICTION, protocol.GetModelMetadataResponse),
    "GetModelStatus": (_MODEL, protocol.GetModelStatusResponse),
    "HandleReloadConfigRequest": (_MODEL, protocol.ReloadConfigResponse),
}
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # gRPC's own limit is 4 MiB, a few hundred rows of word features
    ("grpc.max_send_message_length", -1),
    ("grpc.lb_policy_name", "round_robin"),  # where the name resolves to several servers
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # gRPC's own is two minutes
]


class Transport:
    """Calls a server's methods; safe to share among threads."""

    def __init__(
        self,
        target: str,
        retries: int,
        credentials: grpc.ChannelCredentials | None,
        metadata_headers: Sequence[tuple[str, str]],
    ) -> None:
        self._target = target
        self._retries = retries
        self._headers = tuple(metadata_headers)
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        else:
            self._channel = grpc.secure_channel(target, credentials, options=_OPTIONS)
        self._stubs = {
            name: self._channel.unary_unary(
                service + name,
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=response.FromString,
            )
            for name, (service, response) in _METHODS.items()
        }

    def call(self, method: str, request: Any, timeout: float) -> Any:
        """Return the answer to `request`, within `timeout` seconds whatever happens.

        UNAVAILABLE, and nothing else, is tried again after a random pause, while retries and time are left.

        Raises:
            ServerError: any other gRPC status than OK, as the child that names it.
        """
        deadline = time.monotonic() + timeout
        for attempt in range(self._retries + 1):
            try:
                return self._stubs[method](request, timeout=deadline - time.monotonic(), metadata=self._headers)
            except grpc.RpcError as error:
                pause = random.uniform(0.5, 1.0) * min(2.0, 0.1 * 2**attempt)
                is_last = attempt == self._retries or time.monotonic() + pause >= deadline
                if error.code() != grpc.StatusCode.UNAVAILABLE or is_last:
                    raise self._translate(method, error) from error
            time.sleep(pause)
        raise AssertionError("every attempt returns or raises")

    def close(self) -> None:
        """Close the channel; calls in flight end as CANCELLED."""
        self._channel.close()

    def _translate(self, method: str, error: Any) -> errors.ServerError:
        return errors.server_error(error.code(), error.details() or "", f"{method} at {self._target}")
