"""The options of the command, and the client that they ask for."""

import argparse
from pathlib import Path

from dafsn_client.client import MAX_ROWS, Client
from dafsn_client.errors import InputError
from dafsn_client.tls import TLS

_TIMEOUT_SECONDS = 30.0
_RETRIES = 4
_CONCURRENCY = 2


def client_of(options: argparse.Namespace) -> Client:
    """Return the client that the options of `add_connection` ask for.

    Raises:
        InputError: options that cannot be.
    """
    files = (options.ca, options.certificate, options.key, options.server_name)
    return Client(
        options.target or "127.0.0.1:8500",
        options.model,
        version=options.version,
        label=options.label,
        timeout=options.timeout,
        retries=options.retries,
        tls=TLS(*files) if options.tls or any(files) else None,
        metadata_headers=[_header(header) for header in options.header],
        max_rows=getattr(options, "max_rows", MAX_ROWS),
        concurrency=getattr(options, "concurrency", _CONCURRENCY),
        max_image_side=getattr(options, "max_image_side", None),
    )


def _header(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"The header '{name}' has no value; expected NAME=VALUE or NAME=@FILE.")
    if not value.startswith("@"):
        return name, value
    try:
        return name, Path(value[1:]).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InputError(f"The header file {value[1:]} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The header file {value[1:]} holds no text in UTF-8.") from error


def add_questions(parser: argparse.ArgumentParser) -> None:
    """Add what is asked, and how it travels."""
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="each argument is one text")
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="FILE_OR_FOLDER",
        help="a picture, or all below a folder; may be repeated. With texts: each text with each picture",
    )
    parser.add_argument(
        "--input", metavar="FILE.jsonl", help='JSON lines with "text", "image" or both, and any "id"; - reads them'
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.jsonl", help="write JSON lines; an interrupted command goes on where it was"
    )
    parser.add_argument("--max-image-side", type=int, metavar="PIXELS", help="scale larger pictures down first")
    parser.add_argument(
        "--max-rows",
        type=_count,
        default=MAX_ROWS,
        metavar="N",
        help="questions in a request (default %(default)d; fewer where the server says so)",
    )
    parser.add_argument(
        "--concurrency", type=_count, default=_CONCURRENCY, metavar="N", help="requests at a time (default %(default)d)"
    )
    parser.set_defaults(top=None)


def add_query(parser: argparse.ArgumentParser) -> None:
    """Add `add_questions`, and how many results."""
    add_questions(parser)
    parser.add_argument("--top", "-k", type=_count, metavar="K", help="at most K results, of those the export fixed")


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Add the pair, and where its picture goes."""
    parser.add_argument("--text", required=True, help="what the picture is compared with")
    parser.add_argument("--image", required=True, metavar="FILE", help="one picture")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.png", help="draw words and regions; .svg too. Needs dafsn-client[drawing]"
    )
    parser.add_argument("--max-image-side", type=int, metavar="PIXELS", help="scale a larger picture down first")


def add_wait(parser: argparse.ArgumentParser) -> None:
    """Add how long to wait."""
    parser.add_argument("--seconds", type=float, default=60.0, help="give up after so many (default %(default)g)")


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add which server and model, and how they are spoken to."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    group = parser.add_argument_group("server")
    group.add_argument(
        "--target", action="append", metavar="HOST:PORT", help="may be repeated (default 127.0.0.1:8500)"
    )
    group.add_argument("--model", default="dafsn", help="the model's name there (default %(default)s)")
    group.add_argument("--version", type=int, help="a version, in place of the newest")
    group.add_argument("--label", help="a label to follow, such as stable")
    group.add_argument(
        "--timeout",
        type=float,
        default=_TIMEOUT_SECONDS,
        help="seconds for as many questions as travel at a time (default %(default)g)",
    )
    group.add_argument(
        "--retries",
        type=int,
        default=_RETRIES,
        metavar="N",
        help="of a call that found no server or a full queue (default %(default)d)",
    )
    group.add_argument("--header", action="append", default=[], metavar="NAME=VALUE", help="or NAME=@FILE; repeated")
    group.add_argument("--tls", action="store_true", help="use TLS; any of the following does too")
    group.add_argument("--ca", metavar="PEM", help="authorities of the server's certificate")
    group.add_argument("--certificate", metavar="PEM", help="the client's own")
    group.add_argument("--key", metavar="PEM", help="of --certificate")
    group.add_argument("--server-name", metavar="NAME", help="in the server's certificate, where not the address's")


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 on")
    return int(text)
