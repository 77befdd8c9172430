"""The versions of one model: which there are, which are wanted, and the swap from old to new."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import grpc

from dafsn_server.refusal import Refusal, not_found

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelConfig:
    """A model that is to be served."""

    name: str
    base_path: Path  # holds version folders named by integers
    latest: int = 1  # how many of the highest versions; 0 serves all
    specific: tuple[int, ...] | None = None  # these versions and no others
    labels: dict[str, int] = field(default_factory=dict)  # label -> version

    def __str__(self) -> str:
        """Return it as the log tells of it."""
        newest = "the newest version" if self.latest == 1 else f"the newest {self.latest} versions"
        versions = newest if self.latest else "all versions"
        if self.specific is not None:
            versions = f"versions {', '.join(map(str, self.specific))}"
        labels = "".join(f", {label} is {number}" for label, number in self.labels.items())
        return f"{self.name}: {versions} of {self.base_path}{labels}"


Models = Mapping[str, Path] | Sequence[ModelConfig]  # name -> base path, or with policies and labels


def configs_of(models: Models) -> list[ModelConfig]:
    """Return the configurations of models, base paths made absolute where they were given alone."""
    if isinstance(models, Mapping):
        return [ModelConfig(name, path.absolute()) for name, path in models.items()]
    return list(models)


class State(IntEnum):
    """`ModelVersionStatus.State`, by number."""

    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Version:
    """One version, loaded or not; versions that ended stay listed."""

    state: State = State.LOADING
    model: Any = None  # what the loader returned, while it is AVAILABLE or UNLOADING
    users: int = 0  # requests in flight
    failure: Refusal | None = None  # why loading failed


def discover(base_path: Path) -> dict[int, Path]:
    """Return the version folders under a base path: names that are integers ("7", "00007"); all else is ignored.

    Raises:
        OSError: the base path is not there.
    """
    folders = sorted(entry for entry in base_path.iterdir() if entry.name.isascii() and entry.name.isdecimal())
    return {int(folder.name): folder for folder in folders if int(folder.name) < 2**63 and folder.is_dir()}


def wanted(config: ModelConfig, found: dict[int, Path]) -> set[int]:
    """Return the versions, of those found, that the configuration asks for."""
    if config.specific is not None:
        return set(config.specific) & set(found)
    return set(sorted(found)[-config.latest :]) if config.latest else set(found)


class Versions:
    """Keeps a model's versions as its configuration and its folder say; new ones load before old ones unload.

    `update` and `retire` are for one thread at a time; everything else is safe in any thread.
    """

    def __init__(self, config: ModelConfig, load: Callable[[Path], Any]) -> None:
        self.config = config
        self._load = load
        self._versions: dict[int, Version] = {}
        self._changed = threading.Condition()

    def update(self) -> None:
        """Look at the folder and load, then unload, what has changed.

        A version that failed to load is not tried again while its folder stays; the one before it keeps serving.

        Raises:
            OSError: the base path is not there; nothing was changed.
        """
        found = discover(self.config.base_path)
        aspired = wanted(self.config, found)
        for number, version in self._versions.items():
            if number not in found:
                version.failure = None  # a folder that comes back is a new one
        for number in sorted(aspired, reverse=True):
            version = self._versions.get(number)
            if version is None or (version.state == State.END and version.failure is None):
                self._start(number, found[number])
        if not aspired or aspired & set(self.available()):
            for number in sorted(set(self.available()) - aspired):
                self._end(number)

    def retire(self) -> None:
        """Unload every version, each when its last request is answered."""
        for number in self.available():
            self._end(number)

    def available(self) -> list[int]:
        """Return the versions that answer requests, ascending."""
        with self._changed:
            return sorted(number for number, version in self._versions.items() if version.state == State.AVAILABLE)

    def snapshot(self) -> dict[int, tuple[State, Refusal | None]]:
        """Return every version ever seen, with its state and why it failed."""
        with self._changed:
            return {number: (version.state, version.failure) for number, version in self._versions.items()}

    @contextmanager
    def using(self, number: int | None) -> Iterator[tuple[int, Any]]:
        """Yield a version's number and model (None: the highest); it is not unloaded before the block is left.

        Raises:
            Refusal: NOT_FOUND, that version does not answer requests.
        """
        with self._changed:
            available = [key for key, version in self._versions.items() if version.state == State.AVAILABLE]
            chosen = max(available, default=None) if number is None else number
            if chosen is None or chosen not in available:
                raise no_servable(self.config.name, number)
            version = self._versions[chosen]
            version.users += 1
        try:
            yield chosen, version.model
        finally:
            with self._changed:
                version.users -= 1
                self._changed.notify_all()

    def _start(self, number: int, folder: Path) -> None:
        version = Version()
        with self._changed:
            self._versions[number] = version
        _log.info("loading version %d of model %s from %s", number, self.config.name, folder)
        try:
            version.model = self._load(folder)
        except Exception as error:  # whatever a broken folder raises, the other versions keep serving
            failure = error if isinstance(error, Refusal) else Refusal(grpc.StatusCode.UNKNOWN, str(error))
            _log.error("version %d of model %s failed to load: %s", number, self.config.name, failure.message)
            with self._changed:
                version.state, version.failure = State.END, failure
        else:
            with self._changed:
                version.state = State.AVAILABLE
            _log.info("version %d of model %s is available", number, self.config.name)

    def _end(self, number: int) -> None:
        version = self._versions[number]
        with self._changed:
            version.state = State.UNLOADING
            self._changed.wait_for(lambda: version.users == 0)
        version.model.close()
        with self._changed:
            version.state, version.model = State.END, None
        _log.info("version %d of model %s is unloaded", number, self.config.name)


def no_servable(name: str, number: int | None) -> Refusal:
    """Return TensorFlow Serving's NOT_FOUND for a model, or one version of it, that does not answer requests."""
    asked = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    return not_found(f"Servable not found for request: {asked}")
