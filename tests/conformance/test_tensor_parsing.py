"""What a server reads from a TensorProto: SERVING.md section 2's table, row by row."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from wire import status_of

FLOAT, INT8, STRING = 1, 6, 7


def tensor(dtype=FLOAT, shape=None, **fields):
    message = tensor_pb2.TensorProto(dtype=dtype, **fields)
    for size in shape or ():
        message.tensor_shape.dim.add(size=size)
    return message


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (tensor(shape=[4], float_val=[1.5]), [1.5] * 4),
        (tensor(shape=[4], float_val=[1, 2]), [1, 2, 2, 2]),
        (tensor(shape=[2], float_val=[1, 2, 3]), [1, 2]),
        (tensor(shape=[3]), [0, 0, 0]),
        (tensor(shape=[2], int_val=[3]), [0, 0]),
        (tensor(shape=[1], float_val=[1], tensor_content=np.float32(7).tobytes()), [7]),
        (tensor(float_val=[2.5]), 2.5),
        (tensor(float_val=[2.5], tensor_shape={"unknown_rank": True}), 2.5),
    ],
    ids=["fills", "last repeats", "extra", "none", "int_val", "content wins", "no shape", "unknown rank"],
)
def test_floats(toy, message, expected):
    outputs = toy.predict("two", a=message, b=0.0).outputs
    assert tf.make_ndarray(outputs["sum"]).tolist() == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (tensor(STRING, [3], string_val=[b"abc"]), [3, 3, 3]),
        (tensor(STRING, [2], string_val=[b"a\0", b""]), [2, 0]),
        (tensor(STRING, [2]), [0, 0]),
        (tensor(STRING, [2], tensor_content=b"\x01\x02abc"), [1, 2]),
    ],
    ids=["fills", "NUL", "none", "content"],
)
def test_strings(toy, message, expected):
    outputs = toy.predict("encode_image", images=message, output_filter=["image_features"]).outputs
    assert tf.make_ndarray(outputs["image_features"])[:, 0].tolist() == expected


def test_small_integers_wrap(toy):
    assert list(toy.predict("small", x=tensor(INT8, [2], int_val=[300, -1])).outputs["x"].int_val) == [44, -1]


@pytest.mark.parametrize(
    "message",
    [
        tensor(0, float_val=[1]),
        tensor(99, float_val=[1]),
        tensor(shape=[-3], float_val=[1]),
        tensor(shape=[2**20, 2**20]),
        tensor(shape=[2**40, 2**40]),
        tensor(shape=[4], tensor_content=b"12345678"),
        tensor(shape=[1], tensor_content=b"12345678"),
    ],
    ids=["dtype 0", "dtype 99", "negative", "terabytes", "overflow", "short content", "long content"],
)
def test_what_does_not_parse(toy, message):
    found = status_of(lambda: toy.predict("two", a=message, b=0.0))
    assert found == ("INVALID_ARGUMENT", "tensor parsing error: a")
