"""Predict: SERVING.md section 2, row by row, for what a client can provoke."""

import threading

import pytest
import tensorflow as tf
from protocol import status_of
from tensorflow.core.framework import tensor_pb2

X = [[1.0, 2.0]]


def test_an_answer_names_model_version_and_signature(toy):
    response = toy.predict(texts=["abc"])
    assert response.model_spec.name == "toy"
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"
    assert set(response.outputs) == {"sentence_features", "word_features", "word_mask", "word_offsets", "status"}
    assert list(response.outputs["sentence_features"].float_val) == [6.0] * 4
    assert not response.outputs["sentence_features"].tensor_content


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ({"name": ""}, "INVALID_ARGUMENT", "ModelSpec has no name specified."),
        ({"name": "cats"}, "NOT_FOUND", "Servable not found for request: Latest(cats)"),
        ({"name": "cats", "version": 7}, "NOT_FOUND", "Servable not found for request: Specific(cats, 7)"),
        ({"version": 1}, "NOT_FOUND", "Servable not found for request: Specific(toy, 1)"),
        ({"version": 0}, "NOT_FOUND", "Servable not found for request: Specific(toy, 0)"),
        ({"label": "stable"}, "INVALID_ARGUMENT", "Unrecognized servable version label: stable"),
        ({"name": "cats", "label": "x"}, "INVALID_ARGUMENT", "Unrecognized servable version label: x"),
        ({"signature": "nothing"}, "FAILED_PRECONDITION", 'Serving signature key "nothing" not found.'),
        (
            {"signature": "two", "a": X},
            "INVALID_ARGUMENT",
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). "
            "Sent extra: {}. Missing but required: {b}.",
        ),
        (
            {"signature": "dense", "x": X, "z": X},
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). "
            "Sent extra: {z}. Missing but required: {}.",
        ),
        (
            {"signature": "two", "a": X, "c": X},
            "INVALID_ARGUMENT",
            "Signature input alias: b(feed name: two_b:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {a,c}, or default input alias set: ",
        ),
        (
            {"signature": "dense", "x": tensor_pb2.TensorProto(dtype=1, tensor_content=b"123")},
            "INVALID_ARGUMENT",
            "tensor parsing error: x",
        ),
        (
            {"signature": "dense", "x": X, "output_filter": ["y", "z"]},
            "INVALID_ARGUMENT",
            "output tensor alias not found in signature: z Outputs expected to be in the set {half,y}.",
        ),
        (
            {"signature": "dense", "x": X, "output_filter": ["y", "y"]},
            "INVALID_ARGUMENT",
            "duplicate output tensor alias: y",
        ),
        (
            {"signature": "dense", "x": tf.make_tensor_proto(X, tf.float64)},
            "INVALID_ARGUMENT",
            "Expects arg[0] to be float but double is provided",
        ),
        ({"signature": "dense", "x": ["a"]}, "INVALID_ARGUMENT", "Expects arg[0] to be float but string is provided"),
    ],
)
def test_refusals_before_the_graph(toy, arguments, code, message):
    assert status_of(lambda: toy.predict(**arguments)) == (code, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"signature": "dense", "x": [[1.0, 2.0, 3.0]]}, "Matrix size-incompatible: In[0]: [1,3], In[1]: [2,3]"),
        ({"signature": "dense", "x": [1.0, 2.0]}, "In[0]"),
        ({"signature": "two", "a": [[1.0]] * 3, "b": [X[0]] * 2}, "Incompatible shapes: [3,1] vs. [2,2]"),
        ({"texts": [["a"]]}, "[1,1] is not compatible with expected shape [?]"),
        ({"texts": "a"}, "[] is not compatible with expected shape [?]"),
    ],
)
def test_refusals_of_the_graph(toy, arguments, message):
    code, details = status_of(lambda: toy.predict(**arguments))
    assert code == "INVALID_ARGUMENT"
    assert message in details
    assert "{{node " in details


def test_long_messages_are_cut(toy):
    code, details = status_of(lambda: toy.predict("guarded", x=tf.make_tensor_proto([1, 20], tf.int64)))
    assert code == "INVALID_ARGUMENT"
    assert details.startswith("assertion failed: [too big")
    assert details.endswith("...TRUNCATED")
    assert len(details.encode()) == 1024 + len("...TRUNCATED")


def test_no_rows_are_answered_with_no_rows(toy):
    empty = tensor_pb2.TensorProto(dtype=7, tensor_shape=tf.TensorShape([0]).as_proto())
    assert tf.make_ndarray(toy.predict(texts=empty).outputs["word_features"]).shape == (0, 3, 4)


def test_twelve_bytes_that_declare_a_gigabyte(toy):
    bomb = tensor_pb2.TensorProto(dtype=1, tensor_shape=tf.TensorShape([2**28]).as_proto())
    assert status_of(lambda: toy.predict("dense", x=bomb)) == ("INVALID_ARGUMENT", "tensor parsing error: x")


def test_messages_over_grpcs_default_limit_come_in(toy):
    images = tf.make_tensor_proto([bytes(6 << 20)])
    assert toy.predict("encode_image", images=images).outputs["image_features"].float_val[0] == 6 << 20


def test_a_call_without_deadline_is_answered(toy):
    assert toy.predict(texts=["a"], timeout=None).model_spec.version.value == 2


def test_requests_run_beside_a_long_one(toy):
    done = threading.Event()

    def long():
        toy.predict("slow", turns=tf.make_tensor_proto([100_000], tf.int64), timeout=30)
        done.set()

    thread = threading.Thread(target=long)
    thread.start()
    toy.predict(texts=["a"])
    assert not done.is_set()
    thread.join()
    assert done.is_set()


def test_no_signature_is_the_default_one(toy):
    assert toy.predict("", texts=["a"]).outputs == toy.predict("serving_default", texts=["a"]).outputs


def test_the_output_filter_leaves_out_the_rest(toy):
    assert set(toy.predict(texts=["a"], output_filter=["status"]).outputs) == {"status"}


def test_values_are_repeated_to_fill_a_shape(toy):
    short = tensor_pb2.TensorProto(dtype=1, tensor_shape=tf.TensorShape([2, 2]).as_proto(), float_val=[1.0, 3.0])
    assert list(toy.predict("dense", x=short, output_filter=["y"]).outputs["y"].float_val)[3:] == [66.0, 132.0, 198.0]


@pytest.mark.parametrize(
    "tensor",
    [
        tensor_pb2.TensorProto(dtype=0, float_val=[1.0]),
        tensor_pb2.TensorProto(dtype=99, float_val=[1.0]),
        tensor_pb2.TensorProto(dtype=1, tensor_shape={"dim": [{"size": -3}]}, float_val=[1.0]),
        tensor_pb2.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 2**40}, {"size": 2**40}]}),
        tensor_pb2.TensorProto(dtype=1, tensor_shape={"dim": [{"size": 4}]}, tensor_content=b"12345678"),
    ],
)
def test_tensors_that_do_not_parse(toy, tensor):
    assert status_of(lambda: toy.predict("dense", x=tensor)) == ("INVALID_ARGUMENT", "tensor parsing error: x")
