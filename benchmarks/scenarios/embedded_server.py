"""A server in a process of its own, and what is asked of it."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from dafsn_client import protocol, tensors

Figures = dict[str, float | int | str]
NAME = "dafsn"


class ServerProcess:
    """The embedded server over an export, to be killed and started again at the same port."""

    def __init__(self, models: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        self._command = [
            sys.executable,
            "-m",
            "dafsn_server",
            f"--model={NAME}={models}",
            f"--port={self.port}",
            *options,
        ]
        self.process: Any = None

    def start(self) -> None:
        """Start, and return when requests are answered."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not self.process.stdout.readline().startswith(b"listening on"):
            raise RuntimeError(f"the server did not start: {' '.join(self._command)}")

    def kill(self) -> None:
        """Kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> None:
        """End it as an operator would."""
        self.process.terminate()
        self.process.wait(30)
        self.process.stdout.close()

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        return resident_megabytes(self.process.pid)


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} has no memory")


@contextmanager
def server(models: Path, *options: str) -> Iterator[ServerProcess]:
    """Yield a running server; end it with the block."""
    process = ServerProcess(models, *options)
    process.start()
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.stop()


def request(signature: str, **inputs: Any) -> Any:
    """Return a PredictRequest."""
    asked = protocol.PredictRequest(model_spec=protocol.ModelSpec(name=NAME, signature_name=signature))
    for name, value in inputs.items():
        asked.inputs[name].CopyFrom(tensors.to_proto(value, name))
    return asked


def stub(channel: grpc.Channel) -> Any:
    """Return Predict as a bare call, without the client."""
    return channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=protocol.PredictResponse.FromString,
    )


def newest(models: Path) -> Path:
    """Return the folder of a model's newest version."""
    return max((path for path in models.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
