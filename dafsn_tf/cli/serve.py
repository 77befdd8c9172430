"""`dafsn serve`: an exported model behind TensorFlow Serving's protocol."""

from pathlib import Path
from typing import Annotated

import typer

from dafsn_server.engines import Engine, Request, choose
from dafsn_tf.cli.console import say


def serve(
    model: Annotated[Path, typer.Argument(help="Folder of version folders, as `dafsn export --to` wrote it.")] = Path(
        "saved_models/dafsn"
    ),
    port: Annotated[int, typer.Option(help="Port to listen at; 0 takes a free one.", min=0, max=65535)] = 8500,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    name: Annotated[str, typer.Option(help="Name that clients ask for.")] = "dafsn",
    engine: Annotated[
        Engine,
        typer.Option(
            help="What answers. auto takes a tensorflow_model_server on PATH, else Docker where it holds the image, "
            "else the embedded development server."
        ),
    ] = Engine.auto,
    grpc_max_threads: Annotated[
        int | None, typer.Option(help="Requests computed at a time; further ones are refused.", min=1)
    ] = None,
    batching_parameters_file: Annotated[
        Path | None, typer.Option(help="Compute requests in batches; BatchingParameters in text form.")
    ] = None,
    ssl_config_file: Annotated[Path | None, typer.Option(help="Use TLS; SSLConfig in text form.")] = None,
    monitoring_port: Annotated[
        int | None, typer.Option(help="Offer metrics over HTTP, at /monitoring/prometheus/metrics.", min=0, max=65535)
    ] = None,
    serialization_as_tensor_content: Annotated[
        bool, typer.Option("--serialization-as-tensor-content", help="Answer with values as bytes, not one by one.")
    ] = False,
) -> None:
    """Serve an exported model over gRPC until Ctrl-C; new versions are picked up as they appear."""
    chosen, reason = choose(engine)
    say(f"engine: {chosen} ({reason})")
    request = Request(
        name,
        model,
        port,
        host,
        max_threads=grpc_max_threads,
        batching_parameters_file=batching_parameters_file,
        ssl_config_file=ssl_config_file,
        monitoring_port=monitoring_port,
        tensor_content=serialization_as_tensor_content,
    )
    if chosen != Engine.embedded:
        from dafsn_server.stock import serve_stock

        serve_stock(chosen, request)
        return
    from dafsn_server.foreground import serve as serve_in_foreground

    serve_in_foreground(
        {name: model},
        port=port,
        host=host,
        max_threads=grpc_max_threads,
        batching_parameters_file=batching_parameters_file,
        ssl_config_file=ssl_config_file,
        monitoring_port=monitoring_port,
        tensor_content=serialization_as_tensor_content,
    )
