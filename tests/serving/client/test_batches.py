"""Batches that travel in parts, and metadata that grow old."""

import time

import grpc
import numpy as np
import pytest
from fake_server import FLOAT64, Server

from dafsn_client import InputError, InvalidInput, ResourceExhausted, RowError, ServerError
from dafsn_server.batching.parameters import BatchingParameters
from dafsn_server.server import Server as EmbeddedServer


def slowly(values, context):
    time.sleep(0.02 if values[0] < 50 else 0.0)  # the first parts answer last
    return values * 2


def test_a_big_batch_travels_in_parts_and_comes_back_in_order(new):
    values = np.arange(100, dtype=np.float32)
    with Server(slowly) as server, new(server.target, max_rows=8, concurrency=3) as client:
        np.testing.assert_array_equal(client.predict("f", {"x": values})["y"], values * 2)
        assert sorted(server.sizes) == [4] + [8] * 12
        assert 1 < server.most <= 3


def test_metadata_are_asked_once(new):
    with Server(slowly) as server, new(server.target) as client:
        for _ in range(3):
            client.predict("f", {"x": [1.0]})
        assert (server.calls, server.metadata_calls) == (3, 1)


def test_metadata_are_asked_again_when_another_version_answers(new):
    with Server(slowly, version=lambda call: 1 if call < 2 else 2) as server, new(server.target) as client:
        for _ in range(4):
            client.predict("f", {"x": [1.0]})
        assert server.metadata_calls == 2


def test_a_signature_that_changed_is_asked_for_once_more_before_anything_is_refused(new):
    with Server() as server, new(server.target) as client:
        client.predict("f", {"x": np.zeros(1, np.float32)})
        server.dtype = FLOAT64
        assert client.predict("f", {"x": np.ones(1)})["y"].tolist() == [2.0]
        with pytest.raises(InputError, match=r"is float32\(1\); it takes float64\(n\)"):
            client.predict("f", {"x": np.zeros(1, np.float32)})
        assert server.metadata_calls == 3


def at_most(rows):
    """A server that batches and takes no more rows in one request."""

    def answer(values, context):
        if len(values) > rows:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Task size {len(values)} is larger than maximum input batch size {rows}",
            )
        return values * 2

    return answer


def test_the_servers_limit_is_learned_from_its_refusal(new):
    values = np.arange(20, dtype=np.float32)
    with Server(at_most(3)) as server, new(server.target, concurrency=1) as client:
        assert client.predict("f", {"x": values})["y"].tolist() == (2 * values).tolist()
        assert server.sizes == [20, 3, 3, 3, 3, 3, 3, 2]
        client.predict("f", {"x": values[:6]})
        assert server.sizes[8:] == [3, 3]


def test_a_limit_that_holds_for_nothing_is_told(new):
    def confused(values, context):
        context.abort(
            grpc.StatusCode.INVALID_ARGUMENT, f"Task size {len(values)} is larger than maximum input batch size 9"
        )

    with Server(confused) as server, new(server.target, max_rows=4) as client:
        with pytest.raises(InvalidInput, match=r"at most 9 rows in a request: .*`max_rows=9`"):
            client.predict("f", {"x": np.zeros(8, np.float32)})
        assert set(server.sizes) == {4}


def test_an_embedded_servers_limit_is_learned(new, toy_versions):
    batching = BatchingParameters(max_batch_size=4, batch_timeout_micros=0, num_batch_threads=2)
    with (
        EmbeddedServer({"dafsn": toy_versions}, port=0, host="127.0.0.1", batching=batching) as server,
        new(f"127.0.0.1:{server.port}") as client,
    ):
        assert client.predict("dense", {"x": np.ones((30, 2), np.float32)})["y"][:, 0].tolist() == [22.0] * 30


def test_a_part_that_fails_names_its_rows(new):
    def fails(values, context):
        if 5 in values:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room")
        return values

    with (
        Server(fails) as server,
        new(server.target, max_rows=2) as client,
        pytest.raises(ResourceExhausted, match=r"rows 4 to 5 of 10: no room"),
    ):
        client.predict("f", {"x": np.arange(10, dtype=np.float32)})


def test_failed_rows_are_counted_over_the_whole_batch(new, target):
    with new(target, max_rows=2) as client, pytest.raises(RowError, match="row 3") as caught:
        client.encode_text(["a", "b", "c", "", "e"])
    assert caught.value.rows == {3: 1}
    assert caught.value.answers.sentence_features[:, 0].tolist() == [2, 2, 2, 0, 2]


def test_one_deadline_holds_for_all_parts(new):
    def late(values, context):
        time.sleep(0.3)
        return values

    started = time.monotonic()
    with (
        Server(late) as server,
        new(server.target, max_rows=1, concurrency=1, timeout=1.0) as client,
        pytest.raises(ServerError, match="DEADLINE_EXCEEDED"),
    ):
        client.predict("f", {"x": np.zeros(20, np.float32)})
    assert time.monotonic() - started < 4
