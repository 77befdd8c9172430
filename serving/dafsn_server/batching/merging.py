"""Rows of several requests as one array for each input, and the answer's rows back to each request."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from dafsn_server.refusal import Refusal, invalid

_NAMES = {"float32": "float", "float64": "double", "float16": "half", "object": "string"}
_MAX_PADDED_RANK = 6


def rows_of(feeds: Mapping[str, np.ndarray]) -> int:
    """Return how many rows a request has.

    Raises:
        Refusal: INVALID_ARGUMENT, inputs that are no rows, or not equally many.
    """
    if not feeds:
        raise invalid("Batching Run() must have at least one input tensor")
    if any(value.ndim == 0 for value in feeds.values()):
        raise invalid("Batching Run() input tensors must have at least one dimension")
    rows = {len(value) for value in feeds.values()}
    if len(rows) > 1:
        raise invalid("Batching Run() input tensors must have equal 0th-dimension size")
    return rows.pop()


def merged(requests: Sequence[Mapping[str, np.ndarray]], *, rows: int, pad: bool) -> dict[str, np.ndarray]:
    """Return one array for each input.

    Args:
        requests: inputs by name, the same names in each.
        rows: rows of the result; those beyond the requests' own repeat the first row of the last request.
        pad: fill up inner dimensions that differ, at their end, with the array's own first element.

    Raises:
        Refusal: shapes or types that cannot be put together; every request of the batch fails.
    """
    result = {}
    for name in sorted(requests[0]):
        values = [request[name] for request in requests]
        if pad:
            values = _padded(values)
        elif any(value.shape[1:] != values[0].shape[1:] for value in values):
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off. "
                "Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
                "dimensions starting with the first dim.",
            )
        missing = rows - sum(len(value) for value in values)
        if missing > 0:
            values.append(np.repeat(values[-1][:1], missing, axis=0))
        result[name] = values[0] if len(values) == 1 else _concatenated(values)
    return result


def split(value: Any, sizes: Sequence[int], rows: int) -> list[np.ndarray]:
    """Return each request's rows of one output of a batch; those that fill it up are dropped.

    Args:
        value: the output.
        sizes: rows of each request.
        rows: rows of the batch.

    Raises:
        Refusal: FAILED_PRECONDITION, an output that is not as many rows as went in.
    """
    array = np.asarray(value, dtype=object if isinstance(value, bytes) else None)
    if array.ndim == 0:
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
    if len(array) != rows:
        raise Refusal(
            grpc.StatusCode.FAILED_PRECONDITION,
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
            "input tensors",
        )
    ends = np.cumsum(sizes)
    return [array[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _concatenated(values: Sequence[np.ndarray]) -> np.ndarray:
    first = values[0]
    for value in values:
        if value.dtype != first.dtype:  # NumPy would convert silently
            raise _cannot_concatenate(
                "Cannot concatenate tensors that have different data types. "
                f"Got {_type_name(first)} and {_type_name(value)}."
            )
        if value.ndim != first.ndim:
            raise _cannot_concatenate("Cannot concatenate tensors that have different ranks.")
    return np.concatenate(values)


def _cannot_concatenate(reason: str) -> Refusal:
    return Refusal(grpc.StatusCode.INTERNAL, f"Tensor concat operation failed: {reason}")


def _type_name(value: np.ndarray) -> str:
    return _NAMES.get(value.dtype.name, value.dtype.name)


def _padded(values: Sequence[np.ndarray]) -> list[np.ndarray]:
    if len({value.ndim for value in values}) > 1 or all(value.shape[1:] == values[0].shape[1:] for value in values):
        return list(values)
    inner = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
    return [_filled_up(value, inner) for value in values]


def _filled_up(value: np.ndarray, inner: Sequence[int]) -> np.ndarray:
    if value.shape[1:] == tuple(inner):
        return value
    if value.ndim > _MAX_PADDED_RANK:
        raise invalid("Only tensors with rank from 1 to 6 can be padded.")
    if not value.size:
        raise invalid("Got empty tensor in batch of non-empty tensors.")
    result = np.full((len(value), *inner), value.flat[0], dtype=value.dtype)
    result[tuple(slice(size) for size in value.shape)] = value
    return result
