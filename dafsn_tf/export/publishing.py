"""One export at a time below a model's folder, under a number that was never given before."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dafsn_tf.errors import ExportError

LAST = ".last-version"  # holds the last number given, and the lock; servers pass over names that are no integers


@contextmanager
def next_version(base: Path) -> Iterator[tuple[int, Path]]:
    """Yield the next number and the folder to write that version into; when the block ends well it is published.

    A second export into the same folder waits until the first is done. Numbers go on where they were even if the
    highest versions have been deleted: a server that saw one would not load another under its name.

    Args:
        base: the model's folder, made if it is not there; TensorFlow Serving's base path.

    Raises:
        ExportError: the folder's file system has no locks.
    """
    base.mkdir(parents=True, exist_ok=True)
    with (base / LAST).open("a+", encoding="ascii") as last:
        try:
            fcntl.flock(last, fcntl.LOCK_EX)
        except OSError as error:
            raise ExportError(
                f"{base} cannot be locked against a second export ({error.strerror}). Export to a local disk and copy "
                "the version from there: cp -r 1 BASE/.tmp-1 && mv BASE/.tmp-1 BASE/1."
            ) from error
        last.seek(0)
        number = 1 + max(int(last.read() or 0), *_numbers(base), 0)
        aside = base / f".tmp-{number}"
        shutil.rmtree(aside, ignore_errors=True)  # of an export that was killed
        try:
            yield number, aside
            for path in (*aside.rglob("*"), aside):
                _sync(path)
            last.truncate(0)
            last.write(str(number))
            last.flush()
            os.fsync(last.fileno())
            os.rename(aside, base / str(number))
            _sync(base)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _numbers(base: Path) -> list[int]:
    return [int(path.name) for path in base.iterdir() if path.name.isascii() and path.name.isdecimal()]


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk: what a server is told to read must outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
