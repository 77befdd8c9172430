"""`Queue`: requests of one kind, on their way into batches. No threads and no clock: both are the scheduler's."""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from dafsn_server.batching.parameters import BatchingParameters
from dafsn_server.refusal import Refusal, invalid


@dataclass
class Task:
    """Rows that stay together, and who waits for them."""

    feeds: dict[str, np.ndarray]  # tensor name -> rows
    rows: int
    enqueued: float  # seconds of the scheduler's clock
    deadline: float | None = None  # the same; None waits for ever
    outputs: "Future[dict[str, Any]]" = field(default_factory=Future)  # tensor name -> rows


class Queue:
    """Batches that wait; the last is open, the others are full."""

    def __init__(self, parameters: BatchingParameters) -> None:
        self._parameters = parameters
        self._batches: deque[list[Task]] = deque([[]])
        self._opened = 0.0

    def add(self, task: Task, now: float) -> list[Task]:
        """Put a request into the open batch, or the next; return the tasks it became, one unless it was split.

        Raises:
            Refusal: INVALID_ARGUMENT, more rows than a request may have; UNAVAILABLE, too many batches wait.
        """
        limit = self._parameters.max_batch_size
        if task.rows > limit:
            raise invalid(f"Task size {task.rows} is larger than maximum input batch size {limit}")
        if not self._has_room(task.rows):
            raise Refusal(
                grpc.StatusCode.UNAVAILABLE,
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{len(self._batches)} batches enqueued and max_enqueued_batches is "
                f"{self._parameters.max_enqueued_batches}",
            )
        pieces = self._pieces(task)
        for piece in pieces:
            if piece.rows > self._free():
                self._batches.append([])
            if not self._batches[-1]:
                self._opened = now
            self._batches[-1].append(piece)
        return pieces

    def due(self) -> float | None:
        """Return from when on there is a batch to take; nothing where no task waits."""
        if len(self._batches) > 1 or self._free() <= 0:
            return 0.0
        if not self._batches[0]:
            return None
        return self._opened + self._parameters.batch_timeout_micros / 1e6

    def take(self, now: float) -> list[Task] | None:
        """Remove and return the batch that has waited longest, where one is full or has waited long enough."""
        due = self.due()
        if due is None or due > now:
            return None
        batch = self._batches.popleft()
        if not self._batches:
            self._batches.append([])
        return batch

    def _free(self) -> int:
        return self._parameters.batch_rows - sum(task.rows for task in self._batches[-1])

    def _has_room(self, rows: int) -> bool:
        if rows <= self._free():
            return True
        unopened = self._parameters.max_enqueued_batches - len(self._batches)
        if self._parameters.enable_large_batch_splitting:
            return rows <= self._free() + unopened * self._parameters.batch_rows
        return unopened > 0

    def _pieces(self, task: Task) -> list[Task]:
        free, most = self._free(), self._parameters.batch_rows
        if task.rows <= free or not self._parameters.enable_large_batch_splitting:
            return [task]
        ends = [*range(free, task.rows, most), task.rows]
        starts = [0, *ends[:-1]]
        return [
            Task(
                {name: value[start:end] for name, value in task.feeds.items()},
                end - start,
                task.enqueued,
                task.deadline,
            )
            for start, end in zip(starts, ends, strict=True)
            if end > start
        ]
