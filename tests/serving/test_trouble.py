"""The benchmark's scenarios, at a smaller size: what must hold whatever the speed."""

import numpy as np
import pytest
from tensorflow import make_tensor_proto
from tensorflow_serving.apis import predict_pb2

from dafsn_client import protocol
from dafsn_tf.export import ExportOptions, export_run
from scenarios.agreement import session_against_process
from scenarios.first_answer import decoding, first_answer
from scenarios.hostile import hostile, is_right
from scenarios.hostile_inputs import bombs, hostile_requests
from scenarios.interruptions import hot_swap, kill, killed_job


@pytest.fixture(scope="module")
def models(tiny_run, tmp_path_factory):
    data, run = tiny_run
    folder = tmp_path_factory.mktemp("models") / "dafsn"
    export_run(run, folder, data=data, options=ExportOptions(split="test"))
    return folder


def test_hostile_requests_are_answered_or_refused_one_by_one(models):
    figures = hostile(models, 250)
    assert figures["wrong answers"] == 0, figures["first wrong"]
    assert figures["server lives"]
    assert figures["slowest answer, s"] < 20
    assert figures["memory after, MB"] < 1.3 * figures["memory before, MB"] + 50


def test_hostile_requests_hold_every_kind():
    kinds = {kind for kind, _, _ in hostile_requests(250)}
    assert kinds >= {"image", "text", "pair", "random", "bomb", "dtype", "shape", "names", "signature", "gigabyte"}
    assert max(len(data) for data, _ in bombs().values()) < 2_500_000


@pytest.mark.parametrize(
    ("statuses", "features", "right"),
    [
        ([12, 0], [[0, 0], [0.5, 0]], True),
        ([0, 0], [[0.1, 0], [0.5, 0]], False),  # the bomb was decoded
        ([12, 14], [[0, 0], [0, 0]], False),  # its neighbour is refused
        ([12, 0], [[0, 0], [0, 0]], False),
        ([12, 0], [[0, 0], [np.nan, 0]], False),
        ([12, 0], [[0, 0.1], [0.5, 0]], False),
        ([14, 0], [[0, 0], [0.5, 0]], False),
        ([12], [[0, 0]], False),
    ],
)
def test_only_the_right_status_is_right(statuses, features, right):
    sent = predict_pb2.PredictResponse()
    sent.outputs["status"].CopyFrom(make_tensor_proto(np.array(statuses, np.int32)))
    sent.outputs["features"].CopyFrom(make_tensor_proto(np.array(features, np.float32)))
    answer = protocol.PredictResponse.FromString(sent.SerializeToString())
    assert is_right("OK", answer, [{12}, {0}]) == right
    assert not is_right("INTERNAL", None, [{12}, {0}])
    assert not is_right("OK", answer, "INVALID_ARGUMENT")
    assert is_right("INVALID_ARGUMENT", None, "INVALID_ARGUMENT")


def test_every_signature_answers_in_a_session_as_in_the_process(models, tiny_run):
    data, run = tiny_run
    figures = session_against_process(models, run.path, data)
    signatures = {name.split(",")[0] for name in figures if name.endswith("max abs difference")}
    assert signatures == {
        "serving_default", "encode_text", "encode_image", "similarity", "search", "search_by_image"
    }  # fmt: skip
    assert max(figure for name, figure in figures.items() if name.endswith("max abs difference")) <= 1e-5
    assert figures["above 1e-05"] == 0


@pytest.mark.slow
def test_callers_of_a_killed_server_see_typed_errors_and_recover(models):
    figures = kill(models)
    assert figures["wrong answers"] == 0
    assert figures["untyped errors"] == 0, figures["kinds"]
    assert figures["errors from 3 s after it"] == 0
    assert figures["first answer after the restart, s"] < 3


@pytest.mark.slow
def test_a_job_whose_server_is_killed_goes_on_and_loses_no_line(models):
    figures = killed_job(models, 3000)
    assert figures["job: exit code when the server was killed"] == 1
    assert 0 < figures["job: answers in the file then"] < 3000
    assert figures["job: of these lost or changed"] == 0
    assert figures["job: lines after going on"] == figures["job: lines with the right answer in their place"] == 3000


@pytest.mark.slow
def test_versions_are_exchanged_without_a_failed_or_mixed_answer():
    figures = hot_swap(1000)
    assert (figures["failed"], figures["mixed answers"]) == (0, 0)
    assert figures["requests"] >= 1000
    assert figures["answers by version"].count(":") == 4


@pytest.mark.slow
def test_a_client_starts_quickly_and_small(models):
    figures = first_answer(models, 3)
    assert figures["from the first import, s (median)"] < 1
    assert figures["from the first import, s (median)"] < figures["from the start of the interpreter, s (median)"]
    assert figures["peak memory, MB"] < 80
    assert not figures["TensorFlow loaded"]
    assert 20 < figures["installed, MB"] < 100
    assert {"grpcio", "protobuf", "numpy", "dafsn-client"} <= set(figures["of which"].replace(",", "").split())
    assert decoding()["256 x 512 floats from a parsed answer, ms (median)"] < 0.1
