"""Requests about one model, as messages."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dafsn_client import protocol, tensors
from dafsn_client.errors import InputError


@dataclass(frozen=True)
class Requests:
    """Requests about a model and the version that is followed.

    Attributes:
        model: its name on the server.
        version: pinned; None takes the newest.
        label: followed in place of a version.
    """

    model: str
    version: int | None
    label: str | None

    def predict(
        self, signature: str, arrays: Mapping[str, np.ndarray], outputs: Sequence[str], version: int | None
    ) -> Any:
        """Return a PredictRequest; `version` in place of the one that is followed, where it is given."""
        request = protocol.PredictRequest(model_spec=self._spec(version), output_filter=outputs)
        request.model_spec.signature_name = signature
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tensors.to_proto(array, name))
        return request

    def metadata(self) -> Any:
        """Return a GetModelMetadataRequest."""
        return protocol.GetModelMetadataRequest(model_spec=self._spec(None), metadata_field=["signature_def"])

    def status(self) -> Any:
        """Return a GetModelStatusRequest: of the pinned version, else of all; labels are ignored there."""
        request = self.status_of_all()
        if self.version is not None:
            request.model_spec.version.value = self.version
        return request

    def status_of_all(self) -> Any:
        """Return a GetModelStatusRequest of every version."""
        return protocol.GetModelStatusRequest(model_spec=protocol.ModelSpec(name=self.model))

    def _spec(self, version: int | None) -> Any:
        spec = protocol.ModelSpec(name=self.model)
        if version is not None or self.version is not None:
            spec.version.value = self.version if version is None else version
        elif self.label is not None:
            spec.version_label = self.label
        return spec


def reload_config(
    base_paths: Mapping[str, str | os.PathLike[str]],
    labels: Mapping[str, Mapping[str, int]] | None,
    versions: Mapping[str, Sequence[int]] | None,
) -> Any:
    """Return a ReloadConfigRequest for these models.

    Raises:
        InputError: what no message can hold, or what would take a labelled version or a model away unawares.
    """
    request = protocol.ReloadConfigRequest()
    try:
        labels, versions = dict(labels or {}), dict(versions or {})
        for name, base_path in base_paths.items():
            config = request.config.model_config_list.config.add(name=name, model_platform="tensorflow")
            config.base_path = os.fspath(base_path)
            config.version_labels.update(labels.get(name, {}))
            labelled = set(labels.get(name, {}).values())
            loaded = sorted(versions.get(name, labelled))
            if loaded:  # else the newest, as the server does by itself
                config.model_version_policy.specific.versions.extend(loaded)
            if outside := labelled - set(loaded):
                raise InputError(
                    f"Labels of model '{name}' name {_listed(outside)}, which `versions` leaves out: the server would "
                    "unload what they stand for."
                )
            if not (config.base_path.startswith("/") or "://" in config.base_path):
                raise InputError(
                    f"The base path of model '{name}', {config.base_path}, is relative: give it from / on."
                )
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"The configuration cannot be sent: {error}. It maps names to paths, names to labels to versions, and "
            "names to versions."
        ) from error
    if not base_paths:
        raise InputError("The configuration names no model, which no server takes. It maps names to paths.")
    if strangers := (labels.keys() | versions.keys()) - base_paths.keys():
        raise InputError(
            f"Labels or versions are given of {_listed(map(repr, strangers))}, but no base path. "
            f"There is one of {_listed(map(repr, base_paths))}."
        )
    return request


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, sorted(names)))
