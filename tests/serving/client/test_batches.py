"""Batches that travel in parts, and what the two clients make of servers that change, fail or are many."""

import socket
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest

from dafsn_client import InputError, ProtocolError, ResourceExhausted, RowError, ServerError, protocol


class Server:
    """A server of one signature, `f`: x float32 (n) to y (n), by what `answer(values, call)` makes of it."""

    def __init__(self, answer, version=lambda call: 1, sizes=None):
        self.calls = 0
        self.at_a_time = self.most = 0
        self.sizes = [] if sizes is None else sizes
        self._answer, self._version = answer, version
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        handlers = {
            "Predict": grpc.unary_unary_rpc_method_handler(self._predict),
            "GetModelMetadata": grpc.unary_unary_rpc_method_handler(self._metadata),
        }
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("tensorflow.serving.PredictionService", handlers),)
        )
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self.metadata_calls = 0

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._server.stop(None).wait()

    def _metadata(self, request, context):
        self.metadata_calls += 1
        signatures = protocol.SignatureDefMap()
        for infos, name in ((signatures.signature_def["f"].inputs, "x"), (signatures.signature_def["f"].outputs, "y")):
            infos[name].dtype = 1
            infos[name].tensor_shape.dim.add(size=-1)
        response = protocol.GetModelMetadataResponse()
        response.model_spec.version.value = self._version(self.calls)
        response.metadata["signature_def"].value = signatures.SerializeToString()
        return response.SerializeToString()

    def _predict(self, data, context):
        request = protocol.PredictRequest.FromString(data)
        values = np.frombuffer(request.inputs["x"].tensor_content, np.float32)
        with self._lock:
            self.calls += 1
            call = self.calls
            self.sizes.append(len(values))
            self.at_a_time += 1
            self.most = max(self.most, self.at_a_time)
        try:
            answer = self._answer(values, context)
        finally:
            with self._lock:
                self.at_a_time -= 1
        response = protocol.PredictResponse()
        response.model_spec.version.value = self._version(call)
        response.outputs["y"].dtype = 1
        response.outputs["y"].tensor_shape.dim.add(size=len(values))
        response.outputs["y"].float_val.append(np.float32(answer).tobytes())
        return response.SerializeToString()


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


def test_parts_that_an_older_version_answered_are_asked_again(new):
    with (
        Server(lambda values, context: values * 0 + 1, version=lambda call: 1 if call < 4 else 2) as server,
        new(server.target, max_rows=2, concurrency=1) as client,
    ):
        assert len(client.predict("f", {"x": np.zeros(10, np.float32)})["y"]) == 10
        assert server.calls == 5 + 3


def test_versions_that_never_agree_are_an_error(new):
    with (
        Server(slowly, version=lambda call: call) as server,
        new(server.target, max_rows=1) as client,
        pytest.raises(ProtocolError, match="pin a version"),
    ):
        client.predict("f", {"x": np.zeros(4, np.float32)})


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


def test_several_servers_are_asked_in_turn_past_one_that_is_down(new):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"localhost:{unused.getsockname()[1]}"
    with Server(slowly) as one, Server(slowly) as two, new([one.target, nobody, two.target]) as client:
        for _ in range(20):
            client.predict("f", {"x": [100.0]})
            time.sleep(0.01)
        assert min(one.calls, two.calls) >= 5


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "no address to call"),
        (["a b:x", "c:2"], "'a b:x' is not of the form host:port"),
        (["127.0.0.1:1", "no-such-host.invalid:1"], "'no-such-host.invalid:1' cannot be resolved"),
    ],
)
def test_addresses_that_are_none(new, targets, message):
    with pytest.raises(InputError, match=message):
        new(targets)


@pytest.mark.parametrize("options", [{"max_rows": 0}, {"concurrency": 0}, {"max_image_side": 0}])
def test_numbers_below_one(new, options):
    with pytest.raises(InputError, match="must be at least 1"):
        new("127.0.0.1:1", **options)
