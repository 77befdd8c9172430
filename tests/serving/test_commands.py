"""`dafsn serve` and `dafsn query`."""

import json
import signal
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from dafsn_tf.cli.query import query
from dafsn_tf.errors import ServingError

app = typer.Typer()
app.command()(query)


def asked(target, *arguments):
    result = CliRunner().invoke(app, ["--target", target, *arguments], env={"COLUMNS": "120"})
    if isinstance(result.exception, ServingError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def lines(target, *arguments):
    return [json.loads(line) for line in asked(target, "--json", *arguments).splitlines()]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a[b].png"
    path.write_bytes(b"12345")
    return str(path)


def test_search_by_text(target):
    first, second = lines(target, "a red star", "a ring")
    assert first["query"] == "a red star"
    assert first["results"] == [
        {"id": "a.jpg", "score": 0.5, "caption": "a red star"},
        {"id": "b.jpg", "score": 0.25, "caption": "über"},
    ]
    assert second["query"] == "a ring"


def test_search_by_picture_takes_the_best(target, picture):
    (answer,) = lines(target, "--image", picture, "-k", "1")
    assert answer["query"] == picture
    assert [result["id"] for result in answer["results"]] == ["a.jpg"]


def test_text_and_picture_are_compared_word_by_word(target, picture):
    (answer,) = lines(target, "red star", "--image", picture)
    assert (answer["text"], answer["image"]) == ("red star", picture)
    assert (answer["sentence"], answer["word"], answer["fused"]) == (0.25, 0.5, 0.75)
    assert answer["words"][0] == {"word": "red", "start": 0, "end": 3, "relevance": 0.5, "x": 0.75, "y": 0.5}


def test_tables(target, picture):
    found = asked(target, "a [red] star")
    assert "a [red] star" in found
    assert "0.500" in found
    assert "b.jpg" in found
    compared = asked(target, "red star", "--image", picture)
    assert "sentence 0.250, word 0.500, fused 0.750" in compared
    assert "-0.250" in compared
    assert "0.75, 0.50" in compared


def test_rows_that_failed_are_told_after_the_others(target):
    result = CliRunner().invoke(app, ["--target", target, "--json", "a", "", "b"])
    assert [json.loads(line)["query"] for line in result.output.splitlines()] == ["a", "b"]
    assert isinstance(result.exception, ServingError)
    assert str(result.exception).startswith("row 1: the text holds no word")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Nothing to ask: give a text"),
        (["--image", "/no/such.png"], "/no/such.png cannot be read"),
        (["a", "--model", "cats"], r"Latest\(cats\).*Check the model's name"),
        (["a", "--target", "127.0.0.1:1"], "Check the address, that the server runs"),
    ],
)
def test_errors_are_dafsns(target, arguments, message):
    with pytest.raises(ServingError, match=message):
        asked(target, *arguments)


def test_query_needs_no_tensorflow(target):
    code = (
        "import sys; from dafsn_tf.cli.query import query; "
        f"query(['a'], target={target!r}, top=1, as_json=True); "
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
            assert len(lines(target, "a", "--model", "mine")[0]["results"]) == 2
            process.send_signal(signal.SIGINT)
            output, log = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert output == ""
    assert log.startswith("engine: embedded (as asked)\n")
    assert "development server" in log
    assert "version 2 of model mine is unloaded" in log
