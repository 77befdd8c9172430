"""TensorFlow without its notices.

Its native libraries write some while they are loaded, before any setting of theirs is read (`TF_CPP_MIN_LOG_LEVEL`
holds back only later ones). So standard error is held back while `import tensorflow` runs, and everything in it but the
notices is written afterwards.
"""

import importlib.abc
import importlib.util
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_LEVEL, _OURS = "TF_CPP_MIN_LOG_LEVEL", "3"
_NOTICE = re.compile(rb"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d:")


def quiet_tensorflow() -> None:
    """Keep TensorFlow's notices off the terminal from its import on; a user's own `TF_CPP_MIN_LOG_LEVEL` stands."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if _LEVEL in os.environ or "tensorflow" in sys.modules:
        return
    os.environ[_LEVEL] = _OURS
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.meta_path.insert(0, _QuietImport())


def as_it_was(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for another process of ours, without the level that `quiet_tensorflow` may have set."""
    return {name: value for name, value in environment.items() if (name, value) != (_LEVEL, _OURS)}


class _QuietImport(importlib.abc.MetaPathFinder):
    """Finds `tensorflow` as the other finders do, and has it loaded quietly."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module: Any) -> None:
                with _without_notices():
                    load(module)

            spec.loader.exec_module = load_quietly
        return spec


@contextmanager
def _without_notices() -> Iterator[None]:
    """Hold back what native code writes to standard error; what Python writes is passed on as it comes."""
    if sys.stderr is None:
        yield
        return
    python_stderr, terminal = sys.stderr, os.dup(2)
    with tempfile.TemporaryFile() as held, open(terminal, "w", errors="backslashreplace", buffering=1) as passed_on:
        os.dup2(held.fileno(), 2)
        sys.stderr = passed_on
        try:
            yield
        finally:
            sys.stderr = python_stderr
            os.dup2(terminal, 2)
            held.seek(0)
            for line in held:
                if not _NOTICE.match(line):
                    os.write(2, line)
