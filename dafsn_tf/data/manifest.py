"""What a prepared collection holds: `manifest.json` beside its record files."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from dafsn_tf.data.items import SPLITS
from dafsn_tf.errors import DataError
from dafsn_tf.files import written_aside

FILE_NAME = "manifest.json"
FORMAT = "dafsn-records"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Shard:
    """One record file."""

    file: str  # name within the folder
    num_examples: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class SplitInfo:
    """One split; without shards where the collection has no such split."""

    num_images: int = 0
    num_texts: int = 0
    num_unlabelled: int = 0  # images without a label
    shards: tuple[Shard, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """A prepared collection.

    Attributes:
        name: of the collection, as reports show it.
        source: the native layout it was read from.
        seed: of everything that was drawn.
        documents: the texts of a picture form one document.
        classes: class names, sorted; labels are indices into them. Empty where nothing is labelled.
        splits: "train", "validation" and "test", the empty ones too.
        split_origin: how the splits came about, in words.
        problems: defects of the source, by kind; `problems.jsonl` holds each.
        skipped: what was left out because the source says so, by reason.
        version: of the package that wrote it.
    """

    name: str
    source: str
    seed: int
    documents: bool
    classes: tuple[str, ...]
    splits: dict[str, SplitInfo]
    split_origin: str = ""
    problems: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    version: str = field(default_factory=lambda: metadata.version("dafsn-tf"))

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, over classes, shard names and shard checksums: equal data, equal digest."""
        lines = [
            *self.classes,
            *(f"{shard.file} {shard.sha256}" for split in SPLITS for shard in self.splits[split].shards),
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @classmethod
    def read(cls, data: Path) -> "Manifest":
        """Return the manifest of a prepared folder.

        Raises:
            DataError: no folder, no manifest in it, or one that this version does not read.
        """
        data = Path(data)
        if not data.is_dir():
            raise DataError(f"There is no folder {data}. Prepare a collection first: dafsn prepare NAME --out {data}")
        path = data / FILE_NAME
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(f"{data} holds no {FILE_NAME}: it is no folder that `dafsn prepare` wrote.") from error
        except ValueError as error:
            raise DataError(f"{path} is not JSON: {error}. Prepare the collection again.") from error
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise DataError(f"{path} is no manifest of `dafsn prepare`. Name the folder given to --out.")
        version = values.pop("format_version", None)
        if version != FORMAT_VERSION:
            raise DataError(
                f"{path} has format version {version}; expected {FORMAT_VERSION}. Prepare the collection again."
            )
        try:
            return cls(**{**values, "classes": tuple(values["classes"]), "splits": _splits_from(values["splits"])})
        except (AttributeError, KeyError, TypeError) as error:
            raise DataError(f"{path} is incomplete or was changed ({error}). Prepare the collection again.") from error

    def write(self, folder: Path) -> None:
        """Write `manifest.json` into a folder."""
        values = {"format": FORMAT, "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        with written_aside(Path(folder) / FILE_NAME) as aside:
            aside.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _splits_from(values: dict[str, Any]) -> dict[str, SplitInfo]:
    return {
        split: SplitInfo(**{**values[split], "shards": tuple(Shard(**shard) for shard in values[split]["shards"])})
        for split in SPLITS
    }
