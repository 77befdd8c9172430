"""Files that a reader finds complete or not at all, and folders for them."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def written_aside(path: Path, *, keep_suffix: bool = False) -> Iterator[Path]:
    """Yield a hidden sibling to write to; it takes the place of `path` at the end, or vanishes on any error.

    One that a killed process left behind is written over.

    Args:
        path: of the file.
        keep_suffix: for writers that tell the format by it; else the sibling ends in `.tmp`, which no pattern finds.
    """
    aside = path.with_name(f".writing-{path.name}" if keep_suffix else f".{path.name}.tmp")
    try:
        yield aside
        os.replace(aside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise


def in_the_way(folder: Path) -> str:
    """Return what keeps a folder from being made or written to, the path that it lies with included; often nothing."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        return f"{existing} is a file"
    return "" if os.access(existing, os.W_OK) else f"{existing} cannot be written to"


def write_json(path: Path, values: Any) -> None:
    """Write values as indented JSON."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
