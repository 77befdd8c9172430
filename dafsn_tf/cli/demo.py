"""`dafsn demo`: the whole way on generated scenes, in one folder; or a search of the user's own pictures."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from dafsn_tf.cli.console import LAST_SEED, say
from dafsn_tf.config import load_config
from dafsn_tf.data.pictures import picture_files
from dafsn_tf.errors import ConfigError


def demo(
    out: Annotated[Path, typer.Option(help="Folder for data, run, figures, pictures and the exported model.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(min=0, max=LAST_SEED, help="Of the scenes and of training.")] = 0,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="section.field=value; may be repeated.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Search the pictures of this folder instead, by a trained model.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="With --images: what to look for; may be repeated. Else it is asked.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="With --images: a run's folder, or a model that the package ships; flickr8k by default."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="With --images: Inception-v3's weights, where Keras is not to download them.")
    ] = None,
) -> None:
    """Generate scenes, train, evaluate, export, serve and query: a few minutes on two cores.

    With --images FOLDER nothing is trained: the pictures there are searched with words.
    """
    if images is None:
        if text or weights or model:
            raise ConfigError(
                "--text, --model and --weights search pictures of yours: name their folder by --images FOLDER."
            )
        config = load_config("shapes", overrides or ())
        from dafsn_tf.demo import run_demo

        run_demo(out, config, seed, write=say, answer=typer.echo)
        return
    if overrides:
        raise ConfigError("--set configures training; with --images nothing is trained.")
    picture_files(images)  # refused before any work is done for it
    from dafsn_tf.demo import KEPT, mark
    from dafsn_tf.own_pictures import PictureFolder
    from dafsn_tf.runs import load_run

    folder = PictureFolder(load_run(model or "flickr8k", weights), images, write=say, kept=out / KEPT)
    mark(out)
    for number, queries in enumerate([text] if text else _asked(), start=1):
        hits = folder.search(queries)
        for query, row in zip(queries, hits, strict=True):
            typer.echo(query)
            for hit in row[:5]:
                typer.echo(f"  {hit.score:6.2f}  {hit.path}")
            if not row:
                typer.echo("  no word in it")
            if unknown := folder.unknown_words(query):
                say(f"words that the model does not know, which tell it nothing: {', '.join(unknown)}")
        pictures = out / "found" if text else out / "found" / str(number)
        folder.draw(queries, hits, pictures)
        say(f"pictures of what was found and where the words looked: {pictures}")


def _asked() -> Iterator[list[str]]:
    """Yield one text after the other from standard input."""
    while True:
        if sys.stdin.isatty():
            print("look for (empty to end): ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line.strip():
            return
        yield [line.strip()]
