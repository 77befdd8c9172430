"""`python -m dafsn_server --model NAME=BASE_PATH --port 8500`."""

import argparse
import sys
from pathlib import Path

from dafsn_server.foreground import serve
from dafsn_server.model_configs import read_model_configs
from dafsn_tf.errors import ServingError


def _model(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=BASE_PATH")
    return name, Path(path)


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 2**16):
        raise argparse.ArgumentTypeError(f"'{text}' is no port, 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds above 0")
    return seconds


def _pause(text: str) -> float:
    return 0.0 if text == "0" else _seconds(text)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m dafsn_server", description="A development server of SavedModels.")
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--model", type=_model, action="append", metavar="NAME=BASE_PATH", help="may be repeated")
    models.add_argument(
        "--model-config-file", type=Path, metavar="FILE", help="ModelServerConfig in text form: policies and labels"
    )
    parser.add_argument(
        "--model-config-file-poll-wait-seconds",
        type=_pause,
        default=0.0,
        metavar="SECONDS",
        help="pause between two readings of that file; 0, the default, does not read it again",
    )
    parser.add_argument("--port", type=_port, default=8500, help="0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all")
    parser.add_argument("--poll-seconds", type=_seconds, default=1.0, help="pause between two looks for new versions")
    parser.add_argument(
        "--grpc-max-threads",
        type=_count,
        metavar="N",
        help="requests computed at a time, further ones are refused; default 4 for each CPU, 16 at least",
    )
    parser.add_argument(
        "--batching-parameters-file", type=Path, metavar="FILE", help="batch requests; BatchingParameters in text form"
    )
    parser.add_argument("--ssl-config-file", type=Path, metavar="FILE", help="use TLS; SSLConfig in text form")
    parser.add_argument(
        "--monitoring-port", type=_port, metavar="PORT", help="offer metrics at /monitoring/prometheus/metrics"
    )
    parser.add_argument(
        "--serialization-as-tensor-content", action="store_true", help="answer with values as bytes, not one by one"
    )
    return parser


def main() -> None:
    """Serve until a signal; exit with 1 and one clear line where that cannot start."""
    options = _arguments().parse_args()
    try:
        serve(
            read_model_configs(options.model_config_file) if options.model_config_file else dict(options.model),
            port=options.port,
            host=options.host,
            poll_seconds=options.poll_seconds,
            config_file=options.model_config_file,
            config_file_seconds=options.model_config_file_poll_wait_seconds,
            max_threads=options.grpc_max_threads,
            batching_parameters_file=options.batching_parameters_file,
            ssl_config_file=options.ssl_config_file,
            monitoring_port=options.monitoring_port,
            tensor_content=options.serialization_as_tensor_content,
        )
    except ServingError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
