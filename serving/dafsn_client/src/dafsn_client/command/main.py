"""`dafsn-client`: ask a served model from a shell, without TensorFlow."""

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from dafsn_client.attention import word_attention
from dafsn_client.client import Client
from dafsn_client.command import asking
from dafsn_client.command.asking import Answer
from dafsn_client.command.options import add_connection, add_explain, add_query, add_questions, add_wait, client_of
from dafsn_client.command.output import AnswerFile
from dafsn_client.command.progress import Progress
from dafsn_client.command.questions import Question, Questions, from_arguments, from_lines
from dafsn_client.command.rendering import (
    address_lines,
    attention_lines,
    json_line,
    signature_lines,
    text_lines,
    version_line,
)
from dafsn_client.errors import ROW_STATUS, ClientError, InputError, RowError, ServerError
from dafsn_client.images import opened, read_images


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return 0, 1 after an error or a question without answer, 130 after an interruption."""
    try:
        return run(sys.argv[1:] if arguments is None else arguments)
    except ClientError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def run(arguments: Sequence[str], program: str = "dafsn-client") -> int:
    """Run a command line; return 1 where some questions had no answer, else 0.

    Raises:
        ClientError: what ends the whole command.
        SystemExit: as `parse`.
    """
    with contextlib.suppress(AttributeError):  # a caller's own stream
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may be no text
    command, options = parse(arguments, program)
    try:
        with client_of(options) as client:
            return command(client, options)
    except BrokenPipeError:  # who read the answers has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def parse(arguments: Sequence[str], program: str = "dafsn-client") -> tuple[Callable[..., int], argparse.Namespace]:
    """Return the command that a command line names, and its options.

    Raises:
        SystemExit: with 0 after `--help` and `--version`; with 2, arguments that are none.
    """
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in ("-h", "--help"):
        print(_overview(program))
        raise SystemExit(0)
    if name == "--version":
        print(f"{program} {version('dafsn-client')}")
        raise SystemExit(0)
    if name not in _COMMANDS:
        print(f"{_overview(program)}\n\nerror: there is no command '{name}'", file=sys.stderr)
        raise SystemExit(2)
    add_options, command = _COMMANDS[name]
    parser = argparse.ArgumentParser(f"{program} {name}", description=command.__doc__)
    add_options(parser)
    add_connection(parser)
    return command, parser.parse_intermixed_args(list(rest))


def query(client: Client, options: argparse.Namespace) -> int:
    """Search pictures with texts, texts with pictures, or compare a text with a picture word by word."""
    return _answer("query", asking.search, client, options)


def explain(client: Client, options: argparse.Namespace) -> int:
    """Compare a text with a picture, and draw where its words looked."""
    if options.out:
        _drawing().check_figure_path(options.out)
    (image,) = read_images([options.image], options.max_image_side)
    try:
        (similarity,) = client.similarity([options.text], [image])
    except RowError as error:
        status = error.rows[0]
        raise InputError(f"The pair cannot be compared: {ROW_STATUS.get(status, f'status {status}')}.") from error
    attention = word_attention(options.text, similarity)
    if options.json:
        print(json_line(Answer(Question(options.text, options.image), similarity)))
    else:
        print(*attention_lines(attention), sep="\n")
    if options.out:
        _drawing().write_figure(_drawing().attention_figure(attention, opened(image)), options.out)
        print(f"words and regions: {options.out}", file=sys.stderr)
    return 0


def _drawing() -> Any:
    try:
        from dafsn_client import drawing
    except ImportError as error:
        raise InputError(
            "Drawing needs matplotlib and Pillow: pip install matplotlib pillow, or leave --out away."
        ) from error
    return drawing


def encode(client: Client, options: argparse.Namespace) -> int:
    """Print the features of texts or pictures in the space they share."""
    return _answer("encode", asking.encode, client, options)


def status(client: Client, options: argparse.Namespace) -> int:
    """Print the model's versions, newest first, and their states: of each address, where there are several."""
    if len(options.target or []) > 1:
        return _status_by_address(client, options)
    for found in client.status():
        print(json.dumps(dataclasses.asdict(found)) if options.json else version_line(found))
    return 0


def _status_by_address(client: Client, options: argparse.Namespace) -> int:
    states = client.status_by_address()
    for address, found in states.items():
        for line in address_lines(address, found, as_json=options.json):
            print(line)
    return int(any(isinstance(found, ServerError) for found in states.values()))


def metadata(client: Client, options: argparse.Namespace) -> int:
    """Print the model's signatures: what they take and what they give."""
    for name, signature in sorted(client.metadata().items()):
        if options.json:
            print(json.dumps({"name": name, **dataclasses.asdict(signature)}))
        else:
            print(*signature_lines(name, signature), sep="\n")
    return 0


def wait(client: Client, options: argparse.Namespace) -> int:
    """Return when the model answers."""
    found = client.wait_ready(options.seconds)
    print(json.dumps(dataclasses.asdict(found)) if options.json else version_line(found))
    return 0


def _answer(name: str, ask: Callable[..., Iterator[list[Answer]]], client: Client, options: argparse.Namespace) -> int:
    questions = _questions(options)
    deciding = ("model", "version", "label", "top", "max_image_side")
    asked = {"command": name, **{option: getattr(options, option) for option in deciding}}
    file = AnswerFile(options.out, asked) if options.out else None
    done = failed = 0
    try:
        if file:
            file.skip(questions.each)
            done = file.found
        progress = Progress(questions.total, done)
        for answers in ask(client, questions.each, options.max_rows * options.concurrency):
            lines = [json_line(answer, options.top) for answer in answers]
            if file:
                file.write(lines)
            else:
                _print(answers, lines, options)
            failed += sum(bool(answer.error) for answer in answers)
            done += len(answers)
            progress.add(len(answers))
        progress.end()
        if file:
            file.finish()
            print(f"{done:,} answers in {file.path}", file=sys.stderr)
    except (ServerError, KeyboardInterrupt):
        if file:
            print(f"{done:,} answers in {file.part}; the same command goes on from there", file=sys.stderr)
        raise
    finally:
        if file:
            file.close()
    if failed:
        print(f"{failed:,} of {done:,} questions have an error for an answer", file=sys.stderr)
    return 1 if failed else 0


def _print(answers: list[Answer], lines: list[str], options: argparse.Namespace) -> None:
    for answer, line in zip(answers, lines, strict=True):
        if options.json:
            print(line)
        elif not answer.error:
            print(*text_lines(answer, options.top), sep="\n")
        if answer.error and not options.json:
            asked = answer.question.image or answer.question.text
            print(f"error: {f'{asked!r}: ' if asked is not None else ''}{answer.error}", file=sys.stderr)
    sys.stdout.flush()


def _questions(options: argparse.Namespace) -> Questions:
    if options.input is not None:
        if options.texts or options.image:
            raise InputError("Questions stand on the command line and in --input; give them in one place.")
        return from_lines(options.input)
    if not (options.texts or options.image):
        raise InputError(
            'Nothing to ask: give a text, such as "a red star", or --image FILE_OR_FOLDER, or --input FILE.jsonl.'
        )
    return from_arguments(options.texts, options.image)


def _overview(program: str) -> str:
    lines = [f"  {name:<10}{command.__doc__}" for name, (_, command) in _COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {program} COMMAND ...",
            "",
            *lines,
            "",
            f"{program} COMMAND --help tells more, {program} --version which this is.",
        ]
    )


_Options = Callable[[argparse.ArgumentParser], None]
_COMMANDS: dict[str, tuple[_Options, Callable[[Client, argparse.Namespace], int]]] = {
    "query": (add_query, query),
    "explain": (add_explain, explain),
    "encode": (add_questions, encode),
    "status": (lambda parser: None, status),
    "metadata": (lambda parser: None, metadata),
    "wait": (add_wait, wait),
}
