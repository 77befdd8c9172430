"""`Repository`: all the models of a server, their labels, and the thread that watches their folders."""

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import grpc

from dafsn_server.refusal import Refusal, invalid, not_found
from dafsn_server.versions import ModelConfig, State, Versions, no_servable

_log = logging.getLogger(__name__)


class Repository:
    """Models by name.

    Args:
        load: from a version folder to what answers requests; raises `Refusal`.
        poll_seconds: pause between two looks at the folders.
    """

    def __init__(self, load: Callable[[Path], Any], poll_seconds: float = 1.0) -> None:
        self._load = load
        self._poll_seconds = poll_seconds
        self._models: dict[str, Versions] = {}
        self._configs: list[ModelConfig] = []  # the last that came, for the log
        self._served: set[str] = set()  # names in the configuration; the others only keep their ended states
        self._labels: dict[str, dict[str, int]] = {}
        self._transition = threading.Lock()  # held by whoever loads and unloads
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="versions", daemon=True)

    @property
    def served(self) -> set[str]:
        """Names of the models of the configuration."""
        return self._served

    def configure(self, configs: Iterable[ModelConfig]) -> None:
        """Serve these models and no others; returns when each newly named one has a version that answers.

        Raises:
            Refusal: a new model without a version that loads, a label on a version that does not answer. The new
                configuration stands nevertheless, as in TensorFlow Serving.
        """
        configs = list(configs)
        with self._transition:
            if configs != self._configs:
                _log.info("configured: %s", "; ".join(map(str, configs)))
                self._configs = configs
            named = {config.name for config in configs}
            fresh = []
            for config in configs:
                if config.name not in self._served:
                    fresh.append(config.name)
                if config.name in self._models:
                    self._models[config.name].config = config
                else:
                    self._models = {**self._models, config.name: Versions(config, self._load)}
            for name in self._served - named:
                self._labels.pop(name, None)
                self._models[name].retire()
            self._served = named
            failures = [failure for name in fresh if (failure := self._first_update(name))]
            if failures:
                listed = "".join(f"{{{failure}}}, " for failure in failures)
                raise Refusal(
                    grpc.StatusCode.UNKNOWN, f"{len(failures)} model(s) did not become available: {{{listed}}}"
                )
            self._set_labels(configs)

    def start_watching(self) -> None:
        """Start the thread that looks for new and vanished versions."""
        self._watcher.start()

    def close(self) -> None:
        """Stop watching and unload everything."""
        self._stopped.set()
        if self._watcher.is_alive():
            self._watcher.join()
        with self._transition:
            for versions in self._models.values():
                versions.retire()

    def using(self, spec: Any) -> AbstractContextManager[tuple[int, Any]]:
        """Return a context that yields the version number and model that a ModelSpec asks for.

        Raises:
            Refusal: no name, an unknown label; on entering, NOT_FOUND.
        """
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        number = spec.version.value if spec.HasField("version") else None
        if spec.version_label:
            number = self._labels.get(spec.name, {}).get(spec.version_label)
            if number is None:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        if spec.name not in self._models:
            raise no_servable(spec.name, number)
        return self._models[spec.name].using(number)

    def states(self, spec: Any) -> dict[int, tuple[State, Refusal | None]]:
        """Return the states of a model's versions; of one, where the spec names it. Labels are ignored.

        Raises:
            Refusal: NOT_FOUND, nothing is known of that model or version.
        """
        versions = self._models.get(spec.name)
        states = versions.snapshot() if versions else {}
        if not states:
            raise not_found(f"Could not find any versions of model {spec.name}")
        if not spec.HasField("version"):
            return states
        number = spec.version.value
        if number not in states:
            raise not_found(f"Could not find version {number} of model {spec.name}")
        return {number: states[number]}

    def _first_update(self, name: str) -> str:
        """Load a newly named model; returns what went wrong, or nothing."""
        versions = self._models[name]
        base_path = versions.config.base_path
        try:
            versions.update()
        except OSError as error:
            return f"{{name: {name}}} due to error: Could not find base path {base_path}: {error.strerror}"
        if versions.available():
            return ""
        for number, (_, failure) in sorted(versions.snapshot().items(), reverse=True):
            if failure:
                return f"{{name: {name} version: {number}}} due to error: {failure.code.name}: {failure.message}"
        return f"{{name: {name}}} due to error: No versions of servable {name} found under base path {base_path}"

    def _set_labels(self, configs: list[ModelConfig]) -> None:
        """Move every label, or none: a label on a version that does not answer leaves all where they were."""
        for config in configs:
            available = self._models[config.name].available()
            for number in config.labels.values():
                if number not in available:
                    raise Refusal(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {config.name}, "
                        "which is not currently available for inference",
                    )
        self._labels = {config.name: dict(config.labels) for config in configs}

    def _watch(self) -> None:
        while not self._stopped.wait(self._poll_seconds):
            with self._transition:
                for name in sorted(self._served):
                    versions = self._models[name]
                    try:
                        versions.update()
                    except OSError as error:
                        path = versions.config.base_path
                        _log.warning("Could not find base path %s for servable %s with error %s", path, name, error)
