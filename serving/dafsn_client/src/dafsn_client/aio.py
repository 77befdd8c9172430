"""`AsyncClient`: `Client` for asyncio."""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np

from dafsn_client.client import MAX_ROWS, checked_timeout
from dafsn_client.conversation import Call, Conversation, Pause, Result, Steps
from dafsn_client.errors import ClientError
from dafsn_client.images import Image
from dafsn_client.results import ImageFeatures, SearchResult, Signature, Similarity, TextFeatures, VersionStatus
from dafsn_client.tls import TLS
from dafsn_client.transport import Connection, stubs


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
        metadata_headers: Sequence[tuple[str, str]] = (),
        max_rows: int = MAX_ROWS,
        concurrency: int = 4,
        max_image_side: int | None = None,
    ) -> None:
        self._talk = Conversation(model, version, label, max_rows, max_image_side)
        self.timeout = checked_timeout(timeout)
        self._connection = Connection.to(target, tls, metadata_headers, retries, concurrency)
        self._transport = AsyncTransport(self._connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel."""
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

    async def wait_ready(self, timeout: float = 60.0, *, poll: float = 0.2) -> VersionStatus:
        """See `Client.wait_ready`."""
        steps = self._talk.wait_ready(checked_timeout(timeout), poll, self._connection.name, self.timeout)
        return await self._run(steps, timeout)

    async def reload_config(
        self,
        base_paths: Mapping[str, str | os.PathLike[str]],
        labels: Mapping[str, Mapping[str, int]] | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        """See `Client.reload_config`."""
        paths = {name: os.fspath(base_path) for name, base_path in base_paths.items()}
        await self._run(self._talk.reload_config(paths, labels), timeout)

    async def _run(self, steps: Steps[Result], timeout: float | None) -> Result:
        deadline = time.monotonic() + (self.timeout if timeout is None else checked_timeout(timeout))
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                    step = steps.send(None)
                    continue
                try:
                    answered = await self._transport.call_all(step, deadline)
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

    async def call_all(self, calls: Sequence[Call], deadline: float) -> list[Any]:
        """Return the answers in order, a few calls at a time.

        Raises:
            ServerError: of the first call that failed; the others are cancelled.
        """
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
        """Close the channel; calls in flight are cancelled."""
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
                pause = self._connection.pause(error, attempt, deadline)
                if pause is None:
                    raise self._connection.translated(call, error) from error
            await asyncio.sleep(pause)
            attempt += 1
