"""Text files and folders, read with their defects reported."""

from collections.abc import Iterator
from pathlib import Path

from dafsn_tf.data.problems import Problems
from dafsn_tf.errors import DataError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Return the lines of a UTF-8 file as (number from 1, text without its line end); blank lines are among them.

    A byte order mark and CR LF ends are taken off. A line that is not UTF-8 is reported and left out.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    line = line.removeprefix(_BYTE_ORDER_MARK)
                try:
                    yield number, line.rstrip(b"\r\n").decode("utf-8")
                except UnicodeDecodeError as error:
                    problems.add(
                        "bad_line", f"{path}:{number}", f"not UTF-8 at byte {error.start + 1}: save it as UTF-8"
                    )
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def describe_folder(folder: Path, shown: int = 8) -> str:
    """Return what a folder holds, in a few words for an error message."""
    if not folder.is_dir():
        return "no folder" if not folder.exists() else "a file, not a folder"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    if not names:
        return "an empty folder"
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
