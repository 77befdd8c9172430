"""Configuration files for tests."""

from pathlib import Path


def written(folder: Path, text: str, name: str = "file.config") -> Path:
    """Write a text file and return its path."""
    path = folder / name
    path.write_text(text)
    return path
