"""What is said to a server and in which order, without the means to say it.

Each method is a generator: it yields calls (or a pause), is sent their answers, and returns the result. `Client` and
`AsyncClient` carry it out, each in its own way, so that they cannot differ.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import grpc
import numpy as np

from dafsn_client import answers, checks, errors, requests, settings, tensors
from dafsn_client.batches import of_one_version, version_of
from dafsn_client.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InputError,
    InvalidInput,
    NotFound,
    ServerError,
    Unavailable,
    Unimplemented,
)
from dafsn_client.images import Image, listed, read_images
from dafsn_client.requests import Requests
from dafsn_client.results import ImageFeatures, SearchResult, Signature, Similarity, TextFeatures, VersionStatus
from dafsn_client.steps import Call, Pause, Result, Steps, Work

Outputs = dict[str, np.ndarray]


class Conversation:
    """The calls about one model.

    Args:
        model: its name on the server.
        version: pinned; None takes the newest.
        label: followed in place of a version.
        max_rows: a batch with more rows travels as several requests.
        max_image_side: pixels; larger images are scaled down before they travel. None sends them as they are.

    Raises:
        InputError: both a version and a label, or what can be none of them.
    """

    def __init__(
        self, model: str, version: int | None, label: str | None, max_rows: int, max_image_side: int | None
    ) -> None:
        if version is not None and label is not None:
            raise InputError(f"Both version {version} and label '{label}' are given; a call can follow one of them.")
        self.model = settings.text("model", model)
        self.label = None if label is None else settings.text("label", label)
        self._requests = Requests(self.model, None if version is None else settings.version(version), self.label)
        self.max_rows = settings.count("max_rows", max_rows)
        self.max_image_side = None if max_image_side is None else settings.count("max_image_side", max_image_side)
        self._signatures: dict[str, Signature] | None = None  # of `_seen`; None where they must be fetched
        self._seen: int | None = None

    @property
    def _is_pinned(self) -> bool:
        return self._requests.version is not None

    def encode_text(self, texts: Sequence[str]) -> Steps[TextFeatures]:
        outputs = yield from self.predict("encode_text", {"texts": checks.texts(texts)})
        return answers.checked(answers.text_features(outputs), outputs)

    def encode_image(self, images: Sequence[Image]) -> Steps[ImageFeatures]:
        outputs = yield from self.predict("encode_image", {"images": (yield self._read(images))})
        return answers.checked(answers.image_features(outputs), outputs)

    def similarity(self, texts: Sequence[str], images: Sequence[Image]) -> Steps[list[Similarity]]:
        sent, pictures = checks.texts(texts), listed(images)
        if len(sent) != len(pictures):
            raise InputError(f"{len(sent)} texts and {len(pictures)} images; similarity takes pairs, as many of each.")
        if not sent:
            return []
        outputs = yield from self.predict("similarity", {"texts": sent, "images": (yield self._read(pictures))})
        return answers.checked(answers.similarities(sent, outputs), outputs)

    def search(self, texts: Sequence[str]) -> Steps[list[list[SearchResult]]]:
        return (yield from self._search("search", "texts", checks.texts(texts)))

    def search_by_image(self, images: Sequence[Image]) -> Steps[list[list[SearchResult]]]:
        return (yield from self._search("search_by_image", "images", (yield self._read(images))))

    def predict(self, signature: str, inputs: Mapping[str, Any], outputs: Sequence[str] = ()) -> Steps[Outputs]:
        checks.names(signature, inputs, outputs)
        arrays = {name: tensors.as_array(value, name) for name, value in inputs.items()}
        described = yield from self._described(signature, arrays, outputs)
        sizes = {len(array) if array.ndim else -1 for array in arrays.values()}
        if 0 in sizes:  # a stock server that batches may abort on it
            if described is None:
                raise InputError("There is nothing to send, and the server does not describe what it would answer.")
            named = {name: info for name, info in described.outputs.items() if not outputs or name in outputs}
            return {name: answers.no_rows(info) for name, info in named.items()}
        rows = sizes.pop() if described is not None and checks.has_rows(described) else None

        def call(piece: slice, version: int | None) -> Call:
            part = {name: array[piece] if array.ndim else array for name, array in arrays.items()}
            is_whole = rows is None or piece == slice(0, rows)
            context = "" if is_whole else f"rows {piece.start} to {piece.stop - 1} of {rows}"
            return Call(
                "Predict",
                lambda: self._requests.predict(signature, part, outputs, version),
                context,
                is_pinned=self._is_pinned,
                returned=() if version is None else (NotFound,),
            )

        responses = yield from self._explained(self._in_pieces(call, rows))
        self._note_version(responses[-1])
        return answers.joined([answers.values(response) for response in responses])

    def metadata(self, seconds: float | None = None) -> Steps[dict[str, Signature]]:
        asked = [Call("GetModelMetadata", self._requests.metadata, seconds=seconds, is_pinned=self._is_pinned)]
        (response,) = yield from self._explained(_answered(asked))
        self._signatures = answers.signatures(response)
        self._seen = version_of(response)
        return self._signatures

    def status(self, seconds: float | None = None) -> Steps[list[VersionStatus]]:
        (response,) = yield [Call("GetModelStatus", self._requests.status, seconds=seconds, is_pinned=self._is_pinned)]
        return answers.statuses(response)

    def wait_ready(self, timeout: float, poll: float, target: str, seconds: float) -> Steps[VersionStatus]:
        deadline = time.monotonic() + settings.seconds("timeout", timeout)
        pause = settings.seconds("poll", poll)
        seen = "no answer"
        while (left := deadline - time.monotonic()) > 0:
            try:
                states = yield from self._states(min(left, seconds))
            except (DeadlineExceeded, InvalidInput, NotFound, Unavailable) as error:
                if isinstance(error, InvalidInput) and not errors.is_about_label(error):
                    raise
                seen = f"{error.code.name} {error.details}"
            else:
                if available := [state for state in states if state.state == "AVAILABLE"]:
                    return available[0]
                seen = ", ".join(f"version {state.version} {state.state} {state.error}".rstrip() for state in states)
            yield Pause(max(0.0, min(pause, deadline - time.monotonic())))
        raise errors.server_error(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"not available within {timeout:g} s; last seen: {seen}",
            f"Model '{self.model}' at {target}",
            "Check the server's log and the model's folder.",
        )

    def reload_config(
        self,
        base_paths: Mapping[str, str | os.PathLike[str]],
        labels: Mapping[str, Mapping[str, int]] | None,
        versions: Mapping[str, Sequence[int]] | None,
    ) -> Steps[None]:
        request = requests.reload_config(base_paths, labels, versions)
        yield [Call("HandleReloadConfigRequest", lambda: request)]

    def _search(self, signature: str, name: str, queries: Any) -> Steps[list[list[SearchResult]]]:
        if not queries:
            return []
        outputs = yield from self.predict(signature, {name: queries})
        return answers.checked(answers.search_results(outputs), outputs)

    def _read(self, images: Sequence[Image]) -> Work:
        return Work(lambda: read_images(images, self.max_image_side))

    def _described(
        self, signature: str, arrays: Mapping[str, np.ndarray], outputs: Sequence[str]
    ) -> Steps[Signature | None]:
        """Return a signature as the server describes it, which the request fits; None: it does not describe any.

        Raises:
            InputError: the request fits no signature of the model, by metadata that were fetched just now.
        """
        if self._signatures is not None:
            with suppress(InputError):  # the model may have been exchanged for one that takes it
                return checks.request(self.model, self._signatures, signature, arrays, outputs)
        try:
            known = yield from self.metadata()
        except Unimplemented:
            return None
        return checks.request(self.model, known, signature, arrays, outputs)

    def _in_pieces(self, call: Callable[[slice, int | None], Call], rows: int | None) -> Steps[list[Any]]:
        """Return the answers to `rows` rows, at most `max_rows` in one; None: what is sent cannot be cut."""
        if rows is None:
            return (yield [call(slice(None), None)])
        while True:
            size = self.max_rows
            pieces = [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
            try:
                return (yield from of_one_version(call, pieces))
            except InvalidInput as error:
                limit = errors.most_rows(error)
                if limit is None or limit >= min(size, rows):
                    raise
                self.max_rows = min(self.max_rows, limit)

    def _explained(self, steps: Steps[Result]) -> Steps[Result]:
        """Carry out steps; what may come from stale metadata drops them, and an error about versions lists them."""
        try:
            return (yield from steps)
        except (FailedPrecondition, InvalidInput, NotFound) as error:
            self._signatures = None
            if not (isinstance(error, NotFound) or errors.is_about_label(error)):
                raise
            if not (there_is := (yield from self._what_there_is())):
                raise
            advice = f"{error.advice} {there_is}"
            raise errors.server_error(error.code, error.details, error.context, advice) from error

    def _what_there_is(self) -> Steps[str]:
        try:
            (response,) = yield [Call("GetModelStatus", self._requests.status_of_all, seconds=2.0)]
        except ServerError:
            return ""
        listed = ", ".join(f"{state.version} ({state.state})" for state in answers.statuses(response))
        return f"Versions of '{self.model}' that the server knows: {listed}."

    def _states(self, seconds: float) -> Steps[list[VersionStatus]]:
        """Return the states of the versions that the client follows."""
        if self.label is None:
            return (yield from self.status(seconds))
        # Status ignores labels; metadata are answered once the version of the label is served.
        (response,) = yield [Call("GetModelMetadata", self._requests.metadata, seconds=seconds)]
        return [VersionStatus(version_of(response), "AVAILABLE", "")]

    def _note_version(self, response: Any) -> None:
        """Drop the metadata when another version answers than they were fetched from."""
        if version_of(response) != self._seen:
            self._signatures = None


def _answered(calls: list[Call]) -> Steps[list[Any]]:
    return (yield calls)
