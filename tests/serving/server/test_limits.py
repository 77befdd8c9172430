"""What callers may take: threads, memory, and what a fault of the server tells them."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from wire import PREDICTION, answered, caller, forever, status_of, until

from dafsn_server import services
from dafsn_server.admission import Admission
from dafsn_server.refusal import Refusal
from dafsn_server.server import Server


def test_admission_counts_and_closes():
    admission = Admission(2)
    with admission.request(), admission.request():
        with pytest.raises(Refusal, match=r"^Server Threadpool Exhausted$") as caught, admission.request():
            pass
        assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert admission.wait_idle(0.01) == 2
    with admission.request():
        admission.close()
        with pytest.raises(Refusal, match="shutting down"), admission.request():
            pass
    assert admission.wait_idle(0) == 0


def test_one_request_too_many_is_refused_and_does_not_wait(toy_versions):
    with (
        Server({"dafsn": toy_versions}, port=0, host="127.0.0.1", max_threads=2) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ThreadPoolExecutor(40) as threads,
    ):
        predict = caller(channel)
        busy = [threads.submit(status_of, lambda: predict("slow", turns=forever(), timeout=2)) for _ in range(2)]
        time.sleep(0.3)
        start = time.monotonic()
        refused = [threads.submit(status_of, lambda: predict(texts=["a"])) for _ in range(38)]
        assert {call.result() for call in refused} == {("RESOURCE_EXHAUSTED", "Server Threadpool Exhausted")}
        assert time.monotonic() - start < 1.5
        assert {call.result()[0] for call in busy} == {"DEADLINE_EXCEEDED"}
        until(lambda: answered(lambda: predict(texts=["a"])))


def test_a_fault_of_the_server_is_logged_and_not_told(toy_versions, monkeypatch, caplog):
    with (
        Server({"dafsn": toy_versions}, port=0, host="127.0.0.1") as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        monkeypatch.setattr(services, "predict", lambda *_, **__: {}["secret of the server"])
        assert status_of(lambda: caller(channel)(texts=["a"])) == (
            "INTERNAL",
            "The server failed; its log says why.",
        )
        assert "secret of the server" in caplog.text
        monkeypatch.undo()
        assert caller(channel)(texts=["a"]).model_spec.version.value == 2


def test_inputs_together_may_not_declare_more_than_one_alone(target):
    zeros = tensor_pb2.TensorProto(dtype=1, tensor_shape=tf.TensorShape([3 << 20]).as_proto())  # 12 MiB
    with grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)]) as channel:
        predict = caller(channel)
        one = tensor_pb2.TensorProto(dtype=1, float_val=[1.0])
        assert predict("two", a=zeros, b=one).outputs["sum"].float_val[0] == 1
        code, details = status_of(lambda: predict("two", a=zeros, b=zeros))
        assert (code, details) == ("INVALID_ARGUMENT", "tensor parsing error: b")


def test_bytes_of_any_kind_are_refused_or_answered(target):
    generator = random.Random(7)
    with grpc.insecure_channel(target) as channel:
        stub = channel.unary_unary(f"{PREDICTION}Predict")
        codes = set()
        for _ in range(200):
            try:
                stub(generator.randbytes(generator.randrange(60)), timeout=10)
                codes.add("OK")
            except grpc.RpcError as error:
                codes.add(error.code().name)
        assert codes <= {"INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "OK"}
        assert caller(channel)(texts=["a"]).model_spec.version.value == 2


def test_values_as_bytes_when_asked(toy_versions):
    with (
        Server({"dafsn": toy_versions}, port=0, host="127.0.0.1", tensor_content=True) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        outputs = caller(channel)("search", texts=["a"]).outputs
        assert outputs["scores"].tensor_content == np.array([0.5, 0.25], np.float32).tobytes()
        assert not outputs["scores"].float_val
        assert outputs["ids"].tensor_content == b"\x05\x05a.jpgb.jpg"
        parsed = tf.io.parse_tensor(outputs["ids"].SerializeToString(), tf.string)
        assert parsed.numpy().tolist() == [[b"a.jpg", b"b.jpg"]]
