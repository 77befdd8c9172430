"""`Server`: the embedded server in this process."""

import importlib.util
import logging
from collections.abc import Mapping
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import tensorflow as tf

from dafsn_server.model import LoadedModel
from dafsn_server.refusal import Refusal
from dafsn_server.repository import Repository
from dafsn_server.services import Services
from dafsn_server.versions import ModelConfig
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


class Server:
    """Serves SavedModels by TensorFlow Serving's protocol, from loading to the last answer.

    Args:
        models: name -> base path, a folder of version folders.
        port: 0 takes a free one.
        host: address to listen at.
        poll_seconds: pause between two looks for new versions.
        workers: requests computed at a time; more wait.

    The port opens when every model has a version that answers.

    Raises:
        ServingError: a model without a version that loads, or a port that is taken.
    """

    def __init__(
        self, models: Mapping[str, Path], *, port: int, host: str, poll_seconds: float = 1.0, workers: int = 8
    ) -> None:
        self._repository = Repository(_load, poll_seconds)
        try:
            self._repository.configure(ModelConfig(name, path.absolute()) for name, path in models.items())
        except Refusal as refusal:
            self._repository.close()
            raise ServingError(
                f"The server did not start: {refusal.message}. Export the model again, or serve another folder."
            ) from refusal
        self._server = grpc.server(futures.ThreadPoolExecutor(workers, "request"), options=_OPTIONS)
        Services(self._repository).add_to(self._server)
        try:
            self.port = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            self._repository.close()
            raise ServingError(
                f"The server cannot listen at {host}:{port}: {error}. Stop what uses that port or choose another."
            ) from error
        self._server.start()
        self._repository.start_watching()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, grace: float = 10.0) -> None:
        """Refuse new requests, let those in flight finish for `grace` seconds, unload."""
        self._server.stop(grace).wait()
        self._repository.close()


def _load(path: Path) -> LoadedModel:
    model = LoadedModel(path)
    try:
        count = warm_up(model)
    except Refusal:
        model.close()
        raise
    except tf.errors.OpError as error:
        model.close()
        raise Refusal.from_number(error.error_code, error.message) from error
    if count:
        _log.info("replayed %d warm-up requests of %s", count, path)
    return model
