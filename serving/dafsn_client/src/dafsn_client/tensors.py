"""NumPy arrays to TensorProto and back."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dafsn_client import protocol
from dafsn_client.errors import InputError, ProtocolError

STRING = 7
BFLOAT16 = 14
_NUMERIC: dict[int, Any] = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    4: np.uint8,
    5: np.int16,
    6: np.int8,
    8: np.complex64,
    9: np.int64,
    10: np.bool_,
    17: np.uint16,
    18: np.complex128,
    19: np.float16,
    22: np.uint32,
    23: np.uint64,
}
_NUMBERS = {np.dtype(kind): number for number, kind in _NUMERIC.items()}
_PACKED = {1: "float_val", 2: "double_val", 8: "scomplex_val", 10: "bool_val", 18: "dcomplex_val"}
_VARINTS = {9: "int64_val", 19: "half_val", 22: "uint32_val", 23: "uint64_val"}  # the others are in int_val


def dtype_name(number: int) -> str:
    """Return the name of a `tensorflow.DataType`, such as "float32" or "string"."""
    if number in (STRING, BFLOAT16):
        return "string" if number == STRING else "bfloat16"
    return np.dtype(_NUMERIC[number]).name if number in _NUMERIC else f"DataType {number}"


def dtype_number(name: str) -> int:
    """Return the `tensorflow.DataType` of a name that `dtype_name` gave."""
    return next(number for number in (STRING, BFLOAT16, *_NUMERIC) if dtype_name(number) == name)


def empty(number: int, shape: Sequence[int]) -> np.ndarray:
    """Return an array of zeros (empty strings for DT_STRING) as `from_proto` would give it."""
    if number == STRING:
        return np.full(shape, b"", dtype=object)
    return np.zeros(shape, dtype=np.float32 if number == BFLOAT16 else _numeric(number))


def to_proto(value: Any, name: str = "value") -> Any:
    """Return the TensorProto of an array, or of anything `numpy.asarray` takes; strings may be `str` or `bytes`.

    Python floats travel as float32 and Python integers as int64; NumPy arrays keep their type.

    Raises:
        InputError: ragged nesting, or a type that TensorFlow has not got.
    """
    array = as_array(value, name)
    proto = protocol.TensorProto()
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype == object:
        proto.dtype = STRING
        proto.string_val.extend(_as_bytes(entry, name) for entry in array.ravel())
        return proto
    native = array.dtype.newbyteorder("=")
    proto.dtype = _number(array, name)
    proto.tensor_content = np.ascontiguousarray(array).astype(native.newbyteorder("<"), copy=False).tobytes()
    return proto


def from_proto(proto: Any) -> np.ndarray:
    """Return the array of a `PackedTensorProto`; DT_STRING as an object array of `bytes`, bfloat16 as float32.

    Numbers may be read-only views of the answer's bytes. Too few values repeat the last one, as in TensorFlow.

    Raises:
        ProtocolError: values that do not fit the declared type or shape.
    """
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(size < 0 for size in shape):
        raise ProtocolError(f"A tensor of the answer declares the shape {shape}; sizes cannot be negative.")
    if proto.dtype == STRING:
        values = np.empty(len(proto.string_val), dtype=object)
        values[:] = list(proto.string_val)
    elif proto.tensor_content:
        values = _from_bytes(proto.tensor_content, _wire_type(proto.dtype))
    elif proto.dtype in _PACKED:
        values = _from_bytes(b"".join(getattr(proto, _PACKED[proto.dtype])), _wire_type(proto.dtype))
    else:
        values = _from_varints(proto)
    if proto.dtype == BFLOAT16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return _fill(values, shape, proto.dtype)


def _from_bytes(content: bytes, dtype: np.dtype) -> np.ndarray:
    if len(content) % dtype.itemsize:
        raise ProtocolError(
            f"A tensor of the answer has {len(content)} bytes, no multiple of {dtype.itemsize} ({dtype})."
        )
    return np.frombuffer(content, dtype=dtype)


def _from_varints(proto: Any) -> np.ndarray:
    dtype = _wire_type(proto.dtype)
    values = getattr(proto, "half_val" if proto.dtype == BFLOAT16 else _VARINTS.get(proto.dtype, "int_val"))
    if dtype == np.float16:
        return np.array(values, dtype=np.uint16).view(np.float16)
    return np.array(values, dtype=np.int64 if dtype.itemsize < 4 else dtype).astype(dtype)


def _fill(values: np.ndarray, shape: tuple[int, ...], number: int) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    if len(values) == 0:
        return empty(number, shape)
    if len(values) < count:
        values = np.concatenate([values, np.repeat(values[-1:], count - len(values))])
    return values[:count].reshape(shape)


def _numeric(number: int) -> Any:
    if number not in _NUMERIC:
        raise ProtocolError(f"The answer holds a tensor of {dtype_name(number)}, which this client cannot read.")
    return _NUMERIC[number]


def _wire_type(number: int) -> np.dtype:
    return np.dtype(np.uint16 if number == BFLOAT16 else _numeric(number)).newbyteorder("<")


def dtype_of(array: np.ndarray, name: str) -> str:
    """Return the name of the `tensorflow.DataType` that an array travels as.

    Raises:
        InputError: none holds it.
    """
    return "string" if array.dtype == object else dtype_name(_number(array, name))


def as_array(value: Any, name: str) -> np.ndarray:
    """Return an array; strings as objects, Python floats as float32 and integers as int64.

    Raises:
        InputError: ragged nesting.
    """
    # NumPy strings would pad to the longest and lose the zero bytes that a picture may end with.
    try:
        array = np.asarray(value, dtype=object if isinstance(_first_leaf(value), str | bytes) else None)
    except ValueError as error:
        raise InputError(f"{name} is ragged; a tensor needs rows of equal length. ({error})") from error
    if not isinstance(value, np.ndarray | np.generic):
        array = array.astype({"f": np.float32, "i": np.int64}.get(array.dtype.kind, array.dtype), copy=False)
    return array


def _number(array: np.ndarray, name: str) -> int:
    native = array.dtype.newbyteorder("=")
    if native not in _NUMBERS:
        raise InputError(f"{name} is of type {array.dtype}, which a tensor cannot hold; use float32, int64 or strings.")
    return _NUMBERS[native]


def _first_leaf(value: Any) -> Any:
    while isinstance(value, list | tuple) and value:
        value = value[0]
    if isinstance(value, np.ndarray) and value.dtype.kind in "SU":
        return b""
    return value


def _as_bytes(entry: Any, name: str) -> bytes:
    if isinstance(entry, str):
        try:
            return entry.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"{name} holds a text with a lone surrogate, which UTF-8 has no bytes for: {entry!r}."
            ) from error
    if isinstance(entry, bytes | bytearray | memoryview):
        return bytes(entry)
    raise InputError(f"{name} holds {type(entry).__name__} where a text (str) or bytes is due.")
