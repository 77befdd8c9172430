"""Metrics by the names TensorFlow Serving gives them, in Prometheus' text form.

Written here because Prometheus' own client ends the names of counters with `_total`, which that server does not:
dashboards and alerts made for one must work with the other.
"""

import itertools
import threading
from bisect import bisect_left
from collections.abc import Iterable

_MAX_SERIES = 1000  # of one metric; names come from callers, and memory is not theirs to take
_OTHER = "(other)"


class _Metric:
    kind = ""

    def __init__(self, name: str, *labels: str) -> None:
        self.name = name
        self._labels = labels
        self._lock = threading.Lock()
        self._series: dict[tuple[str, ...], list[float]] = {}

    def expose(self) -> Iterable[str]:
        """Yield the lines of this metric."""
        with self._lock:
            series = {values: list(cells) for values, cells in sorted(self._series.items())}
        yield f"# TYPE {self.name} {self.kind}"
        for values, cells in series.items():
            pairs = [f'{label}="{_escaped(value)}"' for label, value in zip(self._labels, values, strict=True)]
            yield from self._lines(pairs, cells)

    def _lines(self, pairs: list[str], cells: list[float]) -> Iterable[str]:
        raise NotImplementedError

    def _cells(self, values: tuple[str, ...], count: int) -> list[float]:
        """Return the numbers of one combination of labels; beyond a limit, those of `(other)`."""
        cells = self._series.get(values)
        if cells is None:
            if len(self._series) >= _MAX_SERIES:
                values = (_OTHER,) * len(self._labels)
            cells = self._series.setdefault(values, [0.0] * count)
        return cells


class Counter(_Metric):
    """Counts."""

    kind = "counter"

    def add(self, *values: str, amount: float = 1.0) -> None:
        """Add to the count of one combination of label values."""
        with self._lock:
            self._cells(values, 1)[0] += amount

    def _lines(self, pairs: list[str], cells: list[float]) -> Iterable[str]:
        yield f"{self.name}{_braced(pairs)} {_number(cells[0])}"


class Histogram(_Metric):
    """Counts of microseconds in buckets that grow by a factor."""

    kind = "histogram"

    def __init__(self, name: str, *labels: str, start: float = 10.0, factor: float = 1.8, count: int = 33) -> None:
        super().__init__(name, *labels)
        self._limits = list(itertools.accumulate(range(count - 1), lambda limit, _: limit * factor, initial=start))

    def observe(self, microseconds: float, *values: str) -> None:
        """Count one duration under a combination of label values."""
        index = bisect_left(self._limits, microseconds)
        with self._lock:
            cells = self._cells(values, len(self._limits) + 2)  # buckets, the one without limit, the sum
            cells[index] += 1
            cells[-1] += microseconds

    def _lines(self, pairs: list[str], cells: list[float]) -> Iterable[str]:
        *buckets, total = cells
        counts = list(itertools.accumulate(buckets))
        for limit, count in zip([*map(_number, self._limits), "+Inf"], counts, strict=True):
            bound = f'le="{limit}"'
            yield f"{self.name}_bucket{_braced([*pairs, bound])} {_number(count)}"
        yield f"{self.name}_sum{_braced(pairs)} {_number(total)}"
        yield f"{self.name}_count{_braced(pairs)} {_number(counts[-1])}"


class Metrics:
    """Everything that is counted, one object for one server."""

    def __init__(self) -> None:
        serving, saved_model = ":tensorflow:serving:", ":tensorflow:cc:saved_model:"
        self.request_count = Counter(f"{serving}request_count", "model_name", "status")
        self.request_latency = Histogram(f"{serving}request_latency", "model_name", "API", "entrypoint")
        self.runtime_latency = Histogram(f"{serving}runtime_latency", "model_name", "API", "runtime")
        self.warmup_latency = Histogram(f"{serving}model_warmup_latency", "model_path", "status")
        self.queuing_latency = Histogram(
            f"{serving}batching_session:queuing_latency", "thread_pool_name", start=100.0, factor=1.2, count=52
        )
        self.wrapped_run_count = Counter(f"{serving}batching_session:wrapped_run_count")
        self.load_attempt_count = Counter(f"{saved_model}load_attempt_count", "model_path", "status")
        self.load_latency = Counter(f"{saved_model}load_latency", "model_path")

    def expose(self) -> str:
        """Return the text that Prometheus reads."""
        metrics: list[_Metric] = list(vars(self).values())
        return "\n".join(line for metric in metrics for line in metric.expose()) + "\n"


def _braced(pairs: list[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _number(value: float) -> str:
    return f"{value:.10g}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
