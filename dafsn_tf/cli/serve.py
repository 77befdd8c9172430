"""`dafsn serve`: an exported model behind TensorFlow Serving's protocol."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Engine(StrEnum):
    """What answers."""

    auto = "auto"
    embedded = "embedded"


def serve(
    model: Annotated[Path, typer.Argument(help="Folder of version folders, as `dafsn export --to` wrote it.")] = Path(
        "saved_models/dafsn"
    ),
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.", min=0, max=65535)] = 8500,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    name: Annotated[str, typer.Option(help="Name that clients ask for.")] = "dafsn",
    engine: Annotated[Engine, typer.Option(help="auto takes the embedded development server.")] = Engine.auto,
) -> None:
    """Serve an exported model over gRPC until Ctrl-C; new versions are picked up as they appear."""
    from dafsn_server.foreground import serve as serve_in_foreground

    del engine  # both values mean the embedded server
    serve_in_foreground({name: model}, port=port, host=host)
