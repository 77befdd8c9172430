"""`Client`: the exported model's signatures as methods."""

import os
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from dafsn_client.conversation import Conversation, Pause, Result, Steps
from dafsn_client.errors import ClientError, InputError
from dafsn_client.images import Image
from dafsn_client.results import ImageFeatures, SearchResult, Signature, Similarity, TextFeatures, VersionStatus
from dafsn_client.tls import TLS
from dafsn_client.transport import Connection, Transport

MAX_ROWS = 32  # of a request; serving/deploy lets servers refuse more


class Client:
    """Asks one model of a TensorFlow Serving server; safe to share among threads.

    Args:
        target: "host:port" of the gRPC port, any name that gRPC resolves ("dns:///name:8500"), or several of them:
            calls go to all in turn, past those that do not answer.
        model: the model's name on the server.
        version: a version to pin; None takes the newest that is served.
        label: a label to follow in place of a version, such as "stable".
        timeout: seconds that a method may take, all its calls and their retries included.
        retries: how often a call that found no server is tried again.
        tls: None speaks plain text.
        metadata_headers: sent with every call, such as `[("x-api-key", "...")]`.
        max_rows: a batch with more rows travels as several requests; what the server takes at most.
        concurrency: of those requests at a time.
        max_image_side: pixels; images whose longer side is larger are scaled down before they travel.

    Every method that takes a batch returns as many rows as it got, in order and from one version of the model, and
    raises `RowError` after the call when rows could not be used: the error names them and holds the other answers. An
    empty batch is answered without a prediction. All methods raise `InputError` before anything travels that the
    model's signature does not take, and `ServerError`'s children.
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
        self._transport = Transport(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self._transport.close()

    def encode_text(self, texts: Sequence[str], *, timeout: float | None = None) -> TextFeatures:
        """Return the features of N texts, with the byte offsets of their words."""
        return self._run(self._talk.encode_text(texts), timeout)

    def encode_image(self, images: Sequence[Image], *, timeout: float | None = None) -> ImageFeatures:
        """Return the features of B images."""
        return self._run(self._talk.encode_image(images), timeout)

    def similarity(
        self, texts: Sequence[str], images: Sequence[Image], *, timeout: float | None = None
    ) -> list[Similarity]:
        """Return the scores of text i with image i, and where each word looked."""
        return self._run(self._talk.similarity(texts, images), timeout)

    def search(self, texts: Sequence[str], *, timeout: float | None = None) -> list[list[SearchResult]]:
        """Return, for each text, the pictures found, best first; their number was fixed at export."""
        return self._run(self._talk.search(texts), timeout)

    def search_by_image(self, images: Sequence[Image], *, timeout: float | None = None) -> list[list[SearchResult]]:
        """Return, for each image, the texts found (`caption`), best first, with the picture each belongs to (`id`)."""
        return self._run(self._talk.search_by_image(images), timeout)

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, Any],
        *,
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the outputs of any signature by name; only those named in `outputs` where some are.

        Inputs are arrays or what `numpy.asarray` takes. Where one has no rows, nothing is sent (a stock server that
        batches may abort on it) and the outputs are empty arrays of the signature's types and inner shapes.
        """
        return self._run(self._talk.predict(signature, inputs, outputs), timeout)

    def metadata(self, *, timeout: float | None = None) -> dict[str, Signature]:
        """Return the model's signatures by name."""
        return self._run(self._talk.metadata(), timeout)

    def status(self, *, timeout: float | None = None) -> list[VersionStatus]:
        """Return the state of every version that the server has seen, newest first (only the pinned one, if any)."""
        return self._run(self._talk.status(), timeout)

    def wait_ready(self, timeout: float = 60.0, *, poll: float = 0.2) -> VersionStatus:
        """Return the version that is AVAILABLE, as soon as there is one (the pinned one, if any).

        Raises:
            DeadlineExceeded: none was within `timeout` seconds; the message tells what was seen last.
        """
        steps = self._talk.wait_ready(checked_timeout(timeout), poll, self._connection.name, self.timeout)
        return self._run(steps, timeout)

    def reload_config(
        self,
        base_paths: Mapping[str, str | os.PathLike[str]],
        labels: Mapping[str, Mapping[str, int]] | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        """Make the server serve these models (name -> absolute base path) and no others.

        `labels` maps a model's name to label -> version. Returns when newly named models are available.
        """
        paths = {name: os.fspath(base_path) for name, base_path in base_paths.items()}
        self._run(self._talk.reload_config(paths, labels), timeout)

    def _run(self, steps: Steps[Result], timeout: float | None) -> Result:
        deadline = time.monotonic() + (self.timeout if timeout is None else checked_timeout(timeout))
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = steps.send(None)
                    continue
                try:
                    answered = self._transport.call_all(step, deadline)
                except ClientError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answered)
        except StopIteration as end:
            return end.value


def checked_timeout(timeout: float) -> float:
    """Return a timeout that means one."""
    if not timeout > 0:
        raise InputError(f"The timeout is {timeout}; it must be positive. (To a server, zero means no limit at all.)")
    return timeout
