"""`dafsn train`: from a configuration and a prepared collection to a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.console import LAST_SEED, check_inputs, say
from dafsn_tf.config import load_config, stored_config
from dafsn_tf.runs import check_makeable, resuming


def train(
    data: Annotated[Path, typer.Option(help="Collection made by `dafsn prepare`.")],
    run: Annotated[Path, typer.Option(help="Folder to write.")],
    config: Annotated[str, typer.Option(help="Preset or TOML file.")] = "default",
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Of weights, order, texts and dropout.")] = 0,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.field=value; may be repeated.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Train a model on a prepared collection."""
    own = resume and not overrides and Path(config).resolve() == (run / "config.toml").resolve()
    resolved = stored_config(Path(config)) if own else load_config(config, overrides or ())
    check_makeable(run, "run folder")
    check_inputs(data=[data])
    from dafsn_tf import training

    try:
        training.train(resolved, data, run, seed=seed, resume=resume, write=say)
    except KeyboardInterrupt:
        begun = (run / "run.json").exists()
        again = f"{resuming(run, data)} --seed {seed}" if begun else "the same command"
        say(f"interrupted; go on with: {again}")
        raise
