"""`AnswerFile`: JSON lines that are there when all are there, and are gone on with when they are not."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dafsn_client.command.questions import Question
from dafsn_client.errors import InputError


class AnswerFile:
    """Lines on their way into a file; until the last they stand in a `.part` beside it.

    Which command they answer stands in a `.part.json`, so that another one does not go on with them.

    Args:
        path: the file.
        command: what else than the questions decides about the answers, as JSON can hold it.

    Attributes:
        path: the file.
        part: where the lines are until then.
        found: how many answers an interrupted command had left.

    Raises:
        InputError: the file exists, its place cannot be written, or what was begun there is another command's.
    """

    def __init__(self, path: Path, command: Mapping[str, Any]) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self._of = path.with_name(path.name + ".part.json")
        if path.exists():
            raise InputError(f"{path} exists. Remove it, or write the answers elsewhere.")
        try:
            if self.part.exists() and self.part.stat().st_size:
                self._check_command(command)
            else:
                self._of.write_text(json.dumps(command), encoding="utf-8")
            self._file = self.part.open("a+b")
        except OSError as error:
            raise InputError(f"The answers cannot be written to {self.part}: {error.strerror}.") from error
        self._file.seek(0)
        kept = [line for line in self._file if line.endswith(b"\n")]  # the last may be cut
        self._file.truncate(sum(map(len, kept)))
        self._file.seek(0, os.SEEK_END)
        self._kept = kept
        self.found = len(kept)

    def _check_command(self, command: Mapping[str, Any]) -> None:
        try:
            begun = json.loads(self._of.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            begun = None
        if begun != json.loads(json.dumps(command)):
            found = "which one is not known"
            if isinstance(begun, dict):
                differing = [name for name, value in command.items() if begun.get(name) != value]
                found = ", ".join(f"{name} {begun.get(name)}, now {command[name]}" for name in differing)
            raise InputError(
                f"{self.part} holds answers of another command ({found}). "
                "Remove that file, or write the answers elsewhere."
            )

    def skip(self, questions: Iterator[Question]) -> None:
        """Pass by the questions that are answered.

        Raises:
            InputError: the answers that were found are those of other questions.
        """
        for number, line in enumerate(self._kept, start=1):
            question = next(questions, None)
            if question is None or not _answers(line, question):
                raise InputError(
                    f"Line {number} of {self.part} answers another question than is asked now. "
                    "Remove that file, or write the answers elsewhere."
                )

    def write(self, lines: list[str]) -> None:
        """Add lines; they are in the file when this returns."""
        self._file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
        self._file.flush()

    def finish(self) -> None:
        """Give the file its name."""
        self.close()
        self.part.replace(self.path)
        self._of.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it, finished or not."""
        self._file.close()


def _answers(line: bytes, question: Question) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return False
    asked = json.loads(json.dumps(question.described()))
    return isinstance(found, dict) and {key: found[key] for key in ("id", "text", "image") if key in found} == asked
