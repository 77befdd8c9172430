"""Models as TensorFlow Serving's `ModelServerConfig` lists them, from a file or a request."""

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
        configs = [model_config(entry) for entry in message.model_config_list.config]
        check_list(configs)
    except Refusal as refusal:
        raise ServingError(f"{path}: {refusal.message}") from refusal
    return configs


def model_config(message: Any) -> ModelConfig:
    """Return what one `ModelConfig` of the protocol says.

    Raises:
        Refusal: INVALID_ARGUMENT, a platform that is not TensorFlow.
    """
    if message.model_platform not in ("", "tensorflow"):
        raise invalid(
            f"Illegal to change a model's platform. For model {message.name} platform was tensorflow and new "
            f"platform requested is {message.model_platform}"
        )
    policy = message.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    return ModelConfig(
        message.name,
        Path(message.base_path),
        latest=0 if kind == "all" else max(1, policy.latest.num_versions),
        specific=tuple(policy.specific.versions) if kind == "specific" else None,
        labels=dict(message.version_labels),
    )


def check_list(configs: list[ModelConfig]) -> None:
    """Refuse a list that names a model twice, or a base path that depends on where the server was started.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    seen = set()
    for config in configs:
        if config.name in seen:
            raise invalid(f"Illegal to list model {config.name} multiple times in config list")
        seen.add(config.name)
        if not config.base_path.is_absolute():
            raise invalid(
                f"Expected model {config.name} to have an absolute path or URI; got base_path()={config.base_path}"
            )
