"""One channel to a server: a deadline on every call, retries while there is time, typed errors."""

import random
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc

from dafsn_client import errors, protocol
from dafsn_client.conversation import Call
from dafsn_client.tls import TLS

_PREDICTION = "/tensorflow.serving.PredictionService/"
_MODEL = "/tensorflow.serving.ModelService/"
METHODS = {
    "Predict": (_PREDICTION, protocol.PredictResponse),
    "GetModelMetadata": (_PREDICTION, protocol.GetModelMetadataResponse),
    "GetModelStatus": (_MODEL, protocol.GetModelStatusResponse),
    "HandleReloadConfigRequest": (_MODEL, protocol.ReloadConfigResponse),
}
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # gRPC's own limit is 4 MiB, a few hundred rows of word features
    ("grpc.max_send_message_length", -1),
    ("grpc.lb_policy_name", "round_robin"),  # where the name resolves to several servers
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # gRPC's own is two minutes
]


@dataclass(frozen=True)
class Connection:
    """Where a server is and how it is spoken to.

    Attributes:
        name: its address, or addresses, as they were given.
        address: as gRPC takes it.
        credentials: None speaks plain text.
        server_name: to look for in the server's certificate in place of the address.
        headers: sent with every call.
        retries: how often a call that found no server is tried again.
        concurrency: calls of one batch at a time.
    """

    name: str
    address: str
    credentials: grpc.ChannelCredentials | None
    server_name: str | None
    headers: tuple[tuple[str, str], ...]
    retries: int
    concurrency: int

    @classmethod
    def to(
        cls,
        target: str | Sequence[str],
        tls: TLS | None,
        headers: Sequence[tuple[str, str]],
        retries: int,
        concurrency: int,
    ) -> "Connection":
        """Return the connection that a client's arguments ask for.

        Raises:
            InputError: arguments that cannot be.
        """
        targets = (target,) if isinstance(target, str) else tuple(target)
        server_name = tls.server_name if tls else None
        if not targets:
            raise errors.InputError("There is no address to call; give 'host:port'.")
        if tls and len(targets) > 1 and not server_name:
            raise errors.InputError(
                "Several addresses with TLS need one name to look for in their certificates: TLS(server_name=...)."
            )
        if concurrency < 1:
            raise errors.InputError(f"concurrency is {concurrency}; it must be at least 1.")
        address = targets[0] if len(targets) == 1 else _list_of(targets)
        credentials = tls.credentials() if tls else None
        return cls(", ".join(targets), address, credentials, server_name, tuple(headers), retries, concurrency)

    def open(self, insecure: Any, secure: Any) -> Any:
        """Return a channel, made by one of gRPC's two functions for it."""
        options = list(_OPTIONS)
        if self.server_name:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        return secure(self.address, self.credentials, options) if self.credentials else insecure(self.address, options)

    def pause(self, error: Any, attempt: int, deadline: float) -> float | None:
        """Return the seconds to wait before a failed call is tried again; None: it is not.

        UNAVAILABLE, and nothing else, is tried again, after a random pause, while retries and time are left.
        """
        pause = random.uniform(0.5, 1.0) * min(2.0, 0.1 * 2**attempt)
        if error.code() != grpc.StatusCode.UNAVAILABLE or attempt >= self.retries:
            return None
        return pause if time.monotonic() + pause < deadline else None

    def translated(self, call: Call, error: Any) -> errors.ServerError:
        """Return the typed error of a failed call."""
        context = f"{call.method} at {self.name}" + (f", {call.context}" if call.context else "")
        return errors.server_error(error.code(), error.details() or "", context)


def _list_of(targets: Sequence[str]) -> str:
    """Return gRPC's address of several servers: it takes numbers there, no names."""
    found: list[tuple[int, str, int]] = []
    for target in targets:
        host, colon, port = target.rpartition(":")
        if not (colon and host and port.isdecimal()):
            raise errors.InputError(f"The address '{target}' is not of the form host:port.")
        try:
            infos = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except OSError as error:
            raise errors.InputError(f"The address '{target}' cannot be resolved: {error.strerror}.") from error
        found += [(family, str(address[0]), int(address[1])) for family, _, _, _, address in infos]
    family = socket.AF_INET if any(kind == socket.AF_INET for kind, _, _ in found) else socket.AF_INET6
    form = "{}:{}" if family == socket.AF_INET else "[{}]:{}"
    listed = dict.fromkeys(form.format(host, port) for kind, host, port in found if kind == family)
    return f"{'ipv4' if family == socket.AF_INET else 'ipv6'}:{','.join(listed)}"


def stubs(channel: Any) -> dict[str, Any]:
    """Return a callable for each of `METHODS`."""
    return {
        name: channel.unary_unary(
            service + name,
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response.FromString,
        )
        for name, (service, response) in METHODS.items()
    }


class Transport:
    """Carries out calls, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel = connection.open(grpc.insecure_channel, grpc.secure_channel)
        self._stubs = stubs(self._channel)

    def call_all(self, calls: Sequence[Call], deadline: float) -> list[Any]:
        """Return the answers in order, a few calls at a time.

        Raises:
            ServerError: of the first call that failed; those not yet sent are not.
        """
        if len(calls) == 1:
            return [self._call(calls[0], deadline)]
        with ThreadPoolExecutor(min(self._connection.concurrency, len(calls))) as pool:
            waiting = [pool.submit(self._call, call, deadline) for call in calls]
            try:
                return [answer.result() for answer in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def close(self) -> None:
        """Close the channel; calls in flight end as CANCELLED."""
        self._channel.close()

    def _call(self, call: Call, deadline: float) -> Any:
        if call.seconds is not None:
            deadline = min(deadline, time.monotonic() + call.seconds)
        request, attempt = call.build(), 0
        while True:
            try:
                seconds = deadline - time.monotonic()
                return self._stubs[call.method](request, timeout=seconds, metadata=self._connection.headers)
            except grpc.RpcError as error:
                pause = self._connection.pause(error, attempt, deadline)
                if pause is None:
                    raise self._connection.translated(call, error) from error
            time.sleep(pause)
            attempt += 1
