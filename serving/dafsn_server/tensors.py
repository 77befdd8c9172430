"""TensorProto to arrays with TensorFlow's own reading, and arrays to `*_val` fields."""

import math
from typing import Any

import numpy as np
import tensorflow as tf

from dafsn_server.refusal import invalid

# A few bytes can declare a gigabyte ("shape [2^28], no values" is zeros). What values really need is at most sixteen
# times their bytes on the wire; beyond that, and beyond what costs nothing, a tensor is not believed.
_FREE_BYTES = 16 << 20
_MAX_EXPANSION = 16
_STRING_BYTES = 24  # TensorFlow's string object

_PACKED = {"float32": 5, "float64": 6, "complex64": 9, "bool": 11, "complex128": 12}
_VARINTS = {"int64": "int64_val", "uint32": "uint32_val", "uint64": "uint64_val"}


def to_array(proto: Any, alias: str) -> np.ndarray:
    """Return the array of a TensorProto; strings as an object array of `bytes`.

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
    if count * item_bytes > max(_FREE_BYTES, _MAX_EXPANSION * proto.ByteSize()):
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


def set_proto(proto: Any, value: Any) -> None:
    """Fill a TensorProto with an array (or a scalar of the session), values in the typed field of its type."""
    array = np.asarray(value, dtype=object) if isinstance(value, bytes) else np.asarray(value)
    dtype = tf.as_dtype(array.dtype)
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype == tf.string:
        proto.string_val.extend(array.ravel())
    elif dtype.name in _PACKED:
        # A packed field is its values' bytes: far quicker than handing Python's numbers over one by one.
        content = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        proto.MergeFromString(bytes([_PACKED[dtype.name] << 3 | 2]) + _varint(len(content)) + content)
    elif dtype in (tf.float16, tf.bfloat16):
        proto.half_val.extend(array.view(np.uint16).ravel().tolist())
    else:
        getattr(proto, _VARINTS.get(dtype.name, "int_val")).extend(array.ravel().tolist())


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
