"""`ServerProcess`: the embedded server in a process of its own, for as long as a block lasts."""

import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from dafsn_tf.errors import ServingError


class ServerProcess:
    """A child process that serves models (name -> base path); on entering, returns when it answers.

    Attributes:
        target: "host:port" that a client asks, once entered.

    Raises:
        ServingError: on entering, the server ended or did not answer within `start_seconds`; the message holds its own.
    """

    def __init__(
        self, models: Mapping[str, Path], *, port: int = 0, host: str = "127.0.0.1", start_seconds: float = 120
    ):
        self.target = ""
        self._command = [sys.executable, "-m", "dafsn_server", "--port", str(port), "--host", host]
        self._command += [f"--model={name}={path}" for name, path in models.items()]
        self._start_seconds = start_seconds
        self._log: IO[bytes] = tempfile.TemporaryFile()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=self._log)
        line = _first_line(self._process, self._start_seconds)
        if not line.startswith("listening on "):
            self._process.kill()
            self._process.wait()
            last = self.log().strip().splitlines()[-1:]
            self._close()
            raise ServingError(
                f"The embedded server did not start: {''.join(last).removeprefix('error: ') or 'no answer'}"
            )
        self.target = line.removeprefix("listening on ").strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, timeout: float = 15.0) -> int:
        """End the server, by force where it takes more than `timeout` seconds; returns its exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._close()
        return code

    def log(self) -> str:
        """Return what the server has written to its log so far."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def _close(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Return the first line of a process's output; empty where it ended, or was silent for that long."""
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            return ""
    return process.stdout.readline().decode()
