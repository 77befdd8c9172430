"""What commands share: where progress goes, and the checks that come before any work, TensorFlow's import included."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from dafsn_tf.data.manifest import Manifest
from dafsn_tf.errors import DafsnError
from dafsn_tf.runs import find_run

LAST_SEED = 2**32 - 1  # that NumPy and Keras take


def say(line: str) -> None:
    """Write a line of progress to standard error; results go to standard output."""
    print(line, file=sys.stderr, flush=True)


def check_writable(path: Path | None, option: str) -> None:
    """Refuse, before any work is done for it, a file that could not be written.

    Raises:
        DafsnError: names the option, what is in the way and what to do.
    """
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir():
        raise DafsnError(f"{option} {path} is a folder: name a file.")
    if not folder.is_dir():
        raise DafsnError(f"{option} {path} cannot be written: there is no folder {folder}. Make it first.")
    if not os.access(folder, os.W_OK):
        raise DafsnError(f"{option} {path} cannot be written: {folder} is read-only. Name another file.")


def check_inputs(runs: Iterable[str | Path] = (), data: Iterable[Path] = ()) -> None:
    """Refuse, before any work is done for it, what is no run or no prepared collection.

    Raises:
        DafsnError: says what is there instead and what to do.
    """
    for run in runs:
        find_run(run)
    for folder in data:
        Manifest.read(folder)
