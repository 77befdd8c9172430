import numpy as np
import pytest

from dafsn_client import InputError, ProtocolError, protocol, tensors


def received(**fields):
    """A tensor as it comes out of an answer."""
    shape = fields.pop("shape", None)
    sent = protocol.TensorProto(**fields)
    for size in shape or ():
        sent.tensor_shape.dim.add(size=size)
    response = protocol.PredictResponse()
    return type(response.outputs["x"]).FromString(sent.SerializeToString())


def test_python_numbers_travel_as_float32_and_int64():
    assert tensors.to_proto([1.5]).dtype == 1
    assert tensors.to_proto([1]).dtype == 9
    assert tensors.to_proto(np.array([1.5])).dtype == 2


def test_strings_keep_trailing_zero_bytes_and_become_utf8():
    assert list(tensors.to_proto(["ü", b"x\0\0"]).string_val) == ["ü".encode(), b"x\0\0"]
    assert list(tensors.to_proto(np.array([["ü"]])).string_val) == ["ü".encode()]


def test_arrays_in_any_memory_order_travel_in_rows():
    columns = np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3))
    assert tensors.to_proto(columns).tensor_content == np.arange(6, dtype="<i4").tobytes()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1.0], [1.0, 2.0]], "x is ragged"),
        ([["a"], ["b", "c"]], "x holds list where a text"),
        (["a", 1], "x holds int where a text"),
        ([None], "x holds NoneType"),
        (["\ud800"], "lone surrogate"),
        (np.array(["2020-01-01"], "datetime64[D]"), "which a tensor cannot hold"),
    ],
)
def test_what_no_tensor_can_hold_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        tensors.to_proto(value, "x")


def test_few_values_repeat_the_last_and_none_are_zeros():
    assert tensors.from_proto(received(dtype=1, shape=[4], float_val=[1, 2])).tolist() == [1, 2, 2, 2]
    assert tensors.from_proto(received(dtype=1, shape=[2], float_val=[1, 2, 3])).tolist() == [1, 2]
    assert tensors.from_proto(received(dtype=3, shape=[3])).tolist() == [0, 0, 0]
    assert tensors.from_proto(received(dtype=7, shape=[2])).tolist() == [b"", b""]
    assert tensors.from_proto(received(dtype=7, shape=[2], string_val=[b"a"])).tolist() == [b"a", b"a"]


def test_a_tensor_without_shape_is_a_scalar():
    scalar = tensors.from_proto(received(dtype=1, float_val=[2.5]))
    assert scalar.shape == ()
    assert scalar == 2.5


@pytest.mark.parametrize(
    ("number", "field", "values", "dtype"),
    [
        (4, "int_val", [255], "uint8"),
        (6, "int_val", [-3], "int8"),
        (22, "uint32_val", [2**32 - 1], "uint32"),
        (23, "uint64_val", [2**64 - 1], "uint64"),
        (10, "bool_val", [True], "bool"),
        (19, "half_val", [0x3C00], "float16"),
    ],
)
def test_small_and_unsigned_types(number, field, values, dtype):
    read = tensors.from_proto(received(dtype=number, shape=[1], **{field: values}))
    assert read.dtype == dtype
    assert read.tolist() == ([1.0] if dtype == "float16" else values)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dtype": 1, "shape": [-1]}, "cannot be negative"),
        ({"dtype": 1, "shape": [1], "tensor_content": b"123"}, "3 bytes, no multiple of 4"),
        ({"dtype": 20, "shape": [1]}, "DataType 20"),
    ],
)
def test_a_broken_answer_is_named(fields, message):
    with pytest.raises(ProtocolError, match=message):
        tensors.from_proto(received(**fields))


def test_names_and_numbers_of_types_belong_together():
    for name in ("float32", "string", "bfloat16", "bool", "int64"):
        assert tensors.dtype_name(tensors.dtype_number(name)) == name
