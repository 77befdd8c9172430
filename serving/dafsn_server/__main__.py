"""`python -m dafsn_server --model NAME=BASE_PATH --port 8500`."""

import argparse
import sys
from pathlib import Path

from dafsn_server.foreground import serve
from dafsn_tf.errors import ServingError


def _model(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=BASE_PATH")
    return name, Path(path)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m dafsn_server", description="A development server of SavedModels.")
    parser.add_argument("--model", type=_model, action="append", required=True, metavar="NAME=BASE_PATH")
    parser.add_argument("--port", type=int, default=8500, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all")
    parser.add_argument("--poll-seconds", type=float, default=1.0, help="pause between two looks for new versions")
    parser.add_argument("--workers", type=int, default=8, help="requests computed at a time")
    return parser


def main() -> None:
    """Serve until a signal; exit with 1 and one clear line where that cannot start."""
    options = _arguments().parse_args()
    try:
        serve(
            dict(options.model),
            port=options.port,
            host=options.host,
            poll_seconds=options.poll_seconds,
            workers=options.workers,
        )
    except ServingError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
