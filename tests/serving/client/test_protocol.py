"""The client's messages are TensorFlow Serving's, byte for byte."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from dafsn_client import protocol, tensors


def wire(message):
    return message.SerializeToString(deterministic=True)


def same_bytes(ours, reference_class):
    """Ours, read and written again by the reference, and nothing of it unknown there."""
    theirs = reference_class.FromString(wire(ours))
    return wire(theirs) == wire(ours) and not _has_unknown_fields(theirs)


def _has_unknown_fields(message):
    known = message.__class__()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    return wire(known) != wire(message)


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1.5, -2.0]], np.float32),
        np.array([1e300], np.float64),
        np.array([-1, 2], np.int32),
        np.array([0, 255], np.uint8),
        np.array([-300], np.int16),
        np.array([-3], np.int8),
        np.array([1 + 2j], np.complex64),
        np.array([-(2**62)], np.int64),
        np.array([True, False]),
        np.array([65535], np.uint16),
        np.array([1 - 2j], np.complex128),
        np.array([0.5], np.float16),
        np.array([2**32 - 1], np.uint32),
        np.array([2**64 - 1], np.uint64),
        np.zeros((0, 3), np.float32),
        np.array(3.0, np.float32),
    ],
    ids=lambda value: f"{value.dtype}{list(value.shape)}",
)
def test_numeric_tensors_equal_tensorflows(value):
    reference = tensor_pb2.TensorProto(
        dtype=tf.as_dtype(value.dtype).as_datatype_enum,
        tensor_shape=tf.TensorShape(value.shape).as_proto(),
        tensor_content=value.tobytes(),
    )
    assert wire(tensors.to_proto(value)) == wire(reference)


def test_string_tensors_equal_tensorflows():
    value = ["a red star", b"\x89PNG\0", ""]
    assert wire(tensors.to_proto(value)) == wire(tf.make_tensor_proto(value, tf.string))


def test_predict_request_with_every_kind_of_input():
    ours = protocol.PredictRequest(output_filter=["b", "a"])
    theirs = predict_pb2.PredictRequest(output_filter=["b", "a"])
    for request in (ours, theirs):
        request.model_spec.name = "dafsn"
        request.model_spec.version.value = 7
        request.model_spec.signature_name = "similarity"
    inputs = {"texts": ["a", "b"], "images": [b"\xff\xd8\0", b""], "flag": True, "x": np.float32([[1, 2]])}
    for name, value in inputs.items():
        ours.inputs[name].CopyFrom(tensors.to_proto(value))
        theirs.inputs[name].CopyFrom(tensor_pb2.TensorProto.FromString(wire(tensors.to_proto(value))))
    assert wire(ours) == wire(theirs)


def test_version_and_label_exclude_each_other():
    spec = protocol.ModelSpec(name="m", version_label="stable")
    spec.version.value = 0
    assert spec.WhichOneof("version_choice") == "version"
    request = protocol.PredictRequest(model_spec=spec)
    assert same_bytes(request, predict_pb2.PredictRequest)
    assert predict_pb2.PredictRequest.FromString(wire(request)).model_spec.HasField("version")


def test_typed_values_of_every_field():
    proto = protocol.TensorProto(
        dtype=1, version_number=1, float_val=[1.5, 2.5], double_val=[0.5], int_val=[-1, 300], string_val=[b"x\0"],
        scomplex_val=[1, 2], int64_val=[-1], bool_val=[True, False], dcomplex_val=[3, 4], half_val=[15360],
        uint32_val=[2**32 - 1], uint64_val=[2**64 - 1],
    )  # fmt: skip
    proto.tensor_shape.unknown_rank = True
    proto.tensor_shape.dim.add(size=-1, name="rows")
    assert same_bytes(proto, tensor_pb2.TensorProto)


def test_metadata_request_and_the_signatures_within_an_any():
    request = protocol.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "dafsn"
    assert same_bytes(request, get_model_metadata_pb2.GetModelMetadataRequest)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["search"]
    signature.method_name = "tensorflow/serving/predict"
    signature.inputs["texts"].CopyFrom(
        meta_graph_pb2.TensorInfo(
            name="texts:0",
            dtype=tf.string.as_datatype_enum,
            tensor_shape=tf.TensorShape([None]).as_proto(),
        )
    )
    signature.defaults["k"].CopyFrom(tf.make_tensor_proto([3]))
    theirs = get_model_metadata_pb2.GetModelMetadataResponse()
    theirs.metadata["signature_def"].Pack(signatures)
    ours = protocol.GetModelMetadataResponse.FromString(wire(theirs))
    assert wire(ours) == wire(theirs)
    held = ours.metadata["signature_def"]
    assert held.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    assert wire(protocol.SignatureDefMap.FromString(held.value)) == wire(signatures)


def test_status_messages():
    request = protocol.GetModelStatusRequest()
    request.model_spec.name = "dafsn"
    assert same_bytes(request, get_model_status_pb2.GetModelStatusRequest)
    response = protocol.GetModelStatusResponse()
    entry = response.model_version_status.add(version=3, state=50)
    entry.status.error_code, entry.status.error_message = 5, "gone"
    assert same_bytes(response, get_model_status_pb2.GetModelStatusResponse)


@pytest.mark.parametrize("policy", ["latest", "all", "specific"])
def test_reload_config_request(policy):
    request = protocol.ReloadConfigRequest()
    config = request.config.model_config_list.config.add(name="m", base_path="/m", model_platform="tensorflow")
    config.version_labels["stable"] = 1
    getattr(config.model_version_policy, policy).SetInParent()
    if policy == "latest":
        config.model_version_policy.latest.num_versions = 2
    if policy == "specific":
        config.model_version_policy.specific.versions.extend([1, 3])
    assert same_bytes(request, model_management_pb2.ReloadConfigRequest)
    theirs = model_management_pb2.ReloadConfigRequest.FromString(wire(request))
    assert theirs.config.model_config_list.config[0].model_version_policy.WhichOneof("policy_choice") == policy


def test_reload_config_response():
    response = protocol.ReloadConfigResponse()
    response.status.error_code, response.status.error_message = 3, "no"
    assert same_bytes(response, model_management_pb2.ReloadConfigResponse)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool", "float16", "bfloat16", "complex64"])
@pytest.mark.parametrize("as_content", [False, True])
def test_answers_are_read_from_typed_values_and_from_content(dtype, as_content):
    value = tf.cast(tf.constant([[0, 1, 2], [3, 4, 500]]), dtype).numpy()
    response = predict_pb2.PredictResponse()
    tensor = response.outputs["y"]
    if as_content:
        tensor.dtype = tf.as_dtype(dtype).as_datatype_enum
        tensor.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
        tensor.tensor_content = value.tobytes()
    else:
        tensor.CopyFrom(_typed(value, dtype))
    read = tensors.from_proto(protocol.PredictResponse.FromString(wire(response)).outputs["y"])
    assert read.dtype == (np.float32 if dtype == "bfloat16" else value.dtype)
    np.testing.assert_array_equal(read, value.astype(read.dtype))


def _typed(value, dtype):
    fields = {"float32": "float_val", "float64": "double_val", "int32": "int_val", "int64": "int64_val",
              "bool": "bool_val"}  # fmt: skip
    proto = tensor_pb2.TensorProto(
        dtype=tf.as_dtype(dtype).as_datatype_enum, tensor_shape=tf.TensorShape(value.shape).as_proto()
    )
    if dtype in ("float16", "bfloat16"):
        proto.half_val.extend(value.view(np.uint16).ravel().tolist())
    elif dtype == "complex64":
        proto.scomplex_val.extend(value.view(np.float32).ravel().tolist())
    else:
        getattr(proto, fields[dtype]).extend(value.ravel().tolist())
    return proto
