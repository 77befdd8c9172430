"""Which engine is taken and why, and stock servers that are small scripts: they write down how they were called."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from textfiles import written

from dafsn_client import Client
from dafsn_server import engines
from dafsn_server.engines import IMAGE, Engine, Request, choose, launch
from dafsn_tf.errors import ServingError

SERVE = "import sys; from dafsn_tf.cli.main import main; main()"

# Answers whoever speaks HTTP/2 first, as a gRPC server does; `--port=N` or `--publish HOST:N:8500` says where.
ANSWERING = """#!{python}
import json, pathlib, re, signal, socket, sys
files = {{}}
for argument in sys.argv[1:]:
    path = pathlib.Path(argument.partition("=")[2])
    if argument.startswith("--") and path.suffix == ".config" and path.is_file():
        files[argument.partition("=")[0]] = path.read_text()
pathlib.Path({record!r}).write_text(json.dumps({{"argv": sys.argv[1:], "files": files}}))
if sys.argv[1:2] in (["info"], ["image"]):
    sys.exit(0)
if {code}:
    sys.exit({code})
{ignore}
port = int(re.search(r":([0-9]+):8500|--port=([0-9]+)", " ".join(sys.argv)).group(1 if "run" in sys.argv else 2))
with socket.create_server(("127.0.0.1", port)) as server:
    while True:
        connection, _ = server.accept()
        if connection.recv(3) == b"PRI":
            connection.sendall(b"settings")
"""


@pytest.fixture
def bin_folder(tmp_path, monkeypatch):
    """The only folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def script(folder, name, text):
    path = written(folder, text, name)
    path.chmod(0o755)
    return str(path)


def answering(folder, name, code=0, ignore=""):
    record = folder.parent / "called.json"
    text = ANSWERING.format(python=sys.executable, record=str(record), code=code, ignore=ignore)
    return script(folder, name, text)


def shell(folder, name, body):
    return script(folder, name, f"#!/bin/sh\n{body}\n")


def test_a_model_server_on_path_is_taken_first(bin_folder):
    path = shell(bin_folder, "tensorflow_model_server", "exit 0")
    shell(bin_folder, "docker", "exit 0")
    assert choose(Engine.auto) == (Engine.tensorflow_model_server, f"{path} is on PATH")


def test_docker_is_taken_where_it_answers_and_holds_the_image(bin_folder):
    shell(bin_folder, "docker", "exit 0")
    engine, reason = choose(Engine.auto)
    assert engine == Engine.docker
    assert reason == f"no tensorflow_model_server is on PATH; Docker answers and holds {IMAGE}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "no docker is on PATH"),
        ("exit 1", "docker is on PATH, but no engine answers it"),
        ("sleep 60", "docker is on PATH, but no engine answers it"),
        ('test "$1" = info', f"docker does not hold {IMAGE}"),
    ],
)
def test_else_the_embedded_one(bin_folder, monkeypatch, body, reason):
    monkeypatch.setattr(engines, "_DOCKER_SECONDS", 0.5)
    if body:
        shell(bin_folder, "docker", body.replace("sleep", shutil.which("sleep", path=os.defpath) or "sleep"))
    assert choose(Engine.auto) == (Engine.embedded, f"no tensorflow_model_server is on PATH, and {reason}")


def test_what_is_asked_for_by_name_must_be_there(bin_folder):
    assert choose(Engine.embedded) == (Engine.embedded, "as asked")
    with pytest.raises(ServingError, match=r"No tensorflow_model_server on PATH\. Install .* `--engine embedded`"):
        choose(Engine.tensorflow_model_server)
    with pytest.raises(ServingError, match=r"No docker is on PATH\. Start Docker"):
        choose(Engine.docker)
    shell(bin_folder, "docker", 'test "$1" = info')  # an image is downloaded when it is asked for
    assert choose(Engine.docker) == (Engine.docker, f"as asked: {IMAGE}")


def everything(tmp_path):
    return Request(
        "mine",
        tmp_path / "models",
        8600,
        max_threads=32,
        batching_parameters_file=written(tmp_path, "max_batch_size { value: 3 }", "b.txt"),
        ssl_config_file=written(tmp_path, "client_verify: false", "s.txt"),
        monitoring_port=8601,
        tensor_content=True,
    )


def test_flags_of_the_model_server(bin_folder, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    plain = launch(Engine.tensorflow_model_server, Request("mine", tmp_path, 8600, "0.0.0.0"), folder)
    assert plain.command[1:] == [
        "--port=8600",
        "--model_name=mine",
        f"--model_base_path={tmp_path}",
        "--enable_grpc_healthcheck_service=true",
        "--grpc_channel_arguments=grpc.so_reuseport=0",
    ]
    assert plain.notes == []
    assert list(folder.iterdir()) == []
    plan = launch(Engine.tensorflow_model_server, everything(tmp_path), folder)
    assert plan.command[6:] == [
        "--grpc_max_threads=32",
        "--enable_batching=true",
        f"--batching_parameters_file={folder}/batching.config",
        f"--ssl_config_file={folder}/ssl.config",
        "--rest_api_port=8601",
        f"--monitoring_config_file={folder}/monitoring.config",
        "--enable_serialization_as_tensor_content=true",
    ]
    assert plan.notes == [
        "tensorflow_model_server listens at all addresses, not at 127.0.0.1 alone: it has no flag for one"
    ]
    assert (folder / "batching.config").read_text() == "max_batch_size { value: 3 }"
    assert (folder / "monitoring.config").read_text() == (
        'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n'
    )


def test_command_of_docker(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    plan = launch(Engine.docker, everything(tmp_path), folder)
    name = f"dafsn-serve-{os.getpid()}"
    assert plan.command == [
        *("docker", "run", "--rm", "--init", "--name", name),
        *("--publish", "127.0.0.1:8600:8500", "--publish", "127.0.0.1:8601:8501"),
        *("--mount", f"type=bind,source={tmp_path}/models,target=/models/mine,readonly"),
        *("--mount", f"type=bind,source={folder},target=/dafsn,readonly"),
        *("--entrypoint", "tensorflow_model_server", IMAGE),
        *("--port=8500", "--model_name=mine", "--model_base_path=/models/mine"),
        "--enable_grpc_healthcheck_service=true",
        "--grpc_channel_arguments=grpc.so_reuseport=0",
        *("--grpc_max_threads=32", "--enable_batching=true", "--batching_parameters_file=/dafsn/batching.config"),
        *("--ssl_config_file=/dafsn/ssl.config", "--rest_api_port=8501"),
        "--monitoring_config_file=/dafsn/monitoring.config",
        "--enable_serialization_as_tensor_content=true",
    ]
    assert plan.kill == ["docker", "kill", name]
    with pytest.raises(ServingError, match=r"Docker cannot mount .*a,b: its name holds a comma"):
        launch(Engine.docker, Request("mine", tmp_path / "a,b", 8600), folder)


@contextmanager
def serving(*arguments):
    command = [sys.executable, "-c", SERVE, "serve", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("engine", ["tensorflow_model_server", "docker"])
def test_a_stock_server_is_started_awaited_and_ended(bin_folder, toy_versions, tmp_path, engine):
    answering(bin_folder, engine)
    batching = written(tmp_path, "max_batch_size { value: 3 }", "b.txt")
    with serving(toy_versions, "--port", 0, "--name", "mine", "--batching-parameters-file", batching) as process:
        line = process.stdout.readline()
        assert re.fullmatch(r"listening on 127\.0\.0\.1:[1-9]\d*\n", line)
        process.send_signal(signal.SIGINT)
        output, log = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, "")
    assert f"engine: {engine} (" in log
    assert ("listens at all addresses" in log) == (engine == "tensorflow_model_server")
    called = json.loads((tmp_path / "called.json").read_text())
    assert "--model_name=mine" in called["argv"]
    if engine == "tensorflow_model_server":
        assert f"--port={line.strip().rsplit(':', 1)[1]}" in called["argv"]
        assert called["files"] == {"--batching_parameters_file": "max_batch_size { value: 3 }"}


def test_a_second_signal_kills_what_ignores_the_first(bin_folder, toy_versions):
    answering(bin_folder, "tensorflow_model_server", ignore="signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    with serving(toy_versions, "--port", 0) as process:
        assert process.stdout.readline().startswith("listening on ")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_stock_server_that_ends_by_itself_is_an_error(bin_folder, toy_versions):
    answering(bin_folder, "tensorflow_model_server", code=7)
    with serving(toy_versions, "--port", 0) as process:
        output, log = process.communicate(timeout=20)
    assert (process.returncode, output) == (1, "")
    assert "error: tensorflow_model_server ended with code 7" in log


def test_what_can_be_told_before_is_told_before(bin_folder, toy_versions, tmp_path):
    answering(bin_folder, "tensorflow_model_server")
    broken = written(tmp_path, "max_batch_size: 3", "b.txt")
    for arguments, message in [
        ([tmp_path / "none"], "cannot be read: No such file or directory"),
        ([toy_versions, "--batching-parameters-file", broken], "b.txt, line 1: "),
        ([toy_versions, "--ssl-config-file", broken], "b.txt, line 1: "),
    ]:
        with serving(*arguments, "--port", 0) as process:
            _, log = process.communicate(timeout=20)
        assert process.returncode == 1
        assert message in log
    assert not (tmp_path / "called.json").exists()


@pytest.mark.skipif(not os.environ.get("TENSORFLOW_MODEL_SERVER"), reason="TENSORFLOW_MODEL_SERVER names no binary")
def test_a_real_model_server(bin_folder, toy_versions):
    (bin_folder / "tensorflow_model_server").symlink_to(Path(os.environ["TENSORFLOW_MODEL_SERVER"]).absolute())
    with serving(toy_versions, "--port", 0, "--name", "mine") as process:
        target = process.stdout.readline().strip().removeprefix("listening on ")
        with Client(target, "mine") as client:
            assert client.encode_text(["abc"]).sentence_features[0, 0] == 6.0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
