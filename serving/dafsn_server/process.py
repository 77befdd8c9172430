"""`running`: the embedded server in a process of its own, for as long as a block lasts."""

import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dafsn_tf.errors import ServingError

_PREFIX = "listening on "


@contextmanager
def running(
    models: Mapping[str, Path],
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    start_seconds: float = 120.0,
    arguments: Sequence[str] = (),
) -> Iterator[str]:
    """Yield "host:port" of a server of these models once it answers; end it with the block.

    Args:
        models: name -> base path.
        port: 0 takes a free one.
        host: address to listen at.
        start_seconds: how long to wait for it.
        arguments: further ones of `python -m dafsn_server`.

    Raises:
        ServingError: the server ended, or did not answer within `start_seconds`; with the server's own message.
    """
    command = [sys.executable, "-m", "dafsn_server", "--port", str(port), "--host", host]
    command += [*(f"--model={name}={path}" for name, path in models.items()), *arguments]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            line = _first_line(process, start_seconds)
            if not line.startswith(_PREFIX):
                _end(process)
                log.seek(0)
                raise ServingError(_reason(log.read().decode(errors="replace"), start_seconds))
            yield line.removeprefix(_PREFIX).strip()
        finally:
            _end(process)


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> str:
    """Return the first line that a process prints; nothing where it ended, or was silent for that long."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        return process.stdout.readline().decode() if selector.select(seconds) else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()


def _reason(log: str, seconds: float) -> str:
    lines = log.strip().splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if errors:
        return errors[-1]
    return f"The embedded server was not ready within {seconds:g} s. Its last line: {lines[-1] if lines else '(none)'}"
