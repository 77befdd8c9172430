"""From the outputs of a signature to the client's results."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from dafsn_client import protocol, tensors
from dafsn_client.errors import ProtocolError, RowError
from dafsn_client.results import (
    ImageFeatures,
    SearchResult,
    Signature,
    Similarity,
    TensorInfo,
    TextFeatures,
    VersionStatus,
    WordRelevance,
)

Outputs = Mapping[str, np.ndarray]
Result = TypeVar("Result")
_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}


def values(response: Any) -> dict[str, np.ndarray]:
    """Return the outputs of a PredictResponse by name."""
    return {name: tensors.from_proto(tensor) for name, tensor in response.outputs.items()}


def joined(parts: Sequence[Outputs]) -> dict[str, np.ndarray]:
    """Return the outputs of a batch that was answered in parts."""
    first, *others = parts
    if not others:
        return dict(first)
    try:
        return {name: np.concatenate([rows, *(part[name] for part in others)]) for name, rows in first.items()}
    except (KeyError, ValueError) as error:
        raise ProtocolError(f"The answers to parts of a batch do not fit together: {error}.") from error


def checked(result: Result, outputs: Outputs) -> Result:
    """Return `result`, unless the output `status` (n) tells of failed rows.

    Raises:
        RowError: naming them, with `result` as its `answers`.
    """
    failed = {int(row): int(outputs["status"][row]) for row in np.flatnonzero(_output(outputs, "status"))}
    if failed:
        raise RowError(failed, result)
    return result


def text_features(outputs: Outputs) -> TextFeatures:
    """Return the outputs of `encode_text`."""
    names = ("sentence_features", "word_features", "word_mask", "word_offsets")
    return TextFeatures(*(_output(outputs, name) for name in names))


def image_features(outputs: Outputs) -> ImageFeatures:
    """Return the outputs of `encode_image`."""
    return ImageFeatures(_output(outputs, "image_features"), _output(outputs, "region_features"))


def similarities(texts: Sequence[str], outputs: Outputs) -> list[Similarity]:
    """Return the outputs of `similarity`, one a pair; rows with a status have no words."""
    return [_similarity(text, outputs, row) for row, text in enumerate(texts)]


def _similarity(text: str, outputs: Outputs, row: int) -> Similarity:
    words = np.flatnonzero(_output(outputs, "word_mask")[row])
    attention = _output(outputs, "attention")[row][words]
    centres = _output(outputs, "region_centres")[row]
    utf8 = text.encode()
    relevances = []
    for word, weights in zip(words, attention, strict=True):
        start, end = (int(offset) for offset in _output(outputs, "word_offsets")[row, word])
        x, y = (float(value) for value in centres[int(np.argmax(weights))])
        relevance = float(_output(outputs, "word_relevance")[row, word])
        relevances.append(WordRelevance(utf8[start:end].decode(errors="replace"), start, end, relevance, x, y))
    scores = (float(_output(outputs, name)[row]) for name in ("sentence", "word", "fused"))
    return Similarity(*scores, words=relevances, attention=attention, region_centres=centres)


def search_results(outputs: Outputs) -> list[list[SearchResult]]:
    """Return the outputs of `search` or `search_by_image`, a list for each query; empty for rows with a status."""
    columns = [_output(outputs, name) for name in ("ids", "scores", "captions")]
    return [
        [
            SearchResult(id.decode(errors="replace"), float(score), caption.decode(errors="replace"))
            for id, score, caption in zip(*row, strict=True)
        ]
        if status == 0
        else []
        for *row, status in zip(*columns, _output(outputs, "status"), strict=True)
    ]


def signatures(response: Any) -> dict[str, Signature]:
    """Return the signatures of a GetModelMetadataResponse, without the loader's own (names with two underscores)."""
    if "signature_def" not in response.metadata:
        raise ProtocolError("The server's metadata hold no signature_def; is it TensorFlow Serving?")
    # By hand: Any's Unpack would look in the default pool.
    held = protocol.SignatureDefMap.FromString(response.metadata["signature_def"].value)
    return {
        name: Signature(_infos(signature.inputs), _infos(signature.outputs))
        for name, signature in sorted(held.signature_def.items())
        if not name.startswith("__")
    }


def _infos(infos: Any) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            tensors.dtype_name(info.dtype),
            None
            if info.tensor_shape.unknown_rank
            else tuple(None if dim.size < 0 else int(dim.size) for dim in info.tensor_shape.dim),
        )
        for name, info in sorted(infos.items())
    }


def no_rows(info: TensorInfo) -> np.ndarray:
    """Return an output without rows: (0, ...) with the signature's inner sizes, unknown ones 0."""
    inner = (info.shape or (None,))[1:]
    return tensors.empty(tensors.dtype_number(info.dtype), (0, *(size or 0 for size in inner)))


def statuses(response: Any) -> list[VersionStatus]:
    """Return the versions of a GetModelStatusResponse, newest first."""
    listed = [
        VersionStatus(int(entry.version), _STATES.get(entry.state, str(entry.state)), entry.status.error_message)
        for entry in response.model_version_status
    ]
    return sorted(listed, key=lambda status: -status.version)


def _output(outputs: Outputs, name: str) -> np.ndarray:
    if name not in outputs:
        raise ProtocolError(
            f"The answer has no output '{name}', only {', '.join(sorted(outputs))}. "
            "Is the served model an export of DAFSN?"
        )
    return outputs[name]
