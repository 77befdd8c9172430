"""`dafsn compare`: DAFSN and its peers on the same features, each run once."""

from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperCommand

from dafsn_tf.cli.afresh import MODELS, go_on_afresh
from dafsn_tf.cli.console import LAST_SEED, check_inputs, say
from dafsn_tf.config import Config, load_config
from dafsn_tf.errors import ConfigError

_LISTS = ("--data", "--methods", "--seeds", "--only")


class Lists(TyperCommand):
    """A command whose options of `_LISTS` take several values at once: `--seeds 0 1 2`."""

    def parse_args(self, ctx, args):
        return super().parse_args(ctx, _repeated(args))


def _repeated(arguments: list[str]) -> list[str]:
    """Return the arguments with a list's option before each of its values, as click reads them."""
    repeated, option = [], ""
    for argument in arguments:
        if argument.startswith("-"):
            option = argument if argument in _LISTS else ""
            repeated.append(argument)
        elif option and repeated[-1] != option:
            repeated += [option, argument]
        else:
            repeated.append(argument)
    return repeated


def named_config(config: str | None, overrides: list[str] | None) -> Config | None:
    """Return the configuration that a comparison's options name, None where they name none.

    Raises:
        ConfigError: overrides of no configuration, or anything that `load_config` refuses.
    """
    if overrides and not config:
        raise ConfigError("--set changes values of a configuration: name that too, by --config PRESET or FILE.")
    return load_config(config, overrides or ()) if config else None


def compare(
    data: Annotated[
        list[Path], typer.Option(help="Collection made by `dafsn prepare`; several are splits of one collection.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the runs; those that it holds are not repeated.")],
    methods: Annotated[
        list[str] | None,
        typer.Option(
            help="Of dafsn, cca, semantic_matching, acmr, dscmr, vsepp, scan, damsm; all by default. Each peer tries "
            "sixteen settings on validation at most, and the best of them with twice the training."
        ),
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option(min=0, max=LAST_SEED, help="Of every method; 0 by default.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Make the runs of these methods alone.")] = None,
    tune_once: Annotated[
        bool, typer.Option("--tune-once", help="Choose each peer's settings on the first collection alone, for all.")
    ] = False,
    config: Annotated[
        str | None, typer.Option(help="DAFSN's preset or TOML file; by default the preset of the collection's layout.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="section.field=value of --config; may be repeated.")
    ] = None,
) -> None:
    """Compare DAFSN with its peers on the same features; an interrupted comparison goes on."""
    named = named_config(config, overrides)
    check_inputs(data=data)
    from dafsn_tf import baselines
    from dafsn_tf.reporting.comparison import comparison_table

    found = baselines.compare(
        data,
        out,
        methods=methods or baselines.NAMES,
        seeds=seeds or (0,),
        only=only or (),
        tune_once=tune_once,
        config=named,
        at_most=MODELS,
        write=say,
    )
    if found.left:
        go_on_afresh()
    typer.echo(comparison_table(found.runs, found.missing, found.skipped))
