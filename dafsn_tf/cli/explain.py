"""`dafsn explain`: where the words of a text looked in a picture."""

from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.console import say
from dafsn_tf.errors import DataError

_SHOWN = 40  # characters of what is not read


def explain(
    model: Annotated[
        str, typer.Argument(metavar="RUN_OR_MODEL", help="Run folder, preset, or exported version's folder.")
    ],
    text: Annotated[str, typer.Option(help="What the picture is compared with.")],
    image: Annotated[Path, typer.Option(help="The picture's file.")],
    out: Annotated[Path, typer.Option(help="Draw words and regions to this file, .png or .svg.")] = Path(
        "explained.png"
    ),
    weights: Annotated[
        Path | None, typer.Option(help="Inception-v3's weights, where the file that the run names is not here.")
    ] = None,
) -> None:
    """Draw words and regions of one pair, and print how relevant each word is."""
    from dafsn_client import ClientError
    from dafsn_client.command.rendering import attention_lines
    from dafsn_client.drawing import check_figure_path

    try:
        check_figure_path(out)
    except ClientError as error:
        raise DataError(str(error)) from error
    from dafsn_tf.data.texts import holds_word
    from dafsn_tf.reporting.attention import explain as explained
    from dafsn_tf.reporting.attention import write_figure

    attention, figure = explained(model, text, image, weights)
    for line in attention_lines(attention):
        typer.echo(line)
    unread = text.encode("utf-8", "ignore")[int(attention.offsets[-1, 1]) :].decode("utf-8", "ignore").strip()
    if holds_word(unread):
        say(f"the model reads the first {len(attention.words)} words of a text; not read: {unread[:_SHOWN]!r}")
    write_figure(figure, out)
    say(f"words and regions: {out}")
