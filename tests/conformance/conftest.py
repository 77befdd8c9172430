"""The server under test: an embedded one, or any server of the protocol that the environment names (README.md)."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from toy_model import write_version

sys.path.insert(0, str(Path(__file__).parents[1] / "serving" / "server"))
from certificates import Authority, Pair, ssl_config
from protocol import Asker
from wire import answered

from dafsn_server.batching.parameters import read_batching_parameters
from dafsn_server.process import running
from dafsn_server.tls import read_credentials

_THREADS = 12  # of the embedded server; more than this suite asks at a time, but for the test that wants them all


@dataclass(frozen=True)
class Served:
    """Models in a folder: where this machine and where the server sees it."""

    here: Path
    there: Path

    def config(self, name: str, **settings) -> dict:
        """Return keyword arguments of `Asker.reload` for a model of the folder."""
        return {"name": name, "base_path": str(self.there / name), **settings}


@dataclass(frozen=True)
class Secured:
    """A server that speaks TLS, and what its clients need."""

    target: str
    authority: str  # PEM text
    client: Pair | None  # where clients must show a certificate


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The folder with `toy` (versions 1 and 2: answers twice as large) and `swap` (version 1)."""
    if folders := os.environ.get("CONFORMANCE_MODELS"):
        first, _, second = folders.partition(":")
        here, there = Path(first).absolute(), Path(second or first)
    elif os.environ.get("CONFORMANCE_TARGET"):
        pytest.skip("needs MODELS=HERE[:THERE], a folder that the server sees too, and a server of its own")
    else:
        here = there = tmp_path_factory.mktemp("models")
    # A server that the suite asked before watches these folders: it must see none of them half written or half gone.
    aside = Path(tempfile.mkdtemp(prefix=".suite-", dir=here))
    write_version(aside / "toy", 1, 1.0)
    write_version(aside / "toy", 2, 2.0)
    shutil.copytree(aside / "toy" / "1", aside / "swap" / "1")
    for name in ("toy", "swap", "tiny", "broken"):
        if (here / name).exists():
            (here / name).rename(aside / f"old-{name}")
        if (aside / name).exists():
            (aside / name).rename(here / name)
    shutil.rmtree(aside)
    return Served(here, there)


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of the server."""
    if address := os.environ.get("CONFORMANCE_TARGET"):
        yield address
        return
    folder = request.getfixturevalue("served").here
    with running({"toy": folder / "toy"}, arguments=["--grpc-max-threads", str(_THREADS)]) as address:
        yield address


@pytest.fixture(scope="session")
def threads() -> int:
    """How many requests the server computes at a time."""
    if number := os.environ.get("CONFORMANCE_THREADS"):
        return int(number)
    if os.environ.get("CONFORMANCE_TARGET"):
        pytest.skip("needs THREADS=N, the server's --grpc_max_threads")
    return _THREADS


@pytest.fixture(scope="session")
def channel(target: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(target) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=30)
        except grpc.FutureTimeoutError:
            pytest.fail(f"nothing answers at {target} in plain text", pytrace=False)
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


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, server: Asker) -> str:
    """Name of a model that the server serves: the suite's own, or one that was there before."""
    if os.environ.get("CONFORMANCE_TARGET") and not os.environ.get("CONFORMANCE_MODELS"):
        name = os.environ.get("CONFORMANCE_MODEL") or "dafsn"
        if not answered(lambda: server.status(name)):
            pytest.fail(f"the server has no model {name}: name one that it serves, MODEL=name", pytrace=False)
        return name
    request.getfixturevalue("toy")
    return "toy"


@pytest.fixture(scope="module")
def batching(request: pytest.FixtureRequest) -> Iterator[Asker]:
    """A server of `toy` that batches as batching.config says."""
    if address := os.environ.get("CONFORMANCE_BATCHING"):
        if not os.environ.get("CONFORMANCE_MODELS"):
            pytest.skip("needs MODELS=HERE[:THERE], a folder that the server sees too, and a server of its own")
        served = request.getfixturevalue("served")
        with grpc.insecure_channel(address) as channel:
            asker = Asker(channel)
            asker.reload(served.config("toy"))
            yield asker
        return
    if os.environ.get("CONFORMANCE_TARGET"):
        pytest.skip("needs BATCHING=host:port, a server that was started with batching.config")
    parameters = read_batching_parameters(Path(__file__).with_name("batching.config"))
    with _embedded(request, batching=parameters) as address, grpc.insecure_channel(address) as channel:
        yield Asker(channel)


@pytest.fixture(scope="module")
def secured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A server that speaks TLS; the embedded one asks its clients for certificates."""
    if address := os.environ.get("CONFORMANCE_TLS"):
        folder = Path(os.environ.get("CONFORMANCE_CERTIFICATES") or ".")
        key, certificate = folder / "client.key", folder / "client.crt"
        client = Pair(key.read_text(), certificate.read_text()) if key.exists() else None
        yield Secured(address, (folder / "ca.crt").read_text(), client)
        return
    if os.environ.get("CONFORMANCE_TARGET"):
        pytest.skip("needs TLS=host:port, a server that speaks it, and CERTIFICATES=folder")
    authority = Authority()
    pair = authority.pair("server")
    config = ssl_config(
        tmp_path_factory.mktemp("tls"),
        server_key=pair.key,
        server_cert=pair.certificate,
        custom_ca=authority.certificate,
        client_verify=True,
    )
    with _embedded(request, credentials=read_credentials(config)) as address:
        yield Secured(address, authority.certificate, authority.pair("client"))


@contextmanager
def _embedded(request: pytest.FixtureRequest, **settings) -> Iterator[str]:
    """Yield the address of a server of `toy` in this process: a second process would take seconds to start."""
    from dafsn_server.server import Server

    folder = request.getfixturevalue("served").here
    with Server({"toy": folder / "toy"}, port=0, host="127.0.0.1", **settings) as server:
        yield f"127.0.0.1:{server.port}"
