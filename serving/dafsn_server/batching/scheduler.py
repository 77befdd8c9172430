"""`Scheduler`: the threads that compute batches, and the queues they take them from."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Self

from dafsn_server.batching.parameters import BatchingParameters
from dafsn_server.batching.queue import Queue, Task

_log = logging.getLogger(__name__)

Run = Callable[[list[Task], float], None]


class Scheduler:
    """Puts tasks of one kind together and hands the batches to threads, the kinds in turn.

    Args:
        parameters: sizes, waiting times and number of threads.
        clock: seconds.
    """

    def __init__(self, parameters: BatchingParameters, clock: Callable[[], float] = time.monotonic) -> None:
        self.parameters = parameters
        self.clock = clock
        self._queues: OrderedDict[Hashable, tuple[Queue, Run]] = OrderedDict()  # those with tasks, next turn first
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{parameters.thread_pool_name}-{number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]

    def start(self) -> Self:
        """Start the threads."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """End the threads once every task that waits is computed."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def submit(self, kind: Hashable, task: Task, run: Run) -> list[Task]:
        """Queue a task; return it, or the pieces it was split into.

        Args:
            kind: tasks of equal kinds may share a batch.
            task: see `Queue.add`, whose refusals this raises.
            run: called in a thread with a batch of this kind and the time; sets every task's `outputs`.
        """
        with self._changed:
            queue, _ = self._queues.get(kind) or (Queue(self.parameters), run)
            pieces = queue.add(task, self.clock())
            self._queues.setdefault(kind, (queue, run))
            self._changed.notify()
        return pieces

    def run_one(self) -> bool:
        """Compute one batch in this thread; return whether there was one to take."""
        with self._changed:
            now = self.clock()
            chosen = self._choose(now)
        if chosen is None:
            return False
        batch, run = chosen
        run(batch, now)
        return True

    def _choose(self, now: float) -> tuple[list[Task], Run] | None:
        for kind, (queue, run) in self._queues.items():
            batch = queue.take(float("inf") if self._stopped else now)
            if batch is not None:
                if queue.due() is None:
                    del self._queues[kind]
                else:
                    self._queues.move_to_end(kind)
                if self._queues:
                    self._changed.notify()  # this thread is busy now: let another wait for what is left
                return batch, run
        return None

    def _seconds(self) -> float | None:
        """Return how long to wait for a batch to take; nothing where no task waits."""
        dues = [due for queue, _ in self._queues.values() if (due := queue.due()) is not None]
        return max(0.0, min(dues) - self.clock()) if dues else None

    def _work(self) -> None:
        while True:
            with self._changed:
                while (chosen := self._choose(now := self.clock())) is None:
                    if self._stopped:
                        return
                    self._changed.wait(self._seconds())
            batch, run = chosen
            try:
                run(batch, now)
            except Exception:
                _log.exception("a batch of %d tasks was lost", len(batch))
