"""Files that a reader finds complete or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a hidden sibling with the same ending to write to; it takes the place of `path`, or vanishes on any error.

    One that a killed process left behind is written over.
    """
    aside = path.with_name(f".writing-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def write_json(path: Path, values: Any) -> None:
    """Write values as indented JSON."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
