"""Starting and ending: what is printed, and what cannot start."""

import socket
import subprocess
import sys

import pytest

from dafsn_client import Client, ServerError
from dafsn_server.process import running
from dafsn_server.server import Server
from dafsn_tf.errors import ServingError


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "dafsn_server", *arguments], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "cannot be read: No such file or directory"), ("bare", "holds no version")],
)
def test_a_base_path_without_versions_ends_at_once(tmp_path, name, message):
    (tmp_path / "bare").mkdir()
    ended = run("--model", f"dafsn={tmp_path / name}")
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: The base path of model 'dafsn', {tmp_path / name}, {message}.")
    assert f"`dafsn export RUN --to {tmp_path / name}`" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_model_that_is_no_pair_is_a_usage_error():
    ended = run("--model", "saved_models")
    assert ended.returncode == 2
    assert "'saved_models' is not of the form NAME=BASE_PATH" in ended.stderr


def test_running_hands_on_the_servers_own_message(tmp_path):
    with pytest.raises(ServingError, match=r"^The base path of model 'dafsn'"), running({"dafsn": tmp_path}):
        pass


def test_a_version_that_does_not_load_is_told(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(ServingError, match=r"did not start: .*Could not find SavedModel .pb or .pbtxt at .*/1\."):
        Server({"dafsn": tmp_path}, port=0, host="127.0.0.1")


def test_a_port_in_use_is_told(toy_versions):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"cannot listen at 127.0.0.1:{port}.*choose another"):
            Server({"dafsn": toy_versions}, port=port, host="127.0.0.1")


@pytest.mark.parametrize("option", ["--port", "--monitoring-port"])
def test_a_port_in_use_is_told_before_anything_is_loaded(toy_versions, option):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("--model", f"dafsn={toy_versions}", option, str(port))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: The server cannot listen at 127.0.0.1:{port}: Address already in use. Stop")
    assert ended.stderr.count("\n") == 1


def test_the_folder_of_a_version_is_told_from_its_parent(toy_versions):
    ended = run("--model", f"dafsn={toy_versions / '1'}")
    assert ended.returncode == 1
    assert f"is a version itself: serve {toy_versions}, whose newest version" in ended.stderr


def test_the_log_tells_of_configurations_that_came_and_were_refused(toy_versions, caplog):
    caplog.set_level("INFO")
    with (
        Server({"toy": toy_versions}, port=0, host="127.0.0.1") as server,
        Client(f"127.0.0.1:{server.port}", "toy") as client,
        pytest.raises(ServerError),
    ):
        client.reload_config({"toy": toy_versions}, {"toy": {"stable": 7}}, versions={"toy": [2, 7]})
    assert f"configured: toy: the newest version of {toy_versions}" in caplog.text
    assert f"configured: toy: versions 2, 7 of {toy_versions}, stable is 7" in caplog.text
    assert "a configuration that was sent is refused: Request to assign label" in caplog.text
