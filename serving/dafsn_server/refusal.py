"""`Refusal`: a request that ends with a gRPC status and the text TensorFlow Serving would give."""

import grpc

_MAX_BYTES = 1024
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Refusal(Exception):
    """A request that is not answered; `code` and `message` go to the caller."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @classmethod
    def from_number(cls, number: int, message: str) -> "Refusal":
        """Return the refusal of a `tensorflow.error.Code`, whose numbers are gRPC's."""
        return cls(_CODES.get(number, grpc.StatusCode.UNKNOWN), message)


def invalid(message: str) -> Refusal:
    """Return an INVALID_ARGUMENT."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> Refusal:
    """Return a NOT_FOUND."""
    return Refusal(grpc.StatusCode.NOT_FOUND, message)


def truncated(message: str) -> str:
    """Return the message cut to 1024 bytes: a longer status would break gRPC's limit on headers."""
    encoded = message.encode(errors="replace")
    if len(encoded) <= _MAX_BYTES:
        return message
    return encoded[:_MAX_BYTES].decode(errors="ignore") + "...TRUNCATED"
