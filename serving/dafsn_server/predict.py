"""A PredictRequest against a loaded version: TensorFlow Serving's checks in its order, with its texts."""

import time
from collections.abc import Iterable
from typing import Any

import grpc
import numpy as np

from dafsn_server.refusal import Refusal, invalid
from dafsn_server.tensors import Allowance, set_proto, to_array

DEFAULT_SIGNATURE = "serving_default"


def predict(
    model: Any, request: Any, response: Any, timeout: float | None = None, *, tensor_content: bool = False
) -> float:
    """Fill the `outputs` of a PredictResponse; return the microseconds that the graph took.

    Args:
        model: `LoadedModel`, or one that batches its runs.
        request: a PredictRequest; its `model_spec` was followed already.
        response: the PredictResponse.
        timeout: seconds; None waits for ever.
        tensor_content: give values as bytes, not in the field of their type.

    Raises:
        Refusal: a request that does not fit the signature, or that the graph refuses.
    """
    signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if signature_name not in model.signatures:
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.')
    signature = model.signatures[signature_name]
    feeds = _feeds(signature, request.inputs)
    aliases = _filtered(signature, request.output_filter)
    start = time.perf_counter()
    values = model.run(feeds, [signature.outputs[alias].name for alias in aliases], timeout)
    microseconds = (time.perf_counter() - start) * 1e6
    for alias, value in zip(aliases, values, strict=True):
        set_proto(response.outputs[alias], value, tensor_content=tensor_content)
    return microseconds


def _feeds(signature: Any, inputs: Any) -> dict[str, np.ndarray]:
    _check_count(signature, inputs)
    feeds, used, allowance = {}, [], Allowance()
    for alias, info in sorted(signature.inputs.items()):
        if alias in inputs:
            used.append(alias)
            feeds[info.name] = to_array(inputs[alias], alias, allowance)
        elif alias in signature.defaults:
            feeds[info.name] = to_array(signature.defaults[alias], alias)
        else:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and no default value "
                f"provided. Inputs expected to be in the request {_braced(inputs)}, or default input alias set: "
                f"{_joined(signature.defaults)}"
            )
    if len(used) != len(inputs):
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {_joined(used)}, request input: {_joined(inputs)}"
        )
    return feeds


def _check_count(signature: Any, inputs: Any) -> None:
    sent, expected = len(inputs), len(signature.inputs)
    if sent > expected or (sent < expected and not signature.defaults):
        extra, missing = set(inputs) - set(signature.inputs), set(signature.inputs) - set(inputs)
        raise invalid(
            f"input size does not match signature: {sent}!={expected} len({_braced(inputs)}) != "
            f"len({_braced(signature.inputs)}). Sent extra: {_braced(extra)}. "
            f"Missing but required: {_braced(missing)}."
        )


def _filtered(signature: Any, output_filter: Iterable[str]) -> list[str]:
    aliases: list[str] = []
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_braced(signature.outputs)}."
            )
        if alias in aliases:
            raise invalid(f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return aliases or sorted(signature.outputs)


def _joined(names: Iterable[str]) -> str:
    return ",".join(sorted(names))


def _braced(names: Iterable[str]) -> str:
    return f"{{{_joined(names)}}}"
