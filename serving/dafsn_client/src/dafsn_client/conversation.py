"""What is said to a server and in which order, without the means to say it.

Each method is a generator: it yields calls (or a pause), is sent their answers, and returns the result. `Client` and
`AsyncClient` carry it out, each in its own way, so that they cannot differ.
"""

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import numpy as np

from dafsn_client import answers, checks, protocol, tensors
from dafsn_client.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InputError,
    InvalidInput,
    NotFound,
    ProtocolError,
    ServerError,
    Unavailable,
    Unimplemented,
    server_error,
)
from dafsn_client.images import Image, read_images
from dafsn_client.results import ImageFeatures, SearchResult, Signature, Similarity, TextFeatures, VersionStatus

Outputs = dict[str, np.ndarray]
Result = TypeVar("Result")
_ROUNDS = 3  # of asking again for rows that an older version answered


@dataclass(frozen=True)
class Call:
    """One remote call."""

    method: str  # a key of `transport.METHODS`
    build: Callable[[], Any]  # the request, made when its turn comes
    context: str = ""  # which part of a batch, for messages
    seconds: float | None = None  # at most; None leaves it to the deadline of all


@dataclass(frozen=True)
class Pause:
    """Seconds to wait."""

    seconds: float


Steps = Generator[list[Call] | Pause, Any, Result]


class Conversation:
    """The calls about one model.

    Args:
        model: its name on the server.
        version: pinned; None takes the newest.
        label: followed in place of a version.
        max_rows: a batch with more rows travels as several requests.
        max_image_side: pixels; larger images are scaled down before they travel. None sends them as they are.

    Raises:
        InputError: both a version and a label, or a number below 1.
    """

    def __init__(
        self, model: str, version: int | None, label: str | None, max_rows: int, max_image_side: int | None
    ) -> None:
        if version is not None and label is not None:
            raise InputError(f"Both version {version} and label '{label}' are given; a call can follow one of them.")
        for name, value in (("max_rows", max_rows), ("max_image_side", max_image_side)):
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}; it must be at least 1.")
        self.model = model
        self.version = version
        self.label = label
        self.max_rows = max_rows
        self.max_image_side = max_image_side
        self._signatures: dict[str, Signature] | None = None  # of `_seen`; None where they must be fetched
        self._seen: int | None = None

    def encode_text(self, texts: Sequence[str]) -> Steps[TextFeatures]:
        outputs = yield from self.predict("encode_text", {"texts": checks.texts(texts)})
        return answers.checked(answers.text_features(outputs), outputs)

    def encode_image(self, images: Sequence[Image]) -> Steps[ImageFeatures]:
        outputs = yield from self.predict("encode_image", {"images": self._images(images)})
        return answers.checked(answers.image_features(outputs), outputs)

    def similarity(self, texts: Sequence[str], images: Sequence[Image]) -> Steps[list[Similarity]]:
        sent = checks.texts(texts)
        if len(sent) != len(images):
            raise InputError(f"{len(sent)} texts and {len(images)} images; similarity takes pairs, as many of each.")
        if not sent:
            return []
        outputs = yield from self.predict("similarity", {"texts": sent, "images": self._images(images)})
        return answers.checked(answers.similarities(sent, outputs), outputs)

    def search(self, texts: Sequence[str]) -> Steps[list[list[SearchResult]]]:
        return (yield from self._search("search", "texts", checks.texts(texts)))

    def search_by_image(self, images: Sequence[Image]) -> Steps[list[list[SearchResult]]]:
        return (yield from self._search("search_by_image", "images", self._images(images)))

    def predict(self, signature: str, inputs: Mapping[str, Any], outputs: Sequence[str] = ()) -> Steps[Outputs]:
        arrays = {name: tensors.as_array(value, name) for name, value in inputs.items()}
        described = yield from self._described(signature)
        if described is not None:
            checks.inputs(signature, described, arrays)
        sizes = {len(array) if array.ndim else -1 for array in arrays.values()}
        if 0 in sizes:  # a stock server that batches may abort on it
            if described is None:
                raise InputError("There is nothing to send, and the server does not describe what it would answer.")
            named = {name: info for name, info in described.outputs.items() if not outputs or name in outputs}
            return {name: answers.no_rows(info) for name, info in named.items()}
        rows = sizes.pop() if len(sizes) == 1 else -1
        if rows <= self.max_rows or described is None or not checks.has_rows(described):
            response = (yield from self._ask([self._predict_call(signature, arrays, outputs)]))[0]
            self._note_version(response)
            return _values(response)
        return (yield from self._predict_pieces(signature, arrays, outputs, rows))

    def metadata(self) -> Steps[dict[str, Signature]]:
        (response,) = yield from self._ask([Call("GetModelMetadata", self._metadata_request)])
        self._signatures = answers.signatures(response)
        self._note_version(response, fetched=True)
        return self._signatures

    def status(self, seconds: float | None = None) -> Steps[list[VersionStatus]]:
        (response,) = yield [Call("GetModelStatus", lambda: self._status_request(self.version), seconds=seconds)]
        return answers.statuses(response)

    def wait_ready(self, timeout: float, poll: float, target: str, seconds: float) -> Steps[VersionStatus]:
        deadline = time.monotonic() + timeout
        seen = "no answer"
        while (left := deadline - time.monotonic()) > 0:
            try:
                states = yield from self.status(min(left, seconds))
            except (DeadlineExceeded, NotFound, Unavailable) as error:
                seen = f"{error.code.name} {error.details}"
            else:
                if available := [state for state in states if state.state == "AVAILABLE"]:
                    return available[0]
                seen = ", ".join(f"version {state.version} {state.state} {state.error}".rstrip() for state in states)
            yield Pause(max(0.0, min(poll, deadline - time.monotonic())))
        raise server_error(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"not available within {timeout:g} s; last seen: {seen}",
            f"Model '{self.model}' at {target}",
            "Check the server's log and the model's folder.",
        )

    def reload_config(
        self, base_paths: Mapping[str, str], labels: Mapping[str, Mapping[str, int]] | None
    ) -> Steps[None]:
        request = protocol.ReloadConfigRequest()
        for name, base_path in base_paths.items():
            config = request.config.model_config_list.config.add(name=name, model_platform="tensorflow")
            config.base_path = base_path
            config.version_labels.update((labels or {}).get(name, {}))
        yield [Call("HandleReloadConfigRequest", lambda: request)]

    def _search(self, signature: str, name: str, queries: Any) -> Steps[list[list[SearchResult]]]:
        if not queries:
            return []
        outputs = yield from self.predict(signature, {name: queries})
        return answers.checked(answers.search_results(outputs), outputs)

    def _images(self, images: Sequence[Image]) -> list[bytes]:
        return read_images(images, self.max_image_side)

    def _described(self, signature: str) -> Steps[Signature | None]:
        """Return a signature as the server describes it; None where it does not describe any.

        Raises:
            InputError: the model has no such signature, by metadata that were fetched just now.
        """
        fresh = self._signatures is None
        try:
            known = (yield from self.metadata()) if self._signatures is None else self._signatures
            if signature not in known and not fresh:
                known = yield from self.metadata()
        except Unimplemented:
            return None
        if signature not in known:
            raise InputError(
                f"Model '{self.model}' has no signature '{signature}'; it has {', '.join(sorted(known))}. "
                "Search needs a model exported with an index."
            )
        return known[signature]

    def _predict_pieces(
        self, signature: str, arrays: Mapping[str, np.ndarray], outputs: Sequence[str], rows: int
    ) -> Steps[Outputs]:
        """Ask for `max_rows` at a time and join the answers, all of one version."""
        slices = [slice(start, min(start + self.max_rows, rows)) for start in range(0, rows, self.max_rows)]

        def call(piece: slice) -> Call:
            part = {name: array[piece] for name, array in arrays.items()}
            return self._predict_call(signature, part, outputs, f"rows {piece.start} to {piece.stop - 1} of {rows}")

        responses = yield from self._ask([call(piece) for piece in slices])
        for _ in range(_ROUNDS):
            newest = max(_version(response) for response in responses)
            older = [place for place, response in enumerate(responses) if _version(response) != newest]
            if not older:
                self._note_version(responses[-1])
                return _joined([_values(response) for response in responses])
            again = yield from self._ask([call(slices[place]) for place in older])
            for place, response in zip(older, again, strict=True):
                responses[place] = response
        raise ProtocolError(
            f"Model '{self.model}' was exchanged again and again while {rows} rows were asked; pin a version."
        )

    def _predict_call(
        self, signature: str, arrays: Mapping[str, np.ndarray], outputs: Sequence[str], context: str = ""
    ) -> Call:
        def build() -> Any:
            request = protocol.PredictRequest(model_spec=self._spec(), output_filter=outputs)
            request.model_spec.signature_name = signature
            for name, array in arrays.items():
                request.inputs[name].CopyFrom(tensors.to_proto(array, name))
            return request

        return Call("Predict", build, context)

    def _ask(self, calls: list[Call]) -> Steps[list[Any]]:
        """Call; what may come from stale metadata drops them, and NOT_FOUND says what there is instead."""
        try:
            return list((yield calls))
        except (FailedPrecondition, InvalidInput):
            self._signatures = None
            raise
        except NotFound as error:
            self._signatures = None
            if not (advice := (yield from self._what_there_is())):
                raise
            raise server_error(error.code, error.details, error.context, advice) from error

    def _what_there_is(self) -> Steps[str]:
        try:
            (response,) = yield [Call("GetModelStatus", lambda: self._status_request(None), seconds=2.0)]
        except ServerError:
            return ""
        listed = ", ".join(f"{state.version} ({state.state})" for state in answers.statuses(response))
        return f"Versions of '{self.model}' that the server knows: {listed}."

    def _note_version(self, response: Any, *, fetched: bool = False) -> None:
        """Drop the metadata when another version answers than they were fetched from."""
        version = _version(response)
        if fetched:
            self._seen = version
        elif version != self._seen:
            self._signatures = None

    def _spec(self) -> Any:
        spec = protocol.ModelSpec(name=self.model)
        if self.version is not None:
            spec.version.value = self.version
        elif self.label is not None:
            spec.version_label = self.label
        return spec

    def _metadata_request(self) -> Any:
        return protocol.GetModelMetadataRequest(model_spec=self._spec(), metadata_field=["signature_def"])

    def _status_request(self, version: int | None) -> Any:
        request = protocol.GetModelStatusRequest(model_spec=protocol.ModelSpec(name=self.model))
        if version is not None:
            request.model_spec.version.value = version
        return request


def _version(response: Any) -> int:
    return int(response.model_spec.version.value)


def _values(response: Any) -> Outputs:
    return {name: tensors.from_proto(tensor) for name, tensor in response.outputs.items()}


def _joined(parts: Iterable[Outputs]) -> Outputs:
    first, *others = parts
    try:
        return {name: np.concatenate([values, *(part[name] for part in others)]) for name, values in first.items()}
    except (KeyError, ValueError) as error:
        raise ProtocolError(f"The answers to parts of a batch do not fit together: {error}.") from error
