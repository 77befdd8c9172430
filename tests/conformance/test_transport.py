"""Deadlines, cancellation, message sizes: what gRPC and the server make of them."""

import time

import grpc
import pytest
import tensorflow as tf
from protocol import PREDICTION, Asker, predict_request, status_of, unlimited


def turns(count):
    return tf.make_tensor_proto([count], tf.int64)


def test_a_deadline_ends_a_call(toy):
    started = time.monotonic()
    code, _ = status_of(lambda: toy.predict("slow", turns=turns(10**7), timeout=0.5))
    assert code == "DEADLINE_EXCEEDED"
    assert time.monotonic() - started < 5
    assert toy.predict(texts=["a"]).outputs


def test_a_cancelled_call_leaves_the_server_answering(toy):
    call = toy.start_predict("slow", turns=turns(300_000))
    time.sleep(0.2)
    assert call.cancel()
    assert call.code() == grpc.StatusCode.CANCELLED
    assert toy.predict(texts=["a"]).outputs


def test_an_answer_over_a_clients_limit_is_the_clients_error(toy, target):
    texts = ["a"] * 100_000  # 100,000 x 3 x 4 floats of word features
    code, details = status_of(lambda: toy.predict(texts=texts))
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in details
    with unlimited(target) as channel:
        outputs = Asker(channel).predict(texts=texts, output_filter=["word_features"]).outputs
    assert len(outputs["word_features"].float_val) == 1_200_000


def test_a_request_of_many_megabytes_is_taken(toy):
    image = bytes(20 << 20)
    outputs = toy.predict("encode_image", images=[image], output_filter=["image_features"]).outputs
    assert outputs["image_features"].float_val[0] == 20 << 20


@pytest.mark.parametrize("metadata", [(("x-api-key", "secret"),), (("trace-bin", b"\0\1"),)])
def test_headers_that_the_server_does_not_know_are_ignored(toy, metadata):
    stub = toy.channel.unary_unary(f"{PREDICTION}Predict", request_serializer=lambda m: m.SerializeToString())
    assert stub(predict_request(texts=["a"]), metadata=metadata, timeout=30)
