"""Health, and the end: orderly at the first signal, at once at the second, and at kill -9."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wire import answered, caller, forever, status_of, turns, until

from dafsn_client import Client, ServerError
from dafsn_server.health import MAX_WATCHERS
from dafsn_server.server import Server

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def check(channel, service=""):
    return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status


def watch(channel, service=""):
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service), timeout=30)


def test_health_knows_three_names(target):
    with grpc.insecure_channel(target) as channel:
        for name in ("", "ModelService", "PredictionService"):
            assert check(channel, name) == SERVING
            stream = watch(channel, name)
            assert next(stream).status == SERVING
            stream.cancel()
        assert status_of(lambda: check(channel, "tensorflow.serving.PredictionService"))[0] == "NOT_FOUND"
        assert status_of(lambda: check(channel, "dafsn")) == ("NOT_FOUND", "service name unknown")
        stream = watch(channel, "dafsn")
        assert next(stream).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        stream.cancel()


def test_many_watch_and_requests_are_answered(toy_versions):
    with (
        Server({"dafsn": toy_versions}, port=0, host="127.0.0.1", max_threads=1) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        streams = [watch(channel) for _ in range(MAX_WATCHERS)]
        assert {next(stream).status for stream in streams} == {SERVING}
        assert status_of(lambda: next(watch(channel)))[0] == "RESOURCE_EXHAUSTED"
        assert caller(channel)(texts=["a"]).model_spec.version.value == 2
        for stream in streams:
            stream.cancel()
        until(lambda: answered(lambda: next(watch(channel))))


def test_an_ending_server_says_so_refuses_and_finishes_what_is_in_flight(toy_versions):
    server = Server({"dafsn": toy_versions}, port=0, host="127.0.0.1")
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel, ThreadPoolExecutor(2) as threads:
        predict, stream = caller(channel), watch(channel)
        assert next(stream).status == SERVING
        flight = threads.submit(predict, "slow", turns=turns(150_000), timeout=30)
        time.sleep(0.1)
        end = threads.submit(server.stop, 20)
        assert [response.status for response in stream] == [NOT_SERVING]
        assert check(channel) == NOT_SERVING
        assert status_of(lambda: predict(texts=["a"])) == ("UNAVAILABLE", "The server is shutting down")
        assert not flight.done()
        assert flight.result().outputs["count"].int64_val[0] == 150_000
        assert end.result(timeout=10) == 0


def test_after_the_grace_what_is_left_is_told(toy_versions):
    server = Server({"dafsn": toy_versions}, port=0, host="127.0.0.1")
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel, ThreadPoolExecutor(1) as threads:
        flight = threads.submit(status_of, lambda: caller(channel)("slow", turns=forever(), timeout=2))
        time.sleep(0.2)
        start = time.monotonic()
        assert server.stop(0.2) == 1
        assert time.monotonic() - start < 1.5
        assert flight.result()[0] in ("UNAVAILABLE", "CANCELLED")


@contextmanager
def process(toy_versions, *arguments):
    command = [sys.executable, "-m", "dafsn_server", "--model", f"dafsn={toy_versions}", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            yield running, running.stdout.readline().strip().removeprefix("listening on ")
        finally:
            running.kill()


def test_a_second_signal_ends_at_once(toy_versions):
    with (
        process(toy_versions) as (server, target),
        grpc.insecure_channel(target) as channel,
        ThreadPoolExecutor(1) as threads,
    ):
        flight = threads.submit(status_of, lambda: caller(channel)("slow", turns=forever(), timeout=20))
        time.sleep(0.3)
        server.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert server.poll() is None
        start = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(5) == 128 + signal.SIGTERM
        assert time.monotonic() - start < 3
        assert flight.result()[0] == "UNAVAILABLE"


@pytest.fixture(scope="module")
def doomed(toy_versions):
    """A server that the last test of this file kills."""
    with process(toy_versions) as (server, target):
        yield server, target


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory from /proc")
def test_memory_returns_after_big_requests(doomed):
    server, target = doomed
    with grpc.insecure_channel(target) as channel:
        predict = caller(channel)
        big = tf.make_tensor_proto(np.zeros((4 << 20, 2), np.float32))  # 32 MiB
        before = resident(server.pid)
        for _ in range(10):
            with pytest.raises(grpc.RpcError, match="larger than max"):  # the answer is too big for this caller
                predict("wide", output_filter=["x"], x=big, timeout=60)
        until(lambda: resident(server.pid) - before < 150 << 20)


def resident(process_id):
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_callers_recover_when_a_killed_server_is_back(doomed, toy_versions):
    server, target = doomed
    answers, errors, stop = [], [], threading.Event()

    def load():
        with Client(target, retries=0, timeout=5) as client:
            while not stop.is_set():
                try:
                    answers.append(client.encode_text(["abc"]).sentence_features[0, 0])
                except ServerError as error:
                    errors.append(error.code.name)
                    time.sleep(0.05)

    with ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(load) for _ in range(3)]
        try:
            until(lambda: len(answers) > 20)
            server.kill()
            server.wait(10)
            until(lambda: len(errors) >= 3)
            before = len(answers)
            with process(toy_versions, "--port", target.rsplit(":", 1)[1]) as (again, address):
                assert address == target
                until(lambda: len(answers) > before + 20)
                stop.set()
                for done in callers:
                    done.result(timeout=20)
                with grpc.insecure_channel(target) as channel:
                    flight = threads.submit(caller(channel), "slow", turns=turns(150_000), timeout=30)
                    time.sleep(0.2)
                    again.send_signal(signal.SIGTERM)
                    assert flight.result().outputs["count"].int64_val[0] == 150_000
                assert again.wait(10) == 0
                assert "version 2 of model dafsn is unloaded" in again.stderr.read()
        finally:
            stop.set()
    assert set(answers) == {6.0}
    assert set(errors) <= {"UNAVAILABLE", "DEADLINE_EXCEEDED"}


def test_a_signal_while_loading_ends_at_once(toy_versions):
    command = [sys.executable, "-m", "dafsn_server", "--model", f"dafsn={toy_versions}", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        line = server.stderr.readline()
        while "development server" not in line:
            assert line
            line = server.stderr.readline()
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 128 + signal.SIGTERM
        assert server.stdout.read() == ""


@pytest.mark.parametrize("arguments", [["--poll-seconds", "0"], ["--grpc-max-threads", "0"], ["--port", "65536"]])
def test_options_that_cannot_be(arguments):
    ended = subprocess.run(
        [sys.executable, "-m", "dafsn_server", "--model", "a=/b", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    assert f"argument {arguments[0]}: '{arguments[1]}' is no" in ended.stderr
