"""`dafsn export`: from a run to a version for TensorFlow Serving."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.console import check_inputs, say
from dafsn_tf.errors import ExportError
from dafsn_tf.runs import check_makeable


class Part(StrEnum):
    """A side of the model."""

    text = "text"
    image = "image"


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    to: Annotated[Path, typer.Option(help="The model's folder; versions are numbered below it.")] = Path(
        "saved_models/dafsn"
    ),
    data: Annotated[Path | None, typer.Option(help="Collection to index along, for search.")] = None,
    split: Annotated[str, typer.Option(help="Split of it to index: all, train, validation or test.")] = "all",
    top_k: Annotated[int, typer.Option(help="Answers to a query.")] = 10,
    candidates: Annotated[
        int, typer.Option(help="Nearest by the sentence score, which the fused score ranks again.")
    ] = 100,
    only: Annotated[Part | None, typer.Option(help="Export this side alone; text needs no backbone.")] = None,
    float16: Annotated[bool, typer.Option("--float16", help="Keep kernels in half precision: half the size.")] = False,
    max_pixels: Annotated[int, typer.Option(help="Larger pictures get a status.")] = 50_000_000,
    weights: Annotated[
        Path | None, typer.Option(help="Inception-v3's weights, where the file that the run names is not here.")
    ] = None,
    license: Annotated[str, typer.Option(help="The model's licence, for its card.")] = "",
) -> None:
    """Write the next version of a model for TensorFlow Serving."""
    if to.exists() and not to.is_dir():
        raise ExportError(f"--to {to} is a file: name a folder, which versions are numbered below.")
    check_makeable(to, "model's folder")
    check_inputs([run], [data] if data else [])
    from dafsn_tf.export import ExportOptions, export_run
    from dafsn_tf.runs import load_run

    options = ExportOptions(only.value if only else None, float16, max_pixels, top_k, split, license, candidates)
    typer.echo(f"version written to {export_run(load_run(run, weights), to, data=data, options=options, write=say)}")
