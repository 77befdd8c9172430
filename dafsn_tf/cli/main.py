"""The command `dafsn`: one module a command; a user's error is one message and exit code 1."""

import sys
from importlib import metadata
from typing import Annotated

import typer
from rich.console import Console

from dafsn_tf.cli.ablate import ablate
from dafsn_tf.cli.compare import Lists, compare
from dafsn_tf.cli.demo import demo
from dafsn_tf.cli.evaluate import evaluate
from dafsn_tf.cli.explain import explain
from dafsn_tf.cli.export import export
from dafsn_tf.cli.prepare import prepare
from dafsn_tf.cli.query import PassedOn, query
from dafsn_tf.cli.quiet import quiet_tensorflow
from dafsn_tf.cli.report import report
from dafsn_tf.cli.serve import serve
from dafsn_tf.cli.train import train
from dafsn_tf.cli.tune import tune
from dafsn_tf.errors import DafsnError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (prepare, train, evaluate, report, compare, ablate, tune, export, serve, query, explain, demo):
    app.command(cls={query: PassedOn, compare: Lists, ablate: Lists, tune: Lists}.get(command))(command)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dafsn {metadata.version('dafsn-tf')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Tell the version and end.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Search pictures with words and words with pictures."""


def main() -> None:
    """Run the command line; return its exit code to the shell."""
    quiet_tensorflow()
    try:
        app()
    except (DafsnError, OSError) as error:  # a full disk, a folder that may not be read: nothing of ours is wrong
        Console(stderr=True).print(f"[bold red]error:[/] {_escaped(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


def _escaped(message: str) -> str:
    from rich.markup import escape

    return escape(message)


if __name__ == "__main__":
    main()
