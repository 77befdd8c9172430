"""A server that batches as batching.config says: SERVING.md section 5."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from wire import forever, status_of

FULL = 32  # rows; such a request waits for no other


def wide(rows, width=2):
    return np.full((rows, width), rows, np.float32)


def at_once(*calls):
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def test_callers_share_a_batch_and_get_their_own_rows(batching):
    sizes = (1, FULL - 1)
    both = at_once(*(lambda rows=rows: batching.predict("wide", x=wide(rows)).outputs for rows in sizes))
    for rows, outputs in zip(sizes, both, strict=True):
        assert tf.make_ndarray(outputs["x"]).tolist() == [[rows, rows]] * rows
        assert list(outputs["batch"].int_val) == [FULL] * rows


def test_a_request_without_company_is_answered_after_a_while(batching):
    assert list(batching.predict("wide", x=wide(1)).outputs["batch"].int_val) == [1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"texts": "a"}, "INVALID_ARGUMENT", "Batching Run() input tensors must have at least one dimension"),
        (
            {"signature": "two", "a": [1.0, 2.0], "b": [1.0]},
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            {"texts": ["a"] * (FULL + 1)},
            "INVALID_ARGUMENT",
            "Task size 33 is larger than maximum input batch size 32",
        ),
        (
            {"signature": "unbatchable", "output_filter": ["total"], "x": [1.0] * FULL},
            "FAILED_PRECONDITION",
            "Batched output tensor has 0 dimensions",
        ),
        (
            {"signature": "unbatchable", "output_filter": ["more"], "x": [1.0] * FULL},
            "FAILED_PRECONDITION",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        ),
    ],
)
def test_refusals(batching, arguments, code, message):
    assert status_of(lambda: batching.predict(**arguments)) == (code, message)


def test_inner_shapes_that_differ_fail_every_request_of_the_batch(batching):
    calls = [lambda width=width: batching.predict("wide", x=wide(FULL // 2, width)) for width in (2, 3)]
    for code, details in at_once(*(lambda call=call: status_of(call) for call in calls)):
        assert code == "FAILED_PRECONDITION"
        assert details.startswith(
            "Tensors with name 'wide_x:0' from different tasks have different shapes and padding is turned off. "
            "Set pad_variable_length_inputs to true, or ensure "
        )


def test_an_error_in_the_graph_fails_every_request_of_the_batch(batching):
    values = [tf.make_tensor_proto([value] * (FULL // 2), tf.int64) for value in (1, 20)]
    calls = [lambda value=value: status_of(lambda: batching.predict("guarded", x=value)) for value in values]
    for code, details in at_once(*calls):
        assert code == "INVALID_ARGUMENT"
        assert details.startswith("assertion failed: [too big")


@pytest.fixture
def busy(batching):
    """Keep the one batch thread busy for three seconds; what is left of the test begins then."""
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(status_of, lambda: batching.predict("slow", turns=forever(FULL), timeout=3))
        time.sleep(0.5)
        yield
        assert running.result()[0] == "DEADLINE_EXCEEDED"


def test_a_full_queue(batching, busy):
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(batching.predict, "wide", x=wide(FULL))
        time.sleep(0.5)
        assert status_of(lambda: batching.predict("wide", x=wide(FULL))) == (
            "UNAVAILABLE",
            "The batch scheduling queue to which this task was submitted is full; "
            "currently 1 batches enqueued and max_enqueued_batches is 1",
        )
        assert list(waiting.result().outputs["batch"].int_val) == [FULL] * FULL


def test_a_deadline_that_passes_in_the_queue(batching, busy):
    """The server's RESOURCE_EXHAUSTED reaches nobody: the client's deadline passed before."""
    code, _ = status_of(lambda: batching.predict("wide", x=wide(FULL), timeout=0.5))
    assert code == "DEADLINE_EXCEEDED"
    assert batching.predict("two", a=[1.0] * FULL, b=[1.0] * FULL).outputs["sum"].float_val == [2.0] * FULL
