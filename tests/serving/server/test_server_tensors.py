import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from dafsn_server.refusal import Refusal
from dafsn_server.tensors import set_proto, to_array


def proto(dtype=1, shape=None, **fields):
    message = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape or ():
        message.tensor_shape.dim.add(size=size)
    return message


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (proto(shape=[4], float_val=[1.5]), [1.5] * 4),
        (proto(shape=[4], float_val=[1, 2]), [1, 2, 2, 2]),
        (proto(shape=[2], float_val=[1, 2, 3]), [1, 2]),
        (proto(shape=[3]), [0, 0, 0]),
        (proto(7, [2]), [b"", b""]),
        (proto(7, [3], string_val=[b"a"]), [b"a"] * 3),
        (proto(7, [2], string_val=[b"a\0", b""]), [b"a\0", b""]),
        (proto(7, [2], tensor_content=b"\x01\x02abc"), [b"a", b"bc"]),
        (proto(int_val=[3], shape=[2]), [0, 0]),
        (proto(shape=[1], float_val=[1], tensor_content=np.float32(7).tobytes()), [7]),
        (proto(6, [1], int_val=[300]), [44]),
        (proto(float_val=[2.5]), 2.5),
    ],
)
def test_reading_equals_the_real_servers(message, expected):
    assert to_array(message, "x").tolist() == expected


def test_unknown_rank_is_a_scalar():
    message = proto(float_val=[2.5])
    message.tensor_shape.unknown_rank = True
    assert to_array(message, "x").shape == ()


@pytest.mark.parametrize(
    "message",
    [
        proto(shape=[2], tensor_content=b"1234567"),
        proto(shape=[-1], float_val=[1]),
        proto(0, [1]),
        proto(99, [1]),
        proto(20, [1]),
        proto(shape=[2**20, 2**20]),
        proto(shape=[2**40, 2**40]),
        proto(shape=[2**28]),
        proto(7, [2**24], string_val=[b"a"]),
        proto(7, [2], tensor_content=b"\x09abc"),
    ],
    ids=lambda message: str(message.dtype),
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
