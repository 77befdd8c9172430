"""Command lines of `dafsn-client` that cannot be carried out: one line that says so, and the exit code."""

import sys

import pytest

from dafsn_client.command.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["query"], "Nothing to ask: give a text"),
        (["query", "a", "--input", "b.jsonl"], "give them in one place"),
        (["query", "--input", "/no/such.jsonl"], "/no/such.jsonl cannot be read: No such file"),
        (["query", "--image", "/no/such.png"], "/no/such.png cannot be read: No such file"),
        (["query", "a", "--model", "cats"], "Check the model's name"),
        (["query", "a", "--target", "127.0.0.1:1", "--timeout", "1"], "Check the address, that the server runs"),
        (["query", "a", "--version", "1", "--label", "x"], "a call can follow one of them"),
        (["query", "a", "--header", "x-api-key"], "expected NAME=VALUE"),
        (["query", "a", "--header", "x-api-key=@/no/such"], "header file /no/such cannot be read"),
        (["query", "a", "--header", f"x-api-key=@{sys.executable}"], "holds no text in UTF-8"),
        (["query", "a", "--header", "X-Api-Key=1"], "header name 'X-Api-Key' cannot travel"),
        (["query", "a", "--header", "x-api-key=ü"], "value of the header 'x-api-key' cannot travel"),
        (["query", "a", "--version", "99999999999999999999"], "a server's versions go up to"),
        (["query", "a", "--model", ""], "The model is ''; it must be a text"),
        (["query", "a", "--target", ""], "The address '' is none"),
        (["query", "a", "--timeout", "inf"], "The timeout is inf"),
        (["query", "a", "--retries", "-1"], "retries is -1"),
        (["query", "a", "--max-image-side", "0"], "max_image_side is 0"),
        (["wait", "--seconds", "inf"], "The timeout is inf"),
        (["query", "a", "--certificate", "/no/such"], "TLS got no key"),
        (["query", "a", "--ca", "/no/such"], "/no/such, cannot be read"),
        (["query", "a", "--out", "/no/such/folder/a.jsonl"], "cannot be written to"),
        (["query", "a", "--out", "/etc/hostname"], "/etc/hostname exists"),
    ],
)
def test_errors_are_one_line(target, capsys, arguments, message):
    code = main([arguments[0], *([] if "--target" in arguments else ["--target", target]), *arguments[1:]])
    output, messages = capsys.readouterr()
    assert (code, output) == (1, "")
    assert message in messages
    assert messages.startswith("error: ")


def test_an_empty_folder(target, tmp_path, capsys):
    assert main(["query", "--target", target, "--image", str(tmp_path)]) == 1
    assert f"The folder {tmp_path} holds no picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["sing"], ["query", "--top", "0", "a"], ["query", "--max-rows", "0", "a"], ["query", "--nonsense"]]
)
def test_arguments_that_are_none(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err
