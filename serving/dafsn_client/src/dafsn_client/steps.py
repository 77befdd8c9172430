"""What a conversation asks of whoever carries it out: calls, and pauses between them."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from dafsn_client.errors import ServerError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Call:
    """One remote call."""

    method: str  # a key of `transport.METHODS`
    build: Callable[[], Any]  # the request, made when its turn comes
    context: str = ""  # which part of a batch, for messages
    seconds: float | None = None  # at most; None leaves it to the deadline of all
    returned: tuple[type[ServerError], ...] = ()  # errors that are given back in place of an answer, not raised


@dataclass(frozen=True)
class Pause:
    """Seconds to wait."""

    seconds: float


Steps = Generator[list[Call] | Pause, Any, Result]
"""Yields calls (or a pause), is sent their answers, and returns a result."""
