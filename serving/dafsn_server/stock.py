"""`serve_stock`: a stock TensorFlow Serving in the foreground, until a signal ends it."""

import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Self

from dafsn_server.batching.parameters import read_batching_parameters
from dafsn_server.engines import Engine, Launch, Request, launch
from dafsn_server.foreground import check_base_paths
from dafsn_server.ports import free_port
from dafsn_server.tls import read_credentials
from dafsn_tf.errors import ServingError

_POLL_SECONDS = 0.1
# How a client of HTTP/2 begins: the fixed text, then an empty SETTINGS frame. A gRPC server answers with its settings.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


def serve_stock(engine: Engine, request: Request) -> None:
    """Serve until SIGINT or SIGTERM, which the server gets too; a second signal kills it.

    Prints one line, `listening on HOST:PORT`, when requests are answered; what the server writes goes to stderr. It may
    take any time to get there, since loading may.

    Args:
        engine: `tensorflow_model_server` or `docker`.
        request: what is to be served; port 0 takes a free one.

    Raises:
        ServingError: no version to serve, a file that cannot be used, a port in use, or a server that ended by itself.
    """
    check_base_paths({request.name: request.base_path})
    if request.batching_parameters_file:
        read_batching_parameters(request.batching_parameters_file)
    if request.ssl_config_file:
        read_credentials(request.ssl_config_file)
    request = replace(
        request,
        port=free_port(request.host, request.port),
        monitoring_port=None if request.monitoring_port is None else free_port(request.host, request.monitoring_port),
    )
    with tempfile.TemporaryDirectory(prefix="dafsn-serve-") as folder:
        _run(engine, launch(engine, request, Path(folder)), request)


def answers(host: str, port: int, *, tls: bool, seconds: float = 1.0) -> bool:
    """Return whether something speaks HTTP/2 there; an open port alone is no sign, since Docker opens it at once."""
    try:
        with socket.create_connection((host, port), seconds) as plain, _wrapped(plain, tls) as connection:
            connection.settimeout(seconds)
            connection.sendall(_HELLO)
            return bool(connection.recv(1))
    except OSError:
        return False


def _run(engine: Engine, plan: Launch, request: Request) -> None:
    for note in plan.notes:
        print(f"note: {note}", file=sys.stderr, flush=True)
    with _Signals(plan) as signals:
        code = signals.run(lambda process: _wait_until_it_answers(process, request, signals.ended))
    if not signals.ended.is_set():
        raise ServingError(f"{engine} ended with code {code}. What it wrote above says why.")


def _wait_until_it_answers(process: "subprocess.Popen[bytes]", request: Request, ended: threading.Event) -> None:
    host = "127.0.0.1" if request.host == "0.0.0.0" else request.host
    tls = request.ssl_config_file is not None
    while process.poll() is None and not ended.is_set():
        if answers(host, request.port, tls=tls):
            print(f"listening on {request.host}:{request.port}", flush=True)
            return
        time.sleep(_POLL_SECONDS)


class _Signals:
    """SIGINT and SIGTERM on their way to the server, as long as the block lasts.

    Attributes:
        ended: set by the first signal.
    """

    def __init__(self, plan: Launch) -> None:
        self.ended = threading.Event()
        self._plan = plan
        self._process: subprocess.Popen[bytes] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, meanwhile: "Callable[[subprocess.Popen[bytes]], None]") -> int:
        """Start the server, call `meanwhile`, and return the server's exit code once it ends."""
        # A session of its own: a signal of the terminal reaches it once, through us.
        with subprocess.Popen(self._plan.command, stdout=sys.stderr, start_new_session=True) as process:
            self._process = process
            if self.ended.is_set():
                process.terminate()
            meanwhile(process)
            return process.wait()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first = not self.ended.is_set()
        self.ended.set()
        if self._process and first:
            self._process.terminate()
        elif self._process:
            if self._plan.kill:
                subprocess.run(self._plan.kill, capture_output=True, timeout=10, check=False)
            self._process.kill()


def _wrapped(connection: socket.socket, tls: bool) -> socket.socket:
    if not tls:
        return connection
    context = ssl.create_default_context()
    context.check_hostname = False  # it is asked whether it answers, not who it is
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(connection)
