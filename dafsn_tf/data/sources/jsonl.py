"""People's own collections: one .jsonl file, pictures beside it or in folders below it.

    SOURCE/
      anything.jsonl                   one JSON object a line, UTF-8
      a/b.jpg                          JPEG, PNG, GIF, BMP or WebP
      splits.json                      {"train": [ids], "validation": [ids], "test": [ids]}, optional

A line: `{"image": "a/b.jpg", "texts": ["..."], "label": "dog", "split": "train", "id": "b"}`.

- `image`: path relative to the folder of the file; it must not leave that folder.
- `texts`: a list of strings.
- `label`: a string, a list of strings for several, or absent; lines with and without may be mixed. Composed and
  decomposed characters (NFC, NFD) make one class.
- `split`: "train", "validation", "test" or absent; lines without are trained on where others name a split.
- `id`: unique; the image path where absent, in its plain form: `./a//b.jpg` and `c/../a/b.jpg` are `a/b.jpg`.

SOURCE is the folder, or the .jsonl file itself where the folder holds several. Other fields are ignored and counted.
"""

import difflib
import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from unicodedata import normalize

from dafsn_tf.data.items import SPLITS, Item
from dafsn_tf.data.problems import Problems
from dafsn_tf.data.sources.lines import describe_folder, read_lines
from dafsn_tf.errors import DataError

_FIELDS = ("image", "texts", "label", "split", "id")


def read(source: Path, problems: Problems) -> Iterator[Item]:
    """Return the items of the file, in its order.

    Raises:
        DataError: the folder holds no .jsonl file, or several.
    """
    return _read_file(find_file(source), problems)


def find_file(source: Path) -> Path:
    """Return the .jsonl file that a source names.

    Raises:
        DataError: there is none, or there are several.
    """
    if source.is_file():
        return source
    files = sorted(path for path in source.iterdir() if path.suffix.lower() == ".jsonl" and path.is_file())
    if not files:
        raise DataError(f"{source} holds no .jsonl file: expected one, found {describe_folder(source)}.")
    if len(files) > 1:
        names = ", ".join(path.name for path in files)
        raise DataError(f"{source} holds several .jsonl files ({names}): name the one to read, --source {files[0]}.")
    return files[0]


def _read_file(path: Path, problems: Problems) -> Iterator[Item]:
    for number, line in read_lines(path, problems):
        if not line.strip():
            continue
        try:
            record = _parse(line)
            item = _item(record, path.parent, f"{path}:{number}")
        except _LineError as error:
            problems.add(error.kind, f"{path}:{number}", str(error))
            continue
        for field in record:
            if field not in _FIELDS:
                problems.skip(_unknown(field))
        yield item


@lru_cache
def _unknown(field: str) -> str:
    """Return in words that a field is none, with the known one that is written nearly so."""
    nearest = difflib.get_close_matches(field.lower(), _FIELDS, n=1, cutoff=0.8)
    return f"unknown field '{field}'" + (f" (is it '{nearest[0]}'?)" if nearest else "")


class _LineError(Exception):
    """A line that cannot be used."""

    def __init__(self, detail: str, kind: str = "bad_line") -> None:
        super().__init__(detail)
        self.kind = kind


def _parse(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise _LineError(f"not JSON: {error.msg} at column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise _LineError(f"not usable JSON: {error}") from error
    if not isinstance(record, dict):
        raise _LineError(
            f'expected an object such as {{"image": "a.jpg", "texts": ["..."]}}, found {_describe(record)}'
        )
    return record


def _item(record: dict[str, Any], folder: Path, line: str) -> Item:
    image = record.get("image")
    if not isinstance(image, str) or not image:
        raise _LineError(f"'image' must be a path, found {_found(record, 'image')}")
    identity = record.get("id")
    if identity is not None and (not isinstance(identity, str) or not identity):
        raise _LineError(f"'id' must be a string, found {_describe(identity)}")
    split = record.get("split")
    if split is not None and split not in SPLITS:
        raise _LineError(f"'split' must be one of {', '.join(SPLITS)} or absent, found {_describe(split)}")
    image = os.path.normpath(image)  # one picture, one id
    return Item(
        id=identity or image,
        texts=_texts(record),
        labels=_labels(record),
        split=split,
        image=_image_path(folder, image),
        line=line,
    )


def _texts(record: dict[str, Any]) -> tuple[str, ...]:
    texts = record.get("texts")
    if not isinstance(texts, list):
        raise _LineError(f"'texts' must be a list of strings, found {_found(record, 'texts')}")
    for text in texts:
        if not isinstance(text, str):
            raise _LineError(f"'texts' must be a list of strings, found {_describe(text)} in it")
    return tuple(texts)


def _labels(record: dict[str, Any]) -> tuple[str, ...]:
    label = record.get("label")
    if label is None:
        return ()
    labels = label if isinstance(label, list) else [label]
    for entry in labels:
        if not isinstance(entry, str) or not entry.strip():
            raise _LineError(f"'label' must be a class name, a list of class names or absent, found {_describe(entry)}")
    return tuple(dict.fromkeys(normalize("NFC", entry.strip()) for entry in labels))


def _image_path(folder: Path, image: str) -> Path:
    path = folder / image
    try:
        resolved = Path(os.path.realpath(path))
        inside = resolved.is_relative_to(os.path.realpath(folder))
    except ValueError as error:  # a zero byte, a lone surrogate
        raise _LineError(f"'image' is no possible path: {error}") from error
    if os.path.isabs(image):
        raise _LineError(
            f"{image!r} is an absolute path; write it from the folder of the file, so that the collection can be moved",
            "outside_source",
        )
    if not inside:
        is_link = not os.path.relpath(path, folder).startswith(os.pardir)
        leaves = "is, or lies behind, a link that leaves" if is_link else "leaves"
        raise _LineError(f"{image!r} {leaves} the folder of the file; put the picture below it", "outside_source")
    if not os.path.isfile(path):
        other = next((form for form in ("NFC", "NFD") if os.path.isfile(folder / normalize(form, image))), None)
        hint = f"; there is one whose name has its accents otherwise (Unicode {other}): rename it" if other else ""
        raise _LineError(f"there is no file {image!r}{hint}", "missing_image")
    return path


def _found(record: dict[str, Any], field: str) -> str:
    if field in record:
        return _describe(record[field])
    return f"no such field, only {', '.join(map(repr, record)) or 'none'}"


def _describe(value: Any) -> str:
    names = {str: "the string", bool: "the value", int: "the number", float: "the number", list: "the list"}
    text = json.dumps(value)
    shortened = text if len(text) <= 60 else text[:57] + "..."
    return "null" if value is None else f"{names.get(type(value), 'the object')} {shortened}"
