"""Prometheus' text form, by hand and by its own parser."""

import threading

from prometheus_client.parser import text_string_to_metric_families

from dafsn_server import metrics
from dafsn_server.metrics import Counter, Histogram, Metrics


def test_a_counter():
    counter = Counter(":a:count", "name", "status")
    counter.add("x", "OK")
    counter.add("x", "OK", amount=2.5)
    counter.add('q"\\\n', "OK")
    assert list(counter.expose()) == [
        "# TYPE :a:count counter",
        ':a:count{name="q\\"\\\\\\n",status="OK"} 1',
        ':a:count{name="x",status="OK"} 3.5',
    ]


def test_a_histogram_counts_up():
    histogram = Histogram(":a:latency", "name", start=10, factor=2, count=3)
    for microseconds in (5, 10, 15, 20, 1000):
        histogram.observe(microseconds, "x")
    assert list(histogram.expose()) == [
        "# TYPE :a:latency histogram",
        ':a:latency_bucket{name="x",le="10"} 2',
        ':a:latency_bucket{name="x",le="20"} 4',
        ':a:latency_bucket{name="x",le="40"} 4',
        ':a:latency_bucket{name="x",le="+Inf"} 5',
        ':a:latency_sum{name="x"} 1050',
        ':a:latency_count{name="x"} 5',
    ]


def test_names_of_callers_do_not_take_the_memory(monkeypatch):
    monkeypatch.setattr(metrics, "_MAX_SERIES", 3)
    counter = Counter(":a:count", "name")
    for name in "abcdef":
        counter.add(name)
    assert list(counter.expose())[1:] == [
        ':a:count{name="(other)"} 3',
        ':a:count{name="a"} 1',
        ':a:count{name="b"} 1',
        ':a:count{name="c"} 1',
    ]


def test_prometheus_reads_it_and_no_count_is_lost():
    counted = Metrics()
    threads = [
        threading.Thread(target=lambda: [counted.request_count.add("m", "OK") for _ in range(1000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted.queuing_latency.observe(150.0, "pool")
    # The parser ends the names of counters with `_total`, whatever the text says.
    samples = {
        (sample.name.removesuffix("_total"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(counted.expose())
        for sample in family.samples
    }
    assert samples[(":tensorflow:serving:request_count", "m", "OK")] == 4000
    assert samples[(":tensorflow:serving:batching_session:queuing_latency_bucket", "pool", "144")] == 0
    assert samples[(":tensorflow:serving:batching_session:queuing_latency_bucket", "pool", "172.8")] == 1
