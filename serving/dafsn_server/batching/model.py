"""`BatchedModel`: a loaded version whose runs share batches."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np

from dafsn_server.batching.merging import merged, rows_of, split
from dafsn_server.batching.queue import Task
from dafsn_server.batching.scheduler import Scheduler
from dafsn_server.metrics import Metrics
from dafsn_server.refusal import Refusal


class Model(Protocol):
    """What a loaded version offers."""

    path: Path
    signatures: dict[str, Any]

    def run(self, feeds: dict[str, np.ndarray], fetches: list[str], timeout: float | None = None) -> list[Any]: ...

    def close(self) -> None: ...


class BatchedModel:
    """Runs that feed and fetch the same tensors are computed together.

    A request of no rows is run by itself: by TensorFlow Serving's source it may end that server.
    """

    def __init__(self, model: Model, scheduler: Scheduler, metrics: Metrics) -> None:
        self.path = model.path
        self.signatures = model.signatures
        self._model = model
        self._scheduler = scheduler
        self._metrics = metrics

    def run(self, feeds: dict[str, np.ndarray], fetches: list[str], timeout: float | None = None) -> list[Any]:
        """Return the values of tensors by name, as `LoadedModel.run`, from a batch with others.

        Raises:
            Refusal: also what the batch refuses, whichever request of it was to blame.
        """
        rows = rows_of(feeds)
        if not rows:
            return self._model.run(feeds, fetches, timeout)
        now = self._scheduler.clock()
        task = Task(feeds, rows, now, None if timeout is None else now + timeout)
        names = tuple(sorted(set(fetches)))
        kind = (id(self), tuple(sorted(feeds)), names)
        pieces = self._scheduler.submit(kind, task, lambda tasks, time: self._run_batch(tasks, names, time))
        parts = [piece.outputs.result() for piece in pieces]
        if len(parts) == 1:
            return [parts[0][name] for name in fetches]
        return [np.concatenate([part[name] for part in parts]) for name in fetches]

    def close(self) -> None:
        """Free the version; it has no requests in flight."""
        self._model.close()

    def _run_batch(self, tasks: list[Task], names: tuple[str, ...], now: float) -> None:
        try:
            answers = self._answers(tasks, names, now)
        except Exception as error:  # the threads of the requests tell it, each to its caller
            for task in tasks:
                _fail(task.outputs, error)
        else:
            for task, answer in zip(tasks, answers, strict=True):
                task.outputs.set_result(answer)

    def _answers(self, tasks: list[Task], names: tuple[str, ...], now: float) -> list[dict[str, Any]]:
        for task in tasks:
            self._metrics.queuing_latency.observe((now - task.enqueued) * 1e6, self._pool)
        timeout = _timeout(tasks, now)
        sizes = [task.rows for task in tasks]
        parameters = self._scheduler.parameters
        rows = parameters.padded_rows(sum(sizes))
        feeds = merged([task.feeds for task in tasks], rows=rows, pad=parameters.pad_variable_length_inputs)
        self._metrics.wrapped_run_count.add()
        values = self._model.run(feeds, list(names), timeout)
        outputs = {name: split(value, sizes, rows) for name, value in zip(names, values, strict=True)}
        return [{name: parts[index] for name, parts in outputs.items()} for index in range(len(tasks))]

    @property
    def _pool(self) -> str:
        return self._scheduler.parameters.thread_pool_name


def _timeout(tasks: list[Task], now: float) -> float | None:
    """Return the seconds that a batch has: those of its most patient task."""
    deadlines = [task.deadline for task in tasks]
    latest = None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None)
    if latest is None:
        return None
    if latest <= now:
        raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "Run() timeout exceeded while waiting in batching queue")
    return latest - now


def _fail(outputs: "Future[dict[str, Any]]", error: Exception) -> None:
    """Give each waiting thread an exception of its own: they raise it at the same time."""
    outputs.set_exception(Refusal(error.code, error.message) if isinstance(error, Refusal) else error)
