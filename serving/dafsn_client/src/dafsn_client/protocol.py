"""TensorFlow Serving's messages, as far as this client speaks them, in a descriptor pool of their own.

Names, numbers and types are those of the `tensorflow_serving/apis` and `tensorflow/core` protos; enums stand as int32,
which is the same on the wire. The private pool lets the client live beside TensorFlow in one process (the default pool
refuses a second `tensorflow.TensorProto`), and building the classes at import works on protobuf 4 to 7, where generated
code would tie us to one of them.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS: dict[str, Any] = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}

# One field a line: number, name, type. `[x]` repeats, `{x}` maps from string, `group|x` is a member of that oneof.
_MESSAGES = {
    "google.protobuf.Any": "1 type_url string; 2 value bytes",
    "google.protobuf.Int64Value": "1 value int64",
    "tensorflow.TensorShapeProto.Dim": "1 size int64; 2 name string",
    "tensorflow.TensorShapeProto": "2 dim [tensorflow.TensorShapeProto.Dim]; 3 unknown_rank bool",
    "tensorflow.TensorProto": """
        1 dtype int32; 2 tensor_shape tensorflow.TensorShapeProto; 3 version_number int32; 4 tensor_content bytes;
        5 float_val [float]; 6 double_val [double]; 7 int_val [int32]; 8 string_val [bytes]; 9 scomplex_val [float];
        10 int64_val [int64]; 11 bool_val [bool]; 12 dcomplex_val [double]; 13 half_val [int32];
        16 uint32_val [uint32]; 17 uint64_val [uint64]""",
    "tensorflow.TensorInfo": "1 name string; 2 dtype int32; 3 tensor_shape tensorflow.TensorShapeProto",
    "tensorflow.SignatureDef": """
        1 inputs {tensorflow.TensorInfo}; 2 outputs {tensorflow.TensorInfo}; 3 method_name string;
        4 defaults {tensorflow.TensorProto}""",
    "tensorflow.serving.SignatureDefMap": "1 signature_def {tensorflow.SignatureDef}",
    "tensorflow.serving.ModelSpec": """
        1 name string; 2 version version_choice|google.protobuf.Int64Value; 3 signature_name string;
        4 version_label version_choice|string""",
    "tensorflow.serving.PredictRequest": """
        1 model_spec tensorflow.serving.ModelSpec; 2 inputs {tensorflow.TensorProto}; 3 output_filter [string]""",
    "tensorflow.serving.GetModelMetadataRequest": """
        1 model_spec tensorflow.serving.ModelSpec; 2 metadata_field [string]""",
    "tensorflow.serving.GetModelMetadataResponse": """
        1 model_spec tensorflow.serving.ModelSpec; 2 metadata {google.protobuf.Any}""",
    "tensorflow.serving.StatusProto": "1 error_code int32; 2 error_message string",
    "tensorflow.serving.GetModelStatusRequest": "1 model_spec tensorflow.serving.ModelSpec",
    "tensorflow.serving.ModelVersionStatus": """
        1 version int64; 2 state int32; 3 status tensorflow.serving.StatusProto""",
    "tensorflow.serving.GetModelStatusResponse": """
        1 model_version_status [tensorflow.serving.ModelVersionStatus]""",
    "tensorflow.serving.VersionPolicy.Latest": "1 num_versions uint32",
    "tensorflow.serving.VersionPolicy.All": "",
    "tensorflow.serving.VersionPolicy.Specific": "1 versions [int64]",
    "tensorflow.serving.VersionPolicy": """
        100 latest policy_choice|tensorflow.serving.VersionPolicy.Latest;
        101 all policy_choice|tensorflow.serving.VersionPolicy.All;
        102 specific policy_choice|tensorflow.serving.VersionPolicy.Specific""",
    "tensorflow.serving.ModelConfig": """
        1 name string; 2 base_path string; 4 model_platform string;
        7 model_version_policy tensorflow.serving.VersionPolicy; 8 version_labels {int64}""",
    "tensorflow.serving.ModelConfigList": "1 config [tensorflow.serving.ModelConfig]",
    "tensorflow.serving.ModelServerConfig": "1 model_config_list config|tensorflow.serving.ModelConfigList",
    "tensorflow.serving.ReloadConfigRequest": "1 config tensorflow.serving.ModelServerConfig",
    "tensorflow.serving.ReloadConfigResponse": "1 status tensorflow.serving.StatusProto",
    # A packed field and a bytes field look the same on the wire. Read as bytes, a million floats are one copy away
    # from NumPy (`tensors.from_proto`); read as floats they cost up to a hundred milliseconds.
    "dafsn.PackedTensorProto": """
        1 dtype int32; 2 tensor_shape tensorflow.TensorShapeProto; 4 tensor_content bytes;
        5 float_val [bytes]; 6 double_val [bytes]; 7 int_val [int32]; 8 string_val [bytes]; 9 scomplex_val [bytes];
        10 int64_val [int64]; 11 bool_val [bytes]; 12 dcomplex_val [bytes]; 13 half_val [int32];
        16 uint32_val [uint32]; 17 uint64_val [uint64]""",
    "dafsn.PredictResponse": """
        1 outputs {dafsn.PackedTensorProto}; 2 model_spec tensorflow.serving.ModelSpec""",
}


def _add_field(message: descriptor_pb2.DescriptorProto, full_name: str, line: str) -> None:
    number, name, kind = line.split()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    group, is_member, member = kind.partition("|")
    if is_member:
        kind = member
        if group not in [declared.name for declared in message.oneof_decl]:
            message.oneof_decl.add(name=group)
        field.oneof_index = [declared.name for declared in message.oneof_decl].index(group)
    if kind[0] in "[{":
        field.label = _Field.LABEL_REPEATED
    value = kind.strip("[]{}")
    if kind[0] == "{":
        entry = message.nested_type.add(name=name.title().replace("_", "") + "Entry")
        entry.options.map_entry = True
        _add_field(entry, f"{full_name}.{entry.name}", "1 key string")
        _add_field(entry, f"{full_name}.{entry.name}", f"2 value {value}")
        value = f"{full_name}.{entry.name}"
    if value in _SCALARS:
        field.type = _SCALARS[value]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{value}"


def _build_pool() -> descriptor_pool.DescriptorPool:
    """Return a pool that holds `_MESSAGES`, one file a package."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    messages: dict[str, descriptor_pb2.DescriptorProto] = {}
    packages = ("google.protobuf", "tensorflow.serving", "tensorflow", "dafsn")
    for full_name in sorted(_MESSAGES, key=len):  # a message before those nested in it
        package = next(package for package in packages if full_name.startswith(f"{package}."))
        file = files.setdefault(
            package, descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
        )
        outer, _, name = full_name.rpartition(".")
        holder = messages[outer].nested_type if outer in messages else file.message_type
        message = messages[full_name] = holder.add(name=name)
        for line in filter(None, map(str.strip, _MESSAGES[full_name].split(";"))):
            _add_field(message, full_name, line)
    pool = descriptor_pool.DescriptorPool()
    imports: list[str] = []
    for package in ("google.protobuf", "tensorflow", "tensorflow.serving", "dafsn"):
        files[package].dependency.extend(imports)
        pool.AddSerializedFile(files[package].SerializeToString())
        imports.append(files[package].name)
    return pool


_POOL = _build_pool()


def _message_class(full_name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(full_name))


TensorProto = _message_class("tensorflow.TensorProto")
SignatureDefMap = _message_class("tensorflow.serving.SignatureDefMap")
ModelSpec = _message_class("tensorflow.serving.ModelSpec")
PredictRequest = _message_class("tensorflow.serving.PredictRequest")
PredictResponse = _message_class("dafsn.PredictResponse")
GetModelMetadataRequest = _message_class("tensorflow.serving.GetModelMetadataRequest")
GetModelMetadataResponse = _message_class("tensorflow.serving.GetModelMetadataResponse")
GetModelStatusRequest = _message_class("tensorflow.serving.GetModelStatusRequest")
GetModelStatusResponse = _message_class("tensorflow.serving.GetModelStatusResponse")
ReloadConfigRequest = _message_class("tensorflow.serving.ReloadConfigRequest")
ReloadConfigResponse = _message_class("tensorflow.serving.ReloadConfigResponse")
