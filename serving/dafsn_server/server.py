"""`Server`: the embedded server in this process."""

import importlib.util
import logging
import os
import time
from collections.abc import Iterable
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import tensorflow as tf

from dafsn_server.admission import Admission
from dafsn_server.batching.model import BatchedModel
from dafsn_server.batching.parameters import BatchingParameters
from dafsn_server.batching.scheduler import Scheduler
from dafsn_server.health import MAX_WATCHERS, Health
from dafsn_server.metrics import Metrics
from dafsn_server.model import LoadedModel
from dafsn_server.monitoring import Monitoring
from dafsn_server.refusal import Refusal
from dafsn_server.repository import Repository
from dafsn_server.services import Services
from dafsn_server.versions import ModelConfig, Models, configs_of
from dafsn_server.warmup import warm_up
from dafsn_tf.errors import ServingError

if importlib.util.find_spec("tensorflow_text"):
    import tensorflow_text as _  # noqa: F401  registers the ops that exported tokenisers are made of

_log = logging.getLogger(__name__)
_OPTIONS = [
    ("grpc.so_reuseport", 0),  # else a second server binds the same port and takes half of the requests
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]
# TensorFlow Serving's four for each CPU, but never so few that one client's threads fill them.
MAX_THREADS = max(16, 4 * (os.cpu_count() or 1))
_SPARE_THREADS = 8  # they refuse what is one too many, and answer for the server's health at once
_LAST_ANSWERS_SECONDS = 1.0  # computed, and on their way


class Server:
    """Serves SavedModels by TensorFlow Serving's protocol, from loading to the last answer.

    Args:
        models: name -> base path, a folder of version folders; or configurations, with version policies and labels.
        port: 0 takes a free one.
        host: address to listen at.
        poll_seconds: pause between two looks for new versions.
        max_threads: requests computed at a time; one more is refused, it does not wait.
        batching: how rows of several requests share a run of the graph; by default they do not.
        credentials: TLS; by default plain text.
        monitoring_port: where metrics are offered over HTTP, 0 takes a free one; by default nowhere.
        tensor_content: answer with values as bytes, not in the field of their type.

    The port opens when every model has a version that answers.

    Raises:
        ServingError: a model without a version that loads, a label on none, or a port that is taken.
    """

    def __init__(
        self,
        models: Models,
        *,
        port: int,
        host: str,
        poll_seconds: float = 1.0,
        max_threads: int = MAX_THREADS,
        batching: BatchingParameters | None = None,
        credentials: grpc.ServerCredentials | None = None,
        monitoring_port: int | None = None,
        tensor_content: bool = False,
    ) -> None:
        self._metrics = Metrics()
        self._health = Health()
        self._admission = Admission(max_threads)
        self._scheduler = Scheduler(batching).start() if batching else None
        self._repository = Repository(self._load, poll_seconds)
        self._monitoring: Monitoring | None = None
        self._server: grpc.Server | None = None
        try:
            self._configure_first(configs_of(models))
            if monitoring_port is not None:
                self._monitoring = Monitoring(self._metrics, host, monitoring_port)
                _log.info("metrics at %s:%d", host, self._monitoring.port)
            self._server = grpc.server(
                futures.ThreadPoolExecutor(max_threads + MAX_WATCHERS + _SPARE_THREADS, "request"), options=_OPTIONS
            )
            Services(self._repository, self._admission, self._metrics, tensor_content=tensor_content).add_to(
                self._server
            )
            self._health.add_to(self._server)
            self.port = _bound(self._server, f"{host}:{port}", credentials)
            self._server.start()
        except ServingError:
            self.stop(0)
            raise
        self._repository.start_watching()

    @property
    def monitoring_port(self) -> int | None:
        """Where metrics are offered."""
        return self._monitoring.port if self._monitoring else None

    def configure(self, configs: Iterable[ModelConfig]) -> None:
        """Serve these models and no others from now on.

        Raises:
            Refusal: a new model that does not load, a label on a version that does not answer.
        """
        self._repository.configure(configs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, grace: float = 10.0) -> int:
        """Say NOT_SERVING, refuse new requests, let those in flight finish for `grace` seconds, unload.

        Returns:
            How many requests were still computed then. They hold their versions, so nothing is unloaded, and their
            callers see UNAVAILABLE or CANCELLED.
        """
        self._health.end()
        self._admission.close()
        left = self._admission.wait_idle(grace)
        if self._server:
            self._server.stop(None if left else _LAST_ANSWERS_SECONDS).wait()
        if self._monitoring:
            self._monitoring.stop()
        if left:
            return left
        self._repository.close()
        if self._scheduler:
            self._scheduler.stop()
        return 0

    def _configure_first(self, configs: Iterable[ModelConfig]) -> None:
        try:
            self.configure(configs)
        except Refusal as refusal:
            advice = "Export the model again, move that version away if an older one shall do, or serve another folder."
            if refusal.code == grpc.StatusCode.FAILED_PRECONDITION:
                advice = "Point the label to a version that is there and that the version policy serves."
            raise ServingError(f"The server did not start: {refusal.message}. {advice}") from refusal

    def _load(self, path: Path) -> Any:
        start, status = time.perf_counter(), "fail"
        try:
            loaded = LoadedModel(path)
            status = "success"
        finally:
            self._metrics.load_attempt_count.add(str(path), status)
        self._metrics.load_latency.add(str(path), amount=(time.perf_counter() - start) * 1e6)
        model = BatchedModel(loaded, self._scheduler, self._metrics) if self._scheduler else loaded
        try:
            self._warm_up(model)
        except tf.errors.OpError as error:
            model.close()
            raise Refusal.from_number(error.error_code, error.message) from error
        except BaseException:
            model.close()
            raise
        return model

    def _warm_up(self, model: Any) -> None:
        start, status = time.perf_counter(), "INTERNAL"
        count = 1
        try:
            count = warm_up(model)
            status = "OK"
        except Refusal as refusal:
            status = refusal.code.name
            raise
        finally:
            if count:
                self._metrics.warmup_latency.observe((time.perf_counter() - start) * 1e6, str(model.path), status)
        if count:
            _log.info("replayed %d warm-up requests of %s", count, model.path)


def _bound(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    try:
        return server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    except RuntimeError as error:
        reason = str(error).rstrip(".")
        raise ServingError(
            f"The server cannot listen at {address}: {reason}. Stop what uses that port or choose another."
        ) from error
