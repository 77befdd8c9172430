"""The benchmark's scenarios, at a smaller size: what must hold whatever the speed."""

import runpy
from pathlib import Path

import pytest

from dafsn_tf.export import ExportOptions, export_run


@pytest.fixture(scope="module")
def benchmark():
    return runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "serving.py"))


@pytest.fixture(scope="module")
def models(tiny_run, tmp_path_factory):
    data, run = tiny_run
    folder = tmp_path_factory.mktemp("models") / "dafsn"
    export_run(run, folder, data=data, options=ExportOptions(top_k=3))
    return folder


def test_hostile_requests_are_answered_or_refused_one_by_one(benchmark, models):
    figures = benchmark["hostile"](models, 250)
    assert figures["wrong answers"] == 0, figures["first wrong"]
    assert figures["server lives"]
    assert figures["memory after, MB"] < 1.3 * figures["memory before, MB"] + 50


def test_hostile_requests_hold_every_kind(benchmark):
    kinds = {kind for kind, _, _ in benchmark["hostile_requests"](250)}
    assert kinds >= {"image", "text", "pair", "random", "bomb", "dtype", "shape", "names", "signature", "gigabyte"}


def test_callers_of_a_killed_server_see_typed_errors_and_recover(benchmark, models):
    figures = benchmark["kill"](models)
    assert figures["wrong answers"] == 0
    assert figures["untyped errors"] == 0, figures["kinds"]
    assert figures["errors from 3 s after it"] == 0
    assert figures["first answer after the restart, s"] < 3


def test_versions_are_exchanged_without_a_failed_or_mixed_answer(benchmark):
    figures = benchmark["hot_swap"](1000)
    assert (figures["failed"], figures["mixed answers"]) == (0, 0)
    assert figures["requests"] >= 1000
    assert figures["answers by version"].count(":") == 4


def test_a_client_starts_quickly_and_small(benchmark, models):
    figures = benchmark["first_answer"](models, 3)
    assert figures["first answer, s (median)"] < 1
    assert figures["peak memory, MB"] < 80
    assert not figures["TensorFlow loaded"]
    assert benchmark["decoding"]()["256 x 512 floats, ms (median)"] < 0.1
