"""`dafsn export`: from a run to a version for TensorFlow Serving."""

from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.console import quiet_tensorflow


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    to: Annotated[Path, typer.Option(help="The model's folder; versions are numbered below it.")] = Path(
        "saved_models/dafsn"
    ),
    data: Annotated[Path | None, typer.Option(help="Collection to index along, for search.")] = None,
    split: Annotated[str, typer.Option(help="Split of that collection.")] = "test",
    top_k: Annotated[int, typer.Option(help="Answers to a query.")] = 10,
) -> None:
    """Write the next version of a model for TensorFlow Serving."""
    quiet_tensorflow()
    from dafsn_tf.export import export_run
    from dafsn_tf.runs import load_run

    typer.echo(f"version written to {export_run(load_run(run), to, data=data, split=split, top_k=top_k)}")
