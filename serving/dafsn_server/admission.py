"""`Admission`: how many requests are computed at a time, and none while the server ends."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from dafsn_server.refusal import Refusal


class Admission:
    """Counts requests in flight; one too many does not wait, it is refused.

    Args:
        limit: requests at a time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._in_flight = 0
        self._closed = False
        self._changed = threading.Condition()

    @contextmanager
    def request(self) -> Iterator[None]:
        """Be one of the requests in flight.

        Raises:
            Refusal: RESOURCE_EXHAUSTED, there are enough; UNAVAILABLE, the server ends.
        """
        with self._changed:
            if self._closed:
                raise Refusal(grpc.StatusCode.UNAVAILABLE, "The server is shutting down")
            if self._in_flight >= self.limit:
                raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
            self._in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let no more requests in."""
        with self._changed:
            self._closed = True

    def wait_idle(self, seconds: float) -> int:
        """Wait until no request is in flight, for so long; return how many still are."""
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight == 0, seconds)
            return self._in_flight
