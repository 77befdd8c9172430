"""`serve`: the embedded server in the foreground, until a signal ends it."""

import logging
import os
import signal
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

from dafsn_server.batching.parameters import read_batching_parameters
from dafsn_server.config_file import ConfigFile
from dafsn_server.memory import return_memory
from dafsn_server.ports import free_port
from dafsn_server.tls import read_credentials
from dafsn_server.versions import ModelConfig, Models, configs_of, discover, wanted
from dafsn_tf.errors import ServingError

_log = logging.getLogger(__name__)
_GRACE_SECONDS = 10.0


def serve(
    models: Models,
    *,
    port: int,
    host: str = "127.0.0.1",
    poll_seconds: float = 1.0,
    config_file: Path | None = None,
    config_file_seconds: float = 0.0,
    max_threads: int | None = None,
    batching_parameters_file: Path | None = None,
    ssl_config_file: Path | None = None,
    monitoring_port: int | None = None,
    tensor_content: bool = False,
) -> None:
    """Serve models until SIGINT or SIGTERM, then let requests in flight finish; a second signal ends at once.

    Prints one line, `listening on HOST:PORT`, when requests are answered; everything else goes to the log on stderr.

    Args:
        models: name -> base path, or configurations.
        port: 0 takes a free one.
        host: address to listen at.
        poll_seconds: pause between two looks for new versions.
        config_file: where the models come from, so that it can be read again.
        config_file_seconds: pause between two readings of it; 0 does not read it again.
        max_threads: requests computed at a time; by default four for each CPU, sixteen at least.
        batching_parameters_file: text form of BatchingParameters; by default requests are computed each by itself.
        ssl_config_file: text form of SSLConfig; by default plain text.
        monitoring_port: where metrics are offered over HTTP; by default nowhere.
        tensor_content: answer with values as bytes, not in the field of their type.

    Raises:
        ServingError: no version to serve, a file that cannot be used, a port in use (all told before TensorFlow is
            loaded), a version that does not load.
    """
    check_base_paths(models)
    batching = read_batching_parameters(batching_parameters_file) if batching_parameters_file else None
    credentials = read_credentials(ssl_config_file) if ssl_config_file else None
    for number in (port, monitoring_port or 0):
        free_port(host, number)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return_memory()
    signals = _Signals()
    _log.info("this is dafsn's development server; for production run tensorflow_model_server on the same folders")
    from dafsn_server.server import MAX_THREADS, Server  # TensorFlow: seconds, so after the checks

    server = Server(
        models,
        port=port,
        host=host,
        poll_seconds=poll_seconds,
        max_threads=max_threads or MAX_THREADS,
        batching=batching,
        credentials=credentials,
        monitoring_port=monitoring_port,
        tensor_content=tensor_content,
    )
    rereading = nullcontext()
    if config_file and config_file_seconds:
        rereading = ConfigFile(config_file, config_file_seconds, server.configure)
    with rereading:
        print(f"listening on {host}:{server.port}", flush=True)
        signals.wait()
    _log.info("ending: requests in flight have %g s; a second signal ends at once", _GRACE_SECONDS)
    if left := server.stop(_GRACE_SECONDS):
        _log.warning("%d requests did not finish", left)
        _leave(0)


def check_base_paths(models: Models) -> None:
    """Refuse models of which no version can be served.

    Raises:
        ServingError: a base path that cannot be read, or that holds none of the versions asked for.
    """
    for config in configs_of(models):
        _check_base_path(config)


class _Signals:
    """SIGINT and SIGTERM: the first, while the server answers, asks for its end; any other ends the process."""

    def __init__(self) -> None:
        self._answering = False
        self._ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)

    def wait(self) -> None:
        """Return at the first signal."""
        self._answering = True
        self._ended.wait()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._answering and not self._ended.is_set():
            self._ended.set()
        else:
            _leave(128 + number)


def _leave(code: int) -> None:
    """End the process although threads of requests still compute."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _check_base_path(config: ModelConfig) -> None:
    name, path = config.name, config.base_path
    if (path / "saved_model.pb").is_file():
        raise ServingError(
            f"The base path of model '{name}', {path}, is a version itself: serve {path.parent}, whose newest "
            "version answers."
        )
    example = f"It must hold version folders such as {path / '1'}; `dafsn export RUN --to {path}` writes one."
    try:
        found = discover(path)
    except OSError as error:
        raise ServingError(
            f"The base path of model '{name}', {path}, cannot be read: {error.strerror}. {example}"
        ) from error
    if not found:
        raise ServingError(f"The base path of model '{name}', {path}, holds no version. {example}")
    if not wanted(config, found):
        raise ServingError(
            f"The base path of model '{name}', {path}, holds none of the versions asked for, "
            f"{', '.join(map(str, config.specific or ()))}. It holds {', '.join(map(str, sorted(found)))}."
        )
