"""The folder serving/deploy as data: flags, mounts and manifests of both deployments in one form."""

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).resolve().parents[3] / "serving" / "deploy"
CONFIG = DEPLOY / "config"

Flags = dict[str, str]


def load(path: str) -> Any:
    """Return the one document of a YAML file."""
    return yaml.safe_load((DEPLOY / path).read_text("utf-8"))


def manifests() -> dict[str, dict[str, Any]]:
    """Return the Kubernetes manifests by kind."""
    found = [load(str(path.relative_to(DEPLOY))) for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))]
    return {manifest["kind"]: manifest for manifest in found}


def container() -> dict[str, Any]:
    """Return the Deployment's one container."""
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    return container


def interpolate(text: str, environment: dict[str, str]) -> str:
    """Return a compose file's text with its `${NAME:-default}` and `${NAME:?message}` replaced."""

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        return environment.get(name) or default or ""

    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", value, text)


def compose(**environment: str) -> dict[str, Any]:
    """Return the compose file as it reads under an environment."""
    return yaml.safe_load(interpolate((DEPLOY / "compose.yaml").read_text("utf-8"), environment))


def flags(arguments: list[str]) -> Flags:
    """Return the server's flags by name; the server refuses anything that is no flag, and so does this."""
    pairs = [re.fullmatch(r"--([a-z_]+)=(.+)", argument) for argument in arguments]
    assert all(pairs), [argument for argument, pair in zip(arguments, pairs, strict=True) if pair is None]
    named = {pair[1]: pair[2] for pair in pairs if pair}
    assert len(named) == len(arguments), "a flag is given twice"
    return named


def both_flags(**environment: str) -> dict[str, Flags]:
    """Return the flags of both deployments by its file."""
    return {
        "compose.yaml": flags(shlex.split(compose(**environment)["services"]["serving"]["command"])),
        "deployment.yaml": flags(container()["args"]),
    }
