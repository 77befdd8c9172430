"""One channel to a server: a deadline on every call, retries while there is time, typed errors."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from dafsn_client import errors, protocol
from dafsn_client.connection import Connection
from dafsn_client.steps import Call

_PREDICTION = "/tensorflow.serving.PredictionService/"
_MODEL = "/tensorflow.serving.ModelService/"
METHODS = {
    "Predict": (_PREDICTION, protocol.PredictResponse),
    "GetModelMetadata": (_PREDICTION, protocol.GetModelMetadataResponse),
    "GetModelStatus": (_MODEL, protocol.GetModelStatusResponse),
    "HandleReloadConfigRequest": (_MODEL, protocol.ReloadConfigResponse),
}


def stubs(channel: Any) -> dict[str, Any]:
    """Return a callable for each of `METHODS`."""
    return {
        name: channel.unary_unary(
            service + name,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        for name, (service, response) in METHODS.items()
    }


def closed() -> errors.InputError:
    """Return the error of a call after `close`."""
    return errors.InputError("The client is closed; make another one.")


class Transport:
    """Carries out calls, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = connection.open(grpc.insecure_channel, grpc.secure_channel)
        self._stubs = stubs(self._channel)

    def call_all(self, calls: Sequence[Call], deadline: float) -> list[Any]:
        """Return the answers in order, a few calls at a time.

        Raises:
            ServerError: of the first call that failed; those not yet sent are not.
            InputError: the channel is closed.
        """
        if len(calls) == 1:
            return [self._call(calls[0], deadline)]
        with ThreadPoolExecutor(min(self._connection.concurrency, len(calls))) as pool:
            waiting = [pool.submit(self._call, call, deadline) for call in calls]
            try:
                return [answer.result() for answer in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def close(self) -> None:
        """Close the channel; calls in flight end as CANCELLED."""
        self._channel.close()

    def _call(self, call: Call, deadline: float) -> Any:
        if call.seconds is not None:
            deadline = min(deadline, time.monotonic() + call.seconds)
        request, attempt = call.build(), 0
        while True:
            try:
                seconds = deadline - time.monotonic()
                return self._stubs[call.method](request, timeout=seconds, metadata=self._connection.headers)
            except grpc.RpcError as error:
                pause = self._connection.pause(call, error, attempt, deadline)
                if pause is None:
                    failure = self._connection.translated(call, error)
                    if isinstance(failure, call.returned):
                        return failure
                    raise failure from error
            except ValueError as error:  # gRPC's word for a channel that was closed
                raise closed() from error
            time.sleep(pause)
            attempt += 1
