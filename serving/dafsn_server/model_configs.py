"""Models as TensorFlow Serving's `ModelServerConfig` lists them, from a file or a request."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from tensorflow_serving.config import model_server_config_pb2

from dafsn_server.refusal import Refusal, invalid
from dafsn_server.textproto import read
from dafsn_server.versions import ModelConfig
from dafsn_tf.errors import ServingError


def read_model_configs(path: Path) -> list[ModelConfig]:
    """Return the models of a `--model-config-file`.

    Raises:
        ServingError: no such file, no ModelServerConfig, or a list that cannot be served.
    """
    message = read(path, model_server_config_pb2.ModelServerConfig)
    if not message.model_config_list.config:
        raise ServingError(f"{path}: it lists no model. Expected model_config_list {{ config {{ ... }} }}.")
    try:
        return model_configs(message.model_config_list.config)
    except Refusal as refusal:
        raise ServingError(f"{path}: {refusal.message}") from refusal


def model_configs(entries: Iterable[Any], served: Collection[str] = ()) -> list[ModelConfig]:
    """Return what the `ModelConfig`s of the protocol say.

    Args:
        entries: of one list.
        served: names of the models that are served already.

    Raises:
        Refusal: INVALID_ARGUMENT, a model that is listed twice, a base path that depends on where the server was
            started, a platform that is not TensorFlow.
    """
    entries, seen = list(entries), set()
    for entry in entries:
        if entry.name in seen:
            raise invalid(f"Illegal to list model {entry.name} multiple times in config list")
        seen.add(entry.name)
    for entry in entries:
        if not Path(entry.base_path).is_absolute():
            raise invalid(
                f"Expected model {entry.name} to have an absolute path or URI; got base_path()={entry.base_path}"
            )
    for entry in entries:
        _check_platform(entry, entry.name in served)
    return [_model_config(entry) for entry in entries]


def _check_platform(entry: Any, served: bool) -> None:
    if entry.model_platform == "tensorflow" or entry.model_type == model_server_config_pb2.TENSORFLOW:
        return
    if not entry.model_platform:
        raise invalid(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform."
        )
    if served:
        raise invalid(
            f"Illegal to change a model's platform. For model {entry.name} platform was tensorflow and new "
            f"platform requested is {entry.model_platform}"
        )
    raise invalid(f"Model {entry.name} requests unsupported platform {entry.model_platform}")


def _model_config(entry: Any) -> ModelConfig:
    policy = entry.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    return ModelConfig(
        entry.name,
        Path(entry.base_path),
        latest=0 if kind == "all" else max(1, policy.latest.num_versions),
        specific=tuple(policy.specific.versions) if kind == "specific" else None,
        labels=dict(entry.version_labels),
    )
