"""`AsyncClient`: `Client` for asyncio."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np

from dafsn_client import settings
from dafsn_client.client import MAX_ROWS
from dafsn_client.connection import Connection
from dafsn_client.conversation import Conversation
from dafsn_client.errors import ClientError, ServerError, server_error
from dafsn_client.images import Image
from dafsn_client.results import ImageFeatures, SearchResult, Signature, Similarity, TextFeatures, VersionStatus
from dafsn_client.steps import Call, Pause, Result, Steps, Work
from dafsn_client.tls import TLS
from dafsn_client.transport import closed, stubs


class AsyncClient:
    """Asks one model of a TensorFlow Serving server; the methods and arguments of `Client`, to be awaited.

    Belongs to the event loop of its first call. Close it, or use it in `async with`.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        model: str = "dafsn",
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
        retries: int = 4,
        tls: TLS | None = None,
        metadata_headers: settings.Headers = (),
        max_rows: int = MAX_ROWS,
        concurrency: int = 4,
        max_image_side: int | None = None,
        keepalive: float | None = None,
    ) -> None:
        self._talk = Conversation(model, version, label, max_rows, max_image_side)
        self.timeout = settings.seconds("timeout", timeout)
        self._connection = Connection.to(target, tls, metadata_headers, retries, concurrency, keepalive)
        self._transport = AsyncTransport(self._connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel: calls in flight end as `Cancelled`, later ones as `InputError`."""
        await self._transport.close()

    async def encode_text(self, texts: Sequence[str], *, timeout: float | None = None) -> TextFeatures:
        """See `Client.encode_text`."""
        return await self._run(self._talk.encode_text(texts), timeout)

    async def encode_image(self, images: Sequence[Image], *, timeout: float | None = None) -> ImageFeatures:
        """See `Client.encode_image`."""
        return await self._run(self._talk.encode_image(images), timeout)

    async def similarity(
        self, texts: Sequence[str], images: Sequence[Image], *, timeout: float | None = None
    ) -> list[Similarity]:
        """See `Client.similarity`."""
        return await self._run(self._talk.similarity(texts, images), timeout)

    async def search(self, texts: Sequence[str], *, timeout: float | None = None) -> list[list[SearchResult]]:
        """See `Client.search`."""
        return await self._run(self._talk.search(texts), timeout)

    async def search_by_image(
        self, images: Sequence[Image], *, timeout: float | None = None
    ) -> list[list[SearchResult]]:
        """See `Client.search_by_image`."""
        return await self._run(self._talk.search_by_image(images), timeout)

    async def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """See `Client.predict`."""
        return await self._run(self._talk.predict(signature, inputs, outputs), timeout)

    async def metadata(self, *, timeout: float | None = None) -> dict[str, Signature]:
        """See `Client.metadata`."""
        return await self._run(self._talk.metadata(), timeout)

    async def status(self, *, timeout: float | None = None) -> list[VersionStatus]:
        """See `Client.status`."""
        return await self._run(self._talk.status(), timeout)

    async def status_by_address(self, *, timeout: float | None = None) -> dict[str, list[VersionStatus] | ServerError]:
        """See `Client.status_by_address`."""

        async def ask(connection: Connection) -> list[VersionStatus] | ServerError:
            transport = AsyncTransport(connection)
            try:
                return await self._run(self._talk.status(), timeout, transport)
            except ServerError as error:
                return error
            finally:
                await transport.close()

        found = await asyncio.gather(*map(ask, self._connection.each()))
        return dict(zip(self._connection.targets, found, strict=True))

    async def wait_ready(self, timeout: float = 60.0, *, poll: float = 0.2) -> VersionStatus:
        """See `Client.wait_ready`."""
        steps = self._talk.wait_ready(timeout, poll, self._connection.name, self.timeout)
        return await self._run(steps, timeout)

    async def reload_config(
        self,
        base_paths: Mapping[str, str | os.PathLike[str]],
        labels: Mapping[str, Mapping[str, int]] | None = None,
        *,
        versions: Mapping[str, Sequence[int]] | None = None,
        timeout: float | None = None,
    ) -> None:
        """See `Client.reload_config`."""
        await self._run(self._talk.reload_config(base_paths, labels, versions), timeout)

    async def _run(
        self, steps: Steps[Result], timeout: float | None, transport: "AsyncTransport | None" = None
    ) -> Result:
        carrier = transport or self._transport
        deadline = time.monotonic() + (self.timeout if timeout is None else settings.seconds("timeout", timeout))
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = steps.send(None)
                    continue
                try:
                    if isinstance(step, Work):
                        answered = await asyncio.to_thread(step.run)  # the loop goes on meanwhile
                    else:
                        answered = await carrier.call_all(step, deadline)
                except ClientError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answered)
        except StopIteration as end:
            return end.value


class AsyncTransport:
    """Carries out calls in an event loop."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._channel: Any = None  # made at the first call, which knows its loop
        self._stubs: dict[str, Any] = {}
        self._is_closed = False

    async def call_all(self, calls: Sequence[Call], deadline: float) -> list[Any]:
        """Return the answers in order, a few calls at a time.

        Raises:
            ServerError: of the first call that failed; the others are cancelled.
            InputError: the channel is closed.
        """
        if self._is_closed:
            raise closed()
        if self._channel is None:
            self._channel = self._connection.open(grpc.aio.insecure_channel, grpc.aio.secure_channel)
            self._stubs = stubs(self._channel)
        free = asyncio.Semaphore(self._connection.concurrency)

        async def in_turn(call: Call) -> Any:
            async with free:
                return await self._call(call, deadline)

        tasks = [asyncio.ensure_future(in_turn(call)) for call in calls]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Close the channel; calls in flight end as CANCELLED."""
        self._is_closed = True
        if self._channel is not None:
            await self._channel.close()

    async def _call(self, call: Call, deadline: float) -> Any:
        if call.seconds is not None:
            deadline = min(deadline, time.monotonic() + call.seconds)
        request, attempt = call.build(), 0
        while True:
            try:
                seconds = deadline - time.monotonic()
                return await self._stubs[call.method](request, timeout=seconds, metadata=self._connection.headers)
            except grpc.RpcError as error:
                pause = self._connection.pause(call, error, attempt, deadline)
                if pause is None:
                    failure = self._connection.translated(call, error)
                    if isinstance(failure, call.returned):
                        return failure
                    raise failure from error
            except grpc.aio.UsageError as error:  # gRPC's word for a channel that was closed
                raise closed() from error
            except asyncio.CancelledError as error:
                if not self._is_closed or _is_cancelled():
                    raise
                context = self._connection.context(call)
                raise server_error(grpc.StatusCode.CANCELLED, "the channel was closed", context) from error
            await asyncio.sleep(pause)
            attempt += 1


def _is_cancelled() -> bool:
    """Return whether somebody gave up the running task: closing a channel looks like that, but cancels none."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
