"""Tensors as this server reads and writes them; what any server reads is in tests/conformance."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from dafsn_server.refusal import Refusal
from dafsn_server.tensors import set_proto, to_array


def proto(dtype, shape, **fields):
    message = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    return message


@pytest.mark.parametrize(
    "message",
    [
        proto(20, [1]),
        proto(1, [2**28]),
        proto(7, [2**24], string_val=[b"a"]),
        proto(7, [2], tensor_content=b"\x09abc"),
    ],
    ids=["resource", "a gigabyte of zeros", "a text many times", "texts beyond the content"],
)
def test_what_does_not_parse_is_named(message):
    with pytest.raises(Refusal, match=r"^tensor parsing error: images$"):
        to_array(message, "images")


def test_big_payloads_are_not_mistaken_for_lies():
    values = np.zeros(5 << 20, np.int64)
    assert to_array(proto(9, [len(values)], int64_val=values.tolist()), "x").shape == values.shape


@pytest.mark.parametrize(
    "dtype",
    [
        *("float16", "bfloat16", "float32", "float64", "complex64", "complex128", "bool"),
        *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    ],
)
@pytest.mark.parametrize("shape", [(2, 3), (0, 2), ()])
def test_answers_are_tensorflows_typed_values(dtype, shape):
    value = tf.cast(tf.reshape(tf.range(np.prod(shape, dtype=int)), shape), dtype).numpy()
    message = tensor_pb2.TensorProto()
    set_proto(message, value)
    assert not message.tensor_content
    assert message.dtype == tf.as_dtype(dtype).as_datatype_enum
    assert tf.make_ndarray(message).tolist() == value.tolist()


def test_string_answers():
    message = tensor_pb2.TensorProto()
    set_proto(message, np.array([[b"a", b"\0"]], dtype=object))
    assert message == tf.make_tensor_proto([[b"a", b"\0"]])
    scalar = tensor_pb2.TensorProto()
    set_proto(scalar, b"a")
    assert scalar == tf.make_tensor_proto(b"a")
