"""Batches over a model that only remembers what it was asked: merging, padding, splitting, deadlines, failures."""

import threading
from pathlib import Path

import numpy as np
import pytest
from textfiles import written

from dafsn_server.batching.merging import merged, rows_of, split
from dafsn_server.batching.model import BatchedModel
from dafsn_server.batching.parameters import BatchingParameters, read_batching_parameters
from dafsn_server.batching.scheduler import Scheduler
from dafsn_server.metrics import Metrics
from dafsn_server.refusal import Refusal, invalid
from dafsn_tf.errors import ServingError


class Doubling:
    """Answers twice its input, under every name it is asked for."""

    def __init__(self):
        self.path = Path("/models/1")
        self.signatures = {}
        self.runs = []
        self.closed = False

    def run(self, feeds, fetches, timeout=None):
        self.runs.append((feeds["x"].tolist(), fetches, timeout))
        if np.any(feeds["x"] < 0):
            raise invalid("negative")
        return [feeds["x"] * 2 for _ in fetches]

    def close(self):
        self.closed = True


def over(model, **parameters):
    scheduler = Scheduler(BatchingParameters(**parameters), clock=lambda: 100.0)
    return BatchedModel(model, scheduler, Metrics()), scheduler


def together(batched, scheduler, *calls):
    """Make calls at the same time; return what each returned or raised, in order."""
    results = [None] * len(calls)
    queued = threading.Semaphore(0)
    submit = scheduler.submit

    def submit_and_tell(*arguments):
        try:
            return submit(*arguments)
        finally:
            queued.release()

    scheduler.submit = submit_and_tell

    def call(index, arguments):
        try:
            results[index] = batched.run(*arguments)
        except Refusal as refusal:
            results[index] = refusal

    threads = []
    for index, arguments in enumerate(calls):  # one after the other, so that a batch's order is known
        threads.append(threading.Thread(target=call, args=(index, arguments)))
        threads[-1].start()
        assert queued.acquire(timeout=10)
    while scheduler.run_one():
        pass
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    return results


def x(*values):
    return {"x": np.array(values, np.float32)}


def test_callers_share_a_run_and_get_their_own_rows():
    model = Doubling()
    batched, scheduler = over(model)
    first, second = together(batched, scheduler, (x(1, 2), ["b", "a"]), (x(3), ["a", "b", "a"]))
    assert [part.tolist() for part in first] == [[2, 4], [2, 4]]
    assert [part.tolist() for part in second] == [[6]] * 3
    assert model.runs == [([1, 2, 3], ["a", "b"], None)]
    batched.close()
    assert model.closed


def test_other_outputs_are_another_batch():
    model = Doubling()
    batched, scheduler = over(model)
    together(batched, scheduler, (x(1), ["a"]), (x(2), ["b"]), (x(3), ["a"]))
    assert sorted(run[0] for run in model.runs) == [[1, 3], [2]]


def test_a_batch_is_filled_up_with_the_first_row_of_the_last_request():
    model = Doubling()
    batched, scheduler = over(model, max_batch_size=8, allowed_batch_sizes=(2, 4, 8))
    first, second = together(batched, scheduler, (x(1), ["a"]), (x(5, 6), ["a"]))
    assert model.runs == [([1, 5, 6, 5], ["a"], None)]
    assert first[0].tolist() == [2]
    assert second[0].tolist() == [10, 12]


def test_a_big_request_is_computed_in_pieces():
    model = Doubling()
    batched, scheduler = over(model, max_batch_size=10, max_execution_batch_size=4, enable_large_batch_splitting=True)
    first, second = together(batched, scheduler, (x(1, 2, 3), ["a"]), (x(*range(10, 17)), ["a"]))
    assert [run[0] for run in model.runs] == [[1, 2, 3, 10], [11, 12, 13, 14], [15, 16]]
    assert first[0].tolist() == [2, 4, 6]
    assert second[0].tolist() == [20, 22, 24, 26, 28, 30, 32]


def test_one_bad_row_fails_all_of_its_batch_and_no_other():
    batched, scheduler = over(Doubling(), max_batch_size=2)
    results = together(batched, scheduler, (x(1), ["a"]), (x(-1), ["a"]), (x(3), ["a"]))
    assert [str(result) for result in results[:2]] == ["negative"] * 2
    assert results[0] is not results[1]
    assert results[2][0].tolist() == [6]


def test_a_request_of_no_rows_is_run_by_itself():
    model = Doubling()
    batched, _ = over(model, max_batch_size=4, allowed_batch_sizes=(4,))
    assert batched.run(x(), ["a"], 3.0)[0].tolist() == []
    assert model.runs == [([], ["a"], 3.0)]


def test_a_batch_has_the_time_of_its_most_patient_request():
    for timeouts, expected in [((1.0, 5.0), 5.0), ((1.0, None), None)]:
        model = Doubling()
        batched, scheduler = over(model)
        together(batched, scheduler, *((x(1), ["a"], timeout) for timeout in timeouts))
        assert model.runs[0][2] == expected


def test_a_batch_whose_requests_have_all_waited_too_long_is_not_run():
    model = Doubling()
    batched, scheduler = over(model)
    results = together(batched, scheduler, (x(1), ["a"], 0.0), (x(2), ["a"], -1.0))
    assert model.runs == []
    for result in results:
        assert result.code.name == "RESOURCE_EXHAUSTED"
        assert result.message == "Run() timeout exceeded while waiting in batching queue"
    late, patient = together(batched, scheduler, (x(1), ["a"], 0.0), (x(2), ["a"], 9.0))
    assert (late[0].tolist(), patient[0].tolist()) == ([2], [4])


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": np.float32(1)}, "Batching Run() input tensors must have at least one dimension"),
        (
            {"x": np.zeros(2), "y": np.zeros(3)},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        ({}, "Batching Run() must have at least one input tensor"),
    ],
)
def test_what_has_no_rows_cannot_be_batched(feeds, message):
    with pytest.raises(Refusal) as caught:
        rows_of(feeds)
    assert (caught.value.code.name, caught.value.message) == ("INVALID_ARGUMENT", message)


def merge(*values, pad=False):
    return merged([{"x:0": value} for value in values], rows=sum(map(len, values)), pad=pad)["x:0"]


def test_inner_shapes_that_differ_are_refused_without_padding():
    with pytest.raises(Refusal) as caught:
        merge(np.zeros((1, 2)), np.zeros((1, 3)))
    assert caught.value.code.name == "FAILED_PRECONDITION"
    assert caught.value.message.startswith(
        "Tensors with name 'x:0' from different tasks have different shapes and padding is turned off."
    )
    with pytest.raises(Refusal, match="different shapes"):
        merge(np.zeros((1, 2)), np.zeros((1, 2, 1)))


def test_padding_repeats_each_requests_own_first_element():
    result = merge(np.array([[1, 2], [3, 4]]), np.array([[5, 6, 7]]), pad=True)
    assert result.tolist() == [[1, 2, 1], [3, 4, 1], [5, 6, 7]]
    strings = merge(np.array([[b"a"]], object), np.array([[b"b", b"c"]], object), pad=True)
    assert strings.tolist() == [[b"a", b"a"], [b"b", b"c"]]


def test_what_cannot_be_padded_is_refused():
    with pytest.raises(Refusal, match="Got empty tensor in batch of non-empty tensors"):
        merge(np.zeros((1, 0)), np.zeros((1, 3)), pad=True)
    with pytest.raises(Refusal, match="Only tensors with rank from 1 to 6 can be padded"):
        merge(np.zeros((1,) * 7), np.zeros((1,) * 6 + (2,)), pad=True)
    with pytest.raises(Refusal, match=r"Tensor concat operation failed: .* different ranks"):
        merge(np.zeros((1, 2)), np.zeros((1, 2, 1)), pad=True)


def test_types_that_differ_are_not_converted():
    with pytest.raises(Refusal, match=r"Tensor concat operation failed: .* Got float and double\.") as caught:
        merge(np.zeros(1, np.float32), np.zeros(1, np.float64))
    assert caught.value.code.name == "INTERNAL"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.float32(1), "Batched output tensor has 0 dimensions"),
        (b"a", "Batched output tensor has 0 dimensions"),
        (
            np.zeros(4),
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input "
            "tensors",
        ),
    ],
)
def test_outputs_that_are_no_rows(value, message):
    with pytest.raises(Refusal) as caught:
        split(value, [1, 2], 3)
    assert (caught.value.code.name, caught.value.message) == ("FAILED_PRECONDITION", message)


def test_parameters_are_read_from_text(tmp_path):
    path = written(
        tmp_path,
        """
        max_batch_size { value: 32 } batch_timeout_micros { value: 0 } max_enqueued_batches { value: 8 }
        num_batch_threads { value: 4 } thread_pool_name { value: "pool" }
        allowed_batch_sizes: 1 allowed_batch_sizes: 16
        pad_variable_length_inputs: true
        enable_large_batch_splitting { value: true } max_execution_batch_size { value: 16 }
        """,
    )
    assert read_batching_parameters(path) == BatchingParameters(32, 0, 8, 4, "pool", (1, 16), True, True, 16)
    assert read_batching_parameters(written(tmp_path, "")) == BatchingParameters()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_batch_size { value: 16 } allowed_batch_sizes: 4 allowed_batch_sizes: 8",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 8; expected 16",
        ),
        ("allowed_batch_sizes: 8 allowed_batch_sizes: 4", "entries must be monotonically increasing.*8, 4"),
        ("max_batch_size { value: 0 }", "max_batch_size is 0; expected 1 or more"),
        ("num_batch_threads { value: -1 }", "num_batch_threads is -1"),
        ("enable_large_batch_splitting { value: true } max_batch_size { value: 8 }", "needs both max_batch_size"),
        (
            "enable_large_batch_splitting { value: true } max_batch_size { value: 8 } "
            "max_execution_batch_size { value: 9 }",
            "max_execution_batch_size is 9; expected 1 to max_batch_size, 8",
        ),
        ("\nmax_batch_size: 3", r"file\.config, line 2: .*BatchingParameters as TensorFlow Serving takes it"),
        ("max_batch_sise { value: 1 }", 'line 1: .*no field named "max_batch_sise"'),
    ],
)
def test_parameters_that_cannot_be(tmp_path, text, message):
    with pytest.raises(ServingError, match=message):
        read_batching_parameters(written(tmp_path, text))
