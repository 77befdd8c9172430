"""Models that the package ships, each in a folder of its name; `DAFSN.save_to_preset` wrote them."""

from pathlib import Path

HEADS = "heads.npz"  # tells a folder that `DAFSN.save_to_preset` wrote
ADDED_WORDS = "added_words.txt"  # of such a folder, or of a run: words that are known by their vectors alone


def read_added_words(folder: Path) -> list[str]:
    """Return the words that the model in a folder knows by their vectors alone; often none."""
    stored = folder / ADDED_WORDS
    return stored.read_text(encoding="utf-8").split("\n") if stored.is_file() else []


def shipped_models() -> dict[str, Path]:
    """Return the folders of the models that the package ships, by name."""
    return {file.parent.name: file.parent for file in sorted(Path(__file__).parent.glob(f"*/{HEADS}"))}
