"""What a conversation asks of whoever carries it out: calls, pauses between them, and work that takes time."""

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
    is_pinned: bool = False  # to a version that one of several servers may lack: it is passed by
    returned: tuple[type[ServerError], ...] = ()  # errors that are given back in place of an answer, not raised


@dataclass(frozen=True)
class Pause:
    """Seconds to wait."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Something that takes time without the server: reading files, scaling pictures."""

    run: Callable[[], Any]


Steps = Generator[list[Call] | Pause | Work, Any, Result]
"""Yields calls (or a pause, or work), is sent their answers (its result), and returns a result."""
