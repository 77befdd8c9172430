"""`serve`: the embedded server in the foreground, until a signal ends it."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from dafsn_server.versions import discover
from dafsn_tf.errors import ServingError


def serve(
    models: Mapping[str, Path], *, port: int, host: str = "127.0.0.1", poll_seconds: float = 1.0, workers: int = 8
) -> None:
    """Serve models (name -> base path) until SIGINT or SIGTERM, then let requests in flight finish.

    Prints one line, `listening on HOST:PORT`, when requests are answered; everything else goes to the log on stderr.

    Raises:
        ServingError: no version to serve (told before TensorFlow is loaded), one that does not load, a port in use.
    """
    for name, path in models.items():
        _check_base_path(name, path)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    from dafsn_server.server import Server  # TensorFlow: seconds, so after the checks

    logging.getLogger(__name__).info(
        "this is dafsn's development server; for production run tensorflow_model_server on the same folders"
    )
    with Server(models, port=port, host=host, poll_seconds=poll_seconds, workers=workers) as server:
        print(f"listening on {host}:{server.port}", flush=True)
        ended.wait()


def _check_base_path(name: str, path: Path) -> None:
    example = f"It must hold version folders such as {path / '1'}; `dafsn export RUN --to {path}` writes one."
    try:
        found = discover(path)
    except OSError as error:
        raise ServingError(
            f"The base path of model '{name}', {path}, cannot be read: {error.strerror}. {example}"
        ) from error
    if not found:
        raise ServingError(f"The base path of model '{name}', {path}, holds no version. {example}")
