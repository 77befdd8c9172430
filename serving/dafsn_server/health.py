"""grpc.health.v1, as TensorFlow Serving has it: three names, which tell of the server and never of its models."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

MAX_WATCHERS = 64  # each keeps a thread
_NAMES = ("", "ModelService", "PredictionService")
_Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """Says SERVING from the first moment on, and NOT_SERVING once the server ends.

    Written here because the servicer of grpcio-health-checking sends while it holds the lock that closing a stream
    takes: a server that ended while its watchers left could wait for itself for ever.
    """

    def __init__(self) -> None:
        self._serving = True
        self._watchers = 0
        self._changed = threading.Condition()

    def add_to(self, server: grpc.Server) -> None:
        """Register Check and Watch."""
        health_pb2_grpc.add_HealthServicer_to_server(self, server)

    def end(self) -> None:
        """Say NOT_SERVING from now on; those who watch are told, and their streams end."""
        with self._changed:
            self._serving = False
            self._changed.notify_all()

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Return the status now; NOT_FOUND for other names."""
        if request.service not in _NAMES:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return _Response(status=self._status(request.service))

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Yield the status now and at the server's end."""
        with self._changed:
            admitted = self._watchers < MAX_WATCHERS
            self._watchers += admitted
        if not admitted:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many watch the server's health")
        try:
            context.add_callback(self._notify)
            before = self._status(request.service)
            yield _Response(status=before)
            with self._changed:
                self._changed.wait_for(lambda: not self._serving or not context.is_active())
            if (now := self._status(request.service)) != before:
                yield _Response(status=now)
        finally:
            with self._changed:
                self._watchers -= 1

    def _status(self, name: str) -> Any:
        if name not in _NAMES:
            return _Response.SERVICE_UNKNOWN
        return _Response.SERVING if self._serving else _Response.NOT_SERVING

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
