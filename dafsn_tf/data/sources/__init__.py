"""One small reader for each native layout; all yield `Item`s.

A reader is a module with `read(source, problems)`, a generator of `Item`s that reports what it cannot use. Pictures are
given by path and decoded later, in `dafsn_tf.data.prepare`. A new layout is a module here and a line in `LAYOUTS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from dafsn_tf.data.items import Item
from dafsn_tf.data.problems import Problems
from dafsn_tf.errors import DataError, did_you_mean


@dataclass(frozen=True)
class Layout:
    """A native layout and the module that reads it."""

    name: str
    module: str  # within this package; imported when read
    documents: bool = False  # the texts of a picture form one document
    generated: bool = False  # drawn from the seed: there is no source folder
    personal: bool = False  # people's own collections: named after their folder, not after the layout

    def read(self, source: Path | None, problems: Problems, seed: int) -> Iterator[Item]:
        """Return the collection's items, in the source's order.

        Raises:
            DataError: the source is missing or does not have this layout; what was expected and found.
        """
        reader = import_module(f"{__name__}.{self.module}")
        if self.generated:
            return reader.read(source, problems, seed)
        if source is None:
            raise DataError(f"'{self.name}' is read from a folder: name it with --source.")
        if not source.exists():
            raise DataError(f"There is no {source}. Name the folder that holds the collection with --source.")
        return reader.read(source, problems)


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("pascal-sentence", "pascal_sentence", documents=True),
        Layout("flickr8k", "flickr8k"),
        Layout("jsonl", "jsonl", personal=True),
        Layout("shapes", "shapes", generated=True),
    )
}


def find_layout(name: str) -> Layout:
    """Return the layout of that name; `_` and `-` are the same.

    Raises:
        DataError: there is none; the known ones and the nearest name.
    """
    layout = LAYOUTS.get(name.replace("_", "-"))
    if layout is None:
        raise DataError(f"'{name}' is no known layout.{did_you_mean(name, LAYOUTS)} Known: {', '.join(LAYOUTS)}.")
    return layout
