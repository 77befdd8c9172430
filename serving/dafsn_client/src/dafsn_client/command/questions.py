"""What is asked: texts, pictures, folders of pictures, JSON lines."""

import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from dafsn_client.errors import InputError

SUFFIXES = {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp"}
"""Of the files of a folder that are pictures."""


@dataclass(frozen=True)
class Question:
    """A text, a picture, or one of each to be compared.

    Attributes:
        text: the text.
        image: the picture as the user named it.
        path: where the picture is.
        id: the asker's own mark, given back with the answer.
        problem: why this cannot be asked; empty where it can.
    """

    text: str | None = None
    image: str | None = None
    path: Path | None = None
    id: Any = None
    problem: str = ""

    def described(self) -> dict[str, Any]:
        """Return what is repeated beside the answer."""
        named = {"id": self.id, "text": self.text, "image": self.image}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Questions:
    """Questions in order, and how many; None where that is not known before they are read."""

    each: Iterator[Question]
    total: int | None


def from_arguments(texts: Sequence[str], images: Sequence[str]) -> Questions:
    """Return a question for each text, or each picture, or each text with each picture.

    Args:
        texts: the texts.
        images: files, or folders of which every picture is taken, those of folders inside too.

    Raises:
        InputError: a folder without pictures.
    """
    pictures = [picture for image in images for picture in _pictures(Path(image))]
    if not pictures:
        return Questions((_checked(Question(text)) for text in texts), len(texts))
    pairs = itertools.product(texts or [None], pictures)
    each = (_checked(Question(text, str(picture), picture)) for text, picture in pairs)
    return Questions(each, max(1, len(texts)) * len(pictures))


def from_lines(name: str) -> Questions:
    """Return the questions of a file of JSON lines, `-` for standard input.

    A line is `{"text": "..."}`, `{"image": "a/b.jpg"}` or both, with any `"id"`; pictures stand where the file stands.
    A line that is none is a question with a `problem`.

    Raises:
        InputError: a file that cannot be read.
    """
    if name == "-":
        return Questions(_read(sys.stdin, "standard input", Path()), None)
    path = Path(name)
    try:
        with path.open("rb") as file:
            total = sum(not line.isspace() for line in file)
        lines = path.open(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"The questions in {path} cannot be read: {error.strerror}.") from error
    return Questions(_read(lines, str(path), path.parent), total)


def _read(lines: TextIO, source: str, folder: Path) -> Iterator[Question]:
    with lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _checked(_question(line, f"line {number} of {source}", folder))


def _question(line: str, where: str, folder: Path) -> Question:
    expected = 'expected {"text": "..."}, {"image": "a/b.jpg"} or both'
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Question(problem=f"{where} is no JSON ({error}); {expected}")
    if not isinstance(found, dict):
        return Question(problem=f"{where} is no JSON object; {expected}")
    text, image = found.get("text"), found.get("image")
    wrong = [name for name in ("text", "image") if not isinstance(found.get(name), str | None)]
    if wrong or text is image is None:
        what = f"'{wrong[0]}' is no string" if wrong else "there is neither 'text' nor 'image'"
        return Question(id=found.get("id"), problem=f"{where}: {what}; {expected}")
    return Question(text, image, None if image is None else folder / image, found.get("id"))


def _checked(question: Question) -> Question:
    try:
        (question.text or "").encode()
    except UnicodeEncodeError:
        return Question(question.text, question.image, id=question.id, problem="the text is no valid Unicode")
    return question


def _pictures(path: Path) -> list[Path]:
    """Return the path itself, or the pictures under a folder by name."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise InputError(f"The folder {path} holds no picture ({', '.join(sorted(SUFFIXES))}).")
    return found
