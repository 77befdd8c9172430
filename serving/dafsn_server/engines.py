"""Which server answers, the embedded one or a stock TensorFlow Serving, and the command line of the latter."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from dafsn_server.monitoring import PATH
from dafsn_tf.errors import ServingError

IMAGE = "tensorflow/serving:2.20.0"
_PROGRAM = "tensorflow_model_server"
_DOCKER_SECONDS = 5.0  # an engine that is slower than this does not answer
_IN_CONTAINER = Path("/dafsn")
_EVERYWHERE = "0.0.0.0"


class Engine(StrEnum):
    """What answers."""

    auto = "auto"
    embedded = "embedded"
    tensorflow_model_server = "tensorflow_model_server"
    docker = "docker"


@dataclass(frozen=True)
class Request:
    """What is to be served, and how; an engine makes its own arguments of it."""

    name: str  # that clients ask for
    base_path: Path  # holds version folders
    port: int  # of gRPC; not 0
    host: str = "127.0.0.1"  # address to listen at
    max_threads: int | None = None  # requests computed at a time; None is the engine's default
    batching_parameters_file: Path | None = None
    ssl_config_file: Path | None = None
    monitoring_port: int | None = None  # where metrics are offered over HTTP
    tensor_content: bool = False  # values of answers as bytes


@dataclass(frozen=True)
class Launch:
    """A stock server's command line, and what goes with it."""

    command: list[str]
    kill: list[str] = field(default_factory=list)  # ends what a signal to the command does not reach
    notes: list[str] = field(default_factory=list)  # what differs from what was asked for


def choose(engine: Engine) -> tuple[Engine, str]:
    """Return the engine to use, never `auto`, and why.

    `auto` takes a `tensorflow_model_server` on PATH; else Docker, where an engine answers within seconds and holds the
    image already: it never downloads; else the embedded server.

    Raises:
        ServingError: an engine that was asked for by name is not there.
    """
    if engine == Engine.embedded:
        return engine, "as asked"
    program = shutil.which(_PROGRAM)
    if engine == Engine.tensorflow_model_server:
        if not program:
            raise ServingError(
                f"No {_PROGRAM} on PATH. Install TensorFlow Serving, or use `--engine docker` or `--engine embedded`."
            )
        return engine, f"as asked: {program}"
    if engine == Engine.docker:
        if reason := _docker_fault():
            raise ServingError(f"{reason}. Start Docker, or use `--engine embedded`.")
        return engine, f"as asked: {IMAGE}"
    if program:
        return Engine.tensorflow_model_server, f"{program} is on PATH"
    if reason := _docker_fault() or _image_fault():
        return Engine.embedded, f"no {_PROGRAM} is on PATH, and {reason[0].lower()}{reason[1:]}"
    return Engine.docker, f"no {_PROGRAM} is on PATH; Docker answers and holds {IMAGE}"


def launch(engine: Engine, request: Request, folder: Path) -> Launch:
    """Return the command line of a stock server.

    Args:
        engine: `tensorflow_model_server` or `docker`.
        request: what is to be served.
        folder: an empty one for files that the server reads; it must stay while the server runs.
    """
    if engine == Engine.docker:
        return _docker(request, folder)
    flags = _flags(request, folder, request.base_path.absolute(), request.port, request.monitoring_port)
    notes = []
    if request.host != _EVERYWHERE:
        notes.append(f"{_PROGRAM} listens at all addresses, not at {request.host} alone: it has no flag for one")
    return Launch([shutil.which(_PROGRAM) or _PROGRAM, *flags], notes=notes)


def _docker(request: Request, folder: Path) -> Launch:
    container, models = f"dafsn-serve-{os.getpid()}", Path("/models", request.name)
    command = ["docker", "run", "--rm", "--init", "--name", container]  # init: the server itself ignores signals
    command += ["--publish", f"{request.host}:{request.port}:8500"]
    if request.monitoring_port is not None:
        command += ["--publish", f"{request.host}:{request.monitoring_port}:8501"]
    command += ["--mount", _mount(request.base_path, models), "--mount", _mount(folder, _IN_CONTAINER)]
    command += ["--entrypoint", _PROGRAM, IMAGE]
    monitoring_port = None if request.monitoring_port is None else 8501
    command += _flags(request, folder, models, 8500, monitoring_port, seen_at=_IN_CONTAINER)
    return Launch(command, kill=["docker", "kill", container])


def _mount(source: Path, target: Path) -> str:
    if "," in str(source):
        raise ServingError(f"Docker cannot mount {source}: its name holds a comma. Rename it, or use another engine.")
    return f"type=bind,source={source.absolute()},target={target},readonly"


def _flags(
    request: Request, folder: Path, base_path: Path, port: int, monitoring_port: int | None, seen_at: Path | None = None
) -> list[str]:
    """Return the flags of `tensorflow_model_server`; files are put into `folder`, which it sees as `seen_at`."""
    seen_at = seen_at or folder
    flags = [f"--port={port}", f"--model_name={request.name}", f"--model_base_path={base_path}"]
    flags += ["--enable_grpc_healthcheck_service=true"]
    # As the embedded server: a second one on the same port is an error, it does not take half of the requests.
    flags += ["--grpc_channel_arguments=grpc.so_reuseport=0"]
    if request.max_threads:
        flags += [f"--grpc_max_threads={request.max_threads}"]
    if request.batching_parameters_file:
        shutil.copyfile(request.batching_parameters_file, folder / "batching.config")
        flags += ["--enable_batching=true", f"--batching_parameters_file={seen_at / 'batching.config'}"]
    if request.ssl_config_file:
        shutil.copyfile(request.ssl_config_file, folder / "ssl.config")
        flags += [f"--ssl_config_file={seen_at / 'ssl.config'}"]
    if monitoring_port is not None:
        (folder / "monitoring.config").write_text(f'prometheus_config {{ enable: true, path: "{PATH}" }}\n')
        flags += [f"--rest_api_port={monitoring_port}", f"--monitoring_config_file={seen_at / 'monitoring.config'}"]
    if request.tensor_content:
        flags += ["--enable_serialization_as_tensor_content=true"]
    return flags


def _docker_fault() -> str:
    """Return why Docker cannot be used, or nothing."""
    if not shutil.which("docker"):
        return "No docker is on PATH"
    return "" if _succeeds("docker", "info", "--format", "{{.ID}}") else "Docker is on PATH, but no engine answers it"


def _image_fault() -> str:
    return "" if _succeeds("docker", "image", "inspect", IMAGE) else f"Docker does not hold {IMAGE}"


def _succeeds(*command: str) -> bool:
    try:
        ended = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_DOCKER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
