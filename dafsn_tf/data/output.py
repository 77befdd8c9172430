"""Folders that appear complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dafsn_tf.data.locking import locked
from dafsn_tf.data.manifest import Manifest
from dafsn_tf.errors import DataError


@contextmanager
def new_folder(out: Path, force: bool = False) -> Iterator[Path]:
    """Yield a hidden sibling `.OUT.partial` to write into; it becomes `out` at the end, and vanishes on any error.

    Raises:
        DataError: `out` holds something that may not be replaced, cannot be written, or is being written by another
            process.
    """
    out = Path(os.path.abspath(out))
    _check_replaceable(out, force)
    partial, previous = out.parent / f".{out.name}.partial", out.parent / f".{out.name}.previous"
    try:
        claim = _claim(partial, out)
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
    except BaseException:
        _remove(partial)
        raise
    finally:
        os.close(claim)


def _claim(partial: Path, out: Path) -> int:
    """Return the descriptor of the folder `partial`, made anew or emptied, and locked for as long as that is open."""
    while True:
        partial.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(partial, os.O_RDONLY)
        try:
            if not locked(descriptor, partial):
                raise DataError(f"Another `dafsn prepare` is writing {out}. Wait for it, or choose another --out.")
            if _is_at(partial, descriptor):  # else whoever held the lock has renamed or removed the folder meanwhile
                for path in partial.iterdir():  # left by a run that was killed
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


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
