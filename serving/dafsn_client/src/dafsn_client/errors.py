"""What a call can raise. Every message says what was found and what to do."""

import re
from collections.abc import Mapping
from typing import Any

import grpc

# Row statuses of the exported model; 0 is ok. Their twin stands in dafsn_tf/preprocessing/status.py.
ROW_STATUS = {
    1: "the text holds no word (nothing, spaces or punctuation only, or no valid UTF-8)",
    10: "the image has no bytes",
    11: "the image format is unknown (JPEG, PNG, GIF, BMP and WebP are read)",
    12: "the image has more pixels than the model accepts",
    13: "the image is an animated WebP, which is not read",
    14: "the image cannot be decoded (truncated or damaged)",
}


class ClientError(Exception):
    """Base of everything this client raises on purpose."""


class InputError(ClientError):
    """Arguments that cannot be sent; nothing has travelled."""


class ProtocolError(ClientError):
    """An answer that is not what the exported model promises."""


class RowError(ClientError):
    """Some rows of a batch could not be answered.

    Attributes:
        rows: row index -> status code, a key of `ROW_STATUS`.
        answers: what the call would have returned; its failed rows hold zeros or nothing.
    """

    def __init__(self, rows: Mapping[int, int], answers: Any) -> None:
        self.rows = dict(rows)
        self.answers = answers
        named = [f"row {row}: {ROW_STATUS.get(code, f'status {code}')}" for row, code in list(self.rows.items())[:10]]
        more = f"; and {len(self.rows) - 10} more" if len(self.rows) > 10 else ""
        super().__init__(f"{'; '.join(named)}{more}.")


class ServerError(ClientError):
    """A call that ended with a gRPC status other than OK.

    Attributes:
        code: the gRPC status code.
        details: the server's (or the channel's) own text.
        context: which call.
        advice: what to do.
    """

    advice = "The server, or what stands before it, failed at this call: its log says why."

    def __init__(self, code: grpc.StatusCode, details: str, context: str, advice: str = "") -> None:
        self.code = code
        self.details = details
        self.context = context
        self.advice = advice or self.advice
        super().__init__(f"{context}: {details or 'no details'} [{code.name}]. {self.advice}")


class InvalidInput(ServerError):
    """INVALID_ARGUMENT: the server or the model refused the request."""

    advice = "Compare names, types and shapes of the inputs with `metadata()`."


class NotFound(ServerError):
    """NOT_FOUND: no such model or version is being served."""

    advice = "Check the model's name and version."


class FailedPrecondition(ServerError):
    """FAILED_PRECONDITION: mostly a signature that the model has not got."""

    advice = "Check the signature's name with `metadata()`; search needs a model exported with an index."


class Unavailable(ServerError):
    """UNAVAILABLE: no server answered at that address, or its queue is full; already retried."""

    advice = "Check the address, that the server runs, and that both sides agree on TLS."


class DeadlineExceeded(ServerError):
    """DEADLINE_EXCEEDED: no answer within the timeout."""

    advice = "Send fewer rows in a call or allow more time with `timeout`."


class Cancelled(ServerError):
    """CANCELLED: the call was given up, by this side or because the server shut down."""

    advice = "Ask again; where the client was closed meanwhile, make another one."


class ResourceExhausted(ServerError):
    """RESOURCE_EXHAUSTED: a message over a size limit, or no free worker."""

    advice = "Send fewer rows in a call, or fewer calls at a time."


class Unauthenticated(ServerError):
    """UNAUTHENTICATED or PERMISSION_DENIED: the server wants other credentials."""

    advice = "Pass `tls`, or an API key in `metadata_headers`."


class Unimplemented(ServerError):
    """UNIMPLEMENTED: the server does not know this method; perhaps it is no TensorFlow Serving."""

    advice = "Check that the address is the gRPC port (8500), not the REST one (8501)."


_BY_CODE: dict[grpc.StatusCode, type[ServerError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Unauthenticated,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
}


_LABEL = re.compile(r"Unrecognized servable version label: (.*)", re.DOTALL)
_MOST_ROWS = re.compile(r"Task size \d+ is larger than maximum input batch size ([1-9]\d*)")
_OVERLOADED = (
    "The server is overloaded: try again later, or with fewer rows in a call and fewer calls at a time (`concurrency`)."
)
# What a text says beyond its code; the group of its expression stands in the advice.
_BY_TEXT: list[tuple[grpc.StatusCode, re.Pattern[str], str]] = [
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        _MOST_ROWS,
        "The server takes at most {0} rows in a request: send fewer in a call, or pass `max_rows={0}`.",
    ),
    (
        grpc.StatusCode.INVALID_ARGUMENT,
        _LABEL,
        "The server gives no version the label '{0}'. Labels stand in its model config (`version_labels`) and no call "
        "lists them; `status()` lists versions.",
    ),
    (
        grpc.StatusCode.FAILED_PRECONDITION,
        re.compile(r"Request to assign label"),
        "A label moves only to a version that is AVAILABLE: load it first, by `versions`. The server has taken models, "
        "paths and versions nevertheless: see `status()`.",
    ),
    (grpc.StatusCode.UNAVAILABLE, re.compile(r"batch scheduling queue .* is full"), _OVERLOADED),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, re.compile(r"waiting in batching queue"), _OVERLOADED),
]


def server_error(code: grpc.StatusCode, details: str, context: str, advice: str = "") -> ServerError:
    """Return the error of a status code; `context` names the call, `advice` replaces what is said by default."""
    for of_code, pattern, by_text in _BY_TEXT:
        if not advice and code == of_code and (found := pattern.search(details)):
            advice = by_text.format(*found.groups())
    return _BY_CODE.get(code, ServerError)(code, details, context, advice)


def most_rows(error: InvalidInput) -> int | None:
    """Return how many rows the server takes in a request, where that is what it refused."""
    found = _MOST_ROWS.search(error.details)
    return int(found[1]) if found else None


def is_about_label(error: ServerError) -> bool:
    """Return whether the server does not know the label that was asked for."""
    return isinstance(error, InvalidInput) and bool(_LABEL.search(error.details))
