"""`dafsn report`: a page that shows how good runs are, where they fail and what one does that another does not."""

from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.console import check_inputs, say


def report(
    runs: Annotated[list[str], typer.Argument(help="Run folders, or models that were passed on; the first leads.")],
    data: Annotated[Path, typer.Option(help="Collection made by `dafsn prepare`.")],
    out: Annotated[Path, typer.Option(help="Folder of the page and its figures.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    peer: Annotated[
        list[str] | None,
        typer.Option(help="Fit this method (cca, ...) on the same features to stand beside; may be repeated."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Inception-v3's weights, where the file that a run names is not here.")
    ] = None,
    projection: Annotated[str, typer.Option(help="Of the embeddings' map: tsne or umap (an extra).")] = "tsne",
    pictures: Annotated[
        bool, typer.Option(help="Show the collection's pictures and texts; without, the page is figures alone.")
    ] = True,
) -> None:
    """Write a self-contained HTML page about runs, and its figures as PNG and SVG."""
    check_inputs(runs, [data])
    from dafsn_tf.reporting import write_report

    path = write_report(
        runs,
        data,
        out,
        split=split,
        peers=peer or (),
        weights=weights,
        projection=projection,
        pictures=pictures,
        write=say,
    )
    typer.echo(str(path))
