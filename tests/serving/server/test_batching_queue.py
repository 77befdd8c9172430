"""What shares a batch, and when: the queue with times given, the scheduler with a clock that is set by hand."""

import threading

import numpy as np
import pytest

from dafsn_server.batching.parameters import BatchingParameters
from dafsn_server.batching.queue import Queue, Task
from dafsn_server.batching.scheduler import Scheduler
from dafsn_server.refusal import Refusal


def task(rows, start=0.0):
    return Task({"x": np.arange(start, start + rows)}, rows, enqueued=0.0)


def rows(batch):
    return [one.feeds["x"].tolist() for one in batch]


def test_a_batch_is_taken_when_it_is_full_or_has_waited():
    queue = Queue(BatchingParameters(max_batch_size=4, batch_timeout_micros=1_000_000))
    assert queue.due() is None
    queue.add(task(1), 10.0)
    queue.add(task(2, 5.0), 10.5)
    assert queue.due() == 11.0
    assert queue.take(10.9) is None
    assert rows(queue.take(11.0)) == [[0.0], [5.0, 6.0]]
    assert queue.due() is None
    queue.add(task(4), 20.0)
    assert rows(queue.take(20.0)) == [[0.0, 1.0, 2.0, 3.0]]


def test_what_does_not_fit_begins_the_next_batch():
    queue = Queue(BatchingParameters(max_batch_size=4, batch_timeout_micros=1_000_000))
    queue.add(task(3), 1.0)
    queue.add(task(2), 2.0)
    assert [len(one) for one in rows(queue.take(2.0))] == [3]
    assert queue.due() == 3.0


def test_by_default_nothing_waits():
    queue = Queue(BatchingParameters())
    queue.add(task(1), 5.0)
    assert queue.take(5.0) is not None


def test_a_request_over_the_limit_and_one_too_many_are_refused():
    queue = Queue(BatchingParameters(max_batch_size=32, max_enqueued_batches=2))
    with pytest.raises(Refusal, match=r"^Task size 50 is larger than maximum input batch size 32$") as caught:
        queue.add(task(50), 0.0)
    assert caught.value.code.name == "INVALID_ARGUMENT"
    queue.add(task(32), 0.0)
    queue.add(task(30), 0.0)
    full = (
        "The batch scheduling queue to which this task was submitted is full; "
        "currently 2 batches enqueued and max_enqueued_batches is 2"
    )
    with pytest.raises(Refusal, match=f"^{full}$") as caught:
        queue.add(task(3), 0.0)
    assert caught.value.code.name == "UNAVAILABLE"
    queue.add(task(2), 0.0)
    queue.take(0.0)
    queue.add(task(3), 0.0)


def splitting(**changes):
    return Queue(
        BatchingParameters(
            **{
                "max_batch_size": 10,
                "max_execution_batch_size": 4,
                "enable_large_batch_splitting": True,
                "batch_timeout_micros": 1_000_000,
                **changes,
            }
        )
    )


@pytest.mark.parametrize(("before", "size"), [(0, 10), (1, 9), (3, 10), (4, 5), (2, 2), (0, 4)])
def test_a_big_request_fills_the_open_batch_and_goes_on_in_the_next(before, size):
    queue = splitting()
    if before:
        queue.add(task(before), 0.0)
    pieces = queue.add(task(size, 100.0), 0.0)
    assert np.concatenate([piece.feeds["x"] for piece in pieces]).tolist() == np.arange(100.0, 100.0 + size).tolist()
    batches = []
    while (batch := queue.take(2.0)) is not None:
        batches.append(sum(one.rows for one in batch))
    assert sum(batches) == before + size
    assert all(size == 4 for size in batches[:-1])
    assert batches[-1] <= 4


def test_splitting_keeps_the_limits():
    queue = splitting(max_enqueued_batches=2)
    with pytest.raises(Refusal, match="Task size 11 is larger than maximum input batch size 10"):
        queue.add(task(11), 0.0)
    with pytest.raises(Refusal, match="1 batches enqueued and max_enqueued_batches is 2"):
        queue.add(task(9), 0.0)
    assert len(queue.add(task(8), 0.0)) == 2
    with pytest.raises(Refusal, match="2 batches enqueued"):
        queue.add(task(1), 0.0)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_kinds_do_not_mix_and_take_turns():
    clock = Clock()
    scheduler = Scheduler(BatchingParameters(max_batch_size=2), clock)
    done = []

    def submit(kind, start):
        scheduler.submit(kind, task(1, start), lambda batch, now: done.append((kind, rows(batch))))

    for start in range(5):
        submit("a", start)
    submit("b", 9)
    while scheduler.run_one():
        pass
    assert done == [
        ("a", [[0.0], [1.0]]),
        ("b", [[9.0]]),
        ("a", [[2.0], [3.0]]),
        ("a", [[4.0]]),
    ]


def test_an_open_batch_waits_for_its_time():
    clock = Clock()
    scheduler = Scheduler(BatchingParameters(batch_timeout_micros=500_000), clock)
    times = []
    scheduler.submit("a", task(1), lambda batch, now: times.append(now))
    assert not scheduler.run_one()
    clock.now = 0.5
    assert scheduler.run_one()
    assert times == [0.5]
    assert not scheduler.run_one()


def test_threads_compute_what_waits_and_end():
    scheduler = Scheduler(BatchingParameters(batch_timeout_micros=60_000_000, num_batch_threads=2)).start()
    done = []
    scheduler.submit("a", task(1), lambda batch, now: done.append(len(batch)))
    scheduler.submit("a", task(1), lambda batch, now: done.append(len(batch)))
    scheduler.stop()
    assert done == [2]


def test_a_kind_is_computed_in_time_while_another_keeps_its_thread():
    # The thread that watched both kinds is busy with the first: another must watch the second.
    scheduler = Scheduler(BatchingParameters(batch_timeout_micros=50_000, num_batch_threads=2)).start()
    release, second = threading.Event(), threading.Event()
    scheduler.submit("a", task(1), lambda batch, now: release.wait(20))
    scheduler.submit("b", task(1), lambda batch, now: second.set())
    assert second.wait(10)
    release.set()
    scheduler.stop()


def test_a_run_that_fails_leaves_the_thread(caplog):
    scheduler = Scheduler(BatchingParameters(num_batch_threads=1)).start()
    scheduler.submit("a", task(1), lambda batch, now: 1 / 0)
    done = threading.Event()
    scheduler.submit("b", task(1), lambda batch, now: done.set())
    assert done.wait(10)
    scheduler.stop()
    assert "a batch of 1 tasks was lost" in caplog.text
