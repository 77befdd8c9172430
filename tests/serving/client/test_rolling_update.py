"""One batch, one version: while versions are exchanged, and where servers of a list differ."""

import shutil
import time

import numpy as np
import pytest
from fake_server import Server

from dafsn_client import NotFound, ProtocolError
from dafsn_server.server import Server as EmbeddedServer


@pytest.fixture(scope="module")
def old_and_new(toy_versions, tmp_path_factory):
    """Addresses of two embedded servers, of version 1 and of version 2: a rolling update half-way."""
    folder = tmp_path_factory.mktemp("old")
    shutil.copytree(toy_versions / "1", folder / "1")
    with (
        EmbeddedServer({"dafsn": folder}, port=0, host="127.0.0.1") as old,
        EmbeddedServer({"dafsn": toy_versions}, port=0, host="127.0.0.1") as new,
    ):
        yield [f"127.0.0.1:{server.port}" for server in (old, new)]


def test_half_way_through_a_rolling_update_each_batch_is_of_one_version(new, old_and_new):
    with new(old_and_new) as client:
        for _ in range(10):
            found = client.predict("dense", {"x": np.ones((320, 2), np.float32)})["y"]
            assert set(found[:, 0].tolist()) == {22.0}  # version 2's; version 1 answers 11


def test_a_pinned_version_stays_the_one(new, old_and_new):
    with new(old_and_new[0], version=1) as client:
        assert set(client.predict("dense", {"x": np.ones((100, 2), np.float32)})["y"][:, 0].tolist()) == {11.0}
    with new(old_and_new[0], version=2) as client, pytest.raises(NotFound, match=r"Specific\(dafsn, 2\)"):
        client.predict("dense", {"x": np.ones((100, 2), np.float32)})


def test_a_pinned_version_is_found_where_one_of_several_servers_has_it(new, old_and_new):
    with new(old_and_new, version=2, retries=0) as client:
        for _ in range(6):
            assert set(client.predict("dense", {"x": np.ones((320, 2), np.float32)})["y"][:, 0].tolist()) == {22.0}
            assert [state.version for state in client.status()] == [2]
    with new(old_and_new, version=3) as client, pytest.raises(NotFound, match=r"Specific\(dafsn, 3\)"):
        client.predict("dense", {"x": np.ones((2, 2), np.float32)})


def test_one_address_that_lacks_a_pinned_version_is_asked_once(new):
    with Server(missing=2) as server, new(server.target, version=2) as client:
        with pytest.raises(NotFound):
            client.predict("f", {"x": [1.0]})
        assert server.calls == 1


def test_parts_that_an_older_version_answered_are_asked_again_by_number(new):
    with (
        Server(version=lambda call: 1 if call < 4 else 2) as server,
        new(server.target, max_rows=2, concurrency=1) as client,
    ):
        assert len(client.predict("f", {"x": np.zeros(10, np.float32)})["y"]) == 10
        assert server.versions == [None] * 5 + [2] * 3


def test_one_new_server_among_old_ones_answers_all_parts(new):
    with (
        Server(missing=2) as one,
        Server(missing=2) as two,
        Server(version=lambda call: 2) as newest,
        new([one.target, two.target, newest.target], max_rows=1, concurrency=3) as client,
    ):
        assert len(client.predict("f", {"x": np.zeros(40, np.float32)})["y"]) == 40
        assert newest.calls >= 40


def test_a_version_that_is_gone_meanwhile_gives_way(new):
    """A roll-back: the newest version answers once and is unloaded."""
    with (
        Server(version=lambda call: 2 if call == 1 else 1, missing=2) as server,
        new(server.target, max_rows=2, concurrency=1) as client,
    ):
        start = time.monotonic()
        assert len(client.predict("f", {"x": np.zeros(10, np.float32)})["y"]) == 10
        assert time.monotonic() - start < 3
        assert server.versions[-5:] == [None] * 5


def test_versions_that_never_agree_are_an_error(new):
    with (
        Server(version=lambda call: call) as server,
        new(server.target, max_rows=1) as client,
        pytest.raises(ProtocolError, match="pin a version"),
    ):
        client.predict("f", {"x": np.zeros(4, np.float32)})
