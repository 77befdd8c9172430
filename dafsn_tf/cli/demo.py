"""`dafsn demo`: the whole way on generated scenes, in one folder."""

from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.console import say
from dafsn_tf.config import load_config


def demo(
    out: Annotated[Path, typer.Option(help="Folder for data, run, figures, pictures and the exported model.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(help="Of the scenes and of training.")] = 0,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.field=value; may be repeated.")] = None,
) -> None:
    """Generate scenes, train, evaluate, export, serve and query: a few minutes on two cores."""
    config = load_config("shapes", overrides or ())
    from dafsn_tf.demo import run_demo

    run_demo(out, config, seed, write=say, answer=typer.echo)
