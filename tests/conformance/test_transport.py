"""Deadlines, cancellation, message sizes, a full server and none: what gRPC and the server make of them.

The server's own text of a passed deadline, "Timed out waiting for notification", reaches no client of gRPC: the
client's deadline passes first.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from protocol import Asker, unlimited
from wire import PREDICTION, answered, forever, predict_request, status_of, turns, until


def test_a_deadline_ends_a_call(toy):
    started = time.monotonic()
    code, _ = status_of(lambda: toy.predict("slow", turns=forever(), timeout=0.5))
    assert code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - started < 5
    assert toy.predict(texts=["a"]).outputs


def test_a_cancelled_call_leaves_the_server_answering(toy):
    call = toy.start_predict("slow", turns=turns(300_000))
    time.sleep(0.2)
    assert call.cancel()
    assert (call.code(), call.details()) == (grpc.StatusCode.CANCELLED, "Locally cancelled by application!")
    assert toy.predict(texts=["a"]).outputs


def test_an_answer_over_a_clients_limit_is_the_clients_error(toy, target):
    texts = ["a"] * 100_000  # 100,000 x 3 x 4 floats of word features
    code, details = status_of(lambda: toy.predict(texts=texts))
    assert code == "RESOURCE_EXHAUSTED"
    assert "eceived message larger than max" in details
    with unlimited(target) as channel:
        outputs = Asker(channel).predict(texts=texts, output_filter=["word_features"]).outputs
    assert len(outputs["word_features"].float_val) == 1_200_000


def test_a_request_of_many_megabytes_is_taken(toy):
    image = bytes(20 << 20)
    outputs = toy.predict("encode_image", images=[image], output_filter=["image_features"]).outputs
    assert outputs["image_features"].float_val[0] == 20 << 20


@pytest.mark.parametrize("metadata", [(("x-api-key", "secret"),), (("trace-bin", b"\0\1"),)])
def test_headers_that_the_server_does_not_know_are_ignored(server, model, metadata):
    call = server.channel.unary_unary(f"{PREDICTION}Predict", request_serializer=lambda m: m.SerializeToString())
    request = predict_request("nothing", name=model)
    assert status_of(lambda: call(request, metadata=metadata, timeout=30))[0] == "FAILED_PRECONDITION"


def test_one_request_more_than_there_are_threads_is_refused(toy, threads):
    with ThreadPoolExecutor(threads + 1) as callers:
        asked = [
            callers.submit(status_of, lambda: toy.predict("slow", turns=forever(), timeout=3))
            for _ in range(threads + 1)
        ]
        statuses = [call.result() for call in asked]
    assert ("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted") in statuses
    assert {code for code, _ in statuses} == {"RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
    until(lambda: answered(lambda: toy.predict(texts=["a"])))


def test_no_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            code, details = status_of(lambda: Asker(channel).status())
            assert code == "UNAVAILABLE"
            assert "failed to connect to all addresses" in details
            waiting = channel.unary_unary(f"{PREDICTION}Predict")
            found = status_of(lambda: waiting(b"", timeout=0.5, wait_for_ready=True))
            assert found[0] == "DEADLINE_EXCEEDED"
