"""Where a server is, how it is spoken to, and when a failed call is tried again."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc

from dafsn_client import addresses, errors, settings
from dafsn_client.steps import Call
from dafsn_client.tls import TLS

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # gRPC's own limit is 4 MiB, a few hundred rows of word features
    ("grpc.max_send_message_length", -1),
    ("grpc.lb_policy_name", "round_robin"),  # where the name resolves to several servers
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # gRPC's own is two minutes
]
_PASSES = 16  # of servers that lack a pinned version, for each other one that may have it: calls mix their turns
_PASSING_SECONDS = 0.02
_KEEPALIVE = [
    ("grpc.keepalive_permit_without_calls", 1),  # it is the idle connection that gateways forget
    ("grpc.http2.max_pings_without_data", 0),
]


@dataclass(frozen=True)
class Connection:
    """Where a server is and how it is spoken to.

    Attributes:
        targets: its address, or addresses, as they were given.
        address: as gRPC takes it, or them.
        credentials: None speaks plain text.
        server_name: to look for in the server's certificate in place of the address.
        headers: sent with every call.
        retries: how often a call that found no server is tried again.
        concurrency: calls of one batch at a time.
        keepalive: seconds between pings; None sends none.
    """

    targets: tuple[str, ...]
    address: str
    credentials: grpc.ChannelCredentials | None
    server_name: str | None
    headers: tuple[tuple[str, str | bytes], ...]
    retries: int
    concurrency: int
    keepalive: float | None

    @classmethod
    def to(
        cls,
        target: str | Sequence[str],
        tls: TLS | None,
        headers: settings.Headers,
        retries: int,
        concurrency: int,
        keepalive: float | None,
    ) -> "Connection":
        """Return the connection that a client's arguments ask for.

        Raises:
            InputError: arguments that cannot be.
        """
        targets = addresses.checked(target)
        if not isinstance(tls, TLS | None):
            raise errors.InputError(f"tls is {tls!r}; it must be TLS(...), or None for plain text.")
        server_name = tls.server_name if tls else None
        if tls and len(targets) > 1 and not server_name:
            raise errors.InputError(
                "Several addresses with TLS need one name to look for in their certificates: TLS(server_name=...)."
            )
        return cls(
            targets,
            targets[0] if len(targets) == 1 else addresses.joined(targets),
            tls.credentials() if tls else None,
            server_name,
            settings.headers(headers),
            settings.count("retries", retries, 0),
            settings.count("concurrency", concurrency),
            None if keepalive is None else settings.seconds("keepalive", keepalive),
        )

    @property
    def name(self) -> str:
        """The addresses, for messages."""
        return ", ".join(self.targets)

    def each(self) -> list["Connection"]:
        """Return a connection to each of the addresses alone."""
        return [replace(self, targets=(target,), address=target) for target in self.targets]

    def open(self, insecure: Any, secure: Any) -> Any:
        """Return a channel, made by one of gRPC's two functions for it."""
        options = list(_OPTIONS)
        if self.server_name:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        if self.keepalive:
            options += [("grpc.keepalive_time_ms", round(self.keepalive * 1000)), *_KEEPALIVE]
        return secure(self.address, self.credentials, options) if self.credentials else insecure(self.address, options)

    def pause(self, call: Call, error: Any, attempt: int, deadline: float) -> float | None:
        """Return the seconds to wait before a failed call is tried again; None: it is not.

        UNAVAILABLE is tried again, after a random pause, while retries and time are left; so is NOT_FOUND of a pinned
        version, which another of several servers may have.
        """
        if call.is_pinned and error.code() == grpc.StatusCode.NOT_FOUND:
            pause, most = _PASSING_SECONDS, _PASSES * addresses.others(self.targets)
        elif error.code() == grpc.StatusCode.UNAVAILABLE:
            pause, most = random.uniform(0.5, 1.0) * min(2.0, 0.1 * 2**attempt), self.retries
        else:
            return None
        if attempt >= most:
            return None
        return pause if time.monotonic() + pause < deadline else None

    def context(self, call: Call) -> str:
        """Return which call it is, for messages."""
        return f"{call.method} at {self.name}" + (f", {call.context}" if call.context else "")

    def translated(self, call: Call, error: Any) -> errors.ServerError:
        """Return the typed error of a failed call."""
        return errors.server_error(error.code(), error.details() or "", self.context(call))
