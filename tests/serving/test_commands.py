"""`dafsn serve`, and `dafsn query`, which is `dafsn-client query`."""

import json
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dafsn_tf.cli.main import app
from dafsn_tf.errors import ServingError


def asked(*arguments):
    result = CliRunner().invoke(app, ["query", *arguments])
    if isinstance(result.exception, ServingError):
        raise result.exception
    return result


def test_query_is_the_clients_command(target):
    result = asked("--json", "a red star", "--target", target, "--", "--odd")
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == ["a red star", "--odd"]
    assert result.exit_code == 0
    assert asked("a", "", "--target", target).exit_code == 1
    assert asked("--help").stdout.startswith("usage: dafsn query")


def test_errors_are_dafsns(target):
    with pytest.raises(ServingError, match="Nothing to ask: give a text"):
        asked()
    with pytest.raises(ServingError, match=r"Latest\(cats\).*Check the model's name"):
        asked("a", "--model", "cats", "--target", target)


def test_query_needs_no_tensorflow(target):
    code = (
        "import sys; from dafsn_tf.cli.main import app; "
        f"app(['query', 'a', '--target', {target!r}], standalone_mode=False); "
        "print([name for name in sys.modules if name.split('.')[0] in ('tensorflow', 'keras')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"


def test_serve_answers_until_interrupted_and_ends_in_order(toy_versions):
    code = "import typer; from dafsn_tf.cli.serve import serve; typer.run(serve)"
    command = [sys.executable, "-c", code, str(toy_versions), "--port", "0", "--name", "mine", "--engine", "embedded"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            target = process.stdout.readline().strip().removeprefix("listening on ")
            answer = asked("a", "--json", "--model", "mine", "--target", target).stdout
            assert len(json.loads(answer)["results"]) == 2
            process.send_signal(signal.SIGINT)
            output, log = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert output == ""
    assert log.startswith("engine: embedded (as asked)\n")
    assert "development server" in log
    assert "version 2 of model mine is unloaded" in log
