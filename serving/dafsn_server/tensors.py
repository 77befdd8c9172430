"""TensorProto to arrays with TensorFlow's own reading, and arrays to `*_val` fields."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from dafsn_server.refusal import invalid

_FREE_BYTES = 16 << 20
_MAX_EXPANSION = 16
_STRING_BYTES = 24  # TensorFlow's string object

_PACKED = {"float32": 5, "float64": 6, "complex64": 9, "bool": 11, "complex128": 12}
_VARINTS = {"int64": "int64_val", "uint32": "uint32_val", "uint64": "uint64_val"}


class Allowance:
    """How many bytes the tensors of one request may declare beyond what they carry.

    A few bytes can declare a gigabyte ("shape [2^28], no values" is zeros). What values really need is at most sixteen
    times their bytes on the wire; a request that declares more, and more than costs nothing, is not believed.
    """

    def __init__(self) -> None:
        self._free = _FREE_BYTES

    def covers(self, declared: int, payload: int) -> bool:
        """Return whether a tensor is believed; one that is takes its part of what is free."""
        if declared > _MAX_EXPANSION * payload:
            self._free -= declared
        return self._free >= 0


def to_array(proto: Any, alias: str, allowance: Allowance | None = None) -> np.ndarray:
    """Return the array of a TensorProto; strings as an object array of `bytes`.

    Args:
        proto: the tensor.
        alias: its name, for the refusal.
        allowance: shared by the tensors of a request; by default this tensor's own.

    Raises:
        Refusal: INVALID_ARGUMENT, for what `Tensor::FromProto` refuses and for sizes out of proportion to the payload.
    """
    refusal = invalid(f"tensor parsing error: {alias}")
    try:
        dtype = tf.as_dtype(proto.dtype)
    except TypeError as error:
        raise refusal from error
    shape = [] if proto.tensor_shape.unknown_rank else [dim.size for dim in proto.tensor_shape.dim]
    if not dtype.is_numpy_compatible or dtype.is_quantized or dtype._is_ref_dtype or any(size < 0 for size in shape):
        raise refusal
    count = math.prod(shape)
    item_bytes = _STRING_BYTES if dtype == tf.string else dtype.size
    if not (allowance or Allowance()).covers(count * item_bytes, proto.ByteSize()):
        raise refusal
    if dtype == tf.string and not proto.tensor_content and len(proto.string_val) == count:
        strings = np.empty(count, dtype=object)
        strings[:] = list(proto.string_val)
        return strings.reshape(shape)
    if dtype != tf.string and proto.tensor_content:
        if len(proto.tensor_content) != count * item_bytes:
            raise refusal
        return np.frombuffer(proto.tensor_content, dtype=dtype.as_numpy_dtype).reshape(shape)
    try:
        with tf.device("CPU"):
            value = tf.io.parse_tensor(proto.SerializeToString(), dtype).numpy()
    except tf.errors.OpError as error:
        raise refusal from error
    return np.asarray(value, dtype=object if dtype == tf.string else None)


def set_proto(proto: Any, value: Any, *, tensor_content: bool = False) -> None:
    """Fill a TensorProto with an array (or a scalar of the session), values in the typed field of its type.

    With `tensor_content` they are bytes instead; strings are all their lengths, then all their bytes.
    """
    array = np.asarray(value, dtype=object) if isinstance(value, bytes) else np.asarray(value)
    dtype = tf.as_dtype(array.dtype)
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if tensor_content:
        proto.tensor_content = _string_content(array) if dtype == tf.string else _bytes(array)
    elif dtype == tf.string:
        proto.string_val.extend(array.ravel())
    elif dtype.name in _PACKED:
        # A packed field is its values' bytes: far quicker than handing Python's numbers over one by one.
        content = _bytes(array)
        proto.MergeFromString(bytes([_PACKED[dtype.name] << 3 | 2]) + _varint(len(content)) + content)
    elif dtype in (tf.float16, tf.bfloat16):
        proto.half_val.extend(array.view(np.uint16).ravel().tolist())
    else:
        getattr(proto, _VARINTS.get(dtype.name, "int_val")).extend(array.ravel().tolist())


def _bytes(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _string_content(array: np.ndarray) -> bytes:
    strings = array.ravel().tolist()
    return b"".join([*(_varint(len(string)) for string in strings), *strings])


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
