"""The server under test: an embedded one, or any server of the protocol that the environment names.

CONFORMANCE_TARGET    host:port of its gRPC port; without it the embedded server is started
CONFORMANCE_MODELS    HERE[:THERE], a folder of this machine in which the suite writes models, and where the server
                      sees it. The suite then reloads the server's configuration: give it a server of its own
CONFORMANCE_MODEL     without that folder: name of an export of DAFSN that the server serves already
CONFORMANCE_BATCHING  host:port of a server that batches as serving/deploy/config/batching.config says, with the
                      same folder; without TARGET an embedded one
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from protocol import Asker
from toy_model import write_version

from dafsn_server.process import running


@dataclass(frozen=True)
class Served:
    """Models in a folder: where this machine and where the server sees it."""

    here: Path
    there: Path

    def config(self, name: str, **settings) -> dict:
        """Return keyword arguments of `Asker.reload` for a model of the folder."""
        return {"name": name, "base_path": str(self.there / name), **settings}


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The folder with `toy` (versions 1 and 2: answers twice as large) and `swap` (version 1)."""
    if not os.environ.get("CONFORMANCE_TARGET"):
        here = there = tmp_path_factory.mktemp("models")
    elif folders := os.environ.get("CONFORMANCE_MODELS"):
        first, _, second = folders.partition(":")
        here, there = Path(first).absolute(), Path(second or first)
        for name in ("toy", "swap", "tiny"):
            shutil.rmtree(here / name, ignore_errors=True)
    else:
        pytest.skip("needs MODELS=HERE[:THERE], a folder that the server sees too, and a server of its own")
    write_version(here / "toy", 1, 1.0)
    write_version(here / "toy", 2, 2.0)
    shutil.copytree(here / "toy" / "1", here / "swap" / "1")
    return Served(here, there)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of the server."""
    if address := os.environ.get("CONFORMANCE_TARGET"):
        yield address
        return
    folder = request.getfixturevalue("served").here
    with running({"toy": folder / "toy"}) as address:
        yield address


@pytest.fixture(scope="session")
def channel(target: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target) as channel:
        yield channel


@pytest.fixture(scope="session")
def server(channel: grpc.Channel) -> Asker:
    """The server's methods, whatever it serves."""
    return Asker(channel)


@pytest.fixture(scope="module")
def toy(server: Asker, served: Served) -> Asker:
    """The server with `toy` (version 2) and `swap`, and nothing else."""
    server.reload(served.config("toy"), served.config("swap"))
    return server
