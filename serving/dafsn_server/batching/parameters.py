"""`BatchingParameters`: what a `--batching-parameters-file` says."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dafsn_server.textproto import message_class, read
from dafsn_tf.errors import ServingError


@dataclass(frozen=True)
class BatchingParameters:
    """How requests are put together; names and defaults are TensorFlow Serving's."""

    max_batch_size: int = 1000  # most rows of a request; of a batch too, where splitting is off
    batch_timeout_micros: int = 0  # how long the first row of a batch waits for others
    max_enqueued_batches: int = 10  # for each queue: one version, one set of inputs and outputs
    num_batch_threads: int = os.cpu_count() or 1  # batches computed at a time
    thread_pool_name: str = "batch_threads"  # label of the metrics
    allowed_batch_sizes: tuple[int, ...] = ()  # a batch is filled up to the next of them
    pad_variable_length_inputs: bool = False  # fill up inner dimensions that differ between requests
    enable_large_batch_splitting: bool = False  # a request may become several batches
    max_execution_batch_size: int = 0  # most rows of a batch where splitting is on

    @property
    def batch_rows(self) -> int:
        """Most rows of one batch."""
        return self.max_execution_batch_size if self.enable_large_batch_splitting else self.max_batch_size

    def padded_rows(self, rows: int) -> int:
        """Return the rows that a batch of so many is filled up to."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)


def read_batching_parameters(path: Path) -> BatchingParameters:
    """Return the parameters of a text file.

    Raises:
        ServingError: no such file, no BatchingParameters, or values with which TensorFlow Serving would load no model.
    """
    message = read(path, message_class("BatchingParameters"))
    given: dict[str, Any] = {field.name: getattr(value, "value", value) for field, value in message.ListFields()}
    if "allowed_batch_sizes" in given:
        given["allowed_batch_sizes"] = tuple(given["allowed_batch_sizes"])
    parameters = BatchingParameters(**given)
    if reason := _fault(parameters, given):
        raise ServingError(f"{path}: {reason}")
    return parameters


def _fault(parameters: BatchingParameters, given: dict[str, Any]) -> str:
    for name, least in (
        ("max_batch_size", 1),
        ("batch_timeout_micros", 0),
        ("max_enqueued_batches", 1),
        ("num_batch_threads", 1),
    ):
        if getattr(parameters, name) < least:
            return f"{name} is {getattr(parameters, name)}; expected {least} or more."
    if parameters.enable_large_batch_splitting:
        if not {"max_batch_size", "max_execution_batch_size"} <= set(given):
            return (
                "enable_large_batch_splitting needs both max_batch_size, the limit of a request, and "
                "max_execution_batch_size, that of a batch: TensorFlow Serving reads one that is missing as 0."
            )
        if not 1 <= parameters.max_execution_batch_size <= parameters.max_batch_size:
            return (
                f"max_execution_batch_size is {parameters.max_execution_batch_size}; "
                f"expected 1 to max_batch_size, {parameters.max_batch_size}."
            )
    sizes = parameters.allowed_batch_sizes
    if any(size < 1 for size in sizes) or list(sizes) != sorted(set(sizes)):
        return f"allowed_batch_sizes entries must be monotonically increasing, from 1 on; they are {list(sizes)}."
    if sizes and sizes[-1] != parameters.batch_rows:
        limit = "max_execution_batch_size" if parameters.enable_large_batch_splitting else "max_batch_size"
        return (
            f"Last entry in allowed_batch_sizes must match {limit}; "
            f"last entry was {sizes[-1]}; expected {parameters.batch_rows}"
        )
    return ""
