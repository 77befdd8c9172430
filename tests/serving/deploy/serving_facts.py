"""What stock TensorFlow Serving 2.20 knows: flags, health services, metrics, configuration protos.

From the server's source as collected in SERVING.md (sections 3, 5 and 6); metrics as named in serving/deploy/README.md.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory, text_format, wrappers_pb2
from tensorflow_serving.config import model_server_config_pb2

_FLAGS = """
port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms rest_api_enable_cors_support
model_name model_base_path model_config_file model_config_file_poll_wait_seconds file_system_poll_wait_seconds
num_load_threads num_unload_threads max_num_load_retries load_retry_interval_micros flush_filesystem_caches
enable_batching batching_parameters_file enable_per_model_batching_parameters
allow_version_labels_for_unavailable_models tensorflow_session_parallelism tensorflow_intra_op_parallelism
tensorflow_inter_op_parallelism tensorflow_session_config_file ssl_config_file use_alts_credentials
platform_config_file per_process_gpu_memory_fraction saved_model_tags grpc_channel_arguments grpc_max_threads
enable_model_warmup num_request_iterations_for_warmup monitoring_config_file
remove_unused_fields_from_bundle_metagraph prefer_tflite_model enable_signature_method_name_check
xla_cpu_compilation_enabled xla_gpu_compilation_enabled enable_profiler thread_pool_factory_config_file
mixed_precision enable_grpc_healthcheck_service enable_serialization_as_tensor_content version
"""
FLAGS = set(_FLAGS.split())
HEALTH_SERVICES = {"", "ModelService", "PredictionService"}

HISTOGRAM, SCALAR = ("_bucket", "_sum", "_count"), ("",)
TARGET = {"job", "instance"}  # what Prometheus adds to every series
CONTAINER = {"image", "name", "pod"}
_METRICS = {
    ":tensorflow:serving:request_count": (SCALAR, {"model_name", "status"}),
    ":tensorflow:serving:request_latency": (HISTOGRAM, {"model_name", "API", "entrypoint"}),
    ":tensorflow:serving:runtime_latency": (HISTOGRAM, {"model_name", "API", "runtime"}),
    ":tensorflow:serving:model_warmup_latency": (HISTOGRAM, {"model_path", "status"}),
    ":tensorflow:serving:batching_session:queuing_latency": (HISTOGRAM, {"thread_pool_name"}),
    ":tensorflow:serving:batching_session:wrapped_run_count": (SCALAR, set()),
    ":tensorflow:cc:saved_model:load_attempt_count": (SCALAR, {"model_path", "status"}),
    ":tensorflow:cc:saved_model:load_latency": (SCALAR, {"model_path"}),
    "up": (SCALAR, set()),
    "container_memory_working_set_bytes": (SCALAR, CONTAINER),
    "container_spec_memory_limit_bytes": (SCALAR, CONTAINER),
}
SERIES = {
    name + suffix: labels | TARGET | ({"le"} if suffix == "_bucket" else set())
    for name, (suffixes, labels) in _METRICS.items()
    for suffix in suffixes
}
"""Labels by the name of each series that the server, Prometheus or cAdvisor exports."""

_MESSAGES = {
    "BatchingParameters": [
        ("max_batch_size", 1, "Int64Value"),
        ("batch_timeout_micros", 2, "Int64Value"),
        ("max_enqueued_batches", 3, "Int64Value"),
        ("num_batch_threads", 4, "Int64Value"),
        ("thread_pool_name", 5, "StringValue"),
        ("allowed_batch_sizes", 6, "repeated int64"),
        ("pad_variable_length_inputs", 7, "bool"),
        ("enable_large_batch_splitting", 8, "BoolValue"),
        ("max_execution_batch_size", 9, "Int64Value"),
    ],
    "PrometheusConfig": [("enable", 1, "bool"), ("path", 2, "string")],
    "MonitoringConfig": [("prometheus_config", 1, ".deploy.PrometheusConfig")],
    "SSLConfig": [
        ("server_key", 1, "string"),
        ("server_cert", 2, "string"),
        ("custom_ca", 3, "string"),
        ("client_verify", 4, "bool"),
    ],
}


def _messages() -> dict[str, type[message.Message]]:
    field_type = descriptor_pb2.FieldDescriptorProto
    scalars = {"bool": field_type.TYPE_BOOL, "int64": field_type.TYPE_INT64, "string": field_type.TYPE_STRING}
    file = descriptor_pb2.FileDescriptorProto(name="deploy.proto", package="deploy", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            field = described.field.add(name=field_name, number=number, label=field_type.LABEL_OPTIONAL)
            if kind.startswith("repeated "):
                field.label, kind = field_type.LABEL_REPEATED, kind.removeprefix("repeated ")
            if kind in scalars:
                field.type = scalars[kind]
            else:
                field.type = field_type.TYPE_MESSAGE
                field.type_name = kind if kind.startswith(".") else f".google.protobuf.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"deploy.{name}")) for name in _MESSAGES}


MESSAGES = _messages() | {"ModelServerConfig": model_server_config_pb2.ModelServerConfig}


def parse(name: str, text: str) -> message.Message:
    """Return the message that a text file holds; raise `text_format.ParseError` as the server would refuse it."""
    return text_format.Parse(text, MESSAGES[name]())
