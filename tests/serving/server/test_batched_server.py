"""Batching over the wire with other parameters than tests/conformance has, and what it leaves in the metrics."""

import shutil
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from prometheus_client.parser import text_string_to_metric_families
from tensorflow_serving.apis import prediction_log_pb2
from wire import caller, forever, status_of, until

from dafsn_client import Client
from dafsn_server.batching.parameters import BatchingParameters
from dafsn_server.server import Server
from dafsn_tf.errors import ServingError

# Nobody waits five seconds: a batch of four rows is full before.
FULL_AT_FOUR = BatchingParameters(max_batch_size=4, batch_timeout_micros=5_000_000, num_batch_threads=2)


def serving(base_path, batching, **options):
    return Server({"dafsn": base_path}, port=0, host="127.0.0.1", batching=batching, **options)


@pytest.fixture(scope="module")
def server(toy_versions):
    with serving(toy_versions, FULL_AT_FOUR, monitoring_port=0) as server:
        yield server


@pytest.fixture(scope="module")
def predict(server):
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield caller(channel)


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def wide(predict, rows, width=2, **options):
    return lambda: predict("wide", x=np.full((rows, width), rows, np.float32), **options)


def test_no_rows_are_answered_at_once(predict):
    assert tf.make_ndarray(predict("wide", x=np.zeros((0, 2), np.float32)).outputs["x"]).shape == (0, 2)


def test_padding(toy_versions):
    batching = BatchingParameters(
        max_batch_size=4, batch_timeout_micros=5_000_000, pad_variable_length_inputs=True, allowed_batch_sizes=(4,)
    )
    with serving(toy_versions, batching) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        one, three = at_once(wide(caller(channel), 1, 3), wide(caller(channel), 3, 1))
    assert tf.make_ndarray(one.outputs["x"]).tolist() == [[1, 1, 1]]
    assert tf.make_ndarray(three.outputs["x"]).tolist() == [[3, 3, 3]] * 3


def test_splitting_joins_the_answers(toy_versions):
    batching = BatchingParameters(
        max_batch_size=10, max_execution_batch_size=4, enable_large_batch_splitting=True, allowed_batch_sizes=(2, 4)
    )
    with serving(toy_versions, batching) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        predict = caller(channel)
        assert list(predict("wide", x=np.ones((7, 2), np.float32)).outputs["batch"].int_val) == [4] * 7
        response = predict("wide", x=np.arange(18, dtype=np.float32).reshape(9, 2))
        assert tf.make_ndarray(response.outputs["x"]).tolist() == np.arange(18).reshape(9, 2).tolist()
        assert list(response.outputs["batch"].int_val) == [4] * 8 + [2]
        code, details = status_of(lambda: predict("wide", x=np.ones((11, 2), np.float32)))
        assert (code, details) == ("INVALID_ARGUMENT", "Task size 11 is larger than maximum input batch size 10")


def samples(server):
    with urllib.request.urlopen(
        f"http://127.0.0.1:{server.monitoring_port}/monitoring/prometheus/metrics", timeout=5
    ) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    # The parser ends the names of counters with `_total`, whatever the text says.
    return {
        (sample.name.removesuffix("_total"), *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_becomes_of_a_request_that_waited_too_long(toy_versions):
    """Its caller went away at the deadline; the metrics tell what the server made of it."""
    batching = BatchingParameters(max_batch_size=1, max_enqueued_batches=1, num_batch_threads=1)
    with (
        serving(toy_versions, batching, monitoring_port=0) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ThreadPoolExecutor(1) as threads,
    ):
        predict = caller(channel)
        running = threads.submit(status_of, lambda: predict("slow", turns=forever(), timeout=2))
        until(lambda: samples(server).get((":tensorflow:serving:batching_session:wrapped_run_count",)) == 1)
        assert status_of(lambda: predict("slow", turns=forever(), timeout=0.5))[0] == "DEADLINE_EXCEEDED"
        assert running.result()[0] == "DEADLINE_EXCEEDED"
        counted = (":tensorflow:serving:request_count", ("model_name", "dafsn"), ("status", "RESOURCE_EXHAUSTED"))
        until(lambda: samples(server).get(counted) == 1)


def test_metrics(server, predict):
    before = samples(server)
    at_once(wide(predict, 1), wide(predict, 3))
    status_of(lambda: predict(name="cats"))
    after = samples(server)

    def grown(name, **labels):
        key = (f":tensorflow:serving:{name}", *sorted(labels.items()))
        return after[key] - before.get(key, 0)

    predicted = {"model_name": "dafsn", "API": "Predict"}
    assert grown("request_count", model_name="dafsn", status="OK") == 2
    assert grown("request_count", model_name="cats", status="NOT_FOUND") == 1
    assert grown("request_latency_count", entrypoint="GRPC", **predicted) == 2
    assert grown("request_latency_bucket", entrypoint="GRPC", le="+Inf", **predicted) == 2
    assert 0 < grown("request_latency_sum", entrypoint="GRPC", **predicted) < 20e6
    assert grown("runtime_latency_count", runtime="TF1", **predicted) == 2
    assert grown("batching_session:wrapped_run_count") == 1
    assert grown("batching_session:queuing_latency_count", thread_pool_name="batch_threads") == 2
    path = next(dict(key[1:])["model_path"] for key in after if key[0].endswith("load_attempt_count"))
    assert after[(":tensorflow:cc:saved_model:load_attempt_count", ("model_path", path), ("status", "success"))] == 1
    assert after[(":tensorflow:cc:saved_model:load_latency", ("model_path", path))] > 0


def test_batches_in_flight_stay_on_their_version_across_a_swap(toy_versions, tmp_path):
    shutil.copytree(toy_versions / "1", tmp_path / "1")
    batching = BatchingParameters(max_batch_size=8, batch_timeout_micros=1000, num_batch_threads=2)
    answers, stop = [], threading.Event()

    def load(target):
        with Client(target, retries=0) as client:
            while not stop.is_set():
                features = client.encode_text(["abc"])
                answers.append((features.sentence_features[0, 0], features.word_features[0, 0, 0]))

    with serving(tmp_path, batching, poll_seconds=0.1) as server, ThreadPoolExecutor(4) as threads:
        target = f"127.0.0.1:{server.port}"
        callers = [threads.submit(load, target) for _ in range(4)]
        try:
            shutil.copytree(toy_versions / "2", tmp_path / ".tmp")
            (tmp_path / ".tmp").rename(tmp_path / "2")
            with Client(target) as client:
                until(lambda: [state.state for state in client.status()] == ["AVAILABLE", "END"])
        finally:
            time.sleep(0.1)
            stop.set()
        for done in callers:
            done.result()
    assert set(answers) == {(3.0, 1.0), (6.0, 2.0)}


def test_warm_up_goes_through_the_batcher(toy_versions, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(toy_versions / "1", folder)
    (folder / "assets.extra").mkdir()
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["texts"].CopyFrom(tf.make_tensor_proto(["a"] * 3))
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())
    with serving(tmp_path, BatchingParameters(max_batch_size=3), monitoring_port=0) as server:
        counted = samples(server)
        assert counted[(":tensorflow:serving:batching_session:wrapped_run_count",)] == 1
        warmed = (":tensorflow:serving:model_warmup_latency_count", ("model_path", str(folder)), ("status", "OK"))
        assert counted[warmed] == 1
    with pytest.raises(ServingError, match="Task size 3 is larger than maximum input batch size 2"):
        serving(tmp_path, BatchingParameters(max_batch_size=2))


def test_metrics_are_nowhere_else(server):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{server.monitoring_port}/", timeout=5)
