"""`Monitoring`: the metrics over HTTP."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dafsn_server.metrics import Metrics
from dafsn_tf.errors import ServingError

PATH = "/monitoring/prometheus/metrics"


class Monitoring:
    """Answers at `PATH` until it is stopped.

    Raises:
        ServingError: a port that is taken.
    """

    def __init__(self, metrics: Metrics, host: str, port: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = 10  # a caller that says nothing does not keep its thread

            def do_GET(self) -> None:
                found = self.path.split("?")[0] == PATH
                body = (metrics.expose() if found else f"Metrics are at {PATH}\n").encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing of each scrape."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise ServingError(
                f"The metrics cannot be offered at {host}:{port}: {error.strerror}. "
                "Stop what uses that port or choose another."
            ) from error
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="monitoring", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
