"""Folders that appear complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dafsn_tf.data.manifest import Manifest
from dafsn_tf.errors import DataError


@contextmanager
def new_folder(out: Path, force: bool = False) -> Iterator[Path]:
    """Yield a hidden sibling `.OUT.partial` to write into; it becomes `out` at the end, and vanishes on any error.

    Raises:
        DataError: `out` holds something that may not be replaced, or cannot be written.
    """
    out = Path(os.path.abspath(out))
    _check_replaceable(out, force)
    partial, previous = out.parent / f".{out.name}.partial", out.parent / f".{out.name}.previous"
    try:
        _remove(partial)
        partial.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"{partial} cannot be made: {error.strerror}. Choose another --out.") from error
    try:
        yield partial
        _remove(previous)
        if out.exists():
            os.rename(out, previous)
        try:
            os.rename(partial, out)
        except BaseException:
            if previous.exists():
                os.rename(previous, out)
            raise
        _remove(previous)
    finally:
        _remove(partial)


def _check_replaceable(out: Path, force: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out} is a file; --out names a folder to make.")
    if not any(out.iterdir()):
        return
    try:
        Manifest.read(out)
    except DataError as error:
        raise DataError(f"{out} is not empty and was not written by `dafsn prepare`. Choose another --out.") from error
    if not force:
        raise DataError(f"{out} holds a prepared collection. Choose another --out, or replace it with --force.")


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
