"""`LoadedModel`: one version of a SavedModel in a session of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.client import pywrap_tf_session

from dafsn_server.refusal import Refusal, invalid, not_found


class LoadedModel:
    """The graph and signatures of a version folder.

    The session is TF1's, and is run below Python's own checks, which would refuse shapes, cast types and wrap messages:
    so requests meet the `DirectSession::Run` that TensorFlow Serving calls, with its codes and texts.

    Attributes:
        path: the version folder.
        signatures: name -> SignatureDef, the loader's own included.
    """

    def __init__(self, path: Path) -> None:
        if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
            raise not_found(
                f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}. "
                "Check that the directory exists and that you have the right permissions for accessing it."
            )
        self.path = path
        graph = tf.Graph()
        config = tf.compat.v1.ConfigProto()
        config.gpu_options.allow_growth = True
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(path))
        except tf.errors.OpError as error:
            self.close()
            raise Refusal.from_number(error.error_code, error.message) from error
        except (OSError, RuntimeError, ValueError) as error:
            self.close()
            raise invalid(str(error)) from error
        self.signatures = dict(meta_graph.signature_def)
        self._session._extend_graph()
        self._graph = graph
        self._handles: dict[str, Any] = {}  # a search in the graph costs more than a small request's other steps

    def run(self, feeds: dict[str, np.ndarray], fetches: list[str], timeout: float | None = None) -> list[Any]:
        """Return the values of tensors by name.

        Args:
            feeds: tensor name -> value; neither type nor shape is looked at before the session does.
            fetches: tensor names.
            timeout: seconds; None waits for ever. A single long kernel is not interrupted.

        Raises:
            Refusal: whatever the session refuses, in its own words.
        """
        milliseconds = 0 if timeout is None else max(1, min(int(timeout * 1000), 2**31 - 1))
        options = tf.compat.v1.RunOptions(timeout_in_ms=milliseconds).SerializeToString()
        buffer = pywrap_tf_session.TF_NewBufferFromString(options)
        try:
            return self._session._call_tf_sessionrun(
                buffer,
                {self._handle(name): value for name, value in feeds.items()},
                [self._handle(name) for name in fetches],
                [],
                None,
            )
        except tf.errors.OpError as error:
            raise Refusal.from_number(error.error_code, error.message) from error
        finally:
            pywrap_tf_session.TF_DeleteBuffer(buffer)

    def close(self) -> None:
        """Free the session."""
        self._session.close()

    def _handle(self, name: str) -> Any:
        handle = self._handles.get(name)
        if handle is None:
            try:
                handle = self._handles[name] = self._graph.get_tensor_by_name(name)._as_tf_output()
            except (KeyError, ValueError) as error:
                raise invalid(f"Tensor {name or '(none)'}, specified in the signature, is not in the graph") from error
        return handle
