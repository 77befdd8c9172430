"""Classify, Regress and MultiInference: TensorFlow Serving's checks of a signature, with its texts.

A signature for Predict, as every one of an export is, does not pass them.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from google.protobuf import text_format

from dafsn_server.predict import DEFAULT_SIGNATURE
from dafsn_server.refusal import Refusal, invalid

_CLASSIFY, _REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def check_classification(signatures: Mapping[str, Any], name: str) -> None:
    """Refuse a signature that Classify cannot use, "" being the default one.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    _check_classification(_named(signatures, name))


def check_regression(signatures: Mapping[str, Any], name: str) -> None:
    """Refuse a signature that Regress cannot use, "" being the default one.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    _check_regression(_named(signatures, name))


def check_tasks(signatures: Mapping[str, Any], tasks: Iterable[Any]) -> None:
    """Refuse tasks of a MultiInference that cannot be computed together.

    Raises:
        Refusal: INVALID_ARGUMENT; UNIMPLEMENTED, a method that is neither Classify nor Regress.
    """
    checks = {_CLASSIFY: _check_classification, _REGRESS: _check_regression}
    models, evaluated = set(), set()
    for task in tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        models.add(task.model_spec.name)
        if "" in models:
            raise invalid("Found ModelSpec with an empty model name.")
        if len(models) > 1:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        if name in evaluated:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        evaluated.add(name)
        if name not in signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        if task.method_name not in checks:
            raise Refusal(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        checks[task.method_name](signatures[name])


def _named(signatures: Mapping[str, Any], name: str) -> Any:
    name = name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise invalid(f"No signature was found with the name: {name}")
    return signatures[name]


def _check_classification(signature: Any) -> None:
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {_text(signature)}")
    if not {"classes", "scores"} & set(signature.outputs):
        raise invalid(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {_text(signature)}"
        )


def _check_regression(signature: Any) -> None:
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    for kind in ("inputs", "outputs"):
        if kind not in getattr(signature, kind):
            raise invalid(f"No regression {kind} found in SignatureDef: {_text(signature)}")


def _text(signature: Any) -> str:
    return text_format.MessageToString(signature)
