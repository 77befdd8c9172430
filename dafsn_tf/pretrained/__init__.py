"""Models that the package ships, each in a folder of its name; `DAFSN.save_to_preset` wrote them."""

from pathlib import Path

HEADS = "heads.npz"  # tells a folder that `DAFSN.save_to_preset` wrote


def shipped_models() -> dict[str, Path]:
    """Return the folders of the models that the package ships, by name."""
    return {file.parent.name: file.parent for file in sorted(Path(__file__).parent.glob(f"*/{HEADS}"))}
