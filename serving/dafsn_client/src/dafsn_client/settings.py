"""What a client is made with, against what gRPC and the server can take."""

import re
from collections.abc import Sequence
from numbers import Integral, Real

from dafsn_client.errors import InputError

Headers = Sequence[tuple[str, str | bytes]]

_LONGEST_SECONDS = 1e9  # gRPC takes a deadline beyond for one that is past
_LARGEST_VERSION = 2**63 - 1
_HEADER_NAME = re.compile(r"[0-9a-z_.-]+")
_HEADER_VALUE = re.compile(r"[ -~]*")


def text(what: str, value: object) -> str:
    """Return a name that can travel."""
    if not isinstance(value, str) or not value:
        raise InputError(f"The {what} is {value!r}; it must be a text (str) that is not empty.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"The {what} is {value!r}; UTF-8 has no bytes for a lone surrogate.") from error
    return value


def count(what: str, value: object, least: int = 1) -> int:
    """Return a whole number from `least` on."""
    if not isinstance(value, Integral) or value < least:
        raise InputError(f"{what} is {value!r}; it must be a whole number and at least {least}.")
    return int(value)


def version(value: object) -> int:
    """Return a version that a server can have."""
    found = count("version", value, 0)
    if found > _LARGEST_VERSION:
        raise InputError(f"version is {found}; a server's versions go up to {_LARGEST_VERSION}.")
    return found


def seconds(what: str, value: object) -> float:
    """Return seconds that mean a time from now."""
    if not isinstance(value, Real) or not 0 < value <= _LONGEST_SECONDS:  # NaN is neither
        raise InputError(
            f"The {what} is {value!r}; it must be a number of seconds, positive and at most {_LONGEST_SECONDS:g}. "
            "(To a server, zero means no limit at all.)"
        )
    return float(value)


def headers(given: Headers) -> tuple[tuple[str, str | bytes], ...]:
    """Return headers that gRPC sends; messages leave out their values, which may be secret."""
    try:
        pairs = [(name, value) for name, value in given]
    except (TypeError, ValueError) as error:
        raise InputError("metadata_headers must be a list of pairs, such as [('x-api-key', '...')].") from error
    for name, value in pairs:
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InputError(f"The header name {name!r} cannot travel: only a-z, 0-9, '-', '_' and '.' can.")
        if name.endswith("-bin"):
            if not isinstance(value, bytes):
                raise InputError(f"The header '{name}' needs bytes for a value, as every name that ends with -bin.")
        elif not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value):
            raise InputError(
                f"The value of the header '{name}' cannot travel: it must be a text of printable ASCII, in one line."
            )
    return tuple(pairs)
