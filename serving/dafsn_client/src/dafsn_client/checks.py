"""Arguments against what a signature expects, before anything travels."""

from collections.abc import Mapping, Sequence

import numpy as np

from dafsn_client import settings, tensors
from dafsn_client.errors import InputError
from dafsn_client.results import Signature, TensorInfo


def texts(texts: Sequence[str]) -> list[str]:
    """Return a list of texts.

    Raises:
        InputError: one text, which would be sent letter by letter, or something that is no text.
    """
    if isinstance(texts, str | bytes):
        raise InputError("One text was given where a list of texts is due; write [text].")
    try:
        found = list(texts)
    except TypeError as error:
        raise InputError(f"A list of texts is due; got {type(texts).__name__}.") from error
    for place, text in enumerate(found):
        if not isinstance(text, str):
            raise InputError(f"Text {place} is of type {type(text).__name__}; a text is a str.")
    return found


def names(signature: str, inputs: Mapping[str, object], outputs: Sequence[str]) -> None:
    """Check that what `predict` got are names.

    Raises:
        InputError: naming what they are instead.
    """
    if not isinstance(inputs, Mapping):
        raise InputError(f"The inputs are a {type(inputs).__name__}; write {{name: rows}}.")
    if isinstance(outputs, str | bytes):
        raise InputError("One output was given where a list of names is due; write [name].")
    for what, given in (("signature", [signature]), ("name of an input", inputs), ("name of an output", outputs)):
        for name in given:
            settings.text(what, name)


def request(
    model: str,
    signatures: Mapping[str, Signature],
    signature: str,
    arrays: Mapping[str, np.ndarray],
    outputs: Sequence[str],
) -> Signature:
    """Return the signature that is asked for; check names, types, ranks, fixed sizes and row counts.

    Raises:
        InputError: naming what the model has, or what the signature expects.
    """
    if signature not in signatures:
        raise InputError(
            f"Model '{model}' has no signature '{signature}'; it has {', '.join(sorted(signatures))}. "
            "Search needs a model exported with an index."
        )
    described = signatures[signature]
    _check_inputs(signature, described, arrays)
    if unknown := [name for name in outputs if name not in described.outputs]:
        raise InputError(
            f"Signature '{signature}' has no output '{unknown[0]}'; it has {', '.join(sorted(described.outputs))}."
        )
    return described


def _check_inputs(name: str, signature: Signature, arrays: Mapping[str, np.ndarray]) -> None:
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
    return bool(signature.inputs) and all(info.shape and info.shape[0] is None for info in infos)


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
