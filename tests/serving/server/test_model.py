"""One loaded version: what does not load, warm-up, deadlines."""

import shutil

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from dafsn_server.model import LoadedModel
from dafsn_server.refusal import Refusal
from dafsn_server.server import Server
from dafsn_server.warmup import warm_up
from dafsn_tf.errors import ServingError


@pytest.fixture(scope="module")
def model(toy_versions):
    loaded = LoadedModel(toy_versions / "1")
    yield loaded
    loaded.close()


def test_a_deadline_ends_the_graph(model):
    feeds = {model.signatures["slow"].inputs["turns"].name: np.array([10**9])}
    fetches = [model.signatures["slow"].outputs["count"].name]
    with pytest.raises(Refusal, match="Timed out waiting for notification") as caught:
        model.run(feeds, fetches, timeout=0.1)
    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_tensor_that_is_not_there_is_a_refusal(model):
    with pytest.raises(Refusal, match="Tensor NoOp, specified in the signature, is not in the graph"):
        model.run({}, [model.signatures["__saved_model_init_op"].outputs["__saved_model_init_op"].name])


def test_a_truncated_model_is_a_refusal(toy_versions, tmp_path):
    shutil.copytree(toy_versions / "1", tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(Refusal, match="parse"):
        LoadedModel(tmp_path / "1")


def test_warm_up_replays_records(toy_versions, tmp_path):
    folder = with_records(toy_versions, tmp_path, ["abc"], ["de", "f"])
    model = LoadedModel(folder)
    assert warm_up(model) == 2
    model.close()


def test_a_failing_warm_up_fails_the_version(toy_versions, tmp_path):
    with_records(toy_versions, tmp_path, ["abc"], [["rank 2"]])
    with pytest.raises(ServingError, match="is not compatible with expected shape"):
        Server({"dafsn": tmp_path}, port=0, host="127.0.0.1")


def with_records(toy_versions, base_path, *batches):
    """A copy of version 1 that carries one warm-up request for each batch of texts."""
    folder = base_path / "1"
    shutil.copytree(toy_versions / "1", folder)
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        for texts in batches:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.inputs["texts"].CopyFrom(tf.make_tensor_proto(texts))
            writer.write(log.SerializeToString())
    return folder
