"""`Client`: the exported model's signatures as methods."""

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy as np

from dafsn_client import settings
from dafsn_client.connection import Connection
from dafsn_client.conversation import Conversation
from dafsn_client.errors import ClientError, ServerError
from dafsn_client.images import Image
from dafsn_client.results import ImageFeatures, SearchResult, Signature, Similarity, TextFeatures, VersionStatus
from dafsn_client.steps import Pause, Result, Steps, Work
from dafsn_client.tls import TLS
from dafsn_client.transport import Transport

MAX_ROWS = 32  # of a request; what servers refuse beyond is learned from them


class Client:
    """Asks one model of a TensorFlow Serving server; safe to share among threads.

    Args:
        target: "host:port" of the gRPC port, any name that gRPC resolves ("dns:///name:8500"), or a list of
            "host:port", IPv4 and IPv6: calls go to all in turn, past those that do not answer. gRPC looks up a single
            name, and again when its servers are lost; names of a list are looked up once, when the client is made.
        model: the model's name on the server.
        version: a version to pin; None takes the newest that is served.
        label: a label to follow in place of a version, such as "stable".
        timeout: seconds that a method may take, all its calls and their retries included; at most 1e9.
        retries: how often a call that found no server is tried again.
        tls: None speaks plain text.
        metadata_headers: sent with every call, such as `[("x-api-key", "...")]`: names in lower case, values of
            printable ASCII (bytes where the name ends with "-bin").
        max_rows: a batch with more rows travels as several requests. A server that takes fewer says so, and from then
            on no request has more.
        concurrency: of those requests at a time.
        max_image_side: pixels; images whose longer side is larger are scaled down before they travel.
        keepalive: seconds between pings on an idle connection, for gateways that forget one; None sends none. Servers
            that are not told otherwise end a connection that pings more often than every five minutes.

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
        metadata_headers: settings.Headers = (),
        max_rows: int = MAX_ROWS,
        concurrency: int = 4,
        max_image_side: int | None = None,
        keepalive: float | None = None,
    ) -> None:
        self._talk = Conversation(model, version, label, max_rows, max_image_side)
        self.timeout = settings.seconds("timeout", timeout)
        self._connection = Connection.to(target, tls, metadata_headers, retries, concurrency, keepalive)
        self._transport = Transport(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel: calls in flight end as `Cancelled`, later ones as `InputError`."""
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

    def status_by_address(self, *, timeout: float | None = None) -> dict[str, list[VersionStatus] | ServerError]:
        """Return, for each address of `target`, its `status` or the error that asking it ended with.

        All are asked, at the same time; other methods ask whichever is next. A name is one address.
        """

        def ask(connection: Connection) -> list[VersionStatus] | ServerError:
            transport = Transport(connection)
            try:
                return self._run(self._talk.status(), timeout, transport)
            except ServerError as error:
                return error
            finally:
                transport.close()

        each = self._connection.each()
        with ThreadPoolExecutor(len(each)) as pool:
            return dict(zip(self._connection.targets, pool.map(ask, each), strict=True))

    def wait_ready(self, timeout: float = 60.0, *, poll: float = 0.2) -> VersionStatus:
        """Return the version that answers, as soon as there is one: the pinned or the labelled one, else any.

        Raises:
            DeadlineExceeded: none did within `timeout` seconds; the message tells what was seen last.
        """
        steps = self._talk.wait_ready(timeout, poll, self._connection.name, self.timeout)
        return self._run(steps, timeout)

    def reload_config(
        self,
        base_paths: Mapping[str, str | os.PathLike[str]],
        labels: Mapping[str, Mapping[str, int]] | None = None,
        *,
        versions: Mapping[str, Sequence[int]] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Make the server serve these models and no others; it returns when newly named models are available.

        This is the whole configuration, in place of what the server had, labels too: what is left out is unloaded. A
        server that polls its model config file (`--model_config_file_poll_wait_seconds`) takes it back at the next
        reading: change the file there. The server takes models and versions even where it refuses a label.

        Args:
            base_paths: of each model by its name, absolute on the server.
            labels: of a model by its name: label -> version. A label in use moves only to a version that is AVAILABLE:
                load it by a first call with both `versions` and the labels as they are.
            versions: of a model by its name, those to load; without, those that its labels name, or else the newest.
            timeout: seconds, by default the client's.

        Raises:
            InputError: a relative path, labels of a model that is not named, or of versions that would not be loaded.
            ServerError: the server refused; the message has its reason.
        """
        self._run(self._talk.reload_config(base_paths, labels, versions), timeout)

    def _run(self, steps: Steps[Result], timeout: float | None, transport: Transport | None = None) -> Result:
        carrier = transport or self._transport
        deadline = time.monotonic() + (self.timeout if timeout is None else settings.seconds("timeout", timeout))
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    time.sleep(step.seconds)
                    step = steps.send(None)
                    continue
                try:
                    answered = step.run() if isinstance(step, Work) else carrier.call_all(step, deadline)
                except ClientError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answered)
        except StopIteration as end:
            return end.value
