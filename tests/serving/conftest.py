"""The toy model, exported once, and one embedded server over it for the whole folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_model import write_version

from dafsn_client import Client
from dafsn_server.process import running


@pytest.fixture(scope="session")
def toy_versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with versions 1 (scale 1) and 2 (scale 2)."""
    folder = tmp_path_factory.mktemp("toy")
    write_version(folder, 1, 1.0)
    write_version(folder, 2, 2.0)
    return folder


@pytest.fixture(scope="session")
def target(toy_versions: Path) -> Iterator[str]:
    """Address of a server of `dafsn`, version 2 of the toy."""
    with running({"dafsn": toy_versions}) as address:
        yield address


@pytest.fixture(scope="session")
def client(target: str) -> Iterator[Client]:
    with Client(target) as client:
        yield client
