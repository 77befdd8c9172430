"""Predict: SERVING.md section 2, for what a client can provoke with a model made for it."""

import threading

import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from wire import status_of, turns

X = [[1.0, 2.0]]


def test_an_answer_names_model_version_and_signature(toy):
    response = toy.predict(texts=["abc"])
    assert response.model_spec.name == "toy"
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"
    assert set(response.outputs) == {"sentence_features", "word_features", "word_mask", "word_offsets", "status"}
    assert list(response.outputs["sentence_features"].float_val) == [6.0] * 4
    assert not response.outputs["sentence_features"].tensor_content


def test_a_version_that_is_not_loaded(toy):
    expected = ("NOT_FOUND", "Servable not found for request: Specific(toy, 1)")
    assert status_of(lambda: toy.predict(version=1, texts=["a"])) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"signature": "two", "a": X},
            "input size does not match signature: 1!=2 len({a}) != len({a,b}). "
            "Sent extra: {}. Missing but required: {b}.",
        ),
        (
            {"signature": "dense", "x": X, "z": X},
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). "
            "Sent extra: {z}. Missing but required: {}.",
        ),
        (
            {"signature": "two", "a": X, "c": X},
            "Signature input alias: b(feed name: two_b:0) not found in request and no default value provided. "
            "Inputs expected to be in the request {a,c}, or default input alias set: ",
        ),
        (
            {"signature": "defaulted", "a": X, "c": X},
            "Inputs contains invalid name. Used request inputs: a, request input: a,c",
        ),
        (
            {"signature": "dense", "x": tensor_pb2.TensorProto(dtype=1, tensor_content=b"123")},
            "tensor parsing error: x",
        ),
        (
            {"signature": "dense", "x": X, "output_filter": ["y", "z"]},
            "output tensor alias not found in signature: z Outputs expected to be in the set {half,y}.",
        ),
        ({"signature": "dense", "x": X, "output_filter": ["y", "y"]}, "duplicate output tensor alias: y"),
        (
            {"signature": "dense", "x": tf.make_tensor_proto(X, tf.float64)},
            "Expects arg[0] to be float but double is provided",
        ),
        ({"signature": "dense", "x": ["a"]}, "Expects arg[0] to be float but string is provided"),
    ],
)
def test_refusals_before_the_graph(toy, arguments, message):
    assert status_of(lambda: toy.predict(**arguments)) == ("INVALID_ARGUMENT", message)


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


def test_rows_that_differ_may_be_broadcast_in_silence(toy):
    added = toy.predict("two", a=[[1.0]] * 3, b=X).outputs["sum"]
    assert tf.make_ndarray(added).tolist() == [[2.0, 3.0]] * 3


def test_long_messages_are_cut(toy):
    code, details = status_of(lambda: toy.predict("guarded", x=tf.make_tensor_proto([1, 20], tf.int64)))
    assert code == "INVALID_ARGUMENT"
    assert details.startswith("assertion failed: [too big")
    assert details.endswith("...TRUNCATED")
    assert len(details.encode()) == 1024 + len("...TRUNCATED")


def test_no_rows_are_answered_with_no_rows(toy):
    empty = tensor_pb2.TensorProto(dtype=7, tensor_shape=tf.TensorShape([0]).as_proto())
    assert tf.make_ndarray(toy.predict(texts=empty).outputs["word_features"]).shape == (0, 3, 4)


def test_a_call_without_deadline_is_answered(toy):
    assert toy.predict(texts=["a"], timeout=None).model_spec.version.value == 2


def test_requests_run_beside_a_long_one(toy):
    done = threading.Event()

    def long():
        toy.predict("slow", turns=turns(100_000))
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


def test_an_input_with_a_default_may_be_left_out(toy):
    assert list(toy.predict("defaulted", a=[1.0]).outputs["sum"].float_val) == [11.0]
    assert list(toy.predict("defaulted", a=[1.0], b=[2.0]).outputs["sum"].float_val) == [3.0]
