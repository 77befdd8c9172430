"""`Client`: the exported model's signatures as methods."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np

from dafsn_client import answers, protocol, tensors
from dafsn_client.errors import DeadlineExceeded, FailedPrecondition, InputError, NotFound, ServerError, Unavailable
from dafsn_client.errors import server_error as _server_error
from dafsn_client.results import ImageFeatures, SearchResult, Signature, Similarity, TextFeatures, VersionStatus
from dafsn_client.transport import Transport

Image = bytes | str | os.PathLike[str]
"""Encoded bytes (JPEG, PNG, GIF, BMP, WebP), or the path of a file that holds them."""


class Client:
    """Asks one model of a TensorFlow Serving server; safe to share among threads.

    Args:
        target: "host:port" of the gRPC port; any name that gRPC resolves.
        model: the model's name on the server.
        version: a version to pin; None takes the newest that is served.
        label: a label to follow in place of a version, such as "stable".
        timeout: seconds that a call may take, retries included.
        retries: how often a call that found no server is tried again.
        credentials: of `grpc.ssl_channel_credentials`; None speaks plain text.
        metadata_headers: sent with every call, such as `[("x-api-key", "...")]`.

    Every method that takes a batch returns as many rows as it got, in order, and raises `RowError` after the call when
    rows could not be used: the error names them and holds the other answers. An empty batch is answered without a
    prediction. All methods raise `InputError` before anything travels, and `ServerError`'s children.
    """

    def __init__(
        self,
        target: str,
        model: str = "dafsn",
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 10.0,
        retries: int = 4,
        credentials: grpc.ChannelCredentials | None = None,
        metadata_headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        if version is not None and label is not None:
            raise InputError(f"Both version {version} and label '{label}' are given; a call can follow one of them.")
        self.target = target
        self.model = model
        self.version = version
        self.label = label
        self.timeout = _checked_timeout(timeout)
        self._transport = Transport(target, retries, credentials, metadata_headers)
        self._signatures: dict[str, Signature] | None = None

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
        outputs = self.predict("encode_text", {"texts": _texts(texts)}, timeout=timeout)
        return answers.checked(answers.text_features(outputs), outputs)

    def encode_image(self, images: Sequence[Image], *, timeout: float | None = None) -> ImageFeatures:
        """Return the features of B images."""
        outputs = self.predict("encode_image", {"images": _images(images)}, timeout=timeout)
        return answers.checked(answers.image_features(outputs), outputs)

    def similarity(
        self, texts: Sequence[str], images: Sequence[Image], *, timeout: float | None = None
    ) -> list[Similarity]:
        """Return the scores of text i with image i, and where each word looked."""
        sent = _texts(texts)
        if len(sent) != len(images):
            raise InputError(f"{len(sent)} texts and {len(images)} images; similarity takes pairs, as many of each.")
        if not sent:
            return []
        outputs = self.predict("similarity", {"texts": sent, "images": _images(images)}, timeout=timeout)
        return answers.checked(answers.similarities(sent, outputs), outputs)

    def search(self, texts: Sequence[str], *, timeout: float | None = None) -> list[list[SearchResult]]:
        """Return, for each text, the pictures found, best first; their number was fixed at export."""
        return self._search("search", "texts", _texts(texts), timeout)

    def search_by_image(self, images: Sequence[Image], *, timeout: float | None = None) -> list[list[SearchResult]]:
        """Return, for each image, the texts found (`caption`), best first, with the picture each belongs to (`id`)."""
        return self._search("search_by_image", "images", _images(images), timeout)

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
        request = protocol.PredictRequest(model_spec=self._spec(), output_filter=outputs)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tensors.to_proto(value, name))
        if any(_has_no_rows(tensor) for tensor in request.inputs.values()):
            return self._empty(signature, outputs)
        response = self._call("Predict", request, timeout)
        return {name: tensors.from_proto(tensor) for name, tensor in response.outputs.items()}

    def metadata(self, *, timeout: float | None = None) -> dict[str, Signature]:
        """Return the model's signatures by name."""
        self._signatures = answers.signatures(self._call("GetModelMetadata", self._metadata_request(), timeout))
        return self._signatures

    def status(self, *, timeout: float | None = None) -> list[VersionStatus]:
        """Return the state of every version that the server has seen, newest first (only the pinned one, if any)."""
        request = protocol.GetModelStatusRequest(model_spec=protocol.ModelSpec(name=self.model))
        if self.version is not None:
            request.model_spec.version.value = self.version
        return answers.statuses(self._transport.call("GetModelStatus", request, self._seconds(timeout)))

    def wait_ready(self, timeout: float = 60.0, *, poll: float = 0.2) -> VersionStatus:
        """Return the version that is AVAILABLE, as soon as there is one (the pinned one, if any).

        Raises:
            DeadlineExceeded: none was within `timeout` seconds; the message tells what was seen last.
        """
        deadline = time.monotonic() + _checked_timeout(timeout)
        seen = "no answer"
        while (left := deadline - time.monotonic()) > 0:
            try:
                states = self.status(timeout=min(left, self.timeout))
            except (DeadlineExceeded, NotFound, Unavailable) as error:
                seen = f"{error.code.name} {error.details}"
            else:
                if available := [state for state in states if state.state == "AVAILABLE"]:
                    return available[0]
                seen = ", ".join(f"version {state.version} {state.state} {state.error}".rstrip() for state in states)
            time.sleep(max(0.0, min(poll, deadline - time.monotonic())))
        raise _server_error(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"not available within {timeout:g} s; last seen: {seen}",
            f"Model '{self.model}' at {self.target}",
            "Check the server's log and the model's folder.",
        )

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
        request = protocol.ReloadConfigRequest()
        for name, base_path in base_paths.items():
            config = request.config.model_config_list.config.add(name=name, model_platform="tensorflow")
            config.base_path = os.fspath(base_path)
            config.version_labels.update((labels or {}).get(name, {}))
        self._transport.call("HandleReloadConfigRequest", request, self._seconds(timeout))

    def _search(self, signature: str, name: str, queries: Any, timeout: float | None) -> list[list[SearchResult]]:
        if not queries:
            return []
        outputs = self.predict(signature, {name: queries}, timeout=timeout)
        return answers.checked(answers.search_results(outputs), outputs)

    def _empty(self, signature: str, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        known = self.metadata() if self._signatures is None else self._signatures
        if signature not in known:
            raise InputError(f"Model '{self.model}' has no signature '{signature}'; it has {', '.join(sorted(known))}.")
        named = known[signature].outputs
        return {name: answers.no_rows(info) for name, info in named.items() if not outputs or name in outputs}

    def _spec(self) -> Any:
        spec = protocol.ModelSpec(name=self.model)
        if self.version is not None:
            spec.version.value = self.version
        elif self.label is not None:
            spec.version_label = self.label
        return spec

    def _metadata_request(self) -> Any:
        return protocol.GetModelMetadataRequest(model_spec=self._spec(), metadata_field=["signature_def"])

    def _seconds(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else _checked_timeout(timeout)

    def _call(self, method: str, request: Any, timeout: float | None) -> Any:
        """Call, and let NOT_FOUND and FAILED_PRECONDITION say what there is instead."""
        try:
            return self._transport.call(method, request, self._seconds(timeout))
        except (NotFound, FailedPrecondition) as error:
            if advice := self._what_there_is(error):
                context = f"{method} at {self.target}"
                raise _server_error(error.code, error.details, context, advice) from error
            raise

    def _what_there_is(self, error: ServerError) -> str:
        try:
            if isinstance(error, FailedPrecondition):
                response = self._transport.call("GetModelMetadata", self._metadata_request(), 2.0)
                names = ", ".join(answers.signatures(response))
                return f"Model '{self.model}' has the signatures {names}."
            request = protocol.GetModelStatusRequest(model_spec=protocol.ModelSpec(name=self.model))
            states = answers.statuses(self._transport.call("GetModelStatus", request, 2.0))
        except ServerError:
            return ""
        listed = ", ".join(f"{state.version} ({state.state})" for state in states)
        return f"Versions of '{self.model}' that the server knows: {listed}."


def _checked_timeout(timeout: float) -> float:
    if not timeout > 0:
        raise InputError(f"The timeout is {timeout}; it must be positive. (To a server, zero means no limit at all.)")
    return timeout


def _has_no_rows(tensor: Any) -> bool:
    return bool(tensor.tensor_shape.dim) and tensor.tensor_shape.dim[0].size == 0


def _texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str | bytes):
        raise InputError("One text was given where a list of texts is due; write [text].")
    return list(texts)


def _images(images: Sequence[Image]) -> list[bytes]:
    if isinstance(images, str | bytes | os.PathLike):
        raise InputError("One image was given where a list of images is due; write [image].")
    return [image if isinstance(image, bytes) else _read(Path(image)) for image in images]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"The image {path} cannot be read: {error.strerror}.") from error
