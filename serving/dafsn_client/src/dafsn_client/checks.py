"""Arguments against what a signature expects, before anything travels."""

from collections.abc import Mapping, Sequence

import numpy as np

from dafsn_client import tensors
from dafsn_client.errors import InputError
from dafsn_client.results import Signature, TensorInfo


def texts(texts: Sequence[str]) -> list[str]:
    """Return a list of texts; a single text is a mistake that would be sent letter by letter."""
    if isinstance(texts, str | bytes):
        raise InputError("One text was given where a list of texts is due; write [text].")
    return list(texts)


def inputs(name: str, signature: Signature, arrays: Mapping[str, np.ndarray]) -> None:
    """Check names, types, ranks, fixed sizes and row counts.

    Raises:
        InputError: naming what the signature expects.
    """
    expected = ", ".join(f"{key}: {_described(info)}" for key, info in signature.inputs.items())
    if set(arrays) != set(signature.inputs):
        found = ", ".join(sorted(arrays)) or "no input"
        raise InputError(f"Signature '{name}' got {found}; it takes {expected}.")
    for key, array in arrays.items():
        if not array.size:
            continue  # no rows: nothing travels, and an empty list has no type
        info = signature.inputs[key]
        dtype = tensors.dtype_of(array, key)
        if dtype != info.dtype or not _fits(array.shape, info.shape):
            found = f"{dtype}{_shape(array.shape)}"
            raise InputError(f"Input '{key}' of signature '{name}' is {found}; it takes {_described(info)}.")
    if has_rows(signature) and len({len(array) for array in arrays.values()}) > 1:
        counts = ", ".join(f"{len(array)} of {key}" for key, array in arrays.items())
        raise InputError(f"Signature '{name}' takes rows, as many of each input; it got {counts}.")


def has_rows(signature: Signature) -> bool:
    """Return whether every input and output begins with a free number of rows."""
    infos = [*signature.inputs.values(), *signature.outputs.values()]
    return all(info.shape and info.shape[0] is None for info in infos)


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...] | None) -> bool:
    if expected is None:
        return True
    return len(shape) == len(expected) and all(
        size in (None, found) for found, size in zip(shape, expected, strict=True)
    )


def _described(info: TensorInfo) -> str:
    return info.dtype if info.shape is None else f"{info.dtype}{_shape(info.shape)}"


def _shape(shape: Sequence[int | None]) -> str:
    return f"({', '.join('n' if size is None else str(size) for size in shape)})"
