"""`dafsn ablate`: the full model and what is left of it without its parts, each run once."""

from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.afresh import MODELS, go_on_afresh
from dafsn_tf.cli.compare import named_config
from dafsn_tf.cli.console import LAST_SEED, check_inputs, say


def ablate(
    data: Annotated[
        list[Path], typer.Option(help="Collection made by `dafsn prepare`; several are splits of one collection.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the runs; those that it holds are not repeated.")],
    config: Annotated[
        str | None,
        typer.Option(help="The full model's preset or TOML file; by default the preset of the collection's layout."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="section.field=value of --config; may be repeated.")
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option(min=0, max=LAST_SEED, help="Of every ablation; 0 by default.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Make the runs of these ablations alone; dafsn_tf/baselines/ablations.py lists them."),
    ] = None,
) -> None:
    """Take each part from the full model and measure what is lost; an interrupted ablation goes on."""
    full = named_config(config, overrides)
    check_inputs(data=data)
    from dafsn_tf import baselines
    from dafsn_tf.reporting.comparison import ablation_table

    found = baselines.ablate(data, out, seeds=seeds or (0,), only=only or (), config=full, at_most=MODELS, write=say)
    if found.left:
        go_on_afresh()
    typer.echo(ablation_table(found.runs, found.missing, found.skipped))
