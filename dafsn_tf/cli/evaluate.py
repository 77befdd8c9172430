"""`dafsn evaluate`: the figures of a run on a split."""

import json
from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.console import check_inputs, check_writable, say


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[Path, typer.Option(help="Collection made by `dafsn prepare`.")],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    attention_file: Annotated[
        Path | None, typer.Option("--attention", help="Write the pointing game (records with boxes) to this file.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Inception-v3's weights, where the file that the run names is not here.")
    ] = None,
    probe: Annotated[
        bool, typer.Option("--probe", help="Measure the modality gap by fresh classifiers; takes some seconds.")
    ] = False,
) -> None:
    """Measure a run: both directions, three scores, MAP, recall, median rank, chance."""
    check_writable(json_file, "--json")
    check_writable(attention_file, "--attention")
    check_inputs([run], [data])
    from dafsn_tf.evaluation.attention import check_attention, evaluate_attention
    from dafsn_tf.evaluation.evaluate import evaluate_run
    from dafsn_tf.files import write_json
    from dafsn_tf.models.presets import untaught_words
    from dafsn_tf.reporting.tables import metrics_table, pointing_table
    from dafsn_tf.runs import load_run

    if attention_file:
        check_attention(data, split)
    loaded = load_run(run, weights)
    evaluation = evaluate_run(loaded, data, split, probe=probe, write=say)
    typer.echo(metrics_table(evaluation))
    if untaught := untaught_words(loaded.config):
        say(untaught)
    if probe:
        typer.echo(f"modality gap {json.dumps(evaluation['modality_gap'])}")
    if json_file:
        write_json(json_file, evaluation)
        say(f"figures in {json_file}")
    if attention_file:
        attention = evaluate_attention(loaded, data, split)
        write_json(attention_file, attention)
        typer.echo(pointing_table(attention))
