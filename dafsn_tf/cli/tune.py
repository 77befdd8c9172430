"""`dafsn tune`: the best configuration that a search finds on the validation split."""

import os
from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.console import LAST_SEED, check_inputs, say
from dafsn_tf.config import load_config


def tune(
    data: Annotated[Path, typer.Option(help="Collection made by `dafsn prepare`.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    config: Annotated[
        str, typer.Option(help="Preset or TOML file; its table [search] narrows or widens the space.")
    ] = "default",
    algorithm: Annotated[str, typer.Option(help="random, bayesian, hyperband or grid.")] = "bayesian",
    max_trials: Annotated[int, typer.Option(help="Trials in all, resumed ones included.")] = 20,
    budget_minutes: Annotated[float | None, typer.Option(help="No trial begins later than this.")] = None,
    seeds: Annotated[
        list[int] | None, typer.Option(min=0, max=LAST_SEED, help="A trial trains with each; 0 by default.")
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.field=value; may be repeated.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted search.")] = False,
    chief: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of the chief of a search that several processes share: one with --role chief, who hands "
            "out trials, and workers with the same command otherwise, all with one --out. Keras Tuner's variables "
            "KERASTUNER_ORACLE_IP, _ORACLE_PORT and _TUNER_ID say the same. Not encrypted: for a network of one's own."
        ),
    ] = None,
    role: Annotated[str | None, typer.Option(help="chief or worker, with --chief; worker by default.")] = None,
) -> None:
    """Search for the best configuration with Keras Tuner; the test split is never read."""
    resolved = load_config(config, overrides or ())
    check_inputs(data=[data])
    from dafsn_tuner import search, space
    from dafsn_tuner.distribution import place

    here = place(chief, role, os.environ)
    searched = space.read_space(config, resolved)
    if here is not None and here.role == "worker":
        try:
            search.work(resolved, searched, data, out, here, algorithm=algorithm, seeds=seeds or (0,), write=say)
        except KeyboardInterrupt:
            say("interrupted; what was running is handed back to the chief")
            raise
        typer.echo("the search has ended; its chief has written what was found")
        return
    try:
        found = search.tune(
            resolved,
            searched,
            data,
            out,
            algorithm=algorithm,
            max_trials=max_trials,
            budget_minutes=budget_minutes,
            seeds=seeds or (0,),
            resume=resume,
            chief=here,
            write=say,
        )
    except KeyboardInterrupt:
        if (out / search.SEARCH).exists():
            say("interrupted; go on with: the same command and --resume")
        raise
    typer.echo(found.table)
    if found.importance:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in list(found.importance.items())[:5])
        typer.echo(f"what mattered most: {shares}")
    typer.echo(
        f"best trial {found.best}, validation {found.validation:.4f}; train it with: "
        f"dafsn train --config {out / search.BEST} --data {data} --run RUN"
    )
