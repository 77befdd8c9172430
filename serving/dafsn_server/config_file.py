"""`ConfigFile`: a `--model-config-file` that is read again and again."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from dafsn_server.model_configs import read_model_configs
from dafsn_server.refusal import Refusal
from dafsn_server.versions import ModelConfig
from dafsn_tf.errors import ServingError

_log = logging.getLogger(__name__)


class ConfigFile:
    """Makes what a file lists the whole state of a server, for as long as a block lasts.

    Every time, changed or not, so that it also takes back what was reloaded over gRPC, as TensorFlow Serving does. A
    file that cannot be used is logged, and what was served stays.

    Args:
        path: the file.
        seconds: pause between two readings.
        configure: takes the models; raises `Refusal`.
    """

    def __init__(self, path: Path, seconds: float, configure: Callable[[list[ModelConfig]], None]) -> None:
        self._path = path
        self._seconds = seconds
        self._configure = configure
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read, name="config file", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self._configure(read_model_configs(self._path))
            except ServingError as error:
                _log.error("the model config file cannot be used, nothing was changed: %s", error)
            except Refusal as refusal:
                _log.error("reloading %s: %s", self._path, refusal.message)
