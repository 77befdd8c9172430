"""Configuration files of TensorFlow Serving: text form of protocol buffers, with errors that name file and line."""

from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from google.protobuf.message import Message

from dafsn_tf.errors import ServingError

_M = TypeVar("_M", bound=Message)
_Field = descriptor_pb2.FieldDescriptorProto


def read(path: Path, message_class: type[_M]) -> _M:
    """Return the message that a text file holds.

    Raises:
        ServingError: a file that cannot be read, or that is no such message; with the line.
    """
    name = message_class.DESCRIPTOR.name
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message_class())
    except OSError as error:
        raise ServingError(f"{path} cannot be read: {error.strerror}. Expected a {name} in text form.") from error
    except UnicodeDecodeError as error:
        raise ServingError(f"{path} is no text. Expected a {name} in text form.") from error
    except text_format.ParseError as error:
        # The parser's own text begins with "line:column : ", and the class's full name says nothing to a user.
        reason = str(error).split(" : ", 1)[-1].strip()
        where = f", line {error.GetLine()}" if error.GetLine() else ""
        raise ServingError(f"{path}{where}: {reason} Expected a {name} as TensorFlow Serving takes it.") from error


# Two messages that the package tensorflow-serving-api leaves out, by TensorFlow Serving's field names and numbers.
_SCHEMAS: dict[str, list[tuple[str, int, int, str]]] = {
    "BatchingParameters": [
        ("max_batch_size", 1, _Field.TYPE_MESSAGE, "Int64Value"),
        ("batch_timeout_micros", 2, _Field.TYPE_MESSAGE, "Int64Value"),
        ("max_enqueued_batches", 3, _Field.TYPE_MESSAGE, "Int64Value"),
        ("num_batch_threads", 4, _Field.TYPE_MESSAGE, "Int64Value"),
        ("thread_pool_name", 5, _Field.TYPE_MESSAGE, "StringValue"),
        ("allowed_batch_sizes", 6, _Field.TYPE_INT64, "repeated"),
        ("pad_variable_length_inputs", 7, _Field.TYPE_BOOL, ""),
        ("enable_large_batch_splitting", 8, _Field.TYPE_MESSAGE, "BoolValue"),
        ("max_execution_batch_size", 9, _Field.TYPE_MESSAGE, "Int64Value"),
    ],
    "SSLConfig": [
        ("server_key", 1, _Field.TYPE_STRING, ""),
        ("server_cert", 2, _Field.TYPE_STRING, ""),
        ("custom_ca", 3, _Field.TYPE_STRING, ""),
        ("client_verify", 4, _Field.TYPE_BOOL, ""),
    ],
}


def message_class(name: str) -> Any:
    """Return the class of `BatchingParameters` or `SSLConfig`, in a descriptor pool of its own."""
    file = descriptor_pb2.FileDescriptorProto(
        name="dafsn_server.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for schema, fields in _SCHEMAS.items():
        message = file.message_type.add(name=schema)
        for field, number, kind, detail in fields:
            added = message.field.add(name=field, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
            if detail == "repeated":
                added.label = _Field.LABEL_REPEATED
            elif detail:
                added.type_name = f".google.protobuf.{detail}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
